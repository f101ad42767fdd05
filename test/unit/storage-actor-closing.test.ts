// Slots that are closed below a moment: what may enter then, what is told, what is deleted, and what is taken over.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ClosedSlots, FINISH, FOLLOW, RELEASE, SEAL } from '../../lib/actors/replica/closing.js'
import type { PulledBlock } from '../../lib/actors/replica/storage-messages.js'
import type { Bytes } from '../../lib/bytes.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { metaKey } from '../../lib/entry/keys.js'
import { highestBefore } from '../../lib/entry/purge-fences.js'
import { judge, type Testimony } from '../../lib/entry/verdict.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { config } from '../sim/harness/ring-views.js'
import { answerOf, type Kept, StorageBench, stored } from '../sim/harness/storage-bench.js'

const test = suite('storage actor: closing slots')

const SLOT = slotOf(Buffer.from('key'))
const LATER_MS = 100_000

/** Owned and ready; the clock stands well behind everything that is written. */
async function bench(ready: Record<string, number> = { a: 1 }): Promise<StorageBench> {
  const storage = new StorageBench()
  storage.view({ number: 1, window: [config(1, 'abc')], ready })
  await storage.clock.advance(LATER_MS)
  return storage
}

/** Seconds since the epoch, `ms` after the start of the clock. */
function at(storage: StorageBench, ms: number): number {
  return Math.floor((storage.clock.now() - LATER_MS + ms) / 1000)
}

function close(storage: StorageBench, step: number, before: number, begin = 1): Kept<ClosedSlots> {
  const rest = { view: 1, from: 'peer-b', config: begin, slots: [SLOT], before, step }
  return storage.send<ClosedSlots, 'close'>('close', rest)
}

function deletion(storage: StorageBench, key: string, ms: number, repair = false, vouched = 0) {
  const version = storage.version(ms)
  const envelope = encodeEnvelope(Buffer.from(key), { version, tombstone: true, value: new Uint8Array(0) })
  return storage.send('write', { view: 1, from: 'peer-b', key: Buffer.from(key), envelope, repair, vouched })
}

test('a seal is on disk before it is answered, and no new write enters below it', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  storage.disk.hold()
  const sealed = close(storage, SEAL, before)
  await storage.clock.settle()
  assert.is(answerOf(sealed), 'nothing')
  storage.disk.release()
  await storage.clock.settle()
  assert.ok(sealed.result !== undefined && !(sealed.result instanceof Error))
  const [late, new_] = [storage.write('key', 19_000), storage.write('key', 21_000)]
  await storage.clock.settle()
  assert.equal(answerOf(late), highestBefore(before))
  assert.is(answerOf(new_), undefined)
  assert.equal(storage.stored('key'), storage.envelope('key', 21_000))
})

test('what is too young is not closed, nor is a slot that moves or whose data is not here yet', async () => {
  const storage = await bench()
  const young = close(storage, SEAL, at(storage, LATER_MS - 1000))
  const other = close(storage, SEAL, at(storage, 20_000), 2)
  const unready = await bench({})
  const behind = close(unready, SEAL, at(unready, 20_000))
  const moving = await bench()
  moving.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')], ready: { a: 1 } })
  const open = close(moving, SEAL, at(moving, 20_000))
  for (const one of [storage, unready, moving]) await one.clock.settle()
  assert.equal([young, behind].map(answerOf), ['CLOCK_SKEW', 'BEHIND'])
  assert.equal([other, open].map(answerOf), ['NOT_OWNER', 'STALE_VIEW'])
})

test('the sums are of what lies below, and of that alone', async () => {
  const storage = await bench()
  const twin = await bench()
  for (const one of [storage, twin]) one.write('key', 5000)
  storage.write('{key}2', 50_000)
  const before = at(storage, 20_000)
  const [mine, others] = [close(storage, SEAL, before), close(twin, SEAL, before)]
  for (const one of [storage, twin]) await one.clock.settle()
  assert.equal((mine.result as ClosedSlots).sums, (others.result as ClosedSlots).sums)
  twin.write('{key}3', 60_000)
  const differing = await bench()
  differing.write('key', 6000)
  const third = close(differing, SEAL, before)
  await differing.clock.settle()
  assert.not.equal((mine.result as ClosedSlots).sums, (third.result as ClosedSlots).sums)
})

