// Benchmark `redis`: redis-benchmark through one of three peers. There are three copies, and a write is on disk at two
// owners before it is acknowledged. When a floor prototype is named, each round runs it as well. The speed of a machine
// varies from minute to minute, so compare the ratio of a pair and the CPU time of an operation. Each round starts with
// empty stores.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { findFloor, perOperation, runFloor } from './bench-floor.js'
import { BenchRing } from './bench-peers.js'
import { isInstalled } from './bench-processes.js'
import { type Measured, markdown, median, medianOf, quotient, shown } from './bench-statistics.js'

export interface RedisOptions {
  readonly rounds: number
  readonly floor: string | undefined
}

interface Row {
  readonly command: 'SET' | 'GET'
  readonly pipeline: number
  readonly requests: number
}

interface Round {
  readonly ringd: ReadonlyMap<string, Measured>
  readonly floor: ReadonlyMap<string, Measured> | undefined
}

export interface RedisResult {
  readonly row: string
  readonly ringd: Measured
  readonly floor: Measured | undefined
  /** Median of ringd divided by floor, over the rounds. */
  readonly ratio: number | undefined
  readonly cpuRatio: number | undefined
}

/** The same work in the same order as the floor prototype. */
const ROWS: readonly Row[] = [
  { command: 'SET', pipeline: 1, requests: 40_000 },
  { command: 'GET', pipeline: 1, requests: 40_000 },
  { command: 'SET', pipeline: 16, requests: 100_000 },
  { command: 'GET', pipeline: 16, requests: 100_000 }
]
const VALUE_BYTES = 100
const KEYS = 1_000_000
const CLIENTS = 50
const RUN_MS_MAX = 120_000

function nameOf({ command, pipeline }: Row): string {
  return `${command} ${pipeline}`
}

/** The medians of all rounds; undefined when redis-benchmark is not installed. */
export async function benchRedis(
  print: (line: string) => void,
  options: RedisOptions
): Promise<readonly RedisResult[] | undefined> {
  if (!isInstalled('redis-benchmark')) {
    print('skipped: redis-benchmark is not installed (apt-get install redis-tools)')
    return undefined
  }
  const floor = findFloor(options.floor)
  const rounds: Round[] = []
  for (let round = 0; round < options.rounds; round++) {
    rounds.push({ floor: floor === undefined ? undefined : await runFloor(floor), ringd: await runRingd() })
  }
  const results = ROWS.map((row) => summary(nameOf(row), rounds))
  print(tableOf(results))
  for (const note of cpuNotes(results, floor !== undefined)) print(note)
  return results
}

async function runRingd(): Promise<Map<string, Measured>> {
  const ring = await BenchRing.start(3)
  try {
    const rows = new Map<string, Measured>()
    for (const row of ROWS) rows.set(nameOf(row), await measure(ring, row))
    return rows
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, row: Row): Promise<Measured> {
  const before = ring.cpuSeconds()
  const load = ['-t', row.command.toLowerCase(), '-n', row.requests, '-c', CLIENTS, '-P', row.pipeline]
  const shape = ['-h', '127.0.0.1', '-p', ring.peers[0]!.respPort, '-d', VALUE_BYTES, '-r', KEYS, '--csv']
  const argv = [...shape, ...load].map(String)
  const { stdout } = await promisify(execFile)('redis-benchmark', argv, { timeout: RUN_MS_MAX })
  const parsed = parseCsv(stdout)
  if (parsed === undefined) throw new Error(`redis-benchmark printed no result: ${stdout}`)
  return { ...parsed, cpuMicros: perOperation(before, ring.cpuSeconds(), row.requests) }
}

/** The last line of `redis-benchmark --csv`: name, rps, then latencies avg, min, p50, p95, p99, max in ms. */
export function parseCsv(text: string): Omit<Measured, 'cpuMicros'> | undefined {
  const cells = text.trimEnd().split('\n').at(-1)!.split(',')
  const [perSecond, , , p50Ms, , p99Ms] = cells.slice(1).map((cell) => Number(cell.replaceAll('"', '')))
  if (!perSecond || p50Ms === undefined || p99Ms === undefined) return undefined
  return { perSecond, p50Ms, p99Ms }
}

function summary(row: string, rounds: readonly Round[]): RedisResult {
  const pairs = rounds.map(({ ringd, floor }) => ({ mine: ringd.get(row)!, other: floor?.get(row) }))
  const others = pairs.flatMap(({ other }) => other ?? [])
  return {
    row,
    ringd: medians(pairs.map(({ mine }) => mine)),
    floor: others.length === 0 ? undefined : medians(others),
    ratio: medianOf(pairs, ({ mine, other }) => quotient(mine.perSecond, other?.perSecond)),
    cpuRatio: medianOf(pairs, ({ mine, other }) => quotient(mine.cpuMicros, other?.cpuMicros))
  }
}

function medians(rounds: readonly Measured[]): Measured {
  const p99Ms = medianOf(rounds, (round) => round.p99Ms)
  return {
    perSecond: median(rounds.map((round) => round.perSecond))!,
    p50Ms: median(rounds.map((round) => round.p50Ms))!,
    ...(p99Ms !== undefined && { p99Ms }),
    cpuMicros: medianOf(rounds, (round) => round.cpuMicros)
  }
}

/** Says why the table has no CPU time in some of its rows. */
export function cpuNotes(results: readonly RedisResult[], withFloor: boolean): readonly string[] {
  const without = (pick: (result: RedisResult) => Measured | undefined) =>
    results.filter((result) => pick(result)?.cpuMicros === undefined).map(({ row }) => row)
  const note = (who: string, rows: readonly string[]) =>
    `no CPU time of ${who} for ${rows.join(', ')}: /proc/PID/stat of one of its processes was never readable`
  const mine = without(({ ringd }) => ringd)
  const others = withFloor ? without(({ floor }) => floor) : []
  return [...(mine.length > 0 ? [note('ringd', mine)] : []), ...(others.length > 0 ? [note('the floor', others)] : [])]
}

function tableOf(results: readonly RedisResult[]): string {
  const head = ['work', 'req/s', 'floor', 'ratio', 'p50 ms', 'p99 ms', 'floor p50', 'CPU us/op', 'floor', 'ratio']
  const rows = results.map(({ row, ringd, floor, ratio, cpuRatio }) => [
    row.replace(' ', ' -P '),
    shown(ringd.perSecond),
    shown(floor?.perSecond),
    shown(ratio, 2),
    shown(ringd.p50Ms, 2),
    shown(ringd.p99Ms, 2),
    shown(floor?.p50Ms, 2),
    shown(ringd.cpuMicros),
    shown(floor?.cpuMicros),
    shown(cpuRatio, 2)
  ])
  return markdown(head, rows)
}
