// Records that must be on disk before anything that rests on them is said. Part of the node.
// Invariant: a write is tried until it is on disk or the node stops; it is never dropped in silence.
import { askReplica, type ReplicaClientDeps } from '../actors/replica/replica-client.js'
import { sleep } from '../clock.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MetaWrite } from '../storage/meta.js'

const REPEAT_MS = 200

export interface DurableWritesDeps extends ReplicaClientDeps {
  readonly log: Logger
  readonly isStopping: () => boolean
}

/** Resolves when the records are on disk. Throws STOPPED, or the last error when the node stops meanwhile. */
export async function persist(deps: DurableWritesDeps, writes: readonly MetaWrite[]): Promise<void> {
  for (;;) {
    try {
      return await askReplica<undefined>(deps, (reply) => ({ type: 'persist', writes, reply }))
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (error.code === 'STOPPED' || deps.isStopping()) throw error
      deps.log.warn({ err: error }, 'ring records cannot be written; trying again')
    }
    await sleep(deps.clock, REPEAT_MS)
  }
}
