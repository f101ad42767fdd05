// The slots that two members may compare and repair. Pure.
// A slot is shared when its window has one config, both members own it in that config, and both are known to be ready
// for it. Two peers with the same knowledge find the same slots and the same digest, whichever of the two asks.
import { crc32 } from 'node:zlib'
import { writeU16, writeU32 } from '../entry/integers.js'
import type { MemberId } from '../member.js'
import { SLOTS, type SlotRange } from '../ring/slots.js'
import { newestConfig, type Window } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'

export interface SharedSlots {
  /** Ascending. */
  readonly slots: readonly number[]
  /** A checksum of the slots and their configs: two peers compare it to see whether they mean the same slots. */
  readonly digest: number
}

export const ALL_SLOTS: SlotRange = { first: 0, last: SLOTS - 1 }

const DIGESTED_BYTES = 6

/** The slots that `one` and `other` share within `range`. O(slots), once for each view and pair. */
export function sharedSlots(view: RingView, one: MemberId, other: MemberId, range: SlotRange = ALL_SLOTS): SharedSlots {
  const all = sharedByAll(view, one, other)
  if (range.first <= 0 && range.last >= SLOTS - 1) return all
  return sharedOf(
    view,
    all.slots.filter((slot) => slot >= range.first && slot <= range.last)
  )
}

const known = new WeakMap<RingView, Map<string, SharedSlots>>()

function sharedByAll(view: RingView, one: MemberId, other: MemberId): SharedSlots {
  const pairs = known.get(view) ?? new Map<string, SharedSlots>()
  known.set(view, pairs)
  const pair = one < other ? `${one} ${other}` : `${other} ${one}`
  const found = pairs.get(pair) ?? sharedOf(view, findShared(view, one, other))
  // Only pairs of members are kept: ids that nobody has would fill the memory.
  if (view.members.has(one) && view.members.has(other)) pairs.set(pair, found)
  return found
}

function findShared({ configs, readiness }: RingView, one: MemberId, other: MemberId): number[] {
  const [mine, theirs] = [readiness.get(one), readiness.get(other)]
  if (mine === undefined || theirs === undefined) return []
  const slots: number[] = []
  let window: Window | undefined
  let isShared = false
  for (let slot = 0; slot < SLOTS; slot++) {
    const here = configs.windows[slot]!
    const { owners, begin } = newestConfig(here)
    if (here !== window) isShared = here.length === 1 && owners.includes(one) && owners.includes(other)
    window = here
    if (isShared && mine[slot] === begin && theirs[slot] === begin) slots.push(slot)
  }
  return slots
}

function sharedOf({ configs }: RingView, slots: readonly number[]): SharedSlots {
  const bytes = new Uint8Array(slots.length * DIGESTED_BYTES)
  slots.forEach((slot, index) => {
    writeU16(bytes, index * DIGESTED_BYTES, slot)
    writeU32(bytes, index * DIGESTED_BYTES + 2, newestConfig(configs.windows[slot]!).begin)
  })
  return { slots, digest: crc32(bytes) }
}

/** O(log slots). */
export function hasSlot({ slots }: SharedSlots, slot: number): boolean {
  let [low, high] = [0, slots.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (slots[middle]! < slot) low = middle + 1
    else high = middle
  }
  return slots[low] === slot
}
