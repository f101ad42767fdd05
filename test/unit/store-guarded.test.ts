// The rule for failed writes, on a store that fails on order: stop, open again, compare, and only then continue.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText, toText } from '../../lib/bytes.js'
import { metaKey } from '../../lib/entry/keys.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { MemoryStore } from '../../lib/storage/memory.js'
import { codeOf, put, textAt } from '../conformance/store.js'
import { FaultyStore } from '../sim/seams/faulty-store.js'

const test = suite('guarded store')

function makeStore() {
  const disk = new FaultyStore()
  return { disk, store: new GuardedStore(disk) }
}

test('every batch carries the next number of the sequence', async () => {
  const { disk, store } = makeStore()
  await store.write([put('a', '1')])
  await store.write([put('b', '1')])
  assert.equal(disk.get(metaKey('sequence')), Buffer.from([0, 0, 0, 0, 0, 0, 0, 2]))
  const again = new GuardedStore(disk)
  await again.write([])
  assert.equal(disk.get(metaKey('sequence')), Buffer.from([0, 0, 0, 0, 0, 0, 0, 3]))
  await store.close()
})

test('a sequence that cannot be read is DATA_DAMAGED', async () => {
  const disk = new MemoryStore()
  await disk.write([{ type: 'put', key: metaKey('sequence'), value: new Uint8Array(3) }])
  assert.is(await codeOf(() => new GuardedStore(disk)), 'DATA_DAMAGED')
})

test('after a failed write no other is tried, and reads still work', async () => {
  for (const code of ['DISK_FULL', 'STORE_FAILED'] as const) {
    const { disk, store } = makeStore()
    await store.write([put('a', '1')])
    disk.failNext = code
    assert.is(await codeOf(() => store.write([put('a', '2')])), code)
    assert.is(await codeOf(() => store.write([put('a', '3')])), code)
    assert.is(store.failure?.code, code)
    assert.is(disk.batches.length, 2)
    assert.is(store.get(Buffer.from('a'))?.toString(), '1')
    await store.close()
  }
})

for (const written of [false, true]) {
  test(`a failed batch that was ${written ? 'written after all' : 'not written'} lets the store continue`, async () => {
    const { disk, store } = makeStore()
    await store.write([put('a', '1')])
    disk.failNext = 'STORE_FAILED'
    disk.failWritten = written
    assert.is(await codeOf(() => store.write([put('a', '2')])), 'STORE_FAILED')
    await store.recover()
    assert.is(store.failure, undefined)
    assert.is(textAt(disk, 'a'), written ? '2' : '1')
    await store.write([put('a', '3')])
    assert.is(textAt(disk, 'a'), '3')
    await store.recover()
    assert.is(store.failure, undefined)
    await store.close()
  })
}

test('a store that lost an acknowledged batch stays refused, and may continue only as a new one', async () => {
  const { disk, store } = makeStore()
  await store.write([put('a', '1')])
  disk.isForgetful = true
  await store.write([put('a', '2')])
  disk.failNext = 'DISK_FULL'
  assert.is(await codeOf(() => store.write([put('a', '3')])), 'DISK_FULL')
  disk.isForgetful = false
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.is(await codeOf(() => store.recover()), 'DATA_DAMAGED')
    assert.ok(store.failure?.message.includes('went backwards'))
    assert.is(await codeOf(() => store.write([put('a', '4')])), 'DATA_DAMAGED')
  }
  const next = new GuardedStore(disk)
  await next.write([put('a', '5')])
  assert.is(textAt(disk, 'a'), '5')
  await next.close()
})

test('a store that cannot be opened again stays refused, and can be tried again', async () => {
  const { disk, store } = makeStore()
  await store.write([put('a', '1')])
  disk.failNext = 'DISK_FULL'
  assert.is(await codeOf(() => store.write([put('a', '2')])), 'DISK_FULL')
  disk.failReopen = 'DISK_FULL'
  assert.is(await codeOf(() => store.recover()), 'DISK_FULL')
  assert.is(await codeOf(() => store.write([put('a', '2')])), 'DISK_FULL')
  disk.failReopen = undefined
  await store.recover()
  await store.write([put('a', '2')])
  assert.is(textAt(disk, 'a'), '2')
  await store.close()
})

test('a store is not closed before the disk takes what an open needs', async () => {
  const { disk, store } = makeStore()
  await store.write([put('a', '1')])
  disk.failNext = 'DISK_FULL'
  assert.is(await codeOf(() => store.write([put('a', '2')])), 'DISK_FULL')
  disk.failTrial = 'DISK_FULL'
  assert.is(await codeOf(() => store.recover()), 'DISK_FULL')
  assert.is(toText(store.get(fromText('a'))!), '1')
  disk.failTrial = undefined
  disk.failReopen = 'DISK_FULL'
  assert.is(await codeOf(() => store.recover()), 'DISK_FULL')
  // Now it may lack what it has acknowledged, so it says nothing until that is known.
  assert.is(await codeOf(async () => store.get(fromText('a'))), 'STOPPED')
  disk.failReopen = undefined
  await store.recover()
  assert.is(toText(store.get(fromText('a'))!), '1')
  await store.close()
})

test('two batches at once are a programming error', async () => {
  const { store } = makeStore()
  const first = store.write([put('a', '1')])
  assert.is(await codeOf(() => store.write([put('b', '1')])), 'INTERNAL')
  assert.is(await codeOf(() => store.recover()), 'INTERNAL')
  await first
  assert.is(store.failure, undefined)
  await store.close()
})

test.run()
