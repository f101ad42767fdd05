// How quickly this peer moves data: as quickly as its clients do not feel. Both ends of pull streams ask it before each
// part. Owns the rate. Additive increase, multiplicative decrease, as TCP does (Chiu and Jain, 1989).
// Invariants: while no client asks anything, only the limit of the operator counts; a move never stops altogether.
import { type Clock, every, type Timer } from '../../clock.js'
import { KiB, MiB } from '../../limits.js'
import type { Pulse } from './client-pulse.js'

export interface PaceDeps {
  readonly clock: Clock
  readonly pulse: { look(): Pulse; moving(isMoving: boolean): void }
}

/** Bytes in a second. */
const FIRST_RATE = 8 * MiB
const LEAST_RATE = 512 * KiB
const STEP = MiB
const YIELD_SHARE = 0.7
const LOOK_MS = 100
/** After so long without a part nothing moves any more. */
const CALM_MS = 2000
/** Clients feel a move when their slowest operations take this much longer than usual: by the factor, and by the ms. */
const FELT_FACTOR = 1.3
const FELT_MS = 2
/** What is taken for usual when clients came after the move had begun. */
const USUAL_MS = 10
/** The event loop is late by this much when it has more to do than it can. */
const LATE_MS = 40
/** A part that has waited for its turn tells for so long what held it back. */
const HELD_MS = 1000
/** What may be moved at once after a pause: so much time's worth of the rate. */
const BURST_MS = 100

export class Pace {
  readonly #deps: PaceDeps
  #timer: Timer | undefined
  #rate = FIRST_RATE
  #limit = Number.POSITIVE_INFINITY
  /** What may be moved now; negative: what was moved ahead. */
  #room = 0
  #filledAt: number
  #usedAt: number
  #lookedAt: number
  #last: Promise<void> = Promise.resolve()
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
    return Math.min(this.#limit, this.#deps.pulse.look().isActive ? this.#rate : Number.POSITIVE_INFINITY)
  }

  /** What holds moves back: something has waited for it within the last second. Undefined: nothing does. */
  get heldBy(): 'limit' | 'clients' | undefined {
    return this.#held !== undefined && this.#deps.clock.elapsed() - this.#held.at < HELD_MS ? this.#held.by : undefined
  }

  /** A part was moved within the last seconds. */
  get isMoving(): boolean {
    return this.#timer !== undefined
  }

  /** An upper bound, bytes in a second. */
  set limit(bytesPerSecond: number) {
    this.#limit = bytesPerSecond
  }

  /** Resolves when so many bytes more may be moved, in the order of the calls. */
  take(bytes: number): Promise<void> {
    this.#usedAt = this.#deps.clock.elapsed()
    if (this.#timer === undefined) this.#begin()
    this.#last = this.#last.then(() => this.#wait(bytes))
    return this.#last
  }

  #begin(): void {
    const { clock, pulse } = this.#deps
    pulse.moving(true)
    this.#lookedAt = clock.elapsed()
    this.#filledAt = this.#lookedAt
    this.#rate = FIRST_RATE
    this.#timer = every(clock, LOOK_MS, () => this.#look())
  }

  async #wait(bytes: number): Promise<void> {
    const { clock } = this.#deps
    for (;;) {
      const { rate } = this
      const now = clock.elapsed()
      if (rate === Number.POSITIVE_INFINITY) {
        this.#filledAt = now
        this.#room = 0
        return
      }
      const room = this.#room + ((now - this.#filledAt) / 1000) * rate
      this.#room = Math.min(room, (BURST_MS / 1000) * rate)
      this.#filledAt = now
      if (this.#room >= 0) break
      this.#held = { by: this.#limit <= rate ? 'limit' : 'clients', at: now }
      await new Promise<void>((resolve) => void clock.after(Math.min(LOOK_MS, (-this.#room / rate) * 1000), resolve))
    }
    this.#room -= bytes
  }

  #look(): void {
    const { clock, pulse } = this.#deps
    const now = clock.elapsed()
    const lateMs = now - this.#lookedAt - LOOK_MS
    this.#lookedAt = now
    if (now - this.#usedAt > CALM_MS) {
      this.#timer?.cancel()
      this.#timer = undefined
      return pulse.moving(false)
    }
    const { isActive, p99Ms, usualMs = USUAL_MS } = pulse.look()
    if (!isActive) return
    const isFelt = p99Ms > Math.max(usualMs * FELT_FACTOR, usualMs + FELT_MS) || lateMs > LATE_MS
    this.#rate = isFelt ? Math.max(LEAST_RATE, this.#rate * YIELD_SHARE) : this.#rate + STEP
  }
}
