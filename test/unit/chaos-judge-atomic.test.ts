// The checks of clients of atomic operations in campaigns: sound histories pass, broken ones are rejected, and a kind that
// the daemons do not know is told.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Attempt } from '../chaos/client-records.js'
import { judgeAtomic, unknownKinds } from '../chaos/judge-atomic.js'
import { judge, judgeHistories } from '../chaos/judge-histories.js'
import { UNKNOWN_COMMAND } from '../chaos/redis-link.js'
import { countAtomic, unknownShares } from '../chaos/report.js'
import type { Action, Answer, Step } from '../sim/checkers/linearizability/operations.js'

const test = suite('clients of atomic operations')
const COUNTER = 'atomic-counter-0'
const LOCK = 'atomic-lock-0'
const CHAIN = 'atomic-chain-1'
const BANK = ['{atomic-bank-0}left', '{atomic-bank-0}right']

let last = 0

function update(begin: number, end: number | null, steps: readonly Step[], more: Partial<Attempt> = {}): Attempt {
  const asked = { operation: ++last, client: last, node: 'a', kind: 'update' as const, key: steps[0]!.key, begin, end }
  const answers = steps.map(({ answer }) => answer ?? {})
  return { ...asked, steps: steps.map(({ key, action }) => ({ key, action })), answers, outcome: 'ok', ...more }
}

function one(begin: number, end: number, key: string, action: Action, answer: Answer, client = ++last): Attempt {
  return update(begin, end, [{ key, action, answer }], { client })
}

const count = (begin: number, end: number, value: number) =>
  one(begin, end, COUNTER, { kind: 'incr', by: 1 }, { value: String(value) })
const take = (begin: number, end: number, client: number, done: boolean) => {
  const action: Action = { kind: 'put', value: `t${client}`, only: 'absent', expiresAt: begin + 1500 }
  return one(begin, end, LOCK, action, { done }, client)
}
const release = (begin: number, end: number, client: number) =>
  one(begin, end, LOCK, { kind: 'delete' }, { done: true }, client)
const link = (begin: number, end: number, value: string, found: string | null) =>
  one(begin, end, CHAIN, { kind: 'put', value }, { found })
const look = (begin: number, end: number, left: string | null, right: string | null) =>
  update(
    begin,
    end,
    [left, right].map((found, at) => ({ key: BANK[at]!, action: { kind: 'get' }, answer: { found } }))
  )
const pay = (begin: number, end: number, amount: number, left: number, right: number) => {
  const after = [left, right]
  const by = [-amount, amount]
  const step = (key: string, at: number): Step => {
    return { key, action: { kind: 'incr', by: by[at]! }, answer: { value: String(after[at]) } }
  }
  return update(begin, end, BANK.map(step))
}
const get = (key: string, found: string | undefined, begin: number, end: number): Attempt => {
  return { ...{ operation: ++last, client: 1, node: 'a', kind: 'get', key, begin, end, outcome: 'ok' }, found }
}

const rules = (...attempts: Attempt[]) => judgeHistories([attempts]).map(({ rule }) => rule)

test('counters give each number once, in the order of time', () => {
  assert.equal(rules(count(0, 1, 1), count(0.5, 3, 2), count(2, 4, 3), get(COUNTER, '3', 5, 6)), [])
  assert.equal(rules(count(0, 1, 1), count(2, 3, 1)), ['linearizable', 'counts'])
  assert.equal(rules(count(0, 1, 2), count(2, 3, 1)), ['linearizable'])
  assert.equal(rules(count(0, 1, 1), get(COUNTER, '0', 5, 6)), ['linearizable'])
})

test('an increment of unknown outcome may have happened; one that was refused has not', () => {
  const gap = [count(0, 1, 1), count(4, 5, 3)]
  const between = count(2, 3, 2)
  assert.equal(rules(...gap, { ...between, outcome: 'unknown', error: 'UNKNOWN', answers: undefined }), [])
  assert.equal(rules(...gap, { ...between, outcome: 'unknown', end: null, answers: undefined }), [])
  assert.equal(rules(...gap, { ...between, outcome: 'refused', error: 'TRYAGAIN', answers: undefined }), [
    'linearizable'
  ])
})

