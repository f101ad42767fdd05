// Slot statistics: how many entries a store holds, their bytes, the additive sum of each slot, and since when a slot
// may hold an absent entry. Kept up with every write, so that no question costs a walk over the store.
// Invariant: the statistics are what the store held when it was opened, plus every change since. Sums are additive, so
// the counting of a snapshot and later changes may be added in any order.

import { SlotSums } from '../../anti-entropy/slot-sums.js'
import { ENVELOPE_BYTES_MIN, type Envelope, isTombstone, versionMsOf, versionOf } from '../../entry/envelope.js'
import { type StoredKey, slotOfDataKey, slotScan } from '../../entry/keys.js'
import { absentSinceMs } from '../../entry/purge-bounds.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import { SLOTS } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { Totals } from './replica-messages.js'
import { SlotRoom } from './slot-room.js'
import { entryChunks } from './stored-entries.js'

/** Counts what the store holds, slot by slot. */
export class SlotStats {
  #entries = 0
  #bytes = 0
  #isComplete = false
  /** Right only when `isComplete`. */
  readonly room = new SlotRoom()
  /** Right only when `isComplete`. */
  readonly sums = new SlotSums()
  /**
   * Per slot: the moment when the first of its entries becomes absent, or an earlier one, in ms since the epoch.
   * Infinity: no entry of the slot ever becomes absent.
   */
  readonly #absentSince = new Float64Array(SLOTS).fill(Number.POSITIVE_INFINITY)
  /** The fresh sums of recounts under way: each change is added to them, too. */
  readonly #recounts = new Set<SlotSums>()
  /** Per slot: the size of the largest entry that was ever counted in it. */
  readonly #largest = new Uint32Array(SLOTS)
  #newestMs = 0
  /** How often `countAll` has begun. An older count stops when it sees a newer one. */
  #counting = 0

  /** Everything that the store held when it was opened is counted. */
  get isComplete(): boolean {
    return this.#isComplete
  }

  get totals(): Totals {
    return { entries: this.#entries, bytes: this.#bytes }
  }

  /** The entry `before` was replaced by `after` under the stored key; undefined: no entry. */
  change(storedKey: StoredKey, before: Envelope | undefined, after: Envelope | undefined): void {
    if (before !== undefined) this.#count(storedKey, before, -1)
    if (after !== undefined) this.#count(storedKey, after, 1)
    this.room.change(slotOfDataKey(storedKey), sizeOf(storedKey, before), sizeOf(storedKey, after))
  }

  /** No entry that the last count has found lies after this moment, ms. Infinity while the store is being counted. */
  get newestMs(): number {
    return this.#isComplete ? this.#newestMs : Number.POSITIVE_INFINITY
  }

  /** No entry of the slot is larger than this. Infinity while the store is being counted. */
  largestIn(slot: number): number {
    return this.#isComplete ? this.#largest[slot]! : Number.POSITIVE_INFINITY
  }

  /** Slots that may hold an entry that was absent before `ms` since the epoch. */
  slotsAbsentBefore(ms: number): readonly number[] {
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) if (this.#absentSince[slot]! < ms) slots.push(slot)
    return slots
  }

  /** A scan of the whole slot begins. Changes from now on are counted; `endScan` adds what the scan saw. */
  beginScan(slot: number): void {
    this.#absentSince[slot] = Number.POSITIVE_INFINITY
  }

  /** `absentSince`: the earliest moment among the entries that the scan saw; 0 when the scan failed. */
  endScan(slot: number, absentSince: number): void {
    this.#lower(slot, absentSince)
  }

  #lower(slot: number, absentSince: number): void {
    this.#absentSince[slot] = Math.min(this.#absentSince[slot]!, absentSince)
  }

  #count(storedKey: StoredKey, envelope: Envelope, sign: 1 | -1): void {
    if (envelope.length < ENVELOPE_BYTES_MIN) return
    if (sign === 1) this.#added(slotOfDataKey(storedKey), envelope)
    this.#entries += isTombstone(envelope) ? 0 : sign
    this.#bytes += sign * (storedKey.length + envelope.length)
    this.sums.change(storedKey, versionOf(envelope), sign)
    for (const fresh of this.#recounts) addTo(fresh, storedKey, envelope, sign)
  }

  #added(slot: number, envelope: Envelope): void {
    const absentSince = absentSinceMs(envelope)
    if (absentSince !== undefined) this.#lower(slot, absentSince)
    if (envelope.length > this.#largest[slot]!) this.#largest[slot] = envelope.length
  }

  /**
   * Counts these slots anew. Needed when an entry was damaged on disk after it was counted: what was added for it can
   * never be subtracted. Begin it while no batch is being written.
   */
  async recount(store: GuardedStore, slots: readonly number[]): Promise<void> {
    const fresh = new SlotSums()
    // All scans are opened now, so that they see the store of one moment.
    const scans = slots.map((slot) => store.scan(slotScan(slot, slot)))
    this.#recounts.add(fresh)
    try {
      for (const scan of scans) {
        for await (const chunk of entryChunks(scan, MiB)) {
          for (const [storedKey, envelope] of chunk) addTo(fresh, storedKey, envelope, 1)
        }
      }
      if (this.#recounts.has(fresh)) for (const slot of slots) this.sums.replace(slot, fresh)
    } finally {
      this.#recounts.delete(fresh)
      for (const scan of scans) await scan.close()
    }
  }

  /**
   * Counts the whole store in the background, and forgets what was counted before. Call it before the first change, or
   * while no batch is being written: after a failed batch, which may be on disk nevertheless.
   */
  async countAll(store: GuardedStore): Promise<void> {
    const turn = ++this.#counting
    this.#isComplete = false
    this.#newestMs = 0
    this.#entries = 0
    this.#bytes = 0
    this.sums.clear()
    this.room.clear()
    this.#largest.fill(0)
    this.#recounts.clear()
    this.#absentSince.fill(Number.POSITIVE_INFINITY)
    for await (const chunk of entryChunks(store.scan(slotScan(0, SLOTS - 1)), MiB)) {
      if (turn !== this.#counting) return
      for (const [storedKey, envelope] of chunk) {
        this.change(storedKey, undefined, envelope)
        if (envelope.length >= ENVELOPE_BYTES_MIN) this.#newestMs = Math.max(this.#newestMs, versionMsOf(envelope))
      }
    }
    if (turn === this.#counting) this.#isComplete = true
  }
}

/** The answer to a question about sums or slots while `SlotStats.isComplete` is false. */
export function notCounted(): RingdError {
  return new RingdError('NOT_SERVING', 'the store is being counted')
}

function addTo(sums: SlotSums, storedKey: StoredKey, envelope: Envelope, sign: 1 | -1): void {
  if (envelope.length >= ENVELOPE_BYTES_MIN) sums.change(storedKey, versionOf(envelope), sign)
}

function sizeOf(storedKey: StoredKey, envelope: Envelope | undefined): number {
  return envelope === undefined ? 0 : storedKey.length + envelope.length
}
