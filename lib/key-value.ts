// What a door may ask of the ring. The router answers; doors hold nothing else.
import type { Bytes } from './bytes.js'
import type { RingdError } from './errors.js'

/** How many owners must answer: one, a majority, or every one, of each config in the slot's window. */
export type Consistency = 'one' | 'quorum' | 'all'
export const CONSISTENCIES: readonly Consistency[] = ['one', 'quorum', 'all']

/**
 * Calls back exactly once, with a result or an error (NOT_SERVING, OVERLOADED, NO_QUORUM, TIMEOUT, DISK_FULL,
 * KEY_TOO_LARGE, VALUE_TOO_LARGE). Callbacks, not promises: this is the hot path. Buffers handed over must not change.
 */
export interface KeyValue {
  /** The value, or undefined when there is none. */
  get(key: Bytes, consistency: Consistency, reply: (result: Bytes | undefined | RingdError) => void): void
  put(key: Bytes, value: Bytes, consistency: Consistency, reply: (result: undefined | RingdError) => void): void
  /** Whether the key existed before. */
  delete(key: Bytes, consistency: Consistency, reply: (existed: boolean | RingdError) => void): void
}
