// How long the disk takes for a synced batch. Part of the replica. The clock ceiling leads by it (lib/entry/clock.md),
// and a disk that is slow is a condition of this peer.
// Invariant: a batch that has not ended counts with the time that it has taken so far.
import { type Clock, every, type Timer } from '../../clock.js'
import type { Conditions } from '../../conditions.js'
import type { Gauge, Metrics } from '../../metrics.js'

export interface DiskSpeedDeps {
  readonly clock: Clock
  readonly metrics: Metrics
  readonly conditions: Pick<Conditions, 'set' | 'clear'>
}

/** Clients feel a disk that is slower than this, and the cause is seldom the load: batches grow with it, not syncs. */
const SLOW_MS = 1000
/** The disk is quick again when the last batches took less than this. */
const QUICK_MS = 500
/** One late batch may be a hiccup of the device. */
const KEPT = 4
const SLOW_OF_KEPT = 2
const LOOK_MS = 500

export class DiskSpeed {
  readonly #deps: DiskSpeedDeps
  readonly #gauge: Gauge
  /** How long the last batches took, oldest first. */
  readonly #lastMs: number[] = []
  /** Since when a batch is under way; monotonic ms. */
  #since: number | undefined
  #watch: Timer | undefined
  #isSlow = false

  constructor(deps: DiskSpeedDeps) {
    this.#deps = deps
    this.#gauge = deps.metrics.gauge('ringd_storage_sync_ms', 'the longest of the last synced batches')
  }

  /** A batch is on its way to the disk. Call the result when it has ended. One batch is under way at a time. */
  began(): () => void {
    const { clock } = this.#deps
    const since = clock.elapsed()
    this.#since = since
    // Batches that end at once need no timer of their own: it runs on while the disk is busy, and ends when it is not.
    this.#watch ??= every(clock, LOOK_MS, () => this.#look())
    return () => this.#ended(clock.elapsed() - since)
  }

  /** The longest of the last batches, that under way included; ms. 0 before the first one. */
  get syncMs(): number {
    return Math.max(this.#underWayMs, ...this.#lastMs)
  }

  stop(): void {
    this.#watch = void this.#watch?.cancel()
  }

  #ended(ms: number): void {
    this.#since = undefined
    this.#lastMs.push(ms)
    if (this.#lastMs.length > KEPT) this.#lastMs.shift()
    this.#judge()
  }

  #look(): void {
    if (this.#since === undefined) this.stop()
    this.#judge()
  }

  #judge(): void {
    const { conditions } = this.#deps
    const { syncMs } = this
    this.#gauge.set(Math.round(syncMs))
    const slow = [...this.#lastMs, this.#underWayMs].filter((ms) => ms >= SLOW_MS).length
    const isHanging = this.#underWayMs >= SLOW_OF_KEPT * SLOW_MS
    if (slow >= SLOW_OF_KEPT || isHanging) {
      this.#isSlow = true
      const seconds = (syncMs / 1000).toFixed(1)
      conditions.set('disk-slow', `the disk of this peer takes ${seconds} s to sync a write`)
    } else if (this.#isSlow && syncMs < QUICK_MS) {
      this.#isSlow = false
      conditions.clear('disk-slow')
    }
  }

  get #underWayMs(): number {
    return this.#since === undefined ? 0 : this.#deps.clock.elapsed() - this.#since
  }
}
