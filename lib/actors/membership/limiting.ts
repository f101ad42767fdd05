// The limit for moving data: takes the order of an operator, and says which orders of others are taken. Part of the
// membership actor. lib/views/move-limit.ts has the order of writes.
// Invariants: an order is on disk before it is answered or passed on; an order of the future is not taken, so that a
// peer with a wrong clock cannot make its order the last one for ever.
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { checkLimit, type MoveLimit, momentAfter } from '../../views/move-limit.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'

export interface LimitingDeps {
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly gossip: Pick<Gossip, 'links' | 'push'>
  readonly time: LimitTime
}

/** The time of the members, as far as this peer knows it. Ms since the epoch. */
export interface LimitTime {
  /** The agreed moment. */
  now(): number
  /** Whether it follows from the clocks of a majority. Else it may be this peer's own, which may be wrong. */
  readonly isKnown: boolean
  /** Whether the moment lies too far ahead of the agreed one to be believed. */
  isAhead(ms: number): boolean
}

export class Limiting {
  readonly #deps: LimitingDeps

  constructor(deps: LimitingDeps) {
    this.#deps = deps
  }

  /** Sets the limit for the ring; 0: none. Throws BAD_REQUEST, NOT_SERVING, CLOCK_SKEW. */
  order(bytesPerS: number): void {
    const { durableRing, gossip, time, log } = this.#deps
    checkLimit(bytesPerS)
    if (!durableRing.isMember) throw new RingdError('NOT_SERVING', 'this peer is not a member')
    if (!time.isKnown) {
      throw new RingdError('NOT_SERVING', 'this peer has not compared its clock with most members yet; try again')
    }
    const setAtMs = momentAfter(durableRing.ring.limit, time.now())
    if (time.isAhead(setAtMs)) {
      throw new RingdError('CLOCK_SKEW', 'the last limit was set by a clock that is ahead; try again in some seconds')
    }
    const limit = { bytesPerS, setAtMs, setBy: durableRing.storeId }
    durableRing.learn({ ...NO_KNOWLEDGE, limit })
    durableRing.after(() => {
      log.info({ bytesPerSecond: bytesPerS }, 'the limit for moving data was set here')
      // A peer that this does not reach learns it by exchange.
      for (const peerId of gossip.links.keys()) gossip.push(peerId, { ...NO_KNOWLEDGE, limit })
    })
  }

  /** The order of another member, or nothing when it may not be taken now. */
  taken(told: MoveLimit | undefined): MoveLimit | undefined {
    if (told === undefined || !this.#deps.time.isAhead(told.setAtMs)) return told
    this.#deps.log.debug({ setBy: told.setBy }, 'a limit for moving data comes from the future; ignored')
    return undefined
  }
}
