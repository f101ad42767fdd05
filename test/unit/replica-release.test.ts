// Slots that a member releases: first refused, then deleted, and never served again for earlier configs.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PulledBlock } from '../../lib/actors/replica/replica-messages.js'
import { SLOT_SUM_BYTES } from '../../lib/anti-entropy/slot-sums.js'
import type { Bytes } from '../../lib/bytes.js'
import { slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, ReplicaHarness, stored } from '../sim/harness/replica-harness.js'
import { config, linkOf } from '../sim/harness/ring-views.js'

const test = suite('replica: release')

const SLOT = slotOf(Buffer.from('key'))
const OTHER = slotOf(Buffer.from('other'))
const OUT = [config(2, 'bcd')]

/** The slots are owned at first, with two entries. Then others own all slots, and the new config has settled. */
async function harness(): Promise<ReplicaHarness> {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1 } })
  replica.write('key', 1)
  replica.write('other', 1)
  await replica.clock.settle()
  replica.view({ number: 2, window: OUT })
  return replica
}

function release(replica: ReplicaHarness, slots = [SLOT], begin = 2): Kept<undefined> {
  return replica.send('release', { config: begin, slots })
}

function pull(replica: ReplicaHarness, begin: number, view = 2): Kept<PulledBlock> {
  const ranges = [{ first: SLOT, last: SLOT }]
  const rest = { view, from: linkOf('b'), config: begin, ranges, after: undefined, versionsOnly: false }
  return replica.send<PulledBlock, 'pull'>('pull', rest)
}

test('slots of others are found, released and deleted, and no other slot is', async () => {
  const replica = await harness()
  const before = replica.send<readonly number[]>('surplus', {})
  const done = release(replica)
  await replica.clock.settle()
  assert.equal([...(before.result as number[])].sort(), [SLOT, OTHER].sort())
  assert.equal(done, { count: 1, result: undefined })
  assert.is(replica.stored('key'), undefined)
  assert.ok(replica.stored('other') !== undefined)
  const after = replica.send<readonly number[]>('surplus', {})
  await replica.clock.settle()
  assert.equal(after.result, [OTHER])
  assert.is(replica.slotStats.totals.entries, 1)
})

test('a release is on disk before anything is deleted', async () => {
  const replica = await harness()
  await replica.clock.settle()
  replica.disk.hold()
  release(replica)
  await replica.clock.settle()
  const [last] = replica.disk.batches.slice(-1)
  assert.ok(last!.some(({ type, key }) => type === 'put' && Buffer.from(key).toString() === 'mretired'))
  assert.not(last!.some(({ type }) => type === 'del'))
  // The slot is refused from the moment of the decision on.
  assert.is(answerOf(replica.read('key', 2)), 'nothing')
  const read = replica.read('key', 2)
  await replica.clock.settle()
  assert.is(answerOf(read), 'NOT_OWNER')
  replica.disk.release()
  await replica.clock.settle()
  assert.is(replica.stored('key'), undefined)
})

test('a moving slot, an owned slot, and a slot with another config by now are not released', async () => {
  const replica = await harness()
  const another = release(replica, [SLOT], 1)
  replica.view({ number: 3, window: [config(2, 'bcd'), config(3, 'bce')] })
  const moving = release(replica)
  replica.view({ number: 4, window: [config(4, 'abc')] })
  const owned = release(replica, [SLOT], 4)
  await replica.clock.settle()
  assert.equal([another, moving, owned].map(answerOf), ['STALE_VIEW', 'STALE_VIEW', 'STALE_VIEW'])
  assert.ok(replica.stored('key') !== undefined)
})

test('a released slot is not read, written, merged or pulled', async () => {
  const replica = await harness()
  release(replica)
  await replica.clock.settle()
  const merged = replica.send('merge', {
    entries: [{ dataKey: stored('key'), envelope: replica.envelope('key', 9) }]
  })
  const fetch = { view: 2, from: linkOf('b'), config: 2, keys: [stored('key')] }
  const answers: Kept<unknown>[] = [replica.read('key', 2), replica.write('key', 5, '5', 2)]
  answers.push(pull(replica, 2), pull(replica, 1), replica.send('fetch', fetch))
  await replica.clock.settle()
  assert.equal(answers.map(answerOf), new Array(5).fill('NOT_OWNER'))
  assert.is(answerOf(merged), 'NOT_OWNER')
  assert.is(replica.stored('key'), undefined)
})

