// The storage actor: group commit, merging by version, what failed writes do, and what is refused.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Tally } from '../../lib/actors/replica/tally.js'
import type { Bytes } from '../../lib/bytes.js'
import { metaKey } from '../../lib/entry/keys.js'
import { judge } from '../../lib/entry/verdict.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { config } from '../sim/harness/ring-views.js'
import { answerOf, StorageBench, stored } from '../sim/harness/storage-bench.js'
import { FaultyStore } from '../sim/seams/faulty-store.js'

const test = suite('storage actor: writes')

async function bench(): Promise<StorageBench> {
  const made = new StorageBench()
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

test('nothing is served before a ring is known', async () => {
  const fresh = new StorageBench()
  const answers = [fresh.read('a'), fresh.write('a', 1)]
  await fresh.clock.settle()
  assert.equal(answers.map(answerOf), ['NOT_SERVING', 'NOT_SERVING'])
})

test('writes that wait for the disk become one batch, and no reply comes before it is there', async () => {
  const storage = await bench()
  storage.disk.hold()
  const first = storage.write('first', 1)
  await storage.clock.settle()
  const others = ['a', 'b', 'c', 'd'].map((key) => storage.write(key, 1))
  await storage.clock.settle()
  assert.is(storage.disk.batches.length, 1)
  storage.disk.release(true)
  await storage.clock.settle()
  assert.is(answerOf(first), undefined)
  assert.is(storage.disk.batches.length, 2)
  assert.equal(storage.disk.batches[1]!.length, 4 + 1, 'four writes and the sequence number')
  assert.equal(others.map(answerOf), ['nothing', 'nothing', 'nothing', 'nothing'])
  storage.disk.release()
  await storage.clock.settle()
  assert.equal(others.map(answerOf), [undefined, undefined, undefined, undefined])
})

test('a batch ends at four megabytes, and the rest comes in the next', async () => {
  const storage = await bench()
  storage.disk.hold()
  storage.write('first', 1)
  await storage.clock.settle()
  const answers = [1, 2, 3].map((number) => storage.write(`big-${number}`, 1, 'x'.repeat(3 * 2 ** 20)))
  await storage.clock.settle()
  storage.disk.release()
  await storage.clock.settle()
  assert.equal(
    storage.disk.batches.map((writes) => writes.length - 1),
    [1, 2, 1]
  )
  assert.equal(answers.map(answerOf), [undefined, undefined, undefined])
})

test('of versions that arrive in any order the newest stays, also within one batch', async () => {
  for (const order of [
    [1, 2, 3],
    [3, 2, 1],
    [2, 3, 1]
  ]) {
    const storage = await bench()
    const together = order.map((ms) => storage.write('together', ms))
    await storage.clock.settle()
    for (const ms of order) {
      storage.write('apart', ms)
      await storage.clock.settle()
    }
    for (const key of ['together', 'apart']) assert.equal(storage.stored(key), storage.envelope(key, 3))
    order.forEach((ms, at) => {
      const newer = Math.max(...order.slice(0, at + 1))
      const expected = newer === ms ? undefined : storage.version(newer)
      assert.equal(answerOf(together[at]!), expected && Buffer.from(expected))
    })
    assert.equal(storage.tally.totals.entries, 2)
  }
})

test('a write that is there already counts as done, and a merge never brings an older entry back', async () => {
  const storage = await bench()
  storage.write('a', 5)
  await storage.clock.settle()
  const again = storage.write('a', 5)
  const merged = storage.send('merge', {
    entries: [
      { dataKey: stored('a'), envelope: storage.envelope('a', 4) },
      { dataKey: stored('b'), envelope: storage.envelope('b', 4) }
    ]
  })
  await storage.clock.settle()
  assert.equal([answerOf(again), answerOf(merged)], [undefined, undefined])
  assert.equal(storage.stored('a'), storage.envelope('a', 5))
  assert.equal(storage.stored('b'), storage.envelope('b', 4))
})

test('whoever meets a damaged entry is refused, and nothing is acknowledged over it', async () => {
  const storage = await bench()
  await storage.disk.disk.write([{ type: 'put', key: stored('a'), value: Buffer.from('nothing sensible') }])
  const base = { view: 1, from: 'peer-b', config: 1 }
  const ranges = [{ first: 0, last: 16383 }]
  const met = [
    storage.read('a'),
    storage.send('fetch', { ...base, keys: [stored('a')] }),
    storage.send('pull', { ...base, ranges, after: undefined, versionsOnly: false }),
    storage.send('pull', { ...base, ranges, after: undefined, versionsOnly: true })
  ]
  await storage.clock.settle()
  assert.equal(met.map(answerOf), new Array(4).fill('BAD_ENTRY'))
  assert.equal(storage.damaged, new Array(4).fill('a'))
  // It gives way to a write all the same, which counts from the next one on.
  const write = storage.write('a', 1)
  await storage.clock.settle()
  const next = storage.write('a', 2)
  await storage.clock.settle()
  const after = storage.read('a')
  await storage.clock.settle()
  assert.equal([write, next].map(answerOf), ['BAD_ENTRY', undefined])
  assert.equal(answerOf(after), storage.envelope('a', 2))
})

test('a damaged entry is healed by what others hold, by nothing as well, and a sound one is left alone', async () => {
  const storage = await bench()
  for (const key of ['a', 'b']) {
    await storage.disk.disk.write([{ type: 'put', key: stored(key), value: Buffer.from('nothing sensible') }])
  }
  storage.write('c', 5)
  await storage.clock.settle()
  const heal = (key: string, envelope: Bytes | undefined) =>
    storage.send('heal', { key: Buffer.from(key), verdict: judge([{ envelope, closed: 0 }], true) })
  heal('a', storage.envelope('a', 1))
  heal('b', undefined)
  heal('c', storage.envelope('c', 1))
  await storage.clock.settle()
  assert.equal(storage.stored('a'), storage.envelope('a', 1))
  assert.is(storage.stored('b'), undefined)
  assert.equal(storage.stored('c'), storage.envelope('c', 5))
})

test('a store that cannot be read when it is opened is counted later', async () => {
  const disk = new FaultyStore()
  disk.failScans = 'STORE_FAILED'
  const storage = new StorageBench(undefined, disk)
  storage.view({ number: 1, window: [config(1, 'abc')] })
  await storage.clock.advance(12_000)
  storage.write('a', 1)
  const early = storage.send('sums', { slots: [0] })
  await storage.clock.settle()
  disk.failScans = undefined
  await storage.clock.advance(5000)
  const late = storage.send('sums', { slots: [0] })
  await storage.clock.settle()
  assert.is(answerOf(early), 'NOT_SERVING')
  assert.ok(late.result instanceof Uint8Array)
  assert.is(storage.tally.totals.entries, 1)
})

test('an envelope that fails its checksum is refused, and so is a version from too far ahead', async () => {
  const storage = await bench()
  const broken = Buffer.from(storage.envelope('a', 1))
  broken[broken.length - 1]! ^= 1
  const bad = storage.send('write', { view: 1, from: 'peer-b', key: Buffer.from('a'), envelope: broken })
  const other = storage.send('write', {
    view: 1,
    from: 'peer-b',
    key: Buffer.from('b'),
    envelope: storage.envelope('a', 1)
  })
  const ahead = storage.write('a', 5001)
  const close = storage.write('c', 5000)
  await storage.clock.settle()
  assert.equal([bad, other, ahead, close].map(answerOf), ['BAD_ENTRY', 'BAD_ENTRY', 'CLOCK_SKEW', undefined])
  assert.is(storage.stored('a'), undefined)
})

test('facts are on disk when their writer hears of it', async () => {
  const storage = await bench()
  storage.disk.hold()
  const kept = storage.send('persist', { writes: [{ name: 'fact', value: Buffer.from('x') }] })
  await storage.clock.settle()
  assert.is(answerOf(kept), 'nothing')
  storage.disk.release()
  await storage.clock.settle()
  assert.is(answerOf(kept), undefined)
  assert.equal(storage.disk.get(metaKey('fact')), Buffer.from('x'))
})

test('a failed write acknowledges nothing; the store recovers, and has everything acknowledged', async () => {
  for (const failWritten of [false, true]) {
    const storage = await bench()
    storage.write('old', 1)
    await storage.clock.settle()
    storage.disk.failNext = 'DISK_FULL'
    storage.disk.failWritten = failWritten
    storage.disk.failReopen = 'DISK_FULL'
    const failed = [storage.write('a', 1), storage.write('b', 1)]
    await storage.clock.settle()
    assert.equal(failed.map(answerOf), ['DISK_FULL', 'DISK_FULL'])
    const refused = storage.write('c', 1)
    const read = storage.read('old')
    await storage.clock.advance(1500)
    assert.equal([refused, read].map(answerOf), ['DISK_FULL', 'STORE_FAILED'])
    storage.disk.failReopen = undefined
    await storage.clock.advance(1500)
    const later = storage.write('c', 2)
    const old = storage.read('old')
    const uncertain = storage.read('a')
    await storage.clock.settle()
    assert.is(answerOf(later), undefined)
    assert.equal(answerOf(old), storage.envelope('old', 1))
    assert.equal(answerOf(uncertain), failWritten ? storage.envelope('a', 1) : undefined)
    assert.equal(storage.lost, [])
    // What is counted is what is there: the failed batch too, if it landed, and what was being counted when it failed.
    const counted = new Tally()
    await counted.countAll(new GuardedStore(storage.disk))
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot)
    assert.ok(storage.tally.isComplete)
    assert.equal(storage.tally.totals, counted.totals)
    assert.equal(storage.tally.sums.encode(slots), counted.sums.encode(slots))
  }
})

