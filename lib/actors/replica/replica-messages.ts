// The messages of the replica, from this peer's own actors and for other peers. Shapes only.

import type { Bytes } from '../../bytes.js'
import type { Block, BlockTally, BlockVersion, FetchedBlock, StoredEntry } from '../../entry/block.js'
import type { Envelope } from '../../entry/envelope.js'
import type { StoredKey } from '../../entry/keys.js'
import type { SlotBounds } from '../../entry/purge-bounds.js'
import type { OwnerAnswer, Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { WriteRefusal } from '../../entry/write-rule.js'
import type { Link } from '../../network/network.js'
import type { Run } from '../../ring/runs.js'
import type { SlotRange } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { StoreWrite } from '../../storage/store.js'
import type { RingView } from '../../views/ring-view.js'
import type { RepairReplicaMessage } from './repair-messages.js'

export type ReplicaMessage =
  /** A newer view of the ring: the fence works by it from now on. */
  | { readonly type: 'view'; readonly view: RingView }
  | ReadMessage
  | WriteMessage
  | PrepareMessage
  | PullMessage
  | SnapshotMessage
  | FetchMessage
  /** Records of other actors; on disk when it replies. */
  | { readonly type: 'persist'; readonly writes: readonly MetaWrite[]; readonly reply: Reply<undefined> }
  /** Hints; on disk when it replies. Refused like entries when space is short or the disk is behind. */
  | { readonly type: 'keep'; readonly writes: readonly StoreWrite[]; readonly reply: Reply<undefined> }
  /** These slots, and no others, are going to be pulled. What is stored of them by others since then is remembered. */
  | { readonly type: 'watch'; readonly slots: readonly number[]; readonly reply: Reply<undefined> }
  /** A pull of these slots begins; replies which of them held nothing. It must be ended. */
  | { readonly type: 'begin-pull'; readonly slots: readonly number[]; readonly reply: Reply<FreshPull> }
  | { readonly type: 'end-pull'; readonly pull: FreshPull }
  /** Entries that a pull brought: merged by version, on disk when it replies. No fence: versions make it safe. */
  | {
      readonly type: 'merge'
      readonly entries: readonly StoredEntry[]
      /** The pull that brings them; left out: every key is looked for. */
      readonly pull?: FreshPull | undefined
      /** The promises because of which entries were not taken. */
      readonly reply: Reply<readonly StandingPromise[]>
    }
  /** Everything that a pull of these slots needs has come. Replies with the keys that still lack what is due. */
  | PulledMessage
  /** Which of these versions are newer than what is stored here; replies with their stored keys. */
  | { readonly type: 'missing'; readonly versions: readonly BlockVersion[]; readonly reply: Reply<readonly Bytes[]> }
  | CompareMessage
  | OfferMessage
  | CloseMessage
  | TallyMessage
  | InheritMessage
  /** Keys of clients whose promises have stood for at least so long: rounds were begun and not ended. */
  | {
      readonly type: 'promises'
      readonly olderThanMs: number
      readonly limit: number
      readonly reply: Reply<readonly Bytes[]>
    }
  /** Slots that may hold an entry absent since before that moment (ms since the epoch); NOT_SERVING while counting. */
  | { readonly type: 'absent'; readonly beforeMs: number; readonly reply: Reply<readonly number[]> }
  /** The sums of these slots (lib/anti-entropy/slot-sums.ts), or NOT_SERVING while the store is being counted. */
  | { readonly type: 'sums'; readonly slots: readonly number[]; readonly reply: Reply<Bytes> }
  /** Slots that hold entries and that others own, or NOT_SERVING while the store is being counted. */
  | { readonly type: 'surplus'; readonly reply: Reply<readonly number[]> }
  /** Releases slots whose owners hold everything, then deletes them; replies when nothing of them is left. */
  | {
      readonly type: 'release'
      readonly config: number
      readonly slots: readonly number[]
      readonly reply: Reply<undefined>
    }
  /** The resolution of the owners takes the place of an entry that is damaged, missing or denied here. */
  | { readonly type: 'heal'; readonly key: Bytes; readonly resolution: Resolution; readonly reply: Reply<undefined> }
  /** Replies when every entry of these slots is sound, with BAD_ENTRY otherwise. */
  /** Whether anything is stored in these slots. */
  | { readonly type: 'holds'; readonly ranges: readonly SlotRange[]; readonly reply: Reply<boolean> }
  /** Checks the entries behind this stored key, about `bytes` of them, and lets the damaged ones be healed. */
  | {
      readonly type: 'scrub'
      readonly after: Bytes | undefined
      readonly bytes: number
      readonly reply: Reply<ScrubbedStretch>
    }
  | RepairReplicaMessage

/** One pull, and those of its slots of which nothing was stored when it was known to come. */
export interface FreshPull {
  readonly slots: ReadonlySet<number>
}

export interface Totals {
  /** Without tombstones. */
  readonly entries: number
  /** Of stored keys and envelopes, tombstones included. */
  readonly bytes: number
}

export interface ScrubbedStretch {
  readonly entries: number
  readonly bytes: number
  readonly damaged: number
  /** The last stored key that was checked; undefined: there was none left. */
  readonly reached: Bytes | undefined
}

export interface ReadMessage {
  readonly type: 'read'
  /** The number of the newest view that the router knows. */
  readonly view: number
  /** The peer of the router; undefined for this peer's own router. */
  readonly from: Link | undefined
  readonly key: Bytes
  /** A larger envelope is answered with ValueLarger; undefined: none is. */
  readonly bytesMax?: number | undefined
  readonly reply: Reply<ReadResult>
  /** False: a read that had to wait need not be made any more: OVERLOADED answers it. Left out: it is made. */
  readonly isWanted?: (() => boolean) | undefined
}

/** The stored envelope, or nothing; with the closed bound when this owner confirms or denies older entries by it. */
export type ReadResult = Envelope | OwnerAnswer | undefined

export interface WriteMessage {
  readonly type: 'write'
  readonly view: number
  readonly from: Link | undefined
  readonly key: Bytes
  readonly envelope: Envelope
  /** Read repair: an owner holds this entry already, so it is no new write. */
  readonly repair?: boolean | undefined
  /** The bound below which owners that hold it have closed the slot, s since the epoch; none: no owner confirms it. */
  readonly confirmedBelow?: number | undefined
  readonly reply: Reply<WriteResult>
}

/**
 * Why nothing was written; undefined: the entry is on disk. `newer` is the version that is stored, or the one that a
 * write of a client must exceed because the slot is closed up to it.
 */
export type WriteResult = WriteRefusal | undefined

/** A round asks this owner to let nothing below the ballot enter under the key any more, and what it holds. */
export interface PrepareMessage {
  readonly type: 'prepare'
  readonly view: number
  readonly from: Link | undefined
  readonly key: Bytes
  readonly ballot: Version
  /** The first versions of the operations that the router wants to know of; at most ORIGINS_MAX (lib/limits.ts). */
  readonly origins: readonly Version[]
  /** A larger envelope is answered with ValueLarger, and nothing is promised; undefined: none is. */
  readonly bytesMax?: number | undefined
  readonly reply: Reply<PrepareResult>
}

export type PrepareResult = BallotPromised | BallotRefused

/** The promise is on disk. The answer of a read, and for each origin what this owner holds and had of it. */
export interface BallotPromised extends OwnerAnswer {
  readonly tellings: readonly Telling[]
}

/** The ballot must be above this: an entry, a promise, or what the purge of the slot keeps out. */
export interface BallotRefused {
  readonly refusedBy: Version
}

/** What an owner knows of one operation. */
export interface Telling {
  /** The versions of its entry that the owner holds or had. */
  readonly versions: readonly ToldVersion[]
  /** It may have had others: they lie too far back for its memory. */
  readonly isUnknown: boolean
}

export interface ToldVersion {
  readonly version: Version
  /** Somebody may have seen it here. True for the entry that it holds. */
  readonly isShown: boolean
}

export interface PullMessage {
  readonly type: 'pull'
  readonly view: number
  /** Undefined for this peer's own handoff, which also reads slots that it has released. */
  readonly from: Link | undefined
  readonly config: number
  readonly ranges: readonly SlotRange[]
  readonly after: Bytes | undefined
  readonly versionsOnly: boolean
  readonly reply: Reply<PulledBlock>
}

/** A member begins to pull: what it asks for is to be read as of now or later. */
export interface SnapshotMessage {
  readonly type: 'snapshot'
  readonly view: number
  readonly from: Link
  readonly config: number
  readonly ranges: readonly SlotRange[]
  /** The sums of the slots are wanted: NOT_SERVING while the store is being counted. */
  readonly withSums: boolean
  /** The promises are wanted. */
  readonly withPromises?: boolean | undefined
  readonly reply: Reply<SourceSnapshot>
}

/** What a source serves to one ask of a puller. Every write that was acknowledged before the config is in it. */
export interface SourceSnapshot {
  /** This member is ready for the config in every slot of the ranges. */
  readonly ready: boolean
  /** The purge bounds of the ranges, as runs. */
  readonly closing: readonly Run[]
  readonly closed: readonly Run[]
  /** Of the slots of the ranges, in their order; empty unless they were wanted. */
  readonly sums: Bytes
  /** Of keys in the slots, in the order of stored keys; empty unless they were wanted. */
  readonly promises: readonly StandingPromise[]
  /**
   * Blocks of the entries behind the stored key `after`, each of at most `bytesMax` or of one entry. Throws BAD_ENTRY
   * for a damaged one, NOT_OWNER when the slots were released meanwhile, STORE_FAILED.
   */
  entries(after: Bytes | undefined, bytesMax: number): AsyncGenerator<TakenBlock>
  /** One block of versions behind `after`. Throws as `entries`. */
  versions(after: Bytes | undefined): Promise<TakenBlock & { readonly last: boolean }>
}

/** The promise of an owner for one key. */
export interface StandingPromise {
  readonly storedKey: StoredKey
  readonly ballot: Version
}

/**
 * A pull has merged all that its sources sent. The member may count as ready when it holds, for each key in `due`, that
 * version or a newer one. Then it forgets what it had in the slots before.
 */
export interface PulledMessage {
  readonly type: 'pulled'
  readonly slots: readonly number[]
  readonly due: readonly StandingPromise[]
  /** Keys of clients that lack what is due; at most LACKING_MAX of them. None: the member may count as ready. */
  readonly reply: Reply<readonly Bytes[]>
}

export const LACKING_MAX = 256

export interface TakenBlock extends BlockTally {
  readonly block: Bytes
}

export interface FetchMessage {
  readonly type: 'fetch'
  readonly view: number
  /** As in PullMessage. */
  readonly from: Link | undefined
  readonly config: number
  /** Stored keys. */
  readonly keys: readonly Bytes[]
  readonly reply: Reply<FetchedBlock>
}

/** The sums of this owner, asked by a former owner that is about to release the slots. */
export interface CompareMessage {
  readonly type: 'compare'
  readonly view: number
  readonly from: Link
  readonly config: number
  readonly slots: readonly number[]
  readonly reply: Reply<Bytes>
}

/** What this owner holds of the slots (lib/anti-entropy/slot-tallies.ts), asked for a report or a comparison. */
export interface TallyMessage {
  readonly type: 'tally'
  readonly view: number
  /** Undefined for this peer itself. */
  readonly from: Link | undefined
  readonly slots: readonly number[]
  readonly reply: Reply<Bytes>
}

/** The answer of an owner to `prepare`, for the slots of a `CloseMessage` in their order; see Closed in wire.proto. */
export interface ClosedSlots {
  readonly sums: Bytes
  readonly closed: Bytes
}

/** The steps of a purge at one owner (purge-participant.ts); a step's index is its number on the wire. */
export const PURGE_STEPS = ['prepare', 'commit', 'catch-up', 'abort'] as const
export type PurgeStep = (typeof PURGE_STEPS)[number]

/** One step of closing slots below a moment (lib/actors/replica/purge-participant.ts). */
export interface CloseMessage {
  readonly type: 'close'
  readonly view: number
  readonly from: Link | undefined
  readonly config: number
  readonly slots: readonly number[]
  /** Seconds since the epoch. */
  readonly before: number
  readonly step: PurgeStep
  readonly reply: Reply<ClosedSlots>
}

/**
 * A transfer is about to take these slots from a source with those bounds; the replica takes the bounds over first.
 * Replies with the slots of which nothing older than the given second may be taken from the source.
 */
export interface InheritMessage {
  readonly type: 'inherit'
  readonly slots: readonly number[]
  readonly theirs: SlotBounds
  readonly reply: Reply<ReadonlyMap<number, number>>
}

/** The entries of a former owner that is about to release slots; replies with the stored keys that are missing here. */
export interface OfferMessage {
  readonly type: 'offer'
  readonly view: number
  readonly from: Link
  readonly config: number
  /** Versions, to find the lacking entries; or entries, to be merged. One of the two lists is empty. */
  readonly versions: readonly BlockVersion[]
  readonly entries: readonly StoredEntry[]
  readonly reply: Reply<readonly Bytes[]>
}

export interface PulledBlock extends Block {
  readonly last: boolean
  readonly ready: boolean
  /** In the first block: the purge bounds of the ranges, as runs. */
  readonly closing: readonly Run[]
  readonly closed: readonly Run[]
}