test('a lock is held by one client at a time, and expires', () => {
  assert.equal(rules(take(0, 10, 1, true), take(5, 20, 2, false), release(300, 310, 1), take(305, 320, 2, true)), [])
  assert.equal(rules(take(0, 10, 1, true), take(1600, 1610, 2, true)), [])
  assert.equal(rules(take(0, 10, 1, true), take(800, 810, 2, true)), ['linearizable', 'locks'])
  const early = judgeAtomic([take(0, 10, 1, true), take(800, 810, 2, true)])
  assert.match(early[0]!.text, /atomic-lock-0 was held by client 1 from 10 to 1400 ms and by client 2 from 810 ms/)
  assert.equal(rules(take(0, 10, 1, true), take(20, 30, 2, false), take(1480, 1490, 3, true)), [])
})

test('a lock that expires is not waited for by the one that expires before it', () => {
  const held = [take(0, 10, 1, true), release(100, 110, 1), take(120, 130, 2, true), take(500, 510, 3, true)]
  assert.equal(
    judgeAtomic(held).map(({ rule }) => rule),
    ['locks']
  )
})

test('a chain returns each value once', () => {
  assert.equal(rules(link(0, 1, 'x', null), link(2, 3, 'y', 'x'), get(CHAIN, 'y', 4, 5)), [])
  assert.equal(rules(link(0, 1, 'x', null), link(2, 9, 'y', 'x'), link(3, 9, 'z', 'x')), ['linearizable', 'chains'])
})

test('money moves whole', () => {
  assert.equal(rules(look(0, 1, null, null), pay(0, 3, 5, -5, 5), look(4, 5, '-5', '5')), [])
  assert.equal(rules(pay(0, 3, 5, -5, 5), look(4, 5, '-5', null)), ['linearizable', 'money'])
  const halves = [pay(0, 3, 5, -5, 5), get(BANK[0]!, '-5', 4, 5), get(BANK[1]!, undefined, 4, 5)]
  assert.equal(rules(...halves), ['linearizable'])
  const checks = BANK.map((key) => ({ key, value: null }))
  const put = (key: string, value: string): Step => ({ key, action: { kind: 'put', value } })
  const paid = update(1, 2, [put(BANK[0]!, '-3'), put(BANK[1]!, '3')], { checks, answers: [] })
  assert.equal(rules(paid, look(3, 4, '-3', '3')), [])
  assert.equal(rules(pay(-2, -1, 5, -5, 5), paid), ['linearizable'])
})

test('what was not checked is told', () => {
  const refused = { outcome: 'refused', error: UNKNOWN_COMMAND, answers: undefined } as const
  const attempts = [count(0, 1, 1), { ...link(0, 1, 'x', null), ...refused }, { ...pay(0, 1, 1, -1, 1), ...refused }]
  assert.equal(unknownKinds(attempts), ['chain', 'bank'])
  assert.equal(judge([attempts]), { violations: [], unchecked: 0 })
  assert.equal(countAtomic(attempts)['counter'], { ok: 1, refused: 0, unknown: 0 })
})

test('a violation lists the attempts on its keys', () => {
  const [broken] = judgeHistories([[count(0, 1, 1), link(0, 1, 'x', null), count(2, 3, 1)]])
  assert.equal(
    broken!.excerpt.map(({ key }) => key),
    [COUNTER, COUNTER]
  )
})

test('the share of unknown outcomes is counted for each fault', () => {
  const attempts = [count(1, 2, 1), { ...count(3, 4, 2), outcome: 'unknown' as const }, count(9, 10, 3)]
  const fault = (begin: number, end: number | undefined) => ({
    index: 0,
    kind: 'kill' as const,
    victims: [],
    begin,
    end
  })
  assert.equal(unknownShares([fault(0, 5), fault(8, undefined)], attempts, 20), [
    { asked: 2, unknown: 1 },
    { asked: 1, unknown: 0 }
  ])
})

test.run()
