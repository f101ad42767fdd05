// Starts, asks and ends servers of Redis for benchmarks. The servers listen on this machine only.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../lib/system-clock.js'
import { pause } from './bench-peers.js'
import { watchOver } from './bench-processes.js'

export interface StartedRedis {
  readonly port: number
  readonly process: ChildProcess
  readonly pid: number
}

export const HOST = '127.0.0.1'
const START_MS_MAX = 20_000
const STOP_MS_MAX = 10_000
const CALL_MS_MAX = 10_000
const POLL_MS = 50

/** A setting with several words is a list. */
export type RedisSettings = Readonly<Record<string, string | number | readonly string[]>>

/** Starts a server with these settings. Resolves when it answers. `dir` must exist; its log is written there. */
export async function startRedis(
  settings: RedisSettings & { readonly port: number; readonly dir: string }
): Promise<StartedRedis> {
  const { port, dir } = settings
  const flags = { bind: HOST, ...settings, daemonize: 'no', logfile: join(dir, 'log') }
  const argv = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)])
  // A process group of its own: Ctrl-C in a terminal reaches the benchmark alone, which ends the server.
  const child = spawn('redis-server', argv, { detached: true, stdio: 'ignore' })
  const forget = watchOver({ kill: () => child.kill('SIGKILL') })
  let hasEnded = false
  child.on('error', () => {
    hasEnded = true
  })
  child.once('exit', () => {
    hasEnded = true
    forget()
  })
  const answers = async () => {
    if (hasEnded) throw new Error(`redis-server ${argv.join(' ')} ended at once; ringd compares with 7.0 or newer`)
    return (await cli(port, ['PING']).catch(() => '')).startsWith('PONG')
  }
  await until(answers, START_MS_MAX, 'redis-server did not answer')
  return { port, process: child, pid: child.pid ?? 0 }
}

/** What redis-cli prints. With port 0 the arguments name the server. Throws when it ends with an error. */
export async function cli(port: number, args: readonly string[], timeoutMs = CALL_MS_MAX): Promise<string> {
  const options = { timeout: timeoutMs, maxBuffer: 256 * 1024 * 1024 }
  const argv = port === 0 ? [...args] : ['-h', HOST, '-p', `${port}`, ...args]
  try {
    return (await promisify(execFile)('redis-cli', argv, options)).stdout
  } catch (thrown) {
    const { stdout } = thrown as { stdout?: string }
    throw new Error(`redis-cli ${argv.join(' ')} failed: ${stdout?.slice(-500) || thrown}`)
  }
}

export async function until(holds: () => Promise<boolean>, timeoutMs: number, trouble: string): Promise<void> {
  const deadline = systemClock.elapsed() + timeoutMs
  while (!(await holds())) {
    if (systemClock.elapsed() > deadline) throw new Error(`${trouble} within ${timeoutMs / 1000} s`)
    await pause(POLL_MS)
  }
}

/** Ends one server: SIGTERM, and SIGKILL after STOP_MS_MAX. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await ended
  clearTimeout(timer)
}
