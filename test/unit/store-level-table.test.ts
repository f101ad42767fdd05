// A LevelDB with changed files is detected before it is opened. Damage must not hide an entry, nor make one seem older.

import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText, toHex } from '../../lib/bytes.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey, slotScan } from '../../lib/entry/keys.js'
import { asVersion } from '../../lib/entry/version.js'
import { KiB, MiB } from '../../lib/limits.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { maskedCrc32c } from '../../lib/storage/crc32c.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { checkStore } from '../../lib/storage/level-check.js'
import { readManifest } from '../../lib/storage/level-manifest.js'
import { readTable } from '../../lib/storage/level-table.js'
import { unpackSnappy } from '../../lib/storage/snappy.js'
import type { Store, StoreWrite } from '../../lib/storage/store.js'
import { codeOf } from '../conformance/store.js'

const test = suite('tables of LevelDB')
const KEYS = 300
const folder = mkdtempSync(join(tmpdir(), 'ringd-table-'))
/** A store whose values cannot be compressed, and one whose values can. */
const random = join(folder, 'random')
const compressible = join(folder, 'text')

function keyAt(index: number): Buffer {
  return Buffer.from(`key${index}`)
}

/** `length` bytes that look random. */
function noise(index: number, length: number): Buffer {
  const value = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) value.writeUInt32LE(crc32(`${index} ${at}`), at)
  return value
}

function entryAt(index: number, value: Buffer): StoreWrite {
  const key = keyAt(index)
  const version = asVersion(Buffer.alloc(16, index % 256))
  return {
    type: 'put',
    key: dataKey(slotOf(key), key),
    value: encodeEnvelope(key, { version, tombstone: false, value })
  }
}

/** Writes entries and opens the store once more: then LevelDB has moved them from its log into a table. */
async function makeStore(path: string, valueAt: (index: number) => Buffer): Promise<void> {
  for (const isFirst of [true, false]) {
    const store = await openLevelStore(path, { createIfMissing: isFirst })
    if (isFirst) for (let index = 0; index < KEYS; index++) await store.write([entryAt(index, valueAt(index))])
    await store.close()
  }
}

test.before(async () => {
  await makeStore(random, (index) => noise(index, 120))
  await makeStore(compressible, (index) => Buffer.from(`value ${index} `.repeat(20)))
})

test.after(() => rmSync(folder, { recursive: true }))

function tableOf(path: string): string {
  return join(path, readdirSync(path).find((name) => name.endsWith('.ldb'))!)
}

function manifestOf(path: string): string {
  return join(path, readdirSync(path).find((name) => name.startsWith('MANIFEST'))!)
}

/** A copy of the store, changed by `change`. */
function copyOf(origin: string, change: (path: string) => void = () => {}): string {
  const path = mkdtempSync(join(folder, 'copy-'))
  cpSync(origin, path, { recursive: true })
  change(path)
  return path
}

async function entriesOf(store: Store): Promise<Map<string, string>> {
  const scan = store.scan(slotScan(0, SLOTS - 1))
  const entries = new Map<string, string>()
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [key, value] of found) entries.set(toHex(key), toHex(value))
  }
  await scan.close()
  return entries
}

/** All files but LevelDB's own text logs. */
function filesOf(path: string): readonly (readonly [string, string])[] {
  const names = readdirSync(path).filter((name) => !/^LOG(\.old)?$/.test(name))
  return names.map((name) => [name, readFileSync(join(path, name)).toString('base64')])
}

async function assertRefused(path: string, why: RegExp): Promise<void> {
  const before = filesOf(path)
  try {
    await (await openLevelStore(path, { createIfMissing: false })).close()
  } catch (thrown) {
    assert.is((thrown as { code?: string }).code, 'DATA_DAMAGED')
    assert.match((thrown as Error).message, why)
    assert.match((thrown as Error).message, /put the files back, or move the directory away/)
    assert.equal(filesOf(path), before, 'nothing was touched')
    return
  }
  throw new Error('it was opened')
}

test('a whole store passes, compressed or not', async () => {
  for (const path of [random, compressible]) {
    assert.equal(await checkStore(path), { damage: undefined, damaged: [] })
    assert.equal(readTable(readFileSync(tableOf(path))), { damage: undefined, damaged: [] })
  }
})

