// Counts the bytes that all connections of the door hold, and says when they are too many.
// Owns the totals and the rule: full -> each client gets one command at a time, which still lets every client
// finish; twice the bound -> the client that holds most is closed, as Redis does with maxmemory-clients. Knows no
// sockets.

export interface Holder {
  /** Bytes that were last reported for it, and those of its replies. Only the budget writes them. */
  budgeted: number
  budgetedReplies: number
  /** Must release everything and report 0. */
  evict(): void
}

export interface BudgetDeps {
  /** All that may hold bytes. */
  readonly holders: Iterable<Holder>
  /** The total has passed the bound. */
  onFull(): void
  /** The total is well under the bound again. */
  onFree(): void
  /** Replies have become less. */
  onRoom(): void
  /** `holder` is about to be evicted. */
  onEvict(holder: Holder): void
}

/** A full budget counts as free again below this share, so that it does not toggle at each byte. */
const FREE_SHARE = 0.75
/** At this many times the bound the client that holds most is closed. */
const EVICT_FACTOR = 2

export class Budget {
  readonly #deps: BudgetDeps
  readonly #bytesMax: number
  #total = 0
  #replies = 0
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

  /** The part of the total that clients have asked for and not read yet. */
  get replies(): number {
    return this.#replies
  }

  /** `holder` holds `bytes` now, of which `replies` are replies. O(1), except when it fills, frees or evicts. */
  report(holder: Holder, bytes: number, replies: number): void {
    this.#total += bytes - holder.budgeted
    holder.budgeted = bytes
    const change = replies - holder.budgetedReplies
    this.#replies += change
    holder.budgetedReplies = replies
    this.#judge()
    if (change < 0) this.#deps.onRoom()
  }

  #judge(): void {
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
