// A set of slots, and its short form for the wire and the disk. Pure, but for the set itself, which its owner changes.
//
//   form u8 = 0 | ranges, ascending and not overlapping: first u16 | last u16       (big-endian)
//   form u8 = 1 | 2048 bytes: bit `slot & 7` of byte `slot >> 3`
//
// Invariant: the form has at most 2049 bytes, whatever the slots are. Bytes of another form are refused.

import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { rangesOf, SLOTS, type SlotRange } from './slots.js'

const RANGES = 0
const BITS = 1
const RANGE_BYTES = 4
const BITS_BYTES = SLOTS / 8
/** The longest form of a set. */
export const SLOT_SET_BYTES_MAX = 1 + BITS_BYTES

export class SlotSet {
  readonly #bits = new Uint8Array(BITS_BYTES)
  #size = 0

  get size(): number {
    return this.#size
  }

  has(slot: number): boolean {
    return (this.#bits[slot >> 3]! & (1 << (slot & 7))) !== 0
  }

  add(slots: Iterable<number>): void {
    for (const slot of slots) {
      if (this.has(slot)) continue
      this.#bits[slot >> 3] = this.#bits[slot >> 3]! | (1 << (slot & 7))
      this.#size += 1
    }
  }

  /** Ascending. O(SLOTS). */
  slots(): number[] {
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) if (this.has(slot)) slots.push(slot)
    return slots
  }

  ranges(): SlotRange[] {
    return rangesOf(this.slots())
  }

  encode(): Bytes {
    const ranges = this.ranges()
    if (ranges.length * RANGE_BYTES >= BITS_BYTES) return Buffer.concat([Uint8Array.of(BITS), this.#bits])
    const bytes = Buffer.alloc(1 + ranges.length * RANGE_BYTES)
    bytes[0] = RANGES
    ranges.forEach(({ first, last }, index) => {
      bytes.writeUInt16BE(first, 1 + index * RANGE_BYTES)
      bytes.writeUInt16BE(last, 3 + index * RANGE_BYTES)
    })
    return bytes
  }

  /** Throws BAD_MESSAGE for bytes that `encode` cannot have made. */
  static decode(bytes: Bytes): SlotSet {
    const set = new SlotSet()
    if (bytes.length > SLOT_SET_BYTES_MAX) throw new RingdError('BAD_MESSAGE', 'a set of slots is too long')
    if (bytes[0] === BITS && bytes.length === SLOT_SET_BYTES_MAX) {
      set.#bits.set(bytes.subarray(1))
      set.#size = set.slots().length
      return set
    }
    if (bytes[0] !== RANGES || bytes.length % RANGE_BYTES !== 1) {
      throw new RingdError('BAD_MESSAGE', 'a set of slots has an unknown form')
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let free = 0
    for (let at = 1; at < bytes.length; at += RANGE_BYTES) {
      const [first, last] = [view.getUint16(at), view.getUint16(at + 2)]
      if (first < free || last < first || last >= SLOTS) {
        throw new RingdError('BAD_MESSAGE', 'the ranges of a set of slots do not ascend')
      }
      for (let slot = first; slot <= last; slot++) set.add([slot])
      free = last + 1
    }
    return set
  }
}
