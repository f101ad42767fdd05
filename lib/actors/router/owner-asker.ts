// Asks the owners of a phase: which of them, and in which order. Part of the router.

import type { Clock } from '../../clock.js'
import type { Operation } from './operation.js'
import type { OwnerRequests } from './owner-requests.js'
import type { QuorumPhase, Target } from './quorum-phase.js'
import type { ShortOwners } from './short-owners.js'

export interface OwnerAskerDeps {
  readonly clock: Clock
  readonly owners: OwnerRequests
  readonly shortOwners: ShortOwners
}

export class OwnerAsker {
  readonly #deps: OwnerAskerDeps

  constructor({ clock, owners, shortOwners }: OwnerAskerDeps) {
    this.#deps = { clock, owners, shortOwners }
  }

  /**
   * Asks all idle owners for a write or a repair; for a write that needs an owner with little room, only such owners
   * until enough of them have stored it. For a read or a promise it asks the quickest, as few as the quorums need.
   */
  ask(operation: Operation): void {
    const { shortOwners, owners } = this.#deps
    const phase = operation.phase!
    const { step } = operation
    if (step === 'writing') return this.askAll(operation, phase, shortOwners.decisive(phase, owners))
    if (step === 'repairing') return this.askAll(operation, phase)
    for (const target of phase.next(owners.quickestFirst(phase.targets))) this.askOne(operation, phase, target)
  }

  askAll(operation: Operation, phase: QuorumPhase, targets = phase.targets): void {
    for (const target of targets) if (target.standing === 'idle') this.askOne(operation, phase, target)
  }

  askOne(operation: Operation, phase: QuorumPhase, target: Target): void {
    target.standing = 'asked'
    target.refusal = undefined
    target.askedAt = this.#deps.clock.elapsed()
    if (!this.#deps.owners.send(operation, phase, target)) target.standing = 'refused'
    else if (phase.isOwn) operation.loose += 1
  }
}
