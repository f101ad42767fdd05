// Envelopes, merging and stored keys: round trips, damage of every kind, and the laws of the merge rule.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bytes, compareBytes, EMPTY_BYTES, fromText, sameBytes, toHex } from '../../lib/bytes.js'
import {
  checkEnvelope,
  compareVersions,
  decodeEnvelope,
  ENVELOPE_BYTES_MIN,
  ENVELOPE_OVERHEAD_MAX,
  encodeEnvelope,
  expiresAt,
  isAbsent,
  isAdopted,
  isTombstone,
  originMsOf,
  originOf,
  valueBytes,
  valueLength,
  versionOf
} from '../../lib/entry/envelope.js'
import { DATA_KEY_OVERHEAD, dataKey, metaKey, parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { newest } from '../../lib/entry/merge.js'
import { makeVersion, versionMs } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'

const test = suite('entry envelope')

const KEY = fromText('user:1')
const bytes = fc.uint8Array({ maxLength: 64 })
const version = fc
  .tuple(fc.nat(3), fc.nat(2), fc.nat(1))
  .map(([ms, counter, member]) => makeVersion(ms, counter, new Uint8Array(8).fill(member)))
const entry = fc.oneof(
  fc.record({ version, tombstone: fc.constant(false), value: bytes }),
  fc.record({ version, tombstone: fc.constant(false), value: bytes, expiresAtMs: fc.nat(2 ** 48 - 1) }),
  fc.record({ version, tombstone: fc.constant(true), value: fc.constant(EMPTY_BYTES) })
)
/** Of an adopted entry: below every version above. */
const origin = fc.option(fc.constantFrom(...[0, 1].map((counter) => makeVersion(0, counter, new Uint8Array(8)))), {
  nil: undefined
})

function isBadEntry(thrown: unknown): boolean {
  return thrown instanceof RingdError && thrown.code === 'BAD_ENTRY'
}

test('an entry survives encoding', () => {
  fc.assert(
    fc.property(bytes, entry, origin, (key, made, first) => {
      const given = { ...made, version: makeVersion(versionMs(made.version) + 1, 0, new Uint8Array(8)), origin: first }
      const envelope = encodeEnvelope(key, given)
      assert.ok(checkEnvelope(key, envelope))
      assert.ok(sameBytes(originOf(envelope), first ?? given.version))
      assert.is(isAdopted(envelope), first !== undefined)
      assert.is(valueLength(envelope), given.value.length)
      assert.is(originMsOf(envelope), versionMs(first ?? given.version))
      assert.ok(envelope.length <= given.value.length + ENVELOPE_OVERHEAD_MAX)
      const decoded = decodeEnvelope(key, envelope)
      assert.ok(sameBytes(decoded.version, given.version))
      assert.ok(sameBytes(decoded.value, given.value))
      assert.is(decoded.tombstone, given.tombstone)
      assert.is(decoded.expiresAtMs, 'expiresAtMs' in made ? made.expiresAtMs : undefined)
    })
  )
})

test('the bytes of an envelope stay those of format 1', () => {
  const stored = makeVersion(1, 2, new Uint8Array(8).fill(3))
  const plain = encodeEnvelope(KEY, { version: stored, tombstone: false, value: fromText('v') })
  assert.is(toHex(plain), '97c7d0f20100000000000100020303030303030303' + '0076')
  const expiring = encodeEnvelope(KEY, { version: stored, tombstone: false, expiresAtMs: 5, value: fromText('v') })
  assert.is(toHex(expiring.subarray(4)), '0100000000000100020303030303030303' + '0200000000000576')
  const tombstone = encodeEnvelope(KEY, { version: stored, tombstone: true, value: EMPTY_BYTES })
  assert.is(toHex(tombstone.subarray(4)), '0100000000000100020303030303030303' + '01')
})

test('an envelope fails its checksum under every other key', () => {
  fc.assert(
    fc.property(bytes, bytes, entry, (key, other, given) => {
      assert.is(checkEnvelope(other, encodeEnvelope(key, given)), sameBytes(key, other))
    })
  )
})

test('one changed byte anywhere fails', () => {
  fc.assert(
    fc.property(entry, fc.nat(), fc.integer({ min: 1, max: 255 }), (given, place, change) => {
      const envelope = encodeEnvelope(KEY, given)
      const at = place % envelope.length
      envelope[at] = envelope[at]! ^ change
      assert.is(checkEnvelope(KEY, envelope), false)
      assert.throws(() => decodeEnvelope(KEY, envelope), isBadEntry)
    })
  )
})

test('a cut or lengthened envelope fails', () => {
  fc.assert(
    fc.property(entry, fc.nat(), (given, place) => {
      const envelope = encodeEnvelope(KEY, given)
      assert.is(checkEnvelope(KEY, envelope.subarray(0, place % envelope.length)), false)
      assert.is(checkEnvelope(KEY, Buffer.concat([envelope, new Uint8Array(1)])), false)
    })
  )
})

test('random bytes are refused with BAD_ENTRY', () => {
  fc.assert(
    fc.property(bytes, fc.uint8Array({ maxLength: 200 }), (key, noise) => {
      assert.is(checkEnvelope(key, noise), false)
      assert.throws(() => decodeEnvelope(key, noise), isBadEntry)
    })
  )
})

test('unknown flags fail even with a right checksum', async () => {
  const { crc32 } = await import('node:zlib')
  const stored = makeVersion(1, 2, new Uint8Array(8))
  function forge(format: number, flags: number, rest: Bytes): Bytes {
    const body = Buffer.concat([Buffer.from([format]), stored, Buffer.from([flags]), rest])
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(crc32(body, crc32(KEY)))
    return Buffer.concat([crc, body])
  }
  assert.is(checkEnvelope(KEY, forge(1, 0, EMPTY_BYTES)), true)
  assert.is(checkEnvelope(KEY, forge(1, 1, EMPTY_BYTES)), true)
  assert.is(checkEnvelope(KEY, forge(1, 2, new Uint8Array(6))), true)
  assert.is(checkEnvelope(KEY, forge(2, 0, EMPTY_BYTES)), false)
  assert.is(checkEnvelope(KEY, forge(1, 1, new Uint8Array(1))), false)
  assert.is(checkEnvelope(KEY, forge(1, 2, new Uint8Array(5))), false)
  for (const flags of [3, 7, 8, 128, 255]) assert.is(checkEnvelope(KEY, forge(1, flags, new Uint8Array(40))), false)
  assert.is(checkEnvelope(KEY, forge(1, 4, new Uint8Array(15))), false)
  assert.is(checkEnvelope(KEY, forge(1, 4, new Uint8Array(16))), true, 'an origin of zeros: the entry of nobody')
  assert.is(checkEnvelope(KEY, forge(1, 5, new Uint8Array(16))), true)
  assert.is(checkEnvelope(KEY, forge(1, 5, new Uint8Array(17))), false)
  assert.is(checkEnvelope(KEY, forge(1, 6, new Uint8Array(21))), false)
  assert.is(checkEnvelope(KEY, forge(1, 4, stored)), false, 'an origin is below the version')
})

test('the parts of an envelope share its bytes', () => {
  const envelope = encodeEnvelope(KEY, { version: makeVersion(1, 2, new Uint8Array(8)), tombstone: false, value: KEY })
  assert.is(versionOf(envelope).buffer, envelope.buffer)
  assert.is(valueBytes(envelope).buffer, envelope.buffer)
  assert.is(isTombstone(envelope), false)
  assert.is(expiresAt(envelope), undefined)
  assert.is(envelope.length, ENVELOPE_BYTES_MIN + KEY.length)
})

test('envelopes are ordered by their versions', () => {
  fc.assert(
    fc.property(entry, entry, (a, b) => {
      const order = compareVersions(encodeEnvelope(KEY, a), encodeEnvelope(KEY, b))
      assert.is(Math.sign(order), Math.sign(compareBytes(a.version, b.version)))
    })
  )
})

test('merging is commutative, associative and idempotent', () => {
  const held = fc.option(
    entry.map((given) => encodeEnvelope(KEY, given)),
    { nil: undefined }
  )
  fc.assert(
    fc.property(held, held, held, (a, b, c) => {
      const same = (x: Bytes | undefined, y: Bytes | undefined) =>
        x === undefined || y === undefined ? x === y : sameBytes(x, y)
      assert.ok(same(newest(a, b), newest(b, a)))
      assert.ok(same(newest(newest(a, b), c), newest(a, newest(b, c))))
      assert.ok(same(newest(a, a), a))
      assert.ok(same(newest(newest(a, b), b), newest(a, b)))
    })
  )
})

test('the higher version wins, also when it is a tombstone', () => {
  const member = new Uint8Array(8)
  const older = encodeEnvelope(KEY, { version: makeVersion(1, 0, member), tombstone: false, value: KEY })
  const newer = encodeEnvelope(KEY, { version: makeVersion(1, 1, member), tombstone: true, value: EMPTY_BYTES })
  assert.is(newest(older, newer), newer)
  assert.is(newest(newer, older), newer)
  assert.is(newest(older, undefined), older)
  assert.is(newest(undefined, undefined), undefined)
  fc.assert(
    fc.property(entry, entry, (a, b) => {
      const kept = versionOf(newest(encodeEnvelope(KEY, a), encodeEnvelope(KEY, b))!)
      assert.ok(compareBytes(kept, a.version) >= 0 && compareBytes(kept, b.version) >= 0)
    })
  )
})

test('a stored key gives back its slot and key', () => {
  fc.assert(
    fc.property(fc.nat(16383), bytes, (slot, key) => {
      const stored = dataKey(slot, key)
      assert.is(stored.length, key.length + DATA_KEY_OVERHEAD)
      const parsed = parseDataKey(stored)
      assert.is(parsed?.slot, slot)
      assert.ok(sameBytes(parsed!.key, key))
    })
  )
  assert.is(toHex(dataKey(258, fromText('abc'))), `64010244bc2cf5ad770999${toHex(fromText('abc'))}`)
})

test('parsing bytes that are not a stored key returns undefined', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (noise) => void assert.is(parseDataKey(noise), undefined)))
  fc.assert(
    fc.property(bytes, fc.nat(), fc.integer({ min: 1, max: 255 }), (key, place, change) => {
      const stored = dataKey(7, key)
      const at = place % stored.length
      stored[at] = stored[at]! ^ change
      const parsed = parseDataKey(stored)
      assert.ok(parsed === undefined || at === 1 || at === 2, 'only another slot can pass')
    })
  )
  assert.is(parseDataKey(metaKey('sequence')), undefined)
  const beyond = dataKey(16383, KEY)
  beyond[1] = 0x40
  assert.is(parseDataKey(beyond), undefined)
})

