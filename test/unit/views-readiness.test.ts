// Consequences of readiness: settled configs, bases and remaining slots, compared with plain counts over random chains.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberId } from '../../lib/member.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { ViewChange } from '../../lib/views/chain.js'
import { newestConfig, rebaseConfigs } from '../../lib/views/configs.js'
import {
  basesOf,
  countSlots,
  longestWindow,
  mergeBases,
  type Readiness,
  settle,
  unreadySlots
} from '../../lib/views/readiness.js'
import { anyChain, anyReadiness, founding, holds, id, member, tablesOf } from './views-support.js'

const test = suite('views/readiness')

const GROWTH: ViewChange[] = [
  { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
  { number: 2, joins: [member(2)], removals: [] },
  { number: 3, joins: [member(3)], removals: [] }
]

function readyFor(...pairs: readonly (readonly [number, number])[]): Readiness {
  return new Map(pairs.map(([number, config]) => [id(number), new Uint32Array(SLOTS).fill(config)]))
}

test('the base moves to the newest config with a quorum of its own owners ready', () => {
  holds(
    fc.property(
      anyChain().chain((changes) => fc.tuple(fc.constant(changes), anyReadiness(changes))),
      ([changes, readiness]) => {
        const table = tablesOf(changes).at(-1)!
        const before = basesOf(table)
        const after = settle(table, before, readiness)
        for (let slot = 0; slot < SLOTS; slot++) {
          let expected = before[slot]!
          for (const { begin, owners } of table.windows[slot]!) {
            const ready = owners.filter((owner) => readiness.get(owner)?.[slot] === begin).length
            if (begin > expected && ready >= Math.floor(owners.length / 2) + 1) expected = begin
          }
          assert.is(after[slot], expected)
        }
        assert.is(settle(table, after, readiness), after, 'counting again finds nothing new')
        assert.is(settle(rebaseConfigs(table, after), after, readiness), after, 'nor does it in the shorter windows')
      }
    ),
    40
  )
})

test('of two owners both must be ready', () => {
  const table = tablesOf(GROWTH)[1]!
  const bases = basesOf(table)
  assert.is(settle(table, bases, readyFor([1, 2])), bases)
  assert.is(settle(table, bases, readyFor([1, 2], [2, 2]))[0], 2)
})

test('readiness for another config with the same owners does not count', () => {
  // Member 2 joins and leaves, so config 3 has the owners of config 1.
  const [first, second] = GROWTH
  const table = tablesOf([first!, second!, { number: 3, joins: [], removals: [id(2)] }])[2]!
  const bases = basesOf(table)
  assert.equal(
    table.windows[0]!.map(({ begin }) => begin),
    [1, 2, 3]
  )
  assert.is(settle(table, bases, readyFor([1, 1])), bases)
  assert.is(settle(table, bases, readyFor([1, 2])), bases)
  assert.is(settle(table, bases, readyFor([1, 3]))[0], 3)
})

test('readiness of a member that owns nothing in a config does not count', () => {
  const table = tablesOf(GROWTH)[1]!
  const bases = basesOf(table)
  assert.is(settle(table, bases, readyFor([1, 2], [3, 2], [4, 2])), bases)
})

test('a base learned from another peer is not moved back by counting', () => {
  const table = tablesOf(GROWTH)[2]!
  const told = new Uint32Array(SLOTS).fill(3)
  assert.is(settle(table, told, readyFor([1, 2], [2, 2])), told)
})

test('bases merge to the higher one in each slot, and stay the same object when none is higher', () => {
  const sparse = fc.array(fc.tuple(fc.integer({ min: 0, max: SLOTS - 1 }), fc.integer({ min: 0, max: 9 })), {
    maxLength: 20
  })
  const table = (list: [number, number][]) => {
    const values = new Uint32Array(SLOTS)
    for (const [slot, value] of list) values[slot] = value
    return values
  }
  holds(
    fc.property(sparse.map(table), sparse.map(table), (mine, theirs) => {
      const merged = mergeBases(mine, theirs)
      const copy = mine.slice()
      assert.ok(merged.every((value, slot) => value === Math.max(mine[slot]!, theirs[slot]!)))
      assert.equal(mine, copy)
      assert.is(mergeBases(merged, theirs), merged)
      assert.is(mergeBases(merged, mine), merged)
      assert.equal(mergeBases(theirs, mine), merged)
    }),
    50
  )
})

test('the unready slots of a member are those of the newest config that it owns without being ready', () => {
  holds(
    fc.property(
      anyChain().chain((changes) => fc.tuple(fc.constant(changes), anyReadiness(changes))),
      ([changes, readiness]) => {
        const table = tablesOf(changes).at(-1)!
        for (const [self, ready] of readiness) {
          const expected: number[] = []
          table.windows.forEach((window, slot) => {
            const { begin, owners } = newestConfig(window)
            if (owners.includes(self) && ready[slot] !== begin) expected.push(slot)
          })
          assert.equal(unreadySlots(table, self, ready), expected)
        }
      }
    ),
    20
  )
})

test('a slot is settled with one config, moving with several, at risk with too few owners up in one', () => {
  const isUp =
    (...down: number[]) =>
    (one: MemberId) =>
      !down.map(id).includes(one)
  const down = (...all: number[]) => ({ reads: isUp(...all), writes: isUp(...all) })
  const full = (...all: number[]) => ({ reads: isUp(), writes: isUp(...all) })
  const none = { atRisk: 0, unwritable: 0 }
  const all = { atRisk: SLOTS, unwritable: SLOTS }
  const [one, two, three] = tablesOf(GROWTH)
  assert.equal(countSlots(one!, down()), { settled: SLOTS, moving: 0, ...none })
  assert.equal(countSlots(one!, down(1)), { settled: SLOTS, moving: 0, ...all })
  assert.equal(countSlots(two!, down(2)), { settled: 0, moving: SLOTS, ...all })
  assert.equal(countSlots(three!, down(3)), { settled: 0, moving: SLOTS, ...none })
  const settled = rebaseConfigs(three!, new Uint32Array(SLOTS).fill(3))
  assert.equal(countSlots(settled, down(1)), { settled: SLOTS, moving: 0, ...none })
  assert.equal(countSlots(settled, down(1, 2)), { settled: SLOTS, moving: 0, ...all })
  assert.equal(countSlots(settled, full(1)), { settled: SLOTS, moving: 0, ...none })
  assert.equal(countSlots(settled, full(1, 2)), { settled: SLOTS, moving: 0, ...none, unwritable: SLOTS })
  assert.is(longestWindow(three!), 3)
  assert.is(longestWindow(settled), 1)
})

test.run()