test('after a failed batch the store is counted anew: the batch may be there all the same', async () => {
  for (const failWritten of [false, true]) {
    const storage = await bench()
    storage.write('a', 1)
    await storage.clock.settle()
    storage.disk.failNext = 'STORE_FAILED'
    storage.disk.failWritten = failWritten
    storage.write('b', 1)
    await storage.clock.advance(5000)
    const slots = ['a', 'b'].map((key) => slotOf(Buffer.from(key)))
    assert.is(storage.tally.isComplete, true)
    assert.equal(
      slots.map((slot) => storage.tally.sums.count(slot)),
      [1, failWritten ? 1 : 0]
    )
    assert.is(storage.tally.totals.entries, failWritten ? 2 : 1)
  }
})

test('a store that went backwards is lost: its owner hears of it, and it takes nothing any more', async () => {
  const storage = await bench()
  storage.write('a', 1)
  await storage.clock.settle()
  storage.disk.isForgetful = true
  const forgotten = storage.write('b', 1)
  await storage.clock.settle()
  assert.is(answerOf(forgotten), undefined)
  storage.disk.isForgetful = false
  storage.disk.failNext = 'STORE_FAILED'
  storage.write('c', 1)
  await storage.clock.advance(5000)
  assert.equal(
    storage.lost.map(({ code }) => code),
    ['DATA_DAMAGED']
  )
  const refused = storage.write('d', 1)
  const read = storage.read('a')
  await storage.clock.settle()
  assert.equal([refused, read].map(answerOf), ['DATA_DAMAGED', 'STORE_FAILED'])
})

test('a stop ends when the writes that were taken are on disk and answered', async () => {
  const storage = await bench()
  storage.disk.hold()
  const kept = [storage.write('a', 1)]
  await storage.clock.settle()
  kept.push(storage.write('b', 1))
  let stopped = false
  void storage.ref.stop().then(() => {
    stopped = true
  })
  await storage.clock.advance(100)
  assert.not(stopped)
  storage.disk.release()
  await storage.clock.settle()
  assert.ok(stopped)
  assert.equal(kept.map(answerOf), [undefined, undefined])
  assert.equal(storage.stored('b'), storage.envelope('b', 1))
})

test('a stopped actor does not open its store again', async () => {
  const storage = await bench()
  storage.disk.failNext = 'STORE_FAILED'
  storage.disk.failReopen = 'STORE_FAILED'
  storage.write('a', 1)
  await storage.clock.settle()
  void storage.ref.stop()
  await storage.clock.settle()
  await storage.disk.close()
  storage.disk.failReopen = undefined
  await storage.clock.advance(5000)
  assert.throws(() => storage.stored('a'), /closed/)
})

test.run()
