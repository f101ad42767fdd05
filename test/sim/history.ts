// A workload that checks. Each key has one writer that counts up. Readers through every node must never see less than
// was acknowledged before they began. Operations that fail under faults are counted, never hidden.
import type { SimNode } from './sim-node.js'
import type { SimRing } from './sim-ring.js'

/** Longer than any operation of a running node: a write that its client gave up earlier could follow newer ones. */
const GIVE_UP_MS = 15_000

export interface HistoryOptions {
  readonly keys: number
  /** Concurrent readers; each reads random keys. */
  readonly readers: number
  /** Mean virtual time between two writes of a key. Long, so that a reader sees a lost write before the next write. */
  readonly writePauseMs: number
  /** Mean virtual time between two reads of one reader. */
  readonly readPauseMs: number
}

export class History {
  /** Violations, in words. Must stay empty. */
  readonly violations: string[] = []
  writes = 0
  reads = 0
  /** Operations that failed with an error: allowed only while owners are down. */
  readonly failures: string[] = []
  readonly #ring: SimRing
  readonly #options: HistoryOptions
  /** Per key: the highest number that was acknowledged. */
  readonly #acknowledged: number[]
  /** Per key: the highest number that was sent. */
  readonly #tried: number[]
  #running = true
  #clients = 0

  constructor(ring: SimRing, options: HistoryOptions) {
    this.#ring = ring
    this.#options = options
    this.#acknowledged = new Array(options.keys).fill(0)
    this.#tried = new Array(options.keys).fill(0)
    for (let key = 0; key < options.keys; key++) this.#write(key, options.readPauseMs)
    for (let reader = 0; reader < options.readers; reader++) this.#read()
  }

  /** Waits until all operations under way have ended. */
  async stop(): Promise<void> {
    this.#running = false
    await this.#ring.until(() => this.#clients === 0, 2 * GIVE_UP_MS, 'all operations of clients have been answered')
  }

  /** Reads every key through every node that runs. */
  async readAll(): Promise<void> {
    for (const node of this.#ring.running) {
      for (let key = 0; key < this.#options.keys; key++) {
        const least = this.#acknowledged[key]!
        this.#check(node, key, least, await this.#ring.wait(node.get(nameOf(key))))
      }
    }
  }

  #write(key: number, pauseMs: number): void {
    const { writePauseMs } = this.#options
    this.#later(pauseMs, () => {
      const node = this.#servingNode()
      if (node === undefined) return this.#write(key, writePauseMs)
      const number = ++this.#tried[key]!
      this.#run(
        node,
        node.put(nameOf(key), String(number)),
        () => {
          this.writes += 1
          this.#acknowledged[key] = number
        },
        () => this.#write(key, writePauseMs)
      )
    })
  }

  #read(): void {
    this.#later(this.#options.readPauseMs, () => {
      const node = this.#servingNode()
      if (node === undefined) return this.#read()
      const key = Math.floor(this.#ring.random.next() * this.#options.keys)
      const least = this.#acknowledged[key]!
      this.#run(
        node,
        node.get(nameOf(key)),
        (value) => {
          this.reads += 1
          this.#check(node, key, least, value)
        },
        () => this.#read()
      )
    })
  }

  /** A node that dies never answers: its client gives up after GIVE_UP_MS. */
  #run<T>(node: SimNode, operation: Promise<T>, done: (result: T) => void, next: () => void): void {
    this.#clients += 1
    let open = true
    const end = () => {
      if (!open) return
      open = false
      timer.cancel()
      this.#clients -= 1
      next()
    }
    const timer = this.#ring.clock.after(GIVE_UP_MS, end)
    operation.then(
      (result) => {
        if (open && this.#ring.nodes.get(node.name) === node) done(result)
        end()
      },
      (thrown: Error) => {
        this.failures.push(`${Math.round(this.#ring.clock.elapsed())} ms, ${node.name}: ${thrown.message}`)
        end()
      }
    )
  }

  #check(node: SimNode, key: number, least: number, value: string | undefined): void {
    const number = Number(value ?? 0)
    if (number >= least && number <= this.#tried[key]!) return
    const at = Math.round(this.#ring.clock.elapsed())
    const found = `${nameOf(key)} through ${node.name} is ${value}`
    this.violations.push(`${at} ms: ${found}, but ${least} was acknowledged`)
  }

  #later(pauseMs: number, task: () => void): void {
    this.#ring.clock.after(pauseMs * (0.5 + this.#ring.random.next()), () => {
      if (this.#running) task()
    })
  }

  #servingNode(): SimNode | undefined {
    const serving = this.#ring.running.filter(({ node }) => node.view?.isMember)
    return serving[Math.floor(this.#ring.random.next() * serving.length)]
  }
}

function nameOf(key: number): string {
  return `key-${key}`
}
