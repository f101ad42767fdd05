// A whole ring under one virtual clock: starts, kills and restarts nodes by name, and waits for conditions.
// Everything random is drawn from one seed, so a run is repeated exactly by its seed.
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
  /** Those that run now. */
  readonly nodes = new Map<string, SimNode>()
  /** The disk of every node that ever was. */
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
    if (node === undefined) throw new Error(`${name} does not run`)
    return node
  }

  /** Starts a node; on the disk that it left, when it ran before. Joins everyone that runs, unless told otherwise. */
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

  /** Starts `names` one after the other within one moment; the first of an empty ring founds it. */
  async startAll(names: readonly string[], options: SimNodeOptions = {}): Promise<void> {
    for (const name of names) await this.start(name, options)
  }

  /** Like kill -9. */
  kill(name: string): void {
    this.node(name).kill()
    this.nodes.delete(name)
  }

  /** Like SIGTERM: it drains, and its disk may be used by the next life. */
  async stop(name: string): Promise<void> {
    const { node, store } = this.node(name)
    await this.wait(node.stop(), 30_000)
    this.kill(name)
    await store.reopen()
  }

  /** Runs the clock until `done`; throws when that takes more than `limitMs` of virtual time. */
  async until(done: () => boolean, limitMs: number, what: string): Promise<void> {
    if (await this.clock.runUntil(done, limitMs)) return
    throw new Error(`not within ${limitMs} virtual ms: ${what}\n${this.describe()}`)
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

  /** Every running node is a member of the same view of `members` members. */
  agrees(members: number): boolean {
    const views = this.running.map(({ node }) => node.view)
    const [first] = views
    return (
      first !== undefined &&
      views.every((view) => view?.isMember && view.number === first.number && view.members.size === members)
    )
  }

  /** As `agrees`, and every slot is settled with every owner ready, as every running node knows. */
  isWhole(members: number): boolean {
    if (!this.agrees(members)) return false
    return this.running.map(progressOf).every(({ settled, unready }) => settled && unready === 0)
  }

  untilWhole(members: number, limitMs = 30_000): Promise<void> {
    return this.until(() => this.isWhole(members), limitMs, `all agree on ${members} members and all slots are whole`)
  }

  /** What each node knows, for messages of failures. */
  describe(): string {
    const lines = this.running.map((node) => {
      const { view } = node.node
      if (view === undefined) return `${node.name}: no view`
      const links = [...view.peerIds.values()].filter((id) => node.network.link(id) !== undefined)
      const state = `view ${view.number}, ${view.members.size} members, member ${view.isMember}`
      const { settled, unready } = progressOf(node)
      return `${node.name}: ${state}, settled ${settled}, unready ${unready}, links ${links}`
    })
    return lines.join('\n')
  }

  /** Kills what runs: nothing goes on after a test. */
  close(): void {
    for (const name of [...this.nodes.keys()]) this.kill(name)
  }
}

interface Progress {
  readonly settled: boolean
  /** Copies that some owner still lacks, counted over all slots. */
  readonly unready: number
}

const UNKNOWN: Progress = { settled: false, unready: Number.POSITIVE_INFINITY }
const progresses = new WeakMap<RingView, Progress>()

/** How far the moves are, as this node knows. Counted once for each picture: it is asked for before every event. */
function progressOf({ node }: SimNode): Progress {
  const { view } = node
  if (view === undefined) return UNKNOWN
  let progress = progresses.get(view)
  if (progress === undefined) {
    let unready = 0
    view.configs.windows.forEach((window, slot) => {
      const config = newestConfig(window)
      for (const owner of config.owners) if (view.readiness.get(owner)?.[slot] !== config.begin) unready += 1
    })
    progress = { settled: view.configs.windows.every((window) => window.length === 1), unready }
    progresses.set(view, progress)
  }
  return progress
}

/** Names n0, n1, ... */
export function names(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `n${from + index}`)
}
