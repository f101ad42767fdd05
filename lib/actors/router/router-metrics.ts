// Counters and histograms of the router. Part of the router.

import type { Counter, Histogram, Metrics } from '../../metrics.js'
import type { Kind } from './operation.js'

/** The counters and histograms of client operations. */
export class RouterMetrics {
  /** Reads that asked another owner because the first was late. */
  readonly hedged: Counter
  /** Phases begun again because the ring changed. */
  readonly restarted: Counter
  readonly #failed: Counter
  readonly #took: Record<Kind, Histogram>

  readonly #felt: ((tookMs: number) => void) | undefined

  /** `felt` is told how long each operation took. */
  constructor(metrics: Metrics, felt?: (tookMs: number) => void) {
    this.#felt = felt
    const took = (kind: Kind) => metrics.histogram('ringd_operation_ms', 'time to serve an operation', { kind })
    const [get, put, find, update] = [took('get'), took('put'), took('find'), took('update')]
    this.#took = { get, put, delete: took('delete'), entry: took('entry'), find, update }
    this.#failed = metrics.counter('ringd_operation_failures', 'operations that failed')
    this.hedged = metrics.counter('ringd_operation_hedges', 'reads that asked another owner')
    this.restarted = metrics.counter('ringd_operation_restarts', 'phases begun anew because the ring changed')
  }

  ended(kind: Kind, tookMs: number, isFailed: boolean): void {
    if (isFailed) this.#failed.add()
    this.#took[kind].observe(tookMs)
    this.#felt?.(tookMs)
  }
}
