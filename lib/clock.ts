// The seam for time. Only its adapters use `Date` and timers. The simulator has its own clock with this interface.

/** A timer that has not fired yet. To cancel it twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** The wall clock, ms since the epoch. It may jump. For versions and for people. */
  now(): number
  /** Monotonic ms from an arbitrary start, with fractions. For measurements and deadlines. */
  elapsed(): number
  /** Runs `task` once after at least `delayMs`. */
  after(delayMs: number, task: () => void): Timer
  /** Runs `task` when the current turn of the event loop is over, after all tasks that were deferred before it. */
  defer(task: () => void): void
}

/** Resolves after `delayMs`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve))
}

/** Calls `task` every `periodMs`, the first time after one period, until cancelled. */
export function every(clock: Clock, periodMs: number, task: () => void): Timer {
  let timer = clock.after(periodMs, tick)
  let cancelled = false
  function tick(): void {
    task()
    if (!cancelled) timer = clock.after(periodMs, tick)
  }
  return {
    cancel() {
      cancelled = true
      timer.cancel()
    }
  }
}
