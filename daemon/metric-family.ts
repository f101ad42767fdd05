// The series behind one metric name, cheap enough for hot paths: counting is an addition to a field, where the metrics
// of prom-client look their labels up anew each time. What a registry shows of them is the same, line for line.
import type { Metric, Registry } from 'prom-client'
import type { Counter, Gauge, Histogram, Labels } from '../lib/metrics.js'

type Kind = 'counter' | 'gauge' | 'histogram'

/** One line of what is scraped. */
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
  /** Observations within each bound and above the one before; the last counts those above all bounds. */
  readonly #counts: Float64Array
  #sum = 0

  /** `bounds` ascend. */
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

  /** Buckets count everything up to their bound. */
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

/** All series of one name; one for each set of labels. What a prom-client registry needs of a metric. */
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
    // The registry calls `get` alone; the rest of its type is for those who count with prom-client.
    registry.registerMetric(this as unknown as Metric)
  }

  /** The same series each time. */
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
