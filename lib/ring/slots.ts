// The slot of a key, and ranges of slots. Owns the number of slots, the hash and the hash tag rule. Pure.
// Must give exactly the slots of Redis Cluster, because cluster-aware clients compute them too.
// Source: Redis Cluster specification, "Key distribution model" and "Hash tags" (CRC16-CCITT, XMODEM variant).
import { RingdError } from '../errors.js'

export const SLOTS = 16384

/** The neighbouring slots `first`..`last`, both included; 0 <= first <= last < SLOTS. Never wraps around. */
export interface SlotRange {
  readonly first: number
  readonly last: number
}

const POLYNOMIAL = 0x1021
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

const CRC_TABLE = crcTable()

/**
 * The slot of a key, 0..SLOTS-1: CRC16 of its hash tag, or of the whole key when it has none, modulo SLOTS.
 * The hash tag is the text between the first `{` and the first `}` after it, unless that text is empty.
 * Any bytes are a key, also zero bytes. O(length), no allocation.
 */
export function slotOf(key: Uint8Array): number {
  const open = key.indexOf(OPEN_BRACE)
  if (open === -1) return crc16(key, 0, key.length) & (SLOTS - 1)
  const close = key.indexOf(CLOSE_BRACE, open + 1)
  // After an empty tag no other tag counts: `foo{}{bar}` is hashed whole.
  if (close === -1 || close === open + 1) return crc16(key, 0, key.length) & (SLOTS - 1)
  return crc16(key, open + 1, close) & (SLOTS - 1)
}

/** All slots of the ranges, in their order. */
export function slotsOf(ranges: readonly SlotRange[]): number[] {
  return ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, index) => first + index))
}

/** The longest ranges that hold exactly these slots. `slots` ascends. */
export function rangesOf(slots: readonly number[]): SlotRange[] {
  const ranges: { first: number; last: number }[] = []
  for (const slot of slots) {
    const last = ranges[ranges.length - 1]
    if (last !== undefined && last.last === slot - 1) last.last = slot
    else ranges.push({ first: slot, last: slot })
  }
  return ranges
}

/** For ranges that come from another process. Throws BAD_REQUEST unless they ascend within the slots. */
export function checkRanges(ranges: readonly SlotRange[]): void {
  let free = 0
  for (const { first, last } of ranges) {
    if (first < free || last < first || last >= SLOTS) throw new RingdError('BAD_REQUEST', 'ranges are ascending slots')
    free = last + 1
  }
}

function crc16(bytes: Uint8Array, start: number, end: number): number {
  let crc = 0
  for (let at = start; at < end; at++) {
    crc = ((crc << 8) & 0xffff) ^ CRC_TABLE[(crc >> 8) ^ bytes[at]!]!
  }
  return crc
}

function crcTable(): Uint16Array {
  return Uint16Array.from({ length: 256 }, (_, byte) => {
    let crc = byte << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ POLYNOMIAL : crc << 1
    return crc & 0xffff
  })
}
