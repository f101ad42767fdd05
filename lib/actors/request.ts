// One client request under way in the router: what was asked, and how far it is. Shapes only; the router moves it.
import type { Reply } from '../actor/actor.js'
import { type Bytes, EMPTY_BYTES } from '../bytes.js'
import type { Consistency } from '../key-value.js'
import { slotOf } from '../ring/slots.js'
import type { Phase } from './operation.js'

export type Kind = 'get' | 'put' | 'delete' | 'entry'
export type Step = 'reading' | 'writing' | 'repairing'
export type Result = Bytes | boolean | undefined

/** One client request under way. */
export interface Operation {
  readonly kind: Kind
  readonly key: Bytes
  readonly slot: number
  /** What to store, for a put; nothing once that has been acknowledged. */
  value: Bytes
  readonly consistency: Consistency
  readonly reply: Reply<Result>
  step: Step
  /** Answers of any other phase come too late; none once it has been answered. */
  phase: Phase | undefined
  /** What the writing step writes: minted once, kept over retries. */
  envelope: Bytes | undefined
  /** What the reading step found. */
  found: Bytes | undefined
  /** How often that was outdated before it was repaired, so that it was read again. */
  rereads: number
  startedAt: number
  /** It cannot go on before the ring or the clock has moved. */
  waits: boolean
}

interface Asked {
  readonly key: Bytes
  readonly value?: Bytes
  readonly consistency?: Consistency
  readonly reply: Reply<never>
}

export function newOperation(kind: Kind, asked: Asked): Operation {
  const { key, value = EMPTY_BYTES, consistency = 'quorum', reply } = asked
  return {
    kind,
    key,
    slot: slotOf(key),
    value,
    consistency,
    reply: reply as Reply<Result>,
    step: kind === 'put' ? 'writing' : 'reading',
    phase: undefined,
    envelope: undefined,
    found: undefined,
    rereads: 0,
    startedAt: 0,
    waits: false
  }
}

/** Bytes that it keeps. */
export function sizeOf(operation: Operation): number {
  return operation.key.length + operation.value.length
}
