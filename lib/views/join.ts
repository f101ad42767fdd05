// A wish to join, and the record that a member keeps of itself: what they hold and how a wish is signed. Pure.
import type { Bytes } from '../bytes.js'
import type { Member, MemberId, PeerId } from '../member.js'

export interface JoinRequest {
  readonly ringId: string
  readonly member: Member
  readonly addresses: readonly string[]
  /** The joiner's wall clock: a newer request of the same member replaces an older one. */
  readonly issuedAtMs: number
  readonly signature: Bytes
}

/** What a member says of itself; the higher sequence wins. */
export interface MemberRecord {
  readonly storeId: MemberId
  readonly peerId: PeerId
  readonly sequence: number
  readonly addresses: readonly string[]
  /** Per slot: the config for which it is ready. */
  readonly ready: Uint32Array
}

/** Signs for this peer and checks what others signed; the public key lies in a peer's id. */
export interface Signer {
  sign(bytes: Bytes): Promise<Bytes>
  verify(peerId: PeerId, bytes: Bytes, signature: Bytes): Promise<boolean>
}
