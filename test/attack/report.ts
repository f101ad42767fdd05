// The result of one attack, the bounds that it must keep, and the table. Pure.
import { markdown, percentile, shown } from '../../scripts/bench-statistics.js'
import type { Role } from './attack.js'
import type { GoodFigures } from './good-client.js'
import type { Watched } from './watch.js'

/** Resident memory of a daemon above its idle memory. */
export const MEMORY_MIB_MAX = 300
/** The good client's slowest of a hundred operations. */
export const P99_MS_MAX = 250
/** What a daemon may write into its log because of one attack, for each second of the attack. */
export const LOG_BYTES_PER_SECOND_MAX = 64 * 1024
const MIB = 1024 * 1024

/** The bounds that an attack can break. `timing` depends on the machine and on what else it does. */
export type Bound = 'alive' | 'memory' | 'timing' | 'down' | 'loss' | 'access' | 'doors' | 'log'

export interface Broken {
  readonly bound: Bound
  readonly text: string
}

/** Everything that was seen during one attack. */
export interface Seen {
  readonly attack: string
  readonly as: Role
  readonly seconds: number
  readonly watched: Watched
  /** Resident memory of each daemon when the ring was idle, bytes. */
  readonly idle: readonly number[]
  /** What the largest log grew by, bytes. */
  readonly logBytes: number
  readonly good: GoodFigures
  /** False when the campaign restarted a daemon, so that clients had to wait. */
  readonly isTimed: boolean
  /** Acknowledged writes that were not found after the attack. */
  readonly lost: readonly string[]
  /** What the attacker reached that it must not reach. */
  readonly breaches: readonly string[]
  /** What the attacker did, counted. */
  readonly did: Readonly<Record<string, number>>
}

export interface AttackResult {
  readonly attack: string
  readonly as: Role
  readonly seconds: number
  /** The largest growth of one daemon. */
  readonly memoryMiB: number
  readonly operations: number
  readonly failed: number
  readonly failures: Readonly<Record<string, number>>
  /** Null when more than one operation in a hundred failed. */
  readonly p99Ms: number | null
  readonly medianMs: number | null
  readonly down: readonly string[]
  readonly logBytes: number
  readonly did: Readonly<Record<string, number>>
  /** Empty: every bound was kept. */
  readonly broken: readonly Broken[]
}

/** More failures of new connections than this are no accident. */
const VISITS_FAILED_SHARE_MAX = 0.2
const LISTED_MAX = 3

export function judge(seen: Seen): AttackResult {
  const { attack, as, seconds, watched, idle, logBytes, good, did } = seen
  const grown = watched.peaks.map((peak, at) => (peak - (idle[at] ?? 0)) / MIB)
  const memoryMiB = Math.round(Math.max(0, ...grown))
  const p99 = percentile(good.times, 0.99)
  const finite = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? null : value)
  const failed = good.times.filter((time) => !Number.isFinite(time)).length
  return {
    ...{ attack, as, seconds, memoryMiB, logBytes, did },
    operations: good.times.length,
    failed,
    failures: good.failures,
    p99Ms: finite(p99),
    medianMs: finite(percentile(good.times, 0.5)),
    down: [...watched.down, ...watched.evicted],
    broken: brokenOf(seen, memoryMiB, p99)
  }
}

function brokenOf(seen: Seen, memoryMiB: number, p99: number | undefined): Broken[] {
  const { watched, good, isTimed, lost, breaches, logBytes, seconds } = seen
  const broken: Broken[] = []
  const add = (bound: Bound, text: string) => broken.push({ bound, text })
  for (const name of watched.ended) add('alive', `${name} ended`)
  for (const text of [...watched.evicted, ...watched.down]) add('down', text)
  if (memoryMiB > MEMORY_MIB_MAX) add('memory', `${memoryMiB} MiB above idle`)
  for (const text of few([...good.stale, ...lost])) add('loss', text)
  for (const text of few(breaches)) add('access', text)
  if (watched.shutOut > 0) add('doors', `${watched.shutOut} of ${watched.asked} operators got no answer`)
  if (isTimed && good.visitsFailed > Math.max(1, good.visits * VISITS_FAILED_SHARE_MAX)) {
    add('doors', `${good.visitsFailed} of ${good.visits} new Redis connections failed`)
  }
  if (logBytes > LOG_BYTES_PER_SECOND_MAX * seconds) add('log', `a log grew by ${Math.round(logBytes / 1024)} KiB`)
  if (!isTimed) return broken
  if (p99 === undefined || p99 > P99_MS_MAX) add('timing', `p99 ${shown(p99)} ms`)
  return broken
}

function few(texts: readonly string[]): string[] {
  if (texts.length <= LISTED_MAX) return [...texts]
  return [...texts.slice(0, LISTED_MAX), `and ${texts.length - LISTED_MAX} more`]
}

/** The bounds that count: without those of time when `isTimed` is false. */
export function brokenBounds({ broken }: AttackResult, isTimed: boolean): readonly Broken[] {
  return broken.filter(({ bound }) => isTimed || bound !== 'timing')
}

export function table(results: readonly AttackResult[], isTimed: boolean): string {
  const head = ['attack', 'as', 'memory, MiB', 'p99, ms', 'failed', 'taken for down', 'verdict']
  const rows = results.map((result) => {
    const broken = brokenBounds(result, isTimed)
    return [
      result.attack,
      result.as,
      `+${result.memoryMiB}`,
      result.p99Ms === null ? '-' : shown(result.p99Ms),
      `${result.failed} of ${result.operations}`,
      result.down.length === 0 ? 'nobody' : result.down.join(', '),
      broken.length === 0 ? 'held' : `BROKEN: ${broken.map(({ text }) => text).join('; ')}`
    ]
  })
  return markdown(head, rows)
}
