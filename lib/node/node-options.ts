// The seams that a node is built on, and its options.
import type { Ballast } from '../actors/replica/free-space.js'
import type { Bytes } from '../bytes.js'
import type { Topic } from '../client/reports.js'
import type { Clock } from '../clock.js'
import type { Compression } from '../compression.js'
import type { Conditions } from '../conditions.js'
import type { EvictionOptions } from '../detector/eviction-rule.js'
import type { LargeWork } from '../large-work.js'
import type { Logger } from '../logger.js'
import type { Metrics } from '../metrics.js'
import type { Network } from '../network/network.js'
import type { Random } from '../random.js'
import type { Store } from '../storage/store.js'
import type { Signer } from '../views/join.js'
import type { RingView } from '../views/ring-view.js'
import type { StoreIdentity } from './store-identity.js'

export interface NodeDeps {
  readonly clock: Clock
  readonly random: Random
  readonly compression: Compression
  readonly log: Logger
  readonly metrics: Metrics
  /** Open, and read by `readStoreIdentity`. The node closes it. */
  readonly store: Store
  /** Stored keys of entries that were found damaged when the store was opened. They are healed first. */
  readonly damaged?: readonly Bytes[]
  readonly identity: StoreIdentity
  /** Not started yet. The node starts and stops it. */
  readonly network: Network
  readonly signer: Signer
  /** Free bytes on the disk of the store; left out for a store without a bound. */
  readonly freeBytes?: () => Promise<number>
  /** Room that is kept on that disk beside the store, for what must be written when the disk is full. */
  readonly ballast?: Ballast | undefined
  /** The turns of large reads. Left out: they never wait. */
  readonly largeWork?: LargeWork | undefined
  /** Where parts of the node note what is wrong with this peer. Left out: the node makes its own. */
  readonly conditions?: Conditions | undefined
}

/** The options of evictions have their defaults in lib/detector/eviction-rule.ts. */
export interface NodeOptions extends Partial<EvictionOptions> {
  /** Multiaddrs to find the ring by. Without any, a new store founds a ring. */
  readonly join: readonly string[]
  /** The id of the only ring that this node may join. Default: any. */
  readonly ring?: string | undefined
  /**
   * With `join`: a ring is founded when this many peers with empty stores have met. Default 0: a peer that is to join
   * never founds a ring.
   */
  readonly expects?: number | undefined
  readonly zone: string
  readonly weight: number
  /** Copies of every entry in a ring that this node founds; a ring that it joins has its own number. */
  readonly replicas: number
  readonly maxKeyBytes?: number
  readonly maxValueBytes?: number
  /** Views that are kept one by one before they are compacted (default 1024). */
  readonly changesMax?: number
  /** A former owner that hands a slot off waits this long for an owner that is away (default 30 000). */
  readonly holdDownMs?: number
  /** Tombstones and expired values are purged at this age (default 60 000). */
  readonly purgeAfterMs?: number
  /** How often to look for them (default 30 000). */
  readonly purgeEveryMs?: number
  /** Bounds of the hints that are kept for other owners (default 1 GiB and 3 h). */
  readonly hintBytesMax?: number
  readonly hintAgeMs?: number
  /** Repair compares this member with each other owner this often (default 10 000; 0: only on order). */
  readonly repairEveryMs?: number
  /** The scrub reads the whole store once in this time (default 7 days; 0: never). */
  readonly scrubMs?: number
  /** Rounds end promises that have stood for so long, ms (default 3000; 0: never). */
  readonly settleAfterMs?: number
  /**
   * What operators should know of the settings of this peer in this ring, one sentence each; for `status`. `address` is
   * one of another member, linked when there is such a one; undefined when none is known.
   */
  readonly advice?: (view: RingView, address: string | undefined) => readonly string[]
  /** Version of the program, for the report `id`. */
  readonly version: string
}

/** The topics that a node can report on. Metrics belong to the process. */
export type NodeTopic = Exclude<Topic, 'metrics'>
