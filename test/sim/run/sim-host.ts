// One machine of a run: a disk, a clock and, as long as it is up, a node on them. Survives the lives of its node.
// Invariant: nothing of a former life is heard after `crash`.
import type { Logger } from '../../../lib/logger.js'
import type { Metrics } from '../../../lib/metrics.js'
import type { Random } from '../../../lib/random.js'
import type { MemoryHub } from '../seams/memory-network.js'
import type { SimDisk } from '../seams/sim-disk.js'
import type { NodeClock, VirtualClock } from '../seams/virtual-clock.js'
import { SimNode, seeded } from '../sim-node.js'

/** Often, as runs are short. */
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
  /** Addresses of others to find the ring by; none for the founder. */
  readonly join: () => readonly string[]
  readonly onStarted: () => void
  /** The node says that it cannot go on, or did not start. */
  readonly onFailed: (host: SimHost, error: Error) => void
  /** The node has left its ring as it was told to. */
  readonly onLeft: (host: SimHost) => void
}

/** Damaged entries that nobody asks for are found by then. */
const SCRUB_MS = 15_000

export class SimHost {
  readonly name: string
  readonly address: string
  readonly disk: SimDisk
  readonly #deps: HostDeps
  /** Of the life that is up or starting. */
  #clock: NodeClock | undefined
  #node: SimNode | undefined
  /** The node that was told to stop. */
  #stopping: SimNode | undefined
  /** What its wall clock is wrong by between two lives. */
  #skewMs = 0
  /** It was started and has not left since, so it belongs to the ring, or is about to. */
  hasStarted = false

  constructor(name: string, place: number, deps: HostDeps) {
    this.name = name
    this.address = `/memory/${1_000_000 + place}`
    this.disk = deps.disk
    this.#deps = deps
  }

  /** The running node; undefined while it is down, or still reads its disk. */
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

  /** Starts a new life on its disk. The run's clock must go on for it to come up. */
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

  /** Ends the life. `isPowerCut`: its peers are not told. `isWritten`: the batch under way made it to the disk. */
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

  /** Stops the node as SIGTERM does; `then` when its process has ended, unless something else ends it before. */
  stop(then: () => void): void {
    const node = this.#node
    if (node === undefined || this.#stopping === node) return
    this.#stopping = node
    const ended = () => {
      if (this.#node === node) then()
    }
    // A disk that fails at the very end makes the process end with an error, and no later.
    node.node.stop().then(ended, ended)
  }

  /** Sets the wall clock right. */
  tellTime(): void {
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
    // More than one of three stores must not be lost: what checkers look for is promised under that alone.
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
