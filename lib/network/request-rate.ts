// How many requests of one link may begin in a second. A link that was silent may begin a second's worth at once.
// Invariant: after `take` has said no, `onReady` is called once a request may begin, until the next `take`.
import type { Clock, Timer } from '../clock.js'

export class RequestRate {
  private readonly clock: Clock
  private readonly perSecond: number
  private readonly onReady: () => void
  private timer: Timer | undefined
  private tokens: number
  private filledAt: number

  constructor(clock: Clock, perSecond: number, onReady: () => void) {
    this.clock = clock
    this.perSecond = perSecond
    this.onReady = onReady
    this.tokens = perSecond
    this.filledAt = clock.elapsed()
  }

  /** Whether one more request may begin now. It counts as begun. */
  take(): boolean {
    const now = this.clock.elapsed()
    this.tokens = Math.min(this.perSecond, this.tokens + ((now - this.filledAt) / 1000) * this.perSecond)
    this.filledAt = now
    if (this.tokens >= 1) {
      this.tokens--
      return true
    }
    this.timer ??= this.clock.after(((1 - this.tokens) / this.perSecond) * 1000, () => {
      this.timer = undefined
      this.onReady()
    })
    return false
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
  }
}

/** A bound of `perSecond` requests; undefined for 0: no bound. */
export function rateOf(clock: Clock, perSecond: number, onReady: () => void): RequestRate | undefined {
  return perSecond > 0 ? new RequestRate(clock, perSecond, onReady) : undefined
}
