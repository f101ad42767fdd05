// Checks that a table file of a LevelDB is as it was written. LevelDB does not check: it reads a block with a flipped
// bit without an error, and a table with a damaged index or filter hides entries, as if they had never been written.
// Pure; never throws.
// Rule: a checksum of a block covers each byte of a table, except for the footer; the blocks that the footer leads to
// must lie end to end. A damaged block of entries is accepted only when the damage provably lies in values. The
// checksum of an entry covers its key and value (entry/envelope.ts), so an entry that fails it is known by its key, and
// can be healed. Any other damage may hide entries, or show older ones instead.
// Source: LevelDB, doc/table_format.md, table/block_builder.cc and db/dbformat.h.
import { asBuffer, type Bytes, compareBytes } from '../bytes.js'
import { checkEnvelope, ENVELOPE_BYTES_MIN } from '../entry/envelope.js'
import { DATA_KEY_OVERHEAD, parseDataKey } from '../entry/keys.js'
import { MiB } from '../limits.js'
import { slotOf } from '../ring/slots.js'
import { maskedCrc32c } from './crc32c.js'
import { unpackSnappy } from './snappy.js'
import { VarintReader } from './varint.js'

const FOOTER_BYTES = 48
const MAGIC = 0xdb4775248b80fb57n
const MAGIC_BYTES = 8
/** type u8 | crc u32, after each block. */
const TRAILER_BYTES = 5
const PLAIN = 0
const PACKED = 1
/** sequence u56 | kind u8, after each key. */
const STAMP_BYTES = 8
const DELETED = 0
const STORED = 1
const RESTART_BYTES = 4
/** An entry leaves out the part of its key that equals the key before. Each sixteenth entry has its whole key. */
const RESTART_EVERY = 16
/** A block holds entries of 4 KiB, or one longer entry; a value has at most 8 MiB. */
const BLOCK_BYTES_MAX = 64 * MiB

export interface TableContent {
  /** A description of damage that may hide entries; undefined: none. */
  readonly damage: string | undefined
  /** The stored keys of entries of which only the value is damaged. */
  readonly damaged: readonly Bytes[]
}

interface Handle {
  readonly from: number
  readonly bytes: number
}

interface Pair {
  readonly key: Buffer
  readonly value: Bytes
  /** The byte of its block at which it begins, and the length of the key part that it shares with the pair before. */
  readonly at: number
  readonly shared: number
}

/** Checks every block. O(length), about 1 ms for each MiB. */
export function readTable(bytes: Bytes): TableContent {
  const table = asBuffer(bytes)
  const damaged: Bytes[] = []
  const bad = (damage: string): TableContent => ({ damage, damaged: [] })
  const footerAt = table.length - FOOTER_BYTES
  if (footerAt < 0 || table.readBigUInt64LE(table.length - MAGIC_BYTES) !== MAGIC) return bad('its end is damaged')
  const footer = new VarintReader(table, footerAt, table.length - MAGIC_BYTES)
  const meta = readHandle(footer)
  const index = readHandle(footer)
  const metaPairs = soundPairs(table, meta)
  const indexPairs = soundPairs(table, index)
  if (!footer.isGood || metaPairs === undefined || indexPairs === undefined) return bad('its index is damaged')
  let end = 0
  for (const { value } of indexPairs) {
    const handle = readHandle(new VarintReader(value))
    if (handle.from !== end || handle.from + handle.bytes + TRAILER_BYTES > footerAt) return bad('its index is damaged')
    end += handle.bytes + TRAILER_BYTES
    if (isSound(table, handle)) continue
    const found = damagedValues(unpacked(table, handle))
    if (found === undefined) return bad(`its block at byte ${handle.from} is damaged`)
    damaged.push(...found)
  }
  for (const { value } of metaPairs) {
    const filter = readHandle(new VarintReader(value))
    if (filter.from !== end || !isSound(table, filter)) return bad('its filter is damaged')
    end += filter.bytes + TRAILER_BYTES
  }
  if (meta.from !== end || index.from !== end + meta.bytes + TRAILER_BYTES) return bad('its end is damaged')
  return { damage: undefined, damaged }
}

function readHandle(reader: VarintReader): Handle {
  return { from: reader.number(), bytes: reader.number() }
}

