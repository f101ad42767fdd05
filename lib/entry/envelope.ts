// The stored form of one entry, the same on disk, in operations and in transfers. Pure.
//
//   crc32 u32 | format u8 | version 16 B | flags u8 | expiresAtMs u48, if flag 2 | value
//
// flags: 0 plain, 1 tombstone (ends after the flags), 2 has an expiry. No other value is valid. The crc covers all
// bytes after it. It is seeded with the crc of the key, so an entry under a wrong key fails too.
// Invariant: `checkEnvelope` accepts any bytes and never throws. The other readers get only checked envelopes.
import { crc32 } from 'node:zlib'
import { type BrandedBytes, type Bytes, EMPTY_BYTES } from '../bytes.js'
import { assert, RingdError } from '../errors.js'
import { readU32, readU48, U48_MAX, writeU32, writeU48 } from './integers.js'
import { VERSION_BYTES, type Version } from './version.js'

const FORMAT = 1
const CRC_BYTES = 4
const VERSION_AT = CRC_BYTES + 1
const FLAGS_AT = VERSION_AT + VERSION_BYTES
const EXPIRY_AT = FLAGS_AT + 1
const EXPIRY_BYTES = 6

const PLAIN = 0
const TOMBSTONE = 1
const EXPIRES = 2

/** The shortest envelope: a tombstone. */
export const ENVELOPE_BYTES_MIN = EXPIRY_AT
/** The latest expiry that fits, ms since the epoch. */
export const EXPIRES_AT_MS_MAX = U48_MAX
/** The most bytes that an envelope adds to its value. */
export const ENVELOPE_OVERHEAD_MAX = EXPIRY_AT + EXPIRY_BYTES

/** An entry as bytes, in the form above. Its checksum may be unverified: `checkEnvelope` verifies it. */
export type Envelope = BrandedBytes<'Envelope'>

/** Bytes that stand where the store, a hint or a block keeps an envelope. The checksum is not verified here. */
export function asEnvelope(bytes: Bytes): Envelope {
  return bytes as Envelope
}

export interface Entry {
  readonly version: Version
  /** A tombstone has no value and no expiry. */
  readonly tombstone: boolean
  /** Absolute, ms since the epoch, below 2^48. */
  readonly expiresAtMs?: number | undefined
  readonly value: Bytes
}

/** The envelope of `entry` in a new buffer: the bytes of the value plus at most ENVELOPE_OVERHEAD_MAX. */
export function encodeEnvelope(key: Bytes, entry: Entry): Envelope {
  const { version, tombstone, expiresAtMs, value } = entry
  assert(version.length === VERSION_BYTES, 'a version is 16 bytes')
  assert(!tombstone || (value.length === 0 && expiresAtMs === undefined), 'a tombstone holds nothing')
  const valueAt = expiresAtMs === undefined ? EXPIRY_AT : EXPIRY_AT + EXPIRY_BYTES
  const envelope = Buffer.allocUnsafe(valueAt + value.length)
  envelope[CRC_BYTES] = FORMAT
  envelope.set(version, VERSION_AT)
  envelope[FLAGS_AT] = tombstone ? TOMBSTONE : PLAIN
  if (expiresAtMs !== undefined) {
    assert(Number.isInteger(expiresAtMs) && expiresAtMs >= 0 && expiresAtMs <= U48_MAX, 'an expiry fits 48 bits')
    envelope[FLAGS_AT] = EXPIRES
    writeU48(envelope, EXPIRY_AT, expiresAtMs)
  }
  envelope.set(value, valueAt)
  writeU32(envelope, 0, checksum(key, envelope))
  return asEnvelope(envelope)
}

/** Whether `bytes` are an undamaged envelope of `key`. Never throws. O(length). */
export function checkEnvelope(key: Bytes, bytes: Bytes): bytes is Envelope {
  return hasEnvelopeForm(bytes) && readU32(bytes, 0) === checksum(key, bytes)
}

/**
 * Whether the readers below may read `bytes`: they have the form of an envelope. The checksum is not verified. For
 * entries that only pass through, such as the answers of owners to a read. O(1).
 */
export function hasEnvelopeForm(bytes: Bytes): bytes is Envelope {
  if (bytes.length < ENVELOPE_BYTES_MIN || bytes[CRC_BYTES] !== FORMAT) return false
  const flags = bytes[FLAGS_AT]!
  if (flags > EXPIRES) return false
  if (flags === TOMBSTONE && bytes.length !== EXPIRY_AT) return false
  return flags !== EXPIRES || bytes.length >= EXPIRY_AT + EXPIRY_BYTES
}

/** The contents of the envelope; `version` and `value` are views. Throws BAD_ENTRY when `checkEnvelope` is false. */
export function decodeEnvelope(key: Bytes, bytes: Bytes): Entry {
  if (!checkEnvelope(key, bytes)) throw new RingdError('BAD_ENTRY')
  return {
    version: versionOf(bytes),
    tombstone: isTombstone(bytes),
    expiresAtMs: expiresAt(bytes),
    value: valueBytes(bytes)
  }
}

/** A view, no copy. */
export function versionOf(envelope: Envelope): Version {
  return envelope.subarray(VERSION_AT, FLAGS_AT) as Version
}

/** The ms of the version. Allocates nothing. */
export function versionMsOf(envelope: Envelope): number {
  return readU48(envelope, VERSION_AT)
}

export function isTombstone(envelope: Envelope): boolean {
  return envelope[FLAGS_AT] === TOMBSTONE
}

/**
 * Whether the entry reads as absent: it is a tombstone, or has expired by the clock of the caller. Its version still
 * counts, as that of any other entry.
 */
export function isAbsent(envelope: Envelope, nowMs: number): boolean {
  const flags = envelope[FLAGS_AT]
  return flags === TOMBSTONE || (flags === EXPIRES && readU48(envelope, EXPIRY_AT) <= nowMs)
}

/** The expiry, absolute, ms since the epoch; undefined for an entry without one. */
export function expiresAt(envelope: Envelope): number | undefined {
  return envelope[FLAGS_AT] === EXPIRES ? readU48(envelope, EXPIRY_AT) : undefined
}

/** The value: a view, no copy. Empty for a tombstone. */
export function valueBytes(envelope: Envelope): Bytes {
  switch (envelope[FLAGS_AT]) {
    case TOMBSTONE:
      return EMPTY_BYTES
    case EXPIRES:
      return envelope.subarray(EXPIRY_AT + EXPIRY_BYTES)
    default:
      return envelope.subarray(EXPIRY_AT)
  }
}

/** Bytes of the value. */
export function valueLength(envelope: Envelope): number {
  return envelope.length - (envelope[FLAGS_AT] === EXPIRES ? EXPIRY_AT + EXPIRY_BYTES : EXPIRY_AT)
}

/** Orders two envelopes by version: negative, zero or positive. Allocates nothing. */
export function compareVersions(a: Envelope, b: Envelope): number {
  for (let at = VERSION_AT; at < FLAGS_AT; at++) {
    const difference = a[at]! - b[at]!
    if (difference !== 0) return difference
  }
  return 0
}

function checksum(key: Bytes, envelope: Bytes): number {
  return crc32(envelope.subarray(CRC_BYTES), crc32(key))
}
