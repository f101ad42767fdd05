// Slots closed below a moment: which entries may enter then, what readers are told, what is deleted, and which bounds a
// puller takes over.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { BallotPromised, ClosedSlots, PulledBlock, PurgeStep } from '../../lib/actors/replica/replica-messages.js'
import { type Bytes, toHex } from '../../lib/bytes.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { metaKey } from '../../lib/entry/keys.js'
import { highestBefore } from '../../lib/entry/purge-bounds.js'
import { type OwnerAnswer, resolve } from '../../lib/entry/read-resolution.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, newer, ReplicaHarness, refusalOf, stored } from '../sim/harness/replica-harness.js'
import { config, idOf, linkOf } from '../sim/harness/ring-views.js'

const test = suite('replica: purge')

const SLOT = slotOf(Buffer.from('key'))
const LATER_MS = 100_000

/** The slot is owned and ready. The clock is well ahead of all writes. */
async function harness(ready: Record<string, number> = { a: 1 }): Promise<ReplicaHarness> {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')], ready })
  await replica.clock.advance(LATER_MS)
  return replica
}

/** The moment `ms` after the start of the clock, in seconds since the epoch. */
function at(replica: ReplicaHarness, ms: number): number {
  return Math.floor((replica.clock.now() - LATER_MS + ms) / 1000)
}

function close(replica: ReplicaHarness, step: PurgeStep, before: number, begin = 1, by = 'b'): Kept<ClosedSlots> {
  const rest = { view: 1, from: linkOf(by), config: begin, slots: [SLOT], before, step }
  return replica.send<ClosedSlots, 'close'>('close', rest)
}

function deletion(replica: ReplicaHarness, key: string, ms: number, repair = false, confirmedBelow = 0) {
  const version = replica.version(ms)
  const envelope = encodeEnvelope(Buffer.from(key), { version, tombstone: true, value: new Uint8Array(0) })
  return replica.send('write', { view: 1, from: linkOf('b'), key: Buffer.from(key), envelope, repair, confirmedBelow })
}

test('prepare is on disk before it is answered, and refuses new writes below its moment', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  replica.disk.hold()
  const prepared = close(replica, 'prepare', before)
  await replica.clock.settle()
  assert.is(answerOf(prepared), 'nothing')
  replica.disk.release()
  await replica.clock.settle()
  assert.ok(prepared.result !== undefined && !(prepared.result instanceof Error))
  const [late, new_] = [replica.write('key', 19_000), replica.write('key', 21_000)]
  await replica.clock.settle()
  assert.equal(refusalOf(late), newer(highestBefore(before)))
  assert.is(answerOf(new_), undefined)
  assert.equal(replica.stored('key'), replica.envelope('key', 21_000))
})

test('prepare refuses a moment that is too young, a moving slot, and a slot that is not ready', async () => {
  const replica = await harness()
  const young = close(replica, 'prepare', at(replica, LATER_MS - 1000))
  const other = close(replica, 'prepare', at(replica, 20_000), 2)
  const unready = await harness({})
  const behind = close(unready, 'prepare', at(unready, 20_000))
  const moving = await harness()
  moving.view({ number: 2, window: [config(1, 'abc'), config(2, 'abd')], ready: { a: 1 } })
  const open = close(moving, 'prepare', at(moving, 20_000))
  for (const one of [replica, unready, moving]) await one.clock.settle()
  assert.equal([young, behind].map(answerOf), ['CLOCK_SKEW', 'BEHIND'])
  assert.equal([other, open].map(answerOf), ['NOT_OWNER', 'STALE_VIEW'])
})

test('the sums cover the entries below the moment, and no others', async () => {
  const replica = await harness()
  const twin = await harness()
  for (const one of [replica, twin]) one.write('key', 5000)
  replica.write('{key}2', 50_000)
  const before = at(replica, 20_000)
  const [mine, others] = [close(replica, 'prepare', before), close(twin, 'prepare', before)]
  for (const one of [replica, twin]) await one.clock.settle()
  assert.equal((mine.result as ClosedSlots).sums, (others.result as ClosedSlots).sums)
  twin.write('{key}3', 60_000)
  const differing = await harness()
  differing.write('key', 6000)
  const third = close(differing, 'prepare', before)
  await differing.clock.settle()
  assert.not.equal((mine.result as ClosedSlots).sums, (third.result as ClosedSlots).sums)
})

