// The contents of each slot in 20 bytes: the number of entries, and the sum of their hashes. Pure.
// The sum is additive: entries may be added and removed in any order, and equal sets of entries have equal sums. It
// does not protect from chosen keys whose sums collide, because members do not lie.

import { readU16, readU32, writeU32 } from '../entry/integers.js'
import { SLOTS } from '../ring/slots.js'

/** Bytes of the sum of one slot: the count as u32, then four u32 lanes. */
export const SLOT_SUM_BYTES = 20

const LANES = 4
export const SLOT_SUM_WORDS = 1 + LANES
const SLOT_AT = 1
const HASH_AT = 3
const VERSION_WORDS = 4
const SEEDS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f] as const
const FACTORS = [0xcc9e2d51, 0x1b873593, 0xe6546b65, 0x2545f491] as const

/** The sums of all slots of a store, updated with each change. */
export class SlotSums {
  readonly #counts = new Uint32Array(SLOTS)
  readonly #lanes = new Uint32Array(SLOTS * LANES)

  /** Adds (`sign` 1) or takes away (-1) the entry with this stored key (lib/entry/keys.ts) and version. O(1). */
  change(stored: Uint8Array, version: Uint8Array, sign: 1 | -1): void {
    const slot = readU16(stored, SLOT_AT)
    this.#counts[slot]! += sign
    const high = readU32(stored, HASH_AT)
    const low = readU32(stored, HASH_AT + 4)
    for (let lane = 0; lane < LANES; lane++) {
      let mixed = stir(stir(SEEDS[lane]!, high, lane), low, lane)
      for (let word = 0; word < VERSION_WORDS; word++) mixed = stir(mixed, readU32(version, word * 4), lane)
      this.#lanes[slot * LANES + lane]! += sign * finalized(mixed)
    }
  }

  count(slot: number): number {
    return this.#counts[slot]!
  }

  /** Adds the sum of a slot to `total`: the count, then the lanes, as SLOT_SUM_WORDS words that wrap around. */
  addTo(total: Uint32Array, slot: number): void {
    total[0]! += this.#counts[slot]!
    for (let lane = 0; lane < LANES; lane++) total[1 + lane]! += this.#lanes[slot * LANES + lane]!
  }

  /** Sets all sums to those of an empty store. */
  clear(): void {
    this.#counts.fill(0)
    this.#lanes.fill(0)
  }

  /** Replaces the sum of a slot with the sum in `from`. */
  replace(slot: number, from: SlotSums): void {
    this.#counts[slot] = from.#counts[slot]!
    for (let lane = 0; lane < LANES; lane++) this.#lanes[slot * LANES + lane] = from.#lanes[slot * LANES + lane]!
  }

  /** The sums of these slots, one after the other. */
  encode(slots: readonly number[]): Uint8Array {
    const bytes = new Uint8Array(slots.length * SLOT_SUM_BYTES)
    slots.forEach((slot, index) => {
      const at = index * SLOT_SUM_BYTES
      writeU32(bytes, at, this.#counts[slot]!)
      for (let lane = 0; lane < LANES; lane++) writeU32(bytes, at + 4 + lane * 4, this.#lanes[slot * LANES + lane]!)
    })
    return bytes
  }
}

/** One round of MurmurHash3 (Appleby, 2011). */
function stir(state: number, word: number, lane: number): number {
  let mixed = Math.imul(word, FACTORS[lane]!)
  mixed = Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
  const turned = state ^ mixed
  return (Math.imul((turned << 13) | (turned >>> 19), 5) + 0xe6546b64) | 0
}

/** The finalizer of MurmurHash3: each bit of the input affects each bit of the result. */
function finalized(state: number): number {
  let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
