// Tables of slots survive the conversion to runs and back, and malformed runs are refused.

import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { fromRuns, type Run, toRuns } from '../../lib/ring/runs.js'
import { SLOTS } from '../../lib/ring/slots.js'

const test = suite('ring runs')

const anySlot = fc.integer({ min: 0, max: SLOTS - 1 })
const anyTable = fc
  .array(fc.tuple(anySlot, anySlot, fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(0xffff_ffff))), {
    maxLength: 20
  })
  .map((strokes) => {
    const table = new Uint32Array(SLOTS)
    for (const [a, b, value] of strokes) table.fill(value, Math.min(a, b), Math.max(a, b) + 1)
    return table
  })

function isRefused(runs: readonly Run[]): boolean {
  try {
    fromRuns(runs)
    return false
  } catch (error) {
    return error instanceof RingdError && error.code === 'BAD_MESSAGE'
  }
}

test('any table survives the conversion to runs and back', () => {
  fc.assert(
    fc.property(anyTable, (table) => assert.equal(fromRuns(toRuns(table)), table)),
    { numRuns: 200 }
  )
})

test('runs are ascending, without zeros, and as few as possible', () => {
  fc.assert(
    fc.property(anyTable, (table) => {
      const runs = toRuns(table)
      runs.forEach((run, at) => {
        assert.ok(run.first <= run.last && run.value > 0)
        const next = runs[at + 1]
        if (next) assert.ok(run.last < next.first && (run.last + 1 < next.first || run.value !== next.value))
      })
    }),
    { numRuns: 200 }
  )
})

test('an empty table has no runs and a full one has one', () => {
  assert.equal(toRuns(new Uint32Array(SLOTS)), [])
  assert.equal(toRuns(new Uint32Array(SLOTS).fill(7)), [{ first: 0, last: SLOTS - 1, value: 7 }])
  assert.equal(fromRuns([]), new Uint32Array(SLOTS))
})

test('runs out of order, overlapping, out of bounds or without a value are refused as BAD_MESSAGE', () => {
  const good = { first: 5, last: 9, value: 1 }
  assert.not(isRefused([good]))
  assert.not(isRefused([good, { ...good, first: 10, last: 10 }]))
  assert.ok(isRefused([good, { ...good, first: 9, last: 12 }]))
  assert.ok(isRefused([good, { ...good, first: 0, last: 1 }]))
  assert.ok(isRefused([good, good]))
  assert.ok(isRefused([{ ...good, first: 10 }]))
  assert.ok(isRefused([{ ...good, first: -1 }]))
  assert.ok(isRefused([{ ...good, last: SLOTS }]))
  assert.ok(isRefused([{ ...good, value: 0 }]))
  assert.ok(isRefused([{ ...good, value: 2 ** 32 }]))
  for (const wrong of [Number.NaN, 5.5, Number.POSITIVE_INFINITY]) {
    assert.ok(isRefused([{ ...good, first: wrong }]))
    assert.ok(isRefused([{ ...good, last: wrong }]))
    assert.ok(isRefused([{ ...good, value: wrong }]))
  }
})

test.run()
