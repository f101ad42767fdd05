// Decides, after a restart, whether this store may be trusted. An old copy of a data directory looks like a sound one;
// only other members can tell. Owns what this peer has heard of the stores of others, and what they said of this one.
// Rule: every pong tells the number of the last batch on the sender's disk, and each peer remembers the highest number
// that it heard of each member. A store that was started before serves nothing and votes on nothing until a majority of
// the members, itself included, has told that none of them heard of a later batch than the store was opened with.
// See rollback.md.
import type { MemberId } from '../member.js'
import type { Pong } from '../network/wire.js'
import { quorum } from '../views/chain.js'
import type { RingView } from '../views/ring-view.js'

export class RollbackGuard {
  readonly #openedWith: number
  /** The highest batch that was heard of each member's store. */
  readonly #heard = new Map<MemberId, number>()
  /** Members that told that they know of no later batch of this store. */
  readonly #confirming = new Set<MemberId>()
  #isTrusted: boolean

  /** `openedWith`: the number of the last batch when the store was opened; `isNew`: it was never started before. */
  constructor(openedWith: number, isNew: boolean) {
    this.#openedWith = openedWith
    this.#isTrusted = isNew
  }

  get isTrusted(): boolean {
    return this.#isTrusted
  }

  /** The highest batch that was heard of the member's store; 0: none. */
  highestBatchHeard(member: MemberId): number {
    return this.#heard.get(member) ?? 0
  }

  /** Remembers what a member's pong says of its store and of this one. False: this store is an old copy. */
  hear(member: MemberId, { batch, highestBatchHeard }: Pong): boolean {
    this.#heard.set(member, Math.max(batch, this.highestBatchHeard(member)))
    if (this.#isTrusted) return true
    if (highestBatchHeard > this.#openedWith) return false
    this.#confirming.add(member)
    return true
  }

  /**
   * Trusts the store once a majority of the members of the view has confirmed it. Forgets the stores of those who are
   * not members.
   */
  count({ members, self }: RingView): void {
    for (const id of this.#heard.keys()) if (!members.has(id)) this.#heard.delete(id)
    if (this.#isTrusted) return
    let confirming = 0
    for (const id of members.keys()) if (id === self || this.#confirming.has(id)) confirming += 1
    this.#isTrusted = confirming >= quorum(members.size)
  }
}
