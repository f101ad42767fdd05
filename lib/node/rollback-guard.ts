// Whether this store may be trusted after a restart: an old copy of a data directory looks like a sound one, and only
// its peers can tell. Owns what this peer has heard of the stores of others, and what they have said of its own.
// Rule: every pong tells the number of the last batch on the disk; whoever hears it remembers the highest. A store
// that was started before serves nothing and votes on nothing until a majority of the members, itself included, has
// told that none of them has heard of a later batch than the store was opened with.
import type { MemberId } from '../member.js'
import type { Pong } from '../network/wire.js'
import { quorum } from '../views/chain.js'
import type { RingView } from '../views/ring-view.js'

export class RollbackGuard {
  readonly #openedWith: number
  readonly #heard = new Map<MemberId, number>()
  /** Who has told that it knows of nothing later. */
  readonly #vouching = new Set<MemberId>()
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
  of(member: MemberId): number {
    return this.#heard.get(member) ?? 0
  }

  /** Remembers what a member has said of its store and of this one. False when this store is an old copy. */
  hear(member: MemberId, { batch, highestBatchHeard }: Pong): boolean {
    this.#heard.set(member, Math.max(batch, this.of(member)))
    if (this.#isTrusted) return true
    if (highestBatchHeard > this.#openedWith) return false
    this.#vouching.add(member)
    return true
  }

  /** Counts who vouches for this store among the members of the view; forgets the stores of those who are none. */
  count({ members, self }: RingView): void {
    for (const id of this.#heard.keys()) if (!members.has(id)) this.#heard.delete(id)
    if (this.#isTrusted) return
    let vouching = 0
    for (const id of members.keys()) if (id === self || this.#vouching.has(id)) vouching += 1
    this.#isTrusted = vouching >= quorum(members.size)
  }
}
