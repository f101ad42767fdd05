// Time that passes only when a test advances it. Events run in one fixed order: by time, then in the order in which
// they were set. Deferred tasks run before timed ones.
//
// Between two events the clock waits for one turn of the real event loop (setImmediate). In that turn all microtasks
// run: chains of `await` over resolved promises of any length, and process.nextTick. So the code under test has handled
// every resolved promise before virtual time moves on. The clock does not wait for real threads (files, async crypto):
// code that runs under this clock must not use them.
import type { Clock, Timer } from '../../../lib/clock.js'

interface Event {
  readonly at: number
  readonly order: number
  readonly task: () => void
  cancelled: boolean
}

/** 2025-01-01, so that dates look like dates. */
const START_MS = 1735689600000

export class VirtualClock implements Clock {
  private readonly startMs: number
  private elapsedMs = 0
  private orders = 0
  /** A binary heap, earliest first. */
  private readonly timed: Event[] = []
  private readonly deferred: Array<() => void> = []
  /** The index of the first task in `deferred` that has not run. Array.shift on a long list would be too slow. */
  private deferredAt = 0
  private running = false

  constructor(startMs = START_MS) {
    this.startMs = startMs
  }

  now(): number {
    return Math.floor(this.startMs + this.elapsedMs)
  }

  elapsed(): number {
    return this.elapsedMs
  }

  after(delayMs: number, task: () => void): Timer {
    const event: Event = { at: this.elapsedMs + Math.max(0, delayMs), order: this.orders++, task, cancelled: false }
    this.push(event)
    return {
      cancel() {
        event.cancelled = true
      }
    }
  }

  defer(task: () => void): void {
    this.deferred.push(task)
  }

  /** A clock for one node. It can be skewed, paused and killed; its time passes with this clock. */
  forNode(skewMs = 0): NodeClock {
    return new NodeClock(this, skewMs)
  }

  /** Runs all events of the next `ms`, and ends at that time. */
  async advance(ms: number): Promise<void> {
    const end = this.elapsedMs + ms
    await this.run(end, () => false)
    this.elapsedMs = end
  }

  /** Runs the events that are due now; no time passes. */
  settle(): Promise<void> {
    return this.advance(0)
  }

  /** Runs until `done()` is true; it is called before each event. Returns false when `limitMs` have passed first. */
  async runUntil(done: () => boolean, limitMs: number): Promise<boolean> {
    const end = this.elapsedMs + limitMs
    await this.run(end, done)
    if (done()) return true
    this.elapsedMs = end
    return false
  }

  private async run(end: number, done: () => boolean): Promise<void> {
    if (this.running) throw new Error('the virtual clock is already running: await the other call first')
    this.running = true
    try {
      await turn()
      while (!done()) {
        const task = this.takeDeferred() ?? this.pop(end)
        if (task === undefined) return
        task()
        await turn()
      }
    } finally {
      this.running = false
    }
  }

  private takeDeferred(): (() => void) | undefined {
    const task = this.deferred[this.deferredAt]
    this.deferredAt += 1
    if (this.deferredAt < this.deferred.length) return task
    this.deferred.length = 0
    this.deferredAt = 0
    return task
  }

  private push(event: Event): void {
    const heap = this.timed
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  /** The next task that is due until `end`; moves the time to it. */
  private pop(end: number): (() => void) | undefined {
    const heap = this.timed
    while (heap.length > 0) {
      const first = heap[0]!
      if (!first.cancelled && first.at > end) return undefined
      const last = heap.pop()!
      if (heap.length > 0) this.sink(last)
      if (first.cancelled) continue
      this.elapsedMs = Math.max(this.elapsedMs, first.at)
      return first.task
    }
    return undefined
  }

  private sink(event: Event): void {
    const heap = this.timed
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, event)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = event
  }
}

export interface ClockMark {
  readonly ms: number
  readonly jumps: number
}

/** The clock of one simulated process. Only its wall clock can be wrong: its timers follow the time of the run. */
export class NodeClock implements Clock {
  private readonly root: VirtualClock
  private skew: number
  /** The wall clock before and after each jump. */
  private readonly jumps: (readonly [number, number])[] = []
  /** How many timers are waiting. */
  timers = 0
  private driftPerMs = 0
  private driftSince = 0
  private state: 'running' | 'paused' | 'killed' = 'running'
  private held: Array<() => void> = []

  constructor(root: VirtualClock, skewMs: number) {
    this.root = root
    this.skew = skewMs
  }

  /** Added to the wall clock. A change makes the clock jump. */
  get skewMs(): number {
    return this.skew
  }

  set skewMs(ms: number) {
    const before = this.now()
    this.skew = ms
    this.jumps.push([before, this.now()])
  }

  /** A moment, for `shownSince`. */
  mark(): ClockMark {
    return { ms: this.now(), jumps: this.jumps.length }
  }

  /** The smallest and largest time that `now` can have returned since the mark. */
  shownSince(mark: ClockMark): readonly [number, number] {
    let [least, most] = [mark.ms, this.now()]
    for (const [before, after] of this.jumps.slice(mark.jumps)) {
      least = Math.min(least, after)
      most = Math.max(most, before)
    }
    return [least, most]
  }

  now(): number {
    return this.root.now() + Math.floor(this.skew + this.drifted())
  }

  /** From now on the wall clock gains `perMs` in every ms. 0 ends the drift; the gained time stays. */
  drift(perMs: number): void {
    this.skew += this.drifted()
    this.driftPerMs = perMs
    this.driftSince = this.root.elapsed()
  }

  elapsed(): number {
    return this.root.elapsed()
  }

  after(delayMs: number, task: () => void): Timer {
    let waits = true
    const end = (): boolean => {
      if (!waits) return false
      waits = false
      this.timers -= 1
      return true
    }
    const run = () => {
      if (end()) task()
    }
    this.timers += 1
    const timer = this.root.after(delayMs, () => this.perform(run))
    return {
      cancel() {
        if (end()) timer.cancel()
      }
    }
  }

  defer(task: () => void): void {
    this.root.defer(() => this.perform(task))
  }

  /** Like SIGSTOP: nothing runs. Tasks that become due run after `resume`, in order. */
  pause(): void {
    if (this.state === 'running') this.state = 'paused'
  }

  resume(): void {
    if (this.state !== 'paused') return
    this.state = 'running'
    const { held } = this
    this.held = []
    for (const task of held) this.root.defer(() => this.perform(task))
  }

  /** Like SIGKILL: no task of the node runs again. */
  kill(): void {
    this.state = 'killed'
    this.held = []
  }

  get isPaused(): boolean {
    return this.state === 'paused'
  }

  private drifted(): number {
    return this.driftPerMs * (this.root.elapsed() - this.driftSince)
  }

  private perform(task: () => void): void {
    if (this.state === 'running') task()
    else if (this.state === 'paused') this.held.push(task)
  }
}

function before(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order)
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