test('commit needs prepare, deletes absent entries, and lets reads tell the bound', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  replica.write('{key}live', 4000)
  deletion(replica, 'key', 5000)
  deletion(replica, '{key}young', 30_000)
  await replica.clock.settle()
  const early = close(replica, 'commit', before)
  await replica.clock.settle()
  assert.is(answerOf(early), 'BAD_REQUEST')
  close(replica, 'prepare', before)
  await replica.clock.settle()
  close(replica, 'commit', before)
  await replica.clock.settle()
  assert.is(replica.stored('key'), undefined)
  assert.ok(replica.stored('{key}young') !== undefined)
  assert.ok(replica.stored('{key}live') !== undefined)
  const read = replica.read('key')
  await replica.clock.settle()
  assert.equal(answerOf(read), { envelope: undefined, closed: before })
})

test('between prepare and commit no entry below the moment may enter; after abort an owner may bring one', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  close(replica, 'prepare', before)
  await replica.clock.settle()
  const prepared = deletion(replica, 'key', 5000, true)
  await replica.clock.settle()
  assert.is(answerOf(prepared), 'OVERLOADED')
  close(replica, 'abort', before)
  await replica.clock.settle()
  const released = deletion(replica, 'key', 5000, true)
  await replica.clock.settle()
  assert.is(answerOf(released), undefined)
  assert.ok(replica.stored('key') !== undefined)
})

test('only an owner has a slot closed', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  const answers: Kept<ClosedSlots>[] = []
  for (const step of ['prepare', 'commit', 'catch-up', 'abort'] as const) {
    answers.push(close(replica, step, before, 1, 'd'))
    await replica.clock.settle()
  }
  assert.equal(answers.map(answerOf), new Array(4).fill('BAD_REQUEST'))
  assert.equal([replica.bounds.closing[SLOT], replica.bounds.closed[SLOT]], [0, 0])
})

test('only the owner that prepared a purge commits or aborts it', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  const step = async (what: PurgeStep, by: string) => {
    const kept = close(replica, what, before, 1, by)
    await replica.clock.settle()
    return kept.result instanceof Error ? answerOf(kept) : 'done'
  }
  assert.is(await step('prepare', 'b'), 'done')
  assert.is(await step('commit', 'c'), 'BAD_REQUEST')
  assert.is(await step('abort', 'c'), 'done')
  assert.is(replica.bounds.closed[SLOT], 0)
  assert.is(await step('commit', 'b'), 'done', 'the abort of another owner has changed nothing')
  assert.is(replica.bounds.closed[SLOT], before)
})

test('nothing is closed in the future or in the last half minute, at no step', async () => {
  const replica = await harness()
  const moments = [at(replica, LATER_MS - 29_000), at(replica, LATER_MS + 3_600_000), 2 ** 32 - 1]
  const answers: Kept<ClosedSlots>[] = []
  for (const before of moments) {
    for (const step of ['prepare', 'commit', 'catch-up'] as const) {
      answers.push(close(replica, step, before))
      await replica.clock.settle()
    }
  }
  const refused = ['CLOCK_SKEW', 'BAD_REQUEST', 'BAD_REQUEST']
  assert.equal(answers.map(answerOf), [...refused, ...refused, ...refused])
  assert.equal([replica.bounds.closing[SLOT], replica.bounds.closed[SLOT]], [0, 0])
})

test('no ballot below the bound is promised, and a promise above it outlives the purge', async () => {
  const replica = await harness()
  deletion(replica, 'key', 10_000)
  const before = at(replica, 20_000)
  await replica.clock.settle()
  const kept = replica.prepare('key', 30_000)
  close(replica, 'prepare', before)
  await replica.clock.settle()
  const early = replica.prepare('key', 19_999)
  close(replica, 'commit', before)
  await replica.clock.settle()
  assert.ok(kept.result !== undefined && 'tellings' in kept.result)
  assert.is(replica.stored('key'), undefined, 'the tombstone is purged')
  const writes = [replica.write('key', 19_999), replica.write('key', 25_000)]
  const late = replica.prepare('key', 19_999)
  const asked = replica.prepare('key', 30_000, [10_000, 25_000])
  await replica.clock.settle()
  const promised = { promised: toHex(replica.version(30_000)) }
  assert.equal(writes.map(refusalOf), [promised, promised])
  for (const { result } of [early, late]) assert.ok('refusedBy' in (result as object))
  const { tellings, closed, envelope } = asked.result as BallotPromised
  assert.equal([closed, envelope], [before, undefined], 'as a read, it confirms what was purged')
  assert.equal(
    tellings.map(({ isUnknown }) => isUnknown),
    [true, false]
  )
  const written = replica.write('key', 30_000)
  await replica.clock.settle()
  assert.is(answerOf(written), undefined)
  const empty = replica.prepare('another {key}', 19_999)
  const above = replica.prepare('another {key}', 20_000)
  await replica.clock.settle()
  assert.equal(
    [empty, above].map(({ result }) => 'refusedBy' in (result as object)),
    [true, false],
    'also where nothing was ever stored'
  )
})

