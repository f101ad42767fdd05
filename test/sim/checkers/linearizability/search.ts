// Looks for an order of the operations of one problem that explains every answer. Pure.
// The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993): it tries each operation that
// may come next, which is each one that began before the first of the others ended. As Lowe found ("Testing for
// linearizability", 2017), it must not try the same set of operations in the same state twice.
// These rules leave out orders, and never the last one that explains everything:
//   reads      An operation that changes nothing and fits takes effect at once.
//   unused     An operation of unknown outcome takes effect only right before an operation that needs it. Where the two
//              have the same result in the other order, or without it, that order is tried instead.
//   classes    Of operations of unknown outcome that nobody can distinguish, the first comes first.
//   lost       No order is left when an operation requires a value that no remaining operation can leave behind.
// The cost of one step does not depend on the length of the history, only on how many operations overlap. At a moment at
// which no operation is open, the set of operations is the same for all orders; so alternatives before it are tried
// once for each state that they can end in.
import { DoneSet } from './done-set.js'
import { type Item, type Problem, type State, startOf, textOf, type Wanted } from './problem.js'

export interface SearchOptions {
  /** The search gives up after it has left this number of points without success. */
  readonly statesMax: number
}

export type SearchResult =
  | { readonly verdict: 'linearizable'; readonly states: number }
  | { readonly verdict: 'unchecked'; readonly states: number }
  /** `best` is the point at which most operations had taken effect. */
  | { readonly verdict: 'broken'; readonly states: number; readonly best: State }

/** A point of the search. */
interface Point {
  readonly done: DoneSet
  /** How many operations of each class were used. */
  readonly used: readonly number[]
  readonly state: State
  /** The operation of unknown outcome that came last, while no other operation has needed it, and the state before. */
  readonly unused: { readonly item: Item; readonly before: State; readonly kind: number } | undefined
}

export function search(problem: Problem, options: SearchOptions): SearchResult {
  return new Search(problem).run(options.statesMax)
}

class Search {
  readonly #problem: Problem
  readonly #known: readonly Item[]
  readonly #index: ReadonlyMap<Item, number>
  /** The class of each operation of unknown outcome, and its place in it. */
  readonly #places = new Map<Item, { readonly kind: number; readonly place: number }>()
  readonly #seen = new Set<string>()
  #best: { count: number; state: State }

  constructor(problem: Problem) {
    this.#problem = problem
    this.#known = problem.known
    this.#index = new Map(problem.known.map((item, index) => [item, index]))
    for (const [kind, items] of problem.classes.entries()) {
      for (const [place, item] of items.entries()) this.#places.set(item, { kind, place })
    }
    this.#best = { count: -1, state: startOf(problem) }
  }

