// Watches the nodes of a run, and reports views, windows and readiness of the slots that hold keys, and load.
// Must not change anything in the run, and must not draw from its randomness.
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

/** Remembers the fullest mailbox. */
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

  /** The largest batch that a mailbox has delivered since the last call, in messages. */
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
  /** Per member and slot: the config of the last `ready` report. A restart must not report it again. */
  readonly #ready = new Map<MemberId, Map<number, number>>()
  /** The time at which each view was first seen, by its number. */
  readonly views = new Map<number, number>()

  /** `keys`: all keys of the run. Slots without a key are not reported. */
  constructor(deps: WatcherDeps, keys: readonly string[]) {
    this.#deps = deps
    this.#slots = [...new Set(keys.map((key) => slotOf(fromText(key))))].sort((a, b) => a - b)
  }

  /** Reports what has changed at one host. Cheap when nothing has changed. */
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

  reportLoad(host: SimHost, metrics: LoadMetrics): void {
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
    if (ready !== undefined && ready !== before?.readiness.get(member)) this.#reportReady(member, ready)
  }

  #reportReady(member: MemberId, ready: Uint32Array): void {
    const { now, observe } = this.#deps
    const reported = this.#ready.get(member) ?? new Map<number, number>()
    this.#ready.set(member, reported)
    for (const slot of this.#slots) {
      const config = ready[slot]!
      if (config === 0 || reported.get(slot) === config) continue
      reported.set(slot, config)
      observe({ type: 'ready', at: now(), member, slot, config })
    }
  }

  #movedFrom(before: RingView | undefined, after: RingView): boolean {
    if (before === undefined || before.number !== after.number) return true
    if (before.configs === after.configs) return false
    return this.#slots.some((slot) => before.configs.windows[slot] !== after.configs.windows[slot])
  }
}
