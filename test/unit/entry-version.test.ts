// Versions and the clock that makes them: order, uniqueness, the ceiling, and refused versions.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bytes, compareBytes } from '../../lib/bytes.js'
import { HybridClock } from '../../lib/entry/hybrid-clock.js'
import {
  COUNTER_MAX,
  makeVersion,
  type Version,
  versionCounter,
  versionMember,
  versionMs
} from '../../lib/entry/version.js'

const test = suite('entry version')

const START = 1_700_000_000_000
const MEMBER = versionMember('00112233445566778899aabbccddeeff')
const OTHER = versionMember('ff112233445566778899aabbccddeeff')

/** A hybrid clock on a wall clock that the test moves. Its ceiling is raised whenever that is due. */
function makeClock(options: { ceilingMs?: number; wallMs?: number } = {}) {
  const wall = { ms: options.wallMs ?? START }
  const clock = new HybridClock({ now: () => wall.ms }, { member: MEMBER, ceilingMs: options.ceilingMs ?? 0 })
  const ceilings: number[] = []
  function next(): Version {
    const ceilingMs = clock.needsCeiling()
    if (ceilingMs !== undefined) {
      ceilings.push(ceilingMs)
      clock.raiseCeiling(ceilingMs)
    }
    return clock.next()!
  }
  return { clock, wall, ceilings, next }
}

test('a version gives back its parts', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 48 - 1), fc.nat(COUNTER_MAX), (ms, counter) => {
      const version = makeVersion(ms, counter, MEMBER)
      assert.is(versionMs(version), ms)
      assert.is(versionCounter(version), counter)
    })
  )
})

test('versions are ordered by ms, then counter, then member', () => {
  const point = fc.tuple(fc.nat(2 ** 48 - 1), fc.nat(COUNTER_MAX))
  fc.assert(
    fc.property(point, point, ([msA, counterA], [msB, counterB]) => {
      const order = compareBytes(makeVersion(msA, counterA, MEMBER), makeVersion(msB, counterB, MEMBER))
      assert.is(Math.sign(order), Math.sign(msA - msB || counterA - counterB))
    })
  )
  assert.ok(compareBytes(makeVersion(1, 1, MEMBER), makeVersion(1, 1, OTHER)) < 0)
})

test('a version out of bounds throws instead of giving a wrong version', () => {
  assert.throws(() => makeVersion(2 ** 48, 0, MEMBER))
  assert.throws(() => makeVersion(-1, 0, MEMBER))
  assert.throws(() => makeVersion(1, COUNTER_MAX + 1, MEMBER))
  assert.throws(() => makeVersion(1, 0, MEMBER.subarray(1)))
})

test('versions increase while the wall clock stands still or jumps back, and while stamps are observed', () => {
  const step = fc.oneof(
    fc.record({ wall: fc.integer({ min: -10_000, max: 10_000 }) }),
    fc.record({ seen: fc.integer({ min: -6000, max: 6000 }), counter: fc.nat(COUNTER_MAX) }),
    fc.constant('next' as const)
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { clock, wall, next } = makeClock()
      let last: Bytes = makeVersion(0, 0, MEMBER)
      for (const taken of steps) {
        if (taken === 'next') {
          const version = next()
          assert.ok(compareBytes(version, last) > 0)
          last = version
        } else if ('wall' in taken) wall.ms += taken.wall
        else clock.moveTo(wall.ms + taken.seen, taken.counter)
      }
    })
  )
})

test('a version follows the wall clock when the wall clock is ahead', () => {
  const { wall, next } = makeClock()
  wall.ms = START + 700
  const version = next()
  assert.is(versionMs(version), START + 700)
  assert.is(versionCounter(version), 0)
})

test('a fraction of a millisecond in the wall clock is dropped', () => {
  const { next } = makeClock({ wallMs: START + 0.75 })
  assert.is(versionMs(next()), START)
})

