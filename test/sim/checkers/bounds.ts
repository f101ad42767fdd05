// Checks that nothing grows without end. Mailboxes, bytes that wait in streams, and timers of a node stay under bounds
// at every moment. In the last quarter of a node's life they are about as large as in its first quarter. At the end a
// node has only a few timers for itself and a few for each node of the ring.
import type { Load, Observation } from '../run/observation.js'
import { BaseChecker } from './base-checker.js'
import type { ObservedState } from './observed-state.js'

export interface BoundsOptions {
  /** Messages in one mailbox. Default: the capacity of a mailbox; a full mailbox refuses messages. */
  readonly mailboxMax?: number | undefined
  /** Bytes in the streams of one node. Default 64 MiB: the limit of one stream whose reader is stuck. */
  readonly queuedBytesMax?: number | undefined
  /**
   * Timers of one node. Default 500. Measured under load: three for each peer, and one for each hundred
   * operations.
   */
  readonly timersMax?: number | undefined
  /** Timers of one node for each node of the ring, at the end. Default 8. Measured: three. */
  readonly timersPerNode?: number | undefined
}

type Measure = 'mailbox' | 'queuedBytes' | 'timers'

const DEFAULTS = { mailboxMax: 10_000, queuedBytesMax: 64 * 1024 * 1024, timersMax: 500, timersPerNode: 8 }
/** Growth below this is normal: a few more peers, operations under way. */
const SLACK: Readonly<Record<Measure, number>> = { mailbox: 100, queuedBytes: 1024 * 1024, timers: 50 }
const MEASURES: readonly Measure[] = ['mailbox', 'queuedBytes', 'timers']
/** With fewer samples of a life a burst looks like growth. */
const SAMPLES_MIN = 16
/** Timers that a node needs for itself alone. */
const TIMERS_ALONE = 40

export class Bounds extends BaseChecker {
  readonly rule = 'bounds'
  readonly #max: Readonly<Record<Measure, number>>
  readonly #timersPerNode: number
  readonly #lives = new Map<string, Load[]>()

  constructor(state?: ObservedState, options: BoundsOptions = {}) {
    super(state)
    this.#max = {
      mailbox: options.mailboxMax ?? DEFAULTS.mailboxMax,
      queuedBytes: options.queuedBytesMax ?? DEFAULTS.queuedBytesMax,
      timers: options.timersMax ?? DEFAULTS.timersMax
    }
    this.#timersPerNode = options.timersPerNode ?? DEFAULTS.timersPerNode
  }

  protected check(observation: Observation): void {
    if (observation.type === 'started' || observation.type === 'killed') this.#lives.delete(observation.node)
    if (observation.type !== 'load') return
    const { at, node } = observation
    const life = this.#lives.get(node)
    if (life === undefined) this.#lives.set(node, [observation])
    else life.push(observation)
    for (const measure of MEASURES) {
      if (observation[measure] <= this.#max[measure]) continue
      const text = `${node} has ${measure} ${observation[measure]}; the limit is ${this.#max[measure]}`
      this.report(at, `${measure} ${node}`, text)
    }
  }

  override finish(at: number): void {
    const timersMax = TIMERS_ALONE + this.#timersPerNode * this.#lives.size
    for (const [node, life] of this.#lives) {
      const { timers } = life.at(-1)!
      if (timers > timersMax) {
        const text = `${node} ends with ${timers} timers in a ring of ${this.#lives.size} nodes`
        this.report(at, `end ${node}`, `${text}; the limit is ${timersMax}`)
      }
      if (life.length >= SAMPLES_MIN) for (const measure of MEASURES) this.#checkGrowth(at, node, life, measure)
    }
  }

  /** Compares the smallest value of the last quarter of a life with the largest value of its first quarter. */
  #checkGrowth(at: number, node: string, life: readonly Load[], measure: Measure): void {
    const quarter = Math.floor(life.length / 4)
    const most = Math.max(...life.slice(0, quarter).map((load) => load[measure]))
    const least = Math.min(...life.slice(-quarter).map((load) => load[measure]))
    if (least <= 2 * most + SLACK[measure]) return
    const text = `${node} grows: ${measure} was at most ${most} in its first quarter, and at least ${least} in its last`
    this.report(at, `growth ${measure} ${node}`, text)
  }
}
