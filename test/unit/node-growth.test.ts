// Whole nodes on simulated seams: how a ring is founded and grows, and which nodes cannot join.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node growth')

test('a node without addresses to join founds a ring of one and serves', async () => {
  const ring = new SimRing(1)
  const node = await ring.start('n0')
  await ring.untilWhole(1, 100)
  await ring.wait(node.put('a', '1'))
  assert.is(await ring.wait(node.get('a')), '1')
  assert.is(await ring.wait(node.delete('a')), true)
  assert.is(await ring.wait(node.delete('a')), false)
  ring.close()
})

test('one grows to three in one view', async () => {
  const ring = new SimRing(2)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  assert.is(ring.node('n0').node.view!.number, 2)
  ring.close()
})

test('ten nodes that join at once make one or two views', async () => {
  const ring = new SimRing(3)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  const before = ring.node('n0').node.view!.number
  await ring.startAll(names(10, 3))
  await ring.untilWhole(13, 60_000)
  const views = ring.node('n0').node.view!.number - before
  assert.ok(views <= 2, `${views} views`)
  ring.close()
})

test('each node joins by the address of the one before it', async () => {
  const ring = new SimRing(4)
  await ring.start('n0')
  for (const name of names(5, 1)) await ring.start(name, { join: ring.running.at(-1)!.network.addresses() })
  await ring.untilWhole(6)
  ring.close()
})

test('a joiner finds the ring although most of its addresses are dead', async () => {
  const ring = new SimRing(5)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  await ring.start('n3', { join: ['/memory/901', '/memory/902', ...ring.node('n1').network.addresses()] })
  await ring.untilWhole(4)
  ring.close()
})

test('joiners that meet each other first still find the ring', async () => {
  const ring = new SimRing(62)
  await ring.start('n0')
  const [founder] = ring.node('n0').network.addresses()
  const [one, other] = ['/memory/1001', '/memory/1002']
  // No joiner is given the founder's address often enough to meet it first.
  await ring.start('n1', { address: one!, join: [...new Array(9).fill(other), founder!] })
  await ring.start('n2', { address: other!, join: [...new Array(9).fill(one), founder!] })
  await ring.untilWhole(3, 60_000)
  ring.close()
})

test('a joiner that dies before it is proposed never enters a view', async () => {
  for (let seed = 10; seed < 13; seed++) {
    const ring = new SimRing(seed)
    await ring.startAll(names(3))
    await ring.untilWhole(3)
    await ring.start('dead')
    await ring.clock.advance(100 + ring.random.next() * 250)
    ring.kill('dead')
    await ring.clock.advance(8000)
    assert.ok(ring.agrees(3), `seed ${seed}\n${ring.describe()}`)
    ring.close()
  }
})

test('a node of another ring that is told to join fails with WRONG_RING', async () => {
  const ring = new SimRing(20)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  await ring.start('stranger', { join: [] })
  await ring.clock.advance(500)
  ring.kill('stranger')
  const stranger = await ring.start('stranger')
  const error = await ring.wait(stranger.node.failed)
  assert.is(error.code, 'WRONG_RING')
  ring.kill('stranger')
  await ring.clock.advance(5000)
  assert.ok(ring.isWhole(3))
  ring.close()
})

test('a node that is to join one ring joins no other', async () => {
  const ring = new SimRing(22)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  const wrong = await ring.start('wrong', { ring: 'ab'.repeat(16) })
  await ring.clock.advance(10_000)
  assert.is(wrong.node.view, undefined)
  ring.kill('wrong')
  assert.ok(ring.isWhole(3))
  await ring.start('right', { ring: ring.node('n0').node.view!.founding.ringId })
  await ring.untilWhole(4)
  ring.close()
})

test('a node whose store belongs to another ring than the one that it is to join fails with WRONG_RING', async () => {
  const ring = new SimRing(23)
  const lone = await ring.start('n0')
  await ring.untilWhole(1)
  ring.kill('n0')
  const again = await ring.start('n0', { join: [], ring: 'ab'.repeat(16) })
  assert.is((await ring.wait(again.node.failed)).code, 'WRONG_RING')
  const fresh = await ring.start('fresh', { join: [], ring: lone.node.view!.founding.ringId })
  assert.is((await ring.wait(fresh.node.failed)).code, 'BAD_CONFIG')
  ring.close()
})

test('a joiner hears of a ring from no peer but those that it dialled to join by', async () => {
  const ring = new SimRing(24)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  const joins = { pinned: '/memory/999/p2p/friend', waiting: '/memory/999' }
  for (const [index, [name, join]] of Object.entries(joins).entries()) {
    const address = `/memory/${1001 + index}`
    const joiner = await ring.start(name, { address, join: [join] })
    await ring.wait(ring.node('n0').network.dial(`${address}/p2p/${name}`, 1000))
    await ring.clock.advance(10_000)
    assert.is(joiner.node.view, undefined, name)
    ring.kill(name)
  }
  assert.ok(ring.agrees(3), ring.describe())
  ring.close()
})

test('a malformed address fails the start with BAD_ADDRESS', async () => {
  const ring = new SimRing(21)
  const node = await ring.start('n0', { join: ['nonsense'] })
  assert.is((await ring.wait(node.node.failed)).code, 'BAD_ADDRESS')
  ring.close()
})

test.run()
