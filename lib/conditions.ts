// What is wrong with this peer itself, in words for an operator: its clock, its disk, its store, its identity. The part
// that notices a fault sets its condition and clears it when it is over; status, pongs, `ringd ready` and metrics show
// them.
// Invariant: one condition of each name at most.
import type { Logger } from './logger.js'
import type { Gauge, Metrics } from './metrics.js'

/** What each name means and what to do is in daemon/README.md, "When things go wrong". */
export const CONDITION_NAMES = [
  'clock-wrong',
  'disk-full',
  'disk-slow',
  'store-closed',
  'identity-twice',
  'other-ring',
  'unreachable'
] as const

export type ConditionName = (typeof CONDITION_NAMES)[number]

export interface Condition {
  readonly name: ConditionName
  /** One sentence for an operator, at most 200 characters: what is wrong, and by how much. */
  readonly says: string
}

export interface ConditionsDeps {
  readonly log: Logger
  readonly metrics: Metrics
}

const SAYS_LENGTH_MAX = 200

/** The conditions of one peer. */
export class Conditions {
  readonly #log: Logger
  readonly #gauges = new Map<ConditionName, Gauge>()
  readonly #present = new Map<ConditionName, Condition>()

  constructor({ log, metrics }: ConditionsDeps) {
    this.#log = log
    const help = '1 while this peer is in the condition; see "When things go wrong"'
    for (const condition of CONDITION_NAMES) {
      const gauge = metrics.gauge('ringd_condition', help, { condition })
      gauge.set(0)
      this.#gauges.set(condition, gauge)
    }
  }

  /** In the order in which they began. */
  get present(): readonly Condition[] {
    return [...this.#present.values()]
  }

  has(name: ConditionName): boolean {
    return this.#present.has(name)
  }

  /** Begins the condition, or gives it new words. Only its beginning is logged. */
  set(name: ConditionName, says: string): void {
    const isNew = !this.#present.has(name)
    this.#present.set(name, { name, says: says.slice(0, SAYS_LENGTH_MAX) })
    if (!isNew) return
    this.#gauges.get(name)!.set(1)
    this.#log.error({ condition: name }, says)
  }

  /** Ends the condition, if it is there. */
  clear(name: ConditionName): void {
    if (!this.#present.delete(name)) return
    this.#gauges.get(name)!.set(0)
    this.#log.info({ condition: name }, 'the condition is over')
  }
}

/** A peer in one of these conditions stores no new writes. Reads of its store go on, whatever its condition. */
export const STOPS_WRITES: ReadonlySet<string> = new Set<ConditionName>(['store-closed', 'disk-full'])
/** A peer in one of these conditions serves no clients, whatever the other owners can do. */
export const STOPS_SERVING: ReadonlySet<string> = new Set<ConditionName>(['store-closed', 'clock-wrong'])
