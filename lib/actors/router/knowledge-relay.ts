// Passes on what refusals teach about the ring. Part of the router.

import type { Clock } from '../../clock.js'
import type { InformedRefusal } from '../../network/network.js'
import type { Knowledge } from '../../network/wire.js'

/** Operations meet many refusals with the same knowledge: one in this time is enough. */
const PAUSE_MS = 50

/**
 * Passes the knowledge of refusals to membership: a view that is newer than all before at once, anything else after a
 * pause. So a member that makes up a view of a high number keeps nobody from learning the real one.
 */
export class KnowledgeRelay {
  readonly #clock: Clock
  readonly #learned: (knowledge: Knowledge) => void
  /** The newest view that was passed on. */
  #newest = 0
  /** Monotonic ms. */
  #pausesUntil = 0

  constructor(clock: Clock, learned: (knowledge: Knowledge) => void) {
    this.#clock = clock
    this.#learned = learned
  }

  /** `view`: the newest view that this peer knows. */
  refused({ code, knowledge }: InformedRefusal, view: number): void {
    const { snapshot, changes } = knowledge
    const newest = changes[changes.length - 1]?.number ?? snapshot?.number ?? 0
    const now = this.#clock.elapsed()
    // NOT_OWNER of a view that this peer knows teaches how far slots have settled.
    const teaches = newest > view || code === 'NOT_OWNER'
    if (!teaches || (newest <= this.#newest && now < this.#pausesUntil)) return
    this.#newest = Math.max(newest, this.#newest)
    this.#pausesUntil = now + PAUSE_MS
    this.#learned(knowledge)
  }
}