test('after commit owners bring no old entry, and an old tombstone counts as known', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  for (const step of ['prepare', 'commit'] as const) {
    close(replica, step, before)
    await replica.clock.settle()
  }
  const purged = deletion(replica, 'key', 5000, true)
  const key = Buffer.from('key')
  const base = { view: 1, from: linkOf('b'), config: 1 }
  const old = replica.send('write', {
    view: 1,
    from: linkOf('b'),
    key,
    envelope: replica.envelope('key', 6000),
    repair: true
  })
  const versions = [6000, 60_000].map((ms) => ({
    slot: SLOT,
    key,
    dataKey: stored('key'),
    version: replica.version(ms)
  }))
  const offers = versions.map((one) => replica.send<Bytes[]>('offer', { ...base, versions: [one], entries: [] }))
  await replica.clock.settle()
  assert.is(answerOf(purged), undefined)
  assert.equal(refusalOf(old), newer(highestBefore(before)))
  assert.equal(offers.map(answerOf), [[], [stored('key')]])
  assert.is(replica.stored('key'), undefined)
})

/** A replica closed below `at(20_000)`, with no entries below it. */
async function closedHarness(): Promise<{ replica: ReplicaHarness; before: number }> {
  const replica = await harness()
  const before = at(replica, 20_000)
  for (const step of ['prepare', 'commit'] as const) {
    close(replica, step, before)
    await replica.clock.settle()
  }
  return { replica, before }
}

test('after commit an old entry enters again when owners closed as far confirm it', async () => {
  const { replica, before } = await closedHarness()
  const key = Buffer.from('key')
  const envelope = replica.envelope('key', 6000)
  const base = { view: 1, from: linkOf('b'), key, envelope, repair: true }
  const answers = [before - 1, before].map((confirmedBelow) => replica.send('write', { ...base, confirmedBelow }))
  await replica.clock.settle()
  assert.equal(answers.map(refusalOf), [newer(highestBefore(before)), undefined])
  assert.equal(replica.stored('key'), envelope)
})

test('after commit a tombstone does not enter again, even when owners confirm it', async () => {
  const { replica, before } = await closedHarness()
  const purged = deletion(replica, 'key', 6000, true, before)
  await replica.clock.settle()
  assert.is(answerOf(purged), undefined)
  assert.is(replica.stored('key'), undefined)
})

test('a replica with garbage on its disk reads the key as absent', async () => {
  const { replica, before } = await closedHarness()
  const version = replica.version(6000)
  const value = encodeEnvelope(Buffer.from('key'), { version, tombstone: true, value: new Uint8Array(0) })
  await replica.disk.disk.write([{ type: 'put', key: stored('key'), value }])
  const read = replica.read('key')
  await replica.clock.settle()
  assert.equal(answerOf(read), { envelope: undefined, closed: before })
})

test('an entry below the bound that repair brings is not merged, and the owners are asked about it', async () => {
  const { replica } = await closedHarness()
  const entry = { slot: SLOT, key: Buffer.from('key'), dataKey: stored('key'), envelope: replica.envelope('key', 6000) }
  replica.send('repair-merge', { entries: [entry], member: idOf('b') })
  await replica.clock.settle()
  assert.is(replica.stored('key'), undefined)
  assert.equal(replica.disputed, ['key'])
})

