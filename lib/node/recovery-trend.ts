// Follows how many slots are short of copies, and how fast that number falls. Part of the node, which gives it every
// view and every hearing of the detector.
import type { Hearing } from '../detector/eviction-rule.js'
import type { Gauge, Metrics } from '../metrics.js'
import type { RingView } from '../views/ring-view.js'
import { type ShortSample, secondsLeft, underReplicatedSlots, withSample } from '../views/under-replication.js'

/** See `slots` of the status report. */
export interface Recovery {
  readonly short: number
  readonly etaS: number | null
}

/** A look at all slots costs some ms. While slots move, views come about this often. */
const SAMPLE_MS = 1000

export class RecoveryTrend {
  readonly #short: Gauge
  #samples: readonly ShortSample[] = []
  /** The last count of short slots, and what it was counted from. */
  #counted: { readonly view: RingView; readonly hearing: Hearing | undefined; readonly short: number } | undefined

  constructor(metrics: Metrics) {
    this.#short = metrics.gauge('ringd_ring_short_slots', 'slots with fewer copies than there are to be')
  }

  /** Takes a sample when something has changed, or while slots are short; at most once a second. O(slots) then. */
  observe(view: RingView, hearing: Hearing | undefined, now: number): void {
    const last = this.#samples.at(-1)
    if (last !== undefined && now - last.at < SAMPLE_MS) return
    if (this.#counted?.view === view && this.#counted.hearing === hearing && last?.short === 0) return
    this.#sample(view, hearing, now)
  }

  /** The state at this moment. O(slots) when something has changed since the last count. */
  report(view: RingView, hearing: Hearing | undefined, now: number): Recovery {
    return { short: this.#sample(view, hearing, now), etaS: secondsLeft(this.#samples) }
  }

  #sample(view: RingView, hearing: Hearing | undefined, now: number): number {
    if (this.#counted?.view !== view || this.#counted.hearing !== hearing) {
      const short = underReplicatedSlots(view, (id) => hearing?.downSince.has(id) ?? false)
      this.#counted = { view, hearing, short }
    }
    const { short } = this.#counted
    this.#samples = withSample(this.#samples, { at: now, short })
    this.#short.set(short)
    return short
  }
}
