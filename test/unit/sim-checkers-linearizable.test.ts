// The checker of runs that checks for linearizability: what it makes of observations in each of its modes. The check
// itself is tested in linearizability.test.ts.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allCheckers } from '../sim/checkers/checkers.js'
import { erased, get, KEY, observationsOf, type Part, put, remove } from '../sim/checkers/history-builder.js'
import type { Action, Answer, Check } from '../sim/checkers/linearizability/operations.js'
import { Linearizable, type LinearizableMode } from '../sim/checkers/linearizable.js'
import { ToyStore } from '../sim/checkers/toy-store.js'
import type { Answered, Invoked, Observation } from '../sim/run/observation.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('sim checkers/linearizable')

function check(parts: readonly Part[], mode: LinearizableMode, statesMax?: number): Linearizable {
  const checker = new Linearizable(undefined, { mode, statesMax })
  const observations = observationsOf(parts)
  for (const observation of observations) checker.observe(observation)
  checker.finish(observations.at(-1)!.at)
  return checker
}

/** `sound`, or the time of the first violation. */
function verdict(parts: readonly Part[], mode: LinearizableMode = 'updates'): string | number {
  return check(parts, mode).violations[0]?.at ?? 'sound'
}

let last = 1000

/** An update of KEY; without `until` it is not answered. */
function update(
  at: number,
  until: number | undefined,
  action: Action,
  answer: Answer = {},
  more: { error?: string; checks?: readonly Check[]; checksHeld?: boolean; clock?: readonly [number, number] } = {}
): Observation[] {
  const { error, checks, checksHeld, clock } = more
  const operation = ++last
  const asked = { operation, client: 1, node: 'a', kind: 'update', key: KEY, consistency: 'quorum' } as const
  const invoked: Invoked = { type: 'invoked', at, ...asked, steps: [{ key: KEY, action }], checks }
  if (until === undefined) return [invoked]
  const told = error === undefined ? { answers: [answer], checksHeld } : { error }
  const answered: Answered = { type: 'answered', at: until, operation, ...told, clock }
  return [invoked, answered]
}

const incr: Action = { kind: 'incr', by: 1 }
const RACE = [put('1').at(0).until(90), put('2').at(0).until(90), get().at(10).until(20).sees('1')]
const ONE_TWO_ONE = [...RACE, get().at(30).until(40).sees('2'), get().at(50).until(60).sees('1')]

test('racing writes that show 1, 2, 1 are found, unless only updates are checked', () => {
  assert.is(verdict([...RACE, get().at(30).until(40).sees('2')], 'blind'), 'sound')
  assert.is(verdict(ONE_TWO_ONE, 'blind'), 60)
  assert.is(verdict(ONE_TWO_ONE, 'atomic'), 60)
  assert.is(verdict(ONE_TWO_ONE, 'updates'), 'sound')
})

test('a key of which an update was asked is checked with all its operations', () => {
  const counted = [put('1').at(0).until(5), update(10, 20, incr, { value: '2' })]
  assert.is(verdict([...counted, get().at(30).until(40).sees('2')]), 'sound')
  assert.is(verdict([...counted, get().at(30).until(40).sees('1')]), 40)
  assert.is(verdict([...counted, update(30, 40, incr, { value: '2' })]), 40)
  assert.is(verdict([...counted, remove().at(30).until(40).finds(false)]), 40)
})

test('other checkers leave such keys alone', () => {
  const parts = [
    put('1').at(0).until(5).as(1, 'abc'),
    update(10, 20, incr, { value: '2' }),
    get().at(30).until(40).sees('2')
  ]
  const checkers = allCheckers()
  for (const observation of observationsOf(parts)) for (const checker of checkers) checker.observe(observation)
  for (const checker of checkers) checker.finish(40)
  assert.equal(
    checkers.flatMap(({ violations }) => violations),
    []
  )
})

test('a delete without atomic operations may meet another value than the one that it found', () => {
  const both = [put('1').at(0).until(5), remove().at(10).until(20), remove().at(10).until(30)]
  assert.is(verdict(both, 'blind'), 'sound')
  assert.is(verdict(both, 'atomic'), 30)
})

