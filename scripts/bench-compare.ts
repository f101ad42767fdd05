// Benchmark `compare`: this build beside the build of another checkout, such as an earlier commit. Two rings of three
// daemons live at the same time, and redis-benchmark asks them by turns, so both meet the same moods of the machine.
// The ratio of each pair is taken, and the median of all pairs. A build beside itself shows the noise.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { perOperation } from './bench-floor.js'
import { cpuSeconds, freePorts, isInstalled, temporaryFolder, watchOver } from './bench-processes.js'
import { parseCsv } from './bench-redis.js'
import { type Measured, markdown, medianOf, shown } from './bench-statistics.js'
import { PeerProcess } from './peer-process.js'

export interface CompareOptions {
  readonly rounds: number
  /** The folder of the other checkout. It is built. */
  readonly other: string | undefined
}

interface Row {
  readonly name: string
  readonly argv: readonly string[]
  readonly requests: number
}

interface Pair {
  readonly mine: Measured
  readonly other: Measured
}

/** Short calls, so that the two rings alternate often. */
const ROWS: readonly Row[] = [
  { name: 'SET 1', argv: ['-t', 'set'], requests: 4000 },
  { name: 'GET 1', argv: ['-t', 'get'], requests: 12_000 },
  { name: 'SET 16', argv: ['-t', 'set', '-P', '16'], requests: 16_000 },
  { name: 'GET 16', argv: ['-t', 'get', '-P', '16'], requests: 48_000 }
]
/** The first rounds warm both rings up. */
const WARM_ROUNDS = 2
const READY_MS_MAX = 60_000
/** The rings settle before they are measured. An older build may have another status, so nobody asks it. */
const SETTLE_MS = 8000
const CALL_MS_MAX = 60_000

/** Prints the medians of all pairs. Undefined when redis-benchmark or the other checkout is missing. */
export async function benchCompare(
  print: (line: string) => void,
  { rounds, other }: CompareOptions
): Promise<Readonly<Record<string, readonly Pair[]>> | undefined> {
  const program = other === undefined ? undefined : join(other, 'dist/daemon/main.js')
  if (program === undefined || !existsSync(program) || !isInstalled('redis-benchmark')) {
    print('skipped: it needs redis-benchmark (redis-tools), and --other with the folder of a checkout that is built')
    return undefined
  }
  const rings: TrioOfPeers[] = []
  try {
    rings.push(await TrioOfPeers.start(undefined), await TrioOfPeers.start(program))
    await sleep(SETTLE_MS)
    const pairs = compare(rings[0]!, rings[1]!, rounds)
    print(tableOf(pairs))
    return pairs
  } finally {
    for (const ring of rings) ring.kill()
  }
}

function compare(mine: TrioOfPeers, other: TrioOfPeers, rounds: number): Record<string, Pair[]> {
  const pairs: Record<string, Pair[]> = Object.fromEntries(ROWS.map(({ name }) => [name, []]))
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    for (const row of ROWS) {
      const isMineFirst = round % 2 === 0
      const first = measure(isMineFirst ? mine : other, row)
      const second = measure(isMineFirst ? other : mine, row)
      if (round >= 0)
        pairs[row.name]!.push(isMineFirst ? { mine: first, other: second } : { mine: second, other: first })
    }
  }
  return pairs
}

function measure(ring: TrioOfPeers, { argv, requests }: Row): Measured {
  const before = cpuSeconds(ring.pids)
  const shape = ['-h', '127.0.0.1', '-p', String(ring.respPort), '-d', '100', '-r', '10000', '-c', '50', '--csv']
  const command = [...shape, '-n', String(requests), ...argv]
  const text = execFileSync('redis-benchmark', command, { timeout: CALL_MS_MAX, encoding: 'utf8' })
  const parsed = parseCsv(text)
  if (parsed === undefined) throw new Error(`redis-benchmark printed no result: ${text}`)
  return { ...parsed, cpuMicros: perOperation(before, cpuSeconds(ring.pids), requests) }
}

function tableOf(pairs: Readonly<Record<string, readonly Pair[]>>): string {
  const rows = Object.entries(pairs).map(([name, row]) => [
    name.replace(' ', ' -P '),
    shown(
      medianOf(row, ({ mine }) => mine.perSecond),
      0
    ),
    shown(
      medianOf(row, ({ other }) => other.perSecond),
      0
    ),
    shown(
      medianOf(row, ({ mine, other }) => mine.perSecond / other.perSecond),
      3
    ),
    shown(
      medianOf(row, ({ mine }) => mine.cpuMicros),
      1
    ),
    shown(
      medianOf(row, ({ other }) => other.cpuMicros),
      1
    ),
    shown(
      medianOf(row, ({ mine, other }) => mine.cpuMicros && other.cpuMicros && mine.cpuMicros / other.cpuMicros),
      3
    )
  ])
  return markdown(['work', 'req/s', 'other', 'ratio', 'CPU us/op', 'other', 'ratio'], rows)
}

/** Three daemons of one build. */
class TrioOfPeers {
  readonly #folder = temporaryFolder('ringd-compare-')
  readonly #processes: PeerProcess[] = []
  readonly #forget: Array<() => void> = []
  respPort = 0

  /** `program`: the daemon of another build. */
  static async start(program: string | undefined): Promise<TrioOfPeers> {
    const trio = new TrioOfPeers()
    const ports = await freePorts(6)
    trio.respPort = ports[1]!
    const seed = `/ip4/127.0.0.1/tcp/${ports[0]}`
    try {
      for (let at = 0; at < 3; at++) {
        const flags = ['--listen', `/ip4/127.0.0.1/tcp/${ports[2 * at]}`, '--resp', `127.0.0.1:${ports[2 * at + 1]}`]
        const data = join(trio.#folder.path, String(at))
        const plan = { name: `peer-${at}`, data, log: `${data}.log`, join: at === 0 ? [] : [seed], flags }
        const peer = new PeerProcess(program === undefined ? plan : { ...plan, program })
        trio.#processes.push(peer)
        trio.#forget.push(watchOver(peer))
        const late = await peer.ready(READY_MS_MAX)
        if (late !== undefined) throw new Error(`${plan.name} ${late}: ${peer.tail()}`)
      }
      return trio
    } catch (thrown) {
      trio.kill()
      throw thrown
    }
  }

  get pids(): readonly number[] {
    return this.#processes.flatMap(({ pid }) => pid ?? [])
  }

  kill(): void {
    for (const peer of this.#processes) peer.kill()
    for (const forget of this.#forget) forget()
    this.#folder.remove()
  }
}
