// The simulated disk: when a batch is durable, what a crash leaves, and whether its observations match its bytes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey, metaKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import { slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import type { Store, StoreWrite } from '../../lib/storage/store.js'
import type { Observation } from '../sim/run/observation.js'
import { type DiskOptions, SimDisk } from '../sim/seams/sim-disk.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('sim/disk')
const MEMBER = 'ab'.repeat(16)
const STEADY: DiskOptions = { syncMsMin: 10, syncMsMax: 10, tailShare: 0, tailMs: 0 }

function entry(key: string, ms: number, value: string): StoreWrite {
  const bytes = Buffer.from(key)
  const version = makeVersion(ms, 0, new Uint8Array(8))
  const envelope = encodeEnvelope(bytes, { version, tombstone: false, value: Buffer.from(value) })
  return { type: 'put', key: dataKey(slotOf(bytes), bytes), value: envelope }
}

class DiskHarness {
  readonly clock = new VirtualClock()
  readonly seen: Observation[] = []
  readonly disk: SimDisk
  store!: Store

  constructor(options = STEADY) {
    const observe = (observation: Observation) => void this.seen.push(observation)
    this.disk = new SimDisk({ clock: this.clock, random: seeded(1), observe }, options)
  }

  async open(): Promise<Store> {
    this.store = await this.disk.open(this.clock)
    return this.store
  }

  /** Begins a write. `state` later tells its outcome. */
  write(...writes: StoreWrite[]): { state: string } {
    const kept = { state: 'open' }
    this.store.write(writes).then(
      () => {
        kept.state = 'done'
      },
      (error: RingdError) => {
        kept.state = error.code
      }
    )
    return kept
  }

  has(write: StoreWrite): boolean {
    return this.store.get(write.key) !== undefined
  }

  types(): string[] {
    return this.seen.map(({ type }) => type)
  }
}

async function openWithMember(options?: DiskOptions): Promise<DiskHarness> {
  const harness = new DiskHarness(options)
  await harness.open()
  harness.write({ type: 'put', key: metaKey('store-id'), value: Buffer.from(MEMBER) })
  await harness.clock.advance(10)
  assert.is(harness.disk.member, MEMBER)
  return harness
}

test('a batch is readable, observed and acknowledged when its sync is over, and not before', async () => {
  const harness = await openWithMember()
  const put = entry('k', 1, 'v')
  const write = harness.write(put)
  await harness.clock.advance(9)
  assert.equal([write.state, harness.has(put), harness.types()], ['open', false, []])
  await harness.clock.advance(1)
  assert.equal([write.state, harness.has(put)], ['done', true])
  const version = `${'0'.repeat(11)}1${'0'.repeat(20)}`
  const told = { type: 'stored', at: 20, member: MEMBER, key: 'k', version, value: 'v', expiresAt: undefined }
  assert.equal(harness.seen, [told])
})

test('a crash keeps or drops the pending batch as a whole, and keeps every acknowledged one', async () => {
  for (const isWritten of [true, false]) {
    const harness = await openWithMember()
    const [old, one, other] = [entry('old', 1, 'v'), entry('one', 1, 'v'), entry('other', 1, 'v')]
    harness.write(old)
    await harness.clock.advance(10)
    const write = harness.write(one, other)
    await harness.clock.advance(5)
    harness.disk.crash(isWritten)
    await harness.clock.advance(100)
    await harness.open()
    assert.is(write.state, 'open')
    assert.equal(
      [old, one, other].map((put) => harness.has(put)),
      [true, isWritten, isWritten]
    )
    assert.is(harness.types().length, isWritten ? 3 : 1)
  }
})

test('an I/O error fails one batch, which is written or not', async () => {
  for (const isWritten of [true, false]) {
    const harness = await openWithMember()
    const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
    harness.disk.failNext = { code: 'STORE_FAILED', isWritten }
    const failed = harness.write(one)
    await harness.clock.advance(10)
    const fine = harness.write(other)
    await harness.clock.advance(10)
    assert.equal([failed.state, fine.state], ['STORE_FAILED', 'done'])
    assert.equal([harness.has(one), harness.has(other)], [isWritten, true])
  }
})

test('after a full disk acknowledged writes are lost at the next open, and the guard prevents that', async () => {
  const harness = await openWithMember()
  const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
  harness.disk.isFull = true
  const refused = harness.write(one)
  await harness.clock.advance(10)
  harness.disk.isFull = false
  const deceived = harness.write(other)
  await harness.clock.advance(10)
  assert.equal([refused.state, deceived.state, harness.has(other)], ['DISK_FULL', 'done', true])
  harness.disk.crash(false)
  await harness.open()
  assert.is(harness.has(other), false)
  assert.is(harness.types().at(-1), 'image')

  const guarded = new GuardedStore(harness.store)
  harness.disk.isFull = true
  const first = guarded.write([one]).catch((error: RingdError) => error.code)
  await harness.clock.advance(10)
  harness.disk.isFull = false
  const second = guarded.write([other]).catch((error: RingdError) => error.code)
  const recovered = guarded.recover()
  await harness.clock.advance(100)
  await recovered
  const third = guarded.write([other])
  await harness.clock.advance(10)
  await third
  assert.equal([await first, await second], ['DISK_FULL', 'DISK_FULL'])
  harness.disk.crash(false)
  await harness.open()
  assert.is(harness.has(other), true)
})

test('a flipped bit damages one entry, and is observed', async () => {
  const harness = await openWithMember()
  harness.write(entry('one', 1, 'v'), entry('other', 1, 'v'))
  await harness.clock.advance(10)
  assert.ok(harness.disk.flip())
  assert.equal(harness.types().slice(-2), ['lost', 'image'])
  const image = harness.seen.at(-1)
  assert.is(image?.type === 'image' && image.entries.size, 1)
})

test('the next process finds the old copy, or the empty disk', async () => {
  const harness = await openWithMember()
  const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
  harness.write(one)
  await harness.clock.advance(10)
  const copy = harness.disk.copy()
  harness.write(other)
  await harness.clock.advance(10)
  harness.disk.crash(false)
  harness.disk.restore(copy)
  await harness.open()
  assert.equal([harness.has(one), harness.has(other), harness.disk.member], [true, false, MEMBER])
  harness.disk.crash(false)
  harness.disk.wipe()
  await harness.open()
  assert.equal([harness.has(one), harness.disk.member], [false, undefined])
  assert.ok(harness.types().includes('lost'))
})

test('a store that changes its store id is observed as lost, with the entries of the new one', async () => {
  const harness = await openWithMember()
  harness.write(entry('one', 1, 'v'))
  await harness.clock.advance(10)
  harness.write({ type: 'put', key: metaKey('store-id'), value: Buffer.from('cd'.repeat(16)) })
  await harness.clock.advance(10)
  assert.equal(harness.types(), ['stored', 'lost', 'image'])
})

test('the store of a process that has ended refuses every operation', async () => {
  const harness = await openWithMember()
  const former = harness.store
  harness.disk.crash(false)
  await harness.open()
  assert.throws(
    () => former.get(metaKey('store-id')),
    (error: unknown) => error instanceof RingdError && error.code === 'STOPPED'
  )
})

test.run()
