// The metrics seam on prom-client. Owns the one registry of the process. The parts in lib/ decide what they count.
import { Registry } from 'prom-client'
import type { Metrics } from '../lib/metrics.js'
import { BucketSeries, MetricFamily, ValueSeries } from './metric-family.js'

/** Powers of four suit both times (0.1 ms to hours) and counts (one write to millions). */
const BUCKETS = Array.from({ length: 14 }, (_, at) => 0.1 * 4 ** at)

export interface DaemonMetrics extends Metrics {
  readonly registry: Registry
}

export function createMetrics(): DaemonMetrics {
  const registry = new Registry()
  const values = new Map<string, MetricFamily<ValueSeries>>()
  const histograms = new Map<string, MetricFamily<BucketSeries>>()
  const value = (type: 'counter' | 'gauge', name: string, help: string) =>
    once(values, name, registry, () => new MetricFamily(type, name, help, () => new ValueSeries()))
  return {
    registry,
    counter: (name, help, labels = {}) => value('counter', name, help).with(labels),
    gauge: (name, help, labels = {}) => value('gauge', name, help).with(labels),
    histogram: (name, help, labels = {}) =>
      once(
        histograms,
        name,
        registry,
        () => new MetricFamily('histogram', name, help, () => new BucketSeries(BUCKETS))
      ).with(labels)
  }
}

function once<F extends { registerIn(registry: Registry): void }>(
  known: Map<string, F>,
  name: string,
  registry: Registry,
  make: () => F
): F {
  let family = known.get(name)
  if (family === undefined) {
    family = make()
    family.registerIn(registry)
    known.set(name, family)
  }
  return family
}
