// Processes of a benchmark: their CPU time, memory and children, their ports and folders, and how they are ended. CPU
// time and memory come from /proc, so they exist on Linux only. Ends only the processes that were given to `watchOver`,
// and removes only the folders that `temporaryFolder` made.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

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

/** Resident memory of a process, bytes: now and its peak since the last reset; 0 when it has ended. Linux only. */
export function memoryOf(pid: number): { readonly now: number; readonly peak: number } {
  const text = readProc(pid, 'status') ?? ''
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return { now: kib('VmRSS') * 1024, peak: kib('VmHWM') * 1024 }
}

/** Lets the peak of `memoryOf` begin anew. False where the kernel refuses; see clear_refs in proc_pid_clear_refs(5). */
export function resetPeak(pid: number): boolean {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    return true
  } catch {
    return false
  }
}

/**
 * Begins to watch the resident memory of the processes. The returned function gives the largest growth of one of them
 * until then, bytes: its peak above its value at the beginning. Undefined where the kernel does not tell.
 */
export function memoryGrowth(pids: readonly number[]): () => number | undefined {
  const hasPeaks = pids.map(resetPeak).every(Boolean)
  const before = pids.map((pid) => memoryOf(pid).now)
  return () => (hasPeaks ? Math.max(...pids.map((pid, at) => memoryOf(pid).peak - before[at]!)) : undefined)
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

export interface TemporaryFolder {
  readonly path: string
  /** Removes it with everything in it. Processes that write to it must have been killed. */
  remove(): void
}

const folders = new Set<TemporaryFolder>()

/** A new folder for temporary files. `killAll` removes it, unless its owner has. */
export function temporaryFolder(prefix: string): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), prefix))
  const folder = {
    path,
    remove: () => {
      folders.delete(folder)
      // A process that was killed a moment ago may still be writing.
      rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
    }
  }
  folders.add(folder)
  return folder
}

/** Kills every watched process, then removes the temporary folders. */
export function killAll(): void {
  for (const each of living) each.kill()
  living.clear()
  for (const folder of folders) folder.remove()
}

/** Below the ports that Linux gives to outgoing connections: nobody takes one between the look and its use. */
const PORT_FIRST = 25_000
const PORT_COUNT = 1000

/** Different ports of this machine on which nobody listens. Throws when there are fewer. */
export async function freePorts(count: number): Promise<number[]> {
  const start = Math.floor(Math.random() * PORT_COUNT)
  const found: number[] = []
  for (let step = 0; step < PORT_COUNT && found.length < count; step++) {
    const port = PORT_FIRST + ((start + step) % PORT_COUNT)
    if (await isFree(port)) found.push(port)
  }
  if (found.length < count) throw new Error(`fewer than ${count} free ports from ${PORT_FIRST} on`)
  return found
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Runs a command that starts processes, and sets the exit code. Kills the watched ones at its end, and on signals. */
export async function runCommand(main: (argv: readonly string[]) => Promise<number>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    // Not `once`: npm and the terminal both send SIGINT, and the second one would end the process while it tidies up.
    process.on(signal, () => {
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
