// Checks that operations end.
//   - Every operation is answered within `giveUpMs`, with success or an error, unless its node is killed first.
//   - From `graceMs` after the run has healed, operations succeed within `successMs`: all nodes that matter are back,
//     so a majority answers. Operations at consistency `all` need only be answered: one owner that stays away fails
//     them.
// After a kill success is not required until the run says again that it has healed.
import type { Invoked, Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import type { ObservedState } from './observed-state.js'

export interface CompletionOptions {
  /** Virtual ms after healing until operations must succeed: links come back, members agree. Default 15 000. */
  readonly graceMs?: number | undefined
  /** How long an operation may take then. Default 2000. */
  readonly successMs?: number | undefined
  /** How long any operation may take: a router's own limit of 10 s, and the pause of a node. Default 30 000. */
  readonly giveUpMs?: number | undefined
}

interface Open {
  readonly asked: Invoked
  /** It must succeed within `successMs`. */
  mustSucceed: boolean
}

export class Completion extends BaseChecker {
  readonly rule = 'completion'
  readonly #graceMs: number
  readonly #successMs: number
  readonly #giveUpMs: number
  readonly #open = new Map<number, Open>()
  #healedAt = Number.POSITIVE_INFINITY

  constructor(state?: ObservedState, options: CompletionOptions = {}) {
    super(state)
    this.#graceMs = options.graceMs ?? 15_000
    this.#successMs = options.successMs ?? 2000
    this.#giveUpMs = options.giveUpMs ?? 30_000
  }

  protected check(observation: Observation): void {
    switch (observation.type) {
      case 'healed':
        this.#healedAt = Math.min(this.#healedAt, observation.at)
        break
      case 'killed':
        this.#kill(observation.node)
        break
      case 'invoked': {
        const { at, operation, consistency } = observation
        const mustSucceed = at >= this.#healedAt + this.#graceMs && consistency !== 'all'
        this.#open.set(operation, { asked: observation, mustSucceed })
        break
      }
      case 'answered': {
        const open = this.#open.get(observation.operation)
        if (open === undefined) return
        this.#open.delete(observation.operation)
        this.#checkAnswer(observation.at, open, observation.error)
      }
    }
  }

  override finish(at: number): void {
    for (const open of this.#open.values()) {
      if (at - open.asked.at > this.#limit(open)) this.report(at, name(open), `${describe(open)} was never answered`)
    }
  }

  #checkAnswer(at: number, open: Open, error: string | undefined): void {
    const took = at - open.asked.at
    if (took > this.#limit(open)) this.report(at, name(open), `${describe(open)} took ${Math.round(took)} ms`)
    else if (open.mustSucceed && error !== undefined) {
      const since = Math.round(open.asked.at - this.#healedAt)
      this.report(at, name(open), `${describe(open)} failed with ${error}, ${since} ms after the run had healed`)
    }
  }

  #kill(node: string): void {
    this.#healedAt = Number.POSITIVE_INFINITY
    for (const [operation, open] of this.#open) {
      open.mustSucceed = false
      if (open.asked.node === node) this.#open.delete(operation)
    }
  }

  #limit({ mustSucceed }: Open): number {
    return mustSucceed ? this.#successMs : this.#giveUpMs
  }
}

function name({ asked }: Open): string {
  return `operation ${asked.operation}`
}

function describe({ asked }: Open): string {
  return `${asked.kind} ${asked.key} (operation ${asked.operation} through ${asked.node} at ${Math.round(asked.at)} ms)`
}
