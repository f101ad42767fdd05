// The model of atomic operations on groups of keys (test/model): directed scenarios, planted bugs, and some seeds.
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SCENARIOS, verdictOf } from '../model/all-scenarios.js'
import { contend } from '../model/contention.js'
import { DEVIATIONS, type Deviation, deviationsOf, HARMLESS, NO_DEVIATION } from '../model/deviations.js'
import { type HistoryEntry, judge } from '../model/linearizability.js'
import type { OperationKind } from '../model/operations.js'
import { search } from '../model/search.js'

const test = suite('model groups')
const X = 1
const Y = 2
const XY = X | Y

for (const scenario of SCENARIOS) {
  test(`${scenario.name} ends well by the rules, and finds ${scenario.finds.join(', ')}`, () => {
    assert.is(verdictOf(scenario), undefined)
    for (const deviation of scenario.finds) {
      assert.ok(verdictOf(scenario, new Set([deviation])), `${deviation} is not found`)
    }
  })
}

test('every deviation that does harm is found by a scenario', () => {
  const found = new Set(SCENARIOS.flatMap(({ finds }) => finds))
  const missing = (Object.keys(DEVIATIONS) as Deviation[]).filter((one) => !found.has(one) && !HARMLESS.has(one))
  assert.equal(missing, [])
})

for (const [kind, seeds] of [
  ['script', 400],
  ['fixedScript', 200],
  ['usual', 50],
  ['hard', 15]
] as const) {
  test(`${seeds} ${kind} seeds keep the rules`, () => {
    const { violations, firstSeed } = search(1, seeds, NO_DEVIATION, kind)
    assert.is(violations, 0, `${kind} seed ${firstSeed}`)
  })
}

test('random scripts find that the natural design is wrong', () => {
  assert.ok(search(1, 150, deviationsOf('natural'), 'fixedScript').violations > 0)
})

test('a seed runs the same way each time', () => {
  assert.equal(search(7, 3, NO_DEVIATION, 'usual'), search(7, 3, NO_DEVIATION, 'usual'))
})

test('a group costs two phases, and one when several keys are read that one group wrote', () => {
  const [write] = contend([{ kind: 'appendAll', keys: XY }], 3, 0, 20)
  assert.is(Math.round(write!.phases), 2)
  assert.is(Math.round(write!.ok), 1)
  const before = [{ kind: 'appendAll', keys: XY, router: 0 }] as const
  const [set] = contend([{ kind: 'set', keys: X, router: 0 }], 3, 0, 20, before)
  assert.is(Math.round(set!.phases), 1)
})

const entry = (
  kind: OperationKind,
  keys: number,
  name: string,
  start: number,
  end: number,
  answer: string
): HistoryEntry => ({ kind, keys, name, start, end, answer })

test('the checker takes a group as one step', () => {
  const group = entry('appendAll', XY, 'A', 1, 9, 'A|A')
  const oldThenNew = [group, entry('get', X, '', 2, 3, '-'), entry('get', Y, '', 4, 5, 'A')]
  assert.is(judge(oldThenNew, 2), 'linearizable')
  const newThenOld = [group, entry('get', X, '', 2, 3, 'A'), entry('get', Y, '', 4, 5, '-')]
  assert.is(judge(newThenOld, 2), 'not linearizable')
})

test('the checker takes an operation with an unknown outcome as done or not done, at any later time', () => {
  const group = entry('appendAll', XY, 'A', 1, Infinity, '')
  const late = [group, entry('get', X, '', 20, 21, '-'), entry('getAll', XY, '', 30, 31, 'A|A')]
  assert.is(judge(late, 2), 'linearizable')
  const half = [group, entry('set', Y, 'B', 2, 3, '.'), entry('get', X, '', 20, 21, '-')]
  assert.is(judge([...half, entry('getAll', XY, '', 30, 31, 'A|B')], 2), 'not linearizable')
  assert.is(judge([...half, entry('getAll', XY, '', 30, 31, 'A|BA')], 2), 'linearizable')
})

test.run()
