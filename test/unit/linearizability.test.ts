// The check for linearizability: histories written by hand, and random ones beside a naive checker that tries every
// order. Also its speed.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLinearizability } from '../sim/checkers/linearizability/check.js'
import type { Operation } from '../sim/checkers/linearizability/operations.js'
import { seeded } from '../sim/sim-node.js'
import {
  add,
  changed,
  correctHistory,
  get,
  group,
  incr,
  isLinearizableNaive,
  lost,
  op,
  put,
  remove,
  type Shape
} from './linearizability-support.js'

const test = suite('linearizability')

/** `linearizable`, `unchecked`, or the name of the first operation that no order explains. */
function verdictOf(operations: readonly Operation[], statesMax?: number): string {
  const { broken, unchecked } = checkLinearizability(operations, { statesMax })
  return broken[0]?.operation.name ?? (unchecked.length > 0 ? 'unchecked' : 'linearizable')
}

interface Pair {
  readonly name: string
  readonly given: readonly Operation[]
  readonly good: readonly Operation[]
  /** The last one is the first that no order explains. */
  readonly bad: readonly Operation[]
}

const found = (value: string | null) => ({ found: value })
const A = op(0, 1, put('a'))

const PAIRS: readonly Pair[] = [
  {
    name: 'a read returns the value that was put before it',
    given: [A, op(2, 3, put('b'))],
    good: [op(4, 5, get, found('b'))],
    bad: [op(4, 5, get, found('a'))]
  },
  {
    name: 'a read during a put returns either value, and later reads do not go back',
    given: [A, op(2, 9, put('b')), op(3, 4, get, found('b'))],
    good: [op(5, 6, get, found('b'))],
    bad: [op(5, 6, get, found('a'))]
  },
  {
    name: 'of two racing puts one is the last for everybody: 1, 2, 1',
    given: [op(0, 9, put('1')), op(0, 9, put('2')), op(1, 2, get, found('1')), op(3, 4, get, found('2'))],
    good: [op(5, 6, get, found('2'))],
    bad: [op(5, 6, get, found('1'))]
  },
  {
    name: 'a put of unknown outcome takes effect late, and only once',
    given: [lost(0, put('x')), op(1, 2, put('a')), op(3, 4, get, found('x')), op(5, 6, put('b'))],
    good: [op(7, 8, get, found('b'))],
    bad: [op(7, 8, get, found('x'))]
  },
  {
    name: 'two increments get different results',
    given: [op(0, 5, incr, { value: '1' })],
    good: [op(1, 6, incr, { value: '2' })],
    bad: [op(1, 6, incr, { value: '1' })]
  },
  {
    name: 'an increment of unknown outcome fills one gap',
    given: [op(0, 1, incr, { value: '1' }), lost(2, incr), op(3, 4, incr, { value: '3' })],
    good: [op(5, 6, incr, { value: '4' })],
    bad: [op(5, 6, incr, { value: '5' })]
  },
  {
    name: 'an increment cannot fill a gap before it began',
    given: [op(0, 1, incr, { value: '1' })],
    good: [lost(2, incr), op(4, 5, incr, { value: '3' })],
    bad: [lost(6, incr), op(4, 5, incr, { value: '3' })]
  },
  {
    name: 'an append is seen once',
    given: [op(0, 1, add('x')), op(2, 3, add('y'), { length: 2 })],
    good: [op(4, 5, get, found('xy'))],
    bad: [op(4, 5, get, found('xyx'))]
  },
  {
    name: 'a lock is taken by one client only',
    given: [op(0, 5, put('mine', { only: 'absent' }), { done: true })],
    good: [op(1, 6, put('yours', { only: 'absent' }), { done: false })],
    bad: [op(1, 6, put('yours', { only: 'absent' }), { done: true })]
  },
  {
    name: 'a refused lock is held by somebody',
    given: [op(0, 1, put('mine', { only: 'absent' }), { done: true }), op(2, 3, remove, { done: true })],
    good: [lost(3, put('lost', { only: 'absent' })), op(4, 5, put('x', { only: 'absent' }), { done: false })],
    bad: [op(4, 5, put('x', { only: 'absent' }), { done: false })]
  },
  {
    name: 'a chain of exchanges returns each value once',
    given: [A, op(2, 9, put('b'), found('a'))],
    good: [op(3, 9.5, put('c'), found('b'))],
    bad: [op(3, 9.5, put('c'), found('a'))]
  },
  {
    name: 'a value is taken away once',
    given: [A, op(2, 9, remove, { found: 'a', done: true })],
    good: [op(3, 9.5, remove, { found: null, done: false })],
    bad: [op(3, 9.5, remove, { found: 'a', done: true })]
  },
  {
    name: 'a put with a version replaces that version only',
    given: [A, op(2, 3, get, { found: 'a', version: 'v1' }), op(4, 5, put('b', { ifVersion: 'v1' }), { done: true })],
    good: [op(6, 7, put('c', { ifVersion: 'v1' }), { done: false })],
    bad: [op(6, 7, put('c', { ifVersion: 'v1' }), { done: true })]
  },
  {
    name: 'a put with the version that is there is not refused',
    given: [A, op(2, 3, get, { found: 'a', version: 'v1' })],
    good: [op(4, 5, put('c', { ifVersion: 'v1' }), { done: true })],
    bad: [op(4, 5, put('c', { ifVersion: 'v1' }), { done: false })]
  },
  {
    name: 'one version has one value',
    given: [A, op(2, 3, get, { found: 'a', version: 'v1' }), op(4, 5, put('b'))],
    good: [op(6, 7, get, { found: 'b', version: 'v2' })],
    bad: [op(6, 7, get, { found: 'b', version: 'v1' })]
  },
  {
    name: 'an increment of a text is refused',
    given: [A],
    good: [op(2, 3, incr, { isUnfit: true })],
    bad: [op(2, 3, incr, { value: '1' })]
  },
  {
    name: 'an increment beyond 64 bits is refused',
    given: [op(0, 1, put('9223372036854775806')), op(2, 3, incr, { value: '9223372036854775807' })],
    good: [op(4, 5, incr, { isUnfit: true })],
    bad: [op(4, 5, incr, { value: '9223372036854775808' })]
  }
]

