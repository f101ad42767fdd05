// CRC-32C as LevelDB stores it, eight bytes at a time, since whole stores are checked before they are opened. Pure.
// Source: Kounavis and Berry 2005 (slicing by 8); LevelDB, util/crc32c.h (the mask).
import type { Bytes } from '../bytes.js'

const CASTAGNOLI = 0x82f63b78
const MASK_DELTA = 0xa282ead8
const SLICES = 8

/** Slice n: the effect of a byte on the sum when n more bytes come after it. */
const TABLES: readonly Uint32Array[] = Array.from({ length: SLICES }, () => new Uint32Array(256))
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as readonly Uint32Array[] as [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array
]
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1
  T0[byte] = crc >>> 0
}
for (let slice = 1; slice < SLICES; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const crc = TABLES[slice - 1]![byte]!
    TABLES[slice]![byte] = ((crc >>> 8) ^ T0[crc & 255]!) >>> 0
  }
}

/** The masked sum of the bytes `from`, included, to `to`, excluded. */
export function maskedCrc32c(bytes: Bytes, from = 0, to = bytes.length): number {
  let crc = -1
  let at = from
  for (; at + SLICES <= to; at += SLICES) {
    const low = crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    crc =
      T7[low & 255]! ^
      T6[(low >>> 8) & 255]! ^
      T5[(low >>> 16) & 255]! ^
      T4[low >>> 24]! ^
      T3[bytes[at + 4]!]! ^
      T2[bytes[at + 5]!]! ^
      T1[bytes[at + 6]!]! ^
      T0[bytes[at + 7]!]!
  }
  for (; at < to; at++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[at]!) & 255]!
  const sum = ~crc >>> 0
  return (((sum >>> 15) | (sum << 17)) + MASK_DELTA) >>> 0
}
