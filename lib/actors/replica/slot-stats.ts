// How much a store holds: live entries, the bytes of keys and envelopes, and the sum of each slot. Counts itself: no
// walk over the store per question.
// Invariant: what the store held when it was opened, plus every change since; a snapshot and changes may be added in
// any order.

import { SlotSums } from '../../anti-entropy/slot-sums.js'
import type { Bytes } from '../../bytes.js'
import { ENVELOPE_BYTES_MIN, isTombstone, versionOf, type Envelope } from '../../entry/envelope.js'
import { slotOfDataKey, slotScan } from '../../entry/keys.js'
import { absentSinceMs } from '../../entry/purge-bounds.js'
import { MiB } from '../../limits.js'
import { SLOTS } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'

export interface Totals {
  /** Without tombstones. */
  readonly entries: number
  readonly bytes: number
}

export class SlotStats {
  #entries = 0
  #bytes = 0
  #isComplete = false
  /** Right when `isComplete`. */
  readonly sums = new SlotSums()
  /** Per slot: when the first of its entries is gone, in ms since the epoch, or earlier; Infinity: none ever is. */
  readonly #goneAt = new Float64Array(SLOTS).fill(Number.POSITIVE_INFINITY)
  /** Sums that are being counted anew. */
  readonly #recounts = new Set<SlotSums>()
  /** How often counting began. */
  #counting = 0

  /** Everything that the store held when it was opened is counted. */
  get isComplete(): boolean {
    return this.#isComplete
  }

  get totals(): Totals {
    return { entries: this.#entries, bytes: this.#bytes }
  }

  /** `before` has given way to `after` under the stored key; undefined: nothing there. */
  change(stored: Bytes, before: Bytes | undefined, after: Bytes | undefined): void {
    if (before !== undefined) this.#count(stored, before, -1)
    if (after !== undefined) this.#count(stored, after, 1)
  }

  /** Slots that may hold what was gone before `ms` since the epoch. */
  slotsGoneBefore(ms: number): readonly number[] {
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) if (this.#goneAt[slot]! < ms) slots.push(slot)
    return slots
  }

  /** Somebody is about to look at all of the slot: what comes meanwhile counts, `looked` says what was there. */
  lookAt(slot: number): void {
    this.#goneAt[slot] = Number.POSITIVE_INFINITY
  }

  looked(slot: number, absentSinceMs: number): void {
    this.#goneAt[slot] = Math.min(this.#goneAt[slot]!, absentSinceMs)
  }

  #count(stored: Bytes, envelope: Envelope, sign: 1 | -1): void {
    if (envelope.length < ENVELOPE_BYTES_MIN) return
    const goneAt = sign === 1 ? absentSinceMs(envelope) : undefined
    if (goneAt !== undefined) this.looked(slotOfDataKey(stored), goneAt)
    this.#entries += isTombstone(envelope) ? 0 : sign
    this.#bytes += sign * (stored.length + envelope.length)
    this.sums.change(stored, versionOf(envelope), sign)
    for (const fresh of this.#recounts) addTo(fresh, stored, envelope, sign)
  }

  /**
   * Counts these slots anew, since what was counted of an entry that rotted later is never taken back. Begin it while
   * no batch is being written.
   */
  async recount(store: GuardedStore, slots: readonly number[]): Promise<void> {
    const fresh = new SlotSums()
    const scans = slots.map((slot) => store.scan(slotScan(slot, slot)))
    this.#recounts.add(fresh)
    try {
      for (const scan of scans) {
        for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
          for (const [stored, envelope] of found) addTo(fresh, stored, envelope, 1)
        }
      }
      if (this.#recounts.has(fresh)) for (const slot of slots) this.sums.replace(slot, fresh)
    } finally {
      this.#recounts.delete(fresh)
      for (const scan of scans) await scan.close()
    }
  }

  /**
   * Counts what is there now, in the background, and forgets what was counted before. Call it before the first change,
   * or while no batch is being written: after a failed one, which may be on the disk all the same.
   */
  async countAll(store: GuardedStore): Promise<void> {
    const turn = ++this.#counting
    this.#isComplete = false
    this.#entries = 0
    this.#bytes = 0
    this.sums.clear()
    this.#recounts.clear()
    this.#goneAt.fill(Number.POSITIVE_INFINITY)
    const scan = store.scan(slotScan(0, SLOTS - 1))
    try {
      for (;;) {
        const found = await scan.next(MiB)
        if (turn !== this.#counting) return
        if (found.length === 0) break
        for (const [stored, envelope] of found) this.change(stored, undefined, envelope)
      }
      this.#isComplete = true
    } finally {
      await scan.close()
    }
  }
}

function addTo(sums: SlotSums, stored: Bytes, envelope: Envelope, sign: 1 | -1): void {
  if (envelope.length >= ENVELOPE_BYTES_MIN) sums.change(stored, versionOf(envelope), sign)
}
