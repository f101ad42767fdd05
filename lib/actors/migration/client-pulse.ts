// What clients of this peer feel: the slowest of their latest operations, now and before a move began. The router tells
// each operation; the pace of moves looks. Owns the times of the last second, as counts: the memory is fixed, and an
// operation costs the same however many there are.
// Invariant: what is usual is learnt in calm times only, from enough operations.
import type { Clock } from '../../clock.js'

export interface Pulse {
  /** An operation has ended within the last second. */
  readonly isActive: boolean
  /** The 99th percentile of the last half second, ms; 0 when too few have ended to tell. At most 5 % too high. */
  readonly p99Ms: number
  /** What it usually is while nothing moves, ms; undefined while that is not known. */
  readonly usualMs: number | undefined
  /** How far it usually is from that in one second, ms: the mean deviation, as TCP keeps it of round trips. */
  readonly variesMs: number
}

const SLICE_MS = 100
const SLICES = 10
const WINDOW_MS = SLICE_MS * SLICES
/** A pace that follows a whole second of operations reacts late, and reacts on to what has ended. */
const FELT_SLICES = 5
/** Times are counted by bins. Each is wider than the last one by a sixteenth of a power of two. */
const BINS_PER_OCTAVE = 16
const LEAST_MS = 0.05
/** Up to 52 s; what takes longer counts as that. */
const BINS = 20 * BINS_PER_OCTAVE
/** The weight of the newest second in what is usual. */
const NEWEST_SHARE = 0.2
/** With fewer operations a percentile says nothing. */
export const FEW = 20
/** After a move, slots are released and the store compacts what came: that is not usual. */
export const AFTERMATH_MS = 5000

export class ClientPulse {
  readonly #clock: Clock
  /** Counts of the latest slices of time, one row of bins for each. */
  readonly #counts = new Uint32Array(SLICES * BINS)
  /** The number of the newest slice, and when the last operation ended; monotonic ms. */
  #slice: number
  #endedAt = Number.NEGATIVE_INFINITY
  #usualMs: number | undefined
  #variesMs = 0
  /** Nothing has moved since this moment; undefined: something moves. Monotonic ms. */
  #calmSince: number | undefined = Number.NEGATIVE_INFINITY
  #learnedAt: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#learnedAt = clock.elapsed()
    this.#slice = Math.floor(this.#learnedAt / SLICE_MS)
  }

  /** An operation of a client has ended. O(1), but once a second. */
  ended(tookMs: number): void {
    const now = this.#clock.elapsed()
    this.#turnTo(now)
    const at = (this.#slice % SLICES) * BINS + binOf(tookMs)
    this.#counts[at] = this.#counts[at]! + 1
    this.#endedAt = now
    if (now - this.#learnedAt >= WINDOW_MS) this.#learn(now)
  }

  /** Something moves from now on, or nothing does. */
  moving(isMoving: boolean): void {
    this.#calmSince = isMoving ? undefined : (this.#calmSince ?? this.#clock.elapsed())
  }

  look(): Pulse {
    const now = this.#clock.elapsed()
    this.#turnTo(now)
    const isActive = now - this.#endedAt <= WINDOW_MS
    const [usualMs, variesMs] = [this.#usualMs, this.#variesMs]
    return { isActive, p99Ms: this.#p99(FELT_SLICES) ?? 0, usualMs, variesMs }
  }

  #learn(now: number): void {
    this.#learnedAt = now
    if (this.#calmSince === undefined || now - this.#calmSince < AFTERMATH_MS) return
    const p99Ms = this.#p99(SLICES)
    if (p99Ms === undefined) return
    const usualMs = this.#usualMs ?? p99Ms
    this.#variesMs += (Math.abs(p99Ms - usualMs) - this.#variesMs) * NEWEST_SHARE
    this.#usualMs = usualMs + (p99Ms - usualMs) * NEWEST_SHARE
  }

  /** Empties the slices that have begun since the last call. */
  #turnTo(now: number): void {
    const slice = Math.floor(now / SLICE_MS)
    for (let next = Math.max(this.#slice + 1, slice - SLICES + 1); next <= slice; next++) {
      const at = (next % SLICES) * BINS
      this.#counts.fill(0, at, at + BINS)
    }
    this.#slice = slice
  }

  /** Of the newest slices; undefined when too few operations have ended in them. */
  #p99(slices: number): number | undefined {
    const sums = new Uint32Array(BINS)
    let total = 0
    for (let back = 0; back < slices; back++) {
      const at = (((this.#slice - back) % SLICES) + SLICES) % SLICES
      for (let bin = 0; bin < BINS; bin++) {
        const count = this.#counts[at * BINS + bin]!
        sums[bin] = sums[bin]! + count
        total += count
      }
    }
    if (total < FEW) return undefined
    // The operations that may be slower than the percentile.
    let slower = total - Math.ceil(total * 0.99)
    for (let bin = BINS - 1; bin > 0; bin--) {
      slower -= sums[bin]!
      if (slower < 0) return highestOf(bin)
    }
    return highestOf(0)
  }
}

function binOf(ms: number): number {
  if (!(ms > LEAST_MS)) return 0
  return Math.min(BINS - 1, 1 + Math.floor(Math.log2(ms / LEAST_MS) * BINS_PER_OCTAVE))
}

/** The longest time that its bin counts, ms. */
function highestOf(bin: number): number {
  return LEAST_MS * 2 ** (bin / BINS_PER_OCTAVE)
}
