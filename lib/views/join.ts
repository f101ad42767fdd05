// The fields of a join request and of the record that a member publishes about itself. Pure.
// The signed bytes of a request are made in wire-codec.ts.
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

/** A member's statement about itself. Of two records of a member, the one with the higher sequence is valid. */
export interface MemberRecord {
  readonly storeId: MemberId
  readonly peerId: PeerId
  readonly sequence: number
  readonly addresses: readonly string[]
  /** Per slot the config for which the member is ready; 0: none. */
  readonly ready: Uint32Array
  /** By its peer. Empty in a record that an older version wrote on disk: it is not passed on. */
  readonly signature: Bytes
}

/** Signs for this peer and verifies the signatures of others. The public key is part of a peer's id. */
export interface Signer {
  sign(bytes: Bytes): Promise<Bytes>
  verify(peerId: PeerId, bytes: Bytes, signature: Bytes): Promise<boolean>
}