test('finishing needs the seal, deletes what is gone, and says to readers since when it is known', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  storage.write('{key}live', 4000)
  deletion(storage, 'key', 5000)
  deletion(storage, '{key}young', 30_000)
  await storage.clock.settle()
  const early = close(storage, FINISH, before)
  await storage.clock.settle()
  assert.is(answerOf(early), 'BAD_REQUEST')
  close(storage, SEAL, before)
  await storage.clock.settle()
  close(storage, FINISH, before)
  await storage.clock.settle()
  assert.is(storage.stored('key'), undefined)
  assert.ok(storage.stored('{key}young') !== undefined)
  assert.ok(storage.stored('{key}live') !== undefined)
  const read = storage.read('key')
  await storage.clock.settle()
  assert.equal(answerOf(read), { envelope: undefined, closed: before })
})

test('while a slot is sealed nobody brings what lies below; released, an owner may', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  close(storage, SEAL, before)
  await storage.clock.settle()
  const sealed = deletion(storage, 'key', 5000, true)
  await storage.clock.settle()
  assert.is(answerOf(sealed), 'OVERLOADED')
  close(storage, RELEASE, before)
  await storage.clock.settle()
  const released = deletion(storage, 'key', 5000, true)
  await storage.clock.settle()
  assert.is(answerOf(released), undefined)
  assert.ok(storage.stored('key') !== undefined)
})

test('once closed, owners bring nothing old, and that something was deleted is no news', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  for (const step of [SEAL, FINISH]) {
    close(storage, step, before)
    await storage.clock.settle()
  }
  const gone = deletion(storage, 'key', 5000, true)
  const key = Buffer.from('key')
  const base = { view: 1, from: 'peer-b', config: 1 }
  const old = storage.send('write', {
    view: 1,
    from: 'peer-b',
    key,
    envelope: storage.envelope('key', 6000),
    repair: true
  })
  const versions = [6000, 60_000].map((ms) => ({
    slot: SLOT,
    key,
    dataKey: stored('key'),
    version: storage.version(ms)
  }))
  const offers = versions.map((one) => storage.send<Bytes[]>('offer', { ...base, versions: [one], entries: [] }))
  await storage.clock.settle()
  assert.is(answerOf(gone), undefined)
  assert.equal(answerOf(old), highestBefore(before))
  assert.equal(offers.map(answerOf), [[], [stored('key')]])
  assert.is(storage.stored('key'), undefined)
})

/** Closed below `at(20_000)`, with nothing stored below. */
async function closedBench(): Promise<{ storage: StorageBench; before: number }> {
  const storage = await bench()
  const before = at(storage, 20_000)
  for (const step of [SEAL, FINISH]) {
    close(storage, step, before)
    await storage.clock.settle()
  }
  return { storage, before }
}

test('once closed, an old entry enters again when owners that have closed as far speak for it', async () => {
  const { storage, before } = await closedBench()
  const key = Buffer.from('key')
  const envelope = storage.envelope('key', 6000)
  const base = { view: 1, from: 'peer-b', key, envelope, repair: true }
  const answers = [before - 1, before].map((vouched) => storage.send('write', { ...base, vouched }))
  await storage.clock.settle()
  assert.equal(answers.map(answerOf), [highestBefore(before), undefined])
  assert.equal(storage.stored('key'), envelope)
})

test('once closed, a deletion that owners speak for does not enter again either', async () => {
  const { storage, before } = await closedBench()
  const gone = deletion(storage, 'key', 6000, true, before)
  await storage.clock.settle()
  assert.is(answerOf(gone), undefined)
  assert.is(storage.stored('key'), undefined)
})

test('who still has garbage on its disk says that there is nothing', async () => {
  const { storage, before } = await closedBench()
  const version = storage.version(6000)
  const value = encodeEnvelope(Buffer.from('key'), { version, tombstone: true, value: new Uint8Array(0) })
  await storage.disk.disk.write([{ type: 'put', key: stored('key'), value }])
  const read = storage.read('key')
  await storage.clock.settle()
  assert.equal(answerOf(read), { envelope: undefined, closed: before })
})

test('what repair brings from below the bound is not taken: the owners are asked', async () => {
  const { storage } = await closedBench()
  const entry = { slot: SLOT, key: Buffer.from('key'), dataKey: stored('key'), envelope: storage.envelope('key', 6000) }
  storage.send('repair-merge', { entries: [entry] })
  await storage.clock.settle()
  assert.is(storage.stored('key'), undefined)
  assert.equal(storage.disputed, ['key'])
})

