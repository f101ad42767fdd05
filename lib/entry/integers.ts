// Unsigned big-endian integers at an offset of plain bytes. Pure. Allocates nothing and checks nothing: the caller has
// checked the length. The widest integer has 48 bits: enough for milliseconds until the year 10889, and exact in a
// double.
import type { Bytes } from '../bytes.js'

export const U16_MAX = 0xffff
export const U48_MAX = 2 ** 48 - 1

export function readU16(bytes: Bytes, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!
}

export function readU32(bytes: Bytes, offset: number): number {
  return readU16(bytes, offset) * 0x10000 + readU16(bytes, offset + 2)
}

export function readU48(bytes: Bytes, offset: number): number {
  return readU16(bytes, offset) * 0x100000000 + readU32(bytes, offset + 2)
}

export function writeU16(bytes: Bytes, offset: number, value: number): void {
  bytes[offset] = value >>> 8
  bytes[offset + 1] = value
}

export function writeU32(bytes: Bytes, offset: number, value: number): void {
  writeU16(bytes, offset, value >>> 16)
  writeU16(bytes, offset + 2, value & U16_MAX)
}

export function writeU48(bytes: Bytes, offset: number, value: number): void {
  writeU16(bytes, offset, Math.floor(value / 0x100000000))
  writeU32(bytes, offset + 2, value % 0x100000000)
}
