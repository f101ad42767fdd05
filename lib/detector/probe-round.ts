// Whom to ask next in a ring too large to ask everyone each second. Pure; the caller draws the order.
// Invariant: everybody is asked once before anybody is asked twice, so no dead member is overlooked for longer than
// two rounds.
// Source: Das, Gupta and Motivala, "SWIM: scalable weakly-consistent infection-style process group membership", 2002,
// section 4.3.

export interface ProbeRound<T> {
  readonly chosen: readonly T[]
  /** Those of this round whose turn comes later. */
  readonly waiting: readonly T[]
}

/**
 * The next `count` of `members`: first those still `waiting`, then, when they are too few, of a new round in the order
 * that `shuffle` gives it. Who is no member any more is left out; who is new takes part from the next round.
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
