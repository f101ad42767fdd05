// A request to a member, not to a peer: a peer that came back with another data directory is another member.
// Owns nothing; every actor that asks another member goes through here.
import { RingdError } from '../errors.js'
import type { MemberId, PeerId } from '../member.js'
import type { Body, Network, StreamClass } from './network.js'

/** Where members are reached. A view names the peer of each of its members (`RingView.peerIds`). */
export type PeerIds = ReadonlyMap<MemberId, PeerId>

/** Whether the peer is linked, and the data directory that answers there is the member's. */
export function isMemberAt(network: Pick<Network, 'link'>, peerId: PeerId, member: MemberId): boolean {
  return network.link(peerId)?.storeId === member
}

/** Whether the member is linked. False for a member without a peer id. */
export function isMemberLinked(network: Pick<Network, 'link'>, peerIds: PeerIds, member: MemberId): boolean {
  const peerId = peerIds.get(member)
  return peerId !== undefined && isMemberAt(network, peerId, member)
}

export interface MemberRequest {
  readonly peerId: PeerId
  readonly member: MemberId
  readonly stream: StreamClass
  readonly body: Body
  readonly timeoutMs: number
}

/** The member's answer. Throws UNREACHABLE, TIMEOUT, OVERLOADED, or what the member refused with. */
export function requestMember(network: Pick<Network, 'link' | 'request'>, request: MemberRequest): Promise<Body> {
  const { peerId, member, stream, body, timeoutMs } = request
  return new Promise((resolve, reject) => {
    if (!isMemberAt(network, peerId, member)) throw new RingdError('UNREACHABLE', 'no link to the member')
    network.request(peerId, stream, body, timeoutMs, (answer) => {
      if (answer instanceof RingdError) reject(answer)
      else resolve(answer)
    })
  })
}
