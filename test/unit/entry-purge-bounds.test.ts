// Properties of purge bounds, which keep old entries out of a slot, and of the runs that carry them.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeEnvelope, versionOf } from '../../lib/entry/envelope.js'
import {
  absentSinceMs,
  highestBefore,
  isAbsentBefore,
  isBefore,
  noBounds,
  PurgeBounds,
  trustBetween
} from '../../lib/entry/purge-bounds.js'
import { makeVersion } from '../../lib/entry/version.js'
import { runsWithin, toRuns } from '../../lib/ring/runs.js'
import { SLOTS } from '../../lib/ring/slots.js'

const test = suite('entry/purge-bounds')

const KEY = Buffer.from('key')
const MEMBER = new Uint8Array(8).fill(7)

const seconds = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const moments = fc.integer({ min: 0, max: 2 ** 42 })
const slots = fc.uniqueArray(fc.integer({ min: 0, max: SLOTS - 1 }), { maxLength: 20 })

function version(ms: number) {
  return makeVersion(ms, 3, MEMBER)
}

function tombstone(ms: number) {
  return encodeEnvelope(KEY, { version: version(ms), tombstone: true, value: new Uint8Array(0) })
}

function value(ms: number, expiresAtMs?: number) {
  return encodeEnvelope(KEY, { version: version(ms), tombstone: false, expiresAtMs, value: KEY })
}

test('the highest version below a bound lies below it, and no version lies between', () => {
  fc.assert(
    fc.property(seconds, moments, (beforeS, ms) => {
      const highest = highestBefore(beforeS)
      assert.ok(isBefore(highest, beforeS))
      assert.is(isBefore(version(ms), beforeS), ms < beforeS * 1000)
      assert.is(isBefore(version(ms), beforeS), Buffer.compare(version(ms), highest) < 0)
    })
  )
})

test('nothing lies below the bound 0', () => {
  assert.not(isBefore(version(0), 0))
  assert.not(isAbsentBefore(tombstone(0), 0))
})

test('a tombstone is absent from its version on, a value from its expiry on, a value without expiry never', () => {
  assert.is(absentSinceMs(tombstone(5000)), 5000)
  assert.is(absentSinceMs(value(5000, 9000)), 9000)
  assert.is(absentSinceMs(value(9000, 5000)), 9000)
  assert.is(absentSinceMs(value(5000)), undefined)
  assert.ok(isAbsentBefore(value(5000, 8999), 9))
  assert.not(isAbsentBefore(value(5000, 9000), 9))
})

test('bounds only rise, slot by slot, and bounds returned before stay unchanged', () => {
  fc.assert(
    fc.property(slots, seconds, slots, seconds, (some, one, others, other) => {
      const bounds = noBounds()
      bounds.raise('closing', some, one)
      const before = bounds.closing
      const was = before.slice()
      const hasChanged = bounds.raise('closing', others, other)
      assert.is(
        hasChanged,
        others.some((slot) => was[slot]! < other)
      )
      assert.equal([...before], [...was])
      for (const slot of others) assert.is(bounds.closing[slot], Math.max(was[slot]!, other))
      for (const slot of some) if (!others.includes(slot)) assert.is(bounds.closing[slot], one)
    }),
    { numRuns: 30 }
  )
})

test('garbage is every absent entry below the closed bound', () => {
  const closed = new Uint32Array(SLOTS)
  closed[4] = 10
  const bounds = new PurgeBounds({ closing: closed, closed })
  assert.ok(bounds.isGarbage(4, tombstone(9999)))
  assert.not(bounds.isGarbage(4, tombstone(10_000)))
  assert.not(bounds.isGarbage(4, value(1000)))
  assert.ok(bounds.isGarbage(4, value(1000, 2000)))
  assert.not(bounds.isGarbage(5, tombstone(1)))
  assert.ok(bounds.isClosed(4, versionOf(value(1000))))
})

test('of two peers that pull from each other, at most one has closed the slot without the other', () => {
  const bound = fc.integer({ min: 0, max: 50 })
  const bounds = fc.tuple(bound, bound).map(([a, b]) => {
    const closing = new Uint32Array(SLOTS).fill(Math.max(a, b))
    return { closing, closed: new Uint32Array(SLOTS).fill(Math.min(a, b)) }
  })
  fc.assert(
    fc.property(bounds, bounds, (mine, theirs) => {
      const here = trustBetween(mine, theirs, 9)
      const there = trustBetween(theirs, mine, 9)
      assert.ok(here.forget === 0 || here.distrust === 0)
      assert.equal([here.forget, here.distrust], [there.distrust, there.forget])
      assert.is(here.forget > 0, theirs.closed[9]! > mine.closing[9]!)
    }),
    { numRuns: 50 }
  )
})

test('the runs within a range equal the runs of all slots, cut to that range', () => {
  fc.assert(
    fc.property(slots, seconds, (some, beforeS) => {
      const values = new Uint32Array(SLOTS)
      for (const slot of some) values[slot] = beforeS
      assert.equal(runsWithin(values, [{ first: 0, last: SLOTS - 1 }]), toRuns(values))
      const half = { first: 0, last: SLOTS / 2 - 1 }
      const expected = values.slice().fill(0, SLOTS / 2)
      assert.equal(runsWithin(values, [half]), toRuns(expected))
    }),
    { numRuns: 20 }
  )
})

test.run()
