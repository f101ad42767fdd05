// Turns of work that is large: the next piece of it waits until the event loop has been idle for as long as it was busy
// since the last piece began. So small operations find room between the pieces, whoever asks for the large ones.
// A process that is always busy does one piece each WAIT_MS_MAX, so large work never stops.
// Invariant: pieces begin one by one, in the order in which they came.
import type { Clock, Timer } from './clock.js'

/** The longest time between two pieces while some wait. */
const WAIT_MS_MAX = 100
/** The shortest: in one turn of the event loop no time passes, and still not all pieces may begin in it. */
const WAIT_MS_MIN = 1

export class LargeWork {
  readonly #clock: Clock
  readonly #busyMs: (() => number) | undefined
  readonly #waiting: (() => void)[] = []
  #timer: Timer | undefined
  /** When the last piece began, monotonic ms, and `busyMs` at that time. */
  #beganAt: number
  #busyAt: number

  /** `busyMs`: how long the event loop has been busy since an arbitrary start. Left out: no piece ever waits. */
  constructor(clock: Clock, busyMs?: () => number) {
    this.#clock = clock
    this.#busyMs = busyMs
    this.#beganAt = clock.elapsed()
    this.#busyAt = busyMs?.() ?? 0
  }

  /** Calls `piece` once: now, or after a while. The callers bound how many wait. */
  begin(piece: () => void): void {
    if (this.#waiting.length === 0 && this.#waitMs() === 0) return this.#start(piece)
    this.#waiting.push(piece)
    this.#plan()
  }

  #waitMs(): number {
    if (this.#busyMs === undefined) return 0
    const passed = this.#clock.elapsed() - this.#beganAt
    const busy = this.#busyMs() - this.#busyAt
    return Math.max(0, Math.min(Math.max(2 * busy, WAIT_MS_MIN), WAIT_MS_MAX) - passed)
  }

  #plan(): void {
    this.#timer ??= this.#clock.after(this.#waitMs(), () => {
      this.#timer = undefined
      if (this.#waitMs() === 0) this.#start(this.#waiting.shift()!)
      if (this.#waiting.length > 0) this.#plan()
    })
  }

  #start(piece: () => void): void {
    this.#beganAt = this.#clock.elapsed()
    this.#busyAt = this.#busyMs?.() ?? 0
    piece()
  }
}
