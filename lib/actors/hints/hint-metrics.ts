// How hints are counted, by the router that makes them and by the actor that keeps them.
import type { Counter, Metrics } from '../../metrics.js'

/**
 * full: more bytes than hints may take. overload: memory or queues had no room. disk: it refused. old: kept too long.
 * moved: the member does not own the slot any more. gone: the member is out of the ring. refused: the owner will never
 * take it. damaged: its checksum fails.
 */
export const DROP_REASONS = ['full', 'overload', 'disk', 'old', 'moved', 'gone', 'refused', 'damaged'] as const
export type DropReason = (typeof DROP_REASONS)[number]

export function hintsDropped(metrics: Metrics, reason: DropReason): Counter {
  return metrics.counter('ringd_hints_dropped', 'hints that were given up', { reason })
}
