// Whole nodes that find and repair differences between owners by themselves: writes missed by one or by both owners, in
// few messages, and never damaged entries.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeEnvelope, encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { slotOf } from '../../lib/ring/slots.js'
import { newestConfig } from '../../lib/views/configs.js'
import { message, Steering } from '../sim/seams/steering.js'
import type { SimNode, SimNodeOptions } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node repair')

async function grown(seed: number, members: number, options: SimNodeOptions = {}): Promise<SimRing> {
  const ring = new SimRing(seed)
  // No hints, which would bring most missing entries before repair does.
  await ring.startAll(names(members), { hintBytesMax: 0, ...options })
  await ring.untilWhole(members, 60_000)
  return ring
}

function storedOf(key: string): Uint8Array {
  return dataKey(slotOf(Buffer.from(key)), Buffer.from(key))
}

function held(node: SimNode, key: string): string | undefined {
  const envelope = node.store.get(storedOf(key))
  return envelope && Buffer.from(decodeEnvelope(Buffer.from(key), envelope).value).toString()
}

async function fill(ring: SimRing, via: string, keys: readonly string[], value: string): Promise<void> {
  for (const key of keys) await ring.wait(ring.node(via).put(key, value))
}

const KEYS = Array.from({ length: 60 }, (_, at) => `key-${at}`)

test('writes that one owner missed reach it within twelve seconds, without a read', async () => {
  for (const missing of ['n0', 'n1', 'n2']) {
    const ring = await grown(1, 3)
    const steering = new Steering(ring.hub)
    const lost = steering.lose(message('write', undefined, [missing]))
    const via = missing === 'n0' ? 'n1' : 'n0'
    await fill(ring, via, KEYS, 'new')
    lost.release()
    assert.ok(KEYS.every((key) => held(ring.node(missing), key) === undefined))
    await ring.until(() => KEYS.every((key) => held(ring.node(missing), key) === 'new'), 12_000, 'all is there')
    ring.close()
  }
})

test('equal stores cost one small message per pair and session', async () => {
  const ring = await grown(2, 4)
  await fill(ring, 'n0', KEYS, 'value')
  await ring.clock.advance(15_000)
  const steering = new Steering(ring.hub)
  const asked: string[] = []
  steering.lose(({ from, to, body }) => {
    if (body.repairSums !== undefined) {
      asked.push([from, to].sort().join('-'))
      assert.ok(body.repairSums.sums.length < 64)
    }
    assert.is(body.repairVersions ?? body.repairEntries, undefined)
    return false
  })
  await ring.clock.advance(100_000)
  const pairs = new Set(asked)
  assert.is(pairs.size, 6)
  for (const pair of pairs) {
    const rounds = asked.filter((one) => one === pair).length
    assert.ok(rounds >= 9 && rounds <= 13, `${pair}: ${rounds} messages in 100 s`)
  }
  ring.close()
})

test('a member that comes back is sent the entries that changed, and hardly more', async () => {
  const ring = await grown(3, 3)
  const many = Array.from({ length: 400 }, (_, at) => `entry-${at}`)
  const value = 'x'.repeat(1000)
  await fill(ring, 'n0', many, value)
  await ring.clock.advance(1000)
  ring.kill('n2')
  await ring.clock.advance(20_000)
  const changed = many.filter((_, at) => at % 10 === 0)
  await fill(ring, 'n0', changed, value.replace('x', 'y'))
  let received = 0
  ring.hub.onDelivery = (_from, to, _what, bytes) => {
    if (to === 'n2') received += bytes.length
  }
  await ring.start('n2')
  const isBack = () => changed.every((key) => held(ring.node('n2'), key)?.startsWith('y'))
  await ring.until(isBack, 10_000, 'n2 has what changed')
  await ring.clock.advance(10_000)
  const bytes = changed.length * (value.length + 50)
  assert.ok(received / bytes < 2, `received ${received} bytes for ${bytes}`)
  ring.close()
})

test('when both sides have newer entries, both end with the newest of each', async () => {
  const ring = await grown(4, 3)
  const steering = new Steering(ring.hub)
  await fill(ring, 'n0', KEYS, 'old')
  await ring.clock.advance(1000)
  const [toOne, toTwo] = [KEYS.slice(0, 30), KEYS.slice(20)]
  let gate = steering.lose(message('write', undefined, ['n1']))
  await fill(ring, 'n0', toTwo, 'second')
  gate.release()
  gate = steering.lose(message('write', undefined, ['n2']))
  await fill(ring, 'n0', toOne, 'third')
  gate.release()
  const isEqual = () =>
    ring.running.every(
      (node) =>
        toOne.every((key) => held(node, key) === 'third') && KEYS.slice(30).every((key) => held(node, key) === 'second')
    )
  assert.is(isEqual(), false)
  await ring.until(isEqual, 14_000, 'all hold the newest')
  ring.close()
})

