// What benchmark `move` measures, the figures that follow from it, and its tables. Pure.
import { KiB, MiB } from '../lib/limits.js'
import type { TimeTold } from './bench-move-eta.js'
import { markdown, median, medianOf, percentile, quotient, shown } from './bench-statistics.js'

export interface MoveShape {
  /** Peers or masters that hold the data before one more joins. */
  readonly members: number
  readonly keys: number
  readonly valueBytes: number
}

/** One move to one joiner, by ringd or Redis. */
export interface Move {
  /** From when the joiner serves until it holds everything that it owns. */
  readonly seconds: number
  /** Entries that had to move: those that the joiner owns, with the bytes of their keys and values. */
  readonly entries: number
  readonly bytes: number
  readonly keysPerSecond: number
  /** MiB of keys and values. */
  readonly mibPerSecond: number
  /** User and system time of all servers. */
  readonly cpuSeconds: number | undefined
  /** Growth of the peak of resident memory, bytes: of the joiner, and of that source which grew most. */
  readonly joinerGrowth: number | undefined
  readonly sourceGrowth: number | undefined
}

export interface RingdMove extends Move {
  /** From the start of the joiner's process until it serves. */
  readonly startSeconds: number
  /** By the metrics of the joiner. The bytes are those of blocks: entries with versions and lengths. */
  readonly receivedEntries: number
  readonly receivedBytes: number
  /** What the joiner holds at the end, by its status. */
  readonly heldEntries: number
  readonly heldBytes: number
  /** Bytes that the joiner received on all of its streams to peers. */
  readonly wireBytes: number
  /** `wireBytes` divided by `bytes`. */
  readonly wireRatio: number
  /** The most that all members together had on disk, divided by what they had before and what the joiner holds. */
  readonly diskRatio: number
  /** Bytes that had come on the stream of transfers, about ten times a second. */
  readonly course: readonly Progress[]
  /** What the status told of the time left, as often. */
  readonly told: readonly TimeTold[]
  readonly load?: LoadResult
}

export interface Progress {
  /** Ms since the joiner serves. */
  readonly at: number
  readonly bytes: number
}

/** One request of an open-loop load. */
export interface Timed {
  /** Ms from the start of the load until it was due. */
  readonly at: number
  /** From then until its answer. */
  readonly ms: number
  /** missing: a read found no value, though there is one. */
  readonly outcome: 'good' | 'failed' | 'missing'
}

export interface Latencies {
  readonly requests: number
  /** Requests that got an error or no answer, and reads that found no value. */
  readonly failed: number
  readonly missing: number
  /** Of those that succeeded. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
}

export interface LoadSecond extends Latencies {
  /** Seconds since the joiner serves; negative before. */
  readonly second: number
  /** MiB that came on the stream of transfers. */
  readonly mib: number
}

export interface LoadResult {
  readonly peakPerSecond: number
  readonly perSecond: number
  /** In the seconds before the joiner starts, and from when it serves until it holds everything. */
  readonly before: Latencies
  readonly during: Latencies
  readonly seconds: readonly LoadSecond[]
}

export function rates(entries: number, bytes: number, seconds: number): Pick<Move, 'keysPerSecond' | 'mibPerSecond'> {
  return { keysPerSecond: entries / seconds, mibPerSecond: bytes / MiB / seconds }
}

export function latenciesOf(samples: readonly Timed[]): Latencies {
  const times = samples.filter(({ outcome }) => outcome === 'good').map(({ ms }) => ms)
  const count = (wanted: Timed['outcome']) => samples.filter(({ outcome }) => outcome === wanted).length
  return {
    requests: samples.length,
    failed: count('failed'),
    missing: count('missing'),
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99)
  }
}

/** The samples that were due from `from` on and before `until`, ms. */
export function between(samples: readonly Timed[], from: number, until: number): readonly Timed[] {
  return samples.filter(({ at }) => at >= from && at < until)
}

