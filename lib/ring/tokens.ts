// The choice of a joiner's tokens. Owns the token rule. Pure: the same view and candidate give the same tokens.
// The circle is cut into as many equal stretches as the joiner has tokens, and each stretch gets one token. Descent
// finds the place in the stretch: tokens start at places drawn from the member id, then one token at a time moves to
// the cheapest place of its stretch (token-cost.ts). The tokens of other members do not change. Different ids start at
// different places, so joiners that choose at the same time do not all choose the same tokens.

import { createHash } from 'node:crypto'
import { assert } from '../errors.js'
import { WEIGHT_MAX } from '../limits.js'
import type { Member } from '../member.js'
import type { Newcomer } from './displacement.js'
import { SLOTS } from './slots.js'
import { TokenCost } from './token-cost.js'
import { sortMembers } from './walk.js'

/** Tokens of a member of weight 1. More tokens balance better, and make every table and view larger. */
export const TOKENS_PER_WEIGHT = 64

/** The tokens that a member of this weight claims, and the most that it may have. */
export function tokenCount(weight: number): number {
  return Math.max(1, Math.round(TOKENS_PER_WEIGHT * weight))
}

/** Rounds over all tokens. More rounds gain almost nothing. */
const ROUNDS_MAX = 4

/**
 * The tokens of `candidate`, which is not in `members`: 64 x weight (at least 1), ascending, distinct.
 * Weight lies in (0, 16], replicas is a whole number from 1; throws INTERNAL otherwise.
 * O(rounds x SLOTS x owners), almost independent of the number of members: 0.03 to 0.3 s; 1.4 s for 1000 members in
 * zones of very different sizes.
 */
export function chooseTokens(members: readonly Member[], candidate: Newcomer, replicas: number): number[] {
  assert(!members.some(({ storeId }) => storeId === candidate.storeId), 'a joiner is no member yet')
  assert(candidate.weight > 0 && candidate.weight <= WEIGHT_MAX, `a weight is above 0 and at most ${WEIGHT_MAX}`)
  const count = tokenCount(candidate.weight)
  const bounds = Array.from({ length: count + 1 }, (_, at) => Math.floor((at * SLOTS) / count))
  const draw = drawing(candidate.storeId)
  const tokens = Array.from({ length: count }, (_, at) => bounds[at]! + draw(bounds[at + 1]! - bounds[at]!))
  // With fewer members than replicas every member owns everything, and all places cost the same.
  if (members.length < replicas) return tokens
  const ring = new TokenCost(sortMembers(members), candidate, replicas)
  for (const token of tokens) ring.place(token)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let moved = 0
    for (const at of shuffled(count, draw)) {
      ring.lift(tokens[at]!)
      const best = bestPlace(ring, bounds[at]!, bounds[at + 1]!)
      ring.place(best)
      if (best !== tokens[at]) moved++
      tokens[at] = best
    }
    if (moved === 0) break
  }
  return tokens
}

/** The cheapest place in `first`..`end - 1` for one more token; the first of equal places. */
function bestPlace(ring: TokenCost, first: number, end: number): number {
  let best = first
  let bestCost = Number.POSITIVE_INFINITY
  ring.place(first)
  for (let position = first; position < end; position++) {
    if (ring.cost < bestCost) {
      best = position
      bestCost = ring.cost
    }
    if (position + 1 < end) ring.advance(position)
  }
  ring.lift(end - 1)
  return best
}

/** 0..count-1 in a drawn order (Fisher-Yates). */
function shuffled(count: number, draw: (bound: number) => number): number[] {
  const order = Array.from({ length: count }, (_, at) => at)
  for (let at = count - 1; at > 0; at--) {
    const other = draw(at + 1)
    const kept = order[at]!
    order[at] = order[other]!
    order[other] = kept
  }
  return order
}

/**
 * A function that draws whole numbers below a bound; the same text gives the same numbers. Source: mulberry32, seeded
 * with sha256.
 */
function drawing(text: string): (bound: number) => number {
  let state = createHash('sha256').update(text).digest().readUInt32LE(0)
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}
