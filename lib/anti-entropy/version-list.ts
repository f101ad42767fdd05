// The entries of some slots in short: for each entry the hash of its key and its version, in the order of the store.
// And the comparison of two such lists, which shows which entries each store lacks. Pure.
//
//   list = sections, slots ascending:  slot u16 | count u32 | count x (hash 8 B | version 16 B)     (big-endian)
//   position = slot u16 | hash 8 B     the place of a key; each list covers a stretch of positions
//
// Keys with equal hashes have one position. They are compared together; an entry may then be sent once more than
// needed.
// Invariant: bytes from outside are never trusted; a list whose lengths or order are wrong is BAD_MESSAGE.
import { crc32 } from 'node:zlib'
import { asBuffer, type Bytes, compareBytes } from '../bytes.js'
import { readU16, readU32, writeU16, writeU32 } from '../entry/integers.js'
import { DATA_KEY_OVERHEAD, type StoredKey } from '../entry/keys.js'
import { asVersion, VERSION_BYTES, type Version } from '../entry/version.js'
import { RingdError } from '../errors.js'
import { MiB } from '../limits.js'
import { SLOTS } from '../ring/slots.js'

const HASH_BYTES = 8
const SLOT_BYTES = 2
const SECTION_BYTES = SLOT_BYTES + 4
const ITEM_BYTES = HASH_BYTES + VERSION_BYTES
/** The longest list that a reader accepts. Writers stay far below it. */
const LIST_BYTES_LIMIT = MiB
export const POSITION_BYTES = SLOT_BYTES + HASH_BYTES
/** The offset of the position in a stored key, after the kind. */
const POSITION_AT = DATA_KEY_OVERHEAD - POSITION_BYTES

/** The place of a key: POSITION_BYTES bytes, which sort in the order of the store. */
export type Position = Bytes

export interface ListedVersion {
  readonly position: Position
  readonly version: Version
}

/** The listed entries of one slot, ascending by position. */
export interface ListedSlot {
  readonly slot: number
  readonly versions: readonly ListedVersion[]
}

/** A view, no copy. */
export function positionOf(storedKey: StoredKey): Position {
  return storedKey.subarray(POSITION_AT, DATA_KEY_OVERHEAD)
}

export function slotOfPosition(position: Position): number {
  return readU16(position, 0)
}

/** The first position of a slot. `slot` may be SLOTS: the position after all others. */
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

/** Makes a list, slot by slot. */
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

  /** Begins the next slot. Returns false and does nothing when the list is full. */
  begin(slot: number): boolean {
    if (this.#bytes + SECTION_BYTES + ITEM_BYTES > this.#bytesMax && this.#bytes > 0) return false
    this.#section = new Uint8Array(SECTION_BYTES)
    writeU16(this.#section, 0, slot)
    this.#parts.push(this.#section)
    this.#bytes += SECTION_BYTES
    return true
  }

  /** Returns false and takes nothing when the list is full. The entries of one position are never divided. */
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

/**
 * The slots of a list, as views, no copies. Throws BAD_ENTRY when the checksum is wrong, BAD_MESSAGE when a length or
 * the order is wrong.
 */
export function readVersionList(list: Bytes, crc: number): ListedSlot[] {
  if (list.length > LIST_BYTES_LIMIT)
    throw new RingdError('BAD_MESSAGE', `a version list has at most ${LIST_BYTES_LIMIT} bytes, not ${list.length}`)
  if (crc32(asBuffer(list)) !== crc) throw new RingdError('BAD_ENTRY', 'a version list does not match its checksum')
  const slots: ListedSlot[] = []
  let free = 0
  for (let at = 0; at < list.length; ) {
    if (list.length - at < SECTION_BYTES)
      throw new RingdError('BAD_MESSAGE', 'a version list ends within the header of a slot')
    const slot = readU16(list, at)
    const count = readU32(list, at + SLOT_BYTES)
    at += SECTION_BYTES
    if (slot < free || slot >= SLOTS)
      throw new RingdError('BAD_MESSAGE', `slot ${slot} of a version list does not ascend, or is above ${SLOTS - 1}`)
    if (count > (list.length - at) / ITEM_BYTES)
      throw new RingdError('BAD_MESSAGE', `a version list ends within the ${count} versions of slot ${slot}`)
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
      throw new RingdError('BAD_MESSAGE', `the versions of slot ${slot} in a version list do not ascend`)
    }
    before = position
    return { position, version: asVersion(list.subarray(at + HASH_BYTES, at + ITEM_BYTES)) }
  })
}

/** The positions, one after the other. */
export function encodePositions(positions: readonly Position[]): Bytes {
  return Buffer.concat(positions)
}

/** The inverse of `encodePositions`: views, no copies. Throws BAD_MESSAGE unless the positions ascend. */
export function decodePositions(bytes: Bytes): Position[] {
  if (bytes.length % POSITION_BYTES !== 0)
    throw new RingdError('BAD_MESSAGE', `positions of ${bytes.length} bytes end within a position`)
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
  /** Indices of the versions in `mine` that the other store lacks. */
  readonly give: readonly number[]
  /** The other store has a version that this store lacks. */
  readonly want: boolean
}

/**
 * The versions that each store lacks at one position. With one key on each side, the older side gets the newer version.
 */
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
