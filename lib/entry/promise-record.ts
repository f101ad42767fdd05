// The stored form of a promise: the ballot below which an owner lets nothing enter under one key. Pure.
//
//   key     'p' | slot u16 | xxh64(key) 8 B | key      (the stored key of the entry, with another first byte)
//   value   crc32 u32 | format u8 | ballot 16 B        (big-endian)
//
// The crc covers all bytes after it. It is seeded with the crc of the key. The records lie in the order of slots.
// Invariant: `decodePromise` accepts any bytes and never throws.
import { crc32 } from 'node:zlib'
import type { Bytes } from '../bytes.js'
import { readU32, writeU32 } from './integers.js'
import { asStoredKey, DATA_KEY_OVERHEAD, type KeyRange, parseDataKey, type StoredKey } from './keys.js'
import { asVersion, VERSION_BYTES, type Version } from './version.js'

const PROMISE = 0x70
const ENTRY = 0x64
const FORMAT = 1
const BALLOT_AT = 5
const RECORD_BYTES = BALLOT_AT + VERSION_BYTES

/** The range of all promises. */
export function allPromises(): KeyRange {
  return { from: Uint8Array.of(PROMISE), to: Uint8Array.of(PROMISE + 1) }
}

/** The key under which the promise for the entry lies. */
export function promiseKey(storedKey: StoredKey): Bytes {
  return withFirst(storedKey, PROMISE)
}

/** The stored key of the entry whose promise lies here. Undefined when `bytes` are no such key. */
export function parsePromiseKey(bytes: Bytes): StoredKey | undefined {
  if (bytes[0] !== PROMISE) return undefined
  const storedKey = withFirst(bytes, ENTRY)
  return parseDataKey(storedKey) === undefined ? undefined : asStoredKey(storedKey)
}

export function encodePromise(storedKey: StoredKey, ballot: Version): Bytes {
  const record = Buffer.allocUnsafe(RECORD_BYTES)
  record[BALLOT_AT - 1] = FORMAT
  record.set(ballot, BALLOT_AT)
  writeU32(record, 0, checksum(storedKey, record))
  return record
}

/** The ballot, in bytes of its own. Undefined when the record is damaged. */
export function decodePromise(storedKey: StoredKey, record: Bytes): Version | undefined {
  if (record.length !== RECORD_BYTES || record[BALLOT_AT - 1] !== FORMAT) return undefined
  if (readU32(record, 0) !== checksum(storedKey, record)) return undefined
  return asVersion(record.slice(BALLOT_AT))
}

function checksum(storedKey: StoredKey, record: Bytes): number {
  return crc32(record.subarray(4), crc32(storedKey.subarray(DATA_KEY_OVERHEAD)))
}

function withFirst(key: Bytes, first: number): Bytes {
  const copy = new Uint8Array(key)
  copy[0] = first
  return copy
}
