// The owner that a newcomer would displace at each slot, before it has chosen its tokens. Pure.
// The owner rule allows this: at a given slot a newcomer can displace only one particular member, and it does so when
// its first token comes before that member's. So a token takes a stretch of slots that ends at the token, and the
// effects of several tokens add up slot by slot. The tests compare this with the owner table after the join.

import type { Member } from '../member.js'
import { SLOTS } from './slots.js'
import { numberZones, sweepOwners } from './walk.js'

export type Newcomer = Pick<Member, 'storeId' | 'zone' | 'weight'>

export interface Displacement {
  /** For each slot the index of the member that the newcomer would displace. */
  readonly losers: Int32Array
  /**
   * For each position the first slot that a token there takes. Below 0 when the stretch begins before slot 0. position
   * + 1 when a token there takes no slot.
   */
  readonly starts: Int32Array
}

/** `sorted` comes from `sortMembers` and has at least `replicas` members. O(one owner sweep + SLOTS). */
export function displacementOf(sorted: readonly Member[], newcomer: Newcomer, replicas: number): Displacement {
  const { zoneOf, zones } = numberZones(sorted)
  const like = sorted.findIndex(({ zone }) => zone === newcomer.zone)
  const ownZone = like === -1 ? -1 : zoneOf[like]!
  // When the newcomer's zone is new and zones are too few, the newcomer owns every slot, wherever its tokens lie.
  const isCertain = ownZone === -1 && zones < replicas
  const losers = new Int32Array(SLOTS)
  const reaches = new Int32Array(SLOTS)
  sweepOwners(sorted, replicas, ({ first, last, owners, positions }) => {
    const at = loserAt(owners, zoneOf, ownZone)
    const loser = owners[at]!
    const reach = positions[at]! - (newcomer.storeId > sorted[loser]!.storeId ? 1 : 0)
    losers.fill(loser, first, last + 1)
    for (let slot = first; slot <= last; slot++) {
      reaches[slot] = isCertain ? slot + SLOTS - 1 : Math.min(reach, slot + SLOTS - 1)
    }
  })
  return { losers, starts: startsOf(reaches) }
}

/**
 * The place, clockwise, of the owner that is displaced. Candidates are the owners whose zone an earlier owner has
 * already, and the owner in the newcomer's zone: the last of them is displaced, or the last owner when there are none.
 */
function loserAt(owners: Int32Array, zoneOf: Int32Array, ownZone: number): number {
  let loser = -1
  for (let at = 0; at < owners.length; at++) {
    const zone = zoneOf[owners[at]!]!
    const isSpare = owners.findIndex((owner) => zoneOf[owner] === zone) < at
    if (isSpare || zone === ownZone) loser = at
  }
  return loser === -1 ? owners.length - 1 : loser
}

/**
 * Inverts `reaches`: from the last position that takes each slot to the first slot that each position takes. Both grow.
 */
function startsOf(reaches: Int32Array): Int32Array {
  const starts = new Int32Array(SLOTS)
  let slot = 1 - SLOTS
  for (let position = 0; position < SLOTS; position++) {
    slot = Math.max(slot, position - SLOTS + 1)
    while (slot <= position && reachOf(reaches, slot) < position) slot++
    starts[position] = slot
  }
  return starts
}

function reachOf(reaches: Int32Array, slot: number): number {
  return slot < 0 ? reaches[slot + SLOTS]! - SLOTS : reaches[slot]!
}
