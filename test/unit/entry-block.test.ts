// Blocks of transfers: round trips, bounds, and every kind of malformed bytes that a peer could send.
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Bytes, EMPTY_BYTES, fromText, sameBytes } from '../../lib/bytes.js'
import { BlockWriter, readBlock, readVersions } from '../../lib/entry/block.js'
import { ENVELOPE_OVERHEAD_MAX, encodeEnvelope } from '../../lib/entry/envelope.js'
import { asStoredKey, dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { type ErrorCode, RingdError } from '../../lib/errors.js'

const test = suite('entry block')

const LIMITS = { maxKeyBytes: 100, maxValueBytes: 1000 }
const VERSION = makeVersion(5, 6, new Uint8Array(8).fill(7))

function envelopeOf(key: Bytes, value: Bytes): Bytes {
  return encodeEnvelope(key, { version: VERSION, tombstone: false, value })
}

function blockOf(...pairs: Array<readonly [key: Bytes, body: Bytes]>) {
  const writer = new BlockWriter(1 << 20)
  for (const [key, body] of pairs) assert.ok(writer.add(asStoredKey(key), body))
  return writer.finish()
}

function codeIs(code: ErrorCode) {
  return (thrown: unknown) => thrown instanceof RingdError && thrown.code === code
}

/** The outcome of reading. Any error other than a RingdError with one of the two codes is a defect. */
function readSafely(block: Bytes, crc: number): void {
  for (const read of [() => readBlock(block, crc, LIMITS), () => readVersions(block, crc, LIMITS.maxKeyBytes)]) {
    try {
      const { entries, damaged } = read()
      assert.ok(entries.length + damaged <= block.length / 8)
    } catch (thrown) {
      if (!codeIs('BAD_MESSAGE')(thrown) && !codeIs('BAD_ENTRY')(thrown)) throw thrown
    }
  }
}

const pairs = fc.array(fc.tuple(fc.nat(16383), fc.uint8Array({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 })), {
  maxLength: 8
})

test('entries come back in order', () => {
  fc.assert(
    fc.property(pairs, (given) => {
      const { block, crc } = blockOf(...given.map(([slot, k, v]) => [dataKey(slot, k), envelopeOf(k, v)] as const))
      const { entries, damaged } = readBlock(block, crc, LIMITS)
      assert.is(damaged, 0)
      assert.is(entries.length, given.length)
      given.forEach(([slot, key, value], at) => {
        const entry = entries[at]!
        assert.is(entry.slot, slot)
        assert.ok(sameBytes(entry.key, key))
        assert.ok(sameBytes(entry.dataKey, dataKey(slot, key)))
        assert.ok(sameBytes(entry.envelope, envelopeOf(key, value)))
      })
    })
  )
})

test('a block of versions comes back in order', () => {
  const keys = ['a', 'b', ''].map(fromText)
  const { block, crc } = blockOf(...keys.map((key) => [dataKey(9, key), VERSION] as const))
  const { entries, damaged } = readVersions(block, crc, 1)
  assert.is(damaged, 0)
  assert.equal(
    entries.map((entry) => [entry.slot, entry.key.length]),
    [
      [9, 1],
      [9, 1],
      [9, 0]
    ]
  )
  assert.ok(entries.every((entry) => sameBytes(entry.version, VERSION)))
})

test('an empty block has no entries', () => {
  const { block, crc } = blockOf()
  assert.equal(readBlock(block, crc, LIMITS), {
    entries: [],
    damaged: 0,
    oversized: 0,
    lastKey: undefined,
    count: 0,
    checksum: 0
  })
})

test('a block ends before its bound, and accepts one entry of any size', () => {
  const writer = new BlockWriter(200)
  const key = dataKey(1, fromText('k'))
  assert.ok(writer.isEmpty)
  assert.ok(writer.add(key, new Uint8Array(5000)))
  assert.not(writer.add(key, new Uint8Array(1)))
  assert.is(writer.finish().block.length, 8 + key.length + 5000)
  assert.ok(writer.isEmpty)
  assert.ok(writer.add(key, new Uint8Array(200 - 8 - key.length)))
  assert.not(writer.add(key, EMPTY_BYTES))
  assert.is(writer.finish().block.length, 200)
})

test('a finished block does not change when the next one is written', () => {
  const writer = new BlockWriter(100)
  writer.add(dataKey(1, fromText('a')), VERSION)
  const first = writer.finish()
  writer.add(dataKey(1, fromText('b')), VERSION)
  writer.finish()
  assert.is(crc32(first.block), first.crc)
})

test('a damaged entry is left out and counted, and its neighbours stay', () => {
  const [a, b, c] = ['a', 'b', 'c'].map(fromText) as [Bytes, Bytes, Bytes]
  const wrongKey = dataKey(1, fromText('d'))
  wrongKey[5]! ^= 1
  const { block, crc } = blockOf(
    [dataKey(1, a), envelopeOf(a, b)],
    [dataKey(1, b), envelopeOf(c, b)],
    [wrongKey, envelopeOf(fromText('d'), b)],
    [dataKey(1, b), EMPTY_BYTES],
    [EMPTY_BYTES, envelopeOf(a, b)],
    [dataKey(1, c), envelopeOf(c, b)]
  )
  const { entries, damaged } = readBlock(block, crc, LIMITS)
  assert.is(damaged, 4)
  assert.equal(
    entries.map((entry) => entry.key[0]),
    [a[0], c[0]]
  )
})

test('a wrong checksum of the block is BAD_ENTRY', () => {
  const { block, crc } = blockOf([dataKey(1, fromText('a')), VERSION])
  assert.throws(() => readVersions(block, crc + 1, 10), codeIs('BAD_ENTRY'))
  block[3]! ^= 1
  assert.throws(() => readVersions(block, crc, 10), codeIs('BAD_ENTRY'))
})

test('entries beyond the limits are left out and counted; lengths beyond the block are BAD_MESSAGE', () => {
  const key = fromText('k'.repeat(100))
  const longKey = fromText('k'.repeat(101))
  const fits = blockOf([dataKey(1, key), envelopeOf(key, new Uint8Array(1000))])
  assert.is(readBlock(fits.block, fits.crc, LIMITS).entries.length, 1)

  const sound: [Bytes, Bytes] = [dataKey(1, key), envelopeOf(key, EMPTY_BYTES)]
  const [longKeyed, longBodied] = [dataKey(2, longKey), dataKey(3, key)]
  for (const tooLong of [
    [longKeyed, envelopeOf(longKey, EMPTY_BYTES)] as const,
    [longBodied, new Uint8Array(1001 + ENVELOPE_OVERHEAD_MAX)] as const,
    [longBodied, envelopeOf(key, new Uint8Array(1001))] as const
  ]) {
    const made = blockOf(sound, tooLong)
    const { entries, damaged, oversized, lastKey } = readBlock(made.block, made.crc, LIMITS)
    assert.equal([entries.length, damaged, oversized], [1, 0, 1])
    assert.equal(Buffer.from(lastKey!), Buffer.from(tooLong[0]))
  }
  const versions = blockOf([longKeyed, VERSION], [dataKey(3, key), VERSION])
  const read = readVersions(versions.block, versions.crc, 100)
  assert.equal([read.entries.length, read.oversized], [1, 1])
  const shortVersion = blockOf([dataKey(1, key), VERSION.subarray(1)])
  assert.throws(() => readVersions(shortVersion.block, shortVersion.crc, 100), codeIs('BAD_MESSAGE'))

  for (const cut of [1, 7, 8, 20, fits.block.length - 1]) {
    const block = fits.block.subarray(0, cut)
    assert.throws(() => readBlock(block, crc32(block), LIMITS), codeIs('BAD_MESSAGE'))
  }
  const huge = Buffer.alloc(16, 0xff)
  assert.throws(() => readBlock(huge, crc32(huge), LIMITS), codeIs('BAD_MESSAGE'))
})

test('random and mutated blocks with a right checksum are read or refused with a code', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => readSafely(noise, crc32(noise))))
  fc.assert(
    fc.property(pairs, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), (given, changes) => {
      const { block } = blockOf(...given.map(([slot, k, v]) => [dataKey(slot, k), envelopeOf(k, v)] as const))
      for (const [place, byte] of changes) if (block.length > 0) block[place % block.length] = byte
      readSafely(block, crc32(block))
    })
  )
})

test.run()
