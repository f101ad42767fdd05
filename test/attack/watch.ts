// Watches the daemons during one attack: their memory, whether they run, and whom they take for down. Sends nothing but
// status requests over connections that were open before.
import { setTimeout as sleep } from 'node:timers/promises'
import { MiB } from '../../lib/limits.js'
import { memoryOf, resetPeak } from '../../scripts/bench-processes.js'
import type { AttackedDaemon } from './ring.js'

const STATUS_GAP_MS = 400
const MEMORY_GAP_MS = 100

export interface Watched {
  /** The highest resident memory of each daemon, bytes, in the order of the daemons. */
  readonly peaks: readonly number[]
  /** For example `a takes b for down`. */
  readonly down: readonly string[]
  /** Members that a daemon no longer lists. */
  readonly evicted: readonly string[]
  /** The newest view that a daemon reports. */
  readonly view: number
  /** Daemons that ended. */
  readonly ended: readonly string[]
  /** New operator connections: how many were tried, and how many got no answer. */
  readonly asked: number
  readonly shutOut: number
}

export class Watch {
  readonly #daemons: readonly AttackedDaemon[]
  readonly #pids: readonly number[]
  readonly #peaks: number[]
  readonly #down = new Set<string>()
  readonly #evicted = new Set<string>()
  readonly #loops: Promise<unknown>
  readonly #onMemory: (bytes: number) => void
  #view = 0
  #asked = 0
  #shutOut = 0
  #stopping = false

  /** `onMemory` hears of each sample of the largest daemon. */
  constructor(daemons: readonly AttackedDaemon[], onMemory: (bytes: number) => void) {
    this.#daemons = daemons
    this.#onMemory = onMemory
    this.#pids = daemons.map(({ pid }) => pid)
    const hasPeaks = this.#pids.map(resetPeak)
    this.#peaks = this.#pids.map(() => 0)
    this.#loops = Promise.all([
      this.#sample(hasPeaks),
      ...daemons.map((daemon) => this.#poll(daemon)),
      ...daemons.map((daemon) => this.#askAnew(daemon))
    ])
  }

  async stop(): Promise<Watched> {
    this.#stopping = true
    await this.#loops
    const ended = this.#daemons.filter(({ alive, pid }, at) => !alive || pid !== this.#pids[at])
    return {
      peaks: this.#peaks,
      down: [...this.#down].sort(),
      evicted: [...this.#evicted].sort(),
      ended: ended.map(({ name }) => name),
      view: this.#view,
      ...{ asked: this.#asked, shutOut: this.#shutOut }
    }
  }

  async #sample(hasPeaks: readonly boolean[]): Promise<void> {
    while (!this.#stopping) {
      for (const [at, pid] of this.#pids.entries()) {
        const { now, peak } = memoryOf(pid)
        this.#peaks[at] = Math.max(this.#peaks[at]!, now, hasPeaks[at] ? peak : 0)
      }
      this.#onMemory(Math.max(...this.#peaks))
      await sleep(MEMORY_GAP_MS)
    }
  }

  async #poll(daemon: AttackedDaemon): Promise<void> {
    const names = new Map(this.#daemons.map(({ info, name }) => [info.storeId, name]))
    while (!this.#stopping) {
      try {
        const { members, view } = await daemon.status()
        this.#view = Math.max(this.#view, view)
        const listed = new Set(members.map(({ storeId }) => storeId))
        for (const { storeId, state } of members) {
          const name = names.get(storeId)
          if (state === 'down' && name !== undefined) this.#down.add(`${daemon.name} takes ${name} for down`)
        }
        for (const [storeId, name] of names) {
          if (!listed.has(storeId)) this.#evicted.add(`${daemon.name} no longer lists ${name}`)
        }
      } catch {
        // A daemon that ended is counted by its process; one that does not answer, by the new connections.
      }
      await sleep(STATUS_GAP_MS)
    }
  }

  /** A person who types `ringd status` again and again. */
  async #askAnew(daemon: AttackedDaemon): Promise<void> {
    while (!this.#stopping) {
      await sleep(5 * STATUS_GAP_MS)
      if (this.#stopping || !daemon.alive) return
      this.#asked += 1
      await daemon.operator.askOnce(daemon.info).catch(() => {
        this.#shutOut += 1
      })
    }
  }
}

export function mib(bytes: number): number {
  return Math.round(bytes / MiB)
}
