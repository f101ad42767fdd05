// Results of load tests: their type, medians and percentiles, sums of metrics, and tables. Pure.

/** The result of one command with one pipeline depth in one round. */
export interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms?: number
  /** User and system CPU time of all three processes together, divided by the number of operations. */
  readonly cpuMicros: number | undefined
}

/** The middle value, or the mean of the two middle values; undefined when there are no values. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]
  return sorted.length === 0 ? undefined : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The smallest value that at least `share` (0 to 1) of the values do not exceed; undefined without values. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}

/** The median of the picked values that are defined. */
export function medianOf<T>(items: readonly T[], pick: (item: T) => number | undefined): number | undefined {
  return median(items.map(pick).filter((value) => value !== undefined))
}

/** One number divided by another; undefined when one of them is unknown. */
export function quotient(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one / other
}

/** The sum of all series of a metric, in the text format of Prometheus; 0 when there are none. */
export function metricSum(text: string, name: string): number {
  const series = new RegExp(`^${name}(?:_total)?(?:\\{[^}]*\\})? (\\S+)$`, 'gm')
  return Array.from(text.matchAll(series), ([, value]) => Number(value)).reduce((sum, value) => sum + value, 0)
}

/** The number as text; `-` for an unknown one. */
export function shown(value: number | undefined, digits = 0): string {
  return value === undefined || !Number.isFinite(value) ? '-' : value.toFixed(digits)
}

/** A Markdown table. The first column is aligned to the left, the others to the right. */
export function markdown(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!))).join(' | ')} |`
  const rule = widths.map((width, at) => (at === 0 ? `:${'-'.repeat(width - 1)}` : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)].join('\n')
}
