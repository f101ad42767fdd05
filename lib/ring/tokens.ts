// How a joiner chooses its own tokens. Owns: the token rule. Pure: the same view and candidate give the same tokens.
// The circle is cut into as many equal stretches as the joiner has tokens, and each stretch gets one token; where in
// it, is found by descent: start from places drawn from the member id, then move one token at a time to the best
// place of its stretch (see trial.ts for what is good). Nobody else's tokens change.
// Different ids start elsewhere, so joiners that choose at once from one view do not all choose the same.

import { createHash } from 'node:crypto'
import { assert } from '../errors.js'
import type { Member } from '../member.js'
import type { Newcomer } from './displacement.js'
import { SLOTS } from './slots.js'
import { TokenCost } from './token-cost.js'
import { sortMembers } from './walk.js'

/** Tokens of a member of weight 1. More would balance better and cost more in every table and view. */
export const TOKENS_PER_WEIGHT = 64
export const WEIGHT_MAX = 16

/** Rounds over all tokens; later ones hardly gain. */
const ROUNDS_MAX = 4

/**
 * The tokens of `candidate`, who is none of `members`: 64 x weight (at least 1), ascending, distinct.
 * Weight lies in (0, 16], replicas is a whole number from 1; throws INTERNAL otherwise.
 * O(rounds x SLOTS x owners), hardly dependent on the number of members: 0.03 to 0.3 s; 1.4 s for 1000 in lopsided
 * zones.
 */
export function chooseTokens(members: readonly Member[], candidate: Newcomer, replicas: number): number[] {
  assert(!members.some(({ storeId }) => storeId === candidate.storeId), 'a joiner is no member yet')
  assert(candidate.weight > 0 && candidate.weight <= WEIGHT_MAX, `weight is above 0 and at most ${WEIGHT_MAX}`)
  const count = Math.max(1, Math.round(TOKENS_PER_WEIGHT * candidate.weight))
  const bounds = Array.from({ length: count + 1 }, (_, at) => Math.floor((at * SLOTS) / count))
  const draw = drawing(candidate.storeId)
  const tokens = Array.from({ length: count }, (_, at) => bounds[at]! + draw(bounds[at + 1]! - bounds[at]!))
  // With fewer members than replicas everyone owns everything, and any place is as good.
  if (members.length < replicas) return tokens
  const trial = new TokenCost(sortMembers(members), candidate, replicas)
  for (const token of tokens) trial.place(token)
  for (let round = 0; round < ROUNDS_MAX; round++) {
    let moved = 0
    for (const at of shuffled(count, draw)) {
      trial.lift(tokens[at]!)
      const best = bestPlace(trial, bounds[at]!, bounds[at + 1]!)
      trial.place(best)
      if (best !== tokens[at]) moved++
      tokens[at] = best
    }
    if (moved === 0) break
  }
  return tokens
}

/** The cheapest place in `first`..`end - 1` for one more token; the first of equals. */
function bestPlace(trial: TokenCost, first: number, end: number): number {
  let best = first
  let bestCost = Number.POSITIVE_INFINITY
  trial.place(first)
  for (let position = first; position < end; position++) {
    if (trial.cost < bestCost) {
      best = position
      bestCost = trial.cost
    }
    if (position + 1 < end) trial.advance(position)
  }
  trial.lift(end - 1)
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

/** Draws whole numbers below a bound, the same ones for the same text. Source: mulberry32, seeded with sha256. */
function drawing(text: string): (bound: number) => number {
  let state = createHash('sha256').update(text).digest().readUInt32LE(0)
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound)
  }
}
