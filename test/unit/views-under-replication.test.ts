// The number of slots short of copies, and the estimated time until none is.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SLOTS } from '../../lib/ring/slots.js'
import { type ShortSample, secondsLeft, underReplicatedSlots, withSample } from '../../lib/views/under-replication.js'
import { config, idOf, ringView } from '../sim/harness/ring-views.js'

const test = suite('views/under-replication')
const nobody = () => false

const seen = (...short: number[]) =>
  short.reduce<readonly ShortSample[]>((samples, count, at) => withSample(samples, { at: at * 1000, short: count }), [])

test('a copy counts when its owner is ready for the newest config and not down', () => {
  const window = [config(1, 'abc'), config(2, 'bcd')]
  const view = ringView({ number: 2, self: 'a', window, ready: { b: 2, c: 2, d: 2 } })
  assert.is(underReplicatedSlots(view, nobody), 0)
  assert.is(
    underReplicatedSlots(view, (id) => id === idOf('a')),
    0,
    'a owns nothing any more'
  )
  assert.is(
    underReplicatedSlots(view, (id) => id === idOf('d')),
    SLOTS
  )
  assert.is(
    underReplicatedSlots(ringView({ number: 2, self: 'a', window, ready: { b: 2, c: 2, d: 1 } }), nobody),
    SLOTS
  )
  const except = new Map([[7, [config(1, 'abc')]]])
  const one = ringView({ number: 2, self: 'a', window, except, ready: { b: 2, c: 2, d: 2 } })
  assert.is(underReplicatedSlots(one, nobody), 1)
})

test('a ring of two has all copies when both members are ready', () => {
  const two = { number: 1, self: 'a', window: [config(1, 'ab')] }
  assert.is(underReplicatedSlots(ringView({ ...two, ready: { a: 1, b: 1 } }), nobody), 0)
  assert.is(underReplicatedSlots(ringView({ ...two, ready: { a: 1 } }), nobody), SLOTS)
})

test('the remaining time follows the pace of the last half minute', () => {
  assert.is(secondsLeft(seen(100, 90, 80)), 8)
  assert.is(secondsLeft(seen(100, 90, 0)), 0)
  assert.is(secondsLeft(seen(100, 100)), null)
  assert.is(secondsLeft(seen(100)), null)
  assert.is(secondsLeft([]), null)
  assert.is(secondsLeft(seen(1000, ...new Array(60).fill(10))), null, 'it once was quick and has stopped')
})

test('when the number of missing copies rises, the pace is measured again', () => {
  assert.is(secondsLeft(seen(100, 50, 1000)), null)
  assert.is(secondsLeft(seen(100, 50, 1000, 900)), 9)
})

test('at most one sample a second is kept, however often it is taken', () => {
  let samples: readonly ShortSample[] = []
  for (let at = 0; at < 100_000; at += 50) samples = withSample(samples, { at, short: 100_000 - at })
  assert.ok(samples.length <= 32)
  assert.ok(Math.abs(secondsLeft(samples)! - 1) <= 1)
})

test.run()
