// Turns of work that is large: the next piece of it waits until the event loop has been idle for as long as it was busy
// since the last piece began. So small operations find room between the pieces, whoever asks for the large ones.
// A process that is always busy does one piece each WAIT_MS_MAX, so large work never stops.
// Invariant: pieces begin one by one, in the order in which they came. One that nobody wants any more takes no turn, so
// connections that come and go hold nobody up.
import type { Clock, Timer } from './clock.js'

/** The longest time between two pieces while some wait. */
const WAIT_MS_MAX = 100
/** The shortest: in one turn of the event loop no time passes, and still not all pieces may begin in it. */
const WAIT_MS_MIN = 1

/** Begins a piece of work. Returns false when nobody wants it any more and nothing was done. */
type Piece = () => boolean

export class LargeWork {
  readonly #clock: Clock
  readonly #busyMs: (() => number) | undefined
  readonly #waiting: Piece[] = []
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
  begin(piece: Piece): void {
    this.#waiting.push(piece)
    if (this.#waiting.length === 1) this.#go()
  }

  #waitMs(): number {
    if (this.#busyMs === undefined) return 0
    const passed = this.#clock.elapsed() - this.#beganAt
    const busy = this.#busyMs() - this.#busyAt
    return Math.max(0, Math.min(Math.max(2 * busy, WAIT_MS_MIN), WAIT_MS_MAX) - passed)
  }

  /** Begins the pieces whose turn it is, and plans the turn of the next one. */
  #go(): void {
    while (this.#waiting.length > 0) {
      const waitMs = this.#waitMs()
      if (waitMs > 0) {
        this.#timer ??= this.#clock.after(waitMs, () => {
          this.#timer = undefined
          this.#go()
        })
        return
      }
      const before = [this.#beganAt, this.#busyAt] as const
      this.#beganAt = this.#clock.elapsed()
      this.#busyAt = this.#busyMs?.() ?? 0
      const piece = this.#waiting.shift()!
      if (!piece()) [this.#beganAt, this.#busyAt] = before
    }
  }
}
