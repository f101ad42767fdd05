// One client request under way in the router: what was asked, and how far it is. Shapes only; the router moves it.

import type { Bytes } from '../../bytes.js'
import { EXPIRES_AT_MS_MAX, expiresAt, isAbsent, valueBytes } from '../../entry/envelope.js'
import { NOTHING_FOUND, type Resolution } from '../../entry/read-resolution.js'
import { RingdError } from '../../errors.js'
import type { Change, Consistency, Decide, Found } from '../../key-value.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { QuorumPhase } from './quorum-phase.js'

/** `entry` wants what the owners say of the entry; `find` and `update` the value with its expiry. */
export type Kind = 'get' | 'put' | 'delete' | 'entry' | 'find' | 'update'
export type Step = 'reading' | 'writing' | 'repairing'
export type Result = Bytes | Found | Resolution | boolean | undefined

/** One client request under way. */
export interface Operation {
  readonly kind: Kind
  readonly key: Bytes
  readonly slot: number
  /**
   * What the writing step stores: known from the start, or decided when an update has read; forgotten once it has been
   * acknowledged.
   */
  change: Change
  readonly decide: Decide | undefined
  /** Bytes that it keeps. */
  readonly bytes: number
  readonly consistency: Consistency
  readonly reply: Reply<Result>
  step: Step
  /** Answers of any other phase come too late; none once it has been answered. */
  phase: QuorumPhase | undefined
  /** What the writing step writes: minted once, kept over retries. */
  envelope: Bytes | undefined
  /** What the reading step found, which is what the repairing step writes. */
  found: Resolution
  /** What a find or an update tells of it: as it was when it was read. */
  told: Found | undefined
  /** How often that was outdated before it was repaired, so that it was read again. */
  rereads: number
  startedAt: number
  /** It cannot go on before the ring or the clock has moved. */
  waits: boolean
}

interface Asked {
  readonly key: Bytes
  readonly change?: Change | undefined
  readonly decide?: Decide | undefined
  readonly consistency?: Consistency
  readonly reply: Reply<never>
}

export function newOperation(kind: Kind, asked: Asked): Operation {
  const { key, change = 'delete', decide, consistency = 'quorum', reply } = asked
  return {
    kind,
    key,
    slot: slotOf(key),
    change,
    decide,
    bytes: key.length + (change === 'delete' ? 0 : change.value.length),
    consistency,
    reply: reply as Reply<Result>,
    step: kind === 'put' ? 'writing' : 'reading',
    phase: undefined,
    envelope: undefined,
    found: NOTHING_FOUND,
    told: undefined,
    rereads: 0,
    startedAt: 0,
    waits: false
  }
}

/**
 * What writing this at `nowMs` comes to: an expiry that is over already leaves nothing. VALUE_TOO_LARGE, BAD_REQUEST.
 */
export function changeAt(change: Change, nowMs: number, maxValueBytes: number): Change | RingdError {
  if (change === 'delete') return change
  const { value, expiresAtMs } = change
  if (value.length > maxValueBytes) {
    return new RingdError('VALUE_TOO_LARGE', `a value has at most ${maxValueBytes} bytes`)
  }
  if (expiresAtMs === undefined) return change
  if (expiresAtMs <= nowMs) return 'delete'
  if (Number.isInteger(expiresAtMs) && expiresAtMs <= EXPIRES_AT_MS_MAX) return change
  return new RingdError('BAD_REQUEST', 'an expiry is a whole number of ms since 1970, below 2^48')
}

/** The value of an entry; undefined when it is gone. */
export function liveValue(envelope: Bytes | undefined, nowMs: number): Bytes | undefined {
  return envelope === undefined || isAbsent(envelope, nowMs) ? undefined : valueBytes(envelope)
}

/** The same with its expiry. */
export function liveEntry(envelope: Bytes | undefined, nowMs: number): Found | undefined {
  if (envelope === undefined || isAbsent(envelope, nowMs)) return undefined
  return { value: valueBytes(envelope), expiresAtMs: expiresAt(envelope) }
}
