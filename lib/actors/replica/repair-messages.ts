// The messages of the replica from repair: from this peer's own actor, and from that of another owner. Shapes only.

import type { NodeSum } from '../../anti-entropy/sum-tree.js'
import type { ListedSlot, Position } from '../../anti-entropy/version-list.js'
import type { Bytes } from '../../bytes.js'
import type { Block, FetchedBlock, StoredEntry } from '../../entry/block.js'
import type { MemberId } from '../../member.js'
import type { Link } from '../../network/network.js'
import type { Reply } from '../../runtime/actor.js'

export type RepairReplicaMessage =
  /** The sums of these nodes over these slots (lib/anti-entropy/sum-tree.ts), or NOT_SERVING while they are counted. */
  | {
      readonly type: 'repair-sums'
      readonly level: number
      readonly nodes: readonly number[]
      readonly slots: readonly number[]
      readonly reply: Reply<Bytes>
    }
  /** The versions that are here in these slots (ascending), from a position on in the first of them. */
  | {
      readonly type: 'repair-list'
      readonly slots: readonly number[]
      readonly from: Position | undefined
      readonly reply: Reply<VersionList>
    }
  /** The sound entries at these positions, as many as fit a block. */
  | { readonly type: 'repair-take'; readonly positions: readonly Position[]; readonly reply: Reply<FetchedBlock> }
  /** Entries that repair brought: merged by version where nothing damaged lies, on disk when it replies. */
  | {
      readonly type: 'repair-merge'
      readonly entries: readonly StoredEntry[]
      /** The other owner. */
      readonly member: MemberId
      /** How many of them are here now: a promise may keep out others. */
      readonly reply: Reply<number>
    }
  /** Counts these slots anew: their sums differ from those of another owner, and their entries do not. */
  | { readonly type: 'repair-recount'; readonly slots: readonly number[] }
  | RepairCompareMessage
  | RepairVersionsMessage
  | RepairEntriesMessage

/** The slots that the two owners compare: see lib/anti-entropy/shared-slots.ts. */
export interface RepairScope {
  /** The asker's newest view. */
  readonly view: number
  readonly first: number
  readonly last: number
  readonly digest: number
}

/** From another owner. */
export interface RepairRequest extends RepairScope {
  readonly from: Link
}

/** Replies with the nodes whose sums differ here. */
export interface RepairCompareMessage extends RepairRequest {
  readonly type: 'repair-compare'
  readonly level: number
  readonly sums: readonly NodeSum[]
  readonly reply: Reply<readonly number[]>
}

/** Replies with the entries that the asker lacks, and with the positions at which this owner lacks one. */
export interface RepairVersionsMessage extends RepairRequest {
  readonly type: 'repair-versions'
  readonly listed: readonly ListedSlot[]
  /** The parts of its first and of its last slot that the list covers. */
  readonly start: Position | undefined
  readonly end: Position | undefined
  readonly reply: Reply<RepairFinding>
}

/** Entries that this owner lacked; replies when they are on disk. */
export interface RepairEntriesMessage extends RepairRequest {
  readonly type: 'repair-entries'
  readonly entries: readonly StoredEntry[]
  readonly reply: Reply<undefined>
}

export interface VersionList {
  readonly list: Bytes
  readonly crc: number
  /** Where the list ends, when it had no room for all slots. */
  readonly end: Position | undefined
}

export interface RepairFinding extends Block {
  /** How many entries are in the block. */
  readonly entries: number
  readonly wanted: readonly Position[]
  /** Where the answer ends, when it had no room for all of the list. */
  readonly reached: Position | undefined
}
