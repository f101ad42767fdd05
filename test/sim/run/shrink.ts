// Makes a failing plan small. Drops faults, operations and nodes, shortens faults that last, and makes the network
// plain, while the plan still breaks the same rule. Knows nothing about runs except whether they fail.
// Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002 (chunks that get smaller).

import { QUICK_DISK } from '../seams/sim-disk.js'
import { namedIn, nodesOf, type Plan, type Step } from './plan.js'

export interface ShrinkOptions {
  /** Runs to spend. More runs find smaller plans. Default 300. */
  readonly runsMax?: number
  /** Called with every smaller plan. */
  readonly onProgress?: (plan: Plan, runs: number) => void
}

const RUNS_MAX = 300
const PLAIN_NETWORK = {
  delayMsMin: 0.2,
  delayMsMax: 1,
  tailShare: 0,
  tailMs: 0,
  rumorLoss: 0,
  windowBytes: 1 << 20
} as const

/** The smallest plan found; `fails` says whether a plan still breaks what `plan` breaks. */
export async function shrink(
  plan: Plan,
  fails: (plan: Plan) => Promise<boolean>,
  options: ShrinkOptions = {}
): Promise<Plan> {
  const shrinking = new Shrinking(plan, fails, options)
  let before: Plan
  do {
    before = shrinking.best
    await shrinking.round()
  } while (shrinking.best !== before && !shrinking.isSpent)
  return shrinking.best
}

class Shrinking {
  best: Plan
  #runs = 0
  readonly #fails: (plan: Plan) => Promise<boolean>
  readonly #runsMax: number
  readonly #onProgress: (plan: Plan, runs: number) => void

  constructor(plan: Plan, fails: (plan: Plan) => Promise<boolean>, options: ShrinkOptions) {
    this.best = plan
    this.#fails = fails
    this.#runsMax = options.runsMax ?? RUNS_MAX
    this.#onProgress = options.onProgress ?? (() => {})
  }

  get isSpent(): boolean {
    return this.#runs >= this.#runsMax
  }

  /** Tries to drop everything once, the largest pieces first. */
  async round(): Promise<void> {
    await this.#shorten()
    for (const node of nodesOf(this.best).reverse()) await this.#try(withoutNode(this.best, node))
    await this.#dropFrom('steps', (step: Step) => step.kind !== 'start')
    await this.#dropFrom('operations', () => true)
    await this.#try({ ...this.best, network: PLAIN_NETWORK })
    await this.#try({ ...this.best, disk: QUICK_DISK })
    await this.#shortenSteps()
  }

  /** Ends the run earlier: tries a quarter of its length first. */
  async #shorten(): Promise<void> {
    for (const share of [0.25, 0.5, 0.75, 0.9]) {
      const durationMs = Math.ceil(this.best.durationMs * share)
      if (await this.#try(cutOff(this.best, durationMs))) return this.#shorten()
    }
  }

  /** Drops items of a list: halves, then quarters, down to single items. */
  async #dropFrom<K extends 'steps' | 'operations'>(
    list: K,
    mayDrop: (item: Plan[K][number] & Step) => boolean
  ): Promise<void> {
    for (let size = Math.ceil(this.best[list].length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < this.best[list].length && !this.isSpent; ) {
        const kept = this.best[list].filter(
          (item, at) => at < from || at >= from + size || !mayDrop(item as Plan[K][number] & Step)
        )
        const isSmaller = kept.length < this.best[list].length
        if (!isSmaller || !(await this.#try({ ...this.best, [list]: kept }))) from += size
      }
    }
  }

  async #shortenSteps(): Promise<void> {
    for (let at = 0; at < this.best.steps.length; at++) {
      const step = this.best.steps[at]!
      if (!('forMs' in step) || step.forMs < 20) continue
      const shorter = { ...step, forMs: Math.round(step.forMs / 2) }
      await this.#try({ ...this.best, steps: this.best.steps.with(at, shorter) })
    }
  }

  async #try(candidate: Plan): Promise<boolean> {
    if (this.isSpent) return false
    this.#runs += 1
    if (!(await this.#fails(candidate))) return false
    this.best = candidate
    this.#onProgress(candidate, this.#runs)
    return true
  }
}

function cutOff(plan: Plan, durationMs: number): Plan {
  const isWithin = ({ at }: { readonly at: number }) => at < durationMs
  return { ...plan, durationMs, steps: plan.steps.filter(isWithin), operations: plan.operations.filter(isWithin) }
}

/** The plan without the node: steps about this node alone are dropped, the others no longer name it. */
function withoutNode(plan: Plan, node: string): Plan {
  const steps: Step[] = []
  for (const step of plan.steps) {
    if (!namedIn(step).includes(node)) steps.push(step)
    else if ('nodes' in step && step.nodes.length > 1) {
      steps.push({ ...step, nodes: step.nodes.filter((other) => other !== node) })
    } else if ('some' in step && step.some.length > 1) {
      steps.push({ ...step, some: step.some.filter((other) => other !== node) })
    }
  }
  return { ...plan, steps }
}
