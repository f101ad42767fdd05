// How long synced batches take, and the condition of a slow disk.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskSpeed } from '../../lib/actors/replica/disk-speed.js'
import { Conditions } from '../../lib/conditions.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('replica-disk-speed')

function harness() {
  const clock = new VirtualClock()
  const conditions = new Conditions({ log: silent, metrics: noMetrics })
  const speed = new DiskSpeed({ clock, metrics: noMetrics, conditions })
  const batch = async (ms: number) => {
    const ended = speed.began()
    await clock.advance(ms)
    ended()
  }
  return { clock, conditions, speed, batch, says: () => conditions.present.map(({ says }) => says) }
}

test('the time of the last batches is known, also that of a batch under way', async () => {
  const { clock, speed, batch } = harness()
  assert.is(speed.syncMs, 0)
  await batch(30)
  assert.is(speed.syncMs, 30)
  speed.began()
  await clock.advance(700)
  assert.is(speed.syncMs, 700)
})

test('one late batch is no slow disk, two are, and quick ones end it', async () => {
  const { batch, says } = harness()
  await batch(1500)
  assert.equal(says(), [])
  await batch(2500)
  assert.equal(says(), ['the disk of this peer takes 2.5 s to sync a write'])
  for (let count = 0; count < 3; count++) await batch(10)
  assert.is(says().length, 1)
  await batch(10)
  assert.equal(says(), [])
})

test('a batch that hangs makes the disk slow while it is under way', async () => {
  const { clock, speed, says } = harness()
  const ended = speed.began()
  await clock.advance(9000)
  assert.match(says()[0] ?? '', /takes \d\.\d s/)
  ended()
  assert.is(says().length, 1)
})

test.run()
