// Connections that break in the middle, are half open, deaf, or read slowly.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdError } from '../../lib/errors.js'
import type { Answer } from '../../lib/network/network.js'
import { hubHarness } from '../sim/harness/hub-harness.js'

const test = suite('sim/network')

test('a close sent during a cut arrives when the cut heals', async () => {
  const { clock, hub, a, b } = await hubHarness()
  hub.cut('a', 'b')
  await a.network.stop()
  await clock.advance(1000)
  assert.equal(b.events, ['up'])
  hub.heal()
  await clock.advance(10)
  assert.equal(b.events, ['up', 'down'])
})

test('a torn connection loses the messages under way, and both ends notice', async () => {
  const { clock, hub, a, b, ping } = await hubHarness()
  const lost = ping(5000)
  await clock.settle()
  hub.tear('a', 'b')
  await clock.advance(1)
  assert.is((lost[0] as RingdError).code, 'UNREACHABLE')
  assert.equal([a.events.at(-1), b.events.at(-1)], ['down', 'down'])
})

test('a half-open connection is up on one side until that side finds out', async () => {
  const { clock, hub, a, b, ping } = await hubHarness()
  hub.halfOpen('a', 'b')
  await clock.advance(1)
  assert.equal([a.events.at(-1), b.events.at(-1)], ['up', 'down'])
  const lost = ping(500)
  await clock.advance(600)
  assert.is((lost[0] as RingdError).code, 'TIMEOUT')
  hub.expose('b')
  await clock.advance(1)
  assert.is(a.events.at(-1), 'down')
})

test('no peer is told of a power cut before it finds out by itself', async () => {
  const { clock, hub, a, b } = await hubHarness()
  b.clock.kill()
  hub.unplug('b')
  await clock.advance(5000)
  assert.equal(a.events, ['up'])
  hub.expose('b')
  await clock.advance(1)
  assert.equal(a.events, ['up', 'down'])
})

test('a deaf node gets its control messages when the deafness ends', async () => {
  const { clock, hub, ping } = await hubHarness()
  hub.deafen('b')
  const late = ping(5000)
  await clock.advance(1000)
  assert.is(late.length, 0)
  hub.undeafen('b')
  await clock.advance(50)
  assert.is((late[0] as { pong: { view: number } }).pong.view, 1)
})

test('a slow reader gets its packets one after the other', async () => {
  const { clock, hub, ping } = await hubHarness()
  hub.slowReader('b', 100)
  const answers: Answer[][] = []
  for (let count = 0; count < 3; count++) {
    answers.push(ping(5000))
    await clock.settle()
  }
  await clock.advance(150)
  assert.equal(
    answers.map((list) => list.length),
    [1, 1, 0]
  )
  await clock.advance(100)
  assert.is(answers[2]!.length, 1)
})

test('two cuts of one direction end separately', async () => {
  const { clock, hub, ping } = await hubHarness()
  hub.cut('a', 'b')
  hub.cut('a', 'b')
  hub.mend('a', 'b')
  const answers = ping(5000)
  await clock.advance(1000)
  assert.is(answers.length, 0)
  hub.mend('a', 'b')
  await clock.advance(50)
  assert.is(answers.length, 1)
})

test.run()
