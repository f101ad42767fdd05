// Chooses the members to ping next, in a ring that is too large to ping every member each second. Pure: the caller
// draws the order. Invariant: each member is pinged once before any member is pinged twice. So a dead member is pinged
// within two rounds.
// Source: Das, Gupta and Motivala, "SWIM: scalable weakly-consistent infection-style process group membership", 2002,
// section 4.3.

export interface ProbeRound<T> {
  readonly chosen: readonly T[]
  /** The members of this round that are still to be pinged. */
  readonly waiting: readonly T[]
}

/**
 * The next `count` of `members`: first the members that are still `waiting`; when they are too few, also members of a
 * new round, in the order that `shuffle` gives it. Former members are left out. New members take part from the next
 * round on.
 */
export function nextProbes<T>(
  waiting: readonly T[],
  members: { has(member: T): boolean; keys(): Iterable<T> },
  count: number,
  shuffle: (list: readonly T[]) => readonly T[]
): ProbeRound<T> {
  const present = waiting.filter((member) => members.has(member))
  if (present.length >= count) return { chosen: present.slice(0, count), waiting: present.slice(count) }
  const fresh = shuffle([...members.keys()].filter((member) => !present.includes(member)))
  const open = count - present.length
  return { chosen: [...present, ...fresh.slice(0, open)], waiting: fresh.slice(open) }
}
