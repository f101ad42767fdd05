// The seam for metrics: the least that parts need to be counted. The daemon puts prom-client behind it.

export interface Counter {
  add(amount?: number): void
}

export interface Gauge {
  set(value: number): void
}

/** Observes durations in milliseconds or sizes in bytes; the name says which. */
export interface Histogram {
  observe(value: number): void
}

export type Labels = Readonly<Record<string, string>>

/** Names are `ringd_<part>_<what>_<unit>`; asking twice for one name and labels gives the same series. */
export interface Metrics {
  counter(name: string, help: string, labels?: Labels): Counter
  gauge(name: string, help: string, labels?: Labels): Gauge
  histogram(name: string, help: string, labels?: Labels): Histogram
}

/** Counts nothing. For tests and tools. */
export const noMetrics: Metrics = {
  counter: () => ({ add() {} }),
  gauge: () => ({ set() {} }),
  histogram: () => ({ observe() {} })
}