/** One row for each second of the load. `servesAt`: ms from the start of the load until the joiner serves. */
export function secondsOf(samples: readonly Timed[], course: readonly Progress[], servesAt: number): LoadSecond[] {
  const bySecond = new Map<number, Timed[]>()
  for (const sample of samples) {
    const second = Math.floor((sample.at - servesAt) / 1000)
    const known = bySecond.get(second)
    if (known === undefined) bySecond.set(second, [sample])
    else known.push(sample)
  }
  return [...bySecond]
    .sort(([one], [other]) => one - other)
    .map(([second, its]) => {
      const bytes = bytesAt(course, (second + 1) * 1000) - bytesAt(course, second * 1000)
      return { second, ...latenciesOf(its), mib: bytes / MiB }
    })
}

/** The bytes that had come at the moment `at`, on straight lines between the samples. */
export function bytesAt(course: readonly Progress[], at: number): number {
  const next = course.findIndex((progress) => progress.at > at)
  if (next === 0) return 0
  if (next === -1) return course.at(-1)?.bytes ?? 0
  const [one, other] = [course[next - 1]!, course[next]!]
  return one.bytes + ((other.bytes - one.bytes) * (at - one.at)) / (other.at - one.at)
}

/** What one round measured. Absent: it was not to be measured, or its programs are missing. */
export interface MoveRound {
  readonly floor: Pick<Move, 'keysPerSecond' | 'mibPerSecond'> | undefined
  readonly ringd: RingdMove
  readonly redis: Move | undefined
  readonly loaded: RingdMove | undefined
}

/** Medians over the rounds of the quotients within a round; undefined when one side was not measured. */
export interface MoveRatios {
  readonly ringdToFloorMib: number | undefined
  readonly ringdToRedisKeys: number | undefined
  /** Keys per second under load, relative to idle. */
  readonly loadedToIdle: number | undefined
}

export function ratiosOf(rounds: readonly MoveRound[]): MoveRatios {
  return {
    ringdToFloorMib: medianOf(rounds, ({ ringd, floor }) => quotient(ringd.mibPerSecond, floor?.mibPerSecond)),
    ringdToRedisKeys: medianOf(rounds, ({ ringd, redis }) => quotient(ringd.keysPerSecond, redis?.keysPerSecond)),
    loadedToIdle: medianOf(rounds, ({ ringd, loaded }) => quotient(loaded?.keysPerSecond, ringd.keysPerSecond))
  }
}

/** Of a transfer, in the columns of the table; `-` for what was not measured. */
type Cells = Partial<RingdMove>

const COLUMNS: ReadonlyArray<readonly [title: string, pick: (cells: Cells) => number | undefined, digits: number]> = [
  ['MiB/s', ({ mibPerSecond }) => mibPerSecond, 1],
  ['keys/s', ({ keysPerSecond }) => keysPerSecond, 0],
  ['s', ({ seconds }) => seconds, 2],
  ['keys moved', ({ entries }) => entries, 0],
  ['CPU s', ({ cpuSeconds }) => cpuSeconds, 1],
  ['CPU us/key', ({ cpuSeconds, entries }) => quotient(quotient(cpuSeconds, entries), 1e-6), 0],
  ['joiner +MiB', ({ joinerGrowth }) => quotient(joinerGrowth, MiB), 0],
  ['source +MiB', ({ sourceGrowth }) => quotient(sourceGrowth, MiB), 0],
  ['received/owned', ({ receivedEntries, entries }) => quotient(receivedEntries, entries), 2],
  ['wire/data', ({ wireRatio }) => wireRatio, 2],
  ['wire/entries', ({ wireBytes, heldBytes }) => quotient(wireBytes, heldBytes), 2],
  ['disk', ({ diskRatio }) => diskRatio, 2]
]

function cellsOf(items: readonly (Cells | undefined)[]): string[] {
  const known = items.filter((item) => item !== undefined)
  return COLUMNS.map(([, pick, digits]) => shown(medianOf(known, pick), digits))
}

/** Medians of all rounds, and the ratios. */
export function moveTable(rounds: readonly MoveRound[]): string {
  const sides: ReadonlyArray<readonly [string, (round: MoveRound) => Cells | undefined]> = [
    ['floor', ({ floor }) => floor],
    ['ringd', ({ ringd }) => ringd],
    ['redis', ({ redis }) => redis],
    ['ringd under load', ({ loaded }) => loaded]
  ]
  const measured = sides.filter(([, pick]) => rounds.some((round) => pick(round) !== undefined))
  const rows = measured.map(([name, pick]) => [name, ...cellsOf(rounds.map(pick))])
  const ratios = ratiosOf(rounds)
  return [
    markdown(['one more member joins', ...COLUMNS.map(([title]) => title)], rows),
    `ringd/floor, MiB/s: ${shown(ratios.ringdToFloorMib, 2)}`,
    `ringd/redis, keys/s: ${shown(ratios.ringdToRedisKeys, 2)}`
  ].join('\n')
}

