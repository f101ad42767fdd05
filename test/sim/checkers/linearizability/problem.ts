// Prepares operations for the search: splits them by the keys that belong together, and works out once what the search
// asks often. Pure.
// Keys belong together when one operation names both. Keys that do not are independent: a history is linearizable when
// the part of each of them is (Herlihy and Wing, "Linearizability", 1990).
import { type Cell, checkResults, classOf, EMPTY, type Given, outcomes } from './cell.js'
import { type Action, isKnown, isReadOnly, keysOf, type Operation, type Step } from './operations.js'

/** One cell for each key of the problem. */
export type State = readonly Cell[]

/** A value of the key with this index; null: absent. */
export interface Wanted {
  readonly at: number
  readonly value: string | null
}

/** An operation, with all that is known of it in advance. */
export interface Item {
  readonly operation: Operation
  readonly begin: number
  readonly end: number
  readonly isReadOnly: boolean
  /** The values without which it cannot have been answered so, as far as they are known. */
  readonly requires: readonly Wanted[]
  /** The values that it may leave behind, as far as they are known. */
  readonly produces: readonly Wanted[]
  /** All states that it can leave behind. */
  apply(state: State): State[]
}

/** The operations on keys that belong together. */
export interface Problem {
  readonly keys: readonly string[]
  /** Sorted by begin. */
  readonly known: readonly Item[]
  /**
   * Operations whose outcome is unknown. Those of one class have the same effect, so only the first of them that is not
   * used must be tried. Each class is sorted by begin.
   */
  readonly classes: readonly (readonly Item[])[]
  /** The operations that may leave this value behind; undefined: there are others as well. */
  producers(wanted: Wanted): readonly Item[] | undefined
  /** Whether the key of this index is a counter to which positive numbers are added, and nothing else is done. */
  readonly isGrowing: readonly boolean[]
}

/** Actions that may change the value. */
const VALUED: readonly Action['kind'][] = ['put', 'delete', 'incr', 'append']
const ANY_TIME = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const

/** Operations that change nothing and whose outcome is unknown are left out. */
export function problemsOf(operations: readonly Operation[]): Problem[] {
  const useful = operations.filter((operation) => isKnown(operation) || !isReadOnly(operation))
  const roots = new Map<string, string>()
  const rootOf = (key: string): string => {
    const parent = roots.get(key) ?? key
    if (parent === key) return key
    const root = rootOf(parent)
    roots.set(key, root)
    return root
  }
  for (const operation of useful) {
    const [first, ...others] = keysOf(operation)
    for (const other of others) roots.set(rootOf(other), rootOf(first!))
  }
  const parts = Map.groupBy(useful, (operation) => rootOf(keysOf(operation)[0]!))
  return [...parts.values()].map(problemOf)
}

function problemOf(operations: readonly Operation[]): Problem {
  const keys = [...new Set(operations.flatMap(keysOf))]
  const given = new Knowledge(operations)
  const sorted = operations.toSorted((one, other) => one.begin - other.begin)
  const items = sorted.map((operation) => itemOf(operation, keys, given))
  const unknown = items.filter(({ operation }) => !isKnown(operation))
  const classes = Map.groupBy(unknown, ({ operation }) => given.classOf(operation))
  const isUnclear = keys.map((key) => operations.some((operation) => mayMakeAny(operation, key)))
  const producers = new Map<string, Item[]>()
  for (const item of items) {
    for (const wanted of item.produces) {
      const others = producers.get(nameOf(wanted))
      if (others === undefined) producers.set(nameOf(wanted), [item])
      else others.push(item)
    }
  }
  return {
    keys,
    known: items.filter(({ operation }) => isKnown(operation)),
    classes: [...classes.values()],
    producers: (wanted) => (isUnclear[wanted.at] ? undefined : (producers.get(nameOf(wanted)) ?? [])),
    isGrowing: keys.map((key) => operations.every((operation) => onlyAdds(operation, key)))
  }
}

function nameOf({ at, value }: Wanted): string {
  return `${at} ${JSON.stringify(value)}`
}

/** Whether the operation may leave behind a value of the key that is not known in advance. */
function mayMakeAny(operation: Operation, key: string): boolean {
  if (isReadOnly(operation)) return false
  return operation.steps.some((step) => {
    return step.key === key && VALUED.includes(step.action.kind) && madeBy(step, isKnown(operation)) === undefined
  })
}

function onlyAdds(operation: Operation, key: string): boolean {
  if (isReadOnly(operation)) return true
  return operation.steps.every(({ key: other, action }) => {
    return other !== key || action.kind === 'get' || (action.kind === 'incr' && action.by > 0)
  })
}

/** What all operations together tell of versions and values. */
class Knowledge {
  /** The value of the entry with each version of which a client was told. */
  readonly #values = new Map<string, string>()
  /** The version of each value that only one operation puts. */
  readonly #versions = new Map<string, string>()
  readonly #told: string

