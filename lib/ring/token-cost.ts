// The cost of a ring in which a newcomer has given tokens: the more uneven the ring, the higher. Pure apart from its
// state. The cost is a weighted sum of three parts:
//   loads  sum over members of (slots owned)^2 / weight: the balance now
//   heirs  sum over pairs of (slots of A for which B is next in line)^2: the balance after members leave
//   gaps   sum of (distance between neighbouring tokens)^2: less chance in both
// Invariant: up to a constant, `cost` is the cost of the ring in which the newcomer has exactly the placed tokens.

import type { Member } from '../member.js'
import { displacementOf, type Newcomer } from './displacement.js'
import { SLOTS } from './slots.js'
import { sweepOwners } from './walk.js'

// Found by experiment: with these, max/mean after joins is at most 1.02, and the smallest after random removals.
const LOADS_SHARE = 3
const HEIRS_SHARE = 1
const GAPS_SHARE = 10

const OUT = 0
const NEXT_IN_LINE = 1
const OWNER = 2

/**
 * One role of the newcomer: where a token gives it the role, and in `covers` how many placed tokens do, for each slot.
 */
interface Reach {
  readonly losers: Int32Array
  readonly starts: Int32Array
  readonly covers: Int32Array
}

export class TokenCost {
  readonly #replicas: number
  readonly #newcomer: number
  readonly #inverseWeight: Float64Array
  readonly #loads: Float64Array
  /** heirs[b * members + a] = slots of a for which b is next in line. */
  readonly #heirs: Float64Array
  readonly #gapCosts: Float64Array
  readonly #owning: Reach
  /** Undefined while there are too few members for any to be next in line. */
  readonly #waiting: Reach | undefined
  /** The owners of each slot without the newcomer, `replicas` for each slot. */
  readonly #owners: Int32Array
  /** The member that is next in line for each slot without the newcomer. */
  readonly #heirOf: Int32Array
  readonly #roles = new Uint8Array(SLOTS)
  #cost = 0

  /** `sorted` comes from `sortMembers` and has at least `replicas` members. */
  constructor(sorted: readonly Member[], newcomer: Newcomer, replicas: number) {
    const count = sorted.length + 1
    this.#replicas = replicas
    this.#newcomer = sorted.length
    this.#inverseWeight = Float64Array.from([...sorted, newcomer], ({ weight }) => 1 / weight)
    this.#loads = new Float64Array(count)
    this.#gapCosts = gapCosts(sorted)
    this.#owning = { ...displacementOf(sorted, newcomer, replicas), covers: new Int32Array(SLOTS) }
    this.#owners = ownersBySlot(sorted, replicas)
    const hasHeirs = sorted.length > replicas
    this.#heirs = new Float64Array(hasHeirs ? count * count : 0)
    this.#heirOf = hasHeirs ? heirsBySlot(sorted, replicas, this.#owners) : new Int32Array(0)
    this.#waiting = hasHeirs
      ? { ...displacementOf(sorted, newcomer, replicas + 1), covers: new Int32Array(SLOTS) }
      : undefined
    for (let slot = 0; slot < SLOTS; slot++) this.#count(slot, 1)
  }

  get cost(): number {
    return this.#cost
  }

