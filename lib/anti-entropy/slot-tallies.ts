// What one owner holds of some slots, as it tells others: the sum of each slot, and the bytes of its entries. Pure.

import { asBuffer, type Bytes } from '../bytes.js'
import { readU32, readU48, U48_MAX, writeU48 } from '../entry/integers.js'
import { RingdError } from '../errors.js'
import { SLOT_SUM_BYTES, type SlotSums } from './slot-sums.js'

/** Bytes of the tally of one slot: its sum, then the bytes of its stored keys and envelopes as u48. */
export const SLOT_TALLY_BYTES = SLOT_SUM_BYTES + 6

/** The tallies of these slots, one after the other. `bytesIn`: the bytes that the entries of a slot take. */
export function encodeTallies(slots: readonly number[], sums: SlotSums, bytesIn: (slot: number) => number): Bytes {
  const sumsOfAll = sums.encode(slots)
  const bytes = new Uint8Array(slots.length * SLOT_TALLY_BYTES)
  slots.forEach((slot, index) => {
    const at = index * SLOT_TALLY_BYTES
    bytes.set(sumsOfAll.subarray(index * SLOT_SUM_BYTES, (index + 1) * SLOT_SUM_BYTES), at)
    writeU48(bytes, at + SLOT_SUM_BYTES, Math.min(U48_MAX, Math.max(0, bytesIn(slot))))
  })
  return bytes
}

/** The answer of one owner for the slots that it was asked for. Keeps the bytes that it is given. */
export class SlotTallies {
  readonly slots: readonly number[]
  readonly #bytes: Bytes

  /** `slots` in the order of the question. Throws BAD_MESSAGE when the bytes are not those of so many slots. */
  constructor(slots: readonly number[], bytes: Bytes) {
    if (bytes.length !== slots.length * SLOT_TALLY_BYTES) {
      throw new RingdError('BAD_MESSAGE', `${bytes.length} bytes are no tallies of ${slots.length} slots`)
    }
    this.slots = slots
    this.#bytes = bytes
  }

  /** Entries of the slot at this index of `slots`, tombstones included. */
  entries(index: number): number {
    return readU32(this.#bytes, index * SLOT_TALLY_BYTES)
  }

  /** Bytes of its stored keys and envelopes. */
  bytes(index: number): number {
    return readU48(this.#bytes, index * SLOT_TALLY_BYTES + SLOT_SUM_BYTES)
  }

  /** Its sum (lib/anti-entropy/slot-sums.ts): equal sets of entries have equal texts. */
  sum(index: number): string {
    const at = index * SLOT_TALLY_BYTES
    return asBuffer(this.#bytes.subarray(at, at + SLOT_SUM_BYTES)).toString('latin1')
  }
}
