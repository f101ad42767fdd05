// The hybrid clock as the network sees it: every packet carries its stamp, and the stamps of members move it.
// Invariant: only members of the newest view move the clock. A peer that is not a member yet, or not any more, could
// otherwise set it ahead with every packet.
import type { HybridClock, Stamp } from '../entry/hybrid-clock.js'
import type { Link } from '../network/network.js'
import type { Hlc } from '../network/outbox.js'

export class PeerClock implements Hlc {
  readonly #hlc: HybridClock
  #isMember: (from: Link) => boolean = () => false

  constructor(hlc: HybridClock) {
    this.#hlc = hlc
  }

  /** Sets who may move the clock. Nobody may before. */
  followOnly(isMember: (from: Link) => boolean): void {
    this.#isMember = isMember
  }

  stamp(): Stamp {
    return this.#hlc.stamp()
  }

  observe(ms: number, counter: number, from: Link | undefined): void {
    if (from !== undefined && this.#isMember(from)) this.#hlc.follow(ms, counter)
  }
}
