// Hints as bytes: round trips, order, and bytes of all kinds that are no hint.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareBytes } from '../../lib/bytes.js'
import { type Envelope, encodeEnvelope } from '../../lib/entry/envelope.js'
import { allHints, decodeHint, encodeHint, hintBytes, hintKey, hintScan, parseHintKey } from '../../lib/entry/hint.js'
import { dataKey, metaKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'

const test = suite('entry: hints')
const U48 = 2 ** 48 - 1
const members = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const sequences = fc.integer({ min: 0, max: U48 })
const version = makeVersion(1_700_000_000_000, 3, new Uint8Array(8))

function envelopeOf(key: Uint8Array, value: Uint8Array): Envelope {
  return encodeEnvelope(key, { version, tombstone: false, value })
}

test('a stored key gives back its parts, and keys are ordered by member, then number', () => {
  fc.assert(
    fc.property(members, sequences, members, sequences, (member, sequence, other, later) => {
      const [a, b] = [hintKey({ member, sequence }), hintKey({ member: other, sequence: later })]
      assert.equal(parseHintKey(a), { member, sequence })
      const expected = member === other ? Math.sign(sequence - later) : Math.sign(member < other ? -1 : 1)
      assert.is(Math.sign(compareBytes(a, b)), expected)
    })
  )
})

test('a scan covers the numbers from the first, included, to the last, excluded, and no entries or metadata', () => {
  const member = 'ab'.repeat(16)
  const { from, to } = hintScan(member, 3, 5)
  const isIn = (sequence: number) => {
    const key = hintKey({ member, sequence })
    return compareBytes(key, from) >= 0 && compareBytes(key, to) < 0
  }
  assert.equal([2, 3, 4, 5].map(isIn), [false, true, true, false])
  const all = allHints()
  for (const other of [dataKey(16383, new Uint8Array(3).fill(255)), metaKey('')]) {
    assert.ok(compareBytes(other, all.from) < 0 || compareBytes(other, all.to) >= 0)
  }
  assert.ok(compareBytes(hintKey({ member: 'ff'.repeat(16), sequence: U48 }), all.to) < 0)
})

test('a hint survives encoding, envelope byte for byte', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), sequences, (key, value, keptAtMs) => {
      const envelope = envelopeOf(key, value)
      const stored = encodeHint({ keptAtMs, key, envelope })
      const read = decodeHint(stored)!
      assert.is(read.keptAtMs, keptAtMs)
      assert.is(compareBytes(read.key, key), 0)
      assert.is(compareBytes(read.envelope, envelope), 0)
      assert.is(hintBytes(key, envelope), stored.length + hintKey({ member: '00'.repeat(16), sequence: 0 }).length)
    })
  )
})

test('any bytes are read or refused, and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeHint(bytes)
      parseHintKey(bytes)
    })
  )
})

test('a hint with one changed byte after the time, or without its end, is damaged', () => {
  const key = Buffer.from('key')
  const whole = encodeHint({ keptAtMs: 7, key, envelope: envelopeOf(key, Buffer.from('value')) })
  for (let at = 6; at < whole.length; at++) {
    const changed = Buffer.from(whole)
    changed[at]! ^= 1
    assert.is(decodeHint(changed), undefined, `byte ${at}`)
    assert.is(decodeHint(whole.subarray(0, at)), undefined, `cut at ${at}`)
  }
})

test.run()
