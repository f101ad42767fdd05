// What a peer is to the ring, by its hello and by a view. Pure.
// A hello only claims a store id; the connection proves the peer id. The view binds the two, so a claim counts only
// when the view gives the store id to that peer.
import type { MemberId, PeerId } from '../member.js'
import type { View } from './chain.js'

export type Standing =
  /** A member of the view. */
  | 'member'
  /** A member of an earlier view. */
  | 'former'
  /** Its store id is in no view that is known here: it waits to become a member, or a newer view has it. */
  | 'joiner'
  /** It claims a store id that the view gives to another peer. */
  | 'stranger'

/** The other end of a link. */
export interface Claim {
  readonly peerId: PeerId
  readonly storeId: MemberId
}

/** O(1). */
export function standingOf({ members, peerIds }: Pick<View, 'members' | 'peerIds'>, claim: Claim): Standing {
  const peerId = peerIds.get(claim.storeId)
  if (peerId === undefined) return 'joiner'
  if (peerId !== claim.peerId) return 'stranger'
  return members.has(claim.storeId) ? 'member' : 'former'
}
