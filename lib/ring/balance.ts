// The balance of the ring: how evenly slots are divided among members, and how much data a change of members moves.
// Pure arithmetic on owner tables. A load counts (slot, owner) pairs: a slot with three owners counts three times.

import { assert } from '../errors.js'
import type { Member, MemberId } from '../member.js'
import { type OwnerTable, ownerTable } from './owners.js'
import { SLOTS } from './slots.js'

export interface MemberLoad {
  readonly storeId: MemberId
  /** Slots that the member owns. */
  readonly slots: number
  /** Slots that the member would own if all loads were in proportion to weight. Never more than all slots. */
  readonly fairSlots: number
}

export interface Balance {
  /** In the order of the given members. */
  readonly loads: readonly MemberLoad[]
  /** The largest slots / fairSlots. 1 is perfect; 1 when there are no members. Zones can make 1 impossible. */
  readonly maxToMean: number
}

export interface Movement {
  /** (slot, owner) pairs of the newer table that the older one lacks: the slots that must be copied. */
  readonly gained: number
  /** The pairs of `gained` whose owner was a member before. 0 after a join. */
  readonly gainedByOld: number
}

/** The loads of all members, and the worst ratio of load to fair share. Costs one owner table. */
export function balance(members: readonly Member[], replicas: number): Balance {
  const table = ownerTable(members, replicas)
  const slots = new Map<MemberId, number>(members.map(({ storeId }) => [storeId, 0]))
  const sizes = new Uint32Array(table.sets.length)
  for (const set of table.ofSlot) sizes[set]!++
  table.sets.forEach((set, index) => {
    for (const owner of set) slots.set(owner, slots.get(owner)! + sizes[index]!)
  })
  const fair = fairSlots(
    members.map(({ weight }) => weight),
    replicas
  )
  const loads = members.map(({ storeId }, at) => ({ storeId, slots: slots.get(storeId)!, fairSlots: fair[at]! }))
  const maxToMean = loads.reduce((worst, load) => Math.max(worst, load.slots / load.fairSlots), members.length ? 0 : 1)
  return { loads, maxToMean }
}

/**
 * The slots that a member of each weight should own: in proportion to weight, but at most all slots. The others share
 * what the heaviest cannot take. Fractions are kept. Weights are above 0.
 */
export function fairSlots(weights: readonly number[], replicas: number): number[] {
  const fair = new Array<number>(weights.length).fill(SLOTS)
  let left = Math.min(replicas, weights.length) * SLOTS
  let weightLeft = weights.reduce((sum, weight) => sum + weight, 0)
  const heaviestFirst = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]!)
  for (const at of heaviestFirst) {
    const weight = weights[at]!
    assert(weight > 0, 'a weight is above 0')
    fair[at] = Math.min(SLOTS, (left * weight) / weightLeft)
    left -= fair[at]!
    weightLeft -= weight
  }
  return fair
}

/** The data that a change of members moves. Costs two owner tables. */
export function movedSlots(before: readonly Member[], after: readonly Member[], replicas: number): Movement {
  const older = ownerTable(before, replicas)
  const newer = ownerTable(after, replicas)
  const old = new Set(before.map(({ storeId }) => storeId))
  const pairs = new Map<number, { gained: number; gainedByOld: number }>()
  let gained = 0
  let gainedByOld = 0
  for (let slot = 0; slot < SLOTS; slot++) {
    const change = older.ofSlot[slot]! * SLOTS + newer.ofSlot[slot]!
    let pair = pairs.get(change)
    if (pair === undefined) {
      pair = compareSets(older, newer, slot, old)
      pairs.set(change, pair)
    }
    gained += pair.gained
    gainedByOld += pair.gainedByOld
  }
  return { gained, gainedByOld }
}

function compareSets(older: OwnerTable, newer: OwnerTable, slot: number, old: ReadonlySet<MemberId>): Movement {
  const had = older.sets[older.ofSlot[slot]!]!
  const added = newer.sets[newer.ofSlot[slot]!]!.filter((owner) => !had.includes(owner))
  return { gained: added.length, gainedByOld: added.filter((owner) => old.has(owner)).length }
}
