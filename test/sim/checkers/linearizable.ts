// Checks that the operations on each key are linearizable: one order of all of them, in which each takes effect between
// its request and its answer, explains every answer. Keys that one operation names together are checked together.
// It is checked at the end of a run. linearizability/ has the rules.
// A sound run passes for these reasons:
//   - What a run cannot know counts as both: whether an operation without an answer has taken effect, and whether a value
//     had expired by a clock that the run did not see.
//   - A value that some node had found expired may have been deleted for good. So it may be absent for every operation
//     that ends later, whatever the clock of its node shows.
//   - A search that is too wide counts as unchecked, not as broken.
// Modes:
//   updates  Only keys of which an update was asked are checked.
//   atomic   All keys are checked. As in mode `updates` a delete tells whether it has deleted, and an operation whose
//            error is not UNKNOWN_OUTCOME has no effect.
//   blind    All keys are checked, without what racing writes need not promise: a delete that found a value writes a
//            tombstone whatever is there by then, and a failed write may still take effect.
import type { Answered, Invoked, Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import { checkLinearizability } from './linearizability/check.js'
import { keysOf, type Operation, type Step } from './linearizability/operations.js'
import type { ObservedState } from './observed-state.js'

export type LinearizableMode = 'updates' | 'atomic' | 'blind'

export interface LinearizableOptions {
  /** Default: updates. */
  readonly mode?: LinearizableMode | undefined
  /** See LinearizabilityOptions. Default 30 000: more would cost more than the run. */
  readonly statesMax?: number | undefined
}

interface Asked {
  readonly asked: Invoked
  /** Places among all observations: many observations have the same time. */
  readonly begin: number
  end: number
  answered: Answered | undefined
}

const NEVER = Number.POSITIVE_INFINITY
const STATES_MAX = 30_000
const UNKNOWN_OUTCOME = 'UNKNOWN_OUTCOME'

export class Linearizable extends BaseChecker {
  readonly rule = 'linearizable'
  /** Groups of keys whose search gave up. Known at the end of the run. */
  unchecked = 0
  readonly #mode: LinearizableMode
  readonly #statesMax: number
  readonly #operations = new Map<number, Asked>()
  /** Per key: the expiries of purged entries, and when they were purged. */
  readonly #purged = new Map<string, { readonly order: number; readonly expiresAt: number }[]>()
  readonly #expiries = new Map<string, number>()
  #order = 0

  constructor(state?: ObservedState, { mode = 'updates', statesMax = STATES_MAX }: LinearizableOptions = {}) {
    super(state)
    this.#mode = mode
    this.#statesMax = statesMax
  }

  protected check(observation: Observation): void {
    this.#order += 1
    switch (observation.type) {
      case 'invoked':
        this.#operations.set(observation.operation, {
          ...{ asked: observation, begin: this.#order, end: NEVER, answered: undefined }
        })
        break
      case 'answered': {
        const operation = this.#operations.get(observation.operation)
        if (operation === undefined) return
        operation.end = this.#order
        operation.answered = observation
        break
      }
      case 'stored':
        if (observation.expiresAt !== undefined) this.#expiries.set(observation.version, observation.expiresAt)
        break
      case 'erased':
        this.#erased(observation.key)
    }
  }

  override finish(at: number): void {
    const all = [...this.#operations.values()].filter(({ asked }) => this.#isChecked(asked))
    const operations = all.flatMap((asked) => this.#operationOf(asked) ?? [])
    const { broken, unchecked } = checkLinearizability(this.#withClocks(operations), { statesMax: this.#statesMax })
    this.unchecked = unchecked.length
    const answeredAt = new Map(all.map(({ end, answered }) => [end, answered?.at]))
    for (const { keys, operation, text } of broken) {
      this.report(answeredAt.get(operation.end) ?? at, keys.join(), text)
    }
  }

  #isChecked({ key, kind }: Invoked): boolean {
    return this.#mode !== 'updates' || kind === 'update' || this.state.register(key).isUpdated
  }

  #erased(key: string): void {
    const dropped = this.state.disks.replaced
    const expiresAt = dropped === undefined ? undefined : this.#expiries.get(dropped.version)
    if (dropped === undefined || expiresAt === undefined || !this.state.isAbsent(dropped)) return
    const purged = this.#purged.get(key)
    if (purged === undefined) this.#purged.set(key, [{ order: this.#order, expiresAt }])
    else purged.push({ order: this.#order, expiresAt })
  }

  /** Undefined when it has no effect and tells nothing. */
  #operationOf({ asked, begin, end, answered }: Asked): Operation | undefined {
    const { kind, consistency, operation, node, at } = asked
    const isStrict = this.#mode !== 'blind' || kind === 'update'
    const error = answered?.error
    const isKnown = answered !== undefined && error === undefined && consistency !== 'one'
    if (isStrict && error !== undefined && error !== UNKNOWN_OUTCOME) return undefined
    const checks = asked.checks === undefined ? {} : { checks: asked.checks, checksHeld: answered?.checksHeld }
    return {
      name: `operation ${operation} through ${node} at ${Math.round(at)} ms`,
      ...{ begin, end: isKnown ? end : NEVER, steps: stepsOf(asked, answered, isStrict), ...checks },
      clock: isKnown ? (answered.clock ?? [at, answered.at]) : undefined
    }
  }

  /** Each operation with the latest clock of all operations on its keys that began before it ended. */
  #withClocks(operations: readonly Operation[]): Operation[] {
    const latest = new Map<string, { readonly order: number; readonly most: number }[]>()
    const add = (key: string, order: number, most: number) => {
      const list = latest.get(key) ?? []
      latest.set(key, list)
      list.push({ order, most })
    }
    for (const one of operations) {
      for (const key of keysOf(one)) if (one.clock !== undefined) add(key, one.begin, one.clock[1])
    }
    for (const [key, list] of this.#purged) for (const { order, expiresAt } of list) add(key, order, expiresAt)
    for (const [key, list] of latest) {
      let most = Number.NEGATIVE_INFINITY
      list.sort((one, other) => one.order - other.order)
      const rising = list.map((one) => {
        most = Math.max(most, one.most)
        return { order: one.order, most }
      })
      latest.set(key, rising)
    }
    return operations.map((one) => {
      if (one.clock === undefined) return one
      const most = keysOf(one).map((key) => mostBefore(latest.get(key) ?? [], one.end))
      return { ...one, clock: [one.clock[0], Math.max(one.clock[1], ...most)] as const }
    })
  }
}

function stepsOf(asked: Invoked, answered: Answered | undefined, isStrict: boolean): readonly Step[] {
  const { kind, key, value = '', expiresAt } = asked
  switch (kind) {
    case 'get':
      return [{ key, action: { kind }, answer: { found: answered?.value ?? null } }]
    case 'put':
      return [{ key, action: { kind, value, expiresAt } }]
    case 'delete': {
      const existed = answered?.existed
      if (!isStrict && existed === false) return [{ key, action: { kind: 'get' }, answer: { found: null } }]
      return [{ key, action: { kind }, ...(isStrict && { answer: { done: existed } }) }]
    }
    case 'update': {
      const { steps = [] } = asked
      return steps.map((step, index) => ({ ...step, answer: answered?.answers?.[index] }))
    }
  }
}

/** The last `most` at or before the order; the list rises. */
function mostBefore(list: readonly { readonly order: number; readonly most: number }[], order: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (list[middle]!.order <= order) low = middle + 1
    else high = middle
  }
  return list[low - 1]?.most ?? Number.NEGATIVE_INFINITY
}
