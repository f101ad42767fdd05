// The messages of the replica, from this peer's own actors and on behalf of other peers. Shapes only.

import type { Bytes } from '../../bytes.js'
import type { Block, BlockVersion, FetchedBlock, StoredEntry } from '../../entry/block.js'
import type { Envelope } from '../../entry/envelope.js'
import type { SlotBounds } from '../../entry/purge-bounds.js'
import type { OwnerAnswer, Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { PeerId } from '../../member.js'
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
  | PullMessage
  | FetchMessage
  /** Writes records of other actors; on disk when it replies. */
  | { readonly type: 'persist'; readonly writes: readonly MetaWrite[]; readonly reply: Reply<undefined> }
  /** Writes hints; on disk when it replies. They are refused, like entries, when space is short or too much waits. */
  | { readonly type: 'keep'; readonly writes: readonly StoreWrite[]; readonly reply: Reply<undefined> }
  /** Merges entries of a transfer, by version; on disk when it replies. Needs no fence: versions make it safe. */
  | { readonly type: 'merge'; readonly entries: readonly StoredEntry[]; readonly reply: Reply<undefined> }
  /** Replies with the stored keys of those versions that are newer than the entry stored here. */
  | { readonly type: 'missing'; readonly versions: readonly BlockVersion[]; readonly reply: Reply<readonly Bytes[]> }
  | CompareMessage
  | OfferMessage
  | CloseMessage
  | InheritMessage
  /** Slots that may hold an entry absent before that moment (ms since the epoch); NOT_SERVING while it counts. */
  | { readonly type: 'absent'; readonly beforeMs: number; readonly reply: Reply<readonly number[]> }
  /** The sums of these slots (lib/anti-entropy/slot-sums.ts); NOT_SERVING while the store is being counted. */
  | { readonly type: 'sums'; readonly slots: readonly number[]; readonly reply: Reply<Bytes> }
  /** Slots that hold entries here and that only others own; NOT_SERVING while the store is being counted. */
  | { readonly type: 'surplus'; readonly reply: Reply<readonly number[]> }
  /** Releases slots, then deletes their entries; replies when nothing of them is left. */
  | {
      readonly type: 'release'
      readonly config: number
      readonly slots: readonly number[]
      readonly reply: Reply<undefined>
    }
  /** Puts the owners' resolution of a key in the place of an entry that is damaged, missing, or denied by them. */
  | { readonly type: 'heal'; readonly key: Bytes; readonly resolution: Resolution; readonly reply: Reply<undefined> }
  /** Replies when every entry of these slots is sound, with BAD_ENTRY otherwise. */
  | { readonly type: 'verify'; readonly ranges: readonly SlotRange[]; readonly reply: Reply<undefined> }
  /** Whether anything is stored in these slots. */
  | { readonly type: 'holds'; readonly ranges: readonly SlotRange[]; readonly reply: Reply<boolean> }
  /** Checks about `bytes` of entries behind this stored key, and lets the damaged ones be healed. */
  | {
      readonly type: 'scrub'
      readonly after: Bytes | undefined
      readonly bytes: number
      readonly reply: Reply<ScrubbedStretch>
    }
  | RepairReplicaMessage

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
  /** The last stored key that was checked; undefined: no entry was left. */
  readonly reached: Bytes | undefined
}

export interface ReadMessage {
  readonly type: 'read'
  /** The newest view that the router knows. */
  readonly view: number
  /** The router's peer; undefined for this peer's own router. */
  readonly from: PeerId | undefined
  readonly key: Bytes
  readonly reply: Reply<ReadResult>
}

/** The stored envelope, or none; with its purge bound when this owner confirms or denies entries below it. */
export type ReadResult = Envelope | OwnerAnswer | undefined

export interface WriteMessage {
  readonly type: 'write'
  readonly view: number
  readonly from: PeerId | undefined
  readonly key: Bytes
  readonly envelope: Envelope
  /** A read repair: an owner holds the entry, so it is not a new write. */
  readonly repair?: boolean | undefined
  /** The furthest purge bound of the owners that confirm the entry, s since the epoch; undefined: none confirms it. */
  readonly confirmedBelow?: number | undefined
  readonly reply: Reply<WriteResult>
}

/**
 * undefined: the write is on disk. Otherwise nothing was written: the version of a newer stored entry, or the version
 * that a write of this slot must exceed.
 */
export type WriteResult = Version | undefined

export interface PullMessage {
  readonly type: 'pull'
  readonly view: number
  /** Undefined for this peer's own handoff, which may also read released slots. */
  readonly from: PeerId | undefined
  readonly config: number
  readonly ranges: readonly SlotRange[]
  readonly after: Bytes | undefined
  readonly versionsOnly: boolean
  readonly reply: Reply<PulledBlock>
}

export interface FetchMessage {
  readonly type: 'fetch'
  readonly view: number
  /** As in PullMessage. */
  readonly from: PeerId | undefined
  readonly config: number
  /** Stored keys. */
  readonly keys: readonly Bytes[]
  readonly reply: Reply<FetchedBlock>
}

/** Replies with the sums of these slots. A former owner asks in its handoff. */
export interface CompareMessage {
  readonly type: 'compare'
  readonly view: number
  readonly from: PeerId
  readonly config: number
  readonly slots: readonly number[]
  readonly reply: Reply<Bytes>
}

/** For each slot of a `CloseMessage`, in its order: its sum, and its closed bound. See Closed in wire.proto. */
export interface ClosedSlots {
  readonly sums: Bytes
  readonly closed: Bytes
}

/** The steps of a purge at one owner (purge-participant.ts); a step's index is its number on the wire. */
export const PURGE_STEPS = ['prepare', 'commit', 'catch-up', 'abort'] as const
export type PurgeStep = (typeof PURGE_STEPS)[number]

/** One step of a purge: closes slots below a moment (lib/actors/replica/purge-participant.ts). */
export interface CloseMessage {
  readonly type: 'close'
  readonly view: number
  readonly from: PeerId | undefined
  readonly config: number
  readonly slots: readonly number[]
  /** The moment, in seconds since the epoch. */
  readonly before: number
  readonly step: PurgeStep
  readonly reply: Reply<ClosedSlots>
}

/**
 * Takes over the bounds of a source, before a transfer takes its entries. Replies with the slots of which the transfer
 * must ignore older entries of the source, each with the moment (seconds since the epoch).
 */
export interface InheritMessage {
  readonly type: 'inherit'
  readonly slots: readonly number[]
  readonly theirs: SlotBounds
  readonly reply: Reply<ReadonlyMap<number, number>>
}

/** Comes from a former owner in its handoff. Replies with the stored keys of those versions that this owner lacks. */
export interface OfferMessage {
  readonly type: 'offer'
  readonly view: number
  readonly from: PeerId
  readonly config: number
  /** Versions to compare, or entries to merge: one of the two lists is empty. */
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
