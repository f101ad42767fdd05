// The stored form of one entry, the same on disk, in operations and in transfers. Pure.
//
//   crc32 u32 | format u8 | version 16 B | flags u8 | origin 16 B, if flag 4 | expiresAtMs u48, if flag 2 | value
//
// flags: 1 tombstone (has no expiry and no value), 2 has an expiry, 4 adopted: a round wrote an entry of another
// operation again under its own version, and the origin is the version under which that operation wrote it first. The
// origin of any other entry is its version. The crc covers all bytes after it. It is seeded with the crc of the key, so
// an entry under a wrong key fails too. Older versions of ringd wrote no flag 4, and read none.
// Invariant: `checkEnvelope` accepts any bytes and never throws. The other readers get only checked envelopes.
import { crc32 } from 'node:zlib'
import { type BrandedBytes, type Bytes, compareBytes, EMPTY_BYTES } from '../bytes.js'
import { assert, RingdError } from '../errors.js'
import { readU32, readU48, U48_MAX, writeU32, writeU48 } from './integers.js'
import { VERSION_BYTES, type Version } from './version.js'

const FORMAT = 1
const CRC_BYTES = 4
const VERSION_AT = CRC_BYTES + 1
const FLAGS_AT = VERSION_AT + VERSION_BYTES
const ORIGIN_AT = FLAGS_AT + 1
const EXPIRY_BYTES = 6

const TOMBSTONE = 1
const EXPIRES = 2
const ADOPTED = 4

/** Where the part behind the origin begins, by the flags: the expiry, or the value. */
const REST_AT: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7].map(
  (flags) => ORIGIN_AT + (flags & ADOPTED ? VERSION_BYTES : 0)
)
/** Where the value begins, by the flags. */
const VALUE_AT: readonly number[] = REST_AT.map((at, flags) => at + (flags & EXPIRES ? EXPIRY_BYTES : 0))

/** The shortest envelope: a tombstone that is not adopted. */
export const ENVELOPE_BYTES_MIN = ORIGIN_AT
/** The latest expiry that fits, ms since the epoch. */
export const EXPIRES_AT_MS_MAX = U48_MAX
/** The most bytes that an envelope adds to its value. */
export const ENVELOPE_OVERHEAD_MAX = ORIGIN_AT + VERSION_BYTES + EXPIRY_BYTES

/** An entry as bytes, in the form above. Its checksum may be unverified: `checkEnvelope` verifies it. */
export type Envelope = BrandedBytes<'Envelope'>

/** Bytes that stand where the store, a hint or a block keeps an envelope. The checksum is not verified here. */
export function asEnvelope(bytes: Bytes): Envelope {
  return bytes as Envelope
}

export interface Entry {
  readonly version: Version
  /** Left out, or equal to the version: the entry is not adopted. Below the version otherwise. */
  readonly origin?: Version | undefined
  /** A tombstone has no value and no expiry. */
  readonly tombstone: boolean
  /** Absolute, ms since the epoch, below 2^48. */
  readonly expiresAtMs?: number | undefined
  readonly value: Bytes
}

