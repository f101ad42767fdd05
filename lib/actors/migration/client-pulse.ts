// What clients of this peer feel: the slowest of their latest operations, now and before a move began. The router tells
// each operation; the pace of moves looks. Owns the times of the last second.
import type { Clock } from '../../clock.js'

export interface Pulse {
  /** An operation has ended within the last second. */
  readonly isActive: boolean
  /** The 99th percentile of the last second, ms; 0 when nothing has ended. */
  readonly p99Ms: number
  /** What it usually is while nothing moves, ms; undefined while that is not known. */
  readonly usualMs: number | undefined
}

const WINDOW_MS = 1000
/** Operations that are remembered. Of more in a second only the latest count. */
const KEPT_MAX = 1024
/** The weight of the newest second in what is usual. */
const NEWEST_SHARE = 0.2
/** With fewer operations a percentile says nothing. */
const FEW = 20

export class ClientPulse {
  readonly #clock: Clock
  readonly #tookMs = new Float64Array(KEPT_MAX)
  readonly #endedAt = new Float64Array(KEPT_MAX).fill(Number.NEGATIVE_INFINITY)
  #next = 0
  #usualMs: number | undefined
  /** Nothing has moved since this moment; undefined: something moves. Monotonic ms. */
  #calmSince: number | undefined
  #learnedAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#calmSince = clock.elapsed()
    this.#learnedAt = clock.elapsed()
  }

  /** An operation of a client has ended. O(1), but once a second. */
  ended(tookMs: number): void {
    const now = this.#clock.elapsed()
    this.#tookMs[this.#next] = tookMs
    this.#endedAt[this.#next] = now
    this.#next = (this.#next + 1) % KEPT_MAX
    if (now - this.#learnedAt < WINDOW_MS) return
    this.#learnedAt = now
    if (this.#calmSince === undefined || now - this.#calmSince < WINDOW_MS) return
    const { p99Ms } = this.#look(now)
    this.#usualMs = this.#usualMs === undefined ? p99Ms : this.#usualMs + (p99Ms - this.#usualMs) * NEWEST_SHARE
  }

  /** Something moves from now on, or nothing does. */
  moving(isMoving: boolean): void {
    this.#calmSince = isMoving ? undefined : (this.#calmSince ?? this.#clock.elapsed())
  }

  look(): Pulse {
    return { ...this.#look(this.#clock.elapsed()), usualMs: this.#usualMs }
  }

  #look(now: number): { readonly isActive: boolean; readonly p99Ms: number } {
    const took: number[] = []
    for (let at = 0; at < KEPT_MAX; at++) if (now - this.#endedAt[at]! <= WINDOW_MS) took.push(this.#tookMs[at]!)
    if (took.length < FEW) return { isActive: took.length > 0, p99Ms: 0 }
    took.sort((one, other) => one - other)
    return { isActive: true, p99Ms: took[Math.floor(took.length * 0.99)]! }
  }
}
