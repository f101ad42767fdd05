// What a door may ask of the ring. The router answers; doors hold nothing else.
import type { Bytes } from './bytes.js'
import type { RingdError } from './errors.js'

/** How many owners must answer: one, a majority, or every one, of each config in the slot's window. */
export type Consistency = 'one' | 'quorum' | 'all'
export const CONSISTENCIES: readonly Consistency[] = ['one', 'quorum', 'all']

/** A value that is there, and when it will not be any more: absolute, ms since the epoch; undefined: it stays. */
export interface Found {
  readonly value: Bytes
  readonly expiresAtMs: number | undefined
}

/** What takes the place of an entry: a value, perhaps until some time, or nothing. */
export type Change = Found | 'delete'

/**
 * What to write where `found` is; undefined: leave it. Called again when somebody else was quicker: the last call
 * counts. Must not throw.
 */
export type Decide = (found: Found | undefined) => Change | undefined

/**
 * Calls back exactly once, with a result or an error (NOT_SERVING, OVERLOADED, NO_QUORUM, TIMEOUT, DISK_FULL,
 * KEY_TOO_LARGE, VALUE_TOO_LARGE). Callbacks, not promises: this is the hot path. Buffers handed over must not change.
 * What has expired by the clock of the peer that is asked is not there. An expiry that is not a whole number of ms
 * below 2^48 is BAD_REQUEST.
 */
export interface KeyValue {
  /** The value, or undefined when there is none. */
  get(key: Bytes, consistency: Consistency, reply: (result: Bytes | undefined | RingdError) => void): void
  /** With an expiry that is over already the key is gone, as after a delete. */
  put(
    key: Bytes,
    value: Bytes,
    consistency: Consistency,
    reply: (result: undefined | RingdError) => void,
    expiresAtMs?: number
  ): void
  /** Whether the key existed before. */
  delete(key: Bytes, consistency: Consistency, reply: (existed: boolean | RingdError) => void): void
  /** As `get`, with the expiry. */
  find(key: Bytes, consistency: Consistency, reply: (result: Found | undefined | RingdError) => void): void
  /**
   * Reads, then writes what `decide` makes of it; tells what it found. Not atomic: of two that race both may find the
   * same, and the newer write wins.
   */
  update(
    key: Bytes,
    consistency: Consistency,
    decide: Decide,
    reply: (result: Found | undefined | RingdError) => void
  ): void
}
