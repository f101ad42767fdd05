// A whole node on simulated seams: virtual clock, in-memory network and store, seeded randomness.
import { createHash } from 'node:crypto'
import type { Bytes } from '../../lib/bytes.js'
import { Conditions } from '../../lib/conditions.js'
import type { OnLoss } from '../../lib/detector/eviction-rule.js'
import { RingdError } from '../../lib/errors.js'
import type { Consistency, Decide } from '../../lib/key-value.js'
import { type Logger, silent } from '../../lib/logger.js'
import { type Metrics, noMetrics } from '../../lib/metrics.js'
import { RingNode } from '../../lib/node/node.js'
import { readStoreIdentity } from '../../lib/node/store-identity.js'
import type { Random } from '../../lib/random.js'
import { MemoryStore } from '../../lib/storage/memory.js'
import type { Store } from '../../lib/storage/store.js'
import type { Signer } from '../../lib/views/join.js'
import type { MemoryHub, MemoryNetwork } from './seams/memory-network.js'
import { syncCompression } from './seams/sync-compression.js'
import type { NodeClock, VirtualClock } from './seams/virtual-clock.js'

/** The random generator of all runs. Source: mulberry32. */
export function seeded(seed: number): Random {
  const next = (): number => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  return { next, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(next() * 256)) }
}

/** Cheap signatures that name the signer and the bytes. A test that forges one makes it with another name. */
export function signerOf(peerId: string): Signer {
  const sign = (id: string, bytes: Bytes) => createHash('sha256').update(id).update(bytes).digest()
  return {
    sign: async (bytes) => sign(peerId, bytes),
    verify: async (id, bytes, signature) => sign(id, bytes).equals(signature)
  }
}

export interface SimNodeOptions {
  readonly join?: readonly string[]
  readonly ring?: string
  /** See NodeOptions. */
  readonly expects?: number
  readonly replicas?: number
  readonly log?: Logger
  /** The disk of a former life, or a disk with faults; default: a new one. */
  readonly store?: Store
  /** Added to the node's wall clock. */
  readonly skewMs?: number
  /** Its clock, when the caller made it. */
  readonly clock?: NodeClock
  readonly metrics?: Metrics
  /** Where its parts note what is wrong with it, when the caller sets conditions too. */
  readonly conditions?: Conditions
  /** Its share of the ring, which sets how many tokens it claims. */
  readonly weight?: number
  /** The address to listen on; see MemoryNetworkDeps. */
  readonly address?: string
  /** Limits and intervals; see NodeOptions. */
  readonly changesMax?: number
  readonly holdDownMs?: number
  readonly purgeAfterMs?: number
  readonly purgeEveryMs?: number
  readonly hintBytesMax?: number
  readonly hintAgeMs?: number
  /** Default 0: members are not evicted. */
  readonly evictAfterMs?: number
  readonly onLoss?: OnLoss
  readonly repairEveryMs?: number
  readonly scrubMs?: number
  readonly settleAfterMs?: number
  /** Free bytes on its disk; default: no end. */
  readonly freeBytes?: () => Promise<number>
}

export class SimNode {
  readonly name: string
  readonly clock: NodeClock
  readonly network: MemoryNetwork
  readonly node: RingNode
  readonly store: Store
  readonly conditions: Conditions
  /** The time by which values expire on this node, ms since the epoch. */
  readonly now: () => number
  readonly #hub: MemoryHub

  private constructor(
    hub: MemoryHub,
    name: string,
    clock: NodeClock,
    network: MemoryNetwork,
    node: RingNode,
    store: Store,
    told: Pick<SimNode, 'conditions' | 'now'>
  ) {
    this.#hub = hub
    this.name = name
    this.clock = clock
    this.network = network
    this.node = node
    this.store = store
    this.conditions = told.conditions
    this.now = told.now
  }