test('healing restores entries that owners confirm, and removes entries that they deny', async () => {
  const { replica, before } = await closedHarness()
  const [old, young] = [replica.envelope('key', 6000), replica.envelope('key', 50_000)]
  const nothing = { envelope: undefined, closed: before }
  const heal = async (...answers: OwnerAnswer[]) => {
    replica.send('heal', { key: Buffer.from('key'), resolution: resolve(answers, true) })
    await replica.clock.settle()
    return replica.stored('key')
  }
  assert.is(await heal({ envelope: old, closed: before - 1 }), undefined)
  assert.is(await heal({ envelope: young, closed: 0 }), undefined)
  assert.equal(await heal({ envelope: old, closed: before }), old)
  assert.equal(await heal({ envelope: undefined, closed: 0 }), old)
  close(replica, 'prepare', before + 1)
  await replica.clock.settle()
  assert.equal(await heal({ envelope: old, closed: 0 }, nothing), old)
  close(replica, 'abort', before + 1)
  await replica.clock.settle()
  assert.is(await heal({ envelope: old, closed: 0 }, nothing), undefined)
  await replica.disk.disk.write([{ type: 'put', key: stored('key'), value: young }])
  assert.equal(await heal({ envelope: old, closed: 0 }, nothing), young)
})

test('a replica that missed commit can catch up, and one that was never prepared cannot', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  const stranger = close(replica, 'catch-up', before)
  deletion(replica, 'key', 5000)
  await replica.clock.settle()
  assert.is(answerOf(stranger), 'BAD_REQUEST')
  close(replica, 'prepare', before)
  await replica.clock.advance(20_000)
  const late = close(replica, 'commit', before)
  await replica.clock.settle()
  assert.is(answerOf(late), 'BAD_REQUEST')
  close(replica, 'catch-up', before)
  await replica.clock.settle()
  assert.is(replica.stored('key'), undefined)
})

test('a bound whose batch failed is written with the next batch', async () => {
  const replica = await harness()
  const before = at(replica, 20_000)
  replica.disk.failNext = 'STORE_FAILED'
  const failed = close(replica, 'prepare', before)
  await replica.clock.advance(2000)
  assert.is(answerOf(failed), 'STORE_FAILED')
  assert.is(replica.disk.get(metaKey('closing')), undefined)
  const prepared = close(replica, 'prepare', before)
  await replica.clock.settle()
  assert.ok(prepared.result !== undefined && !(prepared.result instanceof Error))
  assert.ok(replica.disk.get(metaKey('closing')) !== undefined)
})

test('a puller takes over the bounds of its source, and deletes its own entries below them', async () => {
  const source = await harness()
  const before = at(source, 20_000)
  for (const step of ['prepare', 'commit'] as const) {
    close(source, step, before)
    await source.clock.settle()
  }
  const ranges = [{ first: SLOT, last: SLOT }]
  const rest = { view: 1, from: linkOf('b'), config: 1, ranges, after: undefined, versionsOnly: true }
  const pulled = source.send<PulledBlock, 'pull'>('pull', rest)
  await source.clock.settle()
  const { closing, closed } = pulled.result as PulledBlock
  const run = { first: SLOT, last: SLOT, value: before }
  assert.equal([closing, closed], [[run], [run]])

  const puller = await harness({})
  puller.write('key', 5000)
  puller.write('{key}new', 50_000)
  await puller.clock.settle()
  const theirs = { closing: new Uint32Array(SLOTS).fill(before), closed: new Uint32Array(SLOTS).fill(before) }
  const inherited = puller.send<ReadonlyMap<number, number>>('inherit', { slots: [SLOT], theirs })
  await puller.clock.settle()
  assert.equal([...(inherited.result as Map<number, number>)], [])
  assert.is(puller.stored('key'), undefined)
  assert.ok(puller.stored('{key}new') !== undefined)
  assert.is(puller.bounds.closed[SLOT], before)

  const none = { closing: new Uint32Array(SLOTS), closed: new Uint32Array(SLOTS) }
  const next = puller.send<ReadonlyMap<number, number>>('inherit', { slots: [SLOT], theirs: none })
  await puller.clock.settle()
  assert.equal([...(next.result as Map<number, number>)], [[SLOT, before]])
})

test('while a puller deletes old entries, no old write enters after it', async () => {
  const puller = await harness({})
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
  assert.equal(refusalOf(late), newer(highestBefore(before)))
  assert.is(puller.stored('{key}late'), undefined)
})

test.run()
