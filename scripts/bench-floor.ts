// Runs a floor prototype: an executable that starts three processes with the least code that replicates, and runs
// redis-benchmark on them. This file knows it only by its output. A line that begins with `floor, one peer`, and may
// contain `pipeline 16`, comes before each pair of rows. A row reads `SET: 13000.00 requests per second, p50=3.1 msec`.
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { systemClock } from '../lib/system-clock.js'
import { childrenOf, cpuSeconds, watchOver } from './bench-processes.js'
import type { Measured } from './bench-statistics.js'

const RUN_MS_MAX = 180_000

/** The path of the executable, if one was named. Throws when the file does not exist. */
export function findFloor(named: string | undefined): string | undefined {
  if (named !== undefined && !existsSync(named)) {
    throw new Error(`${named} does not exist: correct --floor or BENCH_FLOOR`)
  }
  return named
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

/** Runs all rows once. The keys of the result are `SET 1`, `GET 16` and so on. Takes about half a minute. */
export async function runFloor(path: string): Promise<Map<string, Measured>> {
  const child = spawn(path, [], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] })
  const killable = { kill: () => endGroup(child) }
  const forget = watchOver(killable)
  const timer = setTimeout(killable.kill, RUN_MS_MAX)
  const rows = new Map<string, Measured>()
  let pipeline = 1
  let mark = { at: 0, cpu: undefined as number | undefined }
  let servers: number[] = []
  for await (const line of createInterface({ input: child.stdout })) {
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
  clearTimeout(timer)
  endGroup(child)
  forget()
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
