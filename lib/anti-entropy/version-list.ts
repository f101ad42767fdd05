// What one store holds of some slots, in short: for each entry the hash of its key and its version, as they lie in the
// store; and what two stores owe each other by it. Pure.
//
//   list = sections, slots ascending:  slot u16 | count u32 | count x (hash 8 B | version 16 B)     (big-endian)
//   position = slot u16 | hash 8 B     where a key lies; every list covers a stretch of positions
//
// Keys whose hashes are equal stand at one position: they are compared together, and sent rather once too often.
// Invariant: bytes from outside are never trusted; what does not add up is BAD_MESSAGE.
import { crc32 } from 'node:zlib'
import { asBuffer, type Bytes, compareBytes } from '../bytes.js'
import { readU16, readU32, writeU16, writeU32 } from '../entry/integers.js'
import { DATA_KEY_OVERHEAD } from '../entry/keys.js'
import { VERSION_BYTES, type Version } from '../entry/version.js'
import { RingdError } from '../errors.js'
import { MiB } from '../limits.js'
import { SLOTS } from '../ring/slots.js'

const HASH_BYTES = 8
const SLOT_BYTES = 2
const SECTION_BYTES = SLOT_BYTES + 4
const ITEM_BYTES = HASH_BYTES + VERSION_BYTES
/** What a reader takes at most; writers stay far below. */
const LIST_BYTES_LIMIT = MiB
export const POSITION_BYTES = SLOT_BYTES + HASH_BYTES
/** Where the position lies in a stored key, behind its kind. */
const POSITION_AT = DATA_KEY_OVERHEAD - POSITION_BYTES

/** Where a key lies: POSITION_BYTES bytes, in the order of the store. */
export type Position = Bytes

export interface ListedVersion {
  readonly position: Position
  readonly version: Version
}

/** What is listed of one slot, ascending by position. */
export interface ListedSlot {
  readonly slot: number
  readonly versions: readonly ListedVersion[]
}

/** A view, no copy. */
export function positionOf(storedKey: Bytes): Position {
  return storedKey.subarray(POSITION_AT, DATA_KEY_OVERHEAD)
}

export function slotOfPosition(position: Position): number {
  return readU16(position, 0)
}

/** The first position of a slot, also of the one behind the last. */
export function slotStart(slot: number): Position {
  const position = new Uint8Array(POSITION_BYTES)
  writeU16(position, 0, slot)
  return position
}

/** The next position. */
export function positionAfter(position: Position): Position {
  const next = position.slice()
  for (let at = POSITION_BYTES - 1; at >= 0; at--) {
    next[at]! += 1
    if (next[at] !== 0) break
  }
  return next
}

/** Gathers a list, slot by slot. */
export class VersionListWriter {
  readonly #bytesMax: number
  readonly #parts: Bytes[] = []
  #section: Bytes = new Uint8Array(SECTION_BYTES)
  #bytes = 0
  #last: Position | undefined

