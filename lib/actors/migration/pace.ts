// How quickly this peer moves data: as quickly as its clients do not feel, and never above the limit of the operator.
// Both ends of pull streams ask it before each part; handoff and repair ask it for the limit alone. Owns the rate, and
// the order of those that wait. The rate falls by a share when clients feel it. It comes back quickly to where they
// felt it last, and from there slowly, as in CUBIC (Ha, Rhee and Xu, 2008).
// Invariants: in no span of time is more moved than the rate allows, but for a burst and one part; who no longer wants
// to move is not waited for; while no client asks anything, only the limit counts; a move never stops altogether.
import { type Clock, every, type Timer } from '../../clock.js'
import { KiB, MiB } from '../../limits.js'
import type { Pulse } from './client-pulse.js'

export interface PaceDeps {
  readonly clock: Clock
  readonly pulse: { look(): Pulse; moving(isMoving: boolean): void }
}

/** Resolves when so many bytes may be moved, or when `ended` is aborted: then they must not be. */
export type Paced = (bytes: number, ended?: AbortSignal) => Promise<void>

/** Bytes in a second. A move begins when all members look at a new view, and the new one has just started. */
export const FIRST_RATE = 4 * MiB
export const LEAST_RATE = 512 * KiB
/** What is left of the rate when clients feel it, and when they feel it much: FELT_MUCH times the usual time. */
export const YIELD_SHARE = 0.8
export const YIELD_MUCH_SHARE = 0.5
const FELT_MUCH = 4
const FELT_MUCH_MS = 20
/** Growth between two looks: before clients have felt this move; and up to near the rate at which they felt it last. */
export const FIRST_GROWTH = 0.08
export const GROWTH = 0.05
const NEAR_SHARE = 0.95
/** Beyond that it grows by this, and by more with each second without a yield, up to GROWTH. */
export const PROBE_GROWTH = 0.02
const PROBE_GROWTH_PER_S = 0.01
export const LOOK_MS = 100
/** After a yield the clients are looked at again this late: what they felt before would count twice. */
const YIELD_MS = 500
/** After so long without a part nothing moves any more. */
export const CALM_MS = 2000
/** Clients feel a move when their slowest operations take this much longer than usual: by the factor, and by the ms. */
const FELT_FACTOR = 1.3
const FELT_MS = 2
/** And by the usual deviation times this. Else a peer whose operations vary by themselves would hardly move data. */
const FELT_DEVIATIONS = 1
/** What is taken for usual when clients came after the move had begun. */
const USUAL_MS = 10
/** The event loop is late by this much when it has more to do than it can. */
const LATE_MS = 40
/** A part that has waited for its turn tells for so long what held it back. */
const HELD_MS = 1000
/** What may be moved at once after a pause: so much time's worth of the rate. */
export const BURST_MS = 100

/** One that waits for its turn. */
interface Taker {
  readonly bytes: number
  readonly resolve: () => void
}

export class Pace {
  readonly #deps: PaceDeps
  /** Those that wait, in the order in which they came. */
  readonly #waiting = new Set<Taker>()
  /** Runs while data moves. */
  #timer: Timer | undefined
  /** Set while somebody waits. */
  #wake: Timer | undefined
  #rate = FIRST_RATE
  #limit = Number.POSITIVE_INFINITY
  /** Clients asked something within the last second, as of the last look. */
  #hasClients = false
  /** Somebody has waited since the last look: the rate is what held it back. */
  #hasHeldBack = false
  #yieldedAt = Number.NEGATIVE_INFINITY
  /** The rate at which clients have felt this move last; undefined: they have not. */
  #feltRate: number | undefined
  /** What may be moved now; negative: what was moved ahead. */
  #room = 0
  #filledAt: number
  #usedAt: number
  #isStopped = false
  #lookedAt: number
  /** What a part has waited for last, and when; monotonic ms. */
  #held: { readonly by: 'limit' | 'clients'; readonly at: number } | undefined

  constructor(deps: PaceDeps) {
    this.#deps = deps
    this.#filledAt = deps.clock.elapsed()
    this.#usedAt = this.#filledAt
    this.#lookedAt = this.#filledAt
  }

