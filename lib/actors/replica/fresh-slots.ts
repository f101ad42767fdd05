// The slots of which nothing was stored when this member learned that it must pull them. Their entries are taken
// without a look-up, since nothing can be there, except for the keys that something else has touched since. Part of
// the replica.
// Invariants: a slot is fresh for one pull at a time, and for no other after it; a key that a client's write, a repair
// or a purge has put or dropped is looked up like any other.
import type { StoredKey } from '../../entry/keys.js'
import type { FreshPull } from './replica-messages.js'
import type { SlotStats } from './slot-stats.js'
import type { WriteBatch } from './write-batch.js'

/** Touched keys that are remembered, of one slot and of all. A slot that would need more is fresh no longer. */
const TOUCHED_MAX = 4096
const TOUCHED_OF_ALL_MAX = 200_000

interface Fresh {
  pull: FreshPull | undefined
  /** Stored keys, as in `WriteBatch`; undefined: none. */
  touched: Set<string> | undefined
}

export class FreshSlots {
  readonly #slotStats: Pick<SlotStats, 'isComplete' | 'sums'>
  readonly #fresh = new Map<number, Fresh>()
  #touched = 0

  constructor(slotStats: Pick<SlotStats, 'isComplete' | 'sums'>) {
    this.#slotStats = slotStats
  }

  /**
   * These slots, and no others, are going to be pulled. Call it in a turn of the write queue, with its batch so far:
   * what is in that is not counted yet.
   */
  watch(slots: readonly number[], batch: WriteBatch): void {
    const wanted = new Set(slots)
    for (const [slot, { pull }] of this.#fresh) if (pull === undefined && !wanted.has(slot)) this.#forget(slot)
    if (!this.#slotStats.isComplete) return
    const added = slots.filter((slot) => !this.#fresh.has(slot) && this.#slotStats.sums.count(slot) === 0)
    for (const slot of added) this.#fresh.set(slot, { pull: undefined, touched: undefined })
    if (added.length > 0) for (const { slot, name } of batch.touched()) this.touch(slot, name)
  }

  /** A pull of these slots begins. An earlier pull of one of them is over. Call it when `watch` is through. */
  begin(slots: readonly number[]): FreshPull {
    for (const slot of slots) if (this.#fresh.get(slot)?.pull !== undefined) this.#forget(slot)
    const pull = { slots: new Set(slots.filter((slot) => this.#fresh.has(slot))) }
    for (const slot of pull.slots) this.#fresh.get(slot)!.pull = pull
    return pull
  }

  end(pull: FreshPull): void {
    for (const slot of pull.slots) if (this.#fresh.get(slot)?.pull === pull) this.#forget(slot)
  }

  /** Something else than the pull has put or dropped the entry. */
  touch(slot: number, name: string): void {
    if (this.#fresh.size === 0) return
    const fresh = this.#fresh.get(slot)
    if (fresh === undefined || fresh.touched?.has(name)) return
    fresh.touched ??= new Set()
    const { touched } = fresh
    touched.add(name)
    this.#touched += 1
    if (touched.size > TOUCHED_MAX || this.#touched > TOUCHED_OF_ALL_MAX) this.#forget(slot)
  }

  /** Whether nothing can be stored under the key, except by this pull itself. */
  isUntouched(pull: FreshPull, slot: number, storedKey: StoredKey, nameOf: (storedKey: StoredKey) => string): boolean {
    const fresh = this.#fresh.get(slot)
    if (fresh?.pull !== pull) return false
    return fresh.touched === undefined || !fresh.touched.has(nameOf(storedKey))
  }

  #forget(slot: number): void {
    this.#touched -= this.#fresh.get(slot)?.touched?.size ?? 0
    this.#fresh.delete(slot)
  }
}