test('a damaged entry is neither passed on nor replaced by an older one', async () => {
  const ring = await grown(5, 3, { scrubMs: 0 })
  const steering = new Steering(ring.hub)
  await fill(ring, 'n0', ['a'], 'old')
  await ring.clock.advance(1000)
  const lost = steering.lose(message('write', undefined, ['n2']))
  await fill(ring, 'n0', ['a'], 'new')
  lost.release()
  // The two owners that hold the newest entry cannot reach each other, and one copy is damaged. Only an older value
  // could replace it.
  const stored = storedOf('a')
  const rotten = Buffer.from(ring.node('n1').store.get(stored)!)
  rotten[rotten.length - 1]! ^= 1
  await ring.node('n1').store.write([{ type: 'put', key: stored, value: rotten }])
  ring.hub.partition(['n0'], ['n1', 'n2'])
  await ring.clock.advance(25_000)
  assert.is(held(ring.node('n2'), 'a'), 'old')
  assert.equal(Buffer.from(ring.node('n1').store.get(stored)!), rotten)
  ring.hub.heal()
  const isSound = () =>
    ring.running.every((node) => {
      const envelope = Buffer.from(node.store.get(stored)!)
      return !envelope.equals(rotten) && held(node, 'a') === 'new'
    })
  await ring.until(isSound, 30_000, 'all hold the sound entry')
  ring.close()
})

test('only owners of a slot repair it, and a session ends when the ring changes', async () => {
  const ring = await grown(6, 5)
  const steering = new Steering(ring.hub)
  const lost = steering.lose(message('write', undefined, ['n4']))
  await fill(ring, 'n0', KEYS, 'new')
  lost.release()
  const held = steering.hold(message('repairVersions'))
  await ring.clock.advance(12_000)
  assert.ok(held.caught.length > 0, 'a list is under way')
  await ring.start('n5')
  await ring.until(() => ring.agrees(6), 30_000, 'n5 is a member')
  held.release()
  await ring.untilWhole(6)
  await ring.clock.advance(40_000)
  const view = ring.node('n0').node.view!
  for (const key of KEYS) {
    const { owners } = newestConfig(view.configs.windows[slotOf(Buffer.from(key))]!)
    for (const node of ring.running) {
      const isHeld = node.store.get(storedOf(key)) !== undefined
      assert.is(isHeld, owners.includes(node.node.storeId), `${node.name} and ${key}`)
    }
  }
  ring.close()
})

test('repair by hand reports what it compared and repaired', async () => {
  const ring = await grown(7, 3, { repairEveryMs: 0 })
  const steering = new Steering(ring.hub)
  const lost = steering.lose(message('write', undefined, ['n2']))
  await fill(ring, 'n0', KEYS, 'new')
  lost.release()
  await ring.clock.advance(30_000)
  assert.is(held(ring.node('n2'), KEYS[0]!), undefined)
  const { node } = ring.node('n2')
  const slot = slotOf(Buffer.from(KEYS[0]!))
  const started = await ring.wait(node.repair({ first: slot, last: slot }))
  assert.is(started.running, true)
  await ring.clock.advance(3000)
  const one = await ring.wait(node.repair())
  assert.equal([one.running, one.owners, one.compared, one.slots, one.differing], [false, 2, 2, 2, 1])
  assert.equal([one.receivedEntries, one.sentEntries, one.failures], [1, 0, []])
  assert.is(held(ring.node('n2'), KEYS[0]!), 'new')
  await ring.wait(node.repair({ first: 0, last: 16383 }))
  await ring.clock.advance(5000)
  const all = await ring.wait(node.repair())
  assert.equal([all.receivedEntries, all.running], [KEYS.length - 1, false])
  ring.close()
})

test('a sum that became wrong when an entry was damaged is computed again', async () => {
  for (const rotting of ['n0', 'n1', 'n2']) {
    const ring = await grown(9, 3, { scrubMs: 0 })
    await fill(ring, 'n0', ['a'], 'value')
    await ring.clock.advance(1000)
    const { store } = ring.node(rotting)
    const rotten = Buffer.from(store.get(storedOf('a'))!)
    // The damage is in the version, from which sums are computed.
    rotten[10]! ^= 1
    await store.write([{ type: 'put', key: storedOf('a'), value: rotten }])
    await ring.wait(ring.node('n0').put('a', 'next', 'one'))
    await ring.clock.advance(45_000)
    assert.ok(ring.running.every((node) => held(node, 'a') === 'next'))
    for (const { node } of ring.running) {
      const { rounds } = await ring.wait(node.repair())
      assert.ok(
        rounds.every(({ differing }) => (differing ?? 0) === 0),
        JSON.stringify(rounds)
      )
    }
    ring.close()
  }
})

test('one differing entry in a slot with thousands is found alone', async () => {
  const ring = await grown(8, 3)
  const stores = ring.running.map(({ store }) => store)
  const version = makeVersion(ring.clock.now(), 0, Buffer.alloc(8, 1))
  const crowd = Array.from({ length: 5000 }, (_, at) => `{tag}${at}`)
  ring.close()
  for (const [at, store] of stores.entries()) {
    await store.reopen()
    const kept = at === 2 ? crowd.filter((_, index) => index % 1000 !== 7) : crowd
    const value = Buffer.from('value')
    const put = (key: string) => encodeEnvelope(Buffer.from(key), { version, tombstone: false, value })
    await store.write(kept.map((key) => ({ type: 'put', key: storedOf(key), value: put(key) })))
  }
  await ring.startAll(names(3))
  await ring.until(() => crowd.every((key) => held(ring.node('n2'), key) === 'value'), 20_000, 'all are there')
  await ring.clock.advance(3000)
  const { rounds } = await ring.wait(ring.node('n2').node.repair())
  assert.equal(
    rounds.map(({ error }) => error),
    [null, null]
  )
  ring.close()
})

test.run()
