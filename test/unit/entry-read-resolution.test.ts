// Read resolution: one result from the answers of a key's owners.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sameBytes } from '../../lib/bytes.js'
import { compareVersions, type Envelope, encodeEnvelope, isTombstone, versionOf } from '../../lib/entry/envelope.js'
import { type OwnerAnswer, resolve } from '../../lib/entry/read-resolution.js'
import { makeVersion, versionMs } from '../../lib/entry/version.js'

const test = suite('entry/read-resolution')

function entry(s: number, tombstone = false): Envelope {
  const version = makeVersion(s * 1000, 0, new Uint8Array(8))
  const value = Buffer.from(tombstone ? '' : `${s}`)
  return encodeEnvelope(Buffer.from('k'), { version, tombstone, value })
}

/**
 * `5`: holds the entry of second 5. `5x`: holds a tombstone. `-`: holds nothing. `5/9`: and has closed the slot below
 * second 9.
 */
function answers(text: string): OwnerAnswer[] {
  return text.split(' ').map((one) => {
    const [held, closed = '0'] = one.split('/') as [string, string?]
    const envelope = held === '-' ? undefined : entry(Number.parseInt(held, 10), held.endsWith('x'))
    return { envelope, closed: Number(closed) }
  })
}

function told(text: string, isWhole = false): string {
  const { envelope, confirmedBelow, deniedBelow, isTie } = resolve(answers(text), isWhole)
  const s = envelope && versionMs(versionOf(envelope)) / 1000
  const held = envelope && isTombstone(envelope) ? `${s}x` : `${s ?? '-'}`
  return `${held} confirmed ${confirmedBelow} denied ${deniedBelow}${isTie ? '?' : ''}`
}

test('the newest entry wins, whichever owner lacks it', () => {
  assert.is(told('- -'), '- confirmed 0 denied 0')
  assert.is(told('3 -'), '3 confirmed 0 denied 0')
  assert.is(told('3 5 4'), '5 confirmed 0 denied 0')
  assert.is(told('5 -/5'), '5 confirmed 0 denied 0')
  assert.is(told('3 5x/9'), '5x confirmed 9 denied 0')
})

test('an owner that closed the slot denies entries that it lacks, unless owners that closed it confirm them', () => {
  assert.is(told('3 -/9'), '- confirmed 0 denied 9')
  assert.is(told('3 3 -/9'), '- confirmed 0 denied 9')
  assert.is(told('5 3/9'), '3 confirmed 9 denied 9')
  assert.is(told('5x 3/9'), '3 confirmed 9 denied 9')
  assert.is(told('5 4 3/9'), '3 confirmed 9 denied 9')
})

test('an owner that purged a key confirms a tombstone', () => {
  assert.is(told('5x -/9'), '5x confirmed 9 denied 0')
  assert.is(told('5x/6 -/9'), '5x confirmed 9 denied 0')
  assert.is(told('5x 3/9 -/9'), '5x confirmed 9 denied 9?')
  assert.is(told('5x 3/9 3/9'), '3 confirmed 9 denied 9')
})

test('when owners that closed the slot differ, the majority is right; at a tie, those that hold the entry are', () => {
  assert.is(told('3/9 3/8 -/9'), '3 confirmed 9 denied 9')
  assert.is(told('3/8 3/8 -/9'), '3 confirmed 8 denied 9')
  assert.is(told('3/9 -/9 -/8'), '- confirmed 0 denied 9')
  assert.is(told('5/9 3/9 3/9'), '3 confirmed 9 denied 9')
  assert.is(told('5/9 5/9 3/9'), '5 confirmed 9 denied 9')
  assert.is(told('3/9 -/9'), '3 confirmed 9 denied 9?')
  assert.is(told('3/9 -/9', true), '3 confirmed 9 denied 9')
})

test('the order of the answers does not matter, and the result is one of the answers', () => {
  const bound = fc.integer({ min: 0, max: 9 })
  const answer = fc.record({ held: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }), closed: bound })
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 5 }), fc.infiniteStream(fc.nat()), (list, chance) => {
      const made = list.map(({ held, closed }) => ({ envelope: held === undefined ? undefined : entry(held), closed }))
      const mixed = made.map((one) => ({ one, at: chance.next().value as number }))
      mixed.sort((a, b) => a.at - b.at)
      const resolution = resolve(made, true)
      assert.equal(
        resolution,
        resolve(
          mixed.map(({ one }) => one),
          true
        )
      )
      const { envelope, deniedBelow, confirmedBelow } = resolution
      if (envelope !== undefined) assert.ok(made.some((one) => one.envelope && sameBytes(one.envelope, envelope)))
      const isNewer = (one: Envelope) => envelope === undefined || compareVersions(one, envelope) > 0
      const newer = made.filter((one) => one.envelope && isNewer(one.envelope))
      assert.ok(deniedBelow > 0 || newer.length === 0)
      assert.ok(confirmedBelow === 0 || made.some(({ closed }) => closed === confirmedBelow))
      if (made.every(({ closed }) => closed === 0)) assert.is(newer.length, 0)
    }),
    { numRuns: 300 }
  )
})

test.run()
