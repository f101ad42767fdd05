// The store in memory passes the suite of all stores.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryStore } from '../../lib/storage/memory.js'
import { addStoreTests, drain, put, textAt } from '../conformance/store.js'

const test = suite('store in memory')

addStoreTests(test, async () => {
  const store = new MemoryStore()
  return { store, destroy: () => store.close() }
})

test('a hundred thousand entries in any order are scanned in order', async () => {
  const store = new MemoryStore()
  const count = 100_000
  for (let from = 0; from < count; from += 10_000) {
    const batch = Array.from({ length: 10_000 }, (_, at) => put(String(1e6 + (((from + at) * 77_777) % count)), ''))
    await store.write(batch)
  }
  const scan = store.scan({ from: Buffer.from('1'), to: Buffer.from('2') })
  const found = await drain(scan, 65536)
  assert.is(found.length, count)
  assert.ok(found.every((entry, at) => entry === `${1e6 + at}=`))
  await store.close()
})

test('a write is visible when it has finished, not when it begins', async () => {
  const store = new MemoryStore()
  const writing = store.write([put('a', '1')])
  assert.is(textAt(store, 'a'), undefined)
  await writing
  assert.is(textAt(store, 'a'), '1')
  await store.close()
})

test.run()
