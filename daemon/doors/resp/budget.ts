// Counts the bytes that all connections of the door hold, and says when they are too many.
// Owns the total and the rule: full -> nobody is read from until it has shrunk; full for too long, or twice too much ->
// the connection that holds most is closed (as Redis does with maxmemory-clients), so holders that wait for each other
// cannot stop the door. Knows no sockets.
import type { Clock, Timer } from '../../../lib/clock.js'

export interface Holder {
  /** What was last reported for it, bytes. Only the budget writes it. */
  budgeted: number
  /** Must let go of everything and report 0. */
  evict(): void
}

export interface BudgetDeps {
  readonly clock: Clock
  /** Everyone who may hold something. */
  readonly holders: Iterable<Holder>
  /** The total passed the bound. */
  onFull(): void
  /** The total is well under the bound again. */
  onFree(): void
}

export interface BudgetOptions {
  readonly bytesMax: number
  /** How long it may stay full before the largest holder is closed, ms. */
  readonly fullMsMax: number
}

export class Budget {
  readonly #deps: BudgetDeps
  readonly #options: BudgetOptions
  #total = 0
  #timer: Timer | undefined

  constructor(deps: BudgetDeps, options: BudgetOptions) {
    this.#deps = deps
    this.#options = options
  }

  get total(): number {
    return this.#total
  }

  get full(): boolean {
    return this.#timer !== undefined
  }

  /** `holder` holds `bytes` now. O(1), except when the budget fills, frees or evicts. */
  report(holder: Holder, bytes: number): void {
    const grew = bytes > holder.budgeted
    this.#total += bytes - holder.budgeted
    holder.budgeted = bytes
    const { bytesMax } = this.#options
    if (this.#timer === undefined) {
      if (this.#total > bytesMax) {
        this.#watch()
        this.#deps.onFull()
      }
    } else if (this.#total < bytesMax * 0.75) {
      this.stop()
      this.#deps.onFree()
    }
    if (grew && this.#total > 2 * bytesMax) this.#evictLargest()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #watch(): void {
    this.#timer = this.#deps.clock.after(this.#options.fullMsMax, () => {
      this.#watch()
      this.#evictLargest()
    })
  }

  #evictLargest(): void {
    let largest: Holder | undefined
    for (const holder of this.#deps.holders) {
      if (largest === undefined || holder.budgeted > largest.budgeted) largest = holder
    }
    largest?.evict()
  }
}
