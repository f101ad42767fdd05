// Processes of a benchmark: their CPU time, their children, and how they are ended. CPU time comes from /proc, so it
// exists on Linux only. Ends only the processes that were given to `watchOver`.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

export interface ProcessStat {
  readonly parent: number
  /** User and system time in clock ticks, of all threads, without children. */
  readonly ticks: number
}

/** USER_HZ: Linux reports 100 ticks a second to programs on all common machines. */
const TICKS_PER_SECOND = 100

/** Parses /proc/PID/stat. The process name in it may contain spaces and parentheses. See proc_pid_stat(5). */
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

/** CPU seconds that these processes have used together; undefined when one of them cannot be read. */
export function cpuSeconds(pids: readonly number[]): number | undefined {
  let ticks = 0
  for (const pid of pids) {
    const stat = parseStat(readProc(pid, 'stat') ?? '')
    if (stat === undefined) return undefined
    ticks += stat.ticks
  }
  return pids.length === 0 ? undefined : ticks / TICKS_PER_SECOND
}

/** The children of `parent` that run the program `program`. */
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

/** Whether the command exists. */
export function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined
}

export interface Killable {
  kill(): void
}

const living = new Set<Killable>()

/** `killAll` will kill `process`. Call the returned function when the process has ended. */
export function watchOver(process: Killable): () => void {
  living.add(process)
  return () => void living.delete(process)
}

/** Kills every watched process. */
export function killAll(): void {
  for (const each of living) each.kill()
  living.clear()
}

/** Runs a command that starts processes, and sets the exit code. Kills the watched ones at its end, and on signals. */
export async function runCommand(main: (argv: readonly string[]) => Promise<number>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killAll()
      process.exit(130)
    })
  }
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (thrown) {
    console.error(thrown instanceof Error ? thrown.message : thrown)
    process.exitCode = 1
  } finally {
    killAll()
  }
}