test('every flipped bit in a table is detected: as a damaged value, or the table is refused', async () => {
  for (const origin of [random, compressible]) {
    const sound = readFileSync(tableOf(origin))
    let healable = 0
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.nat(7), (at, bit) => {
        const flipped = Buffer.from(sound)
        flipped[at]! ^= 1 << bit
        const { damage, damaged } = readTable(flipped)
        if (damaged.length > 0) healable += 1
        // The handles of the footer are padded with unused bytes.
        const isPadding = at >= sound.length - 48 && at < sound.length - 8
        assert.ok(isPadding || damage !== undefined || damaged.length > 0, `byte ${at} of ${sound.length}, bit ${bit}`)
      }),
      { numRuns: 300 }
    )
    // Values fill most of a table.
    if (origin === random) assert.ok(healable > 100, `${healable} of 300`)
  }
})

test('the keys reported as damaged are exactly those whose values LevelDB then returns changed', async () => {
  const sound = await openLevelStore(copyOf(random), { createIfMissing: false })
  const expected = await entriesOf(sound)
  await sound.close()
  let opened = 0
  for (const origin of [random, compressible]) {
    const size = readFileSync(tableOf(origin)).length
    for (let at = 5; at < size; at += Math.ceil(size / 60)) {
      const path = copyOf(origin, (copy) => flip(tableOf(copy), at))
      const named: string[] = []
      const onDamaged = (keys: readonly Uint8Array[]) => void named.push(...keys.map(toHex))
      const code = await codeOf(async () => {
        const store = await openLevelStore(path, { createIfMissing: false, onDamaged })
        opened += 1
        const entries = await entriesOf(store)
        await store.close()
        if (origin === compressible) return
        const differing = [...expected].filter(([key, value]) => entries.get(key) !== value).map(([key]) => key)
        assert.equal(named.sort(), differing.sort(), `byte ${at}`)
      })
      assert.ok(code === undefined || code === 'DATA_DAMAGED', `byte ${at}: ${code}`)
      rmSync(path, { recursive: true })
    }
  }
  assert.ok(opened > 20, `${opened} were opened`)
})

test('a damaged value does not hide other damage in its block', () => {
  const sound = readFileSync(tableOf(random))
  const value = noise(Number(/key(\d+)/.exec(sound.subarray(0, 100).toString('latin1'))?.[1]), 120)
  const inValue = sound.indexOf(value) + 50
  assert.ok(inValue > 50, 'the first value lies there as it is')
  const blockEnd = firstBlockEnd(sound)
  const flipped = (places: readonly number[]) => {
    const bytes = Buffer.from(sound)
    for (const at of places) bytes[at]! ^= 1
    return readTable(bytes)
  }
  assert.is(flipped([inValue]).damaged.length, 1)
  // The slot and hash of the first key, the restart points and their number.
  for (const at of [5, 8, blockEnd - 8, blockEnd - 4]) {
    assert.match(flipped([inValue, at]).damage ?? '', /its block at byte 0 is damaged/, `byte ${at}`)
  }
})

/** Where the trailer of the first block begins: after the number of its restart points, which come every 16 entries. */
function firstBlockEnd(table: Buffer): number {
  for (let end = 1; end < table.length; end++) {
    if (table.readUInt32LE(end + 1) === maskedCrc32c(table, 0, end + 1)) return end
  }
  throw new Error('there is no block')
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 4
  writeFileSync(path, bytes)
}

test('a cut or missing table is damage, and no file is touched', async () => {
  const cut = copyOf(random, (path) => truncateSync(tableOf(path), 5000))
  await assertRefused(cut, /\d+\.ldb: it has 5000 bytes instead of \d+/)
  const deleted = copyOf(random, (path) => unlinkSync(tableOf(path)))
  await assertRefused(deleted, /\d+\.ldb is missing/)
})

test('a flipped bit in the index, the filter or the footer of a table is damage', async () => {
  const size = readFileSync(tableOf(random)).length
  for (const [fromEnd, why] of [
    [1, /its end is damaged/],
    [60, /its index is damaged/]
  ] as const) {
    await assertRefused(
      copyOf(random, (path) => flip(tableOf(path), size - fromEnd)),
      why
    )
  }
})