test('the next version lies above an observed stamp', () => {
  const { clock, next } = makeClock()
  assert.ok(clock.moveTo(START + 3000, 7))
  const version = next()
  assert.is(versionMs(version), START + 3000)
  assert.is(versionCounter(version), 8)
  assert.ok(clock.moveTo(START + 3000, 20))
  assert.ok(clock.moveTo(START + 3000, 10))
  assert.ok(clock.moveTo(START + 2000, 30))
  assert.is(versionCounter(next()), 21)
})

test('a full counter carries into the milliseconds', () => {
  const { clock, next } = makeClock()
  assert.ok(clock.moveTo(START + 10, COUNTER_MAX))
  const version = next()
  assert.is(versionMs(version), START + 11)
  assert.is(versionCounter(version), 0)
})

test('a stamp too far ahead is refused and changes nothing', () => {
  const { clock, next } = makeClock()
  assert.is(clock.moveTo(START + 5000, 0), true)
  assert.is(clock.moveTo(START + 5001, 0), false)
  assert.is(clock.moveTo(2 ** 53, 0), false)
  assert.is(versionMs(next()), START + 5000)
})

test('malformed stamps are refused', () => {
  const { clock } = makeClock()
  assert.is(clock.moveTo(START, COUNTER_MAX + 1), false)
  assert.is(clock.moveTo(START, -1), false)
  assert.is(clock.moveTo(-1, 0), false)
  assert.is(clock.moveTo(Number.NaN, 0), false)
  assert.is(clock.moveTo(START + 0.5, 0), false)
})

test('a stamp is at or above every version made or seen', () => {
  const { clock, wall, next } = makeClock()
  const made = next()
  wall.ms -= 1000
  assert.equal(clock.stamp(), { ms: versionMs(made), counter: versionCounter(made) })
  assert.ok(clock.moveBeyond(makeVersion(START + 100, 3, OTHER)))
  assert.equal(clock.stamp(), { ms: START + 100, counter: 3 })
  wall.ms = START + 200
  assert.equal(clock.stamp(), { ms: START + 200, counter: 0 })
})

test('a version too far ahead of the wall clock is recognised', () => {
  const { clock } = makeClock()
  assert.is(clock.isTooFarAhead(makeVersion(START + 5000, COUNTER_MAX, OTHER)), false)
  assert.is(clock.isTooFarAhead(makeVersion(START + 5001, 0, OTHER)), true)
  assert.is(clock.moveBeyond(makeVersion(START + 5001, 0, OTHER)), false)
})

test('no version is made before a ceiling is durable', () => {
  for (const ceilingMs of [0, START - 5000, START + 5000]) {
    const { clock } = makeClock({ ceilingMs })
    assert.is(clock.next(), undefined)
    const due = clock.needsCeiling()
    if (due !== undefined) clock.raiseCeiling(due)
    assert.is(clock.next() !== undefined, due !== undefined)
  }
})

test('a restarted clock makes only versions above those before the restart', () => {
  fc.assert(
    fc.property(fc.integer({ min: -100_000, max: 100_000 }), fc.nat(300), (wallJump, made) => {
      const former = makeClock()
      former.clock.moveTo(START + 4000, 5)
      let last: Bytes = makeVersion(0, 0, MEMBER)
      for (let count = 0; count <= made; count++) {
        former.wall.ms += count
        last = former.next()
      }
      const ceilingMs = former.ceilings.at(-1)!
      const later = makeClock({ ceilingMs, wallMs: former.wall.ms + wallJump })
      later.clock.raiseCeiling(ceilingMs + 2000)
      const first = later.next()
      assert.ok(versionMs(first) >= ceilingMs)
      assert.ok(compareBytes(first, last) > 0)
    })
  )
})

test('the ceiling is due when less than a second is left, and is raised to two seconds ahead', () => {
  const { clock, wall } = makeClock()
  assert.is(clock.needsCeiling(), START + 2000)
  assert.is(clock.needsCeiling(), START + 2000)
  clock.raiseCeiling(START + 2000)
  wall.ms = START + 1000
  assert.is(clock.needsCeiling(), undefined)
  wall.ms = START + 1001
  assert.is(clock.needsCeiling(), START + 3001)
})