  /** A list has at most `bytesMax` bytes, but at least one position. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Begins the next slot. False, and nothing done, when the list is full. */
  begin(slot: number): boolean {
    if (this.#bytes + SECTION_BYTES + ITEM_BYTES > this.#bytesMax && this.#bytes > 0) return false
    this.#section = new Uint8Array(SECTION_BYTES)
    writeU16(this.#section, 0, slot)
    this.#parts.push(this.#section)
    this.#bytes += SECTION_BYTES
    return true
  }

  /** False, and nothing taken, when the list is full before this position. One position is never divided. */
  add(position: Position, version: Version): boolean {
    const isNew = this.#last === undefined || compareBytes(this.#last, position) !== 0
    if (isNew && this.#last !== undefined && this.#bytes + ITEM_BYTES > this.#bytesMax) return false
    this.#last = position
    this.#parts.push(position.subarray(SLOT_BYTES), version)
    this.#bytes += ITEM_BYTES
    writeU32(this.#section, SLOT_BYTES, readU32(this.#section, SLOT_BYTES) + 1)
    return true
  }

  finish(): { readonly list: Bytes; readonly crc: number } {
    const list = Buffer.concat(this.#parts)
    return { list, crc: crc32(list) }
  }
}

/** Throws BAD_ENTRY when the bytes were harmed on their way, BAD_MESSAGE when they make no sense. Views, no copies. */
export function readVersionList(list: Bytes, crc: number): ListedSlot[] {
  if (list.length > LIST_BYTES_LIMIT) throw new RingdError('BAD_MESSAGE', 'a list is too long')
  if (crc32(asBuffer(list)) !== crc) throw new RingdError('BAD_ENTRY', 'a list does not match its checksum')
  const slots: ListedSlot[] = []
  let free = 0
  for (let at = 0; at < list.length; ) {
    if (list.length - at < SECTION_BYTES) throw new RingdError('BAD_MESSAGE', 'a list ends within a slot')
    const slot = readU16(list, at)
    const count = readU32(list, at + SLOT_BYTES)
    at += SECTION_BYTES
    if (slot < free || slot >= SLOTS) throw new RingdError('BAD_MESSAGE', 'the slots of a list do not ascend')
    if (count > (list.length - at) / ITEM_BYTES) throw new RingdError('BAD_MESSAGE', 'a list ends within its versions')
    slots.push({ slot, versions: readSection(list, at, slot, count) })
    at += count * ITEM_BYTES
    free = slot + 1
  }
  return slots
}

function readSection(list: Bytes, start: number, slot: number, count: number): ListedVersion[] {
  let before: Position | undefined
  return Array.from({ length: count }, (_, index) => {
    const at = start + index * ITEM_BYTES
    const position = slotStart(slot)
    position.set(list.subarray(at, at + HASH_BYTES), SLOT_BYTES)
    if (before !== undefined && compareBytes(before, position) > 0) {
      throw new RingdError('BAD_MESSAGE', 'the versions of a list do not ascend')
    }
    before = position
    return { position, version: list.subarray(at + HASH_BYTES, at + ITEM_BYTES) }
  })
}

/** Positions, one after the other. */
export function encodePositions(positions: readonly Position[]): Bytes {
  return Buffer.concat(positions)
}

/** Throws BAD_MESSAGE unless they are positions that ascend. Views, no copies. */
export function decodePositions(bytes: Bytes): Position[] {
  if (bytes.length % POSITION_BYTES !== 0) throw new RingdError('BAD_MESSAGE', 'positions end within one')
  const positions: Position[] = []
  for (let at = 0; at < bytes.length; at += POSITION_BYTES) {
    const position = bytes.subarray(at, at + POSITION_BYTES)
    const before = positions[positions.length - 1]
    if (slotOfPosition(position) >= SLOTS || (before !== undefined && compareBytes(before, position) >= 0)) {
      throw new RingdError('BAD_MESSAGE', 'positions do not ascend')
    }
    positions.push(position)
  }
  return positions
}

export interface Debt {
  /** Which of mine the other one lacks: indices. */
  readonly give: readonly number[]
  /** The other one has something here that I lack. */
  readonly want: boolean
}

/** What two stores owe each other at one position. With one key on each side, the older side gets the newer version. */
export function debtAt(mine: readonly Version[], theirs: readonly Version[]): Debt {
  const [one, another] = [mine[0], theirs[0]]
  if (mine.length === 1 && theirs.length === 1) {
    const order = compareBytes(one!, another!)
    return { give: order > 0 ? [0] : [], want: order < 0 }
  }
  const lacks = (all: readonly Version[], version: Version) => !all.some((each) => compareBytes(each, version) === 0)
  const give = [...mine.keys()].filter((index) => lacks(theirs, mine[index]!))
  return { give, want: theirs.some((version) => lacks(mine, version)) }
}
