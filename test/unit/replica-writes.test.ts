// The replica's writes: group commit, merging by version, failed writes, and refused ones.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SlotStats } from '../../lib/actors/replica/slot-stats.js'
import { asEnvelope, type Envelope } from '../../lib/entry/envelope.js'
import { metaKey } from '../../lib/entry/keys.js'
import { resolve } from '../../lib/entry/read-resolution.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { answerOf, newer, ReplicaHarness, refusalOf, stored } from '../sim/harness/replica-harness.js'
import { config, linkOf } from '../sim/harness/ring-views.js'
import { FaultyStore } from '../sim/seams/faulty-store.js'

const test = suite('replica: writes')

async function harness(): Promise<ReplicaHarness> {
  const made = new ReplicaHarness()
  made.view({ number: 1, window: [config(1, 'abc')] })
  await made.clock.settle()
  return made
}

test('nothing is served before a ring is known', async () => {
  const fresh = new ReplicaHarness()
  const answers = [fresh.read('a'), fresh.write('a', 1)]
  await fresh.clock.settle()
  assert.equal(answers.map(answerOf), ['NOT_SERVING', 'NOT_SERVING'])
})

test('writes that wait for the disk become one batch, and are acknowledged after it', async () => {
  const replica = await harness()
  replica.disk.hold()
  const first = replica.write('first', 1)
  await replica.clock.settle()
  const others = ['a', 'b', 'c', 'd'].map((key) => replica.write(key, 1))
  await replica.clock.settle()
  assert.is(replica.disk.batches.length, 1)
  replica.disk.release(true)
  await replica.clock.settle()
  assert.is(answerOf(first), undefined)
  assert.is(replica.disk.batches.length, 2)
  assert.equal(replica.disk.batches[1]!.length, 4 + 1, 'four writes and the sequence number')
  assert.equal(others.map(answerOf), ['nothing', 'nothing', 'nothing', 'nothing'])
  replica.disk.release()
  await replica.clock.settle()
  assert.equal(others.map(answerOf), [undefined, undefined, undefined, undefined])
})

test('a batch ends at four megabytes, and the remaining writes go into the next one', async () => {
  const replica = await harness()
  replica.disk.hold()
  replica.write('first', 1)
  await replica.clock.settle()
  const answers = [1, 2, 3].map((number) => replica.write(`big-${number}`, 1, 'x'.repeat(3 * 2 ** 20)))
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.equal(
    replica.disk.batches.map((writes) => writes.length - 1),
    [1, 2, 1]
  )
  assert.equal(answers.map(answerOf), [undefined, undefined, undefined])
})

test('of versions in any order the newest is kept, also within one batch', async () => {
  for (const order of [
    [1, 2, 3],
    [3, 2, 1],
    [2, 3, 1]
  ]) {
    const replica = await harness()
    const together = order.map((ms) => replica.write('together', ms))
    await replica.clock.settle()
    for (const ms of order) {
      replica.write('apart', ms)
      await replica.clock.settle()
    }
    for (const key of ['together', 'apart']) assert.equal(replica.stored(key), replica.envelope(key, 3))
    order.forEach((ms, at) => {
      const highest = Math.max(...order.slice(0, at + 1))
      assert.equal(refusalOf(together[at]!), highest === ms ? undefined : newer(replica.version(highest)))
    })
    assert.equal(replica.slotStats.totals.entries, 2)
  }
})

test('a write of a stored version is acknowledged, and a merge never brings an older entry back', async () => {
  const replica = await harness()
  replica.write('a', 5)
  await replica.clock.settle()
  const again = replica.write('a', 5)
  const merged = replica.send('merge', {
    entries: [
      { dataKey: stored('a'), envelope: replica.envelope('a', 4) },
      { dataKey: stored('b'), envelope: replica.envelope('b', 4) }
    ]
  })
  await replica.clock.settle()
  assert.equal([answerOf(again), answerOf(merged)], [undefined, []])
  assert.equal(replica.stored('a'), replica.envelope('a', 5))
  assert.equal(replica.stored('b'), replica.envelope('b', 4))
})

