// What the other actors need of the ring: an immutable picture that the membership actor sends when something changed.

import type { Member, MemberId, PeerId } from '../member.js'
import type { Founding } from './chain.js'
import type { ConfigTable } from './configs.js'
import type { Readiness } from './readiness.js'

/** A view and everything known of it, already on disk when it is sent. */
export interface RingView {
  readonly number: number
  readonly founding: Founding
  /** This peer's own member id, member or not. */
  readonly self: MemberId
  /** This peer is a member of the newest view. */
  readonly isMember: boolean
  readonly members: ReadonlyMap<MemberId, Member>
  /** Also of those who left: configs may still name them. */
  readonly peerIds: ReadonlyMap<MemberId, PeerId>
  /** Former members that were taken for dead. */
  readonly lost: ReadonlySet<MemberId>
  readonly configs: ConfigTable
  readonly readiness: Readiness
}