  static async start(root: VirtualClock, hub: MemoryHub, name: string, random: Random, options: SimNodeOptions = {}) {
    const clock = options.clock ?? root.forNode(options.skewMs)
    const log = options.log ?? silent
    const store = options.store ?? new MemoryStore()
    const identity = await readStoreIdentity(store, clock, random)
    const { address, expects } = options
    const network = hub.network({ peerId: name, clock, random, log, hlc: identity.peerClock, address, expects })
    const metrics = options.metrics ?? noMetrics
    const { conditions = new Conditions({ log, metrics }) } = options
    const space = options.freeBytes === undefined ? {} : { freeBytes: options.freeBytes }
    const parts = { store, identity, network, conditions, compression: syncCompression }
    const deps = { clock, random, log, metrics, ...parts, signer: signerOf(name), ...space }
    const node = new RingNode(deps, {
      join: options.join ?? [],
      ring: options.ring,
      expects,
      zone: '',
      weight: options.weight ?? 1,
      replicas: options.replicas ?? 3,
      ...(options.changesMax !== undefined && { changesMax: options.changesMax }),
      ...(options.holdDownMs !== undefined && { holdDownMs: options.holdDownMs }),
      ...(options.purgeAfterMs !== undefined && { purgeAfterMs: options.purgeAfterMs }),
      ...(options.purgeEveryMs !== undefined && { purgeEveryMs: options.purgeEveryMs }),
      ...(options.hintBytesMax !== undefined && { hintBytesMax: options.hintBytesMax }),
      ...(options.hintAgeMs !== undefined && { hintAgeMs: options.hintAgeMs }),
      evictAfterMs: options.evictAfterMs ?? 0,
      ...(options.onLoss !== undefined && { onLoss: options.onLoss }),
      ...(options.repairEveryMs !== undefined && { repairEveryMs: options.repairEveryMs }),
      ...(options.scrubMs !== undefined && { scrubMs: options.scrubMs }),
      ...(options.settleAfterMs !== undefined && { settleAfterMs: options.settleAfterMs }),
      version: 'sim'
    })
    void node.start()
    return new SimNode(hub, name, clock, network, node, store, { conditions, now: () => identity.ringTime.now() })
  }

  /** Like kill -9. Synced data stays in `store`. */
  kill(): void {
    this.clock.kill()
    this.#hub.kill(this.name)
  }

  /** `ttlMs` counts by the clock of this node. */
  put(key: string, value: string, consistency: Consistency = 'quorum', ttlMs?: number): Promise<undefined> {
    const expiresAtMs = ttlMs === undefined ? undefined : this.clock.now() + ttlMs
    return new Promise((resolve, reject) => {
      const reply = (result: undefined | RingdError) => (result === undefined ? resolve(undefined) : reject(result))
      this.node.keyValue.put(Buffer.from(key), Buffer.from(value), consistency, reply, expiresAtMs)
    })
  }

  /** `expiresAtMs`: as the ring takes it. */
  putUntil(key: string, value: string, expiresAtMs: number | undefined): Promise<undefined> {
    return new Promise((resolve, reject) => {
      const reply = (result: undefined | RingdError) => (result === undefined ? resolve(undefined) : reject(result))
      this.node.keyValue.put(Buffer.from(key), Buffer.from(value), 'quorum', reply, expiresAtMs)
    })
  }

  update<T>(key: string, decide: Decide<T>, isConditional = false): Promise<T> {
    return new Promise((resolve, reject) => {
      const reply = (result: T | RingdError) => (result instanceof RingdError ? reject(result) : resolve(result))
      this.node.keyValue.update(Buffer.from(key), 'quorum', decide, reply, { isConditional })
    })
  }

  get(key: string, consistency: Consistency = 'quorum'): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      this.node.keyValue.get(Buffer.from(key), consistency, (result) => {
        if (result instanceof Error) reject(result)
        else resolve(result && Buffer.from(result).toString())
      })
    })
  }

  delete(key: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.node.keyValue.delete(Buffer.from(key), 'quorum', (result) => {
        if (result instanceof Error) reject(result)
        else resolve(result)
      })
    })
  }
}
