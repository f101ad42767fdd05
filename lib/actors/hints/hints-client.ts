// How the router hands hints to the hints actor. Owns nothing.

import type { Bytes } from '../../bytes.js'
import type { Envelope } from '../../entry/envelope.js'
import type { MemberId } from '../../member.js'
import type { Counter, Metrics } from '../../metrics.js'
import type { Ref } from '../../runtime/actor.js'
import { hintsDropped } from './hint-metrics.js'
import type { HintsMessage } from './hints-messages.js'

export interface HintsClientDeps {
  readonly metrics: Metrics
  readonly hints: Ref<HintsMessage>
}

/** Hands over hints without waiting, and counts those for which there is no room. */
export class HintsClient {
  readonly #hints: Ref<HintsMessage>
  readonly #dropped: Counter

  constructor({ metrics, hints }: HintsClientDeps) {
    this.#hints = hints
    this.#dropped = hintsDropped(metrics, 'overload')
  }

  /** Keeps the acknowledged write for the member; drops it when the mailbox of the hints actor is full. */
  keep(member: MemberId, key: Bytes, envelope: Envelope): void {
    if (!this.#hints.tell({ type: 'keep', member, key, envelope })) this.dropped()
  }

  /** Counts a hint that the router had no room to make. */
  dropped(): void {
    this.#dropped.add()
  }
}
