// Sees what nodes work by, and tells it: views, windows and readiness of the slots that matter, and load.
// Must not: change anything in the run, or draw from its randomness.
import { fromText } from '../../../lib/bytes.js'
import type { MemberId } from '../../../lib/member.js'
import { type Metrics, noMetrics } from '../../../lib/metrics.js'
import { digestOfView } from '../../../lib/node/reports.js'
import { slotOf } from '../../../lib/ring/slots.js'
import type { Window } from '../../../lib/views/configs.js'
import type { RingView } from '../../../lib/views/ring-view.js'
import type { MemoryHub } from '../seams/memory-network.js'
import type { Observation } from './observation.js'
import type { SimHost } from './sim-host.js'

export interface WatcherDeps {
  readonly hub: MemoryHub
  readonly now: () => number
  readonly observe: (observation: Observation) => void
}

/** Remembers how full mailboxes were. */
export class LoadMetrics implements Metrics {
  readonly counter = noMetrics.counter
  readonly histogram = noMetrics.histogram
  #fullest = 0

  gauge(name: string): { set(value: number): void } {
    if (name !== 'ringd_mailbox_messages') return { set() {} }
    return {
      set: (value) => {
        if (value > this.#fullest) this.#fullest = value
      }
    }
  }

  /** The most messages in one batch since the last time. */
  take(): number {
    const fullest = this.#fullest
    this.#fullest = 0
    return fullest
  }
}

export class Watcher {
  readonly #deps: WatcherDeps
  readonly #slots: readonly number[]
  readonly #seen = new WeakMap<SimHost, RingView>()
  /** What each member was seen to be ready for, by slot: a restart announces nothing new. */
  readonly #ready = new Map<MemberId, Map<number, number>>()
  /** When each view was first seen, by its number. */
  readonly views = new Map<number, number>()

  /** `keys`: those of the run; nothing is told of slots that hold none of them. */
  constructor(deps: WatcherDeps, keys: readonly string[]) {
    this.#deps = deps
    this.#slots = [...new Set(keys.map((key) => slotOf(fromText(key))))].sort((a, b) => a - b)
  }

  /** Looks at one host; cheap when nothing has changed. */
  look(host: SimHost): void {
    const view = host.node?.node.view
    const seen = this.#seen.get(host)
    if (view === seen) return
    if (view === undefined) {
      this.#seen.delete(host)
      return
    }
    this.#seen.set(host, view)
    this.#changed(host.name, view.self === seen?.self ? seen : undefined, view)
  }

  tellLoad(host: SimHost, metrics: LoadMetrics): void {
    const { clock, name } = host
    if (clock === undefined) return
    const { hub, now, observe } = this.#deps
    const queuedBytes = hub.queuedBytes(name)
    observe({ type: 'load', at: now(), node: name, mailbox: metrics.take(), queuedBytes, timers: clock.timers })
  }

  #changed(node: string, before: RingView | undefined, after: RingView): void {
    const { now, observe } = this.#deps
    const at = now()
    const { self: member, number: view } = after
    if (before?.number !== view) {
      if (!this.views.has(view)) this.views.set(view, at)
      observe({ type: 'view', at, member, view, digest: digestOfView(after), members: [...after.members.keys()] })
    }
    if (this.#movedFrom(before, after)) {
      const windows = new Map<number, Window>(this.#slots.map((slot) => [slot, after.configs.windows[slot]!]))
      observe({ type: 'picture', at, node, member, view, windows })
    }
    const ready = after.readiness.get(member)
    if (ready !== undefined && ready !== before?.readiness.get(member)) this.#tellReady(member, ready)
  }

  #tellReady(member: MemberId, ready: Uint32Array): void {
    const { now, observe } = this.#deps
    const told = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, told)
    for (const slot of this.#slots) {
      const config = ready[slot]!
      if (config === 0 || told.get(slot) === config) continue
      told.set(slot, config)
      observe({ type: 'ready', at: now(), member, slot, config })
    }
  }

  #movedFrom(before: RingView | undefined, after: RingView): boolean {
    if (before === undefined || before.number !== after.number) return true
    if (before.configs === after.configs) return false
    return this.#slots.some((slot) => before.configs.windows[slot] !== after.configs.windows[slot])
  }
}
