// The simulated disk: what is durable when, what a crash leaves, and that it tells what its bytes say.
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

class Bench {
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

  /** Begins a write; tells what became of it. */
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

async function named(options?: DiskOptions): Promise<Bench> {
  const bench = new Bench(options)
  await bench.open()
  bench.write({ type: 'put', key: metaKey('store-id'), value: Buffer.from(MEMBER) })
  await bench.clock.advance(10)
  assert.is(bench.disk.member, MEMBER)
  return bench
}

test('a batch is there, told and acknowledged when its sync is over, and not before', async () => {
  const bench = await named()
  const put = entry('k', 1, 'v')
  const write = bench.write(put)
  await bench.clock.advance(9)
  assert.equal([write.state, bench.has(put), bench.types()], ['open', false, []])
  await bench.clock.advance(1)
  assert.equal([write.state, bench.has(put)], ['done', true])
  const version = `${'0'.repeat(11)}1${'0'.repeat(20)}`
  const told = { type: 'stored', at: 20, member: MEMBER, key: 'k', version, value: 'v', expiresAt: undefined }
  assert.equal(bench.seen, [told])
})

test('a crash takes the batch under way whole, or leaves it whole; what was acknowledged stays', async () => {
  for (const isWritten of [true, false]) {
    const bench = await named()
    const [old, one, other] = [entry('old', 1, 'v'), entry('one', 1, 'v'), entry('other', 1, 'v')]
    bench.write(old)
    await bench.clock.advance(10)
    const write = bench.write(one, other)
    await bench.clock.advance(5)
    bench.disk.crash(isWritten)
    await bench.clock.advance(100)
    await bench.open()
    assert.is(write.state, 'open')
    assert.equal(
      [old, one, other].map((put) => bench.has(put)),
      [true, isWritten, isWritten]
    )
    assert.is(bench.types().length, isWritten ? 3 : 1)
  }
})

test('an I/O error fails one batch, which is there or not', async () => {
  for (const isWritten of [true, false]) {
    const bench = await named()
    const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
    bench.disk.failNext = { code: 'STORE_FAILED', isWritten }
    const failed = bench.write(one)
    await bench.clock.advance(10)
    const fine = bench.write(other)
    await bench.clock.advance(10)
    assert.equal([failed.state, fine.state], ['STORE_FAILED', 'done'])
    assert.equal([bench.has(one), bench.has(other)], [isWritten, true])
  }
})

test('after a full disk what is acknowledged is gone at the next open; the guard prevents that', async () => {
  const bench = await named()
  const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
  bench.disk.isFull = true
  const refused = bench.write(one)
  await bench.clock.advance(10)
  bench.disk.isFull = false
  const deceived = bench.write(other)
  await bench.clock.advance(10)
  assert.equal([refused.state, deceived.state, bench.has(other)], ['DISK_FULL', 'done', true])
  bench.disk.crash(false)
  await bench.open()
  assert.is(bench.has(other), false)
  assert.is(bench.types().at(-1), 'image')

  const guarded = new GuardedStore(bench.store)
  bench.disk.isFull = true
  const first = guarded.write([one]).catch((error: RingdError) => error.code)
  await bench.clock.advance(10)
  bench.disk.isFull = false
  const second = guarded.write([other]).catch((error: RingdError) => error.code)
  const recovered = guarded.recover()
  await bench.clock.advance(100)
  await recovered
  const third = guarded.write([other])
  await bench.clock.advance(10)
  await third
  assert.equal([await first, await second], ['DISK_FULL', 'DISK_FULL'])
  bench.disk.crash(false)
  await bench.open()
  assert.is(bench.has(other), true)
})

test('a flipped bit makes one entry unsound, and is told', async () => {
  const bench = await named()
  bench.write(entry('one', 1, 'v'), entry('other', 1, 'v'))
  await bench.clock.advance(10)
  assert.ok(bench.disk.flip())
  assert.equal(bench.types().slice(-2), ['lost', 'image'])
  const image = bench.seen.at(-1)
  assert.is(image?.type === 'image' && image.entries.size, 1)
})

test('an old copy and an empty disk are what the next process finds', async () => {
  const bench = await named()
  const [one, other] = [entry('one', 1, 'v'), entry('other', 1, 'v')]
  bench.write(one)
  await bench.clock.advance(10)
  const copy = bench.disk.copy()
  bench.write(other)
  await bench.clock.advance(10)
  bench.disk.crash(false)
  bench.disk.restore(copy)
  await bench.open()
  assert.equal([bench.has(one), bench.has(other), bench.disk.member], [true, false, MEMBER])
  bench.disk.crash(false)
  bench.disk.wipe()
  await bench.open()
  assert.equal([bench.has(one), bench.disk.member], [false, undefined])
  assert.ok(bench.types().includes('lost'))
})

test('a store that becomes a stranger is told as lost, with what the stranger holds', async () => {
  const bench = await named()
  bench.write(entry('one', 1, 'v'))
  await bench.clock.advance(10)
  bench.write({ type: 'put', key: metaKey('store-id'), value: Buffer.from('cd'.repeat(16)) })
  await bench.clock.advance(10)
  assert.equal(bench.types(), ['stored', 'lost', 'image'])
})

test('a process that is gone hears nothing, and can do nothing', async () => {
  const bench = await named()
  const former = bench.store
  bench.disk.crash(false)
  await bench.open()
  assert.throws(
    () => former.get(metaKey('store-id')),
    (error: unknown) => error instanceof RingdError && error.code === 'STOPPED'
  )
})

test.run()
