// The ring as the other actors see it: an immutable value that the membership actor sends after each change.

import type { Member, MemberId, PeerId } from '../member.js'
import type { Founding } from './chain.js'
import type { ConfigTable } from './configs.js'
import type { Readiness } from './readiness.js'

/** A view and everything known about it. It is on disk before it is sent. */
export interface RingView {
  readonly number: number
  readonly founding: Founding
  /** This peer's own member id, also when it is no member. */
  readonly self: MemberId
  /** This peer is a member of the newest view. */
  readonly isMember: boolean
  readonly members: ReadonlyMap<MemberId, Member>
  /** Also of former members: configs may still name them. */
  readonly peerIds: ReadonlyMap<MemberId, PeerId>
  /** Former members that were taken for dead. */
  readonly lost: ReadonlySet<MemberId>
  /** See View. */
  readonly elder?: MemberId | undefined
  readonly configs: ConfigTable
  readonly readiness: Readiness
}
