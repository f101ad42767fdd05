// The token rule: balance after joins and removals, little movement, weights, zones, and a cost that is foreseen
// rightly.
// time limit: 300 s
// virtual time

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Member } from '../../lib/member.js'
import { balance, movedSlots } from '../../lib/ring/balance.js'
import { displacementOf } from '../../lib/ring/displacement.js'
import { ownerSet, ownerTable } from '../../lib/ring/owners.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { chooseTokens, TOKENS_PER_WEIGHT } from '../../lib/ring/tokens.js'
import { sortMembers } from '../../lib/ring/walk.js'
import { anyMembers, anyReplicas, candidate, grow } from './ring-support.js'

const test = suite('ring tokens')

const REPLICAS = 3
/** Element n is the ring after n joins. Made once because several tests use it. */
const rings = grow(64, REPLICAS)

/** The same number gives the same shuffle. */
function drawn(members: readonly Member[], count: number, seed: number): Member[] {
  return fc.sample(fc.shuffledSubarray([...members], { minLength: count, maxLength: count }), { seed, numRuns: 1 })[0]!
}

test('the replicated load stays within 1.05 of the mean at every size while members join one by one', () => {
  for (const members of rings.slice(4)) {
    const { maxToMean } = balance(members, REPLICAS)
    assert.ok(maxToMean <= 1.05, `${members.length} members: ${maxToMean}`)
  }
})

test('a join moves at most 5 % more slots than the fewest possible, and none between old members', () => {
  for (const members of rings.slice(4)) {
    const { gained, gainedByOld } = movedSlots(members.slice(0, -1), members, REPLICAS)
    const fewest = (REPLICAS * SLOTS) / members.length
    assert.ok(Math.abs(gained / fewest - 1) <= 0.05, `${members.length} members: ${gained} of ${fewest}`)
    assert.is(gainedByOld, 0)
  }
})

test('the replicated load stays within 1.15 of the mean when up to a third of the members leave', () => {
  for (const size of [6, 8, 12, 16, 32, 64]) {
    for (let trial = 0; trial < 4; trial++) {
      const order = drawn(rings[size]!, size, size * 100 + trial)
      for (let removed = 1; removed <= size / 3; removed++) {
        const { maxToMean } = balance(order.slice(removed), REPLICAS)
        assert.ok(maxToMean <= 1.15, `${removed} of ${size} removed, trial ${trial}: ${maxToMean}`)
      }
    }
  }
})

test('when any one member leaves, the others take its load evenly', () => {
  for (const members of [rings[8]!, rings[16]!, rings[32]!]) {
    for (const removed of members) {
      const { maxToMean } = balance(
        members.filter((member) => member !== removed),
        REPLICAS
      )
      assert.ok(maxToMean <= 1.04, `${removed.peerId} of ${members.length} removed: ${maxToMean}`)
    }
  }
})

test('joins after removals restore the load to 1.05', () => {
  let members = drawn(rings[24]!, 16, 1)
  for (let number = 100; number < 108; number++) {
    const joiner = candidate(number)
    members = [...members, { ...joiner, tokens: chooseTokens(members, joiner, REPLICAS) }]
  }
  const { maxToMean } = balance(members, REPLICAS)
  assert.ok(maxToMean <= 1.05, `${maxToMean}`)
})

test('members of different weights carry load in proportion', () => {
  const weightOf = (number: number) => [1, 2, 0.5, 1, 4, 0.25][number % 6]!
  for (const members of grow(18, REPLICAS, { weightOf }).slice(12)) {
    for (const { slots, fairSlots } of balance(members, REPLICAS).loads) {
      assert.ok(Math.abs(slots / fairSlots - 1) <= 0.1, `${members.length} members: ${slots} of ${fairSlots}`)
    }
  }
})

test('members of three equal zones are balanced as well', () => {
  const zoneOf = (number: number) => ['x', 'y', 'z'][number % 3]!
  for (const members of [6, 9, 15].map((size) => grow(size, REPLICAS, { zoneOf })[size]!)) {
    const { maxToMean } = balance(members, REPLICAS)
    assert.ok(maxToMean <= 1.05, `${members.length} members: ${maxToMean}`)
  }
})

test('other numbers of replicas are balanced as well', () => {
  for (const replicas of [1, 2, 5]) {
    const members = grow(12, replicas)[12]!
    const { maxToMean } = balance(members, replicas)
    assert.ok(maxToMean <= 1.05, `${replicas} replicas: ${maxToMean}`)
  }
})

test('joiners that choose at once from one view choose different tokens', () => {
  const joiners = Array.from({ length: 10 }, (_, at) => candidate(200 + at))
  const members = [
    ...rings[10]!,
    ...joiners.map((one) => ({ ...one, tokens: chooseTokens(rings[10]!, one, REPLICAS) }))
  ]
  const { maxToMean } = balance(members, REPLICAS)
  assert.ok(maxToMean <= 1.3, `${maxToMean}`)
})

test('tokens are ascending, distinct slots, 64 for each unit of weight and at least one', () => {
  for (const weight of [0.001, 0.3, 1, 2.5, 16]) {
    for (const members of [[], rings[5]!]) {
      const tokens = chooseTokens(members, { ...candidate(300), weight }, REPLICAS)
      assert.is(tokens.length, Math.max(1, Math.round(TOKENS_PER_WEIGHT * weight)))
      for (const [at, token] of tokens.entries()) {
        assert.ok(Number.isInteger(token) && token > (tokens[at - 1] ?? -1) && token < SLOTS)
      }
    }
  }
  for (const weight of [0, -1, 17, Number.NaN]) {
    assert.throws(() => chooseTokens([], { ...candidate(300), weight }, REPLICAS), /weight/)
  }
})

test('the same inputs give the same tokens, in any order of the members', () => {
  const joiner = candidate(400)
  const tokens = chooseTokens(rings[9]!, joiner, REPLICAS)
  assert.equal(chooseTokens(rings[9]!.toReversed(), joiner, REPLICAS), tokens)
  assert.is.not(String(chooseTokens(rings[9]!, candidate(401), REPLICAS)), String(tokens))
})

test('the foreseen cost of a position equals its real cost, in any ring and zone', () => {
  const anyPosition = fc.oneof(fc.integer({ min: 0, max: SLOTS - 1 }), fc.integer({ min: 0, max: 30 }))
  fc.assert(
    fc.property(anyMembers(2), anyReplicas, anyPosition, (drawnMembers, replicas, position) => {
      const [first, ...members] = drawnMembers
      fc.pre(members.length >= replicas)
      const joiner = { ...first!, tokens: [position] }
      const sorted = sortMembers(members)
      const { losers, starts } = displacementOf(sorted, joiner, replicas)
      const before = ownerTable(members, replicas)
      const after = ownerTable([...members, joiner], replicas)
      for (let slot = 0; slot < SLOTS; slot++) {
        const start = starts[position]!
        const isTaken = (slot <= position && slot >= start) || slot - SLOTS >= start
        const loser = sorted[losers[slot]!]!.storeId
        const kept = ownerSet(before, slot).filter((owner) => !isTaken || owner !== loser)
        const expected = isTaken ? [...kept, joiner.storeId].sort() : kept
        if (String(ownerSet(after, slot)) !== String(expected))
          assert.equal(ownerSet(after, slot), expected, `slot ${slot}`)
      }
    }),
    { numRuns: 60 }
  )
})

test.run()
