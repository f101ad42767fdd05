// The keys of the store. The entries of a slot lie side by side; after all entries come the hints for each member, in
// the order in which they were kept; then come the named records of the member itself, and last the promises. Pure.
//
//   entry   'd' | slot u16 | xxh64(key) 8 B | key                (big-endian)
//   hint    'h' | member 16 B | sequence u48                     (lib/entry/hint.ts)
//   record  'm' | name                                           (lib/storage/meta.ts)
//   promise 'p' | slot u16 | xxh64(key) 8 B | key                (lib/entry/promise-record.ts)
//
// The hash spreads the keys of a slot evenly, so that a part of a slot can be compared or sent by hash alone.
import xxhash from 'xxhash-wasm'
import { asBuffer, type BrandedBytes, type Bytes, fromText } from '../bytes.js'
import { assert } from '../errors.js'
import { readU16, writeU16 } from './integers.js'

const { h64Raw } = await xxhash()

/** The stored keys from `from`, included, to `to`, excluded. */
export interface KeyRange {
  readonly from: Bytes
  readonly to: Bytes
}

const ENTRY = 0x64
const HASH_AT = 3
const KEY_AT = 11
const SLOTS = 16384

/** The last hash as bytes, in the order of this machine. To take a BigInt apart would allocate more for each key. */
const hash = new BigUint64Array(1)
const hashBytes = new Uint8Array(hash.buffer)
const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** The bytes that a stored key adds to the user's key. */
export const DATA_KEY_OVERHEAD = KEY_AT

/** A key of the store that holds an entry: slot, hash and key, in the form above. */
export type StoredKey = BrandedBytes<'StoredKey'>

export interface DataKey {
  readonly slot: number
  /** The user's key: a view, no copy. */
  readonly key: Bytes
}

/** The stored key of `key`. `slot` is the slot of the key (lib/ring/slots.ts). */
export function dataKey(slot: number, key: Bytes): StoredKey {
  assert(slot >= 0 && slot < SLOTS, 'a slot is below 16384')
  const stored = Buffer.allocUnsafe(KEY_AT + key.length)
  stored[0] = ENTRY
  writeU16(stored, 1, slot)
  hash[0] = h64Raw(key)
  if (isLittleEndian) hashBytes.reverse()
  stored.set(hashBytes, HASH_AT)
  stored.set(key, KEY_AT)
  return asStoredKey(stored)
}

/** Bytes that are known to be a stored key: made here, read from the store, or parsed. */
export function asStoredKey(bytes: Bytes): StoredKey {
  return bytes as StoredKey
}

/**
 * The slot and the user's key in `stored`. Undefined when it is not a stored key, or its hash is not that of the key.
 * The caller checks that the slot is that of the key.
 */
export function parseDataKey(stored: Bytes): DataKey | undefined {
  if (stored.length < KEY_AT || stored[0] !== ENTRY) return undefined
  const slot = readU16(stored, 1)
  const key = stored.subarray(KEY_AT)
  if (slot >= SLOTS || asBuffer(stored).readBigUInt64BE(HASH_AT) !== h64Raw(key)) return undefined
  return { slot, key }
}

/** The slot in a stored key. */
export function slotOfDataKey(stored: StoredKey): number {
  return readU16(stored, 1)
}

/** The range of all entries of the slots `first` to `last`, both included. */
export function slotScan(first: number, last: number): KeyRange {
  assert(first >= 0 && first <= last && last < SLOTS, 'a run of slots ascends below 16384')
  return { from: slotPrefix(first), to: slotPrefix(last + 1) }
}

/** The lowest stored key of an entry at or after a position (slot and hash). */
export function entriesFrom(position: Bytes): Bytes {
  return Buffer.concat([Uint8Array.of(ENTRY), position])
}

/** The stored key of the record `name`. It lies in no slot. */
export function metaKey(name: string): Bytes {
  return fromText(`m${name}`)
}

function slotPrefix(slot: number): Bytes {
  const prefix = Buffer.allocUnsafe(HASH_AT)
  prefix[0] = ENTRY
  writeU16(prefix, 1, slot)
  return prefix
}
