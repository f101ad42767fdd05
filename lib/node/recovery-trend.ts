// How far the copies of this ring are from being complete, as one node sees it, and at what pace that changes. Part of
// the node, which tells it what it hears and knows.
import type { Hearing } from '../detector/eviction-rule.js'
import type { Gauge, Metrics } from '../metrics.js'
import type { RingView } from '../views/ring-view.js'
import { type ShortSample, secondsLeft, underReplicatedSlots, withSample } from '../views/under-replication.js'

/** See `slots` of the status report. */
export interface Recovery {
  readonly short: number
  readonly etaS: number | null
}

/** Between two looks at all slots: about as often as pictures of the ring change while slots move. */
const SAMPLE_MS = 1000

export class RecoveryTrend {
  readonly #short: Gauge
  #samples: readonly ShortSample[] = []
  #counted: { readonly view: RingView; readonly hearing: Hearing | undefined; readonly short: number } | undefined

  constructor(metrics: Metrics) {
    this.#short = metrics.gauge('ringd_ring_short_slots', 'slots with fewer copies than there are to be')
  }

  /** What is known now. Looks at all slots when something has changed, and at most once a second. */
  observe(view: RingView, hearing: Hearing | undefined, now: number): void {
    const last = this.#samples.at(-1)
    if (last !== undefined && now - last.at < SAMPLE_MS) return
    if (this.#counted?.view === view && this.#counted.hearing === hearing && last?.short === 0) return
    this.#sample(view, hearing, now)
  }

  /** Right now. O(slots) when something has changed. */
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
