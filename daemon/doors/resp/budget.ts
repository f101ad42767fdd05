// Counts the bytes that all connections of the door hold, and reports when they are too many. Knows no sockets.
// Owns the total and two rules. Above the bound, each client gets one command at a time, so that every client can still
// finish its commands. Above twice the bound, the client that holds most is closed (Redis: maxmemory-clients).

export interface Holder {
  /** The bytes that were last reported for this holder. Only the budget writes this field. */
  budgeted: number
  /** Must release everything and report 0. */
  evict(): void
}

export interface BudgetDeps {
  /** All holders. */
  readonly holders: Iterable<Holder>
  /** The total has passed the bound. */
  onFull(): void
  /** The total is well under the bound again. */
  onFree(): void
  /** `holder` is about to be evicted. */
  onEvict(holder: Holder): void
}

/** A full budget is free again below this share of the bound, so that it does not change state at every byte. */
const FREE_SHARE = 0.75
/** Above this multiple of the bound, the largest holder is evicted. */
const EVICT_FACTOR = 2

export class Budget {
  readonly #deps: BudgetDeps
  readonly #bytesMax: number
  #total = 0
  #full = false

  constructor(deps: BudgetDeps, bytesMax: number) {
    this.#deps = deps
    this.#bytesMax = bytesMax
  }

  get total(): number {
    return this.#total
  }

  get full(): boolean {
    return this.#full
  }

  /** `holder` now holds `bytes`. O(1), except when the budget fills, frees or evicts. */
  report(holder: Holder, bytes: number): void {
    this.#total += bytes - holder.budgeted
    holder.budgeted = bytes
    if (!this.#full && this.#total > this.#bytesMax) {
      this.#full = true
      this.#deps.onFull()
    } else if (this.#full && this.#total < this.#bytesMax * FREE_SHARE) {
      this.#full = false
      this.#deps.onFree()
    }
    if (this.#total > EVICT_FACTOR * this.#bytesMax) this.#evictLargest()
  }

  #evictLargest(): void {
    let largest: Holder | undefined
    for (const holder of this.#deps.holders) {
      if (largest === undefined || holder.budgeted > largest.budgeted) largest = holder
    }
    if (largest === undefined) return
    this.#deps.onEvict(largest)
    largest.evict()
  }
}
