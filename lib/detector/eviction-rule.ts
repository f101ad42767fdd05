// Whom the ring goes on without by itself: a member that has been down for long. Pure: who is down, and since when,
// is told.
// Invariants: one at a time, and never fewer members than there are copies of an entry. What smells of a fault of the
// network (many are down), what follows before the moves of the one before have settled, and what leaves slots short of
// owners waits ten times as long. Who removes whom is decided by a majority of the members; this only says what to ask.
import type { MemberId } from '../member.js'
import type { View } from '../views/chain.js'
import type { ConfigTable } from '../views/configs.js'
import { slotsLeftShort } from '../views/departure.js'
import { longestWindow } from '../views/readiness.js'

/** What this peer hears of the other members. Times are monotonic ms, less what it was not running itself. */
export interface Hearing {
  /** When this was so. */
  readonly at: number
  /** Members that answer, here or through others. */
  readonly heard: ReadonlySet<MemberId>
  /** Members that are down, and since when they owe an answer. */
  readonly downSince: ReadonlyMap<MemberId, number>
}

export const NOTHING_HEARD: Hearing = { at: Number.NEGATIVE_INFINITY, heard: new Set(), downSince: new Map() }

/** What happens when slots would be left to too few owners: take what is left, late; or wait for an operator. */
export const ON_LOSS = ['recover', 'wait'] as const
export type OnLoss = (typeof ON_LOSS)[number]

export interface EvictionOptions {
  /** A member that is down for so long is removed (default 60 000); 0: never. Less moves data at every restart. */
  readonly evictAfterMs: number
  readonly onLoss: OnLoss
}

export const EVICTION_DEFAULTS: EvictionOptions = { evictAfterMs: 60_000, onLoss: 'recover' }

/** The ring as far as the rule needs it. */
export interface EvictionInput {
  readonly view: View
  readonly configs: ConfigTable
  readonly hearing: Hearing
  /** Others that go as dead without having been evicted, because an operator said so. */
  readonly leavingAsDead: ReadonlySet<MemberId>
}

export interface EvictionChoice {
  readonly member: MemberId
  /** Slots of which acknowledged writes may be on nobody who is left: a person must know. */
  readonly slotsAtRisk: number
}

/** What is not sure to help waits so many times longer. */
export const CAUTION = 10
/** When more than one in so many members is down, the network is the likelier cause. */
const MANY_DOWN_SHARE = 3

/**
 * The member to evict now, if any: of those due the one with the smallest id that may go. O(members), and O(slots) for
 * each member that is due.
 */
export function memberToEvict(input: EvictionInput, options: EvictionOptions): EvictionChoice | undefined {
  const { view, configs, hearing, leavingAsDead } = input
  const { evictAfterMs, onLoss } = options
  if (!(evictAfterMs > 0) || view.members.size <= view.founding.replicas) return undefined
  const down = Array.from(hearing.downSince).filter(([id]) => view.members.has(id) && !hearing.heard.has(id))
  const areMany = down.length * MANY_DOWN_SHARE > view.members.size
  const isMoving = longestWindow(configs) > 1
  const usualMs = areMany || isMoving ? CAUTION * evictAfterMs : evictAfterMs
  const lost = new Set([...view.lost, ...leavingAsDead])
  for (const [member, since] of down.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const downMs = hearing.at - since
    if (downMs < usualMs) continue
    const slotsAtRisk = slotsLeftShort(configs, member, lost)
    if (slotsAtRisk === 0) return { member, slotsAtRisk }
    if (onLoss === 'recover' && downMs >= CAUTION * evictAfterMs) return { member, slotsAtRisk }
  }
  return undefined
}