function isSound(table: Buffer, { from, bytes }: Handle): boolean {
  const end = from + bytes + 1
  return end + 4 <= table.length && table.readUInt32LE(end) === maskedCrc32c(table, from, end)
}

/** The uncompressed block, without a check of its sum; undefined when it cannot be unpacked. */
function unpacked(table: Buffer, { from, bytes }: Handle): Buffer | undefined {
  const content = table.subarray(from, from + bytes)
  const type = table[from + bytes]
  if (type === PLAIN) return content
  const plain = type === PACKED ? unpackSnappy(content, BLOCK_BYTES_MAX) : undefined
  return plain && asBuffer(plain)
}

function soundPairs(table: Buffer, handle: Handle): Pair[] | undefined {
  return isSound(table, handle) ? pairsOf(unpacked(table, handle)) : undefined
}

/** All pairs of a block; undefined when it does not have the structure of a block. */
function pairsOf(block: Buffer | undefined): Pair[] | undefined {
  const end = block && endOfPairs(block)
  if (block === undefined || end === undefined) return undefined
  const reader = new VarintReader(block, 0, end)
  const pairs: Pair[] = []
  let before: Buffer = Buffer.alloc(0)
  while (!reader.isAtEnd) {
    const { at } = reader
    const shared = reader.number()
    const own = reader.number()
    const length = reader.number()
    const key: Buffer = Buffer.concat([before.subarray(0, shared), reader.bytes(own)])
    const value = reader.bytes(length)
    if (!reader.isGood || key.length !== shared + own) return undefined
    pairs.push({ key, value, at, shared })
    before = key
  }
  return pairs
}

/** The end of the pairs in a block. After it lie the offsets of each sixteenth pair, and their number. */
function endOfPairs(block: Buffer): number | undefined {
  if (block.length < RESTART_BYTES) return undefined
  const end = block.length - RESTART_BYTES * (block.readUInt32LE(block.length - RESTART_BYTES) + 1)
  return end < 0 ? undefined : end
}

/**
 * The keys of the entries in a damaged block whose values are damaged. Undefined unless all other parts are provably
 * undamaged: the structure, each key, and the order of the entries.
 */
function damagedValues(block: Buffer | undefined): readonly Bytes[] | undefined {
  const pairs = pairsOf(block)
  if (block === undefined || pairs === undefined || !areRestartsSound(block, pairs)) return undefined
  const damaged: Bytes[] = []
  let before: Pair | undefined
  for (const pair of pairs) {
    if (pair.key.length < STAMP_BYTES + DATA_KEY_OVERHEAD) return undefined
    const stored = pair.key.subarray(0, -STAMP_BYTES)
    const kind = pair.key.at(-STAMP_BYTES)
    const parsed = parseDataKey(stored)
    if (parsed === undefined || slotOf(parsed.key) !== parsed.slot) return undefined
    if (before !== undefined && !isAfter(pair.key, before.key)) return undefined
    const isBuiltWell = kind === DELETED ? pair.value.length === 0 : pair.value.length >= ENVELOPE_BYTES_MIN
    if (!isBuiltWell || (kind !== DELETED && kind !== STORED)) return undefined
    if (kind === STORED && !checkEnvelope(parsed.key, pair.value)) damaged.push(Buffer.from(stored))
    before = pair
  }
  // When the sum is wrong but no value is, the damage is in the stamp of an entry, which orders versions, or in the
  // sum.
  return damaged.length > 0 ? damaged : undefined
}

function areRestartsSound(block: Buffer, pairs: readonly Pair[]): boolean {
  const end = endOfPairs(block)!
  const whole = pairs.filter((_, index) => index % RESTART_EVERY === 0)
  if (block.readUInt32LE(block.length - RESTART_BYTES) !== whole.length) return false
  return whole.every(({ at, shared }, index) => shared === 0 && block.readUInt32LE(end + index * RESTART_BYTES) === at)
}

/** Whether `key` comes after `before`: keys ascend, and of one key the newest comes first. */
function isAfter(key: Buffer, before: Buffer): boolean {
  const order = compareBytes(key.subarray(0, -STAMP_BYTES), before.subarray(0, -STAMP_BYTES))
  if (order !== 0) return order > 0
  const stamp = (one: Buffer) => one.readBigUInt64LE(one.length - STAMP_BYTES)
  return stamp(key) < stamp(before)
}
