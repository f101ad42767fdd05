// Decides the change of an operation by the value that was found, and the answer to its client. Pure: the router passes
// the time.

import type { Bytes } from '../../bytes.js'
import {
  type Envelope,
  EXPIRES_AT_MS_MAX,
  expiresAt,
  isAbsent,
  isTombstone,
  originOf,
  valueBytes
} from '../../entry/envelope.js'
import { isBefore } from '../../entry/purge-bounds.js'
import { asVersion, VERSION_BYTES } from '../../entry/version.js'
import { CERTAIN_REFUSALS, RingdError, toRingdError } from '../../errors.js'
import type { Change, Decide, Decision, Found } from '../../key-value.js'
import type { Operation, OwnerReply } from './operation.js'
import type { Target } from './quorum-phase.js'

const NO_VERSION =
  'this peer made no version in time: its disk is slow, or no other member was heard to compare the clock with'
const BUSY_KEY = 'too many operations change this key at the same time; try again later'

/** The version of a value that was decided in the same write, so that nobody has seen it. No client can name it. */
const UNSEEN = asVersion(new Uint8Array(VERSION_BYTES))

/** The decision of the operation on what it has found. */
export function decisionOf(operation: Operation, nowMs: number, maxValueBytes: number): Decision<unknown> {
  const { kind, change, decide, members } = operation
  if (kind === 'put') return { change, result: undefined }
  const found = liveEntry(operation.found.envelope, nowMs)
  if (members === undefined) return decisionAt(decide!, found, nowMs, maxValueBytes)
  let now = found
  let last: Change | undefined
  const result = members.map((member) => {
    const decision = decisionAt(member.decide!, now, nowMs, maxValueBytes)
    if (decision.change !== undefined) {
      last = decision.change
      now = last === 'delete' ? undefined : { ...last, version: UNSEEN }
    }
    return decision.result
  })
  return { change: last, result }
}

/** A change that is not allowed, and a decision that throws, change nothing: their error is the answer. */
function decisionAt(
  decide: Decide<unknown>,
  found: Found | undefined,
  nowMs: number,
  maxValueBytes: number
): Decision<unknown> {
  try {
    const decision = decide(found)
    if (decision.change === undefined) return decision
    const checked = changeAt(decision.change, nowMs, maxValueBytes)
    if (checked instanceof RingdError) return { change: undefined, result: checked }
    return { change: checked, result: decision.result }
  } catch (thrown) {
    return { change: undefined, result: toRingdError(thrown) }
  }
}

/** The answer to a read of what was found. */
export function readResult({ kind, found }: Operation, nowMs: number): unknown {
  if (kind === 'get') return liveValue(found.envelope, nowMs)
  return kind === 'find' ? liveEntry(found.envelope, nowMs) : undefined
}

/** Why an operation has not ended when it is over its time. */
export function timedOut({ phase, state }: Operation): RingdError {
  if (state === 'awaitsVersion') return new RingdError('NO_QUORUM', NO_VERSION)
  if (state === 'queued' || state === 'pauses') return new RingdError('OVERLOADED', BUSY_KEY)
  const targets = phase?.targets ?? []
  const silent = targets.filter(({ standing }) => standing !== 'answered').length
  if (silent === 0) return new RingdError('OVERLOADED', BUSY_KEY)
  return new RingdError('NO_QUORUM', `${silent} of ${targets.length} owners did not answer in time`)
}

/** The answer of an operation that ends with an error: UNKNOWN_OUTCOME when its entry may be stored by some owner. */
export function failureOf({ loose }: Operation, error: RingdError): RingdError {
  if (loose === 0 || error.code === 'UNKNOWN_OUTCOME') return error
  const message = `the operation may or may not have taken effect (${error.code}: ${error.message})`
  return new RingdError('UNKNOWN_OUTCOME', message, { cause: error })
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

/** Whether the entry has a value, and that has expired. */
export function hasExpired(envelope: Envelope | undefined, nowMs: number): boolean {
  return envelope !== undefined && !isTombstone(envelope) && isAbsent(envelope, nowMs)
}

/** The value of an entry and its expiry; undefined when it is absent. */
export function liveEntry(envelope: Envelope | undefined, nowMs: number): Found | undefined {
  if (envelope === undefined || isAbsent(envelope, nowMs)) return undefined
  return { value: valueBytes(envelope), expiresAtMs: expiresAt(envelope), version: originOf(envelope) }
}

/** The owner has certainly not stored what this request carried, and never will. */
export function isCertainRefusal(result: OwnerReply): boolean {
  if (result instanceof RingdError) return CERTAIN_REFUSALS.has(result.code)
  if (result === undefined) return false
  const { promised, had } = result as { promised?: unknown; had?: boolean }
  return promised !== undefined || had === false
}

/**
 * In a repair: the owner holds a newer entry that the read did not see. The one that was read may never reach a quorum
 * then, so that no later read could find it, and this read must not return it.
 */
export function isOvertaken({ found }: Operation, { newer, isPromised }: Target): boolean {
  return newer !== undefined && !isPromised && !isBefore(newer, found.deniedBelow)
}
