// How the other actors of this peer ask the replica.
import type { Clock } from '../../clock.js'
import { ask, type Ref, type Reply } from '../../runtime/actor.js'
import type { ReplicaMessage } from './replica-messages.js'

/** An answer may wait for the disk: for every batch that is queued, each with its fsync. */
const REPLICA_TIMEOUT_MS = 60_000

export interface ReplicaClientDeps {
  readonly clock: Clock
  readonly replica: Ref<ReplicaMessage>
}

/** Asks the replica of this peer. Throws OVERLOADED, STOPPED, TIMEOUT after `timeoutMs`, or what it replied. */
export function askReplica<T>(
  { clock, replica }: ReplicaClientDeps,
  make: (reply: Reply<T>) => ReplicaMessage,
  timeoutMs = REPLICA_TIMEOUT_MS
): Promise<T> {
  return ask<ReplicaMessage, T>(clock, replica, timeoutMs, make)
}
