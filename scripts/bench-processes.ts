// Processes that a benchmark started: what CPU they used, which are children of which, and how to be rid of them.
// Reads /proc, so figures of CPU exist on Linux only. Ends only what was handed to it.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

export interface ProcessStat {
  readonly parent: number
  /** User and system together, in clock ticks, with threads, without children. */
  readonly ticks: number
}

/** Linux has shown 100 ticks a second to programs on all usual machines for decades. */
const TICKS_PER_SECOND = 100

/** What /proc/PID/stat says. The name in it may hold spaces and parentheses. See proc_pid_stat(5). */
export function parseStat(text: string): ProcessStat | undefined {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [parent, user, system] = [fields[1], fields[11], fields[12]].map(Number)
  if (parent === undefined || !Number.isInteger(user) || !Number.isInteger(system)) return undefined
  return { parent, ticks: user! + system! }
}

function readProc(pid: number | string, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return undefined
  }
}

/** CPU seconds that these processes have used together, to a hundredth each; undefined when one cannot be read. */
export function cpuSeconds(pids: readonly number[]): number | undefined {
  let ticks = 0
  for (const pid of pids) {
    const stat = parseStat(readProc(pid, 'stat') ?? '')
    if (stat === undefined) return undefined
    ticks += stat.ticks
  }
  return pids.length === 0 ? undefined : ticks / TICKS_PER_SECOND
}

/** The children of `parent` whose program is called `program`. */
export function childrenOf(parent: number, program: string): number[] {
  let entries: string[]
  try {
    entries = readdirSync('/proc')
  } catch {
    return []
  }
  const isChild = (pid: string) => parseStat(readProc(pid, 'stat') ?? '')?.parent === parent
  const isCalled = (pid: string) => basename((readProc(pid, 'cmdline') ?? '').split('\0')[0]!) === program
  return entries.filter((entry) => /^\d+$/.test(entry) && isChild(entry) && isCalled(entry)).map(Number)
}

/** Whether the command can be started at all. */
export function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

export interface Killable {
  kill(): void
}

const living = new Set<Killable>()

/** Has `process` killed when this program is told to stop; returns how to forget it once it has ended. */
export function watchOver(process: Killable): () => void {
  living.add(process)
  return () => void living.delete(process)
}

/** Ends at once whatever is watched over. */
export function killAll(): void {
  for (const each of living) each.kill()
  living.clear()
}
