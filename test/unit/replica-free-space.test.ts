// Room on the disk: which writes may use how much of the reserve, what happens between two looks, and the ballast.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Ballast,
  FreeSpace,
  type FreeSpaceDeps,
  LAST_BYTES,
  RESERVE_BYTES,
  SHORT_BYTES
} from '../../lib/actors/replica/free-space.js'
import { Conditions } from '../../lib/conditions.js'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import { answerOf, newer, ReplicaHarness, refusalOf } from '../sim/harness/replica-harness.js'
import { config } from '../sim/harness/ring-views.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('replica/free-space')
const PLENTY = 1024 * MiB

/** A disk that a test fills, and its watch. */
async function watched(deps: Partial<FreeSpaceDeps> = {}) {
  const clock = new VirtualClock()
  const metrics = new KeptMetrics()
  const disk = { free: PLENTY }
  const watch = new FreeSpace({ clock, log: silent, metrics, freeBytes: async () => disk.free, ...deps })
  await clock.settle()
  const look = () => clock.advance(1000)
  const codeOf = (purpose: 'value' | 'mending', bytes = 1) => watch.admit(purpose, bytes)?.code
  return { clock, metrics, disk, watch, look, codeOf }
}

test('values are refused below the reserve, and taken again when there is room', async () => {
  const conditions = new Conditions({ log: silent, metrics: noMetrics })
  const { disk, look, codeOf, metrics } = await watched({ conditions })
  assert.is(codeOf('value'), undefined)
  disk.free = RESERVE_BYTES - 1
  await look()
  assert.is(codeOf('value'), 'DISK_FULL')
  assert.is(metrics.values.get('ringd_storage_full'), 1)
  assert.ok(conditions.has('disk-full'))
  disk.free = PLENTY
  await look()
  assert.is(codeOf('value'), undefined)
  assert.is(metrics.values.get('ringd_storage_full'), 0)
  assert.not.ok(conditions.has('disk-full'))
})

test('what was admitted between two looks counts as taken: a burst cannot use the reserve', async () => {
  const { disk, look, codeOf } = await watched()
  disk.free = RESERVE_BYTES + 20 * MiB
  await look()
  // Each MiB takes two: in the log, and in a table before the log is deleted.
  for (let taken = 0; taken < 7; taken++) assert.is(codeOf('value', MiB), undefined)
  assert.is(codeOf('value', 4 * MiB), 'DISK_FULL')
})

test('what the store may write by itself is kept free, too', async () => {
  let upkeep = 0
  const { disk, look, codeOf } = await watched({ upkeepBytes: () => upkeep })
  disk.free = RESERVE_BYTES + 50 * MiB
  upkeep = 60 * MiB
  await look()
  assert.is(codeOf('value'), 'DISK_FULL')
  upkeep = 0
  await look()
  assert.is(codeOf('value'), undefined)
})

test('what mends or frees may use the reserve but for its last part', async () => {
  const { disk, look, codeOf } = await watched()
  disk.free = LAST_BYTES + 2 * MiB
  await look()
  assert.is(codeOf('value'), 'DISK_FULL')
  assert.is(codeOf('mending'), undefined)
  assert.is(codeOf('mending', 2 * MiB), 'DISK_FULL')
  disk.free = LAST_BYTES - 1
  await look()
  assert.is(codeOf('mending'), 'DISK_FULL')
})

test('it tells once that room is running out, before it refuses, and once that it is not', async () => {
  const told: boolean[] = []
  const { disk, look, codeOf } = await watched({ onShort: (isShort) => void told.push(isShort) })
  disk.free = RESERVE_BYTES + SHORT_BYTES - 1
  await look()
  await look()
  assert.equal(told, [true])
  assert.is(codeOf('value'), undefined)
  disk.free = PLENTY
  await look()
  assert.equal(told, [true, false])
})

/** A file in memory. */
class PretendedBallast implements Ballast {
  held = 0
  readonly size = 32 * MiB
  get lacking(): number {
    return this.size - this.held
  }
  async fill(): Promise<void> {
    this.held = this.size
  }
  async release(): Promise<void> {
    this.held = 0
  }
}

