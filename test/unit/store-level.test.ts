// The store on LevelDB: it passes the suite of all stores, and reports what is wrong with a directory.
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText } from '../../lib/bytes.js'
import { toRingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { addStoreTests, codeOf, put, textAt } from '../conformance/store.js'

const test = suite('store on LevelDB')

async function inDirectory(body: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'ringd-level-'))
  try {
    await body(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

/** A closed store with one entry. */
async function makeStore(path: string): Promise<void> {
  const store = await openLevelStore(path, { createIfMissing: true })
  await store.write([put('a', '1')])
  await store.close()
}

addStoreTests(test, async () => {
  const path = await mkdtemp(join(tmpdir(), 'ringd-level-'))
  const store = await openLevelStore(path, { createIfMissing: true })
  async function destroy(): Promise<void> {
    await store.close()
    await rm(path, { recursive: true })
  }
  return { store, destroy }
})

test('another handle finds what the first one wrote', () =>
  inDirectory(async (path) => {
    await makeStore(path)
    const store = await openLevelStore(path, { createIfMissing: false })
    assert.is(textAt(store, 'a'), '1')
    await store.close()
  }))

test('a directory in use is DATA_LOCKED, and can be opened when it is free again', () =>
  inDirectory(async (path) => {
    const store = await openLevelStore(path, { createIfMissing: true })
    const thrown = toRingdError(await openLevelStore(path, { createIfMissing: false }).catch((error) => error))
    assert.is(thrown.code, 'DATA_LOCKED')
    assert.ok(thrown.message.includes(path))
    await store.close()
    await (await openLevelStore(path, { createIfMissing: false })).close()
  }))

/** The bytes of the tables of a store. */
async function tableBytes(path: string): Promise<number> {
  const tables = (await readdir(path)).filter((name) => name.endsWith('.ldb'))
  const sizes = await Promise.all(tables.map(async (name) => (await stat(join(path, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

test('deleted entries give their room back when their range is rewritten, and only then', () =>
  inDirectory(async (path) => {
    const store = await openLevelStore(path, { createIfMissing: true, writeBufferBytes: MiB })
    const keys = Array.from({ length: 400 }, (_, at) => fromText(`key ${at}`))
    for (const key of keys) await store.write([{ type: 'put', key, value: randomBytes(20 * KiB) }])
    const full = await tableBytes(path)
    await store.write(keys.map((key) => ({ type: 'del', key })))
    const range = { from: fromText('key'), to: fromText('kez') }
    assert.ok((await store.diskBytes!(range)) > full * 0.9)
    assert.ok((await tableBytes(path)) > full * 0.9)
    await store.compact!(range)
    assert.ok((await tableBytes(path)) < full / 10)
    assert.ok((await store.diskBytes!(range)) < full / 10)
    await store.close()
  }))

test('the upkeep counts the write buffers, and the tables that may be merged at once', () =>
  inDirectory(async (path) => {
    const store = await openLevelStore(path, { createIfMissing: true, writeBufferBytes: MiB })
    assert.is(store.upkeepBytes!(), 2 * MiB)
    for (let at = 0; at < 300; at++) {
      await store.write([{ type: 'put', key: fromText(`${(at * 7919) % 300}`), value: randomBytes(20 * KiB) }])
    }
    assert.ok(store.upkeepBytes!() > 3 * MiB)
    await store.close()
  }))

test('a directory without a store is DATA_DAMAGED unless it is new', () =>
  inDirectory(async (path) => {
    assert.is(await codeOf(() => openLevelStore(join(path, 'none'), { createIfMissing: false })), 'DATA_DAMAGED')
    assert.is(await codeOf(() => openLevelStore(path, { createIfMissing: false })), 'DATA_DAMAGED')
  }))

for (const lost of ['CURRENT', 'MANIFEST']) {
  test(`a lost ${lost} is DATA_DAMAGED, never an empty store`, () =>
    inDirectory(async (path) => {
      await makeStore(path)
      for (const name of await readdir(path)) if (name.startsWith(lost)) await rm(join(path, name))
      const thrown = toRingdError(await openLevelStore(path, { createIfMissing: false }).catch((error) => error))
      assert.is(thrown.code, 'DATA_DAMAGED')
      assert.ok(thrown.message.includes('move the directory away'))
    }))
}

test('a CURRENT that is lost while the store is open is DATA_DAMAGED when it is opened again', () =>
  inDirectory(async (path) => {
    const store = await openLevelStore(path, { createIfMissing: true })
    await rm(join(path, 'CURRENT'))
    assert.is(await codeOf(() => store.reopen()), 'DATA_DAMAGED')
    assert.is(await codeOf(() => store.get(fromText('a'))), 'STOPPED')
    await store.close()
  }))

for (const broken of ['CURRENT', 'MANIFEST']) {
  test(`a broken ${broken} is DATA_DAMAGED`, () =>
    inDirectory(async (path) => {
      await makeStore(path)
      for (const name of await readdir(path)) {
        if (name.startsWith(broken)) await writeFile(join(path, name), 'these bytes are not what should be here')
      }
      assert.is(await codeOf(() => openLevelStore(path, { createIfMissing: false })), 'DATA_DAMAGED')
    }))
}

test('a file where the directory should be is STORE_FAILED', () =>
  inDirectory(async (path) => {
    const file = join(path, 'file')
    await writeFile(file, '')
    assert.is(await codeOf(() => openLevelStore(file, { createIfMissing: false })), 'STORE_FAILED')
  }))

test.run()
