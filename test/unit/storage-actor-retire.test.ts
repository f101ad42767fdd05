// Slots that a member gives up: refused first, deleted then, and never served again for what came before.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PulledBlock } from '../../lib/actors/replica/storage-messages.js'
import { SLOT_SUM_BYTES } from '../../lib/anti-entropy/fingerprint.js'
import type { Bytes } from '../../lib/bytes.js'
import { slotOf } from '../../lib/ring/slots.js'
import { config } from '../sim/harness/ring-views.js'
import { answerOf, type Kept, StorageBench, stored } from '../sim/harness/storage-bench.js'

const test = suite('storage actor: giving slots up')

const SLOT = slotOf(Buffer.from('key'))
const OTHER = slotOf(Buffer.from('other'))
const OUT = [config(2, 'bcd')]

/** Owned at first, with two entries; then others own everything, and it has settled. */
async function bench(): Promise<StorageBench> {
  const storage = new StorageBench()
  storage.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1 } })
  storage.write('key', 1)
  storage.write('other', 1)
  await storage.clock.settle()
  storage.view({ number: 2, window: OUT })
  return storage
}

function retire(storage: StorageBench, slots = [SLOT], begin = 2): Kept<undefined> {
  return storage.send('retire', { config: begin, slots })
}

function pull(storage: StorageBench, begin: number, view = 2): Kept<PulledBlock> {
  const ranges = [{ first: SLOT, last: SLOT }]
  const rest = { view, from: 'peer-b', config: begin, ranges, after: undefined, versionsOnly: false }
  return storage.send<PulledBlock, 'pull'>('pull', rest)
}

test('what others own is found, given up and deleted, and nothing else is', async () => {
  const storage = await bench()
  const before = storage.send<readonly number[]>('surplus', {})
  const done = retire(storage)
  await storage.clock.settle()
  assert.equal([...(before.result as number[])].sort(), [SLOT, OTHER].sort())
  assert.equal(done, { count: 1, result: undefined })
  assert.is(storage.stored('key'), undefined)
  assert.ok(storage.stored('other') !== undefined)
  const after = storage.send<readonly number[]>('surplus', {})
  await storage.clock.settle()
  assert.equal(after.result, [OTHER])
  assert.is(storage.tally.totals.entries, 1)
})

test('giving up is on disk before anything is deleted', async () => {
  const storage = await bench()
  await storage.clock.settle()
  storage.disk.hold()
  retire(storage)
  await storage.clock.settle()
  const [last] = storage.disk.batches.slice(-1)
  assert.ok(last!.some(({ type, key }) => type === 'put' && Buffer.from(key).toString() === 'mretired'))
  assert.not(last!.some(({ type }) => type === 'del'))
  // Refused from the moment on which it was decided.
  assert.is(answerOf(storage.read('key', 2)), 'nothing')
  const read = storage.read('key', 2)
  await storage.clock.settle()
  assert.is(answerOf(read), 'NOT_OWNER')
  storage.disk.release()
  await storage.clock.settle()
  assert.is(storage.stored('key'), undefined)
})

test('a slot that moves, that is owned here, or whose config is another one by now is not given up', async () => {
  const storage = await bench()
  const another = retire(storage, [SLOT], 1)
  storage.view({ number: 3, window: [config(2, 'bcd'), config(3, 'bce')] })
  const moving = retire(storage)
  storage.view({ number: 4, window: [config(4, 'abc')] })
  const owned = retire(storage, [SLOT], 4)
  await storage.clock.settle()
  assert.equal([another, moving, owned].map(answerOf), ['STALE_VIEW', 'STALE_VIEW', 'STALE_VIEW'])
  assert.ok(storage.stored('key') !== undefined)
})

test('what was given up is neither read, written, merged nor pulled', async () => {
  const storage = await bench()
  retire(storage)
  await storage.clock.settle()
  const merged = storage.send('merge', {
    entries: [{ dataKey: stored('key'), envelope: storage.envelope('key', 9) }]
  })
  const fetch = { view: 2, from: 'peer-b', config: 2, keys: [stored('key')] }
  const answers: Kept<unknown>[] = [storage.read('key', 2), storage.write('key', 5, '5', 2)]
  answers.push(pull(storage, 2), pull(storage, 1), storage.send('fetch', fetch))
  await storage.clock.settle()
  assert.equal(answers.map(answerOf), new Array(5).fill('NOT_OWNER'))
  assert.is(answerOf(merged), 'NOT_OWNER')
  assert.is(storage.stored('key'), undefined)
})

