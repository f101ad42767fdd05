// Limits for moving data: as users type them, which of two counts, and what the wire may bring.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRate, renderLimit } from '../../daemon/commands/limit.js'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { MoveLimit as WireLimit } from '../../lib/network/wire.js'
import {
  checkLimit,
  isNewerLimit,
  LIMIT_MAX,
  LIMIT_MIN,
  limitFromWire,
  limitToWire,
  type MoveLimit,
  momentAfter,
  newerLimit,
  rateOf
} from '../../lib/views/move-limit.js'
import { id } from './views-support.js'

const test = suite('move limit')

function refused(act: () => unknown, code: string, message?: RegExp): void {
  assert.throws(act, (thrown: unknown) => {
    assert.instance(thrown, RingdError)
    assert.is((thrown as RingdError).code, code)
    if (message !== undefined) assert.match((thrown as RingdError).message, message)
    return true
  })
}

/** Few moments and members, so that ties are frequent. */
const anyLimit: fc.Arbitrary<MoveLimit> = fc.record({
  bytesPerS: fc.constantFrom(0, LIMIT_MIN, MiB),
  setAtMs: fc.integer({ min: 1, max: 4 }),
  setBy: fc.integer({ min: 1, max: 3 }).map(id)
})

test('rates are read as users write them', () => {
  const known: Readonly<Record<string, number>> = {
    '20MB': 20e6,
    '20mb': 20e6,
    '512KiB': 512 * KiB,
    '512 kib/s': 512 * KiB,
    '1.5MiB/s': 1.5 * MiB,
    '100kB': 100_000,
    '1GB': 1e9,
    '1GiB/s': 2 ** 30,
    '65536': 65_536,
    '1000000/s': 1e6,
    '70000B': 70_000,
    '64KiB': LIMIT_MIN,
    '1TiB': LIMIT_MAX,
    off: 0
  }
  for (const [text, bytes] of Object.entries(known)) assert.is(parseRate(text), bytes, text)
})

test('nonsense, too small and too large rates are refused with their reason', () => {
  for (const text of [
    '',
    'fast',
    '-1MB',
    '1e9',
    '20 M',
    '1,5MB',
    '20MB/min',
    'MB',
    '0x10',
    'NaN',
    '1.MB',
    '٣MB',
    'Off'
  ]) {
    refused(() => parseRate(text), 'BAD_REQUEST', /is no rate/)
  }
  for (const text of ['0', '0MB', '0.0001kB']) refused(() => parseRate(text), 'BAD_REQUEST', /give off/)
  for (const text of ['1', '63.9KiB', '65535']) refused(() => parseRate(text), 'BAD_REQUEST', /too small.*64KiB/)
  for (const text of ['2TB', '1.1TiB', '999999GiB']) refused(() => parseRate(text), 'BAD_REQUEST', /too large.*1TiB/)
  refused(() => parseRate('999999999999999TiB'), 'BAD_REQUEST')
  refused(() => parseRate('\u001b[2Jx'), 'BAD_REQUEST', /^\\x1b|^\\u001b|^\W*\[2Jx is no rate/)
  for (const bytes of [0.5, -1, Number.NaN, Number.POSITIVE_INFINITY]) refused(() => checkLimit(bytes), 'BAD_REQUEST')
})

test('whatever is typed gives a limit within the bounds, or is refused', () => {
  const part = fc.constantFrom('', ' ', '/s', 'k', 'M', 'G', 'i', 'B', 'off', '.', '1', '512', '9'.repeat(15))
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      try {
        const bytes = parseRate(parts.join(''))
        assert.ok(bytes === 0 || (bytes >= LIMIT_MIN && bytes <= LIMIT_MAX && Number.isInteger(bytes)))
      } catch (thrown) {
        assert.is((thrown as RingdError).code, 'BAD_REQUEST')
      }
    })
  )
})

test('of any two limits one is newer, on every peer the same one, whatever the order in which they come', () => {
  fc.assert(
    fc.property(anyLimit, anyLimit, anyLimit, (one, other, third) => {
      const isSame =
        JSON.stringify(limitFromWire(limitToWire(one))) === JSON.stringify(limitFromWire(limitToWire(other)))
      assert.is(isNewerLimit(one, other) || isNewerLimit(other, one), !isSame)
      if (isNewerLimit(one, other) && isNewerLimit(other, third)) assert.ok(isNewerLimit(one, third))
      const ends = [
        [one, other, third],
        [third, one, other, other],
        [other, third, one, third]
      ].map((order) => order.reduce<MoveLimit | undefined>((known, told) => newerLimit(known, told), undefined))
      for (const end of ends) assert.is(JSON.stringify(end), JSON.stringify(ends[0]))
    })
  )
})

test('an order is newer than everything that its member knows, also when its clock has not moved', () => {
  fc.assert(
    fc.property(fc.option(anyLimit, { nil: undefined }), fc.integer({ min: 1, max: 6 }), (known, now) => {
      const order = { bytesPerS: MiB, setAtMs: momentAfter(known, now + 0.7), setBy: id(1) }
      assert.ok(isNewerLimit(order, known) && order.setAtMs >= now && Number.isInteger(order.setAtMs))
    })
  )
})

test('what comes over the wire lies within its bounds, or is refused', () => {
  const sound = { bytesPerS: MiB, setAtMs: 5, setBy: new Uint8Array(16) }
  assert.equal(limitFromWire(sound), { bytesPerS: MiB, setAtMs: 5, setBy: '0'.repeat(32) })
  for (const wrong of [
    { ...sound, setAtMs: 0 },
    { ...sound, setAtMs: 2 ** 48 },
    { ...sound, setBy: new Uint8Array(15) },
    { ...sound, setBy: new Uint8Array(0) },
    { ...sound, bytesPerS: 2 ** 60 }
  ]) {
    refused(() => limitFromWire(wrong), 'BAD_MESSAGE')
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      let limit: MoveLimit
      try {
        limit = limitFromWire(WireLimit.decode(bytes))
      } catch {
        return
      }
      assert.ok(rateOf(limit) >= LIMIT_MIN && limit.setAtMs > 0 && limit.setAtMs < 2 ** 48)
      assert.equal(limitFromWire(WireLimit.decode(WireLimit.encode(limitToWire(limit)))), limit)
    }),
    { numRuns: 1000 }
  )
})

test('a limit that another version allowed bounds a move, and does not stop it', () => {
  const limit = { bytesPerS: 1, setAtMs: 1, setBy: id(1) }
  assert.is(rateOf(limit), LIMIT_MIN)
  assert.is(rateOf({ ...limit, bytesPerS: 0 }), Number.POSITIVE_INFINITY)
  assert.is(rateOf(undefined), Number.POSITIVE_INFINITY)
})

test('the limit is shown with its rate, its moment and its member', () => {
  assert.is(renderLimit({ bytesPerS: null, setAtMs: null, setBy: null }), 'limit for moving data: off\n')
  const text = renderLimit({ bytesPerS: 20e6, setAtMs: 1735689600000, setBy: id(7) })
  assert.match(text, /19\.1 MiB\/s \(20000000 B\/s\) for each peer \(set 2025-01-01T00:00:00\.000Z at 00000000\)/)
})

test.run()
