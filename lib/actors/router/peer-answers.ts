// Answers of other peers to the requests of operations, checked and in the form that the router counts. Pure.
// Part of the router. Invariant: an answer of another kind becomes BAD_MESSAGE.

import { ENVELOPE_OVERHEAD_MAX, hasEnvelopeForm, versionMsOf } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { isOwnerAnswer, type OwnerAnswer } from '../../entry/read-resolution.js'
import { asVersion, VERSION_BYTES, type Version } from '../../entry/version.js'
import { isPromisedAbove } from '../../entry/write-rule.js'
import { RingdError, ValueLarger } from '../../errors.js'
import { VALUE_BYTES_MAX } from '../../limits.js'
import type { Answer } from '../../network/network.js'
import type { ReadResult, WriteResult } from '../replica/replica-messages.js'

/** `bytesMax`: the limit of the request, bytes; undefined: it had none. ValueLarger when the entry exceeds it. */
export function readAnswer(answer: Answer, bytesMax = Number.POSITIVE_INFINITY): ReadResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.value === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a read with something else')
  const { envelope, closed, size } = answer.value
  if (size !== undefined) {
    const isSound = size > bytesMax && size <= VALUE_BYTES_MAX + ENVELOPE_OVERHEAD_MAX && envelope === undefined
    return isSound ? new ValueLarger(size) : new RingdError('BAD_MESSAGE', 'a peer answered a read with a wrong size')
  }
  if (envelope !== undefined && envelope.length > bytesMax) {
    return new RingdError('BAD_MESSAGE', 'a peer answered a read with more than was asked for')
  }
  if (envelope !== undefined && !hasEnvelopeForm(envelope)) {
    return new RingdError('BAD_MESSAGE', 'a peer answered a read with bytes that are no entry')
  }
  return closed === undefined ? envelope : { envelope, closed }
}

const ENTRY_AHEAD = new RingdError(
  'CLOCK_SKEW',
  'an owner holds an entry that lies too far ahead; run ringd doctor on its peer'
)

/**
 * Notes what an owner has answered to a read. CLOCK_SKEW, and nothing is noted, when its entry lies too far ahead. Such
 * an entry was never acknowledged: each owner of the quorum would have refused it. So its owner counts as one that has
 * failed, and the others are asked. If it was acknowledged all the same, another owner of every quorum holds it too,
 * and the read fails.
 */
export function takeReadResult(
  target: { -readonly [Key in keyof OwnerAnswer]: OwnerAnswer[Key] },
  result: ReadResult,
  clock: Pick<HybridClock, 'isAhead'>
): RingdError | undefined {
  const isAnswer = isOwnerAnswer(result)
  const envelope = isAnswer ? result.envelope : result
  if (envelope !== undefined && clock.isAhead(versionMsOf(envelope))) return ENTRY_AHEAD
  target.envelope = envelope
  target.closed = isAnswer ? result.closed : 0
  return undefined
}

export function writeAnswer(answer: Answer): WriteResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a write with something else')
  const { newerVersion, had, promised } = answer.written
  const version = promised ?? newerVersion
  if (version === undefined) return undefined
  if (version.length !== VERSION_BYTES) {
    return new RingdError('BAD_MESSAGE', `a version has ${VERSION_BYTES} bytes, not ${version.length}`)
  }
  return promised === undefined ? { newer: asVersion(version), had: had === true } : { promised: asVersion(version) }
}

export function isPromised(result: WriteResult): boolean {
  return result !== undefined && isPromisedAbove(result)
}

/** The newer version that the owner holds in place of the write; undefined: it holds the write. */
export function newerOf(result: WriteResult): Version | undefined {
  return result === undefined || isPromisedAbove(result) ? undefined : result.newer
}
