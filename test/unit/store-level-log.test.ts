// A LevelDB log that lacks more than its end is detected before the store is opened. LevelDB itself would not report
// it.
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../lib/limits.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { logDamage, readLog } from '../../lib/storage/level-log.js'
import { codeOf, put } from '../conformance/store.js'

const test = suite('logs of LevelDB')
const BATCHES = 600
const TEXT = 'x'.repeat(150)
const folder = mkdtempSync(join(tmpdir(), 'ringd-log-'))
/** The files of a store that was killed: its log holds everything. */
const killed = join(folder, 'killed')
let log = Buffer.alloc(0)
let name = ''
let next = 0

test.before(async () => {
  const live = join(folder, 'live')
  const store = await openLevelStore(live, { createIfMissing: true })
  // Many sizes, some larger than a block, so that batches are cut in every possible way.
  for (let number = 0; number < BATCHES; number++) {
    const value = number % 100 === 0 ? TEXT.repeat(400) : TEXT.slice(0, 20 + (number % 130))
    await store.write([put(`k${number}`, value), put('last', String(number))])
  }
  cpSync(live, killed, { recursive: true })
  await store.close()
  name = readdirSync(killed).find((file) => file.endsWith('.log'))!
  log = readFileSync(join(killed, name))
  next = readLog(log).next!
})

test.after(() => rmSync(folder, { recursive: true }))

function inCopy(body: (path: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const copy = mkdtempSync(join(folder, 'copy-'))
    cpSync(killed, copy, { recursive: true })
    await body(copy)
  }
}

/** All files but LevelDB's own text logs, LOG and LOG.old. */
function contentOf(path: string): readonly (readonly [string, string])[] {
  const names = readdirSync(path).filter((file) => !/^LOG(\.old)?$/.test(file))
  return names.map((file) => [file, readFileSync(join(path, file)).toString('base64')])
}

test('a whole log passes, and tells the number of its writes', () => {
  const { damagedAt, isTorn, first } = readLog(log)
  assert.equal({ damagedAt, isTorn }, { damagedAt: undefined, isTorn: false })
  assert.is(next - first!, 2 * BATCHES)
})

test('a log cut anywhere has a torn end, and no damage', () => {
  fc.assert(
    fc.property(fc.nat(log.length - 1), (length) => {
      const content = readLog(log.subarray(0, length))
      assert.is(content.damagedAt, undefined)
      assert.ok((content.next ?? 0) < next)
    }),
    { numRuns: 40 }
  )
})

test('a flipped bit is damage, unless it looks like a torn end', () => {
  fc.assert(
    fc.property(fc.nat(log.length - 1), fc.nat(7), (at, bit) => {
      const flipped = Buffer.from(log)
      flipped[at]! ^= 1 << bit
      const content = readLog(flipped)
      const isPadding = readLog(log).damagedAt === undefined && content.next === next && !content.isTorn
      // The unused end of a block belongs to no batch.
      if (content.damagedAt === undefined && !isPadding) assert.ok(content.isTorn && at > log.length - 64 * KiB)
    }),
    { numRuns: 60 }
  )
})

test('a batch missing between two others is damage', () => {
  const end = (at: number) => at + 7 + log.readUInt16LE(at + 4)
  // The first batch is longer than a block. From the second block on, whole batches lie side by side.
  let first = 0
  while (log[first + 6] !== 1) first = end(first)
  const second = end(first)
  assert.is(log[second + 6], 1)
  const gap = Buffer.concat([log.subarray(0, second), log.subarray(end(second), end(end(second)))])
  assert.is(readLog(gap).damagedAt, second)
})

test('reading ends for any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readLog(bytes)))
  assert.equal(readLog(Buffer.alloc(100_000)).damagedAt, undefined)
})

test(
  'a store with a flipped bit in its log is refused each time',
  inCopy(async (path) => {
    const flipped = Buffer.from(log)
    flipped[Math.floor(log.length / 2)]! ^= 4
    writeFileSync(join(path, name), flipped)
    const before = contentOf(path)
    for (const _ of [1, 2]) {
      assert.is(await codeOf(() => openLevelStore(path, { createIfMissing: false })), 'DATA_DAMAGED')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    assert.equal(contentOf(path), before, 'nothing was touched')
  })
)

test(
  'a store whose newest log lacks its end can be opened',
  inCopy(async (path) => {
    truncateSync(join(path, name), log.length - 100)
    assert.is(await logDamage(path), undefined)
    await (await openLevelStore(path, { createIfMissing: false })).close()
  })
)

test(
  'a log that lacks its end and has a newer log after it is damage',
  inCopy(async (path) => {
    // As if batches between the two logs were missing.
    writeFileSync(join(path, '999999.log'), log)
    assert.match((await logDamage(path)) ?? '', /is missing/)
    truncateSync(join(path, name), log.length - 100)
    assert.match((await logDamage(path)) ?? '', /end of .* is missing/)
  })
)

test('a store that fills several logs is whole at every moment', async () => {
  const live = join(folder, 'several')
  const store = await openLevelStore(live, { createIfMissing: true, writeBufferBytes: 64 * KiB })
  for (let number = 0; number < BATCHES; number++) {
    await store.write([put(`k${number}`, TEXT.repeat(4))])
    if (number % 100 === 7) {
      const copy = mkdtempSync(join(folder, 'moment-'))
      for (const file of readdirSync(live)) if (file.endsWith('.log')) cpSync(join(live, file), join(copy, file))
      assert.is(await logDamage(copy), undefined)
    }
  }
  await store.close()
})

test.run()