const at = (time: number) => ({ clock: [time, time] as const })
const EXPIRING: readonly Pair[] = [
  {
    name: 'a value ends when it expires, and not before',
    given: [op(0, 1, put('a', { expiresAt: 10 }))],
    good: [
      { ...op(2, 3, get, found('a')), ...at(9) },
      { ...op(4, 5, get, found(null)), ...at(10) }
    ],
    bad: [{ ...op(2, 3, get, found(null)), ...at(9) }]
  },
  {
    name: 'while clocks differ a value is there or not',
    given: [op(0, 1, put('a', { expiresAt: 10 })), { ...op(2, 3, get, found(null)), clock: [9, 11] }],
    good: [{ ...op(4, 5, get, found('a')), clock: [9, 10] }],
    bad: [{ ...op(4, 5, get, found('a')), clock: [10, 11] }]
  },
  {
    name: 'a value without expiry stays',
    given: [op(0, 1, put('a', { expiresAt: 10 })), { ...op(2, 3, { kind: 'persist' }, { done: true }), ...at(5) }],
    good: [{ ...op(4, 5, get, { found: 'a', expiresAt: null }), ...at(20) }],
    bad: [{ ...op(4, 5, get, found(null)), ...at(20) }]
  },
  {
    name: 'an increment keeps the expiry',
    given: [op(0, 1, put('1', { expiresAt: 10 })), { ...op(2, 3, incr, { value: '2' }), ...at(5) }],
    good: [{ ...op(4, 5, incr, { value: '1' }), ...at(10) }],
    bad: [{ ...op(4, 5, incr, { value: '3' }), ...at(10) }]
  },
  {
    name: 'a put with the expiry of the value before',
    given: [op(0, 1, put('a', { expiresAt: 10 })), { ...op(2, 3, put('b', { keepsExpiry: true })), ...at(5) }],
    good: [{ ...op(4, 5, get, { found: 'b', expiresAt: 10 }), ...at(6) }],
    bad: [{ ...op(4, 5, get, { found: 'b', expiresAt: null }), ...at(6) }]
  },
  {
    name: 'an expiry that may only grow',
    given: [op(0, 1, put('a', { expiresAt: 10 }))],
    good: [{ ...op(2, 3, { kind: 'expire', expiresAt: 9, only: 'sooner' }, { done: false }), ...at(5) }],
    bad: [{ ...op(2, 3, { kind: 'expire', expiresAt: 9, only: 'sooner' }, { done: true }), ...at(5) }]
  }
]

const move = (begin: number, end: number, by: number, left: string, right: string) =>
  group(begin, end, [
    { key: 'l', action: { kind: 'incr', by: -by }, answer: { value: left } },
    { key: 'r', action: { kind: 'incr', by }, answer: { value: right } }
  ])
const look = (begin: number, end: number, left: string | null, right: string | null) =>
  group(begin, end, [
    { key: 'l', action: get, answer: found(left) },
    { key: 'r', action: get, answer: found(right) }
  ])
const both = [
  { key: 'l', action: put('x') },
  { key: 'r', action: put('y') }
]

const GROUPS: readonly Pair[] = [
  {
    name: 'two keys change together',
    given: [move(0, 3, 5, '-5', '5')],
    good: [look(1, 2, null, null), look(2.5, 4, '-5', '5')],
    bad: [look(1, 4, '-5', null)]
  },
  {
    name: 'one key of a group is seen alone, and then the other one is changed as well',
    given: [move(0, 2.5, 5, '-5', '5'), op(1, 2, get, found('-5'), 'l')],
    good: [op(3, 4, get, found('5'), 'r')],
    bad: [op(3, 4, get, found(null), 'r')]
  },
  {
    name: 'a group of unknown outcome takes effect whole',
    given: [lost(0, put('z'), 'l'), group(0, Number.POSITIVE_INFINITY, both), op(1, 2, get, found('x'), 'l')],
    good: [op(3, 4, get, found('y'), 'r')],
    bad: [op(3, 4, get, found(null), 'r')]
  },
  {
    name: 'a group with a condition changes nothing when that does not hold',
    given: [op(0, 1, put('a'), {}, 'l')],
    good: [group(2, 3, both, { checks: [{ key: 'l', value: null }], checksHeld: false }), look(4, 5, 'a', null)],
    bad: [group(2, 3, both, { checks: [{ key: 'l', value: 'a' }], checksHeld: false })]
  },
  {
    name: 'a group with a condition on a version',
    given: [op(0, 1, put('a'), {}, 'l'), op(2, 3, get, { found: 'a', version: 'v1' }, 'l')],
    good: [group(4, 5, both, { checks: [{ key: 'l', version: 'v1' }] })],
    bad: [group(4, 5, both, { checks: [{ key: 'l', version: 'v2' }] })]
  }
]