test('a failed write may take effect later, unless its error says that nothing has happened', () => {
  const failed = (error: string) => [
    put('1').at(0).until(5),
    put('2').at(10).failing(20, error),
    get().at(30).until(40).sees('1'),
    get().at(50).until(60).sees('2')
  ]
  assert.is(verdict(failed('NO_QUORUM'), 'blind'), 'sound')
  assert.is(verdict(failed('NO_QUORUM'), 'atomic'), 60)
  assert.is(verdict(failed('UNKNOWN_OUTCOME'), 'atomic'), 'sound')
  const gap = (error: string) => [update(0, 5, incr, {}, { error }), update(10, 20, incr, { value: '2' })]
  assert.is(verdict(gap('UNKNOWN_OUTCOME')), 'sound')
  assert.is(verdict(gap('OVERLOADED')), 20)
})

test('an update without an answer may have happened', () => {
  assert.is(verdict([update(0, undefined, incr), update(10, 20, incr, { value: '2' })]), 'sound')
  assert.is(verdict([update(0, undefined, incr), update(10, 20, incr, { value: '3' })]), 20)
})

test('an operation at consistency one promises nothing', () => {
  const one = [
    put('1').at(0).until(5),
    put('2').with('one').at(10).until(20),
    get().with('one').at(30).until(40).sees('9')
  ]
  assert.is(verdict([...one, get().at(50).until(60).sees('1'), get().at(70).until(80).sees('2')], 'blind'), 'sound')
})

test('conditions of an update', () => {
  const written = update(0, 5, { kind: 'put', value: 'x' })
  const checks = [{ key: KEY, value: null }]
  const to = (checksHeld: boolean) => update(10, 20, { kind: 'put', value: 'y' }, {}, { checks, checksHeld })
  assert.is(verdict([written, to(false), get().at(30).until(40).sees('x')]), 'sound')
  assert.is(verdict([written, to(true)]), 20)
})

test('a value expires by the clock of the node that is asked, and not before it', () => {
  const lives = put('1').at(0).until(5).expiring(100)
  const read = (at: number, clock: number) =>
    get()
      .at(at)
      .until(at + 5)
      .clocked(clock, clock)
  assert.is(verdict([lives, read(10, 99).sees('1'), read(20, 100).sees(undefined)], 'blind'), 'sound')
  assert.is(verdict([lives, read(10, 99).sees(undefined)], 'blind'), 15)
  assert.is(verdict([lives, read(10, 101).sees('1')], 'blind'), 15)
  // The fast clock of one node; then the value may have been deleted, and it may be there.
  const fast = read(10, 150).sees(undefined)
  assert.is(verdict([lives, fast, read(20, 50).sees(undefined)], 'blind'), 'sound')
  assert.is(verdict([lives, fast, read(20, 50).sees('1')], 'blind'), 'sound')
})

test('an expired value that was purged is absent for slow clocks as well', () => {
  const lives = put('1').at(0).until(5).expiring(100).as(1, 'abc')
  const slow = get().at(220).until(230).clocked(50, 50).sees(undefined)
  const later = get('other').at(200).until(205).clocked(200, 200).sees(undefined)
  assert.is(verdict([lives, later, erased('a', 210), slow], 'blind'), 'sound')
  assert.is(verdict([lives, later, slow], 'blind'), 230)
})

test('a search that gives up is counted and is no violation', () => {
  const racing = Array.from({ length: 12 }, (_, index) => put(`v${index}`).at(0).until(900))
  const reads = ['v1', 'v2', 'v1'].map((value, index) =>
    get()
      .at(100 * index + 10)
      .until(100 * index + 20)
      .sees(value)
  )
  const gaveUp = check([...racing, ...reads, update(1, undefined, { kind: 'append', value: '?' })], 'blind', 3)
  assert.is(gaveUp.unchecked, 1)
  assert.equal(gaveUp.violations, [])
})

test('histories of a correct store pass, but for writes that it mints again', () => {
  let broken = 0
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed)
    let left = 3000
    const choose = (below: number) => (left-- > 0 ? Math.floor(random.next() * below) : undefined)
    const observations = new ToyStore(choose, { expires: seed % 2 === 0 }).run()
    const { violations, unchecked } = check([observations], 'blind')
    assert.is(unchecked, 0, `seed ${seed}`)
    if (violations.length > 0) broken += 1
  }
  assert.ok(broken <= 3, `${broken} histories`)
})

test.run()