test('a MANIFEST that was cut or flipped anywhere is damage, or lists the same files', () => {
  const sound = readFileSync(manifestOf(random))
  const whole = readManifest(sound)
  assert.type(whole, 'object')
  fc.assert(
    fc.property(fc.nat(sound.length - 1), fc.option(fc.nat(7)), (at, bit) => {
      const bytes = Buffer.from(sound)
      if (bit !== null) bytes[at]! ^= 1 << bit
      const found = readManifest(bit === null ? bytes.subarray(0, at) : bytes)
      if (typeof found === 'string') return
      assert.ok(found.logNumber <= (whole as { logNumber: number }).logNumber)
    })
  )
})

test('a store whose MANIFEST was cut anywhere is refused', async () => {
  const size = readFileSync(manifestOf(random)).length
  for (let length = 0; length < size; length += 7) {
    const path = copyOf(random, (copy) => truncateSync(manifestOf(copy), length))
    await assertRefused(path, /MANIFEST-\d+ (was cut|is damaged)|\.log is missing/)
    rmSync(path, { recursive: true })
  }
})

test('a MANIFEST of many writes that was cut is refused, unless its missing end changes nothing', async () => {
  const origin = join(folder, 'long')
  const store = await openLevelStore(origin, { createIfMissing: true, writeBufferBytes: 64 * KiB })
  for (let round = 0; round < 4; round++) {
    for (let index = 0; index < KEYS; index++) await store.write([entryAt(index, noise(index + round, 400))])
  }
  const expected = await entriesOf(store)
  await store.close()
  const size = readFileSync(manifestOf(origin)).length
  const reasons = new Set<string>()
  for (let length = 0; length < size; length += Math.ceil(size / 120)) {
    const path = copyOf(origin, (copy) => truncateSync(manifestOf(copy), length))
    try {
      const opened = await openLevelStore(path, { createIfMissing: false })
      assert.equal(await entriesOf(opened), expected, `cut to ${length} of ${size} bytes`)
      await opened.close()
    } catch (thrown) {
      assert.is((thrown as { code?: string }).code, 'DATA_DAMAGED')
      reasons.add(/was cut|log is missing|ldb is missing/.exec((thrown as Error).message)?.[0] ?? 'another')
    }
    rmSync(path, { recursive: true })
  }
  assert.ok(reasons.has('log is missing') && !reasons.has('another'), [...reasons].join())
})

test('a store without CURRENT, or without the file that it names, is not opened', async () => {
  const unnamed = copyOf(random, (path) => writeFileSync(join(path, 'CURRENT'), 'MANIFEST-999999\n'))
  await assertRefused(unnamed, /MANIFEST-999999 is missing/)
  const empty = copyOf(random, (path) => writeFileSync(join(path, 'CURRENT'), ''))
  await assertRefused(empty, /the file that CURRENT names is missing/)
})

test('damage in an open store is found by a check of its files', async () => {
  const path = copyOf(random)
  const store = await openLevelStore(path, { createIfMissing: false })
  let pauses = 0
  const between = async () => {
    pauses += 1
  }
  assert.is(await store.check!(between), undefined)
  assert.is(pauses, 1)
  flip(tableOf(path), readFileSync(tableOf(path)).length - 60)
  assert.match((await store.check!(between)) ?? '', /\.ldb: its index is damaged/)
  unlinkSync(tableOf(path))
  assert.is(await store.check!(between), undefined, 'it may have been replaced')
  await store.close()
})

test('a process that died while it wrote a table leaves no damage', async () => {
  const path = copyOf(random, (copy) => writeFileSync(join(copy, '999998.ldb'), 'the beginning of a table'))
  await (await openLevelStore(path, { createIfMissing: false })).close()
})

test('reading ends for any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readManifest(bytes)))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void unpackSnappy(bytes, MiB)))
  const magic = Buffer.from('57fb808b247547db', 'hex')
  const table = (bytes: Uint8Array) => readTable(Buffer.concat([bytes, magic]))
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void table(bytes)))
})

test('bytes compressed by Snappy are decompressed', () => {
  // A literal "abcd", then a copy of eight bytes from four bytes back. The copy overlaps its own output.
  const packed = Uint8Array.of(12, 3 << 2, ...fromText('abcd'), ((8 - 4) << 2) | 1, 4)
  assert.is(Buffer.from(unpackSnappy(packed, 12)!).toString(), 'abcdabcdabcd')
  assert.is(unpackSnappy(packed, 11), undefined)
  assert.is(unpackSnappy(packed.subarray(0, -1), 12), undefined)
})

test.run()