test('the ballast is taken when there is room, given back when the disk is full, and taken again', async () => {
  const ballast = new PretendedBallast()
  const { clock, disk, look, codeOf, watch } = await watched({ ballast })
  assert.is(ballast.held, 0, 'the start of a peer has other work for the disk')
  await clock.advance(10_000)
  assert.is(ballast.held, ballast.size)
  disk.free = 0
  await look()
  assert.is(ballast.held, 0)
  disk.free = ballast.size
  assert.is(codeOf('value'), 'DISK_FULL')
  assert.is(codeOf('mending'), undefined)
  await look()
  assert.is(ballast.held, 0, 'it is not taken while it is needed')
  disk.free = PLENTY
  await look()
  assert.is(ballast.held, ballast.size)
  await watch.exhausted()
  assert.is(ballast.held, ballast.size, 'there is room: it is taken again at once')
})

test('after the disk has refused a write, values are refused until the next look', async () => {
  const { watch, codeOf, disk, look } = await watched()
  disk.free = 0
  await watch.exhausted()
  assert.is(codeOf('value'), 'DISK_FULL')
  assert.is(codeOf('mending'), 'DISK_FULL')
  disk.free = PLENTY
  await look()
  assert.is(codeOf('value'), undefined)
})

test('unreadable free space is logged once, and again only after it was readable', async () => {
  const clock = new VirtualClock()
  let warnings = 0
  let isKnown = false
  const warn = () => {
    warnings += 1
  }
  const freeBytes = async () => {
    if (!isKnown) throw new Error('no such disk')
    return RESERVE_BYTES
  }
  const watch = new FreeSpace({ clock, log: { ...silent, warn }, metrics: new KeptMetrics(), freeBytes })
  await clock.advance(10_000)
  assert.is(warnings, 1)
  isKnown = true
  await clock.advance(1000)
  isKnown = false
  await clock.advance(5000)
  assert.is(warnings, 2)
  watch.stop()
})

test('while free space is unreadable, no write is refused', async () => {
  const { codeOf } = await watched({ freeBytes: () => Promise.reject(new TypeError('statfs')) })
  assert.is(codeOf('value'), undefined)
})

/** A replica of slot owners a, b, c whose disk is full. */
async function fullReplica(): Promise<ReplicaHarness> {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')] })
  await replica.clock.settle()
  replica.write('key', 2)
  await replica.clock.settle()
  replica.freeBytes = RESERVE_BYTES - 1
  await replica.clock.advance(1000)
  return replica
}

test('a full replica refuses values, takes records, serves reads, and takes values again with room', async () => {
  const replica = await fullReplica()
  const write = replica.write('key', 3)
  const merge = replica.merge([['other', replica.envelope('other', 1)]])
  const meta = replica.send('persist', { writes: [{ name: 'meta', value: Buffer.from('1') }] })
  const read = replica.read('key')
  await replica.clock.settle()
  assert.equal([write, merge, meta].map(answerOf), ['DISK_FULL', 'DISK_FULL', undefined])
  assert.equal(read.result, replica.envelope('key', 2))
  replica.freeBytes = PLENTY
  await replica.clock.advance(1000)
  const after = replica.write('key', 3)
  await replica.clock.settle()
  assert.is(answerOf(after), undefined)
})

test('a full replica acknowledges a version that it holds, and answers an older one with the newer', async () => {
  const replica = await fullReplica()
  const [older, same, higher] = [1, 2, 3].map((version) => replica.write('key', version))
  await replica.clock.settle()
  assert.equal(
    [same, higher].map((one) => answerOf(one!)),
    [undefined, 'DISK_FULL']
  )
  assert.equal(refusalOf(older!), newer(replica.version(2)))
})

test('a full replica takes tombstones and the entries of read repair', async () => {
  const replica = await fullReplica()
  const repair = replica.repair('repaired', 1)
  const remove = replica.remove('key', 3)
  await replica.clock.settle()
  assert.equal([repair, remove].map(answerOf), [undefined, undefined])
  replica.freeBytes = LAST_BYTES - 1
  await replica.clock.advance(1000)
  const last = replica.repair('last', 1)
  await replica.clock.settle()
  assert.is(answerOf(last), 'DISK_FULL')
})

test('of a block, a full replica stores the absent entries, and says that it is full', async () => {
  const replica = await fullReplica()
  const merge = replica.merge([
    ['gone', replica.tombstone('gone', 1)],
    ['value', replica.envelope('value', 1)]
  ])
  const absent = replica.merge([['too', replica.tombstone('too', 1)]])
  await replica.clock.settle()
  assert.equal([merge, absent].map(answerOf), ['DISK_FULL', []])
  assert.ok(replica.stored('gone') !== undefined && replica.stored('too') !== undefined)
  assert.is(replica.stored('value'), undefined)
})

test.run()
