// Answers of other peers to the requests of operations, checked and in the form that the router counts. Pure.
// Part of the router. Invariant: an answer of another kind becomes BAD_MESSAGE.

import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Answer } from '../../network/network.js'
import type { ReadResult } from '../replica/replica-messages.js'

export function readAnswer(answer: Answer): ReadResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.value === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a read with something else')
  const { envelope, closed } = answer.value
  return closed === undefined ? envelope : { envelope, closed }
}

export function writeAnswer(answer: Answer): Version | undefined | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a write with something else')
  return answer.written.newerVersion
}