test('a scan of slots holds their keys and no others', () => {
  const slot = fc.nat(16383)
  fc.assert(
    fc.property(slot, slot, slot, bytes, (a, b, of, key) => {
      const [first, last] = a < b ? [a, b] : [b, a]
      const { from, to } = slotScan(first, last)
      const stored = dataKey(of, key)
      assert.is(compareBytes(from, stored) <= 0 && compareBytes(stored, to) < 0, first <= of && of <= last)
      assert.ok(compareBytes(metaKey(''), to) > 0)
    })
  )
})

test('an entry is absent when it is a tombstone, or from its expiry on', () => {
  fc.assert(
    fc.property(bytes, entry, fc.nat(2 ** 48), (key, given, now) => {
      const envelope = encodeEnvelope(key, given)
      const expiry = 'expiresAtMs' in given ? given.expiresAtMs : Number.POSITIVE_INFINITY
      assert.is(isAbsent(envelope, now), given.tombstone || expiry <= now)
      if (given.tombstone || expiry === Number.POSITIVE_INFINITY) return
      assert.is(isAbsent(envelope, expiry - 1), false)
      assert.is(isAbsent(envelope, expiry), true)
    })
  )
})

test('an absent entry stays absent, and a newer entry wins in either case', () => {
  fc.assert(
    fc.property(entry, entry, fc.nat(2 ** 48), fc.nat(1000), (one, other, now, later) => {
      const [a, b] = [encodeEnvelope(KEY, one), encodeEnvelope(KEY, other)]
      assert.ok(!isAbsent(a, now) || isAbsent(a, now + later))
      if (compareVersions(a, b) > 0) assert.is(newest(a, b), a)
    })
  )
})

test.run()
