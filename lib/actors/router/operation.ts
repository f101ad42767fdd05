// One client operation under way in the router: what was asked, and its state. Shapes only; the router changes them.

import type { Bytes } from '../../bytes.js'
import type { Envelope } from '../../entry/envelope.js'
import { NOTHING_FOUND, type Resolution } from '../../entry/read-resolution.js'
import type { RingdError } from '../../errors.js'
import type { Change, Consistency, Decide, Found } from '../../key-value.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import { SMALL_ENVELOPE_MAX } from '../large-requests.js'
import type { ReadResult, WriteResult } from '../replica/replica-messages.js'
import type { QuorumPhase } from './quorum-phase.js'

/** `entry`, for healing, replies with the read resolution itself; `find` and `update` with the value and its expiry. */
export type Kind = 'get' | 'put' | 'delete' | 'entry' | 'find' | 'update'
export type Result = Bytes | Found | Resolution | boolean | undefined

/**
 * `put` begins with writing, all other kinds with reading. A read whose owners differ goes on with repairing; a delete
 * or an update goes on with writing. Writing or repairing may return to reading.
 */
export type Step = 'reading' | 'writing' | 'repairing'

export type OperationState =
  /** Created, and not taken by the router yet. */
  | 'new'
  /** `phase` asks the owners. */
  | 'asking'
  /** The write needs a version, and none can be made yet (version-minter.ts). A phase before it is superseded. */
  | 'awaitsVersion'
  /** The client has its answer. */
  | 'ended'

/** The reply of an owner: to a read, to a write, or an error. */
export type OwnerReply = ReadResult | WriteResult | RingdError

/**
 * One client operation under way. Its state is a field and not a union of objects: a union would cost an object for
 * each step, and there is one operation for each client request.
 */
export interface Operation {
  readonly kind: Kind
  readonly key: Bytes
  readonly slot: number
  /**
   * The change that the writing step stores. A put brings it; a delete or an update decides it after reading. Forgotten
   * when the write is acknowledged.
   */
  change: Change
  readonly decide: Decide | undefined
  /** Bytes of memory that it counts for. */
  readonly bytes: number
  readonly consistency: Consistency
  /** The largest envelope that an owner may send in the reading step; undefined: any. */
  readonly bytesMax: number | undefined
  /** The same of the current phase. An operation without a limit asks for a small envelope first. */
  answerMax: number | undefined
  readonly reply: Reply<Result>
  state: OperationState
  step: Step
  /** The phase whose answers count; undefined before the first one and in `ended`. Other answers are ignored. */
  phase: QuorumPhase | undefined
  /** The envelope of the writing step: made once with its version, and kept over retries. */
  envelope: Envelope | undefined
  /** The resolution of the reading step; the repairing step sends its entry. */
  found: Resolution
  /** The reply of a find or an update: the value when it was read. */
  told: Found | undefined
  /** How often the repairing step met a newer entry, so that the key was read again. */
  rereads: number
  /** Bytes of the entries that owners have answered in the reading step, until the operation ends or reads again. */
  answerBytes: number
  /** Monotonic ms. */
  startedAt: number
}

interface Request {
  readonly key: Bytes
  readonly change?: Change | undefined
  readonly decide?: Decide | undefined
  readonly consistency?: Consistency
  readonly bytesMax?: number | undefined
  readonly reply: Reply<never>
}

export function newOperation(kind: Kind, request: Request): Operation {
  const { key, change = 'delete', decide, consistency = 'quorum', bytesMax, reply } = request
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
    reply: reply as Reply<Result>,
    state: 'new',
    step: kind === 'put' ? 'writing' : 'reading',
    phase: undefined,
    envelope: undefined,
    found: NOTHING_FOUND,
    told: undefined,
    rereads: 0,
    answerBytes: 0,
    startedAt: 0
  }
}

/** The envelope that the writing or repairing step sends. */
export function envelopeToSend({ step, found, envelope }: Operation): Envelope {
  return step === 'repairing' ? found.envelope! : envelope!
}

/** The bound below which owners confirmed the entry that a repair sends; undefined when none did, and in a write. */
export function confirmedBelowOf({ step, found }: Operation): number | undefined {
  return step === 'repairing' && found.confirmedBelow > 0 ? found.confirmedBelow : undefined
}
