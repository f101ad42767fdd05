// Whole nodes of which one is down for long: the others evict it and make its copies again. A minority evicts no
// member, and neither does a short absence. A member that returns hands its entries over and joins as a new one.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EMPTY_BYTES } from '../../lib/bytes.js'
import type { StatusReport } from '../../lib/client/reports.js'
import { History } from '../sim/history.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import type { SimNode } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node/eviction')
const EVICT_MS = 3000
const OPTIONS = { evictAfterMs: EVICT_MS, weight: 0.25 }
/** Time to notice a kill, to wait for `evictAfterMs`, and to vote. */
const EVICTED_MS = EVICT_MS + 8000
const LOAD = { keys: 40, readers: 4, writePauseMs: 400, readPauseMs: 60 }

async function grown(seed: number, count: number, options = {}): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(count), { ...OPTIONS, ...options })
  await ring.untilWhole(count)
  return ring
}

const status = (ring: SimRing, { node }: SimNode) =>
  ring.wait(node.report('status', EMPTY_BYTES)) as Promise<StatusReport>

/** The number of members that each node knows. */
const sizes = (ring: SimRing) => ring.running.map(({ node }) => node.view!.members.size)

/** Runs until the node ends because it was removed. */
async function untilRemoved(ring: SimRing, node: SimNode): Promise<void> {
  let code: string | undefined
  void node.node.failed.then((error) => {
    code = error.code
  })
  await ring.until(() => code !== undefined, 90_000, `${node.name} learns that it is out`)
  assert.is(code, 'REMOVED')
  await ring.stop(node.name)
}

test('a member killed under load is evicted, and every slot has its three copies again', async () => {
  const metrics = new KeptMetrics()
  const short = () => metrics.values.get('ringd_ring_short_slots')
  const ring = await grown(1, 5, { evictAfterMs: 8000, metrics })
  const history = new History(ring, LOAD)
  await ring.clock.advance(2000)
  const victim = ring.node('n2').node.storeId
  ring.kill('n2')
  await ring.clock.advance(5000)
  const [first] = ring.running
  const down = await status(ring, first!)
  assert.is(down.members.find(({ storeId }) => storeId === victim)!.state, 'down')
  assert.match(down.members.find(({ storeId }) => storeId === victim)!.reason, /^no link, and no answer/)
  assert.ok(down.slots.short > 0)
  assert.ok(short()! > 0)
  await ring.until(() => sizes(ring).every((size) => size === 4), 20_000, 'it is evicted')
  await ring.untilWhole(4)
  await ring.clock.advance(2000)
  assert.is(short(), 0)
  const whole = await status(ring, first!)
  assert.equal({ short: whole.slots.short, etaS: whole.slots.etaS }, { short: 0, etaS: 0 })
  await history.stop()
  await history.readAll()
  assert.equal(history.violations, [])
  ring.close()
})

test('a member that is back in time stays, and the view stays the same', async () => {
  const ring = await grown(2, 5)
  const { number } = ring.node('n0').node.view!
  ring.kill('n3')
  await ring.clock.advance(EVICT_MS - 500)
  await ring.start('n3', OPTIONS)
  await ring.clock.advance(20_000)
  await ring.untilWhole(5)
  assert.is(ring.node('n0').node.view!.number, number)
  ring.close()
})

test('a restarted member counts down times from what it sees itself', async () => {
  const ring = await grown(3, 5)
  ring.kill('n4')
  await ring.clock.advance(2000)
  for (const name of names(4)) ring.kill(name)
  await ring.clock.advance(60_000)
  for (const name of names(4)) await ring.start(name, OPTIONS)
  await ring.clock.advance(EVICT_MS - 500)
  assert.equal(sizes(ring), [5, 5, 5, 5])
  await ring.until(() => sizes(ring).every((size) => size === 4), EVICTED_MS, 'it is evicted')
  ring.close()
})

