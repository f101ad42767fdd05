// One daemon as a child process. It is ready when it prints `ready` on stdout. Its log goes to a file.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ERRORS } from '../lib/errors.js'

export interface PeerPlan {
  readonly name: string
  readonly data: string
  readonly log: string
  /** Multiaddrs of peers of the ring that it joins. Empty: it founds a ring, or continues with its data. */
  readonly join: readonly string[]
  /** The addresses on which it listens, and any other flags. */
  readonly flags: readonly string[]
  /**
   * False, the default: the daemon has a process group of its own. Ctrl-C in a terminal then reaches only the parent,
   * which stops the daemon once. True: a signal to the parent's group also reaches the daemon.
   */
  readonly inParentGroup?: boolean
  /** The daemon of another build: its `main.js`. Default: that of this build. */
  readonly program?: string
  /** The beginning of the command line: a program that execs the rest, such as `nsenter`. Default: empty. */
  readonly prefix?: readonly string[]
}

const MAIN = fileURLToPath(new URL('../daemon/main.js', import.meta.url))
const TAIL_LINES = 15

/** How a process ended, as text; an exit code of ringd comes with its meaning. */
export function endText(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal !== null) return `was ended by ${signal}`
  const meanings = Object.entries(ERRORS).filter(([, form]) => form.exit === code && code !== 1)
  const meaning = meanings.map(([, form]) => form.meaning).join(', or ')
  return `exited with ${code}${meaning === '' ? '' : `: ${meaning}`}`
}

export class PeerProcess {
  readonly plan: PeerPlan
  /** Resolves with `endText` of the process. */
  readonly ended: Promise<string>
  readonly #child: ChildProcess
  readonly #ready: Promise<void>
  #alive = true

  constructor(plan: PeerPlan) {
    this.plan = plan
    mkdirSync(dirname(plan.log), { recursive: true })
    const log = openSync(plan.log, 'a')
    const join = plan.join.flatMap((address) => ['--join', address])
    const argv = [process.execPath, plan.program ?? MAIN, 'daemon', '--data', plan.data, ...plan.flags, ...join]
    const [command = process.execPath, ...rest] = [...(plan.prefix ?? []), ...argv]
    const detached = plan.inParentGroup !== true
    this.#child = spawn(command, rest, { detached, stdio: ['ignore', 'pipe', log] })
    closeSync(log)
    this.ended = new Promise((resolve) => {
      this.#child.on('error', (error) => resolve(error.message))
      this.#child.on('exit', (code, signal) => resolve(endText(code, signal)))
    })
    void this.ended.then(() => {
      this.#alive = false
    })
    this.#ready = this.#watchForReady()
  }

  get alive(): boolean {
    return this.#alive
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  #watchForReady(): Promise<void> {
    return new Promise((resolve) => {
      let said = ''
      this.#child.stdout?.on('data', (chunk: Buffer) => {
        // `ready` is a short line, so the end of the output is enough.
        said = (said + chunk.toString('utf8')).slice(-4096)
        if (/^ready$/m.test(said)) resolve()
      })
    })
  }

  /** Resolves with undefined when it serves, or with the reason when it ended or `timeoutMs` passed. */
  async ready(timeoutMs: number): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`did not serve within ${timeoutMs / 1000} s`), timeoutMs)
    })
    const outcome = await Promise.race([this.#ready.then(() => undefined), this.ended, late])
    clearTimeout(timer)
    return outcome
  }

  /** Sends SIGTERM, and SIGKILL after `timeoutMs`. Resolves with `endText` when the process has ended. */
  async stop(timeoutMs: number): Promise<string> {
    if (this.#alive) this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs)
    const end = await this.ended
    clearTimeout(timer)
    return end
  }

  kill(): void {
    if (this.#alive) this.#child.kill('SIGKILL')
  }

  /** The last lines of its log. */
  tail(): string {
    const lines = readFileSync(this.plan.log, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES)
    return lines.map((line) => `    ${line}\n`).join('')
  }
}