  constructor(operations: readonly Operation[]) {
    const told: string[] = []
    const puts = new Map<string, number>()
    for (const { steps, checks = [] } of operations) {
      for (const { action, answer = {} } of steps) {
        told.push(answer.found ?? '', answer.value ?? '')
        if (answer.version !== undefined && typeof answer.found === 'string') {
          this.#values.set(answer.version, answer.found)
        }
        if (action.kind === 'put') puts.set(action.value, (puts.get(action.value) ?? 0) + 1)
      }
      for (const check of checks) if ('value' in check) told.push(check.value ?? '')
    }
    this.#told = told.join('\n')
    for (const [version, value] of this.#values) if (puts.get(value) === 1) this.#versions.set(value, version)
  }

  readonly valueAt = (version: string): string | undefined => this.#values.get(version)

  /** The version of the entry that the step makes, when it is known. */
  versionOf({ action, answer }: Step): string | undefined {
    if (action.kind === 'get') return undefined
    return answer?.version ?? (action.kind === 'put' ? this.#versions.get(action.value) : undefined)
  }

  /** Equal for operations that have the same effect on everything that a client was told. */
  classOf({ steps, checks }: Operation): string {
    const isSeen = (text: string) => this.#told.includes(text)
    return JSON.stringify([steps.map(({ key, action }) => [key, classOf(action, isSeen)]), checks])
  }
}

function itemOf(operation: Operation, keys: readonly string[], knowledge: Knowledge): Item {
  const { begin, end, steps, checks = [] } = operation
  const clock = isKnown(operation) ? (operation.clock ?? ANY_TIME) : ANY_TIME
  const { valueAt } = knowledge
  const cells = steps.map((step) => {
    const answer = isKnown(operation) ? (step.answer ?? {}) : undefined
    const given: Given = { action: step.action, answer, clock, makes: knowledge.versionOf(step), valueAt }
    return { at: keys.indexOf(step.key), given }
  })
  const conditions = checks.map((check) => ({ at: keys.indexOf(check.key), check }))
  const mayCheck = (state: State, wanted: boolean) => {
    const may = ({ at, check }: (typeof conditions)[number]) =>
      checkResults(state[at]!, check, { clock, valueAt }).includes(wanted)
    return wanted ? conditions.every(may) : conditions.some(may)
  }
  const apply = (state: State): State[] => {
    if (operation.checksHeld === false) return mayCheck(state, false) ? [state] : []
    if (!mayCheck(state, true)) return []
    let states: State[] = [state]
    for (const { at, given } of cells) states = states.flatMap((one) => after(one, at, given))
    return isKnown(operation) ? states : states.filter((one) => one !== state)
  }
  return { operation, begin, end, isReadOnly: isReadOnly(operation), ...endsOf(operation, keys), apply }
}

function after(state: State, at: number, given: Given): State[] {
  const held = state[at]!
  return outcomes(held, given).map((cell) => (cell === held ? state : state.with(at, cell)))
}

/** See Item. */
function endsOf(operation: Operation, keys: readonly string[]): Pick<Item, 'requires' | 'produces'> {
  const known = isKnown(operation)
  const requires = new Map<string, string | null | undefined>()
  const produces: Wanted[] = []
  const { steps, checks = [], checksHeld = true } = operation
  if (known && checksHeld) {
    for (const check of checks) if ('value' in check) requires.set(check.key, check.value)
  }
  for (const step of checksHeld ? steps : []) {
    const { key, action } = step
    if (known && !requires.has(key)) requires.set(key, foundBy(step))
    const made = VALUED.includes(action.kind) ? madeBy(step, known) : undefined
    if (made !== undefined) produces.push({ at: keys.indexOf(key), value: made })
  }
  const listed = [...requires].filter((entry): entry is [string, string | null] => entry[1] !== undefined)
  return { requires: listed.map(([key, value]) => ({ at: keys.indexOf(key), value })), produces }
}

/** The value before the step, when it follows from the answer. */
function foundBy({ action, answer: { found, value } = {} }: Step): string | null | undefined {
  if (found !== undefined || action.kind !== 'incr' || value === undefined) return found
  const before = String(BigInt(value) - BigInt(action.by))
  return before === '0' ? undefined : before
}

/** The value after the step, when it is known, and when the step changes anything. */
function madeBy({ action, answer }: Step, known: boolean): string | null | undefined {
  switch (action.kind) {
    case 'put':
      return action.value
    case 'delete':
      return null
    case 'incr':
      return known ? answer?.value : undefined
    default:
      return undefined
  }
}

export function startOf({ keys }: Problem): State {
  return keys.map(() => EMPTY)
}

export function textOf(state: State): string {
  return state.length === 1 ? state[0]!.text : state.map(({ text }) => text).join('\n')
}