/** Medians of the loads of all rounds; undefined when there was none. */
export function loadTable(rounds: readonly MoveRound[]): string | undefined {
  const loads = rounds.flatMap(({ loaded }) => loaded?.load ?? [])
  if (loads.length === 0) return undefined
  const row = (title: string, pick: (load: LoadResult) => number | undefined, digits: number) => [
    title,
    shown(medianOf(loads, pick), digits)
  ]
  const sum = (pick: (load: LoadResult) => number) => shown(loads.reduce((total, load) => total + pick(load), 0))
  const rows = [
    row('peak of a closed loop, requests/s', ({ peakPerSecond }) => peakPerSecond, 0),
    row('rate of the open loop, requests/s', ({ perSecond }) => perSecond, 0),
    ['failed before the move, all rounds', sum(({ before }) => before.failed + before.missing)],
    ['failed during the move, all rounds', sum(({ during }) => during.failed + during.missing)],
    row('p50 before, ms', ({ before }) => before.p50Ms, 2),
    row('p50 during, ms', ({ during }) => during.p50Ms, 2),
    row('p99 before, ms', ({ before }) => before.p99Ms, 2),
    row('p99 during, ms', ({ during }) => during.p99Ms, 2),
    ['pace of the move, relative to idle', shown(ratiosOf(rounds).loadedToIdle, 2)]
  ]
  return markdown(['load while one member joins', ''], rows)
}

/** One size of `--sizes`. `skipped` tells why it was left out. */
export interface SizeResult {
  readonly shape: MoveShape
  readonly move: RingdMove | undefined
  readonly skipped?: string
}

export const SIZE_BYTES_MAX = 1024 * MiB
export const SIZE_MEMBERS = [3, 5, 8] as const
export const SIZE_KEYS = [10_000, 100_000, 1_000_000] as const
export const SIZE_VALUES = [100, 1000, 64 * KiB] as const

export interface SizeLimits {
  readonly keys: number
  readonly valueBytes: number
}

/** All sizes. Skipped are those above SIZE_BYTES_MAX of values, before they are replicated, or above a limit. */
export function sizeShapes(
  limits: SizeLimits
): ReadonlyArray<{ readonly shape: MoveShape; readonly skipped?: string }> {
  const shapes = SIZE_MEMBERS.flatMap((members) =>
    SIZE_VALUES.flatMap((valueBytes) => SIZE_KEYS.map((keys) => ({ members, keys, valueBytes })))
  )
  return shapes.map((shape) => {
    const bytes = shape.keys * shape.valueBytes
    if (shape.keys > limits.keys) return { shape, skipped: `above ${limits.keys} keys` }
    if (shape.valueBytes > limits.valueBytes) return { shape, skipped: `above ${limits.valueBytes} B` }
    return bytes > SIZE_BYTES_MAX ? { shape, skipped: `${shown(bytes / MiB)} MiB of values` } : { shape }
  })
}

export function sizesTable(results: readonly SizeResult[]): string {
  const rows = results.map(({ shape, move, skipped }) => [
    ...[shape.members, shape.valueBytes, shape.keys].map(String),
    ...(skipped === undefined ? cellsOf([move]) : [`skipped: ${skipped}`, ...COLUMNS.slice(1).map(() => '')])
  ])
  return markdown(['members before', 'value bytes', 'keys', ...COLUMNS.map(([title]) => title)], rows)
}

/** The medians that the plots show. */
export function medianRates(
  items: readonly (Pick<Move, 'keysPerSecond' | 'mibPerSecond'> | undefined)[]
): Pick<Move, 'keysPerSecond' | 'mibPerSecond'> | undefined {
  const known = items.filter((item) => item !== undefined)
  const keysPerSecond = median(known.map((item) => item.keysPerSecond))
  const mibPerSecond = median(known.map((item) => item.mibPerSecond))
  return keysPerSecond === undefined || mibPerSecond === undefined ? undefined : { keysPerSecond, mibPerSecond }
}
