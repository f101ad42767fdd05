// Answers of other peers to the requests of operations, checked and in the form that the router counts. Pure.
// Part of the router. Invariant: an answer of another kind becomes BAD_MESSAGE.

import type { Bytes } from '../../bytes.js'
import { ENVELOPE_OVERHEAD_MAX, type Envelope, hasEnvelopeForm, orderTo, versionMsOf } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { isOwnerAnswer, type OwnerAnswer } from '../../entry/read-resolution.js'
import { VERSION_BYTES, type Version } from '../../entry/version.js'
import { isPromisedAbove } from '../../entry/write-rule.js'
import { RingdError, ValueLarger } from '../../errors.js'
import { VALUE_BYTES_MAX } from '../../limits.js'
import type { Answer } from '../../network/network.js'
import type { PrepareResult, ReadResult, Telling, WriteResult } from '../replica/replica-messages.js'
import type { Target } from './quorum-phase.js'

/** `bytesMax`: the limit of the request, bytes; undefined: it had none. ValueLarger when the entry exceeds it. */
export function readAnswer(answer: Answer, bytesMax = Number.POSITIVE_INFINITY): ReadResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.value === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a read with something else')
  const refusal = entryFault(answer.value, bytesMax)
  if (refusal !== undefined) return refusal
  const { envelope, closed } = answer.value
  return closed === undefined
    ? (envelope as Envelope | undefined)
    : { envelope: envelope as Envelope | undefined, closed }
}

interface AnsweredEntry {
  readonly envelope?: Bytes | undefined
  readonly size?: number | undefined
}

/** ValueLarger in place of an entry that exceeds the limit, BAD_MESSAGE when the answer makes no sense. */
function entryFault({ envelope, size }: AnsweredEntry, bytesMax: number): RingdError | undefined {
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
  return undefined
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

const BALLOT_BELOW = new RingdError('BAD_MESSAGE', 'an owner has promised a ballot below the entry that it holds')

/**
 * Notes what an owner has answered to a prepare of the ballot: what it holds, or what is above the ballot. As
 * `takeReadResult`.
 */
export function takePrepareResult(
  target: Noted,
  result: PrepareResult,
  ballot: Version,
  clock: Pick<HybridClock, 'isAhead'>
): RingdError | undefined {
  if ('refusedBy' in result) {
    target.newer = result.refusedBy
    return undefined
  }
  if (result.envelope !== undefined && orderTo(result.envelope, ballot) >= 0) return BALLOT_BELOW
  target.tellings = result.tellings
  return takeReadResult(target, result, clock)
}

/** Notes what an owner has answered to a write. `countsHad`: an owner that held the entry once has done its part. */
export function takeWriteResult(target: Noted, result: WriteResult, countsHad: boolean): undefined {
  if (result === undefined) return
  target.isPromised = isPromisedAbove(result)
  target.newer = isPromisedAbove(result) ? result.promised : result.newer
  target.had = countsHad && !isPromisedAbove(result) && result.had
}

type Noted = Pick<Target, 'envelope' | 'closed' | 'newer' | 'had' | 'isPromised' | 'tellings'>

/** `origins`: how many the request named. */
export function prepareAnswer(
  answer: Answer,
  origins: number,
  bytesMax = Number.POSITIVE_INFINITY
): PrepareResult | RingdError {
  if (answer instanceof RingdError) return answer
  const { preparedKey } = answer
  if (preparedKey === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a prepare with something else')
  const { refusedBy, envelope, closed = 0, tellings } = preparedKey
  if (refusedBy !== undefined) return isVersion(refusedBy) ? { refusedBy } : NO_VERSION
  const fault = entryFault(preparedKey, bytesMax)
  if (fault !== undefined) return fault
  if (!areTellings(tellings)) return NO_VERSION
  if (tellings.length !== origins)
    return new RingdError('BAD_MESSAGE', 'a peer tells of other writes than was asked for')
  return { envelope: envelope as Envelope | undefined, closed, tellings }
}

const NO_VERSION = new RingdError('BAD_MESSAGE', `a peer answered with a version that has not ${VERSION_BYTES} bytes`)

function areTellings(
  tellings: readonly { readonly versions: readonly { readonly version: Bytes }[] }[]
): tellings is readonly Telling[] {
  return tellings.every(({ versions }) => versions.every(({ version }) => isVersion(version)))
}

function isVersion(bytes: Bytes): bytes is Version {
  return bytes.length === VERSION_BYTES
}

export function writeAnswer(answer: Answer): WriteResult | RingdError {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a write with something else')
  const { newerVersion: newer, had = false, promised } = answer.written
  if (newer === undefined && promised === undefined) return undefined
  const version = (promised ?? newer)!
  if (!isVersion(version)) return NO_VERSION
  return promised === undefined ? { newer: version, had } : { promised: version }
}
