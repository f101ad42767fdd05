// Configs and windows of random chains, compared with a slow and plain version of the same rules.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberId } from '../../lib/member.js'
import { ownersOf } from '../../lib/ring/owners.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { quorum, type ViewChange } from '../../lib/views/chain.js'
import {
  type ConfigTable,
  extendConfigs,
  newestConfig,
  pullQuorum,
  rebaseConfigs,
  type Window
} from '../../lib/views/configs.js'
import { basesOf, longestWindow } from '../../lib/views/readiness.js'
import { anyChain, cornerSlots, founding, holds, id, member, ownersOfView, tablesOf, viewsOf } from './views-support.js'

const test = suite('views/configs')

interface PlainConfig {
  readonly begin: number
  readonly owners: readonly MemberId[]
}

/** The longest runs of views with equal owners, named by their first view. */
function plainConfigs(changes: readonly ViewChange[], slot: number): PlainConfig[] {
  const configs: PlainConfig[] = []
  for (const view of viewsOf(changes)) {
    const owners = ownersOf([...view.members.values()], slot, view.founding.replicas).sort()
    if (configs.at(-1)?.owners.join() !== owners.join()) configs.push({ begin: view.number, owners })
  }
  return configs
}

function plain(window: Window): PlainConfig[] {
  return window.map(({ begin, owners }) => ({ begin, owners: [...owners] }))
}

test('a config is the longest run of views with equal owners, named by its first view', () => {
  holds(
    fc.property(anyChain(), (changes) => {
      const table = tablesOf(changes).at(-1)!
      assert.is(table.view, changes.length)
      for (const slot of cornerSlots(changes)) {
        const window = table.windows[slot]!
        assert.equal(plain(window), plainConfigs(changes, slot), `slot ${slot}`)
        for (const config of window) {
          assert.is(config.quorum, quorum(config.owners.length))
          assert.ok(pullQuorum(config) + config.quorum > config.owners.length, 'a pull meets every quorum')
        }
      }
    }),
    60
  )
})

test('the same owners later are another config', () => {
  const table = tablesOf([
    { number: 1, joins: [member(1)], removals: [], founding: founding(1) },
    { number: 2, joins: [member(2, [100])], removals: [] },
    { number: 3, joins: [], removals: [id(2)] }
  ]).at(-1)!
  assert.equal(plain(table.windows[100]!), [
    { begin: 1, owners: [id(1)] },
    { begin: 2, owners: [id(2)] },
    { begin: 3, owners: [id(1)] }
  ])
})

test('a slot whose owners stay keeps its window object', () => {
  holds(
    fc.property(anyChain({ viewsMin: 2 }), (changes) => {
      const tables = tablesOf(changes)
      for (let at = 1; at < tables.length; at++) {
        for (let slot = 0; slot < SLOTS; slot++) {
          const before = tables[at - 1]!.windows[slot]!
          const after = tables[at]!.windows[slot]!
          assert.is(after === before, newestConfig(after) === newestConfig(before))
        }
      }
    }),
    20
  )
})

test('rebasing cuts each window at its base, and ignores a base that names none of its configs', () => {
  holds(
    fc.property(
      anyChain(),
      fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 12 }),
      (changes, some) => {
        const table = tablesOf(changes).at(-1)!
        const bases = Uint32Array.from({ length: SLOTS }, (_, slot) => some[slot % some.length]!)
        const rebased = rebaseConfigs(table, bases)
        for (let slot = 0; slot < SLOTS; slot++) {
          const window = table.windows[slot]!
          const from = window.findIndex(({ begin }) => begin === bases[slot])
          const expected = from === -1 ? window : window.slice(from)
          const got = rebased.windows[slot]!
          assert.ok(
            got.length === expected.length && got.every((config, at) => config === expected[at]),
            `slot ${slot}`
          )
          if (expected.length === window.length) assert.is(got, window)
        }
      }
    ),
    40
  )
})

test('rebasing a table on its own bases gives the same table', () => {
  holds(
    fc.property(anyChain(), (changes) => {
      const table = tablesOf(changes).at(-1)!
      assert.is(rebaseConfigs(table, basesOf(table)), table)
      assert.is(rebaseConfigs(table, new Uint32Array(SLOTS)), table)
      assert.is(rebaseConfigs(table, new Uint32Array(SLOTS).fill(changes.length + 1)), table)
    }),
    20
  )
})

test('slots with the same history share one window object, and other slots do not', () => {
  holds(
    fc.property(anyChain(), (changes) => {
      const windows = new Set(tablesOf(changes).at(-1)!.windows)
      const names = new Set(Array.from(windows, (window) => JSON.stringify(plain(window))))
      assert.is(names.size, windows.size)
    }),
    20
  )
})

test('slots that settle one after the other share one window again', () => {
  const changes: ViewChange[] = [
    { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
    { number: 2, joins: [member(2), member(3)], removals: [] }
  ]
  let table: ConfigTable = tablesOf(changes).at(-1)!
  const bases = new Uint32Array(SLOTS).fill(1)
  for (let first = 0; first < SLOTS; first += SLOTS / 4) {
    bases.fill(2, first, first + SLOTS / 4)
    table = rebaseConfigs(table, bases)
  }
  assert.is(longestWindow(table), 1)
  assert.is(new Set(table.windows).size, 1)
  const view = viewsOf([...changes, { number: 3, joins: [member(4)], removals: [] }]).at(-1)!
  const sets = ownersOfView(view)
  assert.ok(new Set(extendConfigs(table, 3, sets).windows).size <= sets.sets.length + 1)
})

test('a table without a chain has windows of one config', () => {
  const [table] = tablesOf([{ number: 1, joins: [member(1), member(2)], removals: [], founding: founding(1) }])
  assert.is(longestWindow(table!), 1)
  assert.is(new Set(table!.windows).size, 2)
})

test.run()
