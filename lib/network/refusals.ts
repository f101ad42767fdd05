// Errors as answers, and answers as errors. A refusal is what travels of an error: its code and its message.
import { isErrorCode, RingdError } from '../errors.js'
import { type Answer, type Body, InformedRefusal } from './network.js'
import type { Refusal } from './wire.js'

/** A longer message of a refusal is cut. */
const REFUSAL_CHARS_MAX = 1000

/** The error of a pending request when its link ends: UNREACHABLE, or STOPPED when this side stopped. */
export function pendingError(error: RingdError): RingdError {
  if (error.code === 'STOPPED' || error.code === 'UNREACHABLE') return error
  return new RingdError('UNREACHABLE', `the link has ended: ${error.message}`, { cause: error })
}

/** The end of a link whose peer has to go: see byte-budget.ts. */
export function noRoom(): RingdError {
  return new RingdError('OVERLOADED', 'there is no room for the bytes that the peer has under way')
}

export function refusalOf(error: RingdError): Refusal {
  const refusal: Refusal = { code: error.code, message: error.message.slice(0, REFUSAL_CHARS_MAX) }
  if (error instanceof InformedRefusal) refusal.knowledge = error.knowledge
  return refusal
}

export function answerOf(body: Body): Answer {
  return body.refusal === undefined ? body : errorOf(body.refusal)
}

export function errorOf({ code, message, knowledge }: Refusal): RingdError {
  const known = isErrorCode(code) ? code : 'INTERNAL'
  const text = message.slice(0, REFUSAL_CHARS_MAX)
  return knowledge === undefined ? new RingdError(known, text) : new InformedRefusal(known, text, knowledge)
}
