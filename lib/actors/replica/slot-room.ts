// Room on disk: the bytes of the entries that each slot and each group of neighbouring slots holds, and the bytes of
// those of a group that were deleted or replaced since the store last gave room back there. In memory: after a restart
// the store itself tells how much room a group takes up. Part of the slot statistics.
import { SLOTS } from '../../ring/slots.js'

export const GROUP_SLOTS = 256
export const GROUPS = SLOTS / GROUP_SLOTS

export class SlotRoom {
  readonly #live = new Float64Array(GROUPS)
  readonly #freed = new Float64Array(GROUPS)
  readonly #slots = new Float64Array(SLOTS)

  /** The bytes of all entries of the group. */
  live(group: number): number {
    return this.#live[group]!
  }

  /** The bytes of all entries of the slot. */
  liveIn(slot: number): number {
    return this.#slots[slot]!
  }

  /** The bytes whose room may be given back. */
  freed(group: number): number {
    return this.#freed[group]!
  }

  /** An entry of `before` bytes was replaced by one of `after` bytes; 0: no entry. */
  change(slot: number, before: number, after: number): void {
    const group = Math.floor(slot / GROUP_SLOTS)
    this.#live[group]! += after - before
    this.#slots[slot]! += after - before
    if (before > after) this.#freed[group]! += before - after
  }

  /** More room of the group may be given back than was counted. */
  addFreed(group: number, bytes: number): void {
    this.#freed[group]! += bytes
  }

  /** The store gives back what is free in the group now. */
  reclaimed(group: number): void {
    this.#freed[group] = 0
  }

  /** Nothing is counted yet. What may be given back stays. */
  clear(): void {
    this.#live.fill(0)
    this.#slots.fill(0)
  }
}
