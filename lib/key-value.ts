// The interface between the doors and the ring. The router implements it; a door uses nothing else of the node.
//
// Every operation on a key is atomic, and all operations on it at the levels `quorum` and `all` are linearizable
// together: each takes effect at one moment between its call and its answer. lib/README.md has the table of promises.
import type { Bytes } from './bytes.js'
import type { Version } from './entry/version.js'
import type { RingdError } from './errors.js'

/** The owners that must answer: one, a majority, or all owners of each config in the slot's window. */
export type Consistency = 'one' | 'quorum' | 'all'
export const CONSISTENCIES: readonly Consistency[] = ['one', 'quorum', 'all']

/** A value to store. */
export interface Value {
  readonly value: Bytes
  /** Absolute, ms since the epoch; undefined: the value does not expire. */
  readonly expiresAtMs: number | undefined
}

/** A value that was found. */
export interface Found extends Value {
  /** Names the write that stored the value. It stays when the ring has to store the value again. */
  readonly version: Version
}

/** The replacement of an entry: a value, which may expire, or a deletion. */
export type Change = Value | 'delete'

/** What an update does with the value that it has found. */
export interface Decision<T> {
  /** Undefined: nothing is written. */
  readonly change: Change | undefined
  /** The answer, once the change is on the disks of a quorum. An error when the value does not allow the operation. */
  readonly result: T | RingdError
}

/**
 * Decides by the value that was found; undefined: there is none. Called again when another write came first. The result
 * of the call whose change took effect is the answer. It must remember nothing.
 */
export type Decide<T> = (found: Found | undefined) => Decision<T>

export interface UpdateOptions {
  /** As in a read. */
  readonly bytesMax?: number | undefined
  /** It often writes nothing: the value is read first, and the costlier way is taken only when there is a change. */
  readonly isConditional?: boolean | undefined
}

/**
 * Each method calls back exactly once, with a result or an error (NOT_SERVING, OVERLOADED, NO_QUORUM, DISK_FULL,
 * KEY_TOO_LARGE, VALUE_TOO_LARGE). After an error nothing has changed, and nothing will, with one exception:
 * UNKNOWN_OUTCOME says that the change may have taken effect, may still do so, or may never.
 *
 * Callbacks instead of promises, because this is the hot path. The caller must not change a buffer that it passed. A
 * value that has expired by the clock of this peer reads as absent. An expiry that is not a whole number of ms below
 * 2^48 is BAD_REQUEST.
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
   * Reads the key and writes the change that `decide` makes of it, as one step: between the value that it saw and the
   * change no other write takes effect. UNKNOWN_OUTCOME when it may or may not have taken effect.
   */
  update<T>(
    key: Bytes,
    consistency: Consistency,
    decide: Decide<T>,
    reply: (result: T | RingdError) => void,
    options?: UpdateOptions
  ): void
}
