// Whole nodes and expiring values, while the ring grows and clocks differ.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { asEnvelope, expiresAt } from '../../lib/entry/envelope.js'
import { dataKey } from '../../lib/entry/keys.js'
import { slotOf } from '../../lib/ring/slots.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node expiry')
const KEYS = Array.from({ length: 60 }, (_, at) => `key-${at}`)

async function grown(seed: number, count = 3): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(count))
  await ring.untilWhole(count)
  return ring
}

async function readAll(ring: SimRing, keys = KEYS): Promise<(string | undefined)[]> {
  const found: (string | undefined)[] = []
  for (const { name } of ring.running) {
    found.push(...(await ring.wait(Promise.all(keys.map((key) => ring.node(name).get(key))))))
  }
  return found
}

test('an expired value is absent everywhere, also at members that joined since', async () => {
  const ring = await grown(1)
  const ttlMs = 20_000
  const stays = KEYS.map((key) => `stays-${key}`)
  await ring.wait(Promise.all(KEYS.map((key) => ring.node('n0').put(key, 'v', 'quorum', ttlMs))))
  await ring.wait(Promise.all(stays.map((key) => ring.node('n0').put(key, 'v'))))
  const expiry = ring.node('n0').clock.now() + ttlMs
  await ring.startAll(names(3, 3))
  await ring.untilWhole(6)
  assert.ok((await readAll(ring)).every((value) => value === 'v'))
  for (const { store } of ring.running) {
    for (const key of KEYS) {
      const envelope = store.get(dataKey(slotOf(Buffer.from(key)), Buffer.from(key)))
      if (envelope !== undefined) assert.ok(Math.abs(expiresAt(asEnvelope(envelope))! - expiry) < 1000)
    }
  }
  await ring.until(() => ring.clock.now() >= expiry, ttlMs, 'the values expire')
  assert.ok((await readAll(ring)).every((value) => value === undefined))
  assert.is(await ring.wait(ring.node('n5').delete(KEYS[0]!)), false)
  await ring.startAll(names(1, 6))
  await ring.untilWhole(7)
  assert.ok((await readAll(ring)).every((value) => value === undefined))
  assert.ok((await readAll(ring, stays)).every((value) => value === 'v'))
  ring.close()
})

test('a write after the expiry is an ordinary write, and its value does not expire', async () => {
  const ring = await grown(2)
  const node = ring.node('n1')
  await ring.wait(node.put('k', 'old', 'quorum', 100))
  await ring.clock.advance(1000)
  assert.is(await ring.wait(node.get('k')), undefined)
  await ring.wait(node.put('k', 'new'))
  await ring.clock.advance(60_000)
  for (const { name } of ring.running) assert.is(await ring.wait(ring.node(name).get('k')), 'new')
  ring.close()
})

test('an expired value hides an older value at an owner that missed it', async () => {
  const ring = await grown(3)
  await ring.wait(ring.node('n0').put('k', 'old'))
  await ring.clock.advance(100)
  ring.kill('n2')
  await ring.wait(ring.node('n0').put('k', 'short', 'quorum', 500))
  await ring.clock.advance(1000)
  await ring.start('n2')
  await ring.untilWhole(3)
  for (const { name } of ring.running) assert.is(await ring.wait(ring.node(name).get('k')), undefined)
  ring.kill('n0')
  for (const { name } of ring.running) assert.is(await ring.wait(ring.node(name).get('k')), undefined)
  ring.close()
})

test('each peer decides expiry by its own clock', async () => {
  const ring = new SimRing(4)
  await ring.start('n0')
  await ring.start('n1', { skewMs: 1000 })
  await ring.start('n2', { skewMs: -1000 })
  await ring.untilWhole(3)
  await ring.wait(ring.node('n0').put('k', 'v', 'quorum', 5000))
  await ring.clock.advance(4500)
  assert.is(await ring.wait(ring.node('n1').get('k')), undefined)
  assert.is(await ring.wait(ring.node('n0').get('k')), 'v')
  await ring.clock.advance(1000)
  assert.is(await ring.wait(ring.node('n0').get('k')), undefined)
  assert.is(await ring.wait(ring.node('n2').get('k')), 'v')
  await ring.clock.advance(1000)
  assert.is(await ring.wait(ring.node('n2').get('k')), undefined)
  ring.close()
})

test.run()
