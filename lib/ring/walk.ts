// The clockwise walk that finds owners: one sweep around the ring finds the owners of every slot. Pure.
// Owns the owner rule. All other code that needs owners calls `sweepOwners`.
// The owner rule: walk clockwise from a slot; a token on the slot itself comes first. Take a member when its zone is
// new, or when a place is left because there are fewer zones than replicas. Stop at `replicas` members.
// Source: Karger et al., "Consistent hashing and random trees" (1997); the sweep is a move-to-front list.

import { assert } from '../errors.js'
import type { Member } from '../member.js'
import { SLOTS } from './slots.js'

/** The owners of one stretch of slots. The arrays are reused for the next stretch: copy what you keep. */
export interface Stretch {
  /**
   * The stretch is `first`..`last`, both included. There is a token at `last`, unless it is the last slot of the
   * circle.
   */
  readonly first: number
  readonly last: number
  /** The number of owners: the smaller of replicas and members. */
  readonly count: number
  /** Index of each owner among the members sorted by id, clockwise from the stretch. */
  readonly owners: Int32Array
  /** The position of each owner's token; SLOTS or more when the walk passed slot 0. */
  readonly positions: Int32Array
}

/**
 * The members in the order of their ids, which is their order on one slot. Throws INTERNAL when two have the same id.
 */
export function sortMembers(members: readonly Member[]): readonly Member[] {
  const sorted = [...members].sort((a, b) => (a.storeId < b.storeId ? -1 : a.storeId > b.storeId ? 1 : 0))
  sorted.forEach((member, index) => {
    assert(member.storeId !== sorted[index - 1]?.storeId, `a member is listed once: ${member.storeId}`)
  })
  return sorted
}

/** For each member the number of its zone, counted from 0; and the number of zones. */
export function numberZones(members: readonly Member[]): { zoneOf: Int32Array; zones: number } {
  const numbers = new Map<string, number>()
  const zoneOf = Int32Array.from(members, ({ zone }) => {
    const known = numbers.get(zone) ?? numbers.size
    numbers.set(zone, known)
    return known
  })
  return { zoneOf, zones: numbers.size }
}

/**
 * Visits each stretch of slots that have the same owners, from the last slot down to the first. `sorted` comes from
 * `sortMembers`; it may be empty (one stretch without owners). O(tokens + distinct positions x members walked).
 */
export function sweepOwners(sorted: readonly Member[], replicas: number, visit: (stretch: Stretch) => void): void {
  assert(Number.isInteger(replicas) && replicas >= 1, 'replicas is a whole number from 1')
  const { starts, bearers } = bucketTokens(sorted)
  const walk = new Walk(sorted, replicas)
  // The first round only finds the tokens that lie clockwise of the last slot.
  for (let slot = SLOTS - 1; slot >= 0; slot--) {
    for (let at = starts[slot + 1]! - 1; at >= starts[slot]!; at--) walk.pass(bearers[at]!, slot + SLOTS)
  }
  let last = SLOTS - 1
  for (let slot = SLOTS - 1; slot >= 0; slot--) {
    if (starts[slot] === starts[slot + 1]) continue
    if (slot < last) visit(walk.stretch(slot + 1, last))
    for (let at = starts[slot + 1]! - 1; at >= starts[slot]!; at--) walk.pass(bearers[at]!, slot)
    last = slot
  }
  visit(walk.stretch(0, last))
}

/** Counting sort of all tokens by position, then by member: those of slot s are bearers[starts[s]..starts[s+1]-1]. */
function bucketTokens(sorted: readonly Member[]): { starts: Int32Array; bearers: Int32Array } {
  const starts = new Int32Array(SLOTS + 1)
  let count = 0
  for (const { tokens, storeId } of sorted) {
    assert(tokens.length > 0, `member ${storeId} has a token`)
    count += tokens.length
    for (const token of tokens) {
      assert(Number.isInteger(token) && token >= 0 && token < SLOTS, `token ${token} is a slot`)
      starts[token + 1]!++
    }
  }
  for (let slot = 0; slot < SLOTS; slot++) starts[slot + 1]! += starts[slot]!
  const free = starts.slice()
  const bearers = new Int32Array(count)
  sorted.forEach(({ tokens }, member) => {
    for (const token of tokens) bearers[free[token]!++] = member
  })
  return { starts, bearers }
}

/**
 * All members in the order in which a walk from the current point meets them. The order is updated as the point moves
 * back.
 */
class Walk {
  readonly #members: number
  readonly #zoneOf: Int32Array
  readonly #owners: Int32Array
  readonly #positions: Int32Array
  /** The number of owners that may come from a zone that has an owner already. */
  readonly #spare: number
  /** A linked list of members; index `#members` is its head and its end. */
  readonly #next: Int32Array
  readonly #previous: Int32Array
  /** Position of the next token of each member. */
  readonly #met: Int32Array
  /** The last walk in which a zone was used. */
  readonly #usedIn: Int32Array
  #walks = 0

  constructor(sorted: readonly Member[], replicas: number) {
    const { zoneOf, zones } = numberZones(sorted)
    const count = sorted.length
    this.#members = count
    this.#zoneOf = zoneOf
    this.#spare = Math.max(0, replicas - zones)
    this.#owners = new Int32Array(Math.min(replicas, count))
    this.#positions = new Int32Array(this.#owners.length)
    this.#met = new Int32Array(count)
    this.#usedIn = new Int32Array(zones)
    this.#next = Int32Array.from({ length: count + 1 }, (_, at) => (at + 1) % (count + 1))
    this.#previous = Int32Array.from({ length: count + 1 }, (_, at) => (at + count) % (count + 1))
  }

  /** Moves the start of the walk back to a token of `member`. */
  pass(member: number, position: number): void {
    const next = this.#next
    const previous = this.#previous
    const head = this.#members
    this.#met[member] = position
    if (next[head] === member) return
    next[previous[member]!] = next[member]!
    previous[next[member]!] = previous[member]!
    next[member] = next[head]!
    previous[member] = head
    previous[next[head]!] = member
    next[head] = member
  }

  stretch(first: number, last: number): Stretch {
    const owners = this.#owners
    let spare = this.#spare
    let count = 0
    this.#walks++
    for (let member = this.#next[this.#members]!; count < owners.length; member = this.#next[member]!) {
      const zone = this.#zoneOf[member]!
      if (this.#usedIn[zone] === this.#walks && spare-- <= 0) continue
      this.#usedIn[zone] = this.#walks
      owners[count] = member
      this.#positions[count++] = this.#met[member]!
    }
    return { first, last, count, owners, positions: this.#positions }
  }
}
