// Decides the write of an operation after its read, and the answer to its client. Pure: the router passes the time.

import type { Bytes } from '../../bytes.js'
import { type Envelope, EXPIRES_AT_MS_MAX, expiresAt, isAbsent, valueBytes } from '../../entry/envelope.js'
import { RingdError } from '../../errors.js'
import type { Change, Found } from '../../key-value.js'
import type { Operation, Result } from './operation.js'

const NO_VERSION =
  'this peer made no version in time: its disk is slow, or no other member was heard to compare the clock with'

/** The change to write after the read; undefined: nothing. Sets `told`. VALUE_TOO_LARGE, BAD_REQUEST. */
export function decideChange(
  operation: Operation,
  nowMs: number,
  maxValueBytes: number
): Change | undefined | RingdError {
  const { kind, decide } = operation
  const found = operation.found.envelope
  if (kind === 'get') return undefined
  if (kind === 'delete') return found === undefined || isAbsent(found, nowMs) ? undefined : 'delete'
  operation.told = liveEntry(found, nowMs)
  const change = decide?.(operation.told)
  return change && changeAt(change, nowMs, maxValueBytes)
}

/** The answer to the client when the last step is complete. */
export function outcomeOf({ kind, step, found, told }: Operation, nowMs: number): Result {
  if (kind === 'get') return liveValue(found.envelope, nowMs)
  if (kind === 'delete') return step === 'writing'
  return kind === 'put' ? undefined : told
}

/** The answer to the client when the operation is over its time. */
export function timedOut({ phase, state }: Operation): RingdError {
  if (state === 'awaitsVersion') return new RingdError('NO_QUORUM', NO_VERSION)
  const targets = phase?.targets ?? []
  const silent = targets.filter(({ standing }) => standing !== 'answered').length
  return new RingdError('NO_QUORUM', `${silent} of ${targets.length} owners did not answer in time`)
}

/** The change as it is written at `nowMs`: with an expiry that is over it is a delete. VALUE_TOO_LARGE, BAD_REQUEST. */
export function changeAt(change: Change, nowMs: number, maxValueBytes: number): Change | RingdError {
  if (change === 'delete') return change
  const { value, expiresAtMs } = change
  if (value.length > maxValueBytes) {
    return new RingdError(
      'VALUE_TOO_LARGE',
      `the value has ${value.length} bytes; at most ${maxValueBytes} are allowed`
    )
  }
  if (expiresAtMs === undefined) return change
  if (expiresAtMs <= nowMs) return 'delete'
  if (Number.isInteger(expiresAtMs) && expiresAtMs <= EXPIRES_AT_MS_MAX) return change
  return new RingdError('BAD_REQUEST', `the expiry ${expiresAtMs} is not a whole number of ms since 1970 below 2^48`)
}

/** The value of an entry; undefined when it is absent. */
export function liveValue(envelope: Envelope | undefined, nowMs: number): Bytes | undefined {
  return envelope === undefined || isAbsent(envelope, nowMs) ? undefined : valueBytes(envelope)
}

/** The value of an entry and its expiry; undefined when it is absent. */
export function liveEntry(envelope: Envelope | undefined, nowMs: number): Found | undefined {
  if (envelope === undefined || isAbsent(envelope, nowMs)) return undefined
  return { value: valueBytes(envelope), expiresAtMs: expiresAt(envelope) }
}
