// Answers of other peers to the requests of operations, checked and in the form that the router counts. Pure.
// Part of the router. Invariant: an answer of another kind becomes BAD_MESSAGE.

import { hasEnvelopeForm } from '../../entry/envelope.js'
import { asVersion, VERSION_BYTES, type Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Answer } from '../../network/network.js'
import type { ReadResult } from '../replica/replica-messages.js'

export function readAnswer(answer: Answer): ReadResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.value === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a read with something else')
  const { closed } = answer.value
  const { envelope } = answer.value
  if (envelope !== undefined && !hasEnvelopeForm(envelope)) {
    return new RingdError('BAD_MESSAGE', 'a peer answered a read with bytes that are no entry')
  }
  return closed === undefined ? envelope : { envelope, closed }
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
