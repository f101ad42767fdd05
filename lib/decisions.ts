// What operations that depend on the stored value write, and what they answer: increments, conditional writes, changes
// of an expiry. Pure functions from the value that was found. Every door makes its commands of these.
// Invariant: a decision may be asked several times, with different values; it remembers nothing, except in its result.
// Source: the commands of Redis 7 (t_string.c, expire.c) and the texts of their errors.

import { asBuffer, type Bytes, fromText, sameBytes } from './bytes.js'
import type { Version } from './entry/version.js'
import { RingdError } from './errors.js'
import type { Decide, Decision, Found } from './key-value.js'

const INTEGER = /^(0|-?[1-9]\d{0,18})$/
/** No 64-bit integer has more characters. */
const INTEGER_BYTES_MAX = 20
export const INT64_MAX = 2n ** 63n - 1n
export const INT64_MIN = -(2n ** 63n)

export const NO_INTEGER = new RingdError('BAD_REQUEST', 'value is not an integer or out of range')
const OVERFLOW = new RingdError('BAD_REQUEST', 'increment or decrement would overflow')
const TOO_LONG = new RingdError('VALUE_TOO_LARGE', 'string exceeds maximum allowed size (proto-max-bulk-len)')

/** The text of a signed 64-bit integer, as Redis reads it; undefined: it is none. */
export function integerOf(text: Bytes): bigint | undefined {
  if (text.length > INTEGER_BYTES_MAX) return undefined
  const digits = asBuffer(text).toString('latin1')
  if (!INTEGER.test(digits)) return undefined
  const integer = BigInt(digits)
  return fitsInt64(integer) ? integer : undefined
}

export function fitsInt64(integer: bigint): boolean {
  return integer >= INT64_MIN && integer <= INT64_MAX
}

/**
 * Adds `by` to the integer that is stored, 0 when there is none; its expiry stays. The result is the sum. BAD_REQUEST
 * when the value is no integer, or the sum does not fit 64 bits.
 */
export function increment(by: bigint): Decide<bigint> {
  return (found) => {
    const before = found === undefined ? 0n : integerOf(found.value)
    if (before === undefined) return refused(NO_INTEGER)
    const sum = before + by
    if (!fitsInt64(sum)) return refused(OVERFLOW)
    return { change: { value: fromText(String(sum)), expiresAtMs: found?.expiresAtMs }, result: sum }
  }
}

/** Writes `suffix` behind the value; its expiry stays. The result is the length. VALUE_TOO_LARGE above `bytesMax`. */
export function append(suffix: Bytes, bytesMax: number): Decide<number> {
  return (found) => {
    if (found === undefined) return { change: { value: suffix, expiresAtMs: undefined }, result: suffix.length }
    const { value: before, expiresAtMs } = found
    const length = before.length + suffix.length
    if (length > bytesMax) return refused(TOO_LONG)
    const value = Buffer.concat([before, suffix], length)
    return { change: { value, expiresAtMs }, result: length }
  }
}

/** What must be true of the key for a conditional write. */
export type Condition =
  | { readonly type: 'always' }
  /** There is no value. */
  | { readonly type: 'absent' }
  /** There is a value. */
  | { readonly type: 'present' }
  /** The value is the one that the write with this version has stored. */
  | { readonly type: 'version'; readonly version: Version }

export const ALWAYS: Condition = { type: 'always' }
export const ABSENT: Condition = { type: 'absent' }
export const PRESENT: Condition = { type: 'present' }

export interface Written {
  /** Whether the condition was true, so that the value was written. */
  readonly isDone: boolean
  /** The value before. */
  readonly before: Found | undefined
}

/** The expiry of a value that is written: a moment, none, or the one that the value before it had. */
export type NewExpiry = number | undefined | 'as before'

/** Writes the value when the condition is true. */
export function writeIf(condition: Condition, value: Bytes, expiry: NewExpiry): Decide<Written> {
  return (before) => {
    if (!isTrue(condition, before)) return nothing({ isDone: false, before })
    const expiresAtMs = expiry === 'as before' ? before?.expiresAtMs : expiry
    return { change: { value, expiresAtMs }, result: { isDone: true, before } }
  }
}

function isTrue(condition: Condition, found: Found | undefined): boolean {
  switch (condition.type) {
    case 'always':
      return true
    case 'absent':
      return found === undefined
    case 'present':
      return found !== undefined
    case 'version':
      return found !== undefined && sameBytes(found.version, condition.version)
  }
}

/** Deletes the value. The result is the value before. */
export const take: Decide<Found | undefined> = (found) => ({ change: found && 'delete', result: found })

/** Gives the value another expiry; 'as it is': none is written. The result is whether it changed, and the value. */
export function changeExpiry(
  expiryOf: (found: Found) => number | undefined | 'as it is'
): Decide<{ readonly isChanged: boolean; readonly found: Found | undefined }> {
  return (found) => {
    const expiresAtMs = found === undefined ? 'as it is' : expiryOf(found)
    if (found === undefined || expiresAtMs === 'as it is') return nothing({ isChanged: false, found })
    return { change: { value: found.value, expiresAtMs }, result: { isChanged: true, found } }
  }
}

function nothing<T>(result: T): Decision<T> {
  return { change: undefined, result }
}

function refused(result: RingdError): Decision<never> {
  return { change: undefined, result }
}
