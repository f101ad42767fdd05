// A whole ring under one virtual clock. Starts, kills and restarts nodes by name, and waits for conditions.
// Everything random is drawn from one seed, so a run can be repeated by its seed.
import type { Random } from '../../lib/random.js'
import type { Store } from '../../lib/storage/store.js'
import { newestConfig } from '../../lib/views/configs.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { type HubOptions, MemoryHub } from './seams/memory-network.js'
import { VirtualClock } from './seams/virtual-clock.js'
import { SimNode, type SimNodeOptions, seeded } from './sim-node.js'

export class SimRing {
  readonly clock = new VirtualClock()
  readonly random: Random
  readonly hub: MemoryHub
  /** The nodes that run now, by name. */
  readonly nodes = new Map<string, SimNode>()
  /** The disk of every node that was started, by name. */
  readonly disks = new Map<string, Store>()

  constructor(seed: number, options: HubOptions = {}) {
    this.random = seeded(seed)
    this.hub = new MemoryHub(this.clock, seeded(seed + 1), options)
  }

  get running(): SimNode[] {
    return [...this.nodes.values()]
  }

  node(name: string): SimNode {
    const node = this.nodes.get(name)
    if (node === undefined) throw new Error(`node ${name} does not run; start it first`)
    return node
  }

  /** Starts a node, on its former disk when it ran before. By default it joins through all running nodes. */
  async start(name: string, options: SimNodeOptions = {}): Promise<SimNode> {
    const join = options.join ?? this.running.flatMap((node) => node.network.addresses())
    const disk = options.store ?? this.disks.get(name)
    const random = seeded(Math.floor(this.random.next() * 2 ** 31))
    const given = disk === undefined ? options : { ...options, store: disk }
    const node = await SimNode.start(this.clock, this.hub, name, random, { ...given, join })
    this.nodes.set(name, node)
    this.disks.set(name, node.store)
    await this.clock.settle()
    return node
  }

  /** Starts nodes one after the other, without advancing the clock. The first node of an empty ring founds it. */
  async startAll(names: readonly string[], options: SimNodeOptions = {}): Promise<void> {
    for (const name of names) await this.start(name, options)
  }

  /** Like kill -9. */
  kill(name: string): void {
    this.node(name).kill()
    this.nodes.delete(name)
  }

  /** Like SIGTERM: the node drains and ends. Its next life may use the disk. */
  async stop(name: string): Promise<void> {
    const { node, store } = this.node(name)
    await this.wait(node.stop(), 30_000)
    this.kill(name)
    await store.reopen()
  }

  /** Runs the clock until `done()`. Throws when that takes more than `limitMs` of virtual time. */
  async until(done: () => boolean, limitMs: number, what: string): Promise<void> {
    if (await this.clock.runUntil(done, limitMs)) return
    throw new Error(`did not happen within ${limitMs} virtual ms: ${what}\n${this.describe()}`)
  }

  /** Runs the clock until `promise` is settled. */
  async wait<T>(promise: Promise<T>, limitMs = 20_000): Promise<T> {
    let settled = false
    const mark = () => {
      settled = true
    }
    promise.then(mark, mark)
    await this.until(() => settled, limitMs, 'a promise settles')
    return promise
  }

  /** Whether every running node is a member of the same view, which has this number of members. */
  agrees(members: number): boolean {
    const views = this.running.map(({ node }) => node.view)
    const [first] = views
    return (
      first !== undefined &&
      views.every((view) => view?.isMember && view.number === first.number && view.members.size === members)
    )
  }

  /** Whether `agrees`, and every running node knows that all slots are settled and all owners ready. */
  isWhole(members: number): boolean {
    if (!this.agrees(members)) return false
    return this.running.every(({ node }) => node.view !== undefined && isWholeView(node.view))
  }

  untilWhole(members: number, limitMs = 30_000): Promise<void> {
    return this.until(() => this.isWhole(members), limitMs, `all agree on ${members} members and all slots are whole`)
  }

  /** The state of each node, for messages of failures. */
  describe(): string {
    const lines = this.running.map((node) => {
      const { view } = node.node
      if (view === undefined) return `${node.name}: no view`
      const links = [...view.peerIds.values()].filter((id) => node.network.link(id) !== undefined)
      const state = `view ${view.number}, ${view.members.size} members, member ${view.isMember}`
      const { settled, unready } = progressOf(view)
      return `${node.name}: ${state}, settled ${settled}, unready ${unready}, links ${links}`
    })
    return lines.join('\n')
  }

  /** Kills all running nodes, so that nothing runs after a test. */
  close(): void {
    for (const name of [...this.nodes.keys()]) this.kill(name)
  }
}

interface Progress {
  readonly settled: boolean
  /** How many owners are not ready, counted over all slots. */
  readonly unready: number
}

const wholeViews = new WeakMap<RingView, boolean>()

/** Whether all slots are settled and all owners ready. Found once for each view: `until` asks before every event. */
function isWholeView(view: RingView): boolean {
  let isWhole = wholeViews.get(view)
  if (isWhole === undefined) {
    isWhole = view.configs.windows.every((window, slot) => window.length === 1 && unreadyOwners(view, slot) === 0)
    wholeViews.set(view, isWhole)
  }
  return isWhole
}

function unreadyOwners({ configs, readiness }: RingView, slot: number): number {
  const { owners, begin } = newestConfig(configs.windows[slot]!)
  let unready = 0
  for (const owner of owners) if (readiness.get(owner)?.[slot] !== begin) unready += 1
  return unready
}

/** The progress of moves, as a node knows it. */
function progressOf(view: RingView): Progress {
  const { windows } = view.configs
  const unready = windows.reduce((sum, _, slot) => sum + unreadyOwners(view, slot), 0)
  return { settled: windows.every((window) => window.length === 1), unready }
}

/** Names n0, n1, ... */
export function names(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `n${from + index}`)
}
