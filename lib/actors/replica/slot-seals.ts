// The seals of slots. While a slot is sealed below a moment, no entry below that moment enters it, except from a pull
// or in the place of a damaged one. So the sums that this member gave out in `prepare` stay true. The purge
// participant sets seals, and the entry writer obeys them. In memory only: a commit after a restart is refused, and the
// purge begins anew.
// Source: rule 13 of lib/views/README.md.
import type { Clock } from '../../clock.js'
import type { MemberId } from '../../member.js'
import { SLOTS } from '../../ring/slots.js'

/** A driver of a purge that needs longer than this between prepare and commit must begin anew. */
const SEAL_MS = 10_000

/** The member that had the slot sealed; '' for this one. */
export type Driver = MemberId | ''

/**
 * One seal for each slot: who set it, a moment (seconds since the epoch) and when the seal ends (this clock's elapsed
 * ms). A slot has one seal at a time; a later `seal` replaces it.
 */
export class SlotSeals {
  readonly #clock: Clock
  readonly #sealedBefore = new Uint32Array(SLOTS)
  readonly #sealedBy: Driver[] = new Array(SLOTS).fill('')
  /** 0: not sealed; Infinity: sealed until `limit`, `release` or `clear`. */
  readonly #sealedUntil = new Float64Array(SLOTS)

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The moment below which the slot is sealed now, in seconds since the epoch; 0: it is not sealed. */
  sealedBefore(slot: number): number {
    return this.#clock.elapsed() < this.#sealedUntil[slot]! ? this.#sealedBefore[slot]! : 0
  }

  /** Whether this driver has each of these slots sealed at exactly that moment. */
  areSealed(slots: readonly number[], before: number, by: Driver): boolean {
    return slots.every((slot) => this.#isSeal(slot, before, by) && this.#clock.elapsed() < this.#sealedUntil[slot]!)
  }

  /** any -> sealed, without an end */
  seal(slots: readonly number[], before: number, by: Driver): void {
    for (const slot of slots) {
      this.#sealedBy[slot] = by
      this.#sealedBefore[slot] = before
      this.#sealedUntil[slot] = Number.POSITIVE_INFINITY
    }
  }

  /** sealed at that moment -> sealed for SEAL_MS more */
  limit(slots: readonly number[], before: number, by: Driver): void {
    this.#endAt(slots, before, by, this.#clock.elapsed() + SEAL_MS)
  }

  /** sealed at that moment -> not sealed. Leaves seals of other moments and drivers alone. */
  release(slots: readonly number[], before: number, by: Driver): void {
    this.#endAt(slots, before, by, 0)
  }

  /** any -> not sealed */
  clear(slots: readonly number[]): void {
    for (const slot of slots) this.#sealedUntil[slot] = 0
  }

  #endAt(slots: readonly number[], before: number, by: Driver, until: number): void {
    for (const slot of slots) if (this.#isSeal(slot, before, by)) this.#sealedUntil[slot] = until
  }

  #isSeal(slot: number, before: number, by: Driver): boolean {
    return this.#sealedBefore[slot] === before && this.#sealedBy[slot] === by
  }
}
