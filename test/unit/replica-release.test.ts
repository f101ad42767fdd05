// Slots that a member gives up: refused first, deleted then, and never served again for what came before.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { PulledBlock } from '../../lib/actors/replica/replica-messages.js'
import { SLOT_SUM_BYTES } from '../../lib/anti-entropy/slot-sums.js'
import type { Bytes } from '../../lib/bytes.js'
import { slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, ReplicaHarness, stored } from '../sim/harness/replica-harness.js'
import { config } from '../sim/harness/ring-views.js'

const test = suite('storage actor: giving slots up')

const SLOT = slotOf(Buffer.from('key'))
const OTHER = slotOf(Buffer.from('other'))
const OUT = [config(2, 'bcd')]

/** Owned at first, with two entries; then others own everything, and it has settled. */
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
  const rest = { view, from: 'peer-b', config: begin, ranges, after: undefined, versionsOnly: false }
  return replica.send<PulledBlock, 'pull'>('pull', rest)
}

test('what others own is found, given up and deleted, and nothing else is', async () => {
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

test('giving up is on disk before anything is deleted', async () => {
  const replica = await harness()
  await replica.clock.settle()
  replica.disk.hold()
  release(replica)
  await replica.clock.settle()
  const [last] = replica.disk.batches.slice(-1)
  assert.ok(last!.some(({ type, key }) => type === 'put' && Buffer.from(key).toString() === 'mretired'))
  assert.not(last!.some(({ type }) => type === 'del'))
  // Refused from the moment on which it was decided.
  assert.is(answerOf(replica.read('key', 2)), 'nothing')
  const read = replica.read('key', 2)
  await replica.clock.settle()
  assert.is(answerOf(read), 'NOT_OWNER')
  replica.disk.release()
  await replica.clock.settle()
  assert.is(replica.stored('key'), undefined)
})

test('a slot that moves, that is owned here, or whose config is another one by now is not given up', async () => {
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

test('what was given up is neither read, written, merged nor pulled', async () => {
  const replica = await harness()
  release(replica)
  await replica.clock.settle()
  const merged = replica.send('merge', {
    entries: [{ dataKey: stored('key'), envelope: replica.envelope('key', 9) }]
  })
  const fetch = { view: 2, from: 'peer-b', config: 2, keys: [stored('key')] }
  const answers: Kept<unknown>[] = [replica.read('key', 2), replica.write('key', 5, '5', 2)]
  answers.push(pull(replica, 2), pull(replica, 1), replica.send('fetch', fetch))
  await replica.clock.settle()
  assert.equal(answers.map(answerOf), new Array(5).fill('NOT_OWNER'))
  assert.is(answerOf(merged), 'NOT_OWNER')
  assert.is(replica.stored('key'), undefined)
})

test('a former owner of both before and after it gave the slot up can still hand over what it holds', async () => {
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
  const others = replica.send<PulledBlock, 'pull'>('pull', { ...rest, from: 'peer-b' })
  await replica.clock.settle()
  assert.is(answerOf(others), 'NOT_OWNER')
  assert.ok((mine.result as PulledBlock).block.length > 0)
  assert.is((fetched.result as { taken: number }).taken, 1)
})

test('an owner again serves, but is no source for the config at which it gave the slot up, or earlier', async () => {
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
  // And out again, before the config in between has settled: pulls for it need what is here.
  replica.view({ number: 4, window: [config(2, 'bcd'), config(3, 'abd'), config(4, 'bcd')] })
  const between = pull(replica, 3, 4)
  await replica.clock.settle()
  assert.ok((between.result as PulledBlock).block.length > 0)
})

test('deleting stops where the slot is owned again', async () => {
  const replica = await harness()
  await replica.clock.settle()
  replica.disk.hold()
  const done = release(replica)
  await replica.clock.settle()
  // The number is being written; before the deletion begins the slot is owned here again.
  replica.view({ number: 3, window: [config(2, 'bcd'), config(3, 'abd')] })
  replica.write('key', 9, '9', 3)
  await replica.clock.settle()
  replica.disk.release()
  await replica.clock.settle()
  assert.is(answerOf(done), undefined)
  assert.equal(replica.stored('key'), replica.envelope('key', 9, '9'))
})

test('what is being deleted when the slot is owned again counts as missing', async () => {
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

test('an owner tells its sums and takes what it lacks; whoever is none refuses', async () => {
  const replica = new ReplicaHarness()
  replica.view({ number: 2, window: [config(2, 'abc')], ready: { a: 2 } })
  replica.write('key', 5, '5', 2)
  await replica.clock.settle()
  const base = { view: 2, from: 'peer-b', config: 2 }
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