test('a clock that has reached its ceiling waits for the next one', () => {
  const { clock, wall } = makeClock()
  clock.raiseCeiling(START + 2000)
  wall.ms = START + 1999
  assert.ok(clock.next() !== undefined)
  wall.ms = START + 2000
  assert.is(clock.next(), undefined)
  clock.raiseCeiling(clock.needsCeiling()!)
  assert.is(versionMs(clock.next()!), START + 2000)
})

test('observing a stamp at the ceiling stops versions until the ceiling is raised', () => {
  const { clock } = makeClock()
  clock.raiseCeiling(START + 2000)
  assert.ok(clock.moveTo(START + 4000, 0))
  assert.is(clock.next(), undefined)
  assert.is(clock.needsCeiling(), START + 6000)
  clock.raiseCeiling(START + 6000)
  assert.is(versionMs(clock.next()!), START + 4000)
})

test('a wall clock that reaches the ceiling between two readings makes no version, and no error', () => {
  let readings = 0
  // The first reading lies below the ceiling, and each later one at it.
  const now = () => (readings++ === 0 ? START + 1999 : START + 2000)
  const clock = new HybridClock({ now }, { member: MEMBER, ceilingMs: 0 })
  clock.raiseCeiling(START + 2000)
  assert.is(versionMs(clock.next()!), START + 1999)
  assert.is(clock.next(), undefined)
})

test('what other members made moves the clock by at most half of the skew', () => {
  const { clock, wall, next } = makeClock()
  clock.follow(START + 2400, 7)
  assert.equal(clock.stamp(), { ms: START + 2400, counter: 7 })
  clock.follow(START + 4999, 0)
  assert.equal(clock.stamp(), { ms: START + 2500, counter: 0 })
  clock.follow(2 ** 48 - 1, COUNTER_MAX)
  clock.follow(Number.NaN, 0)
  assert.equal(clock.stamp(), { ms: START + 2500, counter: 0 })
  // A peer whose wall clock is two seconds behind still accepts what is made now.
  assert.ok(versionMs(next()) <= wall.ms - 2000 + 5000)
})

test('the ceiling leads by four synced batches more, and by 20 s at most', () => {
  const { clock, wall } = makeClock()
  assert.is(clock.needsCeiling(2500), START + 12_000)
  clock.raiseCeiling(START + 12_000)
  wall.ms = START + 6000
  assert.is(clock.needsCeiling(2500), undefined)
  wall.ms = START + 6001
  assert.is(clock.needsCeiling(2500), START + 18_001)
  assert.is(clock.needsCeiling(60_000), wall.ms + 20_000)
})

test('a clock that runs ahead of the wall clock loses 19 or 20 ms with each restart', () => {
  const agreedMs = () => START + 3_600_000
  let ceilingMs = START + 3_600_000
  for (let life = 0; life < 50; life++) {
    const clock = new HybridClock({ now: () => START, agreedMs }, { member: MEMBER, ceilingMs })
    ceilingMs = clock.needsCeiling()!
    clock.raiseCeiling(ceilingMs)
    assert.ok(clock.next() !== undefined)
    assert.ok(clock.overreachMs < 0)
  }
  assert.ok(ceilingMs <= START + 3_600_000 + 50 * 20)
})

test('versions may lie ahead of the agreed moment by the skew, whatever the wall clock shows', () => {
  let wallMs = START
  const clock = new HybridClock({ now: () => wallMs, agreedMs: () => START }, { member: MEMBER, ceilingMs: 0 })
  for (const skew of [0, 3_600_000, -3_600_000]) {
    wallMs = START + skew
    assert.is(clock.isTooFarAhead(makeVersion(START + 5000, 0, OTHER)), false)
    assert.is(clock.isTooFarAhead(makeVersion(START + 5001, 0, OTHER)), true)
  }
  wallMs = START + 4500
  assert.is(clock.overreachMs, 0)
  wallMs = START + 4501
  assert.is(clock.overreachMs, 1)
})

test.run()
