// Checks a history for linearizability: whether there is one order of all operations, in which each takes effect between
// its begin and its end, that explains every answer. Pure.

import { describe, type Operation } from './operations.js'
import { type Problem, problemsOf } from './problem.js'
import { search } from './search.js'

export interface LinearizabilityOptions {
  /** Points that the search of one group of keys may leave without success before it gives up. Default 100 000. */
  readonly statesMax?: number | undefined
}

export interface Verdict {
  readonly operations: number
  /** Groups of keys that belong together. */
  readonly groups: number
  readonly broken: readonly Broken[]
  /** Groups of keys whose search gave up. */
  readonly unchecked: readonly Unchecked[]
}

export interface Broken {
  readonly keys: readonly string[]
  /** The first operation, in the order of ends, that no order explains together with those that ended before it. */
  readonly operation: Operation
  readonly text: string
}

export interface Unchecked {
  readonly keys: readonly string[]
  readonly operations: number
  readonly states: number
}

/** About three seconds of work. */
const STATES_MAX = 100_000
/** Operations that a text lists. */
const LISTED_MAX = 8

/** Operations in any order. Takes a few microseconds for each where few overlap. */
export function checkLinearizability(operations: readonly Operation[], options: LinearizabilityOptions = {}): Verdict {
  const { statesMax = STATES_MAX } = options
  const broken: Broken[] = []
  const unchecked: Unchecked[] = []
  const problems = problemsOf(operations)
  for (const problem of problems) {
    const { keys, known } = problem
    const result = search(problem, { statesMax })
    if (result.verdict === 'broken') broken.push(explain(problem, operations, statesMax))
    if (result.verdict === 'unchecked') unchecked.push({ keys, operations: known.length, states: result.states })
  }
  return { operations: operations.length, groups: problems.length, broken, unchecked }
}

/**
 * The history until `until`: operations that began later are left out, and those that ended later have no outcome yet.
 * When it is broken, so is every longer one.
 */
export function prefix(operations: readonly Operation[], until: number): Operation[] {
  const begun = operations.filter(({ begin }) => begin <= until)
  return begun.map((operation) =>
    operation.end <= until ? operation : { ...operation, end: Number.POSITIVE_INFINITY }
  )
}

/** Finds the shortest prefix that is broken as far as `statesMax` points tell. */
function explain({ keys }: Problem, all: readonly Operation[], statesMax: number): Broken {
  const names = new Set(keys)
  const operations = all.filter(({ steps, checks = [] }) => [...steps, ...checks].some(({ key }) => names.has(key)))
  const ended = operations.filter(({ end }) => end !== Number.POSITIVE_INFINITY).sort((a, b) => a.end - b.end)
  const brokenUntil = (count: number) => {
    const parts = problemsOf(prefix(operations, ended[count - 1]!.end))
    return parts.map((part) => search(part, { statesMax })).find(({ verdict }) => verdict === 'broken')
  }
  let least = 1
  let most = ended.length
  while (least < most) {
    const middle = (least + most) >> 1
    if (brokenUntil(middle) !== undefined) most = middle
    else least = middle + 1
  }
  const operation = ended[least - 1]!
  const result = brokenUntil(least)
  const state = result?.verdict === 'broken' ? result.best.map(({ text }) => text).join('; ') : 'unknown'
  const near = operations.filter((one) => one !== operation && one.begin <= operation.end && !isRead(one))
  const listed = near.slice(-LISTED_MAX).map(describe).join('; ')
  const text = `no order explains ${describe(operation)}; the best one ends before it with ${state}; last writes: ${listed}`
  return { keys, operation, text }
}

function isRead({ steps }: Operation): boolean {
  return steps.every(({ action }) => action.kind === 'get')
}