test('requests that meet a damaged entry are refused, and no write over it is acknowledged', async () => {
  const replica = await harness()
  await replica.disk.disk.write([{ type: 'put', key: stored('a'), value: Buffer.from('nothing sensible') }])
  const base = { view: 1, from: linkOf('b'), config: 1 }
  const ranges = [{ first: 0, last: 16383 }]
  const met = [
    replica.read('a'),
    replica.send('fetch', { ...base, keys: [stored('a')] }),
    replica.send('pull', { ...base, ranges, after: undefined, versionsOnly: false }),
    replica.send('pull', { ...base, ranges, after: undefined, versionsOnly: true })
  ]
  await replica.clock.settle()
  assert.equal(met.map(answerOf), new Array(4).fill('BAD_ENTRY'))
  assert.equal(replica.damaged, new Array(4).fill('a'))
  // A write replaces the damaged entry but is refused. The next write is acknowledged.
  const write = replica.write('a', 1)
  await replica.clock.settle()
  const next = replica.write('a', 2)
  await replica.clock.settle()
  const after = replica.read('a')
  await replica.clock.settle()
  assert.equal([write, next].map(answerOf), ['BAD_ENTRY', undefined])
  assert.equal(answerOf(after), replica.envelope('a', 2))
})

test("a damaged entry is replaced by the others' entry or by none, and a sound entry is left alone", async () => {
  const replica = await harness()
  for (const key of ['a', 'b']) {
    await replica.disk.disk.write([{ type: 'put', key: stored(key), value: Buffer.from('nothing sensible') }])
  }
  replica.write('c', 5)
  await replica.clock.settle()
  const heal = (key: string, envelope: Envelope | undefined) =>
    replica.send('heal', { key: Buffer.from(key), resolution: resolve([{ envelope, closed: 0 }], true) })
  heal('a', replica.envelope('a', 1))
  heal('b', undefined)
  heal('c', replica.envelope('c', 1))
  await replica.clock.settle()
  assert.equal(replica.stored('a'), replica.envelope('a', 1))
  assert.is(replica.stored('b'), undefined)
  assert.equal(replica.stored('c'), replica.envelope('c', 5))
})

test('a store that cannot be read at the start is counted later', async () => {
  const disk = new FaultyStore()
  disk.failScans = 'STORE_FAILED'
  const replica = new ReplicaHarness(undefined, disk)
  replica.view({ number: 1, window: [config(1, 'abc')] })
  await replica.clock.advance(12_000)
  replica.write('a', 1)
  const early = replica.send('sums', { slots: [0] })
  await replica.clock.settle()
  disk.failScans = undefined
  await replica.clock.advance(5000)
  const late = replica.send('sums', { slots: [0] })
  await replica.clock.settle()
  assert.is(answerOf(early), 'NOT_SERVING')
  assert.ok(late.result instanceof Uint8Array)
  assert.is(replica.slotStats.totals.entries, 1)
})

test('a write with a wrong checksum is refused, and so is a version from too far ahead', async () => {
  const replica = await harness()
  const broken = asEnvelope(Buffer.from(replica.envelope('a', 1)))
  broken[broken.length - 1]! ^= 1
  const bad = replica.send('write', { view: 1, from: linkOf('b'), key: Buffer.from('a'), envelope: broken })
  const other = replica.send('write', {
    view: 1,
    from: linkOf('b'),
    key: Buffer.from('b'),
    envelope: replica.envelope('a', 1)
  })
  const ahead = replica.write('a', 5001)
  const close = replica.write('c', 5000)
  await replica.clock.settle()
  assert.equal([bad, other, ahead, close].map(answerOf), ['BAD_ENTRY', 'BAD_ENTRY', 'CLOCK_SKEW', undefined])
  assert.is(replica.stored('a'), undefined)
})

test('metadata is on disk before its writer is answered', async () => {
  const replica = await harness()
  replica.disk.hold()
  const kept = replica.send('persist', { writes: [{ name: 'meta', value: Buffer.from('x') }] })
  await replica.clock.settle()
  assert.is(answerOf(kept), 'nothing')
  replica.disk.release()
  await replica.clock.settle()
  assert.is(answerOf(kept), undefined)
  assert.equal(replica.disk.get(metaKey('meta')), Buffer.from('x'))
})

