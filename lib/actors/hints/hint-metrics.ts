// Counters of hints, and the log line about dropped ones. Part of the hints actor.

import type { Clock } from '../../clock.js'
import type { Logger } from '../../logger.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'

/**
 * full: the hints on the disk have reached their bound. overload: memory or a mailbox was full. disk: the disk refused
 * it. old: it was kept too long. moved: the member does not own the slot any more. gone: the member is not in the ring
 * any more. refused: the owner will never take it. damaged: its checksum fails.
 */
export const DROP_REASONS = ['full', 'overload', 'disk', 'old', 'moved', 'gone', 'refused', 'damaged'] as const
export type DropReason = (typeof DROP_REASONS)[number]

/** Reasons that are not logged: the member does not need such a hint any more. */
const SILENT: ReadonlySet<DropReason> = new Set(['moved', 'gone'])
/** All hints dropped within this time share one log line. */
const LOG_MS = 10_000

export interface HintMetricsDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export function hintsDropped(metrics: Metrics, reason: DropReason): Counter {
  return metrics.counter('ringd_hints_dropped', 'hints that were given up', { reason })
}

/** Counts hints that are kept, replayed and dropped. */
export class HintMetrics {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #kept: Counter
  readonly #replayed: Counter
  readonly #dropped: Readonly<Record<DropReason, Counter>>
  readonly #entries: Gauge
  readonly #bytes: Gauge
  readonly #age: Gauge
  /** Dropped since the last log line about it. */
  readonly #unlogged = new Map<DropReason, number>()
  /** Monotonic ms: no log line before. */
  #quietUntil = 0

  constructor({ clock, log, metrics }: HintMetricsDeps) {
    this.#clock = clock
    this.#log = log
    this.#kept = metrics.counter('ringd_hints_kept', 'writes kept for owners that did not take them')
    this.#replayed = metrics.counter('ringd_hints_replayed', 'hints that their owners have answered')
    const dropped = DROP_REASONS.map((reason) => [reason, hintsDropped(metrics, reason)])
    this.#dropped = Object.fromEntries(dropped) as Record<DropReason, Counter>
    this.#entries = metrics.gauge('ringd_hints_entries', 'hints on the disk')
    this.#bytes = metrics.gauge('ringd_hints_bytes', 'bytes of hints on the disk')
    this.#age = metrics.gauge('ringd_hints_oldest_age_ms', 'how long the oldest hint has been kept')
  }

  kept(count: number): void {
    this.#kept.add(count)
  }

  replayed(count: number): void {
    this.#replayed.add(count)
  }

  dropped(reason: DropReason, count: number): void {
    this.#dropped[reason].add(count)
    if (!SILENT.has(reason)) this.#unlogged.set(reason, (this.#unlogged.get(reason) ?? 0) + count)
    this.#logDropped()
  }

  /** Sets the gauges: what is on the disk, and how long the oldest hint has been there. */
  measure(entries: number, bytes: number, ageMs: number): void {
    this.#entries.set(entries)
    this.#bytes.set(bytes)
    this.#age.set(ageMs)
    this.#logDropped()
  }

  #logDropped(): void {
    const now = this.#clock.elapsed()
    if (this.#unlogged.size === 0 || now < this.#quietUntil) return
    this.#quietUntil = now + LOG_MS
    this.#log.warn({ dropped: Object.fromEntries(this.#unlogged) }, 'hints dropped; repair will bring their writes')
    this.#unlogged.clear()
  }
}
