// Members for the tests of the ring: made by number, grown by joins one after the other, or drawn by fast-check. Also
// the owner rule written as plainly as possible.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { Member, MemberId } from '../../lib/member.js'
import { chooseTokens } from '../../lib/ring/tokens.js'

export function memberId(family: string, number: number): MemberId {
  return createHash('sha256').update(`${family}/${number}`).digest('hex').slice(0, 32)
}

export interface Traits {
  readonly family?: string
  readonly weightOf?: (number: number) => number
  readonly zoneOf?: (number: number) => string
}

export function candidate(number: number, traits: Traits = {}): Omit<Member, 'tokens'> {
  return {
    storeId: memberId(traits.family ?? 'ring', number),
    peerId: `peer-${number}`,
    zone: traits.zoneOf?.(number) ?? '',
    weight: traits.weightOf?.(number) ?? 1
  }
}

/** Rings grown by joins one after the other; element n has n members. */
export function grow(size: number, replicas: number, traits: Traits = {}): Member[][] {
  const rings: Member[][] = [[]]
  for (let number = 0; number < size; number++) {
    const members = rings[number]!
    const joiner = candidate(number, traits)
    rings.push([...members, { ...joiner, tokens: chooseTokens(members, joiner, replicas) }])
  }
  return rings
}

/** Rings of any shape: few or many members, few zones, and several tokens on one slot. */
export function anyMembers(minLength: number): fc.Arbitrary<Member[]> {
  const slot = fc.oneof(fc.integer({ min: 0, max: 16383 }), fc.integer({ min: 0, max: 30 }), fc.constant(16383))
  const traits = fc.record({
    storeId: fc.integer({ min: 0, max: 1 << 20 }).map((number) => memberId('any', number)),
    peerId: fc.constant('peer'),
    tokens: fc.uniqueArray(slot, { minLength: 1, maxLength: 8 }).map((tokens) => tokens.sort((a, b) => a - b)),
    zone: fc.constantFrom('', 'a', 'b', 'c'),
    weight: fc.constantFrom(0.5, 1, 2)
  })
  return fc.uniqueArray(traits, { minLength, maxLength: 9, selector: ({ storeId }) => storeId })
}

export const anyReplicas = fc.integer({ min: 1, max: 5 })

/**
 * The owner rule, plainly: the first pass over the walk takes new zones, the second fills the remaining places.
 * Clockwise.
 */
export function naiveOwners(members: readonly Member[], slot: number, replicas: number): MemberId[] {
  const met: Member[] = []
  const tokens = members.flatMap((member) =>
    member.tokens.map((token) => ({ member, away: (token - slot + 16384) % 16384 }))
  )
  tokens.sort((a, b) => a.away - b.away || (a.member.storeId < b.member.storeId ? -1 : 1))
  for (const { member } of tokens) if (!met.includes(member)) met.push(member)
  const chosen: Member[] = []
  for (const member of met) {
    if (chosen.length < replicas && !chosen.some(({ zone }) => zone === member.zone)) chosen.push(member)
  }
  for (const member of met) if (chosen.length < replicas && !chosen.includes(member)) chosen.push(member)
  return met.filter((member) => chosen.includes(member)).map(({ storeId }) => storeId)
}
