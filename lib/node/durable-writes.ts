// Writes records that must be on disk before the node speaks of them: promises, views, clock ceilings.
// Part of the node.
// Invariant: a write is repeated until it is on disk or the node stops. It is never dropped in silence.
import { askReplica, type ReplicaClientDeps } from '../actors/replica/replica-client.js'
import { sleep } from '../clock.js'
import { toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MetaWrite } from '../storage/meta.js'

/** Long enough that a full disk is not asked all the time, short enough that nobody waits for long afterwards. */
const REPEAT_MS = 200
/** An operator is told at once, and again every 5 s. */
const TOLD_EACH = 25

export interface DurableWritesDeps extends ReplicaClientDeps {
  readonly log: Logger
}

export class DurableWrites {
  readonly #deps: DurableWritesDeps
  #isStopping = false

  constructor(deps: DurableWritesDeps) {
    this.#deps = deps
  }

  /** Resolves when the records are on disk. Throws STOPPED, or the last error when the node stops meanwhile. */
  async persist(writes: readonly MetaWrite[]): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        return await askReplica<undefined>(this.#deps, (reply) => ({ type: 'persist', writes, reply }))
      } catch (thrown) {
        const error = toRingdError(thrown)
        if (error.code === 'STOPPED' || this.#isStopping) throw error
        if (failures % TOLD_EACH === 0) {
          this.#deps.log.warn({ err: error }, 'ring records cannot be written; trying again')
        }
      }
      await sleep(this.#deps.clock, REPEAT_MS)
    }
  }

  /** A write that fails from now on throws its error, so that a broken disk does not hold up the stop. */
  stop(): void {
    this.#isStopping = true
  }
}
