// The metrics of the RESP door. Made when the door is made, so that each can be watched from the beginning.
import type { Counter, Gauge, Metrics } from '../../../lib/metrics.js'
import type { Overdue } from './connection.js'

export type CloseReason = Overdue | 'memory' | 'strangers'
const REASONS: readonly CloseReason[] = ['login', 'stalled', 'idle', 'memory', 'strangers']

export class RespMetrics {
  readonly connections: Gauge
  readonly heldBytes: Gauge
  readonly waiting: Gauge
  readonly refused: Counter
  readonly rejected: Counter
  readonly wrongPasswords: Counter
  readonly #closed: ReadonlyMap<CloseReason, Counter>

  constructor(metrics: Metrics) {
    this.connections = metrics.gauge('ringd_resp_connections', 'Redis clients that are connected')
    this.heldBytes = metrics.gauge('ringd_resp_held_bytes', 'bytes of requests and replies of Redis clients')
    this.waiting = metrics.gauge('ringd_resp_waiting_operations', 'operations on large values that wait for their turn')
    this.refused = metrics.counter('ringd_resp_refused_operations', 'such operations that waited for too long')
    this.rejected = metrics.counter('ringd_resp_rejected_connections', 'Redis clients that were refused: too many')
    this.wrongPasswords = metrics.counter('ringd_resp_wrong_passwords', 'wrong passwords of Redis clients')
    const closed = (reason: CloseReason): [CloseReason, Counter] => [
      reason,
      metrics.counter('ringd_resp_closed_connections', 'Redis clients that the door closed, by reason', { reason })
    ]
    this.#closed = new Map(REASONS.map(closed))
  }

  closed(reason: CloseReason): Counter {
    return this.#closed.get(reason)!
  }
}