for (const { name, given, good, bad } of [...PAIRS, ...EXPIRING, ...GROUPS]) {
  test(name, () => {
    assert.is(verdictOf([...given, ...good]), 'linearizable')
    assert.is(verdictOf([...given, ...bad]), bad.at(-1)!.name)
  })
}

test('keys are independent, and the message tells of the key', () => {
  const other = [op(0, 1, put('x'), {}, 'other'), op(2, 3, get, found('x'), 'other')]
  const { broken, groups } = checkLinearizability([A, op(2, 3, get, found('b')), ...other])
  assert.is(groups, 2)
  assert.equal(
    broken.map(({ keys }) => keys),
    [['k']]
  )
  assert.match(broken[0]!.text, /^no order explains #\d+: get k -> found=b \(2 to 3\).*"a".*put k value=a/)
})

test('a search that is too wide is given up and counted, never called sound', () => {
  const puts = Array.from({ length: 20 }, (_, index) => op(0, 100, put(`v${index}`)))
  const reads = [3, 5, 3].map((value, index) => op(index + 1, index + 1.5, get, found(`v${value}`)))
  const { broken, unchecked } = checkLinearizability([...puts, ...reads, lost(0, add('?'))], { statesMax: 50 })
  assert.equal(broken, [])
  assert.is(unchecked.length, 1)
  assert.is(unchecked[0]!.operations, 23)
})

const SHAPES: Readonly<Record<string, Partial<Shape>>> = {
  'one key': {},
  'unique values': { isUnique: true },
  'many unknown': { unknownOneIn: 2 },
  counters: { kinds: ['incr', 'incr', 'get', 'delete'], unknownOneIn: 3 },
  lists: { kinds: ['append', 'append', 'get', 'put'], unknownOneIn: 3, isUnique: true },
  locks: { kinds: ['put', 'delete', 'get'], unknownOneIn: 3, isUnique: true },
  expiry: { expires: true },
  'expiry, many unknown': { expires: true, unknownOneIn: 2 },
  groups: { keys: ['l', 'r'], groupOneIn: 2 },
  'groups, expiry': { keys: ['l', 'r', 's'], groupOneIn: 2, unknownOneIn: 3, expires: true }
}

function randomHistory(seed: number, shape: Partial<Shape>): { good: Operation[]; bad: Operation[] | undefined } {
  const random = seeded(seed)
  const usual = { operations: 7, clients: 4, keys: ['k'], unknownOneIn: 6, groupOneIn: 0, expires: false }
  const good = correctHistory(random, { ...usual, isUnique: false, ...shape })
  const once = changed(random, good)
  return { good, bad: once !== undefined && random.next() < 0.3 ? changed(random, once) : once }
}

for (const [name, shape] of Object.entries(SHAPES)) {
  test(`it agrees with the naive checker: ${name}`, () => {
    const counts = { good: 0, sound: 0, broken: 0 }
    const property = fc.property(fc.nat(), (seed) => {
      const { good, bad } = randomHistory(seed, shape)
      assert.is(verdictOf(good), 'linearizable')
      counts.good += 1
      if (bad === undefined) return
      const isSound = isLinearizableNaive(bad)
      counts[isSound ? 'sound' : 'broken'] += 1
      assert.is(verdictOf(bad) === 'linearizable', isSound)
    })
    fc.assert(property, { numRuns: 700 })
    assert.ok(counts.broken >= 50 && counts.sound >= 20, JSON.stringify(counts))
  })
}

test('50 000 operations on 20 keys take a few seconds', () => {
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
  const shape = { operations: 50_000, clients: 50, keys, unknownOneIn: 100, groupOneIn: 0, expires: false }
  const operations = correctHistory(seeded(1), { ...shape, isUnique: true })
  const began = performance.now()
  assert.is(verdictOf(operations), 'linearizable')
  const took = performance.now() - began
  assert.ok(took < 10_000, `${took} ms`)
  const last = operations.filter(({ steps }) => steps[0]!.action.kind === 'get').at(-1)!
  const broken = operations.map((one) => {
    return one === last ? { ...one, end: one.begin, steps: [{ ...one.steps[0]!, answer: found('made up') }] } : one
  })
  assert.is(verdictOf(broken), last.name)
})

test.run()