  /** Adds a token at `position`. */
  place(position: number): void {
    this.#cost += this.#gapCosts[position]!
    if (this.#waiting) this.#cover(this.#waiting, this.#waiting.starts[position]!, position, 1)
    this.#cover(this.#owning, this.#owning.starts[position]!, position, 1)
  }

  /** Takes away the token at `position`. */
  lift(position: number): void {
    this.#cost -= this.#gapCosts[position]!
    this.#cover(this.#owning, this.#owning.starts[position]!, position, -1)
    if (this.#waiting) this.#cover(this.#waiting, this.#waiting.starts[position]!, position, -1)
  }

  /** Moves a placed token from `position` to `position + 1`, below SLOTS. Costs much less than `lift` and `place`. */
  advance(position: number): void {
    this.#cost += this.#gapCosts[position + 1]! - this.#gapCosts[position]!
    if (this.#waiting) this.#slide(this.#waiting, position)
    this.#slide(this.#owning, position)
  }

  #slide(reach: Reach, position: number): void {
    const start = reach.starts[position + 1]!
    if (start <= position + 1) this.#cover(reach, position + 1, position + 1, 1)
    this.#cover(reach, reach.starts[position]!, Math.min(start - 1, position), -1)
  }

  /**
   * Adds `change` to the cover of the slots `first`..`last`. A slot below 0 lies before slot 0: the circle wraps
   * around.
   */
  #cover(reach: Reach, first: number, last: number, change: 1 | -1): void {
    for (let at = first; at <= last; at++) {
      const slot = at < 0 ? at + SLOTS : at
      reach.covers[slot]! += change
      const role = this.#roleAt(slot)
      if (role === this.#roles[slot]) continue
      this.#count(slot, -1)
      this.#roles[slot] = role
      this.#count(slot, 1)
    }
  }

  #roleAt(slot: number): number {
    if (this.#owning.covers[slot]! > 0) return OWNER
    return this.#waiting && this.#waiting.covers[slot]! > 0 ? NEXT_IN_LINE : OUT
  }

  /** Adds a slot to all sums (`sign` 1) or takes it out (-1), with the newcomer's present role. */
  #count(slot: number, sign: 1 | -1): void {
    const role = this.#roles[slot]!
    const loser = role === OWNER ? this.#owning.losers[slot]! : -1
    const heir = this.#heirAt(slot, role)
    const first = slot * this.#replicas
    for (let at = first; at < first + this.#replicas; at++) {
      const before = this.#owners[at]!
      const owner = before === loser ? this.#newcomer : before
      const inverse = this.#inverseWeight[owner]!
      const load = this.#loads[owner]!
      this.#cost += LOADS_SHARE * inverse * (1 + 2 * sign * load)
      this.#loads[owner] = load + sign
      if (heir === -1) continue
      const pair = heir * (this.#newcomer + 1) + owner
      const inherited = this.#heirs[pair]!
      this.#cost += HEIRS_SHARE * inverse * this.#inverseWeight[heir]! * (1 + 2 * sign * inherited)
      this.#heirs[pair] = inherited + sign
    }
  }

  #heirAt(slot: number, role: number): number {
    if (this.#waiting === undefined) return -1
    if (role === NEXT_IN_LINE) return this.#newcomer
    if (role === OUT) return this.#heirOf[slot]!
    // The displaced member is next in line, unless the newcomer took the one place of their common zone.
    const loser = this.#owning.losers[slot]!
    return this.#waiting.losers[slot] === loser ? this.#heirOf[slot]! : loser
  }
}

function ownersBySlot(sorted: readonly Member[], replicas: number): Int32Array {
  const table = new Int32Array(SLOTS * replicas)
  sweepOwners(sorted, replicas, ({ first, last, owners }) => {
    for (let slot = first; slot <= last; slot++) table.set(owners, slot * replicas)
  })
  return table
}

/** For each slot the member that one more replica would add: the difference of two sums, since owner sets only grow. */
function heirsBySlot(sorted: readonly Member[], replicas: number, ownersBefore: Int32Array): Int32Array {
  const heirs = new Int32Array(SLOTS)
  sweepOwners(sorted, replicas + 1, ({ first, last, owners }) => {
    let heir = 0
    for (const owner of owners) heir += owner
    for (let at = last * replicas; at < (last + 1) * replicas; at++) heir -= ownersBefore[at]!
    heirs.fill(heir, first, last + 1)
  })
  return heirs
}

/** The change of the sum of squared gaps by a token at each position: -2ab where it cuts a gap into a and b. */
function gapCosts(members: readonly Member[]): Float64Array {
  const isTaken = new Uint8Array(SLOTS)
  for (const { tokens } of members) for (const token of tokens) isTaken[token] = 1
  const before = new Int32Array(SLOTS)
  for (let round = 0, distance = 0; round < 2; round++) {
    for (let slot = 0; slot < SLOTS; slot++) before[slot] = distance = isTaken[slot] ? 0 : distance + 1
  }
  const costs = new Float64Array(SLOTS)
  for (let round = 0, distance = 0; round < 2; round++) {
    for (let slot = SLOTS - 1; slot >= 0; slot--) {
      distance = isTaken[slot] ? 0 : distance + 1
      costs[slot] = -2 * GAPS_SHARE * before[slot]! * distance
    }
  }
  return costs
}
