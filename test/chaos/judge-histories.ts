// Gives the simulator's judges what clients of real processes saw. Pure: attempts in, violations out.
// Attempts to do the same thing (the next number of a counter, again after an error) are one operation, answered by
// the one that succeeded; what nobody knows the outcome of is an operation without an answer. Judges go by time alone:
// since a counter's next number is put only when the one before was acknowledged, its reads may never go back.
import { clientCheckers } from '../sim/checkers/checkers.js'
import type { Observation } from '../sim/run/observation.js'
import type { Attempt } from './client-records.js'

export interface Broken {
  readonly at: number
  readonly rule: string
  readonly text: string
  /** The attempts around it, oldest first. */
  readonly excerpt: readonly Attempt[]
}

/** The histories of one client process. */
export type Records = readonly Attempt[]

/** Attempts of the same key that are shown before and up to a violation. */
const EXCERPT_MAX = 12
/** Expiry goes by the wall clock of the machine, histories by its monotonic one: they differ by less than this. */
const CLOCKS_DIFFER_MS = 25
/** Operations are numbered within their process. */
const OPERATIONS_MAX = 1e9

/** Everything that clients saw and may not have seen. O(n log n). */
export function judgeHistories(processes: readonly Records[]): Broken[] {
  const checkers = clientCheckers()
  for (const observation of observationsOf(processes)) {
    for (const checker of checkers) checker.observe(observation)
  }
  const found = checkers.flatMap(({ violations }) => violations)
  return found.map((violation) => ({ ...violation, excerpt: excerptOf(processes, violation.at, violation.text) }))
}

/** In order of time; of one moment, what begins comes first, so that it counts as overlapping. */
export function observationsOf(processes: readonly Records[]): Observation[] {
  const observations: Observation[] = []
  for (const [index, records] of processes.entries()) {
    for (const [number, attempts] of Map.groupBy(records, ({ operation }) => operation)) {
      observations.push(...observe(attempts, index * OPERATIONS_MAX + number))
    }
  }
  const order = ({ type }: Observation) => (type === 'invoked' ? 0 : 1)
  return observations.sort((one, other) => one.at - other.at || order(one) - order(other))
}

function observe(attempts: readonly Attempt[], operation: number): Observation[] {
  const sorted = attempts.toSorted((one, other) => one.begin - other.begin)
  const last = sorted.at(-1)!
  const { client, kind, key, value, expiresAt } = last
  const begin = sorted[0]!.begin
  const asked = { type: 'invoked', at: begin, operation, client, node: last.node, kind, key, value, expiresAt } as const
  const observations: Observation[] = [{ ...asked, consistency: 'quorum' }]
  const { end, outcome, error, found, existed } = last
  if (end === null || outcome === 'unknown') return observations
  const failed = outcome === 'refused' ? { error: error ?? 'refused' } : {}
  const clock = [begin - CLOCKS_DIFFER_MS, end + CLOCKS_DIFFER_MS] as const
  observations.push({ type: 'answered', at: end, operation, ...failed, value: found, existed, clock })
  return observations
}

/** What happened to the key of a violation until then, where its text names one. */
function excerptOf(processes: readonly Records[], at: number, text: string): Attempt[] {
  const key = /\b(?:counter-\d+-\d+|shared-\d+)\b/.exec(text)?.[0]
  const near = processes.flat().filter((attempt) => attempt.key === key && attempt.begin <= at)
  return near.sort((one, other) => one.begin - other.begin).slice(-EXCERPT_MAX)
}
