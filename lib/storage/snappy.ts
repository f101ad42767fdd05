// Unpacks Snappy, so that blocks of a LevelDB table can be read without LevelDB. Pure. Never throws, and never
// allocates more than its limit. Source: Snappy, format_description.txt.
import type { Bytes } from '../bytes.js'
import { VarintReader } from './varint.js'

/** The two low bits of a tag; 3 is a copy with four bytes of offset. */
const LITERAL = 0
const SHORT_COPY = 1
const LONG_COPY = 2
/** A literal of at most 60 bytes has its length in the tag; a longer one in one to four bytes after the tag. */
const LITERAL_IN_TAG_MAX = 60
const SHORT_COPY_BYTES_MIN = 4

/** The unpacked bytes; undefined when `packed` is not valid, or the result would be longer than `bytesMax`. */
export function unpackSnappy(packed: Bytes, bytesMax: number): Bytes | undefined {
  const reader = new VarintReader(packed)
  const length = reader.number()
  if (!reader.isGood || length > bytesMax) return undefined
  const unpacked = Buffer.alloc(length)
  let at = 0
  while (!reader.isAtEnd) {
    const tag = reader.bytes(1)[0]!
    const kind = tag & 3
    if (kind === LITERAL) {
      const inTag = (tag >>> 2) + 1
      const literal = reader.bytes(inTag <= LITERAL_IN_TAG_MAX ? inTag : little(reader, inTag - LITERAL_IN_TAG_MAX) + 1)
      if (!reader.isGood || at + literal.length > length) return undefined
      unpacked.set(literal, at)
      at += literal.length
      continue
    }
    const isShort = kind === SHORT_COPY
    const count = isShort ? ((tag >>> 2) & 7) + SHORT_COPY_BYTES_MIN : (tag >>> 2) + 1
    const offset = isShort ? (tag >>> 5) * 256 + little(reader, 1) : little(reader, kind === LONG_COPY ? 2 : 4)
    if (!reader.isGood || offset === 0 || offset > at || at + count > length) return undefined
    // Byte by byte, because the source of a copy may overlap its target.
    for (let end = at + count; at < end; at++) unpacked[at] = unpacked[at - offset]!
  }
  return at === length ? unpacked : undefined
}

function little(reader: VarintReader, count: number): number {
  return reader.bytes(count).reduceRight((value, byte) => value * 256 + byte, 0)
}
