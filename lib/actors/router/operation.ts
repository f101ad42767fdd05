// One client operation under way in the router: what was asked, and its state. Shapes only; the router changes them.

import type { Bytes } from '../../bytes.js'
import type { Envelope } from '../../entry/envelope.js'
import { NOTHING_FOUND, type Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { RingdError } from '../../errors.js'
import type { Change, Consistency, Decide, Found } from '../../key-value.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import { SMALL_ENVELOPE_MAX } from '../large-requests.js'
import type { PrepareResult, ReadResult, WriteResult } from '../replica/replica-messages.js'
import type { QuorumPhase } from './quorum-phase.js'

/**
 * `entry`, for healing, replies with the read resolution itself; `find` with the value and its expiry; `update` and
 * `delete` with the result of their decision. `settle` is a round that changes nothing and ends old promises.
 */
export type Kind = 'get' | 'put' | 'delete' | 'entry' | 'find' | 'update' | 'settle'
export type Result = Bytes | Found | Resolution | unknown

/**
 * `put` begins with writing; an update that always writes, and `settle`, begin with preparing; all others with reading.
 * A read whose owners differ goes on with repairing. Preparing and writing are the two halves of a round (round.md).
 */
export type Step = 'reading' | 'preparing' | 'writing' | 'repairing'

/** What follows when the entry of the writing step is on quorums. */
export type AfterWriting =
  /** The operation ends with `result`. */
  | 'ends'
  /** The round begins again: what was written is the entry that the operation builds on. */
  | 'prepares'

export type OperationState =
  /** Created, and not taken by the router yet. */
  | 'new'
  /** Another operation of this peer changes the key; this one waits for its turn (key-turns.ts). */
  | 'queued'
  /** Another operation does its work, with that of others, and ends it. */
  | 'joined'
  /** `phase` asks the owners. */
  | 'asking'
  /** The write or the ballot needs a version, and none can be made yet (version-minter.ts). */
  | 'awaitsVersion'
  /** Another operation was in its way. It begins its step `afterPause` at `pausesUntil`. */
  | 'pauses'
  /** The client has its answer. */
  | 'ended'

/** The reply of an owner: to a read, to a write, to a prepare, or an error. */
export type OwnerReply = ReadResult | WriteResult | PrepareResult | RingdError

/** An entry that the operation has made and sent, and the answer if it is found to have taken effect. */
export interface Attempt {
  readonly origin: Version
  readonly result: unknown
}

const NO_ATTEMPTS: readonly Attempt[] = []
/** A prepare asks for no more origins. An operation that has tried more often ends with UNKNOWN_OUTCOME. */
export const ATTEMPTS_MAX = 16

/**
 * One client operation under way. Its state is a field and not a union of objects: a union would cost an object for
 * each step, and there is one operation for each client request.
 */
export interface Operation {
  readonly kind: Kind
  readonly key: Bytes
  readonly slot: number
  /** The change of a put. Forgotten when the write is acknowledged. */
  change: Change
  /** Of updates and deletes. */
  readonly decide: Decide<unknown> | undefined
  /** Bytes of memory that it counts for. */
  readonly bytes: number
  readonly consistency: Consistency
  /** The largest envelope that an owner may send in the reading and preparing steps; undefined: any. */
  readonly bytesMax: number | undefined
  /** The same of the current phase. An operation without a limit asks for a small envelope first. */
  answerMax: number | undefined
  /** The reads come first: it often writes nothing. */
  readonly isConditional: boolean
  readonly reply: Reply<Result>
  /** The operations in whose place it was made (key-turns.ts): its result is the list of theirs. */
  readonly members: readonly Operation[] | undefined
  state: OperationState
  step: Step
  /** The phase whose answers count; undefined before the first one and in `ended`. Other answers are ignored. */
  phase: QuorumPhase | undefined
  /** The envelope of the writing step, kept over retries. */
  envelope: Envelope | undefined
  /** The version under which the preparing step asks; undefined: none was made for this phase. */
  ballot: Version | undefined
  /** What it has made and sent, oldest first: the entries that may be its effect. */
  attempts: readonly Attempt[]
  /** The entry of the writing step is the effect of this operation, and not that of another one, written again. */
  sendsOwn: boolean
  afterWriting: AfterWriting
  /** The answer, once the step under way is complete. */
  result: unknown
  /** Requests with its own entry that were not certainly refused. While above 0 no error is certain. */
  loose: number
  /** How often another operation was in the way. */
  conflicts: number
  /** Monotonic ms, in the state `pauses`. */
  pausesUntil: number
  afterPause: Step
  /** The resolution of the reading or preparing step; the repairing step sends its entry. */
  found: Resolution
  /** How often the repairing step was refused, so that the key was read again. */
  rereads: number
  /** Bytes of the entries that owners have answered, until the operation ends or asks again. */
  answerBytes: number
  /** Monotonic ms. */
  startedAt: number
}

interface Request {
  readonly key: Bytes
  readonly change?: Change | undefined
  readonly decide?: Decide<unknown> | undefined
  readonly consistency?: Consistency
  readonly bytesMax?: number | undefined
  readonly isConditional?: boolean | undefined
  readonly reply: Reply<never>
}

export function newOperation(kind: Kind, request: Request): Operation {
  const { key, change = 'delete', decide, consistency = 'quorum', bytesMax, isConditional = false, reply } = request
  return {
    kind,
    key,
    slot: slotOf(key),
    change,
    decide,
    bytes: key.length + (change === 'delete' ? 0 : change.value.length),
    consistency,
    bytesMax,
    answerMax: bytesMax ?? SMALL_ENVELOPE_MAX,
    isConditional,
    reply: reply as Reply<Result>,
    members: undefined,
    state: 'new',
    step: firstStep(kind, isConditional),
    phase: undefined,
    envelope: undefined,
    ballot: undefined,
    attempts: NO_ATTEMPTS,
    sendsOwn: kind === 'put',
    afterWriting: 'ends',
    result: undefined,
    loose: 0,
    conflicts: 0,
    pausesUntil: 0,
    afterPause: 'preparing',
    found: NOTHING_FOUND,
    rereads: 0,
    answerBytes: 0,
    startedAt: 0
  }
}

function firstStep(kind: Kind, isConditional: boolean): Step {
  if (kind === 'put') return 'writing'
  return kind === 'settle' || (kind === 'update' && !isConditional) ? 'preparing' : 'reading'
}

/** Whether it changes the key by what it finds there, so that operations of this kind on one key take turns. */
export function takesTurns({ decide }: Operation): boolean {
  return decide !== undefined
}

/** The envelope that the writing or repairing step sends. */
export function envelopeToSend({ step, found, envelope }: Operation): Envelope {
  return step === 'repairing' ? found.envelope! : envelope!
}

/** The bound below which owners confirmed the entry that a repair sends; undefined when none did, and in a write. */
export function confirmedBelowOf({ step, found }: Operation): number | undefined {
  return step === 'repairing' && found.confirmedBelow > 0 ? found.confirmedBelow : undefined
}

/** A promise is asked of quorums. So is the entry of a round: only a blind write is content with one owner. */
export function levelOf({ step, consistency, ballot }: Operation): Consistency {
  if (step === 'preparing') return 'quorum'
  return step === 'writing' && ballot !== undefined && consistency === 'one' ? 'quorum' : consistency
}

/** Whether the step sends an entry that is the effect of this operation. */
export function sendsEffect({ step, sendsOwn }: Operation): boolean {
  return step === 'writing' && sendsOwn
}
