// The documented JSON of `ringd status|ring|where|id|transfers --json`, on which scripts may rely: fields are only
// added.
// Types only: a node builds the reports; the client and the command line read them.
import type { Member, MemberId, PeerId } from '../member.js'
import type { SlotRange } from '../ring/slots.js'

/**
 * As the reporting peer sees the ring, and as its clients do. The worst that holds:
 * healthy: every member is up and in no condition, every slot has settled and can be read and written.
 * moving: the same, but slots are moving.
 * degraded: a member is not up, is in a condition, or does not reach another one; every slot can be read and written.
 * read-only: a slot can be read, and not written: too few of its owners take writes now.
 * at-risk: a slot cannot be read: too few of its owners answer now, or too many are lost for good.
 */
export type Health = 'healthy' | 'moving' | 'degraded' | 'read-only' | 'at-risk'

/** The state as the reporting peer sees it. joining: the peer asked to be a member, and is in no view yet. */
export type MemberState = 'up' | 'suspect' | 'down' | 'joining'

export interface SlotCounts {
  /** Slots whose newest config has settled. */
  readonly settled: number
  /** Slots that still move. */
  readonly moving: number
  /** Slots in which too many owners are down, not reached or without a store for a quorum. */
  readonly atRisk: number
  /** Slots in which too few owners take writes for a quorum. Those at risk are among them. */
  readonly unwritable: number
  /** Slots with fewer copies than wanted. A copy is an owner that is ready for the slot and not down. */
  readonly short: number
  /** Seconds until no slot is short, at the pace of the last half minute; null when it is unknown. */
  readonly etaS: number | null
}

/** What the members still have to copy until each of them is ready for all slots that it owns. */
export interface MoveReport {
  /** Slots; a slot counts for each member that has to copy it. 0 when nothing moves. */
  readonly copies: number
  /** The bytes that these members lack; null when one of them did not tell. An estimate. */
  readonly bytes: number | null
  /** The time until the last of them is done, by its pace of the last seconds; null while that is unknown. */
  readonly etaS: number | null
  readonly etaMs: number | null
}

