// What other peers answer to operations, as the router takes it. Trusts no shape.
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Answer } from '../../network/network.js'
import type { ReadResult } from '../replica/replica-messages.js'

export function readAnswer(answer: Answer): ReadResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.value === undefined) return new RingdError('BAD_MESSAGE', 'not an answer to a read')
  const { envelope, closed } = answer.value
  return closed === undefined ? envelope : { envelope, closed }
}

export function writeAnswer(answer: Answer): Version | undefined | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'not an answer to a write')
  return answer.written.newerVersion
}
