// A block holds the entries of one message between peers. PullBlock and Fetched of wire.proto carry one, with its
// crc32. Pure.
//
//   block = entries, one after the other, nothing else
//   entry = keyLength u32 | bodyLength u32 | stored key | body              (big-endian)
//
// In a block of entries the body is the envelope, byte for byte as stored. In a block of versions it is the version.
// Invariant: bytes from outside are never trusted. A wrong crc of the block is BAD_ENTRY: the wire or memory damaged
// it, and the caller may ask again. A wrong length is BAD_MESSAGE: the peer made a wrong block. A damaged entry in a
// sound block is left out and counted: the source holds it damaged, and another owner has it whole. So is an entry
// beyond the limits of the format: otherwise one such entry would stop every transfer of its slot for good.
import { crc32 } from 'node:zlib'
import { asBuffer, type Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import { checkEnvelope, ENVELOPE_OVERHEAD_MAX, type Envelope, hasEnvelopeForm, valueBytes } from './envelope.js'
import { readU32, writeU32 } from './integers.js'
import { asStoredKey, DATA_KEY_OVERHEAD, type DataKey, parseDataKey, type StoredKey } from './keys.js'
import { asVersion, VERSION_BYTES, type Version } from './version.js'

const LENGTHS_BYTES = 8

export interface BlockLimits {
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

/**
 * The limits of the format. Blocks of other peers are read with these and not with this peer's own options, because an
 * owner must hold every entry that another router has accepted.
 */
export const FORMAT_LIMITS: BlockLimits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }

/** An entry of a block. All bytes are views into the block. */
export interface BlockEntry extends DataKey {
  /** The stored key. The caller checks that `slot` is the slot of the key, and that it asked for this slot. */
  readonly dataKey: StoredKey
  readonly envelope: Envelope
}

/** A key and its version at the source. All bytes are views into the block. */
export interface BlockVersion extends DataKey {
  readonly dataKey: StoredKey
  readonly version: Version
}

export interface BlockContents<T> {
  readonly entries: readonly T[]
  /** The number of damaged entries, which are left out. */
  readonly damaged: number
  /** The number of entries whose key or value is longer than allowed, which are left out. */
  readonly oversized: number
  /** The last stored key of the block, also of an entry that is left out; undefined in an empty block. */
  readonly lastKey: Bytes | undefined
}

/**
 * The sum modulo 2^32 of the first four bytes of each body, which are the checksum of an envelope; and how many entries
 * there are. Both ends of a pull compute it, so that neither loses an entry in silence.
 */
export interface BlockTally {
  readonly count: number
  readonly checksum: number
}

/** The tally of these entries, as that of a block that holds them. */
export function tallyOf(entries: readonly StoredEntry[]): BlockTally {
  const checksum = entries.reduce((sum, { envelope }) => (sum + headOf(envelope)) >>> 0, 0)
  return { count: entries.length, checksum }
}

export interface Block {
  readonly block: Bytes
  readonly crc: number
}

/** A block with the entries of the first `taken` requested keys. */
export interface FetchedBlock extends Block, BlockTally {
  readonly taken: number
}

/** An entry under its stored key. */
export interface StoredEntry {
  readonly dataKey: StoredKey
  readonly envelope: Envelope
}

/** Makes one block after the other. Keeps references to the added bytes until `finish`. */
export class BlockWriter {
  readonly #bytesMax: number
  #parts: Bytes[] = []
  #bytes = 0
  #checksum = 0

  /** A block has at most `bytesMax` bytes, or one entry. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  /**
   * Adds a stored key and its body, an envelope or a version. Returns false and adds nothing when the block is full.
   */
  add(storedKey: StoredKey, body: Bytes): boolean {
    const bytes = LENGTHS_BYTES + storedKey.length + body.length
    if (!this.isEmpty && this.#bytes + bytes > this.#bytesMax) return false
    this.#parts.push(storedKey, body)
    this.#bytes += bytes
    this.#checksum = (this.#checksum + headOf(body)) >>> 0
    return true
  }

  /** The block so far, in a new buffer, with its crc. The next block begins empty. */
  finish(): Block & BlockTally {
    const taken = this.take()
    return { ...taken, crc: crc32(taken.block) }
  }

  /** The same, with its tally. */
  take(): { readonly block: Bytes } & BlockTally {
    const block = Buffer.allocUnsafe(this.#bytes)
    let at = 0
    for (let part = 0; part < this.#parts.length; part += 2) {
      const storedKey = this.#parts[part]!
      const body = this.#parts[part + 1]!
      writeU32(block, at, storedKey.length)
      writeU32(block, at + 4, body.length)
      at += LENGTHS_BYTES
      block.set(storedKey, at)
      at += storedKey.length
      block.set(body, at)
      at += body.length
    }
    const tally = { count: this.#parts.length / 2, checksum: this.#checksum }
    this.#parts = []
    this.#bytes = 0
    this.#checksum = 0
    return { block, ...tally }
  }
}

/**
 * The entries of a block, in its order. Without `crc` each entry is verified by its own checksum alone. Throws
 * BAD_ENTRY, BAD_MESSAGE. O(bytes), no copies.
 */
export function readBlock(
  block: Bytes,
  crc: number | undefined,
  limits: BlockLimits
): BlockContents<BlockEntry> & BlockTally {
  const isTooLong = (keyBytes: number, body: Bytes) =>
    keyBytes > limits.maxKeyBytes ||
    body.length > limits.maxValueBytes + ENVELOPE_OVERHEAD_MAX ||
    (hasEnvelopeForm(body) && valueBytes(body).length > limits.maxValueBytes)
  return read(block, crc, isTooLong, (dataKey, { slot, key }, envelope) =>
    checkEnvelope(key, envelope) ? { slot, key, dataKey, envelope } : undefined
  )
}

/** As `readBlock`, for a block of versions. A body of another length than a version is BAD_MESSAGE. */
export function readVersions(
  block: Bytes,
  crc: number | undefined,
  maxKeyBytes: number
): BlockContents<BlockVersion> & BlockTally {
  const isTooLong = (keyBytes: number) => keyBytes > maxKeyBytes
  return read(block, crc, isTooLong, (dataKey, { slot, key }, version) => {
    if (version.length !== VERSION_BYTES)
      throw new RingdError('BAD_MESSAGE', `a version in a block has ${VERSION_BYTES} bytes, not ${version.length}`)
    return { slot, key, dataKey, version: asVersion(version) }
  })
}

/** The stored keys of a block of keys alone, whose bodies are empty. Throws BAD_MESSAGE. */
export function readKeys(block: Bytes, maxKeyBytes: number): readonly StoredKey[] {
  const isTooLong = (keyBytes: number, body: Bytes) => keyBytes > maxKeyBytes || body.length > 0
  const { entries, count } = read(block, undefined, isTooLong, (dataKey) => dataKey)
  if (entries.length !== count) throw new RingdError('BAD_MESSAGE', 'a list of keys holds something else')
  return entries
}

type MakeEntry<T> = (dataKey: StoredKey, parsed: DataKey, body: Bytes) => T | undefined

function read<T>(
  bytes: Bytes,
  crc: number | undefined,
  isTooLong: (keyBytes: number, body: Bytes) => boolean,
  make: MakeEntry<T>
): BlockContents<T> & BlockTally {
  const block = asBuffer(bytes)
  if (crc !== undefined && crc32(block) !== crc)
    throw new RingdError('BAD_ENTRY', 'a block does not match its checksum')
  const entries: T[] = []
  let damaged = 0
  let oversized = 0
  let lastKey: Bytes | undefined
  let count = 0
  let checksum = 0
  let at = 0
  while (at < block.length) {
    if (block.length - at < LENGTHS_BYTES) throw new RingdError('BAD_MESSAGE', 'a block ends within the lengths')
    const keyBytes = readU32(block, at)
    const bodyBytes = readU32(block, at + 4)
    const bodyAt = at + LENGTHS_BYTES + keyBytes
    const end = bodyAt + bodyBytes
    if (end > block.length) throw new RingdError('BAD_MESSAGE', 'a block ends within an entry')
    const dataKey = asStoredKey(block.subarray(at + LENGTHS_BYTES, bodyAt))
    const body = block.subarray(bodyAt, end)
    lastKey = dataKey
    at = end
    count += 1
    checksum = (checksum + headOf(body)) >>> 0
    if (isTooLong(dataKey.length - DATA_KEY_OVERHEAD, body)) {
      oversized += 1
      continue
    }
    const parsed = parseDataKey(dataKey)
    const entry = parsed && make(dataKey, parsed, body)
    if (entry === undefined) damaged += 1
    else entries.push(entry)
  }
  return { entries, damaged, oversized, lastKey, count, checksum }
}

/** The first four bytes of a body; 0 for a shorter one. */
function headOf(body: Bytes): number {
  return body.length < 4 ? 0 : readU32(body, 0)
}
