// Gives membership an order to limit the moving of data, and waits while this peer cannot take it yet. Part of the
// node.
import type { DurableRing } from '../actors/membership/durable-ring.js'
import type { MembershipMessage } from '../actors/membership/membership-messages.js'
import type { LimitReport } from '../client/reports.js'
import { type Clock, sleep } from '../clock.js'
import { RingdError } from '../errors.js'
import { ask, type Ref } from '../runtime/actor.js'
import { limitReport } from './reports.js'

export interface LimitedActors {
  readonly membership: Ref<MembershipMessage>
  readonly durableRing: Pick<DurableRing, 'ring'>
}

const ORDER_TIMEOUT_MS = 10_000
/** After a start, a peer compares its clock with the others within some seconds. */
const PATIENCE_MS = 5000
const RETRY_MS = 200

/** Resolves with the limit when it is on disk. Throws BAD_REQUEST, NOT_SERVING, CLOCK_SKEW, TIMEOUT. */
export async function orderLimit(
  clock: Clock,
  { membership, durableRing }: LimitedActors,
  bytesPerS: number
): Promise<LimitReport> {
  const until = clock.elapsed() + PATIENCE_MS
  for (;;) {
    try {
      await ask<MembershipMessage, undefined>(clock, membership, ORDER_TIMEOUT_MS, (reply) => ({
        type: 'limit',
        bytesPerS,
        reply
      }))
      return limitReport(durableRing.ring.limit)
    } catch (thrown) {
      const isEarly = thrown instanceof RingdError && thrown.code === 'NOT_SERVING'
      if (!isEarly || clock.elapsed() >= until) throw thrown
      await sleep(clock, RETRY_MS)
    }
  }
}