/** What is wrong with a peer itself, as that peer says. */
export interface ConditionReport {
  /** One of those in daemon/README.md, "When things go wrong"; another one from a peer of a newer version. */
  readonly name: string
  /** One sentence for an operator, at most 200 characters. */
  readonly says: string
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
  /** At most 9. Empty for a member that is down: its last words may be outdated. */
  readonly conditions: readonly ConditionReport[]
  /** Members that have not heard this one on their own link for seconds, the reporting peer among them. */
  readonly unreachableFrom: readonly MemberId[]
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
  /** The reporting peer serves clients: it has a store and a ring, its clock is right, and it hears a majority. */
  readonly ready: boolean
  /** Why it does not, one sentence each. Empty when `ready`. */
  readonly notReady: readonly string[]
  /** What an operator should know or do, one sentence each. */
  readonly advice: readonly string[]
  readonly slots: SlotCounts
  readonly move: MoveReport
  /** The reporting peer was told to leave the ring. */
  readonly leaving: boolean
  /** Slots that the reporting peer stores and others own: it will release them. Null while the number is unknown. */
  readonly surplus: number | null
  /** Writes that the reporting peer keeps for owners that did not take them, and their bytes on its disk. */
  readonly hints: { readonly entries: number; readonly bytes: number }
  /** What a peer may receive and send in a second to move data, both together; null: as much as it can. */
  readonly moveLimitBytesPerS: number | null
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

/** A member with its tokens, and the copies that it lacks. */
export interface LoadMemberReport extends Member {
  readonly state: MemberState
  /** Slots that it owns and does not hold completely yet. */
  readonly unready: readonly SlotRange[]
}

/** What every slot of the ring holds, as its owners tell: the input of `ringd plan`. */
export interface LoadReport {
  readonly view: number
  readonly digest: string
  readonly replicas: number
  readonly members: readonly LoadMemberReport[]
  /** Slots that still move. */
  readonly moving: number
  /** Per slot: entries of one copy (tombstones included), and the bytes that they take. Null: unknown. */
  readonly entries: readonly (number | null)[]
  readonly bytes: readonly (number | null)[]
  /** Owners that were asked and did not tell, and the code of the error. */
  readonly failures: ReadonlyArray<{ readonly storeId: MemberId; readonly error: string }>
  /** Bytes that this peer has received in a second in its present or last move; null when it has made none. */
  readonly paceBytesPerS: number | null
}

/** The limit for moving data that was set last, as the reporting peer knows it. */
export interface LimitReport {
  /** What a peer may receive and send in a second, both together; null: as much as it can. */
  readonly bytesPerS: number | null
  /** When it was set, ms since the epoch, and the member that was asked; null: it was never set. */
  readonly setAtMs: number | null
  readonly setBy: MemberId | null
}

/** Why data moves. unknown: the view in which it began is known in short only. */
export type TransferCause = 'unknown' | 'join' | 'leave' | 'loss' | 'repair'

/** What one member takes from one other for one change of the ring, or in repair. */
export interface TransferReport {
  readonly why: TransferCause
  readonly from: MemberId
  readonly to: MemberId
  /** The view in which the change began; 0 for repair. */
  readonly config: number
  /** Slots that are done, and all that it is to take as far as that is known. A slot of two sources counts for both. */
  readonly slots: number
  readonly slotsInAll: number
  /** Entries that came, and their bytes. */
  readonly entries: number
  readonly bytes: number
  readonly bytesPerS: number
  /** Seconds until the member has everything that it takes for the change; null while that is unknown. */
  readonly etaS: number | null
  /** What it waits for: its source, the disk of the member that takes, the clients of that member, or its limit. */
  readonly heldBy: 'source' | 'disk' | 'clients' | 'limit'
  readonly receipt: ReceiptReport
  /** By the clock of the member that takes. */
  readonly beganAtMs: number
}

/** What both ends have counted alike, and what is on disk. */
export interface ReceiptReport {
  /** The slots of jobs that are done: the first 256 ranges, and how many more there are. */
  readonly ranges: readonly SlotRange[]
  readonly rangesLeftOut: number
  /** The entries of all answers that both ends have counted alike, and the sum of their checksums modulo 2^32. */
  readonly entries: number
  readonly checksum: number
}

export interface EndedTransferReport extends Omit<TransferReport, 'slotsInAll' | 'bytesPerS' | 'etaS' | 'heldBy'> {
  /** done; overtaken: a newer view began first; cut: the process of the member that took it ended first. */
  readonly state: 'done' | 'overtaken' | 'cut'
  readonly endedAtMs: number
}

/** The transfers of the whole ring, as each member tells of its own. */
export interface TransfersReport {
  readonly view: number
  readonly move: MoveReport
  /** At most 1000. */
  readonly running: readonly TransferReport[]
  /** The last 100 that have ended, the newest first. Empty when only the running ones were asked for. */
  readonly ended: readonly EndedTransferReport[]
  /** Members that did not answer, and the code of the error. */
  readonly failures: ReadonlyArray<{ readonly storeId: MemberId; readonly error: string }>
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

/** The progress of `ringd verify`, and its result at the end. All counts are of slots. */
export interface VerifyReport {
  readonly running: boolean
  /** The requested slots, both included, and their number. */
  readonly first: number
  readonly last: number
  readonly slots: number
  /** Slots that were compared at least once. */
  readonly compared: number
  /** Each slot is in one of these five, by its last comparison. All owners hold the same: */
  readonly equal: number
  /** Owners hold different entries. */
  readonly differing: number
  /** They differ, and every owner held something else than a second before: they may be equal in between. */
  readonly changing: number
  /** No difference, but an owner did not answer. */
  readonly unanswered: number
  /** No difference among the owners that hold the slot completely; others are still copying it. */
  readonly moving: number
  /** Slots of `equal` that were not equal at first. */
  readonly cleared: number
  /** The first thousand slots that differ or change. */
  readonly differences: readonly SlotDifferenceReport[]
  /** Owners that did not answer, the code of the error, and of how many slots they were asked. */
  readonly failures: ReadonlyArray<{ readonly storeId: MemberId; readonly error: string; readonly slots: number }>
}

export interface SlotDifferenceReport {
  readonly slot: number
  readonly changing: boolean
  /** Owners with the same group hold the same entries; group 0 is the largest. Tombstones are entries. */
  readonly owners: ReadonlyArray<{ readonly storeId: MemberId; readonly entries: number; readonly group: number }>
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
  readonly load: LoadReport
  readonly limit: LimitReport
  readonly transfers: TransfersReport
  readonly metrics: MetricsReport
}

export type Topic = keyof Reports
