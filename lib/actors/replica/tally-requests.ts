// Answers what this owner holds of some slots: entries, bytes and sums, for reports and for comparisons of all owners.
// Part of the replica. It reads the slot statistics only, never the store.
// Invariants: only slots that this member owns by a view that the asker knows are answered for. The answer counts every
// write that was taken before.

import { encodeTallies } from '../../anti-entropy/slot-tallies.js'
import type { RingdError } from '../../errors.js'
import type { Reply } from '../../runtime/actor.js'
import { newestConfig } from '../../views/configs.js'
import type { Fence } from './fence.js'
import type { TallyMessage } from './replica-messages.js'
import { notCounted, type SlotStats } from './slot-stats.js'

export interface TallyRequestsDeps {
  readonly slotStats: Pick<SlotStats, 'isComplete' | 'sums' | 'room'>
  readonly fence: Pick<Fence<TallyMessage>, 'knows' | 'isOwner' | 'view'>
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Answers when every write that was taken before is on disk. */
  readonly afterAll: <T>(reply: Reply<T>, answer: () => T | RingdError) => void
}

/** Serves the `tally` message of the replica. */
export class TallyRequests {
  readonly #deps: TallyRequestsDeps

  constructor(deps: TallyRequestsDeps) {
    this.#deps = deps
  }

  /** Replies with the tallies; or with STALE_VIEW, NOT_OWNER, NOT_SERVING while the store is being counted. */
  take(message: TallyMessage): void {
    const { fence, slotStats, afterAll } = this.#deps
    if (!fence.knows(message)) return
    const { slots, reply } = message
    const refusal = this.#refusal(message)
    if (refusal !== undefined) return reply(refusal)
    afterAll(reply, () => {
      if (!slotStats.isComplete) return notCounted()
      return encodeTallies(slots, slotStats.sums, (slot) => slotStats.room.liveIn(slot))
    })
  }

  #refusal({ slots, view }: TallyMessage): RingdError | undefined {
    const { fence, refuse } = this.#deps
    const { configs, self } = fence.view!
    for (const slot of slots) {
      if (newestConfig(configs.windows[slot]!).begin > view) return refuse('STALE_VIEW', view)
      if (!fence.isOwner(slot, self)) return refuse('NOT_OWNER', view)
    }
    return undefined
  }
}
