// The series of one metric name. Counting is one addition to a field, cheap enough for every message; the metrics of
// prom-client look up their labels at each call. A registry prints the same lines for both.
import type { Metric, Registry } from 'prom-client'
import type { Counter, Gauge, Histogram, Labels } from '../lib/metrics.js'

type Kind = 'counter' | 'gauge' | 'histogram'

/** One line of the text that Prometheus scrapes. */
interface Sample {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

interface Series {
  samples(name: string, labels: Labels): readonly Sample[]
}

export class ValueSeries implements Series, Counter, Gauge {
  #value = 0

  add(amount = 1): void {
    this.#value += amount
  }

  set(value: number): void {
    this.#value = value
  }

  samples(metricName: string, labels: Labels): readonly Sample[] {
    return [{ metricName, labels, value: this.#value }]
  }
}

export class BucketSeries implements Series, Histogram {
  readonly #bounds: readonly number[]
  /** Observations up to each bound and above the previous one. The last counts those above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  /** `bounds` must ascend. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++
    this.#counts[at]! += 1
    this.#sum += value
  }

  /** Each bucket counts all observations up to its bound, as Prometheus expects. */
  samples(name: string, labels: Labels): readonly Sample[] {
    let count = 0
    const buckets = Array.from(this.#counts, (inBucket, at) => {
      count += inBucket
      return { metricName: `${name}_bucket`, labels: { le: this.#bounds[at] ?? '+Inf', ...labels }, value: count }
    })
    const sum = { metricName: `${name}_sum`, labels, value: this.#sum }
    return [...buckets, sum, { metricName: `${name}_count`, labels, value: count }]
  }
}

/** All series of one name, one for each set of labels. Has the members that a prom-client registry uses. */
export class MetricFamily<S extends Series> {
  readonly name: string
  readonly help: string
  readonly type: Kind
  readonly aggregator = 'sum'
  readonly #make: () => S
  readonly #series = new Map<string, { readonly labels: Labels; readonly series: S }>()

  constructor(type: Kind, name: string, help: string, make: () => S) {
    this.type = type
    this.name = name
    this.help = help
    this.#make = make
  }

  /** Adds these series to the output of `registry`. */
  registerIn(registry: Registry): void {
    // The registry calls only `get`. The other members of its type are for counting with prom-client.
    registry.registerMetric(this as unknown as Metric)
  }

  /** Returns the same series each time for the same labels. */
  with(labels: Labels): S {
    const id = JSON.stringify(Object.entries(labels).sort())
    const known = this.#series.get(id)
    if (known !== undefined) return known.series
    const series = this.#make()
    this.#series.set(id, { labels, series })
    return series
  }

  async get(): Promise<object> {
    const { name, help, type, aggregator } = this
    const values = [...this.#series.values()].flatMap(({ labels, series }) => series.samples(name, labels))
    return { name, help, type, aggregator, values }
  }
}