test('the ring keeps as many members as there are copies, and 0 evicts no member', async () => {
  const three = await grown(4, 3)
  three.kill('n2')
  await three.clock.advance(15 * EVICT_MS)
  assert.equal(sizes(three), [3, 3])
  three.close()
  const never = await grown(5, 5, { evictAfterMs: 0 })
  never.kill('n2')
  await never.clock.advance(120_000)
  assert.equal(sizes(never), [5, 5, 5, 5])
  never.close()
})

test('a member that is cut off is evicted, hands over its entries after the cut, and joins as a new one', async () => {
  const ring = await grown(6, 5)
  const node = ring.node('n4')
  const others = names(4)
  const old = node.node.storeId
  await ring.wait(node.put('only-here', 'before'))
  ring.hub.partition(['n4'], others)
  for (const name of others) ring.hub.reset('n4', name)
  await ring.until(
    () =>
      sizes(ring)
        .slice(0, 4)
        .every((size) => size === 4),
    EVICTED_MS,
    'it is evicted'
  )
  assert.is(node.node.view!.members.size, 5, 'it has not heard of it')
  await ring.wait(ring.node('n0').put('only-here', 'after'))
  await ring.clock.advance(15_000)
  ring.hub.heal()
  await untilRemoved(ring, node)
  await ring.start('n4', OPTIONS)
  await ring.untilWhole(5, 60_000)
  assert.is.not(ring.node('n4').node.storeId, old)
  for (const one of ring.running) assert.is(await ring.wait(one.get('only-here')), 'after')
  ring.close()
})

test('a minority evicts no member, however long it lasts', async () => {
  const ring = await grown(7, 5)
  const before = ring.node('n0').node.view!.number
  ring.hub.partition(['n0', 'n1'], ['n2', 'n3', 'n4'])
  await ring.clock.advance(20 * EVICT_MS)
  assert.is(ring.node('n0').node.view!.number, before)
  assert.is(ring.node('n1').node.view!.number, before)
  ring.close()
})

test('of two members that die together, the second is evicted once the slots of the first have settled', async () => {
  const ring = await grown(8, 8, { weight: 0.0625 })
  ring.kill('n6')
  ring.kill('n7')
  const seen: number[] = []
  const views = () => {
    const size = ring.node('n0').node.view!.members.size
    if (seen.at(-1) !== size) seen.push(size)
    return size === 6 && ring.isWhole(6)
  }
  await ring.until(views, 20 * EVICT_MS, 'both are out, and all slots are whole')
  assert.equal(seen, [8, 7, 6])
  ring.close()
})

test('when both other owners stay down, the last copy is used, late', async () => {
  const ring = await grown(9, 5)
  for (let key = 0; key < 60; key++) await ring.wait(ring.node('n0').put(`key-${key}`, 'value'))
  ring.kill('n3')
  ring.kill('n4')
  await ring.clock.advance(9 * EVICT_MS)
  assert.equal(sizes(ring), [5, 5, 5], 'two of five may be a fault of the network')
  await ring.until(() => ring.isWhole(3), 20 * EVICT_MS, 'three are left, and all slots are whole')
  for (const one of ring.running) {
    for (let key = 0; key < 60; key++) assert.is(await ring.wait(one.get(`key-${key}`)), 'value')
  }
  ring.close()
})

test('an eviction that other members refuse does not delay a joiner', async () => {
  const ring = await grown(10, 5)
  // n0 and n1 do not hear n4, and do not ask others about it.
  const deaf = ['n0', 'n1']
  ring.hub.filter = {
    request: ({ from, body }, _timeoutMs, send, done) => {
      if (!deaf.includes(from) || body.pingThrough === undefined) send(done)
    },
    passesRumor: () => true
  }
  ring.hub.partition(deaf, ['n4'])
  for (const name of deaf) ring.hub.reset(name, 'n4')
  await ring.clock.advance(3 * EVICTED_MS)
  assert.equal(sizes(ring), [5, 5, 5, 5, 5])
  const joiner = await ring.start('n5', { ...OPTIONS, join: ring.node('n2').network.addresses() })
  await ring.until(() => joiner.node.view?.isMember === true, 10_000, 'the newcomer is a member')
  assert.ok(joiner.node.view!.members.has(ring.node('n4').node.storeId))
  ring.close()
})

test.run()
