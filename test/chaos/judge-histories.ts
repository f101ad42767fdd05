// Gives the histories of real client processes to the checkers of the simulator. Pure: attempts in, violations out.
// Attempts of the same thing (the next number of a counter, repeated after an error) are one operation, answered by the
// attempt that succeeded. An attempt whose outcome is unknown is an operation without an answer.
// The checkers see no disks, so they order writes by time alone. A counter puts its next number only after the number
// before was acknowledged, so reads of a counter must never go back.
import { clientCheckers } from '../sim/checkers/checkers.js'
import type { Observation } from '../sim/run/observation.js'
import type { Attempt } from './client-records.js'

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
/** Operations are numbered within their process; no process has this many. */
const OPERATIONS_MAX = 1e9

/** All violations in what clients saw. O(n log n). */
export function judgeHistories(processes: readonly Records[]): ChaosViolation[] {
  const checkers = clientCheckers()
  for (const observation of observationsOf(processes)) {
    for (const checker of checkers) checker.observe(observation)
  }
  const found = checkers.flatMap(({ violations }) => violations)
  return found.map((violation) => ({ ...violation, excerpt: excerptOf(processes, violation.at, violation.text) }))
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

/** The attempts before a violation, of the key that its text names. */
function excerptOf(processes: readonly Records[], at: number, text: string): Attempt[] {
  const key = /\b(?:counter-\d+-\d+|shared-\d+)\b/.exec(text)?.[0]
  const near = processes.flat().filter((attempt) => attempt.key === key && attempt.begin <= at)
  return near.sort((one, other) => one.begin - other.begin).slice(-EXCERPT_MAX)
}
