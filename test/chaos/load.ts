// The client processes of a campaign. Starts them, sends them orders, ends them, and reads their histories. Owns the
// processes.
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ClientPlan, Order } from './client.js'
import type { DoorPlan } from './client-door.js'
import { type Attempt, readRecords } from './client-records.js'

export interface LoadOptions {
  readonly folder: string
  readonly originNs: bigint
  readonly seed: number
  readonly doors: readonly DoorPlan[]
}

const PROCESSES = 3
const SHARED_KEYS = 60
/** Clients of each kind in each process. */
const COUNTERS = 4
const READERS = 3
const MIXED = 6
const ATOMIC = 8
const THINK_MS = 25
const END_MS_MAX = 20_000
const CLIENT = fileURLToPath(new URL('./client.js', import.meta.url))

export class Load {
  readonly #options: LoadOptions
  readonly #children: ChildProcess[] = []
  readonly #ends: Promise<number | null>[] = []
  #files: string[] = []

  constructor(options: LoadOptions) {
    this.#options = options
  }

  start(): void {
    const { folder, originNs, seed, doors } = this.#options
    for (let index = 0; index < PROCESSES; index++) {
      const file = join(folder, `clients-${index}.jsonl`)
      this.#files.push(file)
      const plan: ClientPlan = {
        ...{ originNs: String(originNs), file, seed, index, doors, thinkMs: THINK_MS },
        ...{ sharedKeys: SHARED_KEYS, counters: COUNTERS, readers: READERS, mixed: MIXED, atomic: ATOMIC }
      }
      const child = spawn(process.execPath, [CLIENT, JSON.stringify(plan)], { stdio: ['pipe', 'inherit', 'inherit'] })
      // Errors on stdin are ignored: `stop` reports a process that has died by its exit code.
      child.stdin?.on('error', () => {})
      this.#children.push(child)
      this.#ends.push(new Promise((resolve) => child.on('exit', (code) => resolve(code))))
    }
  }

  send(order: Order): void {
    for (const child of this.#children) child.stdin?.write(`${JSON.stringify(order)}\n`)
  }

  /** Waits until all operations have ended, and reads the histories. Throws when a client process failed. */
  async stop(): Promise<Attempt[][]> {
    for (const child of this.#children) child.stdin?.end()
    const timer = setTimeout(() => this.kill(), END_MS_MAX)
    const codes = await Promise.all(this.#ends)
    clearTimeout(timer)
    if (codes.some((code) => code !== 0)) throw new Error(`client processes failed: exit codes ${codes.join(', ')}`)
    return this.#files.map(readRecords)
  }

  kill(): void {
    for (const child of this.#children) child.kill('SIGKILL')
  }
}