  /** Bytes in a second that may be moved now; Infinity while nothing holds it back. */
  get rate(): number {
    return Math.min(this.#limit, this.#hasClients ? this.#rate : Number.POSITIVE_INFINITY)
  }

  /** What holds moves back: something has waited for it within the last second. Undefined: nothing does. */
  get heldBy(): 'limit' | 'clients' | undefined {
    return this.#held !== undefined && this.#deps.clock.elapsed() - this.#held.at < HELD_MS ? this.#held.by : undefined
  }

  /** A part was moved within the last seconds, or waits. */
  get isMoving(): boolean {
    return this.#timer !== undefined
  }

  /** An upper bound, bytes in a second; Infinity: none. It counts at once, also for those that wait. */
  set limit(bytesPerSecond: number) {
    this.#fill()
    this.#limit = bytesPerSecond
    this.#serve()
  }

  /** For parts of a pull. In the order of the calls. */
  take(bytes: number, ended?: AbortSignal): Promise<void> {
    if (ended?.aborted === true || this.#isStopped) return Promise.resolve()
    this.#usedAt = this.#deps.clock.elapsed()
    if (this.#timer === undefined) this.#begin()
    return this.takeWithinLimit(bytes, ended)
  }

  /** For what is no pull: it waits in the same order, and alone it does not count as a move. */
  takeWithinLimit(bytes: number, ended?: AbortSignal): Promise<void> {
    if (ended?.aborted === true || this.#isStopped) return Promise.resolve()
    if (this.#waiting.size === 0 && this.#spend(bytes)) return Promise.resolve()
    this.#hasHeldBack = true
    this.#notePatience()
    return new Promise((done) => {
      const taker = { bytes, resolve }
      const waiting = this.#waiting
      function resolve(): void {
        ended?.removeEventListener('abort', leave)
        done()
      }
      function leave(): void {
        waiting.delete(taker)
        done()
      }
      ended?.addEventListener('abort', leave, { once: true })
      waiting.add(taker)
      this.#wakeLater()
    })
  }

  /** The node stops: nobody waits any more, and no timer is left. */
  stop(): void {
    this.#isStopped = true
    this.#limit = Number.POSITIVE_INFINITY
    this.#end()
    this.#wake?.cancel()
    this.#wake = undefined
    this.#serve()
  }

  #begin(): void {
    const { clock, pulse } = this.#deps
    pulse.moving(true)
    this.#hasClients = pulse.look().isActive
    this.#lookedAt = clock.elapsed()
    this.#rate = FIRST_RATE
    this.#yieldedAt = Number.NEGATIVE_INFINITY
    this.#feltRate = undefined
    this.#timer = every(clock, LOOK_MS, () => this.#look())
  }

  /** The first that waits is served, and so on while there is room. */
  #serve(): void {
    for (const taker of this.#waiting) {
      if (!this.#spend(taker.bytes)) {
        this.#notePatience()
        break
      }
      this.#waiting.delete(taker)
      taker.resolve()
    }
    this.#wakeLater()
  }

  /** Somebody waits: because of the limit, or for the sake of clients. */
  #notePatience(): void {
    this.#held = { by: this.#limit <= this.rate ? 'limit' : 'clients', at: this.#deps.clock.elapsed() }
  }

  #wakeLater(): void {
    if (this.#wake !== undefined || this.#waiting.size === 0) return
    const ms = Math.min(LOOK_MS, Math.max(1, (-this.#room / this.rate) * 1000))
    this.#wake = this.#deps.clock.after(ms, () => {
      this.#wake = undefined
      this.#serve()
    })
  }

  /** A part may be larger than the room that is left. The next one then waits until the rate has made up for it. */
  #spend(bytes: number): boolean {
    this.#fill()
    if (this.rate === Number.POSITIVE_INFINITY) return true
    if (this.#room < 0) return false
    this.#room -= bytes
    return true
  }

  #fill(): void {
    const { rate } = this
    const now = this.#deps.clock.elapsed()
    const seconds = (now - this.#filledAt) / 1000
    this.#filledAt = now
    if (rate === Number.POSITIVE_INFINITY) this.#room = 0
    else this.#room = Math.min(this.#room + seconds * rate, (BURST_MS / 1000) * rate)
  }

  #look(): void {
    const { clock, pulse } = this.#deps
    const now = clock.elapsed()
    const lateMs = now - this.#lookedAt - LOOK_MS
    this.#lookedAt = now
    if (this.#waiting.size > 0) this.#usedAt = now
    if (now - this.#usedAt > CALM_MS) return this.#end()
    this.#fill()
    const seen = pulse.look()
    this.#hasClients = seen.isActive
    if (seen.isActive) this.#adapt(seen, lateMs, now)
    this.#hasHeldBack = this.#waiting.size > 0
    this.#serve()
  }

  #adapt({ p99Ms, usualMs = USUAL_MS, variesMs }: Pulse, lateMs: number, now: number): void {
    const longerMs = Math.max(usualMs * (FELT_FACTOR - 1), FELT_MS, variesMs * FELT_DEVIATIONS)
    const isFelt = p99Ms > usualMs + longerMs || lateMs > LATE_MS
    const isFeltMuch = isFelt && p99Ms > Math.max(usualMs * FELT_MUCH, usualMs + FELT_MUCH_MS)
    if (!isFelt) {
      // A rate that nobody reaches would rise without an end, and would take long to fall.
      if (this.#hasHeldBack) this.#rate *= 1 + this.#growth(now)
    } else if (now - this.#yieldedAt >= YIELD_MS) {
      this.#yieldedAt = now
      this.#feltRate = this.#rate
      this.#rate = Math.max(LEAST_RATE, this.#rate * (isFeltMuch ? YIELD_MUCH_SHARE : YIELD_SHARE))
    }
  }

  #growth(now: number): number {
    if (this.#feltRate === undefined) return FIRST_GROWTH
    if (this.#rate < this.#feltRate * NEAR_SHARE) return GROWTH
    return Math.min(GROWTH, PROBE_GROWTH + (PROBE_GROWTH_PER_S * (now - this.#yieldedAt)) / 1000)
  }

  #end(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#hasClients = false
    this.#deps.pulse.moving(false)
  }
}
