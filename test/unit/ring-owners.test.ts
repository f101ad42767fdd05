// The owner rule: equal to a naive walk, distinct, spread over zones. Joins and removals move no more slots than they
// must.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import type { Member } from '../../lib/member.js'
import { balance, fairSlots, movedSlots } from '../../lib/ring/balance.js'
import { ownerSet, ownersOf, ownerTable } from '../../lib/ring/owners.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { anyMembers, anyReplicas, memberId, naiveOwners } from './ring-support.js'

const test = suite('ring owners')

/** Every slot at which owners may change, its neighbours, and slots 0 and 16383. */
function tellingSlots(members: readonly Member[]): number[] {
  const near = members.flatMap(({ tokens }) => tokens).flatMap((token) => [token - 1, token, token + 1])
  return [...new Set([0, SLOTS - 1, ...near])].filter((slot) => slot >= 0 && slot < SLOTS)
}

function member(name: string, zone: string, tokens: readonly number[]): Member {
  return { storeId: name.repeat(32), peerId: name, zone, weight: 1, tokens }
}

test('the table and the clockwise list equal the naive walk', () => {
  fc.assert(
    fc.property(anyMembers(0), anyReplicas, (members, replicas) => {
      const table = ownerTable(members, replicas)
      tellingSlots(members).forEach((slot, at) => {
        const expected = naiveOwners(members, slot, replicas)
        assert.equal(ownerSet(table, slot), expected.toSorted(), `slot ${slot}`)
        if (at < 12) assert.equal(ownersOf(members, slot, replicas), expected, `slot ${slot}`)
      })
    }),
    { numRuns: 150 }
  )
})

test('owners are distinct, as many as replicas or members, and in as many zones as possible', () => {
  fc.assert(
    fc.property(anyMembers(1), anyReplicas, (members, replicas) => {
      const zoneOf = new Map(members.map(({ storeId, zone }) => [storeId, zone]))
      const zones = new Set(zoneOf.values()).size
      for (const set of ownerTable(members, replicas).sets) {
        assert.is(new Set(set).size, Math.min(replicas, members.length))
        assert.is(set.length, Math.min(replicas, members.length))
        assert.is(new Set(set.map((owner) => zoneOf.get(owner))).size, Math.min(replicas, zones))
      }
    })
  )
})

test('equal owner sets are one frozen object, and the order of the members does not matter', () => {
  fc.assert(
    fc.property(anyMembers(1), anyReplicas, (members, replicas) => {
      const table = ownerTable(members, replicas)
      assert.is(new Set(table.sets.map(String)).size, table.sets.length)
      assert.ok(Object.isFrozen(table.sets) && table.sets.every((set) => Object.isFrozen(set)))
      assert.equal(ownerTable(members.toReversed(), replicas), table)
    })
  )
})

test('a join moves slots to the joiner only, and a removal only replaces the removed member', () => {
  fc.assert(
    fc.property(anyMembers(2), anyReplicas, (members, replicas) => {
      const [changing, ...others] = members
      const with_ = ownerTable(members, replicas)
      const without = ownerTable(others, replicas)
      for (const slot of tellingSlots(members)) {
        const more = ownerSet(with_, slot)
        const less = ownerSet(without, slot)
        const survivors = more.filter((owner) => owner !== changing!.storeId)
        assert.ok(
          survivors.every((owner) => less.includes(owner)),
          `slot ${slot}: survivors stay`
        )
        if (survivors.length === more.length) assert.equal(less, more, `slot ${slot}: untouched`)
      }
      assert.is(movedSlots(others, members, replicas).gainedByOld, 0)
    }),
    { numRuns: 200 }
  )
})

test('a token on the slot itself comes first, and two on one slot count by member id', () => {
  const ring = [member('b', '', [100]), member('a', '', [100, 50]), member('c', '', [101])]
  assert.equal(
    ownersOf(ring, 100, 3),
    ['a', 'b', 'c'].map((name) => name.repeat(32))
  )
  assert.equal(
    ownersOf(ring, 101, 2),
    ['c', 'a'].map((name) => name.repeat(32))
  )
})

test('the nearest members fill the places when there are fewer zones than replicas', () => {
  const ring = [member('a', 'x', [10]), member('b', 'x', [20]), member('c', 'x', [30]), member('d', 'y', [40])]
  assert.equal(
    ownersOf(ring, 5, 3),
    ['a', 'b', 'd'].map((name) => name.repeat(32))
  )
})

test('without members every slot has the empty set', () => {
  assert.equal(ownerTable([], 3).sets, [[]])
  assert.equal(ownersOf([], 7, 3), [])
  assert.is(balance([], 3).maxToMean, 1)
})

test('a member listed twice, without tokens, or with one that is no slot breaks an invariant', () => {
  const good = { storeId: memberId('bad', 1), peerId: '', zone: '', weight: 1, tokens: [1] }
  for (const bad of [
    [good, good],
    [{ ...good, tokens: [] }],
    [{ ...good, tokens: [SLOTS] }],
    [{ ...good, tokens: [0.5] }]
  ]) {
    assert.throws(
      () => ownerTable(bad, 3),
      (error: unknown) => error instanceof RingdError && error.code === 'INTERNAL'
    )
  }
  assert.throws(() => ownerTable([good], 0), /replicas/)
})

test('balance equals the counts of the naive walk', () => {
  fc.assert(
    fc.property(anyMembers(1), anyReplicas, (members, replicas) => {
      const counts = new Map(members.map(({ storeId }) => [storeId, 0]))
      const table = ownerTable(members, replicas)
      for (let slot = 0; slot < SLOTS; slot++) {
        for (const owner of ownerSet(table, slot)) counts.set(owner, counts.get(owner)! + 1)
      }
      for (const { storeId, slots } of balance(members, replicas).loads) assert.is(slots, counts.get(storeId))
    }),
    { numRuns: 30 }
  )
})

test('fair shares are proportional to weight, and no member owns a slot twice', () => {
  assert.equal(fairSlots([1, 1, 2], 1), [SLOTS / 4, SLOTS / 4, SLOTS / 2])
  assert.equal(fairSlots([1, 16, 1], 2), [SLOTS / 2, SLOTS, SLOTS / 2])
  assert.equal(fairSlots([1, 1], 3), [SLOTS, SLOTS])
})

test('moved slots count the slots that the newer owners lack', () => {
  const a = member('a', '', [0])
  const b = member('b', '', [8192])
  assert.equal(movedSlots([a], [a, b], 1), { gained: 8192, gainedByOld: 0 })
  assert.equal(movedSlots([a, b], [a], 1), { gained: 8192, gainedByOld: 8192 })
  assert.equal(movedSlots([a], [a, b], 2), { gained: SLOTS, gainedByOld: 0 })
})

test.run()
