// The decisions of commands that change a key by what it holds.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Bytes } from '../../lib/bytes.js'
import {
  ABSENT,
  ALWAYS,
  append,
  changeExpiry,
  INT64_MAX,
  INT64_MIN,
  increment,
  integerOf,
  PRESENT,
  take,
  writeIf
} from '../../lib/decisions.js'
import { makeVersion } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import type { Decision, Found } from '../../lib/key-value.js'

const test = suite('decisions')
const VERSION = makeVersion(1, 0, new Uint8Array(8))
const OTHER = makeVersion(2, 0, new Uint8Array(8))

function bytes(text: string): Bytes {
  return Buffer.from(text)
}

function found(text: string, expiresAtMs?: number): Found {
  return { value: bytes(text), expiresAtMs, version: VERSION }
}

/** The change as text: `value`, `value until 5`, `delete` or nothing. */
function changeOf({ change }: Decision<unknown>): string | undefined {
  if (change === undefined || change === 'delete') return change
  const text = Buffer.from(change.value).toString()
  return change.expiresAtMs === undefined ? text : `${text} until ${change.expiresAtMs}`
}

function messageOf({ result }: Decision<unknown>): string {
  return result instanceof RingdError ? `${result.form.resp} ${result.message}` : 'no error'
}

test('a counter begins at 0, and keeps its expiry', () => {
  const first = increment(5n)(undefined)
  assert.is(changeOf(first), '5')
  assert.is(first.result, 5n)
  assert.is(changeOf(increment(-7n)(found('5', 99))), '-2 until 99')
})

test('a value that is no integer is not incremented, in the words of Redis', () => {
  for (const text of ['', ' 1', '1 ', '+1', '01', '1.0', 'x', '9223372036854775808', '-0', '1'.repeat(30)]) {
    const decision = increment(1n)(found(text))
    assert.is(decision.change, undefined, text)
    assert.is(messageOf(decision), 'ERR value is not an integer or out of range')
  }
})

test('a sum that does not fit 64 bits changes nothing, in the words of Redis', () => {
  for (const [value, by] of [
    [INT64_MAX, 1n],
    [INT64_MIN, -1n],
    [1n, INT64_MAX]
  ] as const) {
    const decision = increment(by)(found(String(value)))
    assert.is(decision.change, undefined)
    assert.is(messageOf(decision), 'ERR increment or decrement would overflow')
  }
  assert.is(increment(INT64_MIN)(found('0')).result, INT64_MIN)
})

test('every 64-bit integer is read as it was written', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: INT64_MIN, max: INT64_MAX }), (integer) => {
      assert.is(integerOf(bytes(String(integer))), integer)
    })
  )
})

test('an append creates the value or keeps its expiry, up to the limit', () => {
  assert.is(changeOf(append(bytes('ab'), 4)(undefined)), 'ab')
  const longer = append(bytes('ab'), 4)(found('xy', 7))
  assert.is(changeOf(longer), 'xyab until 7')
  assert.is(longer.result, 4)
  const tooLong = append(bytes('ab'), 4)(found('xyz'))
  assert.is(tooLong.change, undefined)
  assert.is(messageOf(tooLong), 'ERR string exceeds maximum allowed size (proto-max-bulk-len)')
})

test('a conditional write changes nothing when its condition is false, and tells the value before', () => {
  const value = bytes('new')
  const byVersion = { type: 'version', version: VERSION } as const
  for (const [condition, before, isDone] of [
    [ALWAYS, undefined, true],
    [ALWAYS, found('old'), true],
    [ABSENT, undefined, true],
    [ABSENT, found('old'), false],
    [PRESENT, undefined, false],
    [PRESENT, found('old'), true],
    [byVersion, undefined, false],
    [byVersion, found('old'), true],
    [byVersion, { ...found('old'), version: OTHER }, false]
  ] as const) {
    const decision = writeIf(condition, value, undefined)(before)
    assert.is(changeOf(decision), isDone ? 'new' : undefined, `${condition.type} of ${before && 'a value'}`)
    assert.equal(decision.result, { isDone, before })
  }
})

test('a write sets an expiry, removes it, or keeps the one before', () => {
  const value = bytes('new')
  assert.is(changeOf(writeIf(ALWAYS, value, 8)(found('old', 5))), 'new until 8')
  assert.is(changeOf(writeIf(ALWAYS, value, undefined)(found('old', 5))), 'new')
  assert.is(changeOf(writeIf(ALWAYS, value, 'as before')(found('old', 5))), 'new until 5')
  assert.is(changeOf(writeIf(ALWAYS, value, 'as before')(undefined)), 'new')
})

test('a value that is taken is deleted, and nothing is written when there is none', () => {
  assert.is(changeOf(take(found('old'))), 'delete')
  assert.is(take(undefined).change, undefined)
})

test('an expiry changes only where there is a value, and as its rule says', () => {
  const decide = changeExpiry(({ expiresAtMs }) => (expiresAtMs === undefined ? 9 : 'as it is'))
  assert.equal(decide(undefined), { change: undefined, result: { isChanged: false, found: undefined } })
  assert.is(changeOf(decide(found('v'))), 'v until 9')
  assert.is(changeOf(decide(found('v', 3))), undefined)
  assert.is(changeOf(changeExpiry(() => undefined)(found('v', 3))), 'v')
})

test.run()
