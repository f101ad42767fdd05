// Whether too few members answer for the ring to go on, and what an operator types then. Pure.
// Owns the words: `status` and the refusals of `leave` and `remove` show the same ones.
import type { MemberHealth } from '../actors/detector.js'
import type { MemberId } from '../member.js'
import { chooses, quorum } from '../views/chain.js'
import type { RingView } from '../views/ring-view.js'

export interface LostMajority {
  /** Members of the view, and those of them that do not answer. */
  readonly members: number
  readonly down: readonly MemberId[]
  /**
   * choose: the members that answer cannot choose another view. second: a ring of two has lost its second member, and
   * the first can go on alone when it is told to.
   */
  readonly kind: 'choose' | 'second'
  /** What is lost and what to type, for an operator. At most 300 characters. */
  readonly says: string
}

type Health = ReadonlyMap<MemberId, Pick<MemberHealth, 'liveness'>>

/** Undefined while enough members answer. A member that is only suspect counts as one that answers. */
export function lostMajority(
  view: Pick<RingView, 'members' | 'self' | 'elder'>,
  health: Health
): LostMajority | undefined {
  const { members, self, elder } = view
  const down = [...members.keys()].filter((id) => id !== self && health.get(id)?.liveness === 'down')
  const left = new Set([...members.keys()].filter((id) => !down.includes(id)))
  const of = { members: members.size, down }
  if (down.length === 0) return undefined
  if (!chooses(view, left)) return { ...of, kind: 'choose', says: lostWords(members.size, down.length) }
  return elder === undefined ? undefined : { ...of, kind: 'second', says: secondWords(down[0]!) }
}

/** Of `members` members, `down` do not answer. */
export function lostWords(members: number, down: number): string {
  return (
    `${down} of ${members} members do not answer, and ${quorum(members)} must: the ring cannot change, and keys fail.` +
    ' Bring them back. Only if they are lost for good: stop this daemon, and run ringd rescue --data DIR'
  )
}

function secondWords(second: MemberId): string {
  return (
    `a ring of two needs both members, and ${second.slice(0, 8)} does not answer. Bring it back. Only if it is ` +
    `lost for good: ringd remove ${second.slice(0, 8)} --force`
  )
}
