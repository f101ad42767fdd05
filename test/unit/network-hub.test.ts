// Each fault of the in-memory hub has the effect of its name, and virtual time runs everything in order.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { hubHarness } from '../sim/harness/hub-harness.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('hub and virtual clock')

test('a cut in one direction loses messages silently, and heals without a new connection', async () => {
  for (const [from, to] of [
    ['a', 'b'],
    ['b', 'a']
  ] as const) {
    const { clock, hub, a, b, ping } = await hubHarness()
    hub.cut(from, to)
    const lost = ping(500)
    await clock.advance(600)
    assert.is((lost[0] as RingdError).code, 'TIMEOUT')
    const late = ping(5000)
    await clock.advance(1000)
    assert.is(late.length, 0)
    hub.heal('a', 'b')
    await clock.advance(10)
    assert.not.instance(late[0], RingdError)
    assert.equal([a.events, b.events], [['up'], ['up']])
  }
})

test('a connection that only one end still has is replaced when its peer is dialled again', async () => {
  const { clock, hub, a, b, ping } = await hubHarness()
  a.network.keep(new Map([['b', b.network.addresses()]]))
  hub.halfOpen('a', 'b')
  const lost = ping(500)
  await clock.advance(600)
  assert.is((lost[0] as RingdError).code, 'TIMEOUT')
  a.network.redial('b')
  await clock.advance(500)
  const answered = ping(500)
  await clock.advance(600)
  assert.not.instance(answered[0], RingdError)
  assert.is(b.events.at(-1), 'up')
})

test('a peer cannot be dialled across a cut', async () => {
  const { clock, hub, a, b } = await hubHarness()
  hub.partition(['a'], ['b'])
  hub.reset('a', 'b')
  let code = ''
  a.network.dial(b.network.addresses()[0]!, 1000).catch((thrown) => {
    code = thrown.code
  })
  await clock.advance(2000)
  assert.is(code, 'UNREACHABLE')
})

test('a reset connection is noticed at both ends', async () => {
  const { clock, hub, a, b } = await hubHarness()
  hub.reset('a', 'b')
  await clock.advance(10)
  assert.equal(
    [a.events, b.events],
    [
      ['up', 'down'],
      ['up', 'down']
    ]
  )
})

test('a killed node sends nothing more, and the other end finds its connection closed', async () => {
  const { clock, hub, a, b, ping } = await hubHarness()
  const pending = ping(5000)
  hub.kill('b')
  b.clock.kill()
  await clock.advance(10)
  assert.is((pending[0] as RingdError).code, 'UNREACHABLE')
  assert.equal([a.events, b.events], [['up', 'down'], ['up']])
})

test('a paused node answers when it runs again', async () => {
  const { clock, hub, a, b, ping } = await hubHarness()
  hub.pause('b')
  b.clock.pause()
  const pending = ping(5000)
  await clock.advance(1000)
  assert.is(pending.length, 0)
  hub.resume('b')
  b.clock.resume()
  await clock.advance(10)
  assert.not.instance(pending[0], RingdError)
  assert.equal(a.events, ['up'])
})

test('timers run by time, then by age; deferred work runs first, and promises between them', async () => {
  const clock = new VirtualClock()
  const log: string[] = []
  const say = (word: string) => () => void log.push(`${word}@${clock.elapsed()}`)
  clock.after(20, say('late'))
  clock.after(10, say('first'))
  clock.after(10, () => {
    say('second')()
    clock.defer(say('deferred'))
    Promise.resolve()
      .then(() => {})
      .then(() => {})
      .then(say('promise'))
  })
  clock.after(10, say('third'))
  clock.after(15, say('cancelled')).cancel()
  await clock.advance(19)
  assert.equal(log, ['first@10', 'second@10', 'promise@10', 'deferred@10', 'third@10'])
  assert.is(clock.elapsed(), 19)
  await clock.advance(1)
  assert.is(log.at(-1), 'late@20')
})

test('runUntil stops at its condition, or at the end of its time', async () => {
  const clock = new VirtualClock()
  let count = 0
  for (let step = 1; step <= 10; step++) clock.after(step * 10, () => count++)
  assert.ok(await clock.runUntil(() => count === 3, 1000))
  assert.is(clock.elapsed(), 30)
  assert.not.ok(await clock.runUntil(() => count === 99, 1000))
  assert.is(clock.elapsed(), 1030)
})

test('a thousand timers in any order run in order', async () => {
  const clock = new VirtualClock()
  const seen: number[] = []
  let seed = 7
  for (let count = 0; count < 1000; count++) {
    seed = (seed * 16807) % 2147483647
    const at = seed % 500
    clock.after(at, () => seen.push(at))
  }
  await clock.advance(500)
  assert.equal(
    seen,
    [...seen].sort((one, other) => one - other)
  )
  assert.is(seen.length, 1000)
})

test('the clock of one node can be skewed, paused and killed', async () => {
  const clock = new VirtualClock()
  const node = clock.forNode(500)
  assert.is(node.now() - clock.now(), 500)
  const log: string[] = []
  node.after(10, () => log.push('held'))
  node.pause()
  await clock.advance(20)
  assert.equal(log, [])
  node.resume()
  await clock.settle()
  assert.equal(log, ['held'])
  node.after(10, () => log.push('never'))
  node.kill()
  await clock.advance(20)
  assert.equal(log, ['held'])
})

test('a clock that drifts keeps the time it has gained', async () => {
  const clock = new VirtualClock()
  const node = clock.forNode(100)
  node.drift(0.5)
  await clock.advance(1000)
  assert.is(node.now() - clock.now(), 600)
  node.drift(0)
  await clock.advance(1000)
  assert.is(node.now() - clock.now(), 600)
})

test('a clock counts its pending timers, without fired and cancelled ones', async () => {
  const clock = new VirtualClock()
  const node = clock.forNode()
  const timer = node.after(10, () => {})
  node.after(20, () => {})
  assert.is(node.timers, 2)
  timer.cancel()
  timer.cancel()
  assert.is(node.timers, 1)
  await clock.advance(20)
  assert.is(node.timers, 0)
})

test.run()