  run(statesMax: number): SearchResult {
    const used = this.#problem.classes.map(() => 0)
    const path: Iterator<Point>[] = []
    let left = 0
    let point: Point | undefined = { done: DoneSet.NONE, used, state: startOf(this.#problem), unused: undefined }
    for (;;) {
      if (point !== undefined) {
        const reached = this.#read(point)
        if (reached.done.count > this.#best.count) this.#best = { count: reached.done.count, state: reached.state }
        if (reached.done.count === this.#known.length) return { verdict: 'linearizable', states: this.#seen.size }
        if (this.#isNew(reached)) path.push(this.#nextOf(reached))
      }
      const last = path.at(-1)
      if (last === undefined) return { verdict: 'broken', states: this.#seen.size, best: this.#best.state }
      point = last.next().value
      if (point === undefined) {
        path.pop()
        if (++left > statesMax) return { verdict: 'unchecked', states: this.#seen.size }
      }
    }
  }

  #isNew({ done, used, state, unused }: Point): boolean {
    const after = unused === undefined ? '' : `${unused.kind} ${textOf(unused.before)}`
    const text = `${done.text}|${used.join(' ')}|${after}|${textOf(state)}`
    if (this.#seen.has(text)) return false
    this.#seen.add(text)
    return true
  }

  /** Lets all reads take effect that may come next and fit. */
  #read(point: Point): Point {
    let { done, unused } = point
    for (let isFound = true; isFound; ) {
      isFound = false
      for (const index of this.#open(done)) {
        const item = this.#known[index]!
        if (!item.isReadOnly || !item.apply(point.state).includes(point.state)) continue
        done = done.with(index)
        unused = undefined
        isFound = true
      }
    }
    return done === point.done ? point : { ...point, done, unused }
  }

  /** The operations that may come next: each began before the first of the others ended. */
  #open(done: DoneSet): number[] {
    const open: number[] = []
    let firstEnd = Number.POSITIVE_INFINITY
    for (let index = done.low; index < this.#known.length; index++) {
      const { begin, end } = this.#known[index]!
      if (begin > firstEnd) break
      if (done.has(index)) continue
      open.push(index)
      if (end < firstEnd) firstEnd = end
    }
    return open
  }

  /** The points that may follow; those that probably lead on come first. */
  *#nextOf(point: Point): Generator<Point, undefined> {
    const { done, state } = point
    const open = this.#open(done).map((index) => this.#known[index]!)
    if (open.some((item) => this.#isLost(item, point))) return
    const first = open.reduce((one, other) => (other.end < one.end ? other : one))
    const missing = first.requires.filter(({ at, value }) => (state[at]!.value ?? null) !== value)
    const leadsOn = ({ produces }: Item) => {
      return missing.some((wanted) => produces.some(({ at, value }) => at === wanted.at && value === wanted.value))
    }
    open.sort((one, other) => Number(leadsOn(other)) - Number(leadsOn(one)) || one.end - other.end)
    for (const item of open) {
      for (const after of item.apply(state)) {
        if (after === state && item.isReadOnly) continue
        if (isUseless(point, item, after) || isPostponable(point, item, after)) continue
        yield { done: done.with(this.#index.get(item)!), used: point.used, state: after, unused: undefined }
      }
    }
    yield* this.#unknown(point, first.end)
  }

  *#unknown(point: Point, firstEnd: number): Generator<Point> {
    const { state, used, unused } = point
    for (const [kind, items] of this.#problem.classes.entries()) {
      const item = items[used[kind]!]
      if (item === undefined || item.begin > firstEnd) continue
      for (const after of item.apply(state)) {
        if (textOf(after) === textOf(state) || isUseless(point, item, after)) continue
        if (unused !== undefined && unused.kind > kind && isPostponable(point, item, after)) continue
        const next = { item, before: state, kind }
        yield { ...point, used: used.with(kind, used[kind]! + 1), state: after, unused: next }
      }
    }
  }

  /** Whether the operation requires a value that is not there and will not come. */
  #isLost({ requires }: Item, { done, used, state }: Point): boolean {
    const isDone = (item: Item) => {
      const place = this.#places.get(item)
      return place === undefined ? done.has(this.#index.get(item)!) : place.place < used[place.kind]!
    }
    return requires.some((wanted: Wanted) => {
      const { at, value } = wanted
      const held = state[at]!.value
      // A value may become absent by itself, when it expires.
      if (value === null || value === held) return false
      if (this.#problem.isGrowing[at] && held !== undefined && Number(held) > Number(value)) return true
      return this.#problem.producers(wanted)?.every(isDone) ?? false
    })
  }
}

/** Whether the unused operation before this one makes no difference to its result. */
function isUseless({ unused }: Point, item: Item, after: State): boolean {
  return unused !== undefined && includes(item.apply(unused.before), after)
}

/** Whether the unused operation before this one may as well come after it. */
function isPostponable({ unused }: Point, item: Item, after: State): boolean {
  return unused !== undefined && item.apply(unused.before).some((one) => includes(unused.item.apply(one), after))
}

function includes(states: readonly State[], wanted: State): boolean {
  return states.some((state) => textOf(state) === textOf(wanted))
}
