// What follows in an operation when owners of quorums have promised its ballot: its end, an entry to write, or more
// owners to hear. Pure: the router passes the time, and does what is said here. Part of the router.
// Invariant: the answer of an operation whose condition fails is given only after the entry that it was decided by is
// on quorums under the ballot. Otherwise a later operation could find less.
// Source: rules A8a to A8f of lib/views/README.md.

import { type Bytes, EMPTY_BYTES } from '../../bytes.js'
import { type Envelope, encodeEnvelope, expiresAt, isAbsent, originOf, valueBytes } from '../../entry/envelope.js'
import { asVersion, VERSION_BYTES, type Version } from '../../entry/version.js'
import type { Change } from '../../key-value.js'
import { type AfterWriting, ATTEMPTS_MAX, type Operation } from './operation.js'
import { decisionOf, readResult } from './operation-outcome.js'
import type { QuorumPhase } from './quorum-phase.js'
import { judgeRound } from './round.js'

export type RoundStep =
  | { readonly type: 'end'; readonly result: unknown }
  /** The other owners decide, under the same ballot. */
  | { readonly type: 'hear' }
  /** It has tried too often. */
  | { readonly type: 'gives up' }
  | {
      readonly type: 'write'
      readonly envelope: Envelope
      /** It is the effect of this operation. */
      readonly isOwn: boolean
      /** It is a new attempt. */
      readonly isNew: boolean
      readonly after: AfterWriting
      readonly result: unknown
    }

/** The origin of the tombstone by which a round agrees that there is no entry. Below every version. */
const NO_ORIGIN = asVersion(new Uint8Array(VERSION_BYTES))

/** `operation.found` is the resolution of the promises, and `operation.ballot` what they promise. */
export function afterPrepare(
  operation: Operation,
  phase: QuorumPhase,
  nowMs: number,
  maxValueBytes: number
): RoundStep {
  const { kind, key, consistency, attempts, found, decide } = operation
  const origins = attempts.map(({ origin }) => origin)
  const state = judgeRound(phase.window, phase.promised(), origins, found, consistency === 'all')
  if (state.type === 'undecided') return { type: 'hear' }
  if (state.type === 'done') return { type: 'end', result: attempts[state.attempt]!.result }
  const ballot = operation.ballot!
  const adoption = { type: 'write', envelope: adopted(key, ballot, found.envelope, nowMs), isNew: false } as const
  if (state.type === 'own') {
    return { ...adoption, isOwn: true, after: 'ends', result: attempts[state.attempt]!.result }
  }
  const ends = { ...adoption, isOwn: false, after: 'ends' } as const
  if (kind !== 'put' && decide === undefined) return { ...ends, result: readResult(operation, nowMs) }
  const { change, result } = decisionOf(operation, nowMs, maxValueBytes)
  if (change === undefined) return { ...ends, result }
  if (!state.isChosen) return { ...adoption, isOwn: false, after: 'prepares', result: undefined }
  if (attempts.length >= ATTEMPTS_MAX) return { type: 'gives up' }
  return { type: 'write', envelope: changed(key, ballot, change), isOwn: true, isNew: true, after: 'ends', result }
}

/** The entry again, under the ballot; a tombstone when there is none, or when it has expired. */
function adopted(key: Bytes, ballot: Version, found: Envelope | undefined, nowMs: number): Envelope {
  const origin = found === undefined ? NO_ORIGIN : originOf(found)
  if (found === undefined || isAbsent(found, nowMs)) {
    return encodeEnvelope(key, { version: ballot, origin, tombstone: true, value: EMPTY_BYTES })
  }
  const entry = { tombstone: false, expiresAtMs: expiresAt(found), value: valueBytes(found) }
  return encodeEnvelope(key, { version: ballot, origin, ...entry })
}

/** The entry of a change under this version. */
export function changed(key: Bytes, version: Version, change: Change): Envelope {
  if (change === 'delete') return encodeEnvelope(key, { version, tombstone: true, value: EMPTY_BYTES })
  const { value, expiresAtMs } = change
  return encodeEnvelope(key, { version, tombstone: false, expiresAtMs, value })
}
