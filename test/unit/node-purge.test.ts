// Whole nodes that purge: tombstones leave every disk, and no deleted value comes back.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { asEnvelope, isTombstone } from '../../lib/entry/envelope.js'
import { parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { MiB } from '../../lib/limits.js'
import { renounce } from '../../lib/node/store-identity.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { Store } from '../../lib/storage/store.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { type SimNode, seeded } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node/purge')

const QUICK = { purgeAfterMs: 2000, purgeEveryMs: 1000 }
const KEYS = 40

async function contentsOf(store: Store): Promise<{ live: string[]; tombstones: number }> {
  const scan = store.scan(slotScan(0, SLOTS - 1))
  const live: string[] = []
  let tombstones = 0
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [stored, envelope] of found) {
      if (isTombstone(asEnvelope(envelope))) tombstones += 1
      else live.push(Buffer.from(parseDataKey(stored)!.key).toString())
    }
  }
  await scan.close()
  return { live, tombstones }
}

async function tombstonesIn(ring: SimRing): Promise<number> {
  let count = 0
  for (const { store } of ring.running) count += (await contentsOf(store)).tombstones
  return count
}

async function liveIn(ring: SimRing): Promise<number> {
  let count = 0
  for (const { store } of ring.running) count += (await contentsOf(store)).live.length
  return count
}

async function ringOf(seed: number, members: number, options = {}): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(members), { ...QUICK, ...options })
  await ring.untilWhole(members)
  return ring
}

async function putAll(ring: SimRing, node: SimNode, prefix = 'key'): Promise<void> {
  for (let key = 0; key < KEYS; key++) await ring.wait(node.put(`${prefix}-${key}`, `value-${key}`))
}

async function deleteAll(ring: SimRing, node: SimNode): Promise<void> {
  for (let key = 0; key < KEYS; key++) assert.ok(await ring.wait(node.delete(`key-${key}`)))
}

async function assertGone(ring: SimRing): Promise<void> {
  for (const node of ring.running) {
    for (let key = 0; key < KEYS; key++) assert.is(await ring.wait(node.get(`key-${key}`)), undefined)
  }
}

async function untilForgotten(ring: SimRing, limitMs = 40_000): Promise<void> {
  for (let passed = 0; passed < limitMs; passed += 1000) {
    if ((await tombstonesIn(ring)) === 0) return
    await ring.clock.advance(1000)
  }
  throw new Error(`${await tombstonesIn(ring)} tombstones are left after ${limitMs} ms`)
}

test('tombstones leave every disk, and live values stay', async () => {
  const ring = await ringOf(61, 5)
  const node = ring.node('n0')
  await putAll(ring, node)
  await putAll(ring, node, 'other')
  await deleteAll(ring, node)
  assert.is(await tombstonesIn(ring), 3 * KEYS)
  await untilForgotten(ring)
  await assertGone(ring)
  for (let key = 0; key < KEYS; key++) assert.is(await ring.wait(node.get(`other-${key}`)), `value-${key}`)
  await putAll(ring, node)
  for (let key = 0; key < KEYS; key++) assert.is(await ring.wait(ring.node('n1').get(`key-${key}`)), `value-${key}`)
  ring.close()
})

test('expired values leave every disk, and their slots accept new values', async () => {
  const ring = await ringOf(67, 4)
  const node = ring.node('n0')
  for (let key = 0; key < KEYS; key++) await ring.wait(node.put(`key-${key}`, 'short', 'quorum', 3000))
  await ring.wait(node.put('key-0', 'stays'))
  for (let round = 0; round < 40 && (await liveIn(ring)) > 3; round++) await ring.clock.advance(1000)
  assert.is(await liveIn(ring), 3)
  assert.is(await ring.wait(node.get('key-0')), 'stays')
  assert.is(await ring.wait(node.get('key-1')), undefined)
  ring.close()
})

test('nothing is purged while an owner is away; once it is back and up to date, all owners purge', async () => {
  const metrics = new KeptMetrics()
  const waiting = () => metrics.values.get('ringd_purge_waiting_slots')
  const ring = await ringOf(62, 3, { metrics })
  const node = ring.node('n0')
  await putAll(ring, node)
  ring.kill('n2')
  await deleteAll(ring, node)
  await ring.clock.advance(20_000)
  assert.is(await tombstonesIn(ring), 2 * KEYS)
  assert.is(waiting(), KEYS)
  await ring.start('n2', { ...QUICK, metrics })
  await ring.untilWhole(3)
  for (let round = 0; round < 20 && (await tombstonesIn(ring)) > 0; round++) {
    // The read brings the returned owner the tombstones it has missed.
    await assertGone(ring)
    await ring.clock.advance(1000)
  }
  await assertGone(ring)
  for (const { store } of ring.running) assert.equal((await contentsOf(store)).live, [])
  await ring.clock.advance(5000)
  assert.is(waiting(), 0)
  ring.close()
})

