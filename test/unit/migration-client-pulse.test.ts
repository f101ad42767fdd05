// What clients feel: the percentile is right, only the latest operations count, and what is usual is learnt in calm
// times only.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { AFTERMATH_MS, ClientPulse, FEW } from '../../lib/actors/migration/client-pulse.js'
import type { Clock } from '../../lib/clock.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('migration/client-pulse')

function fixture(startMs = 0) {
  let now = startMs
  const clock = { elapsed: () => now } as unknown as Clock
  const pulse = new ClientPulse(clock)
  /** So many operations of this time in each of the next seconds. */
  const run = (seconds: number, perSecond: number, tookMs: number | (() => number)) => {
    for (let end = now + seconds * 1000; now < end; ) {
      pulse.ended(typeof tookMs === 'number' ? tookMs : tookMs())
      now += 1000 / perSecond
    }
  }
  const pass = (ms: number) => {
    now += ms
  }
  return { pulse, run, pass }
}

/** At most 5 % above, never below. */
function near(actual: number | undefined, expected: number, what = ''): void {
  assert.ok(actual !== undefined && actual >= expected * 0.9999 && actual <= expected * 1.05, `${what} ${actual}`)
}

test('the percentile is that of the sorted times, within a bin', () => {
  const random = seeded(7)
  for (let round = 0; round < 200; round++) {
    const { pulse } = fixture()
    const count = FEW + Math.floor(random.next() * 2000)
    const times = Array.from({ length: count }, () => 0.06 * 2 ** (random.next() * 19))
    for (const ms of times) pulse.ended(ms)
    times.sort((one, other) => one - other)
    near(pulse.look().p99Ms, times[Math.ceil(count * 0.99) - 1]!, `of ${count}`)
  }
})

test('of 100 operations one slow one is not the percentile, and two are', () => {
  const { pulse } = fixture()
  for (let operation = 0; operation < 99; operation++) pulse.ended(1)
  pulse.ended(100)
  near(pulse.look().p99Ms, 1)
  pulse.ended(100)
  near(pulse.look().p99Ms, 100)
})

test('times that make no sense, and very long ones, do no harm', () => {
  const { pulse } = fixture()
  for (const ms of [0, -5, Number.NaN, 0.01]) for (let operation = 0; operation < FEW; operation++) pulse.ended(ms)
  near(pulse.look().p99Ms, 0.05)
  for (let operation = 0; operation < FEW; operation++) pulse.ended(Number.POSITIVE_INFINITY)
  assert.ok(pulse.look().p99Ms > 40_000)
})

test('few operations say nothing, and are there all the same', () => {
  const { pulse } = fixture()
  assert.equal(pulse.look(), { isActive: false, p99Ms: 0, usualMs: undefined, variesMs: 0 })
  for (let operation = 1; operation < FEW; operation++) pulse.ended(500)
  assert.equal(pulse.look(), { isActive: true, p99Ms: 0, usualMs: undefined, variesMs: 0 })
})

test('only the last half second counts, and a client is active for a second', () => {
  const { pulse, run, pass } = fixture(123_456)
  run(1, 1000, 50)
  run(0.6, 1000, 1)
  near(pulse.look().p99Ms, 1)
  pass(400)
  assert.ok(pulse.look().p99Ms > 0)
  pass(599)
  assert.ok(pulse.look().isActive)
  pass(10)
  const { isActive, p99Ms } = pulse.look()
  assert.equal({ isActive, p99Ms }, { isActive: false, p99Ms: 0 })
})

test('a long silence leaves nothing behind', () => {
  const { pulse, run, pass } = fixture()
  run(1, 1000, 50)
  pass(3_600_000 + 37)
  run(0.3, 1000, 2)
  near(pulse.look().p99Ms, 2)
})

test('all operations count, however many there are', () => {
  const { pulse, run } = fixture()
  // 50 000 in a second; the slow ones are not the latest.
  run(0.2, 50_000, 30)
  run(0.25, 50_000, 1)
  near(pulse.look().p99Ms, 30)
})

test('what is usual follows calm seconds', () => {
  const { pulse, run } = fixture()
  run(3, 500, 4)
  near(pulse.look().usualMs, 4)
  run(60, 500, 8)
  near(pulse.look().usualMs, 8)
})

test('how much the percentile varies from second to second is learnt with it', () => {
  const { pulse, run } = fixture()
  run(30, 500, 10)
  assert.ok(pulse.look().variesMs < 0.1)
  for (let second = 0; second < 60; second++) run(1, 500, second % 2 === 0 ? 5 : 15)
  const { variesMs, usualMs } = pulse.look()
  assert.ok(usualMs! > 9 && usualMs! < 12, `usually ${usualMs}`)
  assert.ok(variesMs > 4 && variesMs < 7, `varies by ${variesMs}`)
  pulse.moving(true)
  for (let second = 0; second < 60; second++) run(1, 500, second % 2 === 0 ? 5 : 100)
  assert.equal(pulse.look().variesMs, variesMs)
})

test('seconds with few operations teach nothing: not that an operation takes no time', () => {
  const { pulse, run } = fixture()
  run(20, 5, 4)
  assert.is(pulse.look().usualMs, undefined)
  run(3, 500, 4)
  near(pulse.look().usualMs, 4)
  run(20, 5, 400)
  near(pulse.look().usualMs, 4)
})

test('nothing is learnt during a move, nor of what follows it', () => {
  const { pulse, run } = fixture()
  run(10, 500, 4)
  pulse.moving(true)
  run(20, 500, 40)
  near(pulse.look().usualMs, 4)
  pulse.moving(false)
  run((AFTERMATH_MS - 100) / 1000, 500, 20)
  near(pulse.look().usualMs, 4)
  pulse.moving(true)
  pulse.moving(false)
  run((AFTERMATH_MS - 100) / 1000, 500, 20)
  near(pulse.look().usualMs, 4)
  for (let second = 0; second < 60; second++) {
    pulse.moving(false)
    run(1, 500, 6)
  }
  near(pulse.look().usualMs, 6)
})

test('what was slow in the move does not count as usual when the calm begins', () => {
  const { pulse, run } = fixture()
  pulse.moving(true)
  run(5, 500, 40)
  pulse.moving(false)
  run(AFTERMATH_MS / 1000 + 3, 500, 4)
  near(pulse.look().usualMs, 4)
})

test('an operation costs the same however many there were', () => {
  const { pulse, run } = fixture()
  run(2, 1000, 1)
  const costOf = (count: number) => {
    const began = process.hrtime.bigint()
    for (let operation = 0; operation < count; operation++) pulse.ended(1 + (operation % 50))
    return Number(process.hrtime.bigint() - began) / count
  }
  costOf(100_000)
  assert.ok(costOf(1_000_000) < 5 * costOf(100_000) + 200, 'no cost that grows with the number')
})

test.run()
