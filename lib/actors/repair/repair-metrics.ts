// Counts the rounds that this member began. Part of the repair actor. The replica counts the entries that come in and
// those that it sends in rounds of others (repair-exchange.ts).
import type { Counter, Histogram, Metrics } from '../../metrics.js'
import type { RepairCount } from './repair-session.js'

export class RepairMetrics {
  readonly #rounds: Counter
  readonly #failures: Counter
  readonly #slots: Counter
  readonly #differing: Counter
  readonly #entries: Counter
  readonly #sent: Counter
  readonly #received: Counter
  readonly #duration: Histogram

  constructor(metrics: Metrics) {
    this.#rounds = metrics.counter('ringd_repair_rounds', 'rounds that this member began')
    this.#failures = metrics.counter('ringd_repair_failures', 'rounds that ended before they were done')
    this.#slots = metrics.counter('ringd_repair_compared_slots', 'slots compared with another owner')
    this.#differing = metrics.counter('ringd_repair_differing_slots', 'slots that differed from those of another owner')
    this.#entries = metrics.counter('ringd_repair_sent_entries', 'entries that repair sent to other owners')
    this.#sent = metrics.counter('ringd_repair_sent_bytes', 'sums, lists and entries sent in own rounds')
    this.#received = metrics.counter('ringd_repair_received_bytes', 'the same received')
    this.#duration = metrics.histogram('ringd_repair_round_ms', 'how long a round took')
  }

  add(count: RepairCount, ms: number, hasFailed: boolean): void {
    this.#rounds.add()
    if (hasFailed) this.#failures.add()
    this.#slots.add(count.slots)
    this.#differing.add(count.differing)
    this.#entries.add(count.sentEntries)
    this.#sent.add(count.sentBytes)
    this.#received.add(count.receivedBytes)
    this.#duration.observe(ms)
  }
}
