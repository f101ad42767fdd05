// The arithmetic of suspicion: overdue answers, this peer's own slowness, and rounds of probes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { assess } from '../../lib/detector/liveness.js'
import { forgiven, patienceAfter } from '../../lib/detector/own-lag.js'
import { nextProbes } from '../../lib/detector/probe-round.js'

const test = suite('detector arithmetic')

const livenessOf = (isLinked: boolean, askedAt: number | undefined, now: number, patienceMs = 0) =>
  assess({ isLinked, askedAt }, now, patienceMs).liveness

test('a linked member that was not asked is up, however long ago it answered', () => {
  assert.is(livenessOf(true, undefined, 1e9), 'up')
  assert.is(livenessOf(false, undefined, 1e9), 'suspect')
})

test('an overdue answer makes a member suspect, then down', () => {
  assert.is(livenessOf(true, 1000, 2499), 'up')
  assert.is(livenessOf(true, 1000, 2500), 'suspect')
  assert.is(livenessOf(true, 1000, 4499), 'suspect')
  assert.is(livenessOf(true, 1000, 4500), 'down')
  assert.is(livenessOf(false, 1000, 1000), 'suspect')
  assert.is(livenessOf(false, 1000, 4500), 'down')
})

test('patience delays every state except the suspicion of a closed link', () => {
  assert.is(livenessOf(true, 1000, 4400, 2000), 'up')
  assert.is(livenessOf(true, 1000, 6499, 2000), 'suspect')
  assert.is(livenessOf(true, 1000, 6500, 2000), 'down')
  assert.is(livenessOf(false, 1000, 1001, 2000), 'suspect')
})

test('small jitter adds no patience; a late tick adds patience, which then runs out', () => {
  assert.is(patienceAfter(0, 200), 0)
  assert.is(patienceAfter(0, 3000), 3000)
  assert.is(patienceAfter(3000, 1000), 3000)
  assert.is(patienceAfter(3000, 0), 1500)
  assert.is(patienceAfter(400, 0), 0)
  assert.is(patienceAfter(0, 3_600_000), 5000)
})

test('time asleep is subtracted from an overdue time, down to zero at most', () => {
  assert.is(forgiven(1000, 100, 5000), 1000)
  assert.is(forgiven(1000, 3000, 5000), 4000)
  assert.is(forgiven(1000, 60_000, 5000), 5000)
})

test('each round asks every member once, in any shuffled order', () => {
  const members = new Set(['a', 'b', 'c', 'd', 'e'])
  const backwards = (list: readonly string[]) => [...list].reverse()
  let waiting: readonly string[] = []
  const asked: string[] = []
  for (let turn = 0; turn < 5; turn++) {
    const round = nextProbes(waiting, members, 2, backwards)
    asked.push(...round.chosen)
    waiting = round.waiting
    assert.is(new Set(round.chosen).size, 2, 'no member twice at once')
  }
  assert.equal(asked.slice(0, 5).sort(), ['a', 'b', 'c', 'd', 'e'])
  assert.is(asked.length, 10)
})

test('former members are not asked, and fewer members than turns are all asked', () => {
  const { chosen, waiting } = nextProbes(['x', 'a'], new Set(['a', 'b']), 5, (list) => list)
  assert.equal(chosen, ['a', 'b'])
  assert.equal(waiting, [])
})

test.run()
