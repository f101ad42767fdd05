// Passes on what refusals teach about the ring. Part of the router.

import type { Clock } from '../../clock.js'
import type { InformedRefusal } from '../../network/network.js'
import type { Knowledge } from '../../network/wire.js'

/** A refusal NOT_OWNER teaches how far slots have settled. Operations meet many of them: one in this time is enough. */
const PAUSE_MS = 50

/**
 * Passes the knowledge of refusals to membership, each view once: after a change of view all operations under way are
 * refused with the same knowledge.
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
    if (newest > Math.max(this.#newest, view)) {
      this.#newest = newest
      this.#learned(knowledge)
    } else if (code === 'NOT_OWNER' && this.#clock.elapsed() >= this.#pausesUntil) {
      // This peer knows the view, but not that the slot has settled.
      this.#pausesUntil = this.#clock.elapsed() + PAUSE_MS
      this.#learned(knowledge)
    }
  }
}
