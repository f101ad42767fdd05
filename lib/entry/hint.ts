// The stored form of a hint: a write that is kept for an owner that did not take it. Pure.
//
//   key     'h' | member 16 B | sequence u48                      (big-endian)
//   value   keptAtMs u48 | key length u32 | key | envelope
//
// The envelope is byte for byte that of the other owners. Its checksum is seeded with the key, so it covers both.
// Invariant: `decodeHint` accepts any bytes and never throws.
import { type Bytes, fromHex, toHex } from '../bytes.js'
import { assert } from '../errors.js'
import type { MemberId } from '../member.js'
import { checkEnvelope, type Envelope } from './envelope.js'
import { readU32, readU48, U48_MAX, writeU32, writeU48 } from './integers.js'
import type { KeyRange } from './keys.js'

const HINT = 0x68
const MEMBER_AT = 1
const MEMBER_BYTES = 16
const SEQUENCE_AT = MEMBER_AT + MEMBER_BYTES
const SEQUENCE_BYTES = 6
const STORED_KEY_BYTES = SEQUENCE_AT + SEQUENCE_BYTES
const LENGTH_AT = 6
const KEY_AT = LENGTH_AT + 4

export interface HintKey {
  readonly member: MemberId
  /** Orders the hints for one member by the time when they were kept. */
  readonly sequence: number
}

export interface Hint {
  /** The time of the ring (`RingTime.now`) when the peer kept the hint; ms. */
  readonly keptAtMs: number
  readonly key: Bytes
  readonly envelope: Envelope
}

export function hintKey({ member, sequence }: HintKey): Bytes {
  assert(sequence >= 0 && sequence <= U48_MAX, 'the number of a hint fits 48 bits')
  const stored = Buffer.alloc(STORED_KEY_BYTES)
  stored[0] = HINT
  stored.set(fromHex(member), MEMBER_AT)
  writeU48(stored, SEQUENCE_AT, sequence)
  return stored
}

/** The inverse of `hintKey`. Undefined when `stored` is not the stored key of a hint. */
export function parseHintKey(stored: Bytes): HintKey | undefined {
  if (stored.length !== STORED_KEY_BYTES || stored[0] !== HINT) return undefined
  return { member: toHex(stored.subarray(MEMBER_AT, SEQUENCE_AT)), sequence: readU48(stored, SEQUENCE_AT) }
}

/** The range of all hints. */
export function allHints(): KeyRange {
  return { from: Uint8Array.of(HINT), to: Uint8Array.of(HINT + 1) }
}

/** The hints for the member with the sequences `from`, included, to `to`, excluded. */
export function hintScan(member: MemberId, from: number, to: number): KeyRange {
  return { from: hintKey({ member, sequence: from }), to: hintKey({ member, sequence: to }) }
}

/** The bytes of a hint on disk: stored key and value. */
export function hintBytes(key: Bytes, envelope: Envelope): number {
  return STORED_KEY_BYTES + KEY_AT + key.length + envelope.length
}

/** The value of a hint, in a new buffer. `keptAtMs` is below 2^48. */
export function encodeHint({ keptAtMs, key, envelope }: Hint): Bytes {
  const value = Buffer.allocUnsafe(KEY_AT + key.length + envelope.length)
  writeU48(value, 0, keptAtMs)
  writeU32(value, LENGTH_AT, key.length)
  value.set(key, KEY_AT)
  value.set(envelope, KEY_AT + key.length)
  return value
}

/** The inverse of `encodeHint`; `key` and `envelope` are views. Undefined when the value is damaged. */
export function decodeHint(value: Bytes): Hint | undefined {
  if (value.length < KEY_AT) return undefined
  const envelopeAt = KEY_AT + readU32(value, LENGTH_AT)
  if (envelopeAt > value.length) return undefined
  const key = value.subarray(KEY_AT, envelopeAt)
  const envelope = value.subarray(envelopeAt)
  return checkEnvelope(key, envelope) ? { keptAtMs: readU48(value, 0), key, envelope } : undefined
}
