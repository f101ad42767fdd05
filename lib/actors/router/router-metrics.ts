// Counters and histograms of the router. Part of the router.

import { RingdError } from '../../errors.js'
import type { Counter, Histogram, Metrics } from '../../metrics.js'
import type { Kind } from './operation.js'

/** The counters and histograms of client operations. */
export class RouterMetrics {
  /** Reads that asked another owner because the first was late. */
  readonly hedged: Counter
  /** Phases begun again because the ring changed. */
  readonly restarted: Counter
  /** A newer version or a higher ballot was in the way of an operation. */
  readonly conflicts: Counter
  /** Operations that were done in one round with others. */
  readonly joined: Counter
  readonly #failed: Counter
  readonly #unknown: Counter
  readonly #took: Record<Kind, Histogram>

  readonly #felt: ((tookMs: number) => void) | undefined

  /** `felt` is told how long each operation took. */
  constructor(metrics: Metrics, felt?: (tookMs: number) => void) {
    this.#felt = felt
    const took = (kind: Kind) => metrics.histogram('ringd_operation_ms', 'time to serve an operation', { kind })
    const [get, put, find, update] = [took('get'), took('put'), took('find'), took('update')]
    this.#took = { get, put, delete: took('delete'), entry: took('entry'), find, update, settle: took('settle') }
    this.#failed = metrics.counter('ringd_operation_failures', 'operations that failed')
    this.#unknown = metrics.counter('ringd_operation_unknown_outcomes', 'operations that ended with UNKNOWN_OUTCOME')
    this.conflicts = metrics.counter('ringd_operation_conflicts', 'times that another operation was in the way of one')
    this.joined = metrics.counter('ringd_operations_joined', 'operations that were done in one round with others')
    this.hedged = metrics.counter('ringd_operation_hedges', 'reads that asked another owner')
    this.restarted = metrics.counter('ringd_operation_restarts', 'phases begun anew because the ring changed')
  }

  ended(kind: Kind, tookMs: number, result: unknown): void {
    if (result instanceof RingdError) {
      this.#failed.add()
      if (result.code === 'UNKNOWN_OUTCOME') this.#unknown.add()
    }
    this.#took[kind].observe(tookMs)
    this.#felt?.(tookMs)
  }
}
