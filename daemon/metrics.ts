// The metrics seam on prom-client: one registry for the process. Owns it; what is counted is decided in lib/.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Labels, Metrics } from '../lib/metrics.js'

/** From a tenth of a millisecond to seconds, or from one write to a million: powers of four serve both. */
const BUCKETS = Array.from({ length: 14 }, (_, at) => 0.1 * 4 ** at)

export interface DaemonMetrics extends Metrics {
  readonly registry: Registry
}

export function createMetrics(): DaemonMetrics {
  const registry = new Registry()
  const known = new Map<string, Counter | Gauge | Histogram>()
  const once = <T extends Counter | Gauge | Histogram>(name: string, make: () => T): T => {
    const metric = (known.get(name) as T | undefined) ?? make()
    known.set(name, metric)
    return metric
  }
  const config = (name: string, help: string, labels: Labels) => ({
    name,
    help,
    labelNames: Object.keys(labels),
    registers: [registry]
  })
  return {
    registry,
    counter(name, help, labels = {}) {
      const series = once(name, () => new Counter(config(name, help, labels))).labels(labels)
      return { add: (amount = 1) => series.inc(amount) }
    },
    gauge(name, help, labels = {}) {
      const series = once(name, () => new Gauge(config(name, help, labels))).labels(labels)
      return { set: (value) => series.set(value) }
    },
    histogram(name, help, labels = {}) {
      const buckets = { buckets: BUCKETS }
      const series = once(name, () => new Histogram({ ...config(name, help, labels), ...buckets })).labels(labels)
      return { observe: (value) => series.observe(value) }
    }
  }
}
