// What becomes of the owners that had not taken a write when it was acknowledged: each gets a hint, unless its answer
// comes after all. Part of the router.
// Invariants: an operation is over before it is looked at here, so that a hint never counts towards a quorum; what is
// remembered meanwhile is bounded, and what is beyond is counted as dropped.

import { type ErrorCode, RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Counter, Metrics } from '../../metrics.js'
import type { Ref } from '../../runtime/actor.js'
import { hintsDropped } from '../hints/hint-metrics.js'
import type { HintsMessage } from '../hints/hints.js'
import type { ReadResult } from '../replica/replica-messages.js'
import type { Operation } from './operation.js'
import type { QuorumPhase, Target } from './quorum-phase.js'

export interface MissedWritesDeps {
  readonly metrics: Metrics
  readonly hints: Ref<HintsMessage>
}

/** Answers that are waited for. Usually they are a few milliseconds late; these are for an owner that hangs. */
export const AWAITED_MAX = 20_000
const AWAITED_BYTES_MAX = 64 * MiB

/**
 * Refusals after which the owner lacks the write and nothing else brings it: after STALE_VIEW and NOT_OWNER pulls do,
 * after BAD_ENTRY healing; and who calls the version too new or the request bad would do so again.
 */
const HINTED: ReadonlySet<ErrorCode> = new Set([
  'TIMEOUT',
  'UNREACHABLE',
  'OVERLOADED',
  'STORE_FAILED',
  'DISK_FULL',
  'BEHIND',
  'NOT_SERVING',
  'STOPPED'
])

export class MissedWrites {
  readonly #hints: Ref<HintsMessage>
  readonly #dropped: Counter
  #count = 0
  #bytes = 0

  constructor({ metrics, hints }: MissedWritesDeps) {
    this.#hints = hints
    this.#dropped = hintsDropped(metrics, 'overload')
  }

  /** The write is acknowledged: whoever refused it gets a hint now, whoever is silent is waited for. */
  begin(operation: Operation, phase: QuorumPhase): void {
    let waits = false
    for (const target of phase.targets) {
      if (target.standing === 'answered') continue
      if (target.standing !== 'asked') this.#hint(operation, target.member, target.refusal ?? 'UNREACHABLE')
      else if (this.#follow(operation)) {
        target.isAwaited = true
        waits = true
      }
    }
    // The callbacks of those who are not waited for keep the operation, and need not keep what it wrote.
    operation.change = 'delete'
    if (!waits) operation.envelope = undefined
  }

  /** The answer of one that was waited for. */
  answered(operation: Operation, target: Target, result: ReadResult | RingdError): void {
    target.isAwaited = false
    this.#count -= 1
    this.#bytes -= sizeOf(operation)
    if (result instanceof RingdError) this.#hint(operation, target.member, result.code)
  }

  #follow(operation: Operation): boolean {
    const bytes = sizeOf(operation)
    if (this.#count >= AWAITED_MAX || this.#bytes + bytes > AWAITED_BYTES_MAX) {
      this.#dropped.add()
      return false
    }
    this.#count += 1
    this.#bytes += bytes
    return true
  }

  #hint({ key, envelope }: Operation, member: string, code: ErrorCode): void {
    if (!HINTED.has(code)) return
    if (!this.#hints.tell({ type: 'keep', member, key, envelope: envelope! })) this.#dropped.add()
  }
}

function sizeOf({ key, envelope }: Operation): number {
  return key.length + envelope!.length
}
