// How much owners hold of the slots that this member is to pull: for the time that a move takes. Part of the node.
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import { newestConfig, type Window } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'
import type { OwnerTallies } from './owner-tallies.js'

const TIMEOUT_MS = 3000

/**
 * The bytes of each slot at one of its owners, in the order of `slots`; undefined where none told. 0 for a slot that
 * this member has held completely: it lacks little. Asks each owner at most once. Never rejects.
 */
export async function gatherSourceSizes(
  tallies: Pick<OwnerTallies, 'askAll'>,
  view: RingView,
  slots: readonly number[]
): Promise<readonly (number | undefined)[]> {
  const slotsOf = new Map<MemberId, number[]>()
  const sizes = new Map<number, number>()
  for (const slot of slots) {
    if (isHere(view, slot)) sizes.set(slot, 0)
    if (sizes.has(slot)) continue
    const holder = holderOf(view, slot)
    if (holder === undefined) continue
    const asked = slotsOf.get(holder)
    if (asked === undefined) slotsOf.set(holder, [slot])
    else asked.push(slot)
  }
  const ascending = (asked: readonly number[]) => [...asked].sort((one, other) => one - other)
  const questions = Array.from(slotsOf, ([member, asked]) => ({ member, slots: ascending(asked) }))
  for (const answer of await tallies.askAll(view, questions, TIMEOUT_MS)) {
    if (answer instanceof RingdError) continue
    answer.slots.forEach((slot, index) => {
      sizes.set(slot, answer.bytes(index))
    })
  }
  return slots.map((slot) => sizes.get(slot))
}

/** This member was ready for the slot in an earlier config of its window. */
function isHere({ configs, readiness, self }: RingView, slot: number): boolean {
  const ready = readiness.get(self)?.[slot]
  return configs.windows[slot]!.some(({ begin }) => begin === ready)
}

/** An owner of the newest config that holds the slot already: one that is ready, or that owned before. */
function holderOf({ configs, readiness, self }: RingView, slot: number): MemberId | undefined {
  const window = configs.windows[slot]!
  const { owners, begin } = newestConfig(window)
  let former: MemberId | undefined
  for (const owner of owners) {
    if (owner === self) continue
    if (readiness.get(owner)?.[slot] === begin) return owner
    if (former === undefined && ownedIn(window, owner)) former = owner
  }
  return former
}

function ownedIn(window: Window, owner: MemberId): boolean {
  for (let at = 0; at < window.length - 1; at++) if (window[at]!.owners.includes(owner)) return true
  return false
}
