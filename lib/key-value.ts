// The interface between the doors and the ring. The router implements it; a door uses nothing else of the node.
import type { Bytes } from './bytes.js'
import type { RingdError } from './errors.js'

/** The owners that must answer: one, a majority, or all owners of each config in the slot's window. */
export type Consistency = 'one' | 'quorum' | 'all'
export const CONSISTENCIES: readonly Consistency[] = ['one', 'quorum', 'all']

/** A value that was found. */
export interface Found {
  readonly value: Bytes
  /** Absolute, ms since the epoch; undefined: the value does not expire. */
  readonly expiresAtMs: number | undefined
}

/** The replacement of an entry: a value, which may expire, or a deletion. */
export type Change = Found | 'delete'

/**
 * Returns the replacement for `found`; undefined: write nothing. Called again when another write came first; only the
 * last call counts. Must not throw.
 */
export type Decide = (found: Found | undefined) => Change | undefined

/**
 * Each method calls back exactly once, with a result or an error (NOT_SERVING, OVERLOADED, NO_QUORUM, TIMEOUT,
 * DISK_FULL, KEY_TOO_LARGE, VALUE_TOO_LARGE). Callbacks instead of promises, because this is the hot path. The caller
 * must not change a buffer that it passed. A value that has expired by the clock of this peer reads as absent. An
 * expiry that is not a whole number of ms below 2^48 is BAD_REQUEST.
 *
 * `bytesMax` limits the value that the owners send for the call. When the key holds a larger one, no owner sends it,
 * nothing is written, and the call ends with ValueLarger, which tells the size. Without it there is no limit.
 */
export interface KeyValue {
  /** The value, or undefined. */
  get(
    key: Bytes,
    consistency: Consistency,
    reply: (result: Bytes | undefined | RingdError) => void,
    bytesMax?: number
  ): void
  /** When `expiresAtMs` is in the past, the key reads as absent, as after a delete. */
  put(
    key: Bytes,
    value: Bytes,
    consistency: Consistency,
    reply: (result: undefined | RingdError) => void,
    expiresAtMs?: number
  ): void
  /** Replies whether the key existed before. */
  delete(key: Bytes, consistency: Consistency, reply: (existed: boolean | RingdError) => void, bytesMax?: number): void
  /** As `get`, with the expiry. */
  find(
    key: Bytes,
    consistency: Consistency,
    reply: (result: Found | undefined | RingdError) => void,
    bytesMax?: number
  ): void
  /**
   * Reads the key, writes the result of `decide`, and replies with the value that it read. Not atomic: two updates at
   * the same time may read the same value, and then the newer write wins.
   */
  update(
    key: Bytes,
    consistency: Consistency,
    decide: Decide,
    reply: (result: Found | undefined | RingdError) => void,
    bytesMax?: number
  ): void
}
