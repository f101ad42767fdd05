// Metrics whose gauges and counters a test can read by name. Labels are ignored.
import { type Metrics, noMetrics } from '../../../lib/metrics.js'

export class KeptMetrics implements Metrics {
  readonly values = new Map<string, number>()
  readonly histogram = noMetrics.histogram

  counter(name: string): { add(amount?: number): void } {
    return { add: (amount = 1) => void this.values.set(name, (this.values.get(name) ?? 0) + amount) }
  }

  gauge(name: string): { set(value: number): void } {
    return { set: (value) => void this.values.set(name, value) }
  }
}
