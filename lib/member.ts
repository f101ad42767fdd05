// What a member is, and what a view lists. The vocabulary that ring, views and actors share. Pure.

/** 32 hex digits: the storeId. A wiped directory gets a new one, so it names one life of one data directory. */
export type MemberId = string

/** A libp2p peer id in its usual text form. */
export type PeerId = string

export const MEMBER_ID_PATTERN = /^[0-9a-f]{32}$/

/** A member as a view lists it. Never changes while it is a member. */
export interface Member {
  readonly storeId: MemberId
  readonly peerId: PeerId
  /** Slot numbers that it claims, ascending, no duplicates, 1..4096 of them. */
  readonly tokens: readonly number[]
  /** Free text; members of one zone fail together. '' is a zone like any other. */
  readonly zone: string
  /** Share of data relative to others, in (0, 16]. */
  readonly weight: number
}
