// The documented JSON of `ringd status|ring|where|id --json`, on which scripts may rely: fields are only added.
// Types only: a node builds the reports; the client and the command line read them.
import type { MemberId, PeerId } from '../member.js'

/**
 * healthy: every member is up and every slot has settled. moving: slots are moving, all members are up.
 * degraded: a member is down, every slot still has its quorum.
 * at-risk: a slot has lost its quorum, or too many of its owners for good.
 */
export type Health = 'healthy' | 'moving' | 'degraded' | 'at-risk'

/** The state as the reporting peer sees it. joining: the peer asked to be a member, and is in no view yet. */
export type MemberState = 'up' | 'suspect' | 'down' | 'joining'

export interface SlotCounts {
  /** Slots whose newest config has settled. */
  readonly settled: number
  /** Slots that still move. */
  readonly moving: number
  /** Slots in which too many owners are down for a quorum. */
  readonly atRisk: number
  /** Slots with fewer copies than wanted. A copy is an owner that is ready for the slot and not down. */
  readonly short: number
  /** Seconds until no slot is short, at the pace of the last half minute; null when it is unknown. */
  readonly etaS: number | null
}

export interface MemberReport {
  readonly peerId: PeerId
  readonly storeId: MemberId
  readonly state: MemberState
  /** The reason for suspect or down; '' for other states. */
  readonly reason: string
  readonly zone: string
  readonly addresses: readonly string[]
  /** The number of its tokens. */
  readonly tokens: number
  /** The number of slots that it owns, of 16384. A slot counts for each of its owners. */
  readonly owns: number
  /** Entries and bytes in its store; null when they are unknown. */
  readonly keys: number | null
  readonly bytes: number | null
}

export interface StatusReport {
  /** The number of the newest view that this peer knows. */
  readonly view: number
  /** The digest of the ring, hex. The same view gives the same digest on every peer. */
  readonly digest: string
  /** True when every member that is up reports the same view and digest. */
  readonly agree: boolean
  readonly replicas: number
  readonly health: Health
  readonly slots: SlotCounts
  /** The reporting peer was told to leave the ring. */
  readonly leaving: boolean
  /** Slots that the reporting peer stores and others own: it will release them. Null while the number is unknown. */
  readonly surplus: number | null
  /** Writes that the reporting peer keeps for owners that did not take them, and their bytes on its disk. */
  readonly hints: { readonly entries: number; readonly bytes: number }
  readonly members: readonly MemberReport[]
  /** Former members that still own slots in some window. */
  readonly departing: readonly OwnerReport[]
}

export interface RangeReport {
  /** First and last slot, both included. */
  readonly first: number
  readonly last: number
  /** Clockwise. A client that knows the slots should ask the first one. */
  readonly owners: readonly MemberId[]
}

export interface RingReport {
  readonly view: number
  readonly digest: string
  readonly replicas: number
  /** Ascending; they cover every slot exactly once. */
  readonly ranges: readonly RangeReport[]
}

export interface OwnerReport {
  readonly peerId: PeerId
  readonly storeId: MemberId
  readonly state: MemberState
  readonly addresses: readonly string[]
}

export interface WhereReport {
  /** The key as text; bytes that are not UTF-8 show as U+FFFD. */
  readonly key: string
  readonly slot: number
  readonly owners: readonly OwnerReport[]
  /** The owners of each config in the window, the oldest config first. One config while the slot does not move. */
  readonly window: ReadonlyArray<readonly MemberId[]>
}

export interface IdReport {
  readonly peerId: PeerId
  readonly storeId: MemberId
  /** Hex; '' before the peer belongs to a ring. */
  readonly ringId: string
  readonly addresses: readonly string[]
  readonly version: string
}

export interface MetricsReport {
  /** The metrics of the whole process, in the text format of Prometheus. */
  readonly text: string
}

/** The progress of `ringd repair`, and the last round of the reporting peer with each other member. */
export interface RepairReport {
  readonly running: boolean
  /** The requested slots, both included. */
  readonly first: number
  readonly last: number
  /** The number of other owners of these slots, and of those that were compared already. */
  readonly owners: number
  readonly compared: number
  /** The slots that were compared, and those that differed. A slot counts for each of its owners. */
  readonly slots: number
  readonly differing: number
  /** The bytes are those of sums, lists and entries. */
  readonly sentEntries: number
  readonly sentBytes: number
  readonly receivedEntries: number
  readonly receivedBytes: number
  /** The owners that could not be compared, and the code of the error. */
  readonly failures: ReadonlyArray<{ readonly storeId: MemberId; readonly error: string }>
  readonly rounds: readonly RepairRoundReport[]
}

/** The last round that the reporting peer began with a member; null in all fields when there was none. */
export interface RepairRoundReport {
  readonly storeId: MemberId
  readonly agoMs: number | null
  readonly differing: number | null
  readonly error: string | null
}

/** The report of each topic. */
export interface Reports {
  readonly status: StatusReport
  readonly ring: RingReport
  readonly where: WhereReport
  readonly id: IdReport
  readonly metrics: MetricsReport
}

export type Topic = keyof Reports