/** The envelope of `entry` in a new buffer: the bytes of the value plus at most ENVELOPE_OVERHEAD_MAX. */
export function encodeEnvelope(key: Bytes, entry: Entry): Envelope {
  const { version, origin, tombstone, expiresAtMs, value } = entry
  assert(version.length === VERSION_BYTES, 'a version is 16 bytes')
  assert(!tombstone || (value.length === 0 && expiresAtMs === undefined), 'a tombstone holds nothing')
  const order = origin === undefined ? 0 : compareBytes(origin, version)
  assert(
    order <= 0 && (origin?.length ?? VERSION_BYTES) === VERSION_BYTES,
    'an origin is a version below that of its entry'
  )
  const flags = (tombstone ? TOMBSTONE : 0) | (expiresAtMs === undefined ? 0 : EXPIRES) | (order === 0 ? 0 : ADOPTED)
  const valueAt = VALUE_AT[flags]!
  const envelope = Buffer.allocUnsafe(valueAt + value.length)
  envelope[CRC_BYTES] = FORMAT
  envelope.set(version, VERSION_AT)
  envelope[FLAGS_AT] = flags
  if (order !== 0) envelope.set(origin!, ORIGIN_AT)
  if (expiresAtMs !== undefined) {
    assert(Number.isInteger(expiresAtMs) && expiresAtMs >= 0 && expiresAtMs <= U48_MAX, 'an expiry fits 48 bits')
    writeU48(envelope, REST_AT[flags]!, expiresAtMs)
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
  if (flags > (ADOPTED | EXPIRES)) return false
  if ((flags & TOMBSTONE) !== 0 && ((flags & EXPIRES) !== 0 || bytes.length !== VALUE_AT[flags]!)) return false
  if (bytes.length < VALUE_AT[flags]!) return false
  return (flags & ADOPTED) === 0 || isOriginBelow(bytes)
}

/** Whether the origin of an adopted entry is below its version. Allocates nothing. */
function isOriginBelow(bytes: Bytes): boolean {
  for (let at = 0; at < VERSION_BYTES; at++) {
    const difference = bytes[ORIGIN_AT + at]! - bytes[VERSION_AT + at]!
    if (difference !== 0) return difference < 0
  }
  return false
}

/** The contents of the envelope; `version` and `value` are views. Throws BAD_ENTRY when `checkEnvelope` is false. */
export function decodeEnvelope(key: Bytes, bytes: Bytes): Entry {
  if (!checkEnvelope(key, bytes)) throw new RingdError('BAD_ENTRY')
  return {
    version: versionOf(bytes),
    origin: isAdopted(bytes) ? originOf(bytes) : undefined,
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

/** A view, no copy: the version under which the operation that made the entry wrote it first. */
export function originOf(envelope: Envelope): Version {
  return isAdopted(envelope)
    ? (envelope.subarray(ORIGIN_AT, ORIGIN_AT + VERSION_BYTES) as Version)
    : versionOf(envelope)
}

/** Whether a round wrote the entry of another operation again: its origin is not its version. */
export function isAdopted(envelope: Envelope): boolean {
  return (envelope[FLAGS_AT]! & ADOPTED) !== 0
}

export function isTombstone(envelope: Envelope): boolean {
  return (envelope[FLAGS_AT]! & TOMBSTONE) !== 0
}

/**
 * Whether the entry reads as absent: it is a tombstone, or has expired by the clock of the caller. Its version still
 * counts, as that of any other entry.
 */
export function isAbsent(envelope: Envelope, nowMs: number): boolean {
  const flags = envelope[FLAGS_AT]!
  if ((flags & TOMBSTONE) !== 0) return true
  return (flags & EXPIRES) !== 0 && readU48(envelope, REST_AT[flags]!) <= nowMs
}

/** The expiry, absolute, ms since the epoch; undefined for an entry without one. */
export function expiresAt(envelope: Envelope): number | undefined {
  const flags = envelope[FLAGS_AT]!
  return (flags & EXPIRES) === 0 ? undefined : readU48(envelope, REST_AT[flags]!)
}

/** The value: a view, no copy. Empty for a tombstone. */
export function valueBytes(envelope: Envelope): Bytes {
  return isTombstone(envelope) ? EMPTY_BYTES : envelope.subarray(VALUE_AT[envelope[FLAGS_AT]!]!)
}

/** Bytes of the value. */
export function valueLength(envelope: Envelope): number {
  return envelope.length - VALUE_AT[envelope[FLAGS_AT]!]!
}

/** Orders two envelopes by version: negative, zero or positive. Allocates nothing. */
export function compareVersions(a: Envelope, b: Envelope): number {
  for (let at = VERSION_AT; at < FLAGS_AT; at++) {
    const difference = a[at]! - b[at]!
    if (difference !== 0) return difference
  }
  return 0
}

/** Orders the version of the envelope and the one that lies at `at` of `bytes`. Allocates nothing. */
export function orderTo(envelope: Envelope, bytes: Bytes, at = 0): number {
  for (let index = 0; index < VERSION_BYTES; index++) {
    const difference = envelope[VERSION_AT + index]! - bytes[at + index]!
    if (difference !== 0) return difference
  }
  return 0
}

/** Copies the version and the origin into `bytes`. Allocates nothing. */
export function copyVersions(envelope: Envelope, versions: Bytes, origins: Bytes, at: number): void {
  const originAt = isAdopted(envelope) ? ORIGIN_AT : VERSION_AT
  for (let index = 0; index < VERSION_BYTES; index++) {
    versions[at + index] = envelope[VERSION_AT + index]!
    origins[at + index] = envelope[originAt + index]!
  }
}

/** The ms of the origin. Allocates nothing. */
export function originMsOf(envelope: Envelope): number {
  return readU48(envelope, isAdopted(envelope) ? ORIGIN_AT : VERSION_AT)
}

function checksum(key: Bytes, envelope: Bytes): number {
  return crc32(envelope.subarray(CRC_BYTES), crc32(key))
}
