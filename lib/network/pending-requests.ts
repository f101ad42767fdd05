// The requests that wait for an answer, and their timeouts. One timer serves all of them.
// Invariant: each callback is called exactly once: in `settle`, after its timeout, or in `fail`.
import type { Clock, Timer } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Answer } from './network.js'

type Done = (answer: Answer) => void

interface Waiting {
  readonly done: Done
  readonly deadline: number
}

/** The deadlines are checked at most this often, so a timeout may come this much later. */
const STEP_MS = 20

export class PendingRequests {
  private readonly clock: Clock
  private readonly onThrow: (thrown: unknown) => void
  private readonly waiting = new Map<number, Waiting>()
  private lastId = 0
  private timer: Timer | undefined
  /** The deadline that the timer was set for. */
  private timerDeadline = Number.POSITIVE_INFINITY

  /** `onThrow` is called with the error when a callback throws. */
  constructor(clock: Clock, onThrow: (thrown: unknown) => void) {
    this.clock = clock
    this.onThrow = onThrow
  }

  get size(): number {
    return this.waiting.size
  }

  /** An id of no pending request. Never 0. */
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

  /** Gives the answer to the request. A late answer is ignored. */
  settle(id: number, answer: Answer): void {
    const waiting = this.waiting.get(id)
    if (waiting === undefined) return
    this.waiting.delete(id)
    this.call(waiting.done, answer)
  }

  /** Fails all requests. */
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

  /** Costs one pass over all pending requests; with equal timeouts, passes are about one timeout apart. */
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
