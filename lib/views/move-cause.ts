// Why slots move: what the view changed in which their config began. Pure.
import type { MemberId } from '../member.js'
import type { ViewChange } from './chain.js'

/** The order of wire.proto. unknown: the view lies before a snapshot of the chain. */
export const MOVE_CAUSES = ['unknown', 'join', 'leave', 'loss', 'repair'] as const

/**
 * join: members came. leave: a member left, or was removed on the request of an operator. loss: a member was evicted.
 * repair: owners of the same slots differed.
 */
export type MoveCause = (typeof MOVE_CAUSES)[number]

/**
 * The cause of the moves of one view. A view that does several things at once is named after the one that weighs most:
 * loss, then leave, then join. `isRequested`: an operator asked for the removal of this member.
 */
export function causeOf(change: ViewChange | undefined, isRequested: (id: MemberId) => boolean): MoveCause {
  if (change === undefined) return 'unknown'
  const { joins, removals, lost = [] } = change
  if (lost.some((id) => !isRequested(id))) return 'loss'
  if (removals.length + lost.length > 0) return 'leave'
  return joins.length > 0 ? 'join' : 'unknown'
}
