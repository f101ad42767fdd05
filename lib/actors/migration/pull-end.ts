// The end of a pull: this member may count as ready for the slots when it holds, for each key that a source has
// promised to a round, what that round writes or something newer. Part of the migration actor.
// Invariant: a promise that was given before the fence of a source is kept by the owners that pull from it. Otherwise
// an older write could reach a quorum of the new owners, and the round that is promised would overwrite it unseen.
// Source: rule A11 of lib/views/README.md.
import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { Ref } from '../../runtime/actor.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage, StandingPromise } from '../replica/replica-messages.js'

export interface PullEndDeps {
  readonly clock: Clock
  readonly replica: Ref<ReplicaMessage>
  /** Runs a round on the key. May fail. Left out: nobody runs one for this member. */
  readonly settle?: ((key: Bytes) => Promise<void>) | undefined
}

export interface PullEnd {
  readonly slots: readonly number[]
  readonly due: readonly StandingPromise[]
  readonly isCancelled: () => boolean
}

/** Most rounds under way end within this. */
const FIRST_WAIT_MS = 100
const WAIT_MS = 500
/** After this the job fails, and is done again: it may get along with other sources. */
const TRY_MS = 15_000
/** Rounds at once. */
const ROUNDS_MAX = 16

/** Resolves when the member may count as ready. Throws TIMEOUT, STOPPED, and what the replica replies. */
export async function endPull(deps: PullEndDeps, { slots, due, isCancelled }: PullEnd): Promise<void> {
  const { clock, settle } = deps
  const begun = clock.elapsed()
  const isOver = () => isCancelled() || clock.elapsed() - begun >= TRY_MS
  for (let tries = 0; ; tries++) {
    if (isCancelled()) throw new RingdError('STOPPED', 'the slots have moved on; the pull ends')
    const lacking = await askReplica<readonly Bytes[]>(deps, (reply) => ({ type: 'pulled', slots, due, reply }))
    if (lacking.length === 0) return
    if (clock.elapsed() - begun >= TRY_MS) {
      throw new RingdError('TIMEOUT', `${lacking.length} keys still lack what their owners have promised`)
    }
    if (tries > 0 && settle !== undefined) await settleAll(settle, lacking, isOver)
    await new Promise<void>((resolve) => void clock.after(tries === 0 ? FIRST_WAIT_MS : WAIT_MS, resolve))
  }
}

async function settleAll(
  settle: (key: Bytes) => Promise<void>,
  keys: readonly Bytes[],
  isOver: () => boolean
): Promise<void> {
  for (let at = 0; at < keys.length && !isOver(); at += ROUNDS_MAX) {
    await Promise.allSettled(keys.slice(at, at + ROUNDS_MAX).map((key) => settle(key)))
  }
}