test('a former owner of both before and after it gave the slot up can still hand over what it holds', async () => {
  const storage = await bench()
  retire(storage)
  await storage.clock.settle()
  storage.view({ number: 3, window: [config(3, 'abd')] })
  storage.write('key', 9, '9', 3)
  await storage.clock.settle()
  storage.view({ number: 4, window: [config(4, 'bcd')] })
  const rest = { view: 4, config: 4, ranges: [{ first: SLOT, last: SLOT }], after: undefined, versionsOnly: true }
  const mine = storage.send<PulledBlock, 'pull'>('pull', { ...rest, from: undefined })
  const fetched = storage.send('fetch', { view: 4, config: 4, keys: [stored('key')], from: undefined })
  const others = storage.send<PulledBlock, 'pull'>('pull', { ...rest, from: 'peer-b' })
  await storage.clock.settle()
  assert.is(answerOf(others), 'NOT_OWNER')
  assert.ok((mine.result as PulledBlock).block.length > 0)
  assert.is((fetched.result as { taken: number }).taken, 1)
})

test('an owner again serves, but is no source for the config at which it gave the slot up, or earlier', async () => {
  const storage = await bench()
  retire(storage)
  await storage.clock.settle()
  storage.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  const write = storage.write('key', 9, '9', 3)
  await storage.clock.settle()
  const earlier = pull(storage, 1, 3)
  const same = pull(storage, 2, 3)
  const later = pull(storage, 3, 3)
  const read = storage.read('key', 3)
  await storage.clock.settle()
  assert.equal([write, earlier, same].map(answerOf), [undefined, 'NOT_OWNER', 'NOT_OWNER'])
  assert.ok((later.result as PulledBlock).block.length > 0)
  assert.ok(read.result !== undefined && !(read.result instanceof Error))
  // And out again, before the config in between has settled: pulls for it need what is here.
  storage.view({ number: 4, window: [config(2, 'bcd'), config(3, 'abd'), config(4, 'bcd')] })
  const between = pull(storage, 3, 4)
  await storage.clock.settle()
  assert.ok((between.result as PulledBlock).block.length > 0)
})

test('deleting stops where the slot is owned again', async () => {
  const storage = await bench()
  await storage.clock.settle()
  storage.disk.hold()
  const done = retire(storage)
  await storage.clock.settle()
  // The number is being written; before the deletion begins the slot is owned here again.
  storage.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  storage.write('key', 9, '9', 3)
  await storage.clock.settle()
  storage.disk.release()
  await storage.clock.settle()
  assert.is(answerOf(done), undefined)
  assert.equal(storage.stored('key'), storage.envelope('key', 9, '9'))
})

test('what is being deleted when the slot is owned again counts as missing', async () => {
  const storage = await bench()
  await storage.clock.settle()
  storage.disk.hold()
  const done = retire(storage)
  await storage.clock.settle()
  storage.disk.release(true)
  await storage.clock.settle()
  assert.ok(
    storage.disk.batches.at(-1)!.some(({ type }) => type === 'del'),
    'the deletion is on its way to the disk'
  )
  storage.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  const versions = [{ slot: SLOT, key: Buffer.from('key'), dataKey: stored('key'), version: storage.version(1) }]
  const missing = storage.send<readonly Bytes[]>('missing', { versions })
  await storage.clock.settle()
  storage.disk.release()
  await storage.clock.settle()
  assert.is(answerOf(done), undefined)
  assert.equal(missing.result, [stored('key')])
})

test('an owner tells its sums and takes what it lacks; whoever is none refuses', async () => {
  const storage = new StorageBench()
  storage.view({ number: 2, window: [config(2, 'abc')], ready: { a: 2 } })
  storage.write('key', 5, '5', 2)
  await storage.clock.settle()
  const base = { view: 2, from: 'peer-b', config: 2 }
  const sums = storage.send<Bytes>('compare', { ...base, slots: [SLOT, OTHER] })
  const own = storage.send<Bytes>('sums', { slots: [SLOT, OTHER] })
  const key = Buffer.from('key')
  const versions = [3, 9].map((ms) => ({ slot: SLOT, key, dataKey: stored('key'), version: storage.version(ms) }))
  const wanted = storage.send<Bytes[]>('offer', { ...base, versions, entries: [] })
  const entries = [{ dataKey: stored('key'), envelope: storage.envelope('key', 9) }]
  const given = storage.send<Bytes[]>('offer', { ...base, versions: [], entries })
  await storage.clock.settle()
  assert.equal(sums.result, own.result)
  assert.is((sums.result as Bytes).length, 2 * SLOT_SUM_BYTES)
  assert.equal(wanted.result, [stored('key')])
  assert.equal(given.result, [])
  assert.equal(storage.stored('key'), storage.envelope('key', 9))
  storage.view({ number: 3, window: [config(2, 'abc'), config(3, 'bcd')] })
  const late = [
    storage.send('compare', { ...base, slots: [SLOT] }),
    storage.send('offer', { ...base, versions: [], entries }),
    storage.send('compare', { ...base, config: 3, view: 3, slots: [SLOT] })
  ]
  await storage.clock.settle()
  assert.equal(late.map(answerOf), ['STALE_VIEW', 'STALE_VIEW', 'NOT_OWNER'])
})

test.run()
