// What a node is built on, and how it is told to behave.
import type { Bytes } from '../bytes.js'
import type { Topic } from '../client/reports.js'
import type { Clock } from '../clock.js'
import type { EvictionOptions } from '../detector/eviction-rule.js'
import type { Logger } from '../logger.js'
import type { Metrics } from '../metrics.js'
import type { Network } from '../network/network.js'
import type { Random } from '../random.js'
import type { Store } from '../storage/store.js'
import type { Signer } from '../views/join.js'
import type { StoreIdentity } from './store-identity.js'

export interface NodeDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  /** Open, and read by `readStoreIdentity`. The node closes it. */
  readonly store: Store
  /** Stored keys of entries that were found to be damaged when it was opened: they are healed first of all. */
  readonly damaged?: readonly Bytes[]
  readonly identity: StoreIdentity
  /** Not started yet. The node starts and stops it. */
  readonly network: Network
  readonly signer: Signer
  /** Free bytes on the disk of the store; left out where space has no end. */
  readonly freeBytes?: () => Promise<number>
}

/** Those of evictions have the defaults of lib/detector/eviction-rule.ts. */
export interface NodeOptions extends Partial<EvictionOptions> {
  /** Multiaddrs to find the ring by. None, in a new store: found a ring. */
  readonly join: readonly string[]
  readonly zone: string
  readonly weight: number
  /** Copies of every entry, when founding a ring. */
  readonly replicas: number
  readonly maxKeyBytes?: number
  readonly maxValueBytes?: number
  /** Views that are kept one by one before they are compacted (default 64). */
  readonly changesMax?: number
  /** After so long without an owner a member that gives slots up does without it (default 30 000). */
  readonly holdDownMs?: number
  /** What has been gone for so long leaves the disk (default 60 000), and how often to look (30 000). */
  readonly purgeAfterMs?: number
  readonly purgeEveryMs?: number
  /** Bounds of what is kept for owners that are down (default 1 GiB and 3 h). */
  readonly hintBytesMax?: number
  readonly hintAgeMs?: number
  /** Owners compare themselves this often (default 10 000; 0: never by themselves). */
  readonly repairEveryMs?: number
  /** The whole store is read once in this to find damaged entries (default 7 days; 0: never). */
  readonly scrubMs?: number
  /** Of the program, for `id`. */
  readonly version: string
}

/** What the node itself knows; metrics belong to the process. */
export type NodeTopic = Exclude<Topic, 'metrics'>