test('an owner returns with all deleted values and a clock an hour wrong: none of them comes back', async () => {
  for (const skewMs of [-3_600_000, 3_600_000]) {
    const ring = await ringOf(68, 4)
    const node = ring.node('n0')
    await putAll(ring, node)
    ring.kill('n3')
    await deleteAll(ring, node)
    await ring.start('n3', { ...QUICK, skewMs })
    await ring.untilWhole(4)
    for (let round = 0; round < 30; round++) {
      for (let key = 0; key < KEYS; key++) assert.is(await ring.wait(node.get(`key-${key}`)), undefined)
      await ring.clock.advance(1000)
    }
    // The owner with the wrong clock takes the tombstones and purges them by the time of the others.
    assert.is(await liveIn(ring), 0)
    await untilForgotten(ring)
    ring.close()
  }
})

test('a member removed while away cannot bring back values that were deleted and purged since', async () => {
  const ring = await ringOf(63, 5)
  const node = ring.node('n0')
  await putAll(ring, node)
  const dead = ring.node('n3').node.storeId
  const held = (await contentsOf(ring.node('n3').store)).live.length
  assert.ok(held > 0)
  ring.kill('n3')
  await ring.clock.advance(1000)
  await ring.wait(node.node.remove(dead, { force: false }))
  await ring.untilWhole(4)
  await deleteAll(ring, node)
  await untilForgotten(ring)
  const back = await ring.start('n3', QUICK)
  let failed = false
  void back.node.failed.then(() => {
    failed = true
  })
  await ring.until(() => failed, 60_000, 'the removed member has handed over what it held')
  assert.equal((await contentsOf(back.store)).live, [])
  await ring.stop('n3')
  await ring.start('n3', QUICK)
  await ring.untilWhole(5)
  await assertGone(ring)
  ring.close()
})

test('a joiner whose disk still holds long deleted values is not believed, during its pull and later', async () => {
  for (const seed of [1, 2]) {
    const ring = new SimRing(seed, { delayMsMin: 5, delayMsMax: 80 })
    await ring.startAll(names(5), QUICK)
    await ring.untilWhole(5)
    const node = ring.node('n0')
    await putAll(ring, node)
    const dead = ring.node('n3').node.storeId
    ring.kill('n3')
    await ring.clock.advance(1000)
    await ring.wait(node.node.remove(dead, { force: false }))
    await ring.untilWhole(4)
    await deleteAll(ring, node)
    await untilForgotten(ring)
    // As after a store that went backwards: the old entries stay on disk, and the node owns slots again at once.
    await renounce(ring.disks.get('n3')!, seeded(seed), { mayReturn: true })
    await ring.start('n3', QUICK)
    const seen: string[] = []
    for (let round = 0; round < 150; round++) {
      for (const reader of ring.running) {
        for (let key = 0; key < KEYS; key++) {
          const found = (value: string | undefined) => void (value !== undefined && seen.push(`key-${key}`))
          reader.get(`key-${key}`).then(found, () => {})
        }
      }
      await ring.clock.advance(40)
    }
    assert.equal(seen, [])
    await ring.untilWhole(5)
    await assertGone(ring)
    ring.close()
  }
})

test('after deletes, joins and a leave at once, no value comes back and no tombstone remains', async () => {
  for (const seed of [64, 65, 66]) {
    const ring = await ringOf(seed, 4)
    const node = ring.node('n0')
    await putAll(ring, node)
    await ring.startAll(names(2, 4), QUICK)
    await deleteAll(ring, node)
    await ring.untilWhole(6)
    const leaver = ring.node('n1')
    await ring.wait(leaver.node.leave({ force: false }))
    let left = false
    void leaver.node.left.then(() => {
      left = true
    })
    for (let round = 0; round < 60 && !left; round++) {
      await assertGone(ring)
      await ring.clock.advance(500)
    }
    await ring.until(() => left, 60_000, 'n1 has left')
    await ring.stop('n1')
    await ring.untilWhole(5)
    await untilForgotten(ring, 60_000)
    await assertGone(ring)
    for (const { store } of ring.running) assert.equal((await contentsOf(store)).live, [])
    ring.close()
  }
})

test.run()
