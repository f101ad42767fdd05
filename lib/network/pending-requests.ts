// Requests that wait for their answer, and when they stop waiting. One timer for all of them.
// Invariant: every callback is called exactly once, in `settle`, when its time is over, or in `fail`.
import type { Clock, Timer } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Answer } from './network.js'

type Done = (answer: Answer) => void

interface Waiting {
  readonly done: Done
  readonly deadline: number
}

/** Two looks at the deadlines are at least this far apart, so an answer may be missed that much later. */
const STEP_MS = 20

export class PendingRequests {
  private readonly clock: Clock
  private readonly onThrow: (thrown: unknown) => void
  private readonly waiting = new Map<number, Waiting>()
  private lastId = 0
  private timer: Timer | undefined
  /** The deadline that the timer was set for. */
  private timerDeadline = Number.POSITIVE_INFINITY

  /** `onThrow` hears of callbacks that threw. */
  constructor(clock: Clock, onThrow: (thrown: unknown) => void) {
    this.clock = clock
    this.onThrow = onThrow
  }

  get size(): number {
    return this.waiting.size
  }

  /** An id that nobody waits for. Never 0. */
  nextId(): number {
    do this.lastId = (this.lastId + 1) >>> 0
    while (this.lastId === 0 || this.waiting.has(this.lastId))
    return this.lastId
  }

  add(id: number, timeoutMs: number, done: Done): void {
    const deadline = this.clock.elapsed() + timeoutMs
    this.waiting.set(id, { done, deadline })
    if (deadline < this.timerDeadline) this.watch(deadline, timeoutMs)
  }

  /** An answer came. Nothing happens when it is late. */
  settle(id: number, answer: Answer): void {
    const waiting = this.waiting.get(id)
    if (waiting === undefined) return
    this.waiting.delete(id)
    this.call(waiting.done, answer)
  }

  fail(error: RingdError): void {
    this.timer?.cancel()
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const { done } of all) this.call(done, error)
  }

  private watch(deadline: number, delayMs: number): void {
    this.timer?.cancel()
    this.timerDeadline = deadline
    this.timer = this.clock.after(Math.max(delayMs, STEP_MS), this.expire)
  }

  /** Costs one walk over all who wait, and between two walks lies about a whole timeout. */
  private readonly expire = (): void => {
    this.timerDeadline = Number.POSITIVE_INFINITY
    const now = this.clock.elapsed()
    let next = Number.POSITIVE_INFINITY
    for (const [id, { done, deadline }] of this.waiting) {
      if (deadline <= now) {
        this.waiting.delete(id)
        this.call(done, new RingdError('TIMEOUT'))
      } else if (deadline < next) {
        next = deadline
      }
    }
    if (next < this.timerDeadline && this.waiting.size > 0) this.watch(next, next - now)
  }

  private call(done: Done, answer: Answer): void {
    try {
      done(answer)
    } catch (thrown) {
      this.onThrow(thrown)
    }
  }
}
