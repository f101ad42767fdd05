// The `ringd` command as a process of its own, run to its end.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const MAIN = fileURLToPath(new URL('../../daemon/main.js', import.meta.url))
const PROCESS_MS_MAX = 60_000

/** Runs `ringd ARGV` with `input` on stdin. Kills it when it takes a minute: `code` is null then. */
export function ringd(argv: readonly string[], input: string | Buffer = ''): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...argv], { timeout: PROCESS_MS_MAX, killSignal: 'SIGKILL' })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    said.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    said.stderr += chunk
  })
  // A process that has read enough closes its end.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...said })))
}
