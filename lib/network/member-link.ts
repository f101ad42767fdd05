// Requests to a member, not only to a peer: a peer that comes back with another data directory is another member.
// Owns no state. Every actor that asks another member uses it.
import { RingdError } from '../errors.js'
import type { MemberId, PeerId } from '../member.js'
import type { Body, Network, StreamClass } from './network.js'

/** The peer of each member (`RingView.peerIds`). */
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

/** The other end may read a block from its disk, or wait for its disk, before it answers. */
const BULK_TIMEOUT_MS = 15_000

export interface MemberRequest {
  readonly peerId: PeerId
  readonly member: MemberId
  readonly stream: StreamClass
  readonly body: Body
  /** Default BULK_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/** The member's answer. Throws UNREACHABLE, TIMEOUT, OVERLOADED, or the member's refusal. */
export function requestMember(network: Pick<Network, 'link' | 'request'>, request: MemberRequest): Promise<Body> {
  const { peerId, member, stream, body, timeoutMs = BULK_TIMEOUT_MS } = request
  return new Promise((resolve, reject) => {
    if (!isMemberAt(network, peerId, member)) throw new RingdError('UNREACHABLE', 'no link to the member')
    network.request(peerId, stream, body, timeoutMs, (answer) => {
      if (answer instanceof RingdError) reject(answer)
      else resolve(answer)
    })
  })
}
