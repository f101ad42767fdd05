// How long a ring is without service because of a fault: from the start of the fault until, through each living daemon,
// an operation has succeeded that began after the start. Pure.
// A daemon lives when it runs, is not stopped, and is not cut off from a majority. A daemon that stops living before
// such an operation is not waited for. When no daemon lives, the first one that serves counts.
import type { Attempt } from './client-records.js'

/** From this moment on a daemon lives, or does not. */
export interface LifeChange {
  readonly at: number
  readonly node: string
  readonly lives: boolean
}

/** An index of successful attempts, for quick answers about many faults. */
export class Availability {
  /** Per daemon: the starts of its attempts, ascending, and for each the earliest end from there on. */
  readonly #served = new Map<string, { readonly begins: Float64Array; readonly firstEnds: Float64Array }>()
  readonly #changes: readonly LifeChange[]

  /** `changes` must be sorted by time. */
  constructor(attempts: readonly Attempt[], changes: readonly LifeChange[]) {
    this.#changes = changes
    const good = attempts.filter(({ outcome, end }) => outcome === 'ok' && end !== null)
    for (const [node, list] of Map.groupBy(good, (attempt) => attempt.node)) {
      list.sort((one, other) => one.begin - other.begin)
      const begins = Float64Array.from(list, ({ begin }) => begin)
      const firstEnds = Float64Array.from(list, ({ end }) => end!)
      for (let at = firstEnds.length - 2; at >= 0; at--) firstEnds[at] = Math.min(firstEnds[at]!, firstEnds[at + 1]!)
      this.#served.set(node, { begins, firstEnds })
    }
  }

  /** Time without service, ms. `until` is used for a daemon that did not answer again. */
  without(begin: number, until: number): number {
    const living = this.#livingAt(begin)
    if (living.length === 0) return Math.min(until, this.#firstOfAll(begin)) - begin
    return this.#until(living, begin, until) - begin
  }

  /** Time from the end of a fault until each living victim has served, ms. */
  back(victims: readonly string[], end: number, until: number): number {
    const living = this.#livingAt(end).filter((node) => victims.includes(node))
    return this.#until(living, end, until) - end
  }

  #until(nodes: readonly string[], begin: number, until: number): number {
    let end = begin
    for (const node of nodes) {
      const dies = this.#changes.find(({ at, node: other, lives }) => other === node && !lives && at > begin)?.at
      const served = this.#firstServed(node, begin)
      if (served <= (dies ?? until)) end = Math.max(end, served)
      else if (dies === undefined) end = until
    }
    return end
  }

  #firstOfAll(begin: number): number {
    return Math.min(...[...this.#served.keys()].map((node) => this.#firstServed(node, begin)))
  }

  #livingAt(time: number): string[] {
    const lives = new Map<string, boolean>()
    for (const change of this.#changes) if (change.at <= time) lives.set(change.node, change.lives)
    return [...lives].filter(([, isLiving]) => isLiving).map(([node]) => node)
  }

  #firstServed(node: string, begin: number): number {
    const served = this.#served.get(node)
    if (served === undefined) return Number.POSITIVE_INFINITY
    const { begins, firstEnds } = served
    let low = 0
    let high = begins.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (begins[middle]! < begin) low = middle + 1
      else high = middle
    }
    return firstEnds[low] ?? Number.POSITIVE_INFINITY
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? 0
}
