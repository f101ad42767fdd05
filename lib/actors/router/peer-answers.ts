// Answers of other peers to the requests of operations, checked and in the form that the router counts. Pure.
// Part of the router. Invariant: an answer of another kind becomes BAD_MESSAGE.

import { ENVELOPE_OVERHEAD_MAX, hasEnvelopeForm } from '../../entry/envelope.js'
import { isOwnerAnswer, type OwnerAnswer } from '../../entry/read-resolution.js'
import { asVersion, VERSION_BYTES, type Version } from '../../entry/version.js'
import { RingdError, ValueLarger } from '../../errors.js'
import { VALUE_BYTES_MAX } from '../../limits.js'
import type { Answer } from '../../network/network.js'
import type { ReadResult } from '../replica/replica-messages.js'

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

/** Notes what an owner has answered to a read. */
export function takeReadResult(target: { -readonly [Key in keyof OwnerAnswer]: OwnerAnswer[Key] }, result: ReadResult) {
  const isAnswer = isOwnerAnswer(result)
  target.envelope = isAnswer ? result.envelope : result
  target.closed = isAnswer ? result.closed : 0
}

export function writeAnswer(answer: Answer): Version | undefined | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a write with something else')
  const { newerVersion } = answer.written
  if (newerVersion === undefined) return undefined
  if (newerVersion.length !== VERSION_BYTES) {
    return new RingdError('BAD_MESSAGE', `a version has ${VERSION_BYTES} bytes, not ${newerVersion.length}`)
  }
  return asVersion(newerVersion)
}
