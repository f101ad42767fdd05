// The write rule and the rule of promises, against a small model; and the stored form of a promise.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Envelope, encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey } from '../../lib/entry/keys.js'
import {
  allPromises,
  decodePromise,
  encodePromise,
  parsePromiseKey,
  promiseKey
} from '../../lib/entry/promise-record.js'
import { makeVersion, type Version } from '../../lib/entry/version.js'
import { barOf, judgeWrite } from '../../lib/entry/write-rule.js'
import { slotOf } from '../../lib/ring/slots.js'

const test = suite('entry: write rule')
const KEY = Buffer.from('key')
const STORED = dataKey(slotOf(KEY), KEY)

function version(number: number): Version {
  return makeVersion(1000 + Math.floor(number / 2), number % 2, new Uint8Array(8))
}

function entry(number: number): Envelope {
  return encodeEnvelope(KEY, { version: version(number), tombstone: false, value: KEY })
}

test('an entry enters above what is held and not below what is promised', () => {
  const small = fc.nat(9)
  const maybe = fc.option(small, { nil: undefined })
  fc.assert(
    fc.property(small, maybe, maybe, (written, held, promised) => {
      const verdict = judgeWrite(
        entry(written),
        held === undefined ? undefined : entry(held),
        promised === undefined ? undefined : version(promised)
      )
      const expected =
        written === held
          ? 'here'
          : written < (held ?? -1)
            ? 'newer'
            : written < (promised ?? -1)
              ? 'promised'
              : 'enters'
      assert.is(verdict, expected)
    }),
    { numRuns: 2000 }
  )
})

test('a ballot is promised above everything, or again', () => {
  const small = fc.nat(9)
  const maybe = fc.option(small, { nil: undefined })
  const versionOrNone = (number: number | undefined) => (number === undefined ? undefined : version(number))
  fc.assert(
    fc.property(small, maybe, maybe, maybe, (ballot, held, promised, bound) => {
      const bar = barOf(version(ballot), versionOrNone(held), versionOrNone(promised), versionOrNone(bound))
      const highest = Math.max(held ?? -1, promised ?? -1, bound ?? -1)
      const isAgain = ballot === promised && ballot > (held ?? -1) && ballot >= highest && ballot > (bound ?? -1)
      if (ballot > highest || isAgain) assert.is(bar, undefined)
      else if (!(ballot === promised && ballot === highest)) assert.equal(bar, version(highest))
    }),
    { numRuns: 5000 }
  )
})

test('a promise reads as it was written, and no damaged byte reads', () => {
  const record = encodePromise(STORED, version(7))
  assert.equal(Buffer.from(decodePromise(STORED, record)!), Buffer.from(version(7)))
  for (let at = 0; at < record.length; at++) {
    const damaged = new Uint8Array(record)
    damaged[at]! ^= 1
    assert.is(decodePromise(STORED, damaged), undefined)
  }
  const other = dataKey(slotOf(KEY), Buffer.from('kez'))
  assert.is(decodePromise(other, record), undefined, 'it belongs to its key')
  for (const length of [0, 4, 20, 22]) assert.is(decodePromise(STORED, new Uint8Array(length)), undefined)
})

test('a promise lies behind all else, in the order of slots, and its key leads to that of the entry', () => {
  const key = promiseKey(STORED)
  const { from, to } = allPromises()
  assert.ok(Buffer.compare(from, key) < 0 && Buffer.compare(key, to) < 0)
  assert.equal(Buffer.from(parsePromiseKey(key)!), Buffer.from(STORED))
  assert.is(parsePromiseKey(STORED), undefined)
  const damaged = new Uint8Array(key)
  damaged[5]! ^= 1
  assert.is(parsePromiseKey(damaged), undefined)
  const [low, high] = [dataKey(1, KEY), dataKey(2, KEY)].map(promiseKey)
  assert.ok(Buffer.compare(low!, high!) < 0)
})

test('the bytes of a promise', () => {
  const ballot = makeVersion(0x0102030405, 6, Uint8Array.of(8, 9, 10, 11, 12, 13, 14, 15))
  assert.is(Buffer.from(promiseKey(dataKey(258, KEY))).toString('hex'), '700102447762562de143346b6579')
  assert.is(
    Buffer.from(encodePromise(dataKey(258, KEY), ballot)).toString('hex'),
    'c9786d5101000102030405000608090a0b0c0d0e0f'
  )
})

test.run()
