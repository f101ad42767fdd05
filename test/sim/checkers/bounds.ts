// Judges that nothing grows without end: mailboxes, bytes that wait in streams, and timers of a node stay under bounds
// at every moment, and what a life of a node holds at its end is about what it held at its beginning.
import type { Load, Observation } from '../observation.js'
import { Judge } from './judge.js'
import type { World } from './world.js'

export interface BoundsOptions {
  /** Messages in one mailbox. Default: the capacity of a mailbox; when it is reached, messages are refused. */
  readonly mailboxMax?: number | undefined
  /** Bytes in the streams of one node. Default 64 MiB: what one stream may hold when a peer does not read. */
  readonly queuedBytesMax?: number | undefined
  /** Timers of one node. Default 2000: some for each peer, actor and operation under way. */
  readonly timersMax?: number | undefined
}

type Measure = 'mailbox' | 'queuedBytes' | 'timers'

const DEFAULTS = { mailboxMax: 10_000, queuedBytesMax: 64 * 1024 * 1024, timersMax: 2000 }
/** Growth below this is life: a few more peers, operations under way. */
const SLACK: Readonly<Record<Measure, number>> = { mailbox: 100, queuedBytes: 1024 * 1024, timers: 100 }
const MEASURES: readonly Measure[] = ['mailbox', 'queuedBytes', 'timers']
/** With fewer samples of a life nobody can tell a burst from growth. */
const SAMPLES_MIN = 16

export class Bounds extends Judge {
  readonly rule = 'bounds'
  readonly #max: Readonly<Record<Measure, number>>
  readonly #lives = new Map<string, Load[]>()

  constructor(world?: World, options: BoundsOptions = {}) {
    super(world)
    this.#max = {
      mailbox: options.mailboxMax ?? DEFAULTS.mailboxMax,
      queuedBytes: options.queuedBytesMax ?? DEFAULTS.queuedBytesMax,
      timers: options.timersMax ?? DEFAULTS.timersMax
    }
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

  /** The least of the last quarter of a life against the most of its first half. */
  override finish(at: number): void {
    for (const [node, life] of this.#lives) {
      if (life.length < SAMPLES_MIN) continue
      const early = life.slice(0, life.length / 2)
      const late = life.slice(-life.length / 4)
      for (const measure of MEASURES) {
        const most = Math.max(...early.map((load) => load[measure]))
        const least = Math.min(...late.map((load) => load[measure]))
        if (least <= 2 * most + SLACK[measure]) continue
        const text = `${node} grows: ${measure} was at most ${most} at first, and at least ${least} at the end`
        this.report(at, `growth ${measure} ${node}`, text)
      }
    }
  }
}
