// Cares for the owners that had not taken a write when it was acknowledged: each gets a hint, except an owner
// that takes the write a little later, or that does not need it. Part of the router.
// Invariants: an operation has ended before its missed writes are looked at, so a hint never counts towards a quorum;
// the writes that are remembered until late answers come are bounded, and a hint without room is counted as dropped.

import { type ErrorCode, PASSING_REFUSALS, RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { HintsClient } from '../hints/hints-client.js'
import type { Operation, OwnerReply } from './operation.js'
import type { QuorumPhase, Target } from './quorum-phase.js'

/** Late answers that are awaited at once. Most come within milliseconds; the bound is for an owner that hangs. */
export const AWAITED_MAX = 20_000
const AWAITED_BYTES_MAX = 64 * MiB

/** Makes a hint for each owner that missed an acknowledged write. */
export class MissedWrites {
  readonly #hints: HintsClient
  /** Late answers that are awaited, and the bytes of the writes that are kept for them. */
  #count = 0
  #bytes = 0

  constructor(hints: HintsClient) {
    this.#hints = hints
  }

  /** The write is acknowledged: an owner that refused it gets a hint now, and the answer of a silent one is awaited. */
  acknowledged(operation: Operation, phase: QuorumPhase): void {
    let isAnyAwaited = false
    for (const target of phase.targets) {
      if (target.standing === 'answered') continue
      if (target.standing !== 'asked') this.#hint(operation, target.member, target.refusal ?? 'UNREACHABLE')
      else if (this.#await(operation)) {
        target.isAwaited = true
        isAnyAwaited = true
      }
    }
    // The callbacks of requests that are under way hold the operation; they must not hold the value as well.
    operation.change = 'delete'
    if (!isAnyAwaited) operation.envelope = undefined
  }

  /** The late answer of an owner that was awaited. */
  answered(operation: Operation, target: Target, result: OwnerReply): void {
    target.isAwaited = false
    this.#count -= 1
    this.#bytes -= sizeOf(operation)
    if (result instanceof RingdError) this.#hint(operation, target.member, result.code)
  }

  /** False when there is no room for it: the owner gets no hint then. */
  #await(operation: Operation): boolean {
    const bytes = sizeOf(operation)
    if (this.#count >= AWAITED_MAX || this.#bytes + bytes > AWAITED_BYTES_MAX) {
      this.#hints.dropped()
      return false
    }
    this.#count += 1
    this.#bytes += bytes
    return true
  }

  /**
   * Other refusals need no hint: after STALE_VIEW and NOT_OWNER a pull brings the write to its owners, after BAD_ENTRY
   * healing does; CLOCK_SKEW and BAD_REQUEST would be the answer to the hint as well.
   */
  #hint({ key, envelope }: Operation, member: string, code: ErrorCode): void {
    if (PASSING_REFUSALS.has(code)) this.#hints.keep(member, key, envelope!)
  }
}

function sizeOf({ key, envelope }: Operation): number {
  return key.length + envelope!.length
}
