// Whether the owners of a slot hold the same entries, by what each of them told. Pure.

import type { MemberId } from '../member.js'

/** What one owner told of the slot. */
export interface OwnerSum {
  readonly storeId: MemberId
  readonly entries: number
  /** See SlotTallies.sum. */
  readonly sum: string
}

/** How the comparison of one slot stands, in rising order of what an operator must do. */
export const SLOT_STATES = ['open', 'equal', 'moving', 'unanswered', 'differs'] as const
export type SlotState = (typeof SLOT_STATES)[number]

export interface SlotQuestion {
  /** Owners of the newest config that were asked: those that are known to hold the whole slot. */
  readonly asked: readonly MemberId[]
  /** The slot moves, or some owner does not hold it completely yet. */
  readonly isMoving: boolean
}

/** `answers` come from owners that were asked. One that is missing did not answer. */
export function stateOfSlot({ asked, isMoving }: SlotQuestion, answers: readonly OwnerSum[]): SlotState {
  if (answers.some(({ sum }) => sum !== answers[0]!.sum)) return 'differs'
  if (answers.length < asked.length) return 'unanswered'
  return isMoving ? 'moving' : 'equal'
}

export interface OwnerGroup {
  readonly storeId: MemberId
  readonly entries: number
  /** Owners with the same number hold the same entries; 0 is the largest group. */
  readonly group: number
}

/** The owners of a slot that differ, by what they hold. In the order of the answers. */
export function groupsOf(answers: readonly OwnerSum[]): OwnerGroup[] {
  const sizes = new Map<string, number>()
  for (const { sum } of answers) sizes.set(sum, (sizes.get(sum) ?? 0) + 1)
  // The sort is stable: of groups of one size the first is first.
  const ranked = [...sizes].sort(([, one], [, other]) => other - one).map(([sum]) => sum)
  return answers.map(({ storeId, entries, sum }) => ({ storeId, entries, group: ranked.indexOf(sum) }))
}

/**
 * Whether every owner holds something else than it did in an earlier comparison: then the slot is written all the time,
 * and a difference may be nothing but writes under way.
 */
export function allChanged(before: readonly OwnerSum[], now: readonly OwnerSum[]): boolean {
  const sums = new Map(before.map(({ storeId, sum }) => [storeId, sum]))
  return now.length > 0 && now.every(({ storeId, sum }) => sums.has(storeId) && sums.get(storeId) !== sum)
}
