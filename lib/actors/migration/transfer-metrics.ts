// The metrics of transfers. Part of the migration actor.
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { MOVE_CAUSES, type MoveCause } from '../../views/move-cause.js'
import type { MoveLeft } from './move-progress.js'
import { HOLDERS, type Holder, type RunningTransfer } from './transfer-records.js'

/** The value of the gauge of the time that is left while that time is unknown. */
const UNKNOWN = -1

export class TransferMetrics {
  readonly #bytes: Counter
  readonly #entries: Counter
  readonly #damaged: Counter
  readonly #running: Gauge
  readonly #bytesLeft: Gauge
  readonly #eta: Gauge
  readonly #heldBy: Readonly<Record<Holder, Gauge>>
  readonly #ended: Readonly<Record<MoveCause, Counter>>

  constructor(metrics: Metrics) {
    this.#bytes = metrics.counter('ringd_migration_received_bytes', 'bytes that transfers brought')
    this.#entries = metrics.counter('ringd_migration_received_entries', 'entries that transfers brought')
    this.#damaged = metrics.counter(
      'ringd_transfers_damaged_records',
      'kept transfers that could not be read at the start'
    )
    this.#running = metrics.gauge('ringd_transfers_running', 'transfers by which this member takes data')
    this.#bytesLeft = metrics.gauge('ringd_transfers_left_bytes', 'bytes that this member has still to copy')
    this.#eta = metrics.gauge('ringd_transfers_eta_seconds', 'time until everything is copied; -1 while it is unknown')
    const heldBy = HOLDERS.map((by) => [
      by,
      metrics.gauge('ringd_transfers_held_by', 'running transfers, by what they wait for', { by })
    ])
    this.#heldBy = Object.fromEntries(heldBy) as Record<Holder, Gauge>
    const ended = MOVE_CAUSES.map((cause) => [
      cause,
      metrics.counter('ringd_transfers_ended', 'transfers that have ended', { cause })
    ])
    this.#ended = Object.fromEntries(ended) as Record<MoveCause, Counter>
  }

  came(entries: number, bytes: number): void {
    this.#bytes.add(bytes)
    this.#entries.add(entries)
  }

  damaged(records: number): void {
    this.#damaged.add(records)
  }

  ended(cause: MoveCause): void {
    this.#ended[cause].add()
  }

  observe(count: number, running: readonly RunningTransfer[], left: MoveLeft): void {
    this.#running.set(count)
    this.#bytesLeft.set(left.bytes ?? 0)
    this.#eta.set(left.ms === undefined ? UNKNOWN : Math.ceil(left.ms / 1000))
    for (const by of HOLDERS) this.#heldBy[by].set(running.filter(({ heldBy }) => heldBy === by).length)
  }
}