test('a failed write is not acknowledged; the store recovers, with every acknowledged write', async () => {
  for (const failWritten of [false, true]) {
    const replica = await harness()
    replica.write('old', 1)
    await replica.clock.settle()
    replica.disk.failNext = 'DISK_FULL'
    replica.disk.failWritten = failWritten
    replica.disk.failReopen = 'DISK_FULL'
    const failed = [replica.write('a', 1), replica.write('b', 1)]
    await replica.clock.settle()
    assert.equal(failed.map(answerOf), ['STORE_FAILED', 'STORE_FAILED'], 'the batch may be on disk')
    const refused = replica.write('c', 1)
    const read = replica.read('old')
    await replica.clock.advance(1500)
    assert.equal([refused, read].map(answerOf), ['DISK_FULL', 'STORE_FAILED'])
    replica.disk.failReopen = undefined
    await replica.clock.advance(1500)
    const later = replica.write('c', 2)
    const old = replica.read('old')
    const uncertain = replica.read('a')
    await replica.clock.settle()
    assert.is(answerOf(later), undefined)
    assert.equal(answerOf(old), replica.envelope('old', 1))
    assert.equal(answerOf(uncertain), failWritten ? replica.envelope('a', 1) : undefined)
    assert.equal(replica.lost, [])
    // The statistics match the disk: they include the failed batch if it was written, and writes of the failed
    // counting.
    const counted = new SlotStats()
    await counted.countAll(new GuardedStore(replica.disk))
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot)
    assert.ok(replica.slotStats.isComplete)
    assert.equal(replica.slotStats.totals, counted.totals)
    assert.equal(replica.slotStats.sums.encode(slots), counted.sums.encode(slots))
  }
})

test('while the disk has no room to open the store again, what it holds is read', async () => {
  for (const code of ['DISK_FULL', 'STORE_FAILED'] as const) {
    const replica = await harness()
    replica.write('old', 1)
    await replica.clock.settle()
    replica.disk.failNext = code
    replica.disk.failTrial = code
    const failed = replica.write('old', 2)
    await replica.clock.advance(10_000)
    const read = replica.read('old')
    const refused = replica.write('old', 3)
    await replica.clock.settle()
    assert.equal([failed, refused].map(answerOf), ['STORE_FAILED', code])
    assert.equal(read.result, replica.envelope('old', 1))
    assert.ok(replica.conditions.has('store-closed'))
    replica.disk.failTrial = undefined
    await replica.clock.advance(1500)
    const later = replica.write('old', 3)
    await replica.clock.settle()
    assert.is(answerOf(later), undefined)
    assert.not.ok(replica.conditions.has('store-closed'))
  }
})

test('after a failed batch the store is counted again, because the batch may have been written', async () => {
  for (const failWritten of [false, true]) {
    const replica = await harness()
    replica.write('a', 1)
    await replica.clock.settle()
    replica.disk.failNext = 'STORE_FAILED'
    replica.disk.failWritten = failWritten
    replica.write('b', 1)
    await replica.clock.advance(5000)
    const slots = ['a', 'b'].map((key) => slotOf(Buffer.from(key)))
    assert.is(replica.slotStats.isComplete, true)
    assert.equal(
      slots.map((slot) => replica.slotStats.sums.count(slot)),
      [1, failWritten ? 1 : 0]
    )
    assert.is(replica.slotStats.totals.entries, failWritten ? 2 : 1)
  }
})

test('a store that lost acknowledged writes is reported lost, and accepts no write any more', async () => {
  const replica = await harness()
  replica.write('a', 1)
  await replica.clock.settle()
  replica.disk.isForgetful = true
  const forgotten = replica.write('b', 1)
  await replica.clock.settle()
  assert.is(answerOf(forgotten), undefined)
  replica.disk.isForgetful = false
  replica.disk.failNext = 'STORE_FAILED'
  replica.write('c', 1)
  await replica.clock.advance(5000)
  assert.equal(
    replica.lost.map(({ code }) => code),
    ['DATA_DAMAGED']
  )
  const refused = replica.write('d', 1)
  const read = replica.read('a')
  await replica.clock.settle()
  assert.equal([refused, read].map(answerOf), ['DATA_DAMAGED', 'STORE_FAILED'])
})

test('a stop ends when the accepted writes are on disk and answered', async () => {
  const replica = await harness()
  replica.disk.hold()
  const kept = [replica.write('a', 1)]
  await replica.clock.settle()
  kept.push(replica.write('b', 1))
  let stopped = false
  void replica.ref.stop().then(() => {
    stopped = true
  })
  await replica.clock.advance(100)
  assert.not(stopped)
  replica.disk.release()
  await replica.clock.settle()
  assert.ok(stopped)
  assert.equal(kept.map(answerOf), [undefined, undefined])
  assert.equal(replica.stored('b'), replica.envelope('b', 1))
})

test('a stopped replica does not open its store again', async () => {
  const replica = await harness()
  replica.disk.failNext = 'STORE_FAILED'
  replica.disk.failReopen = 'STORE_FAILED'
  replica.write('a', 1)
  await replica.clock.settle()
  void replica.ref.stop()
  await replica.clock.settle()
  await replica.disk.close()
  replica.disk.failReopen = undefined
  await replica.clock.advance(5000)
  assert.throws(() => replica.stored('a'), /closed/)
})

test.run()
