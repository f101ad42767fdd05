// Is a history of operations on several keys linearizable? The state is the values of all keys together. The search
// is that of Wing and Gong, with a memory of the states seen (Lowe).
import { type KeySet, keysOf } from './entries.js'
import { effectOf, type OperationKind, type Value } from './operations.js'

export interface HistoryEntry {
  readonly kind: OperationKind
  readonly keys: KeySet
  readonly name: string
  readonly start: number
  /** Infinity: the outcome is not known. */
  readonly end: number
  readonly answer: string
}

export type Judgement = 'linearizable' | 'not linearizable' | 'too wide'

const OPERATIONS_MAX = 30
const STATES_MAX = 300_000

export function judge(history: readonly HistoryEntry[], keys: number): Judgement {
  if (history.length > OPERATIONS_MAX) throw new Error(`at most ${OPERATIONS_MAX} operations can be judged`)
  const search = new Search([...history].sort((one, other) => one.start - other.start))
  const found = search.from(
    0,
    Array.from({ length: keys }, () => null)
  )
  return search.isTooWide ? 'too wide' : found ? 'linearizable' : 'not linearizable'
}

class Search {
  isTooWide = false
  readonly #operations: readonly HistoryEntry[]
  /** Letters of the operations that some answer shows. */
  readonly #seen = new Set<string>()
  readonly #states = new Set<string>()
  readonly #ended: number

  constructor(operations: readonly HistoryEntry[]) {
    this.#operations = operations
    let ended = 0
    operations.forEach((operation, index) => {
      if (operation.end === Infinity) return
      ended |= 1 << index
      for (const letter of operation.answer) this.#seen.add(letter)
    })
    this.#ended = ended
  }

  from(taken: number, values: readonly Value[]): boolean {
    if ((taken & this.#ended) === this.#ended) return true
    const state = `${taken}:${values.join('|')}:${values.map((value) => (value === null ? 0 : 1)).join('')}`
    if (this.#states.has(state)) return false
    this.#states.add(state)
    if (this.#states.size > STATES_MAX) {
      this.isTooWide = true
      return false
    }
    let firstEnd = Infinity
    this.#operations.forEach(({ end }, index) => {
      if (((taken >> index) & 1) === 0 && end < firstEnd) firstEnd = end
    })
    for (let index = 0; index < this.#operations.length; index++) {
      const operation = this.#operations[index]!
      if ((taken >> index) & 1) continue
      if (operation.start > firstEnd) break
      const next = this.#after(operation, values)
      if (next !== undefined && this.from(taken | (1 << index), next)) return true
      if (this.isTooWide) return false
    }
    return false
  }

  /** The values after the operation; undefined when it cannot be the next one, or need not be tried. */
  #after(operation: HistoryEntry, values: readonly Value[]): readonly Value[] | undefined {
    const { kind, keys, name, end, answer } = operation
    const effect = effectOf(kind, keys, name, values)
    const isKnown = end !== Infinity
    if (isKnown && effect.answer !== answer) return undefined
    if (effect.writes === undefined) return isKnown ? values : undefined
    // An unknown write that no answer shows matters only where it makes an absent key present.
    const isUseful = kind === 'delete' || this.#seen.has(name) || keysOf(keys).some((key) => values[key] === null)
    if (!isKnown && !isUseful) return undefined
    return values.map((value, key) => effect.writes![key] ?? (key in effect.writes! ? null : value))
  }
}
