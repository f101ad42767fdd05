// One machine of a run: a disk, a clock and, while it is up, a node. It outlives its nodes.
// Invariant: after `crash` nothing of the former life has an effect.
import type { Logger } from '../../../lib/logger.js'
import type { Metrics } from '../../../lib/metrics.js'
import type { Random } from '../../../lib/random.js'
import type { MemoryHub } from '../seams/memory-network.js'
import type { SimDisk } from '../seams/sim-disk.js'
import type { NodeClock, VirtualClock } from '../seams/virtual-clock.js'
import { SimNode, seeded } from '../sim-node.js'

/** Runs are short, so nodes look for purges often. */
const PURGE_EVERY_MS = 2000

export interface HostDeps {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  /** Each life of a node gets a seed of its own from it. */
  readonly random: Random
  readonly disk: SimDisk
  readonly replicas: number
  readonly weight: number
  readonly purgeAfterMs: number | undefined
  readonly evictAfterMs: number
  readonly log: Logger
  readonly metrics: Metrics
  /** Addresses of other hosts; none for the founder. */
  readonly join: () => readonly string[]
  readonly onStarted: () => void
  /** The node failed, or did not start. */
  readonly onFailed: (host: SimHost, error: Error) => void
  /** The node has left the ring, as it was asked to. */
  readonly onLeft: (host: SimHost) => void
}

/** A scrub takes this long, so damaged entries that no client reads are found in a run. */
const SCRUB_MS = 15_000

export class SimHost {
  readonly name: string
  readonly address: string
  readonly disk: SimDisk
  readonly #deps: HostDeps
  /** The clock of the life that is up or starting. */
  #clock: NodeClock | undefined
  #node: SimNode | undefined
  /** The node that was told to stop. */
  #stopping: SimNode | undefined
  /** The error of the wall clock; kept between two lives. */
  #skewMs = 0
  /** It was started and has not left since, so it is or will become a member. */
  hasStarted = false

  constructor(name: string, place: number, deps: HostDeps) {
    this.name = name
    this.address = `/memory/${1_000_000 + place}`
    this.disk = deps.disk
    this.#deps = deps
  }

  /** The running node; undefined while it is down or opens its disk. */
  get node(): SimNode | undefined {
    return this.#node
  }

  /** The clock of the life that is up or starting. */
  get clock(): NodeClock | undefined {
    return this.#clock
  }

  get isUp(): boolean {
    return this.#clock !== undefined
  }

  /** Starts a new life on its disk. The node is up only after the clock of the run has moved on. */
  start(): void {
    if (this.isUp) return
    this.hasStarted = true
    const { clock: root, random } = this.#deps
    const clock = root.forNode(this.#skewMs)
    this.#clock = clock
    this.#launch(clock, seeded(Math.floor(random.next() * 2 ** 31))).catch((thrown) => {
      if (this.#clock === clock) this.#deps.onFailed(this, thrown as Error)
    })
  }

  /** Ends the life. `isPowerCut`: its peers do not notice. `isWritten`: the batch under way is on the disk. */
  crash(isPowerCut: boolean, isWritten: boolean): void {
    const { hub } = this.#deps
    if (this.#clock !== undefined) this.#skewMs = this.#clock.skewMs
    this.#clock?.kill()
    this.disk.crash(isWritten)
    if (isPowerCut) hub.unplug(this.name)
    else hub.kill(this.name)
    this.#clock = undefined
    this.#node = undefined
  }

  /** Stops the node as SIGTERM does. Calls `then` when its process has ended, unless something else ended it first. */
  stop(then: () => void): void {
    const node = this.#node
    if (node === undefined || this.#stopping === node) return
    this.#stopping = node
    const ended = () => {
      if (this.#node === node) then()
    }
    // A disk that fails during the stop ends the process with an error, at the same moment.
    node.node.stop().then(ended, ended)
  }

  /** Sets the wall clock to the right time. */
  correctClock(): void {
    this.#skewMs = 0
    this.#clock?.drift(0)
    if (this.#clock !== undefined) this.#clock.skewMs = 0
  }

  async #launch(clock: NodeClock, random: Random): Promise<void> {
    const { clock: root, hub, disk, join, replicas, weight, log, metrics, onStarted } = this.#deps
    const { evictAfterMs, purgeAfterMs } = this.#deps
    const store = await disk.open(clock)
    const { address } = this
    const purging = purgeAfterMs !== undefined && { purgeAfterMs, purgeEveryMs: PURGE_EVERY_MS }
    // The promises hold only while at most one of the three stores of a slot is lost, so an eviction must wait.
    const ring = {
      join: join(),
      replicas,
      weight,
      evictAfterMs,
      onLoss: 'wait' as const,
      scrubMs: SCRUB_MS,
      ...purging
    }
    const options = { ...ring, clock, store, address, metrics, log: log.child({ node: this.name }) }
    const node = await SimNode.start(root, hub, this.name, random, options)
    if (this.#clock !== clock) return
    this.#node = node
    onStarted()
    hub.expose(this.name)
    void node.node.failed.then((error) => {
      if (this.#node === node && this.#stopping !== node) this.#deps.onFailed(this, error)
    })
    void node.node.left.then(() => {
      if (this.#node === node) this.#deps.onLeft(this)
    })
  }
}
