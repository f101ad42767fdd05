// The rule that chooses a member to evict: one that has been down for long. Pure: the caller says which members are
// down and since when.
// Invariants: one member at a time; at least as many members remain as an entry has copies. The rule waits ten times
// longer in three cases: when many members are down, since the network is then the likelier fault; while slots move;
// and when a slot would keep too few owners. The rule only proposes: a majority of the members decides.
import type { MemberId } from '../member.js'
import type { View } from '../views/chain.js'
import type { ConfigTable } from '../views/configs.js'
import { slotsLeftShort } from '../views/departure.js'
import { longestWindow } from '../views/readiness.js'

/**
 * The members that this peer hears and does not hear. Times are monotonic ms; time in which this process did not run is
 * not counted.
 */
export interface Hearing {
  /** The time of this observation. */
  readonly at: number
  /** Members that answer, directly or through other members. */
  readonly heard: ReadonlySet<MemberId>
  /** Members that are down, with the time since when they owe an answer. */
  readonly downSince: ReadonlyMap<MemberId, number>
}

export const NOTHING_HEARD: Hearing = { at: Number.NEGATIVE_INFINITY, heard: new Set(), downSince: new Map() }

/**
 * The policy for a member whose eviction would leave slots with too few owners. recover: evict it, ten times later, and
 * keep the data that is left. wait: leave it to an operator.
 */
export const ON_LOSS = ['recover', 'wait'] as const
export type OnLoss = (typeof ON_LOSS)[number]

export interface EvictionOptions {
  /**
   * A member that is down for this long is evicted (default 60 000); 0: never. A short time moves data at each restart.
   */
  readonly evictAfterMs: number
  readonly onLoss: OnLoss
}

export const EVICTION_DEFAULTS: EvictionOptions = { evictAfterMs: 60_000, onLoss: 'recover' }

/** The input of the rule. */
export interface EvictionInput {
  readonly view: View
  readonly configs: ConfigTable
  readonly hearing: Hearing
  /** Members that an operator has asked to remove as dead, and that are not removed yet. */
  readonly leavingAsDead: ReadonlySet<MemberId>
}

export interface EvictionChoice {
  readonly member: MemberId
  /** Slots in which an acknowledged write may be on no remaining owner. An operator must know. */
  readonly slotsAtRisk: number
}

/** An eviction that may do harm waits this many times longer. */
export const CAUTION = 10
/** When more than one member in three is down, the network is the likelier cause. */
const MANY_DOWN_SHARE = 3

/**
 * The member to evict now, if any: of the members that are due, the one with the smallest id that may be evicted.
 * O(members), and O(slots) for each member that is due.
 */
export function memberToEvict(input: EvictionInput, options: EvictionOptions): EvictionChoice | undefined {
  const { view, configs, hearing, leavingAsDead } = input
  const { evictAfterMs, onLoss } = options
  if (!(evictAfterMs > 0)) return undefined
  if (view.elder !== undefined) return latecomerToEvict(input, view.elder, evictAfterMs)
  if (view.members.size <= view.founding.replicas) return undefined
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

/**
 * In a ring of two that grew from one: the second member, when it is down before it has taken over its copies. The
 * first member holds everything then, and the ring is again what it was. A second member that has its copies stays: to
 * go on with one copy is for an operator to decide.
 */
function latecomerToEvict(
  { view, configs, hearing }: EvictionInput,
  elder: MemberId,
  evictAfterMs: number
): EvictionChoice | undefined {
  if (longestWindow(configs) === 1) return undefined
  for (const [member, since] of hearing.downSince) {
    const isDue = member !== elder && view.members.has(member) && !hearing.heard.has(member)
    if (!isDue || hearing.at - since < evictAfterMs) continue
    if (slotsLeftShort(configs, member, view.lost) === 0) return { member, slotsAtRisk: 0 }
  }
  return undefined
}
