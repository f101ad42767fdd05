// A member, as a view lists it. The ring, views and actors share these types. Pure.

/** 32 hex digits: the storeId. An emptied directory gets a new one, so it names one life of one data directory. */
export type MemberId = string

/** A libp2p peer id in its usual text form. */
export type PeerId = string

export const MEMBER_ID_PATTERN = /^[0-9a-f]{32}$/

/** A member as a view lists it. Never changes while it is a member. */
export interface Member {
  readonly storeId: MemberId
  readonly peerId: PeerId
  /** The slots of its tokens: 1..4096 slots, ascending, distinct. */
  readonly tokens: readonly number[]
  /** Any text. Members of one zone may fail together. '' is a zone like any other. */
  readonly zone: string
  /** The share of data in proportion to other members, in (0, 16]. */
  readonly weight: number
}
