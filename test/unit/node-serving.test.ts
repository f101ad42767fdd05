// What the report `status` makes of the troubles that members tell: which owners count for reads and writes, the word
// for the health of the ring, who does not reach whom, and whether the asked peer serves its clients.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Health, MemberHealth } from '../../lib/actors/detector.js'
import type { StatusReport } from '../../lib/client/reports.js'
import { CONDITION_NAMES } from '../../lib/conditions.js'
import { NO_TROUBLE, type Trouble } from '../../lib/network/trouble.js'
import { type ReportInput, statusReport } from '../../lib/node/reports.js'
import { config, idOf, letterOf, ringView } from '../sim/harness/ring-views.js'

const test = suite('status of members in trouble')

const UP: MemberHealth = { liveness: 'up', reason: '', pong: undefined, trouble: NO_TROUBLE, isReached: true }
const DOWN: MemberHealth = { ...UP, liveness: 'down', reason: 'no link', isReached: false }

const inTrouble = (change: Partial<Trouble>): MemberHealth => ({ ...UP, trouble: { ...NO_TROUBLE, ...change } })
const inCondition = (name: string) => inTrouble({ conditions: [{ name, says: `${name} it is` }] })
const unreached = (...letters: string[]) => ({ unreached: letters.map(idOf), unreachedCount: letters.length })

/** The status that member `a` of a ring of `letters` reports. */
function statusOf(
  members: Readonly<Record<string, MemberHealth>>,
  change: Partial<ReportInput> = {},
  letters = 'abc'
): StatusReport {
  const view = ringView({ number: 1, self: 'a', window: [config(1, letters)] })
  const health: Health = new Map([...letters.slice(1)].map((letter) => [idOf(letter), members[letter] ?? UP]))
  const input = {
    view,
    health,
    own: NO_TROUBLE,
    isLinked: () => true,
    totals: { entries: 0, bytes: 0 },
    addresses: () => [],
    leaving: false,
    surplusSlots: 0,
    hints: { entries: 0, bytes: 0 },
    recovery: { short: 0, etaS: 0 },
    settings: [],
    moveLimit: undefined,
    ...change
  }
  return statusReport(input, { copies: 0, bytes: 0, etaS: 0, etaMs: 0 })
}

test('a ring whose members are all up and in no trouble is healthy, and its peers are ready', () => {
  const { health, ready, notReady, advice, slots } = statusOf({})
  assert.equal({ health, ready, notReady, advice }, { health: 'healthy', ready: true, notReady: [], advice: [] })
  assert.equal([slots.atRisk, slots.unwritable], [0, 0])
})

test('one member in any condition makes a ring of three degraded, and is named with its words', () => {
  for (const name of [...CONDITION_NAMES, 'of-a-newer-version']) {
    const { health, members } = statusOf({ b: inCondition(name) })
    assert.is(health, 'degraded', name)
    assert.equal(members[1]!.conditions, [{ name, says: `${name} it is` }])
  }
})

test('a suspect member, and one whose store is not trusted yet, are no healthy ring either', () => {
  assert.is(statusOf({ b: { ...UP, liveness: 'suspect', reason: 'no link' } }).health, 'degraded')
  const { health, members } = statusOf({ b: inTrouble({ untrusted: true }) })
  assert.equal([health, members[1]!.conditions[0]?.name], ['degraded', 'untrusted'])
  assert.is(statusOf({ b: inTrouble({ untrusted: true }), c: inTrouble({ untrusted: true }) }).health, 'at-risk')
})

test('owners that take no writes do not count for writes; a wrong clock stops no owner', () => {
  const word = (b: MemberHealth, c: MemberHealth) => statusOf({ b, c }).health
  for (const name of ['disk-full', 'store-closed']) {
    assert.is(word(inCondition(name), inCondition(name)), 'read-only', name)
    assert.is(word(inCondition(name), DOWN), 'read-only', name)
  }
  assert.is(word(inCondition('store-closed'), inCondition('disk-full')), 'read-only')
  for (const name of ['disk-slow', 'clock-wrong'])
    assert.is(word(inCondition(name), inCondition(name)), 'degraded', name)
  assert.is(word(DOWN, DOWN), 'at-risk')
})

test('the conditions of the asked peer count as those of the others', () => {
  const own = { ...NO_TROUBLE, conditions: [{ name: 'disk-full', says: 'full' }] }
  const { health, ready, members } = statusOf({ b: inCondition('disk-full') }, { own })
  assert.equal([health, ready], ['read-only', true])
  assert.equal(members[0]!.conditions, own.conditions)
})

test('members that this peer does not reach serve none of its operations, though others hear them', () => {
  const far = { ...UP, isReached: false }
  const own = { ...NO_TROUBLE, ...unreached('b', 'c') }
  const { health, ready, notReady } = statusOf({ b: far, c: far }, { own })
  assert.equal([health, ready], ['at-risk', false])
  assert.match(notReady.join(), /hears 1 of the 3 members, itself included; a majority is 2/)
})

test('who does not reach whom is told of every pair, also of this peer', () => {
  const own = { ...NO_TROUBLE, ...unreached('c') }
  const { members, health } = statusOf({ b: inTrouble(unreached('a', 'c', 'x')) }, { own })
  const told = members.map(({ storeId, unreachableFrom }) => [
    letterOf(storeId),
    unreachableFrom.map(letterOf).join('')
  ])
  assert.equal(told, [
    ['a', 'b'],
    ['b', ''],
    ['c', 'ab']
  ])
  assert.is(health, 'degraded')
})

test('what a member said before it went down is not told any more', () => {
  const words = inCondition('disk-full').trouble
  const { members } = statusOf({ b: { ...DOWN, trouble: { ...words, ...unreached('c') } } })
  assert.equal(members[1]!.conditions, [])
  assert.equal(members[2]!.unreachableFrom, [])
})

test('a peer with a wrong clock, or without a store that is trusted, is not ready, and says why', () => {
  for (const name of ['clock-wrong', 'store-closed']) {
    const { ready, notReady } = statusOf({}, { own: inCondition(name).trouble })
    assert.equal([ready, notReady], [false, [`${name} it is`]])
  }
  const { ready, notReady } = statusOf({}, { own: { ...NO_TROUBLE, untrusted: true } })
  assert.is(ready, false)
  assert.match(notReady.join(), /not an old copy/)
  assert.is(
    statusOf({}, { own: inCondition('disk-full').trouble }).ready,
    true,
    'it serves reads, and others take writes'
  )
})

test('a majority of the members is enough to be ready, and settings without effect become advice', () => {
  assert.is(statusOf({ b: DOWN }).ready, true)
  assert.is(statusOf({ b: DOWN, c: DOWN }).ready, false)
  assert.is(statusOf({ b: DOWN, c: DOWN }, {}, 'abcde').ready, true)
  assert.equal(statusOf({}, { settings: ['weight 8 has no effect'] }).advice, ['weight 8 has no effect'])
})

test.run()
