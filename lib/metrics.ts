// The seam for metrics: the part that ringd needs. The daemon implements it with prom-client.

export interface Counter {
  add(amount?: number): void
}

export interface Gauge {
  set(value: number): void
}

/** Observes durations in ms or sizes in bytes. The unit is in the name. */
export interface Histogram {
  observe(value: number): void
}

export type Labels = Readonly<Record<string, string>>

/** Names are `ringd_<part>_<what>_<unit>`. The same name and labels give the same series again. */
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
