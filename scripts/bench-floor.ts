// Runs a floor prototype: an executable that starts three processes with the least code that replicates, and runs
// redis-benchmark on them. This file knows it only by its output. A line that begins with `floor, one peer`, and may
// contain `pipeline 16`, comes before each pair of rows. A row reads `SET: 13000.00 requests per second, p50=3.1 msec`.
// A floor of moving data may lie beside the executable: `pull.mjs`, one source and one puller with the least code that
// moves entries. It prints `floor pull, noise, batch 1048576, inflight 2: 80000 keys/s, 79 MiB/s`.
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, existsSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../lib/system-clock.js'
import { childrenOf, cpuSeconds, temporaryFolder, watchOver } from './bench-processes.js'
import type { Measured } from './bench-statistics.js'

const RUN_MS_MAX = 180_000
const PULL = 'pull.mjs'
/** Its role, the encryption, bytes of a batch, and batches that are asked for at once. */
const PULL_ARGUMENTS = ['puller', 'noise', '1048576', '2']
const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url))
const TAIL_CHARS = 2000

/** The path of the executable, if one was named. Throws when the file does not exist. */
export function findFloor(named: string | undefined): string | undefined {
  if (named !== undefined && !existsSync(named)) {
    throw new Error(`${named} does not exist: correct --floor or BENCH_FLOOR`)
  }
  return named
}

/** The path of `pull.mjs` beside the executable; undefined when no floor was named, or when it has none. */
export function findPull(named: string | undefined): string | undefined {
  const floor = findFloor(named)
  const path = floor === undefined ? undefined : join(dirname(floor), PULL)
  return path !== undefined && existsSync(path) ? path : undefined
}

interface Header {
  readonly pipeline: number
}

interface Result {
  readonly command: string
  readonly perSecond: number
  readonly p50Ms: number
}

/** A header, a result, or undefined for any other line. */
export function parseFloorLine(line: string): Header | Result | undefined {
  if (/^floor, one peer/.test(line)) return { pipeline: Number(/pipeline (\d+)/.exec(line)?.[1] ?? 1) }
  const found = /^(\w+): ([\d.]+) requests per second, p50=([\d.]+) msec/.exec(line)
  if (found === null) return undefined
  return { command: found[1]!, perSecond: Number(found[2]), p50Ms: Number(found[3]) }
}

export interface PullMeasured {
  readonly keysPerSecond: number
  /** MiB of keys and values. */
  readonly mibPerSecond: number
}

/** The result of `pull.mjs`, or undefined for any other line. */
export function parsePullLine(line: string): PullMeasured | undefined {
  const found = /^floor pull, .*: ([\d.]+) keys\/s, ([\d.]+) MiB\/s$/.exec(line)
  return found === null ? undefined : { keysPerSecond: Number(found[1]), mibPerSecond: Number(found[2]) }
}

/** Runs `pull.mjs` once. It is copied, since it finds its packages beside itself, and it writes below TMPDIR alone. */
export async function runFloorPull(path: string): Promise<PullMeasured> {
  const folder = temporaryFolder('ringd-floor-')
  try {
    symlinkSync(PACKAGES, join(folder.path, 'node_modules'))
    copyFileSync(path, join(folder.path, PULL))
    const env = { ...process.env, TMPDIR: folder.path }
    const options = {
      cwd: folder.path,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe']
    }
    const child = spawn(process.execPath, [PULL, ...PULL_ARGUMENTS], options)
    let complaint = ''
    child.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString('utf8')).slice(-TAIL_CHARS)
    })
    for await (const line of linesOf(child, child.stdout)) {
      const parsed = parsePullLine(line)
      if (parsed !== undefined) return parsed
    }
    throw new Error(`${path} printed no result: ${complaint}`)
  } finally {
    folder.remove()
  }
}

/** The lines that a process prints. Afterwards its whole process group is killed, at the latest after RUN_MS_MAX. */
async function* linesOf(child: ChildProcess, output: Readable): AsyncGenerator<string> {
  const killable = { kill: () => endGroup(child) }
  const forget = watchOver(killable)
  const timer = setTimeout(killable.kill, RUN_MS_MAX)
  try {
    yield* createInterface({ input: output })
  } finally {
    clearTimeout(timer)
    endGroup(child)
    forget()
  }
}

/** Runs all rows once. The keys of the result are `SET 1`, `GET 16` and so on. Takes about half a minute. */
export async function runFloor(path: string): Promise<Map<string, Measured>> {
  const child = spawn(path, [], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const rows = new Map<string, Measured>()
  let pipeline = 1
  let mark = { at: 0, cpu: undefined as number | undefined }
  let servers: number[] = []
  for await (const line of linesOf(child, child.stdout)) {
    const parsed = parseFloorLine(line)
    if (parsed === undefined) continue
    if ('pipeline' in parsed) {
      pipeline = parsed.pipeline
      if (servers.length === 0) servers = childrenOf(child.pid ?? 0, 'node')
    }
    const now = { at: systemClock.elapsed(), cpu: cpuSeconds(servers) }
    if ('command' in parsed) {
      const { command, perSecond, p50Ms } = parsed
      const operations = (perSecond * (now.at - mark.at)) / 1000
      rows.set(`${command} ${pipeline}`, { perSecond, p50Ms, cpuMicros: perOperation(mark.cpu, now.cpu, operations) })
    }
    mark = now
  }
  return rows
}

/** CPU time of one operation, in microseconds. */
export function perOperation(
  before: number | undefined,
  after: number | undefined,
  operations: number
): number | undefined {
  return before === undefined || after === undefined ? undefined : ((after - before) * 1e6) / operations
}

/** Kills the executable and every process that remains in its process group. */
function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // The group has already ended.
  }
}
