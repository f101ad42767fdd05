// Judges that nothing grows without end: mailboxes, bytes that wait in streams, and timers of a node stay under
// bounds at every moment; what a life of a node holds in its last quarter is about what it held in its first; and at
// the end it has no more timers than a few for itself and for each node of the ring.
import type { Load, Observation } from '../run/observation.js'
import { Judge } from './judge.js'
import type { ObservedState } from './observed-state.js'

export interface BoundsOptions {
  /** Messages in one mailbox. Default: the capacity of a mailbox; when it is reached, messages are refused. */
  readonly mailboxMax?: number | undefined
  /** Bytes in the streams of one node. Default 64 MiB: what one stream may hold when a peer does not read. */
  readonly queuedBytesMax?: number | undefined
  /**
   * Timers of one node. Default 500: measured are three for each peer under load, and one for each hundred
   * operations.
   */
  readonly timersMax?: number | undefined
  /** Timers of one node for each node of the ring, at the end. Default 8: measured are three. */
  readonly timersPerNode?: number | undefined
}

type Measure = 'mailbox' | 'queuedBytes' | 'timers'

const DEFAULTS = { mailboxMax: 10_000, queuedBytesMax: 64 * 1024 * 1024, timersMax: 500, timersPerNode: 8 }
/** Growth below this is life: a few more peers, operations under way. */
const SLACK: Readonly<Record<Measure, number>> = { mailbox: 100, queuedBytes: 1024 * 1024, timers: 50 }
const MEASURES: readonly Measure[] = ['mailbox', 'queuedBytes', 'timers']
/** With fewer samples of a life nobody can tell a burst from growth. */
const SAMPLES_MIN = 16
/** What a node has for itself alone. */
const TIMERS_ALONE = 40

export class Bounds extends Judge {
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

  protected judge(observation: Observation): void {
    if (observation.type === 'started' || observation.type === 'killed') this.#lives.delete(observation.node)
    if (observation.type !== 'load') return
    const { at, node } = observation
    const life = this.#lives.get(node)
    if (life === undefined) this.#lives.set(node, [observation])
    else life.push(observation)
    for (const measure of MEASURES) {
      if (observation[measure] <= this.#max[measure]) continue
      const text = `${node} has ${measure} ${observation[measure]}, the bound is ${this.#max[measure]}`
      this.report(at, `${measure} ${node}`, text)
    }
  }

  override finish(at: number): void {
    const timersMax = TIMERS_ALONE + this.#timersPerNode * this.#lives.size
    for (const [node, life] of this.#lives) {
      const { timers } = life.at(-1)!
      if (timers > timersMax) {
        this.report(at, `end ${node}`, `${node} ends with ${timers} timers in a ring of ${this.#lives.size} nodes`)
      }
      if (life.length >= SAMPLES_MIN) for (const measure of MEASURES) this.#judgeGrowth(at, node, life, measure)
    }
  }

  /** The least of the last quarter of a life against the most of its first. */
  #judgeGrowth(at: number, node: string, life: readonly Load[], measure: Measure): void {
    const quarter = Math.floor(life.length / 4)
    const most = Math.max(...life.slice(0, quarter).map((load) => load[measure]))
    const least = Math.min(...life.slice(-quarter).map((load) => load[measure]))
    if (least <= 2 * most + SLACK[measure]) return
    const text = `${node} grows: ${measure} was at most ${most} at first, and at least ${least} at the end`
    this.report(at, `growth ${measure} ${node}`, text)
  }
}
