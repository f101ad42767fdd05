// Which members serve reads and writes now, and whether this peer serves its clients, from what all of them tell. Pure.
// What a report says here must be what a client meets: a member that answers pings may have no store, or no room.
import type { Health as MembersHealth } from '../actors/detector.js'
import type { MemberState } from '../client/reports.js'
import { STOPS_SERVING, STOPS_WRITES } from '../conditions.js'
import type { MemberId } from '../member.js'
import { NO_TROUBLE, type Trouble } from '../network/trouble.js'
import { quorum } from '../views/chain.js'
import type { Serving } from '../views/readiness.js'
import type { RingView } from '../views/ring-view.js'

/** What this peer knows of the members. */
export interface MembersInput {
  readonly view: RingView
  readonly health: MembersHealth
  /** A link to the member's peer is up, and its hello named this member. */
  readonly isLinked: (member: MemberId) => boolean
  /** What this peer tells of itself. */
  readonly own: Trouble
}

/** A former member is not pinged: it counts as up while its peer is linked. */
export function stateOf(id: MemberId, { view, health, isLinked }: MembersInput): MemberState {
  if (id === view.self) return 'up'
  return health.get(id)?.liveness ?? (isLinked(id) ? 'up' : 'down')
}

/** What a member told last. Nothing for one that is down, since that may be outdated. */
export function troubleOf(id: MemberId, input: MembersInput): Trouble {
  if (id === input.view.self) return input.own
  if (stateOf(id, input) === 'down') return NO_TROUBLE
  return input.health.get(id)?.trouble ?? NO_TROUBLE
}

/** Whether requests of this peer reach the member. A pause of a few seconds is not counted. */
export function isReached(id: MemberId, input: MembersInput): boolean {
  return stateOf(id, input) !== 'down' && (input.health.get(id)?.isReached ?? true)
}

/** Which owners serve the operations of this peer. */
export function servingOf(input: MembersInput): Serving {
  const reads = (id: MemberId) => isReached(id, input) && !troubleOf(id, input).untrusted
  const writes = (id: MemberId) =>
    reads(id) && !troubleOf(id, input).conditions.some(({ name }) => STOPS_WRITES.has(name))
  return { reads, writes }
}

/** For each member that somebody does not reach: who does not. Of members that are down nobody is asked. */
export function unreachableFrom(input: MembersInput): ReadonlyMap<MemberId, readonly MemberId[]> {
  const from = new Map<MemberId, MemberId[]>()
  const note = (member: MemberId, teller: MemberId) => {
    const known = from.get(member)
    if (known === undefined) from.set(member, [teller])
    else known.push(teller)
  }
  for (const teller of input.view.members.keys()) {
    for (const member of troubleOf(teller, input).unreached) {
      if (input.view.members.has(member) && member !== teller) note(member, teller)
    }
  }
  return from
}

/**
 * Why this peer does not serve its clients, one sentence each. Empty when it does. `own` is what it tells of itself;
 * `isHeard` tells which other members answer it.
 */
export function reasonsNotReady(view: RingView, own: Trouble, isHeard: (id: MemberId) => boolean): string[] {
  const reasons = own.conditions.filter(({ name }) => STOPS_SERVING.has(name)).map(({ says }) => says)
  if (own.untrusted) reasons.push('a majority of the members has not confirmed yet that this data is not an old copy')
  if (!view.isMember) reasons.push('this peer is not a member of the ring')
  const { size } = view.members
  const heard = [...view.members.keys()].filter((id) => id === view.self || isHeard(id)).length
  if (heard < quorum(size)) {
    reasons.push(`this peer hears ${heard} of the ${size} members, itself included; a majority is ${quorum(size)}`)
  }
  return reasons
}
