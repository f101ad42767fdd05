// The blocks in which entries travel between peers: PullBlock and Fetched of wire.proto carry one each, with its crc32.
// Pure.
//
//   block = entries, one after the other, nothing else
//   entry = keyLength u32 | bodyLength u32 | stored key | body              (big-endian)
//
// In a block of entries a body is the envelope, byte for byte as it is stored; in a block of versions it is the version
// alone.
// Invariant: bytes from outside are never trusted. A wrong block crc is BAD_ENTRY (ask again, the wire or memory did
// it); a length that does not add up is BAD_MESSAGE (the peer speaks nonsense); one damaged entry in a sound block is
// left out and counted, never passed on (its source holds it damaged; another owner has it).
import { crc32 } from 'node:zlib'
import { asBuffer, type Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { checkEnvelope, ENVELOPE_OVERHEAD_MAX } from './envelope.js'
import { readU32, writeU32 } from './integers.js'
import { DATA_KEY_OVERHEAD, type DataKey, parseDataKey } from './keys.js'
import { VERSION_BYTES, type Version } from './version.js'

const LENGTHS_BYTES = 8

export interface BlockLimits {
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

/** An entry as a block holds it. All bytes are views into the block. */
export interface BlockEntry extends DataKey {
  /** The stored key. The caller checks that `slot` is the key's and one that it asked for. */
  readonly dataKey: Bytes
  readonly envelope: Bytes
}

/** A key and the version that the source holds. All bytes are views into the block. */
export interface BlockVersion extends DataKey {
  readonly dataKey: Bytes
  readonly version: Version
}

export interface BlockContents<T> {
  readonly entries: readonly T[]
  /** How many were left out because they are damaged. */
  readonly damaged: number
}

export interface Block {
  readonly block: Bytes
  readonly crc: number
}

/** The entries of the first `taken` keys that were asked for. */
export interface FetchedBlock extends Block {
  readonly taken: number
}

/** An entry under its stored key. */
export interface StoredEntry {
  readonly dataKey: Bytes
  readonly envelope: Bytes
}

/** Gathers one block after the other. Keeps what is added by reference until `finish`. */
export class BlockWriter {
  readonly #bytesMax: number
  #parts: Bytes[] = []
  #bytes = 0

  /** A block holds at most `bytesMax` bytes, or one single entry. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  /**
   * Takes a stored key and its body (an envelope or a version). False, and nothing taken, when it belongs in the next
   * block.
   */
  add(storedKey: Bytes, body: Bytes): boolean {
    const bytes = LENGTHS_BYTES + storedKey.length + body.length
    if (!this.isEmpty && this.#bytes + bytes > this.#bytesMax) return false
    this.#parts.push(storedKey, body)
    this.#bytes += bytes
    return true
  }

  /** The block so far, in a buffer of its own; the next one begins empty. */
  finish(): Block {
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
    this.#parts = []
    this.#bytes = 0
    return { block, crc: crc32(block) }
  }
}

/** The entries of a block, in its order. Throws BAD_ENTRY, BAD_MESSAGE. O(bytes), no copies. */
export function readBlock(block: Bytes, crc: number, limits: BlockLimits): BlockContents<BlockEntry> {
  const bodyBytesMax = limits.maxValueBytes + ENVELOPE_OVERHEAD_MAX
  return read(block, crc, limits.maxKeyBytes, bodyBytesMax, (dataKey, { slot, key }, envelope) =>
    checkEnvelope(key, envelope) ? { slot, key, dataKey, envelope } : undefined
  )
}

/** The same for a block of versions. A body that is not exactly a version is BAD_MESSAGE. */
export function readVersions(block: Bytes, crc: number, maxKeyBytes: number): BlockContents<BlockVersion> {
  return read(block, crc, maxKeyBytes, VERSION_BYTES, (dataKey, { slot, key }, version) => {
    if (version.length !== VERSION_BYTES) throw new RingdError('BAD_MESSAGE', 'a version in a block has a wrong length')
    return { slot, key, dataKey, version }
  })
}

type MakeEntry<T> = (dataKey: Bytes, parsed: DataKey, body: Bytes) => T | undefined

function read<T>(
  bytes: Bytes,
  crc: number,
  maxKeyBytes: number,
  bodyBytesMax: number,
  make: MakeEntry<T>
): BlockContents<T> {
  const block = asBuffer(bytes)
  if (crc32(block) !== crc) throw new RingdError('BAD_ENTRY', 'a block does not match its checksum')
  const entries: T[] = []
  let damaged = 0
  let at = 0
  while (at < block.length) {
    if (block.length - at < LENGTHS_BYTES) throw new RingdError('BAD_MESSAGE', 'a block ends within a length')
    const keyBytes = readU32(block, at)
    const bodyBytes = readU32(block, at + 4)
    if (keyBytes > maxKeyBytes + DATA_KEY_OVERHEAD) throw new RingdError('BAD_MESSAGE', 'a key in a block is too long')
    if (bodyBytes > bodyBytesMax) throw new RingdError('BAD_MESSAGE', 'an entry in a block is too long')
    const bodyAt = at + LENGTHS_BYTES + keyBytes
    const end = bodyAt + bodyBytes
    if (end > block.length) throw new RingdError('BAD_MESSAGE', 'a block ends within an entry')
    const dataKey = block.subarray(at + LENGTHS_BYTES, bodyAt)
    const parsed = parseDataKey(dataKey)
    const entry = parsed && make(dataKey, parsed, block.subarray(bodyAt, end))
    if (entry === undefined) damaged += 1
    else entries.push(entry)
    at = end
  }
  return { entries, damaged }
}
