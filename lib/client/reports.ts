// The documented JSON of `ringd status|ring|where|id --json`: what a daemon reports, and scripts may rely on.
// Fields are only ever added. Shapes only: a node builds them, the client and the command line read them.
import type { MemberId, PeerId } from '../member.js'

/**
 * healthy: every member is up and every slot has settled. moving: ranges are on their way, all members are up.
 * degraded: a member is down, every slot still has its quorum.
 * at-risk: some slot has lost its quorum, or copies for good.
 */
export type Health = 'healthy' | 'moving' | 'degraded' | 'at-risk'

/** As the reporting peer sees it. joining: it asked to be a member and is in no view yet. */
export type MemberState = 'up' | 'suspect' | 'down' | 'joining'

export interface SlotCounts {
  /** Slots whose newest config has settled. */
  readonly settled: number
  /** Slots that still move. */
  readonly moving: number
  /** Slots with too few owners alive for a quorum. */
  readonly atRisk: number
  /** Slots with fewer copies than there are to be: owners that are ready for the slot and not down. */
  readonly short: number
  /** Seconds until no slot is short, at the pace of the last half minute; null when that is not known. */
  readonly etaS: number | null
}

export interface MemberReport {
  readonly peerId: PeerId
  readonly storeId: MemberId
  readonly state: MemberState
  /** Why it is suspect or down; '' for others. */
  readonly reason: string
  readonly zone: string
  readonly addresses: readonly string[]
  /** How many tokens it claims. */
  readonly tokens: number
  /** How many slots it owns, of 16384, counted once for each owner. */
  readonly owns: number
  /** Entries and bytes in its store, or null when it did not say. */
  readonly keys: number | null
  readonly bytes: number | null
}

export interface StatusReport {
  /** The number of the newest view that this peer knows. */
  readonly view: number
  /** Of the ring, hex. The same view gives the same digest on every peer. */
  readonly digest: string
  /** Whether every member that is up reports the same view and digest. */
  readonly agree: boolean
  readonly replicas: number
  readonly health: Health
  readonly slots: SlotCounts
  /** The reporting peer was told to leave the ring. */
  readonly leaving: boolean
  /** Slots that the reporting peer stores and others own: it gives them up. Null while it is not known. */
  readonly surplus: number | null
  /** Writes that the reporting peer keeps for owners that did not take them, and their bytes on its disk. */
  readonly hints: { readonly entries: number; readonly bytes: number }
  readonly members: readonly MemberReport[]
  /** Former members that operations still honour as owners. */
  readonly departing: readonly OwnerReport[]
}

export interface RangeReport {
  /** First and last slot, both included. */
  readonly first: number
  readonly last: number
  /** Clockwise: the first is the one that a smart client should ask. */
  readonly owners: readonly MemberId[]
}

export interface RingReport {
  readonly view: number
  readonly digest: string
  readonly replicas: number
  /** Ascending; together they cover every slot once. */
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
  /** The owners of each config in the window, oldest first. One while nothing moves. */
  readonly window: ReadonlyArray<readonly MemberId[]>
}

export interface IdReport {
  readonly peerId: PeerId
  readonly storeId: MemberId
  /** Hex; '' before it belongs to a ring. */
  readonly ringId: string
  readonly addresses: readonly string[]
  readonly version: string
}

export interface MetricsReport {
  /** Of the whole process, in the text format of Prometheus. */
  readonly text: string
}

/** What `ringd repair` asked for, and the rounds of the reporting peer with every other member. */
export interface RepairReport {
  readonly running: boolean
  /** The slots that were asked for, both included. */
  readonly first: number
  readonly last: number
  /** Other owners of these slots, and those that have been compared with. */
  readonly owners: number
  readonly compared: number
  /** Slots that were compared and that differed, counted once for each owner. */
  readonly slots: number
  readonly differing: number
  /** Bytes are those of sums, lists and entries. */
  readonly sentEntries: number
  readonly sentBytes: number
  readonly receivedEntries: number
  readonly receivedBytes: number
  /** Owners that could not be compared with, and the code of the error. */
  readonly failures: ReadonlyArray<{ readonly storeId: MemberId; readonly error: string }>
  readonly rounds: readonly RepairRoundReport[]
}

/** The last round that the reporting peer began with a member; nulls when there was none. */
export interface RepairRoundReport {
  readonly storeId: MemberId
  readonly agoMs: number | null
  readonly differing: number | null
  readonly error: string | null
}

/** What can be asked, and what comes back. */
export interface Reports {
  readonly status: StatusReport
  readonly ring: RingReport
  readonly where: WhereReport
  readonly id: IdReport
  readonly metrics: MetricsReport
}

export type Topic = keyof Reports