test('a member that released a slot, owned it again and lost it again can still hand over its entries', async () => {
  const replica = await harness()
  release(replica)
  await replica.clock.settle()
  replica.view({ number: 3, window: [config(3, 'abd')] })
  replica.write('key', 9, '9', 3)
  await replica.clock.settle()
  replica.view({ number: 4, window: [config(4, 'bcd')] })
  const rest = { view: 4, config: 4, ranges: [{ first: SLOT, last: SLOT }], after: undefined, versionsOnly: true }
  const mine = replica.send<PulledBlock, 'pull'>('pull', { ...rest, from: undefined })
  const fetched = replica.send('fetch', { view: 4, config: 4, keys: [stored('key')], from: undefined })
  const others = replica.send<PulledBlock, 'pull'>('pull', { ...rest, from: linkOf('b') })
  await replica.clock.settle()
  assert.is(answerOf(others), 'NOT_OWNER')
  assert.ok((mine.result as PulledBlock).block.length > 0)
  assert.is((fetched.result as { taken: number }).taken, 1)
})

test('an owner again serves, but is no source for configs up to the one at which it released the slot', async () => {
  const replica = await harness()
  release(replica)
  await replica.clock.settle()
  replica.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  const write = replica.write('key', 9, '9', 3)
  await replica.clock.settle()
  const earlier = pull(replica, 1, 3)
  const same = pull(replica, 2, 3)
  const later = pull(replica, 3, 3)
  const read = replica.read('key', 3)
  await replica.clock.settle()
  assert.equal([write, earlier, same].map(answerOf), [undefined, 'NOT_OWNER', 'NOT_OWNER'])
  assert.ok((later.result as PulledBlock).block.length > 0)
  assert.ok(read.result !== undefined && !(read.result instanceof Error))
  // The member loses the slot again before the config in between has settled. Pulls for that config still need its
  // entries.
  replica.view({ number: 4, window: [config(2, 'bcd'), config(3, 'abd'), config(4, 'bcd')] })
  const between = pull(replica, 3, 4)
  await replica.clock.settle()
  assert.ok((between.result as PulledBlock).block.length > 0)
})

test('deleting stops when the slot is owned again', async () => {
  const replica = await harness()
  await replica.clock.settle()
  replica.disk.hold()
  const done = release(replica)
  await replica.clock.settle()
  // The release is being written. Before the deletion begins, this member owns the slot again.
  replica.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  replica.write('key', 9, '9', 3)
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.is(answerOf(done), undefined)
  assert.equal(replica.stored('key'), replica.envelope('key', 9, '9'))
})

test('an entry being deleted when the slot is owned again counts as missing', async () => {
  const replica = await harness()
  await replica.clock.settle()
  replica.disk.hold()
  const done = release(replica)
  await replica.clock.settle()
  replica.disk.release(true)
  await replica.clock.settle()
  assert.ok(
    replica.disk.batches.at(-1)!.some(({ type }) => type === 'del'),
    'the deletion is on its way to the disk'
  )
  replica.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  const versions = [{ slot: SLOT, key: Buffer.from('key'), dataKey: stored('key'), version: replica.version(1) }]
  const missing = replica.send<readonly Bytes[]>('missing', { versions })
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.is(answerOf(done), undefined)
  assert.equal(missing.result, [stored('key')])
})

test('an owner returns its sums and merges what it lacks; a member that is not an owner refuses', async () => {
  const replica = new ReplicaHarness()
  replica.view({ number: 2, window: [config(2, 'abc')], ready: { a: 2 } })
  replica.write('key', 5, '5', 2)
  await replica.clock.settle()
  const base = { view: 2, from: linkOf('b'), config: 2 }
  const sums = replica.send<Bytes>('compare', { ...base, slots: [SLOT, OTHER] })
  const own = replica.send<Bytes>('sums', { slots: [SLOT, OTHER] })
  const key = Buffer.from('key')
  const versions = [3, 9].map((ms) => ({ slot: SLOT, key, dataKey: stored('key'), version: replica.version(ms) }))
  const wanted = replica.send<Bytes[]>('offer', { ...base, versions, entries: [] })
  const entries = [{ dataKey: stored('key'), envelope: replica.envelope('key', 9) }]
  const given = replica.send<Bytes[]>('offer', { ...base, versions: [], entries })
  await replica.clock.settle()
  assert.equal(sums.result, own.result)
  assert.is((sums.result as Bytes).length, 2 * SLOT_SUM_BYTES)
  assert.equal(wanted.result, [stored('key')])
  assert.equal(given.result, [])
  assert.equal(replica.stored('key'), replica.envelope('key', 9))
  replica.view({ number: 3, window: [config(2, 'abc'), config(3, 'bcd')] })
  const late = [
    replica.send('compare', { ...base, slots: [SLOT] }),
    replica.send('offer', { ...base, versions: [], entries }),
    replica.send('compare', { ...base, config: 3, view: 3, slots: [SLOT] })
  ]
  await replica.clock.settle()
  assert.equal(late.map(answerOf), ['STALE_VIEW', 'STALE_VIEW', 'NOT_OWNER'])
})

test.run()
