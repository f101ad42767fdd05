// Compression of what moves: both seams alike, and when it is worth it.
import { randomBytes } from 'node:crypto'
import { zstdCompressSync } from 'node:zlib'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PartCompressor } from '../../lib/actors/migration/part-compression.js'
import type { Compression } from '../../lib/compression.js'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { systemCompression } from '../../lib/system-compression.js'
import { syncCompression } from '../sim/seams/sync-compression.js'

const test = suite('compression')
const SEAMS: ReadonlyArray<readonly [string, Compression]> = [
  ['system', systemCompression],
  ['simulator', syncCompression]
]

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return ''
  } catch (thrown) {
    return thrown instanceof RingdError ? thrown.code : String(thrown)
  }
}

for (const [name, { compress, decompress }] of SEAMS) {
  test(`${name}: any bytes come back`, async () => {
    const some = fc.oneof(fc.uint8Array({ maxLength: 5000 }), fc.constant(new Uint8Array(300_000).fill(7)))
    await fc.assert(
      fc.asyncProperty(some, async (bytes) => {
        const packed = await compress(bytes)
        assert.equal(Buffer.from(await decompress(packed, bytes.length)), Buffer.from(bytes))
      }),
      { numRuns: 50 }
    )
  })

  test(`${name}: bytes that make another length, cut bytes and garbage are BAD_MESSAGE`, async () => {
    const bytes = Buffer.from('what moves '.repeat(1000))
    const packed = await compress(bytes)
    assert.is(await codeOf(decompress(packed, bytes.length)), '')
    for (const length of [0, 1, bytes.length - 1, bytes.length + 1, 10 * MiB]) {
      assert.is(await codeOf(decompress(packed, length)), 'BAD_MESSAGE', `${length} bytes announced`)
    }
    for (const cut of [0, 1, 4, packed.length >> 1, packed.length - 1]) {
      assert.is(await codeOf(decompress(packed.subarray(0, cut), bytes.length)), 'BAD_MESSAGE', `cut at ${cut}`)
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(300), async (garbage, length) => {
        assert.ok(['', 'BAD_MESSAGE'].includes(await codeOf(decompress(garbage, length))))
      })
    )
  })

  test(`${name}: few bytes that would make many take no memory`, async () => {
    const bomb = zstdCompressSync(Buffer.alloc(256 * MiB))
    assert.ok(bomb.length < 64 * KiB)
    const before = process.memoryUsage().rss
    for (let tries = 0; tries < 10; tries++) assert.is(await codeOf(decompress(bomb, 256 * KiB)), 'BAD_MESSAGE')
    const grown = process.memoryUsage().rss - before
    assert.ok(grown < 64 * MiB, `${Math.round(grown / MiB)} MiB more`)
  })
}

/** Counts the calls. */
function counted(): Compression & { calls: number } {
  return {
    calls: 0,
    compress(bytes) {
      this.calls += 1
      return syncCompression.compress(bytes)
    },
    decompress: syncCompression.decompress
  }
}

test('a part that becomes shorter is sent compressed, with its length', async () => {
  const part = Buffer.from('what moves '.repeat(1000))
  const { body, holds } = await new PartCompressor(syncCompression).pack(part)
  assert.is(holds, part.length)
  assert.ok(body.length < part.length / 10)
  assert.equal(Buffer.from(await syncCompression.decompress(body, holds)), part)
})

test('random parts are sent as they are, and compressing them is hardly tried', async () => {
  const compression = counted()
  const compressor = new PartCompressor(compression)
  for (let parts = 0; parts < 1000; parts++) {
    const part = randomBytes(4 * KiB)
    assert.equal(await compressor.pack(part), { body: part, holds: 0 })
  }
  assert.ok(compression.calls < 30, `${compression.calls} tries`)
  assert.ok(compression.calls > 10, `${compression.calls} tries: what comes later may be worth it`)
})

test('after random parts, those that become shorter are compressed again', async () => {
  const compressor = new PartCompressor(syncCompression)
  for (let parts = 0; parts < 100; parts++) await compressor.pack(randomBytes(4 * KiB))
  const packed: number[] = []
  for (let parts = 0; parts < 100; parts++) packed.push((await compressor.pack(Buffer.alloc(4 * KiB))).holds)
  assert.ok(packed.filter((holds) => holds > 0).length > 30)
  assert.is(packed.at(-1), 4 * KiB)
})

test('short parts are not compressed', async () => {
  const compression = counted()
  assert.is((await new PartCompressor(compression).pack(Buffer.alloc(1000))).holds, 0)
  assert.is(compression.calls, 0)
})

test.run()
