// Clients that write and read through several peers at once, recorded as a history that can be checked. Invariant: a
// key belongs to one writer. The writer repeats a number until it is acknowledged, then writes the next one. A value is
// its number, its key and padding, so that a mixed-up or cut value is noticed.
import type { ChainableCommander, Redis } from 'ioredis'
import { type Cluster, type Daemon, pause } from './cluster.js'
import { History, type Write } from './history.js'

/** A peer and the client that asks it. */
export interface Door {
  readonly name: string
  readonly client: Redis
}

export function doorOf(cluster: Cluster, daemon: Daemon): Door {
  return { name: daemon.name, client: cluster.redis(daemon) }
}

export interface WorkloadOptions {
  /** Keys are k0, k1 and so on; this is their count. */
  readonly keys: number
  /** How many clients write, and how many read. They are shared out among the doors. */
  readonly writers: number
  readonly readers: number
  /** Pause of each client between its operations. */
  readonly thinkMs: number
}

const PADDING = '.'.repeat(80)
/** Few enough that a busy machine answers them within the time of one command. */
const PIPELINE_COMMANDS = 100
/** Pipelines under way at once through one door. */
const PIPELINES = 2
/** Pause after a failure. The next attempt may go through another door. */
const RETRY_MS = 20
/** How many of the newest writes are read most often. A write acknowledged just now is lost most easily. */
const RECENT_MAX = 64

export class Workload {
  readonly history = new History()
  readonly #options: WorkloadOptions
  #doors: readonly Door[] = []
  #clients: Promise<void>[] = []
  /** The newest write of each key. */
  readonly #newest = new Map<string, Write>()
  readonly #recent: string[] = []
  #running = false

  /** The workload stops when the cluster ends, at the latest. */
  constructor(cluster: Cluster, options: WorkloadOptions) {
    this.#options = options
    cluster.atEnd(() => this.stop())
  }

  /** From their next operation on, clients use these doors. */
  through(doors: readonly Door[]): void {
    this.#doors = doors
  }

  /** Writes every key once, through one door, many at a time. Throws when one fails. */
  async fill(door: Door): Promise<void> {
    await this.#inBatches(async (keys) => {
      const writes = keys.map((key) => this.#beginWrite(key, door))
      const pipeline = door.client.pipeline()
      for (const { key, value } of writes) pipeline.set(key, textOf(key, value))
      await exec(pipeline)
      const end = performance.now()
      for (const write of writes) write.end = end
    })
  }

  /** Reads every key once through each door, many at a time. Throws when one fails. */
  async readBack(doors: readonly Door[]): Promise<void> {
    await Promise.all(
      doors.map(({ name: peer, client }) =>
        this.#inBatches(async (keys) => {
          const pipeline = client.pipeline()
          for (const key of keys) pipeline.get(key)
          const begin = performance.now()
          const values = await exec(pipeline)
          const end = performance.now()
          for (const [index, key] of keys.entries()) {
            this.history.reads.push({ key, value: numberOf(key, values[index]), peer, begin, end })
          }
        })
      )
    )
  }

  /** Passes all keys to `work`, one pipeline's worth at a time. */
  async #inBatches(work: (keys: string[]) => Promise<void>): Promise<void> {
    const { keys } = this.#options
    let at = 0
    const next = async (): Promise<void> => {
      while (at < keys) {
        const first = at
        at = Math.min(keys, at + PIPELINE_COMMANDS)
        await work(Array.from({ length: at - first }, (_, index) => nameOf(first + index)))
      }
    }
    await Promise.all(Array.from({ length: PIPELINES }, next))
  }

  start(): void {
    const { writers, readers } = this.#options
    this.#running = true
    this.#clients = [
      ...Array.from({ length: writers }, (_, index) => this.#write(index)),
      ...Array.from({ length: readers }, (_, index) => this.#read(index))
    ]
  }

  /** Resolves when every operation under way has ended. */
  async stop(): Promise<void> {
    this.#running = false
    await Promise.all(this.#clients)
  }

  /** The number of operations so far. */
  get operations(): number {
    return this.history.reads.length + this.history.writes.length
  }

  async #write(index: number): Promise<void> {
    const { keys, writers } = this.#options
    while (this.#running) {
      const key = nameOf(index + writers * Math.floor(Math.random() * Math.floor(keys / writers)))
      const write = this.#beginWrite(key, this.#doorOf(index))
      while (!(await this.#attempt(index, write)) && this.#running) await pause(RETRY_MS)
      this.#recent[this.history.writes.length % RECENT_MAX] = key
      await pause(this.#options.thinkMs)
    }
  }

  /** Writes the value once. After a failure it is called again with the same number, perhaps through another door. */
  async #attempt(index: number, write: Write): Promise<boolean> {
    const { name, client } = this.#doorOf(index)
    const { key } = write
    const begin = performance.now()
    try {
      await client.set(key, textOf(key, write.value))
      write.end = performance.now()
      return true
    } catch (thrown) {
      this.history.failures.push({ key, peer: name, message: `SET: ${thrown}`, begin, end: performance.now() })
      return false
    }
  }

  async #read(index: number): Promise<void> {
    while (this.#running) {
      const { name: peer, client } = this.#doorOf(index)
      const recent = this.#recent[Math.floor(Math.random() * RECENT_MAX)]
      const key = Math.random() < 0.5 && recent !== undefined ? recent : nameOf(Math.random() * this.#options.keys)
      const begin = performance.now()
      try {
        const value = numberOf(key, await client.get(key))
        this.history.reads.push({ key, value, peer, begin, end: performance.now() })
      } catch (thrown) {
        this.history.failures.push({ key, peer, message: `GET: ${thrown}`, begin, end: performance.now() })
        await pause(RETRY_MS)
      }
      await pause(this.#options.thinkMs)
    }
  }

  /** The next number, or the last one again when it was never acknowledged. */
  #beginWrite(key: string, door: Door): Write {
    const last = this.#newest.get(key)
    if (last !== undefined && last.end === Number.POSITIVE_INFINITY) return last
    const value = (last?.value ?? 0) + 1
    const write = { key, value, peer: door.name, begin: performance.now(), end: Number.POSITIVE_INFINITY }
    this.#newest.set(key, write)
    this.history.writes.push(write)
    return write
  }

  #doorOf(index: number): Door {
    return this.#doors[index % this.#doors.length]!
  }
}

function nameOf(index: number): string {
  return `k${Math.floor(index)}`
}

function textOf(key: string, value: number): string {
  return `${value} ${key} ${PADDING}`
}

/** The number in a value: 0 for no value, NaN for a value that this key's writer never wrote. */
function numberOf(key: string, text: unknown): number {
  if (text === null) return 0
  const value = Number.parseInt(String(text), 10)
  return text === textOf(key, value) ? value : Number.NaN
}

async function exec(pipeline: ChainableCommander): Promise<unknown[]> {
  const results = (await pipeline.exec()) ?? []
  return results.map(([error, value]) => {
    if (error !== null) throw error
    return value
  })
}
