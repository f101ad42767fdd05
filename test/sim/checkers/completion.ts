// Judges that operations come to an end.
//   - Every operation is answered within `giveUpMs`, with success or an error, unless its node is killed first.
//   - Some time after the run has healed, operations succeed, and soon: all nodes that matter are back by then, so
//     that a majority answers. At consistency `all` one owner that stays away may fail them: those need only be
//     answered.
// A kill ends the time in which success is promised, until the run says again that it has healed.
import type { Invoked, Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import type { ObservedState } from './observed-state.js'

export interface CompletionOptions {
  /** Virtual ms after healing until operations must succeed: links come back, members agree. Default 15 000. */
  readonly graceMs?: number | undefined
  /** What an operation may take then. Default 2000. */
  readonly successMs?: number | undefined
  /** What any operation may take: a router's own limit of 10 s, and the pause of a node. Default 30 000. */
  readonly giveUpMs?: number | undefined
}

interface Open {
  readonly asked: Invoked
  /** It must succeed, and soon. */
  isPromised: boolean
}

export class Completion extends Judge {
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

  protected judge(observation: Observation): void {
    switch (observation.type) {
      case 'healed':
        this.#healedAt = Math.min(this.#healedAt, observation.at)
        break
      case 'killed':
        this.#kill(observation.node)
        break
      case 'invoked': {
        const { at, operation, consistency } = observation
        const isPromised = at >= this.#healedAt + this.#graceMs && consistency !== 'all'
        this.#open.set(operation, { asked: observation, isPromised })
        break
      }
      case 'answered': {
        const open = this.#open.get(observation.operation)
        if (open === undefined) return
        this.#open.delete(observation.operation)
        this.#judgeAnswer(observation.at, open, observation.error)
      }
    }
  }

  override finish(at: number): void {
    for (const open of this.#open.values()) {
      if (at - open.asked.at > this.#limit(open)) this.report(at, name(open), `${tell(open)} was never answered`)
    }
  }

  #judgeAnswer(at: number, open: Open, error: string | undefined): void {
    const took = at - open.asked.at
    if (took > this.#limit(open)) this.report(at, name(open), `${tell(open)} took ${Math.round(took)} ms`)
    else if (open.isPromised && error !== undefined) {
      const since = Math.round(open.asked.at - this.#healedAt)
      this.report(at, name(open), `${tell(open)} failed with ${error}, ${since} ms after the run had healed`)
    }
  }

  #kill(node: string): void {
    this.#healedAt = Number.POSITIVE_INFINITY
    for (const [operation, open] of this.#open) {
      open.isPromised = false
      if (open.asked.node === node) this.#open.delete(operation)
    }
  }

  #limit({ isPromised }: Open): number {
    return isPromised ? this.#successMs : this.#giveUpMs
  }
}

function name({ asked }: Open): string {
  return `operation ${asked.operation}`
}

function tell({ asked }: Open): string {
  return `${asked.kind} ${asked.key} (operation ${asked.operation} through ${asked.node} at ${Math.round(asked.at)} ms)`
}
