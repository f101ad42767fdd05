// How much a store holds: live entries, the bytes of keys and envelopes, and the sum of each slot. Counts itself: no
// walk over the store per question.
// Invariant: what the store held when it was opened, plus every change since; a snapshot and changes may be added in
// any order.
import type { Bytes } from '../bytes.js'
import { ENVELOPE_BYTES_MIN, isTombstone, versionOf } from '../entry/envelope.js'
import { SlotSums } from '../entry/fingerprint.js'
import { slotOfDataKey, slotScan } from '../entry/keys.js'
import { goneAtMs } from '../entry/purge-fences.js'
import { MiB } from '../limits.js'
import { SLOTS } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'

export interface Totals {
  /** Without tombstones. */
  readonly entries: number
  readonly bytes: number
}

export class Tally {
  #entries = 0
  #bytes = 0
  #isComplete = false
  #sums = new SlotSums()
  /** Per slot: when the first of its entries is gone, in ms since the epoch, or earlier; Infinity: none ever is. */
  #goneAt = new Float64Array(SLOTS).fill(Number.POSITIVE_INFINITY)
  /** Which counting of the whole store is under way. */
  #round = 0

  /** Everything that the store held when it was opened is counted. */
  get isComplete(): boolean {
    return this.#isComplete
  }

  /** Right when `isComplete`. */
  get sums(): SlotSums {
    return this.#sums
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

  looked(slot: number, goneAtMs: number): void {
    this.#goneAt[slot] = Math.min(this.#goneAt[slot]!, goneAtMs)
  }

  #count(stored: Bytes, envelope: Bytes, sign: 1 | -1): void {
    if (envelope.length < ENVELOPE_BYTES_MIN) return
    const goneAt = sign === 1 ? goneAtMs(envelope) : undefined
    if (goneAt !== undefined) this.looked(slotOfDataKey(stored), goneAt)
    this.#entries += isTombstone(envelope) ? 0 : sign
    this.#bytes += sign * (stored.length + envelope.length)
    this.#sums.change(stored, versionOf(envelope), sign)
  }

  /**
   * Begins anew, and counts what is there now in the background. Call it before the first change, or while nothing is
   * written. Throws when the store is closed or reopened meanwhile: then what was counted is worth nothing.
   */
  async countAll(store: GuardedStore): Promise<void> {
    const round = ++this.#round
    this.#entries = 0
    this.#bytes = 0
    this.#sums = new SlotSums()
    this.#goneAt.fill(Number.POSITIVE_INFINITY)
    const scan = store.scan(slotScan(0, SLOTS - 1))
    try {
      for (;;) {
        const found = await scan.next(MiB)
        if (round !== this.#round) return
        if (found.length === 0) break
        for (const [stored, envelope] of found) this.change(stored, undefined, envelope)
      }
      this.#isComplete = true
    } finally {
      await scan.close()
    }
  }
}
