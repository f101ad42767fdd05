// The space reserved on the disk. Below it client writes and transfers are refused; metadata is still written, reads
// are served.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FreeSpace, RESERVE_BYTES } from '../../lib/actors/replica/free-space.js'
import { versionOf } from '../../lib/entry/envelope.js'
import { silent } from '../../lib/logger.js'
import { answerOf, ReplicaHarness } from '../sim/harness/replica-harness.js'
import { config } from '../sim/harness/ring-views.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('replica/free-space')

test('writes are refused below the reserve, and accepted again when there is space', async () => {
  const clock = new VirtualClock()
  const metrics = new KeptMetrics()
  let free = RESERVE_BYTES
  const watch = new FreeSpace({ clock, log: silent, metrics, freeBytes: async () => free })
  await clock.settle()
  assert.is(watch.refusal, undefined)
  free = RESERVE_BYTES - 1
  await clock.advance(1000)
  assert.is(watch.refusal?.code, 'DISK_FULL')
  assert.is(metrics.values.get('ringd_storage_full'), 1)
  free = RESERVE_BYTES
  await clock.advance(1000)
  assert.is(watch.refusal, undefined)
  assert.is(metrics.values.get('ringd_storage_full'), 0)
  watch.stop()
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

test('below the reserve entries are refused, metadata is written, and reads are served', async () => {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')] })
  await replica.clock.settle()
  const before = replica.write('key', 1)
  await replica.clock.settle()
  replica.freeBytes = RESERVE_BYTES - 1
  await replica.clock.advance(1000)
  const write = replica.write('key', 2)
  const merge = replica.send('merge', { entries: [] })
  const meta = replica.send('persist', { writes: [{ name: 'meta', value: Buffer.from('1') }] })
  const read = replica.read('key')
  await replica.clock.settle()
  assert.equal([before, write, merge, meta].map(answerOf), [undefined, 'DISK_FULL', 'DISK_FULL', undefined])
  assert.equal(read.result, replica.envelope('key', 1))
  replica.freeBytes = RESERVE_BYTES
  await replica.clock.advance(1000)
  const after = replica.write('key', 2)
  await replica.clock.settle()
  assert.is(answerOf(after), undefined)
})

test('without space a write of a stored version is acknowledged, and an older one gets the newer version', async () => {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')] })
  await replica.clock.settle()
  const before = replica.write('key', 2)
  await replica.clock.settle()
  replica.freeBytes = RESERVE_BYTES - 1
  await replica.clock.advance(1000)
  const [older, same, newer] = [1, 2, 3].map((version) => replica.write('key', version))
  const other = replica.write('other', 1)
  await replica.clock.settle()
  assert.equal(
    [before, same, newer, other].map((one) => answerOf(one!)),
    [undefined, undefined, 'DISK_FULL', 'DISK_FULL']
  )
  assert.equal(older!.result, versionOf(replica.envelope('key', 2)))
})

test('while free space is unreadable, no write is refused', async () => {
  const clock = new VirtualClock()
  const freeBytes = () => Promise.reject(new TypeError('statfs'))
  const watch = new FreeSpace({ clock, log: silent, metrics: new KeptMetrics(), freeBytes })
  await clock.advance(3000)
  assert.is(watch.refusal, undefined)
  watch.stop()
})

test.run()
