// Gives the histories of real client processes to the checkers of the simulator. Pure: attempts in, violations out.
// Attempts of the same thing (the next number of a counter, repeated after an error) are one operation, answered by the
// attempt that succeeded. An attempt whose outcome is unknown is an operation without an answer.
// The checkers see no disks, so they order writes by time alone. A counter puts its next number only after the number
// before was acknowledged, so reads of a counter must never go back.
import { clientCheckers } from '../sim/checkers/checkers.js'
import { ObservedState } from '../sim/checkers/observed-state.js'
import type { Observation } from '../sim/run/observation.js'
import { type Attempt, keysOf } from './client-records.js'
import { judgeAtomic } from './judge-atomic.js'

export interface ChaosViolation {
  readonly at: number
  readonly rule: string
  readonly text: string
  /** The attempts of the same key before it, oldest first. */
  readonly excerpt: readonly Attempt[]
}

/** The histories of one client process. */
export type Records = readonly Attempt[]

/** How many attempts an excerpt shows at most. */
const EXCERPT_MAX = 12
/** Expiry uses the wall clock, histories the monotonic clock of the machine. They differ by less than this. */
const CLOCKS_DIFFER_MS = 25
/**
 * An expiry of an update was given as a time to live, which a daemon counts from when it handles the command. That is
 * later than `begin` by no more than this.
 */
const HANDLED_MS_MAX = 12_000
/** See LinearizableOptions. */
const STATES_MAX = 100_000
/** Operations are numbered within their process; no process has this many. */
const OPERATIONS_MAX = 1e9

export interface Judgement {
  readonly violations: readonly ChaosViolation[]
  /** Groups of keys whose histories are too wide for the check for linearizability. */
  readonly unchecked: number
}

/** All violations in what clients saw. */
export function judgeHistories(processes: readonly Records[]): readonly ChaosViolation[] {
  return judge(processes).violations
}

/** O(n log n), and some seconds for each group of keys on which many operations overlap. */
export function judge(processes: readonly Records[]): Judgement {
  const checkers = clientCheckers(new ObservedState(), { statesMax: STATES_MAX })
  for (const observation of observationsOf(processes)) {
    for (const checker of checkers) checker.observe(observation)
  }
  for (const checker of checkers) checker.finish(0)
  const found = [...checkers.flatMap(({ violations }) => violations), ...judgeAtomic(processes.flat())]
  return {
    violations: found.map((violation) => ({
      ...violation,
      excerpt: excerptOf(processes, violation.at, violation.text)
    })),
    unchecked: checkers.reduce((sum, { unchecked = 0 }) => sum + unchecked, 0)
  }
}

/** Sorted by time. At one moment starts come before ends, so that such operations count as overlapping. */
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
  const { client, kind, key, value, expiresAt, steps, checks } = last
  const begin = sorted[0]!.begin
  const asked = { type: 'invoked', at: begin, operation, client, node: last.node, kind, key, value, expiresAt } as const
  const observations: Observation[] = [{ ...asked, steps, checks, consistency: 'quorum' }]
  const { end, outcome, error, found, existed, answers, checksHeld } = last
  if (end === null || outcome === 'unknown') return observations
  const failed = outcome === 'refused' ? { error: error ?? 'refused' } : {}
  const early = key.includes('atomic-') ? HANDLED_MS_MAX : 0
  const clock = [begin - CLOCKS_DIFFER_MS - early, end + CLOCKS_DIFFER_MS] as const
  const told = { value: found, existed, answers, checksHeld }
  observations.push({ type: 'answered', at: end, operation, ...failed, ...told, clock })
  return observations
}

/** The attempts before a violation, of the key that its text names. */
function excerptOf(processes: readonly Records[], at: number, text: string): Attempt[] {
  const key = /(?<![\w-])(?:counter-\d+-\d+|shared-\d+|atomic-\w+-\d+|\{atomic-bank-\d+\}\w+)\b/.exec(text)?.[0]
  if (key === undefined) return []
  const near = processes.flat().filter((attempt) => keysOf(attempt).includes(key) && attempt.begin <= at)
  return near.sort((one, other) => one.begin - other.begin).slice(-EXCERPT_MAX)
}