test('healing brings back what owners speak for, and removes what they speak against', async () => {
  const { storage, before } = await closedBench()
  const [old, young] = [storage.envelope('key', 6000), storage.envelope('key', 50_000)]
  const nothing = { envelope: undefined, closed: before }
  const heal = async (...answers: Testimony[]) => {
    storage.send('heal', { key: Buffer.from('key'), verdict: judge(answers, true) })
    await storage.clock.settle()
    return storage.stored('key')
  }
  assert.is(await heal({ envelope: old, closed: before - 1 }), undefined)
  assert.is(await heal({ envelope: young, closed: 0 }), undefined)
  assert.equal(await heal({ envelope: old, closed: before }), old)
  assert.equal(await heal({ envelope: undefined, closed: 0 }), old)
  close(storage, SEAL, before + 1)
  await storage.clock.settle()
  assert.equal(await heal({ envelope: old, closed: 0 }, nothing), old)
  close(storage, RELEASE, before + 1)
  await storage.clock.settle()
  assert.is(await heal({ envelope: old, closed: 0 }, nothing), undefined)
  await storage.disk.disk.write([{ type: 'put', key: stored('key'), value: young }])
  assert.equal(await heal({ envelope: old, closed: 0 }, nothing), young)
})

test('who missed the end follows, and who was never sealed does not', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  const stranger = close(storage, FOLLOW, before)
  deletion(storage, 'key', 5000)
  await storage.clock.settle()
  assert.is(answerOf(stranger), 'BAD_REQUEST')
  close(storage, SEAL, before)
  await storage.clock.advance(20_000)
  const late = close(storage, FINISH, before)
  await storage.clock.settle()
  assert.is(answerOf(late), 'BAD_REQUEST')
  close(storage, FOLLOW, before)
  await storage.clock.settle()
  assert.is(storage.stored('key'), undefined)
})

test('a bound whose batch failed is on disk with the next one', async () => {
  const storage = await bench()
  const before = at(storage, 20_000)
  storage.disk.failNext = 'STORE_FAILED'
  const failed = close(storage, SEAL, before)
  await storage.clock.advance(2000)
  assert.is(answerOf(failed), 'STORE_FAILED')
  assert.is(storage.disk.get(metaKey('closing')), undefined)
  const sealed = close(storage, SEAL, before)
  await storage.clock.settle()
  assert.ok(sealed.result !== undefined && !(sealed.result instanceof Error))
  assert.ok(storage.disk.get(metaKey('closing')) !== undefined)
})

test('a puller takes over the bounds of its source, and forgets what it kept from before them', async () => {
  const source = await bench()
  const before = at(source, 20_000)
  for (const step of [SEAL, FINISH]) {
    close(source, step, before)
    await source.clock.settle()
  }
  const ranges = [{ first: SLOT, last: SLOT }]
  const rest = { view: 1, from: 'peer-b', config: 1, ranges, after: undefined, versionsOnly: true }
  const pulled = source.send<PulledBlock, 'pull'>('pull', rest)
  await source.clock.settle()
  const { closing, closed } = pulled.result as PulledBlock
  const run = { first: SLOT, last: SLOT, value: before }
  assert.equal([closing, closed], [[run], [run]])

  const puller = await bench({})
  puller.write('key', 5000)
  puller.write('{key}new', 50_000)
  await puller.clock.settle()
  const theirs = { closing: new Uint32Array(SLOTS).fill(before), closed: new Uint32Array(SLOTS).fill(before) }
  const inherited = puller.send<ReadonlyMap<number, number>>('inherit', { slots: [SLOT], theirs })
  await puller.clock.settle()
  assert.equal([...(inherited.result as Map<number, number>)], [])
  assert.is(puller.stored('key'), undefined)
  assert.ok(puller.stored('{key}new') !== undefined)
  assert.is(puller.fences.closed[SLOT], before)

  const none = { closing: new Uint32Array(SLOTS), closed: new Uint32Array(SLOTS) }
  const next = puller.send<ReadonlyMap<number, number>>('inherit', { slots: [SLOT], theirs: none })
  await puller.clock.settle()
  assert.equal([...(next.result as Map<number, number>)], [[SLOT, before]])
})

test('while a puller forgets what is too old, no old write enters behind it', async () => {
  const puller = await bench({})
  const before = at(puller, 20_000)
  puller.write('key', 5000)
  await puller.clock.settle()
  const theirs = { closing: new Uint32Array(SLOTS).fill(before), closed: new Uint32Array(SLOTS).fill(before) }
  puller.disk.hold()
  puller.send('inherit', { slots: [SLOT], theirs })
  await puller.clock.settle()
  const late = puller.write('{key}late', 6000)
  puller.disk.release()
  await puller.clock.settle()
  assert.equal(answerOf(late), highestBefore(before))
  assert.is(puller.stored('{key}late'), undefined)
})

test.run()
