// Whole nodes that leave or are removed, release slots, and come back as new members. Also chains that stay short.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { StatusReport } from '../../lib/client/reports.js'
import { parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { MiB } from '../../lib/limits.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { MemoryStore } from '../../lib/storage/memory.js'
import type { Store } from '../../lib/storage/store.js'
import { newestConfig } from '../../lib/views/configs.js'
import { History } from '../sim/history.js'
import type { SimNode } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node/departure')

const LOAD = { keys: 60, readers: 6, writePauseMs: 400, readPauseMs: 40 }

async function slotsIn(store: Store): Promise<Set<number>> {
  const scan = store.scan(slotScan(0, SLOTS - 1))
  const slots = new Set<number>()
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [stored] of found) slots.add(parseDataKey(stored)!.slot)
  }
  await scan.close()
  return slots
}

/** The slots that the node stores and does not own. */
async function surplusOf({ node, store }: SimNode): Promise<number[]> {
  const { configs, self } = node.view!
  const owns = (slot: number) => newestConfig(configs.windows[slot]!).owners.includes(self)
  return [...(await slotsIn(store))].filter((slot) => !owns(slot))
}

async function copyOf(store: Store): Promise<Store> {
  const copy = new MemoryStore()
  const scan = store.scan({ from: Uint8Array.of(0), to: Uint8Array.of(255) })
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    await copy.write(found.map(([key, value]) => ({ type: 'put', key, value })))
  }
  await scan.close()
  return copy
}

async function fill(ring: SimRing, keys: number): Promise<void> {
  const [node] = ring.running
  for (let key = 0; key < keys; key++) await ring.wait(node!.put(`key-${key}`, `value-${key}`))
}

/** Runs until the node has left, and stops it. */
async function untilLeft(ring: SimRing, node: SimNode): Promise<void> {
  let left = false
  void node.node.left.then(() => {
    left = true
  })
  await ring.until(() => left, 60_000, `${node.name} has left`)
  await ring.stop(node.name)
}

test('a leaver hands all its entries over first, under load, and nothing is lost', async () => {
  const ring = new SimRing(11)
  await ring.startAll(names(5))
  await ring.untilWhole(5)
  const history = new History(ring, LOAD)
  await ring.clock.advance(3000)
  const leaver = ring.node('n1')
  await ring.wait(leaver.node.leave({ force: false }))
  await untilLeft(ring, leaver)
  assert.is((await slotsIn(leaver.store)).size, 0)
  await ring.untilWhole(4)
  await ring.clock.advance(2000)
  await history.stop()
  await history.readAll()
  assert.equal(history.violations, [])
  assert.equal(history.failures, [])
  assert.ok(history.writes > 100)
  for (const node of ring.running) assert.equal(await surplusOf(node), [])
  ring.close()
})

test('former owners end with no data of slots that others own', async () => {
  const ring = new SimRing(12)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  await fill(ring, 200)
  await ring.startAll(names(3, 3))
  await ring.untilWhole(6)
  await ring.clock.advance(10_000)
  let copies = 0
  for (const node of ring.running) {
    assert.equal(await surplusOf(node), [])
    copies += node.node.totals.entries
  }
  assert.is(copies, 3 * 200)
  ring.close()
})

test('a leave that would leave too few members is refused with a reason, unless it is forced', async () => {
  const ring = new SimRing(13)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  await fill(ring, 50)
  const node = ring.node('n2')
  const refusal = await ring.wait(node.node.leave({ force: false }).catch((error) => error))
  assert.is(refusal.code, 'TOO_FEW_MEMBERS')
  await ring.wait(node.node.leave({ force: true }))
  await untilLeft(ring, node)
  await ring.untilWhole(2)
  for (let key = 0; key < 50; key++) assert.is(await ring.wait(ring.node('n0').get(`key-${key}`)), `value-${key}`)
  ring.close()
})

test('a dead member is removed on request, and all copies are made again', async () => {
  const ring = new SimRing(14)
  await ring.startAll(names(5))
  await ring.untilWhole(5)
  await fill(ring, 200)
  const dead = ring.node('n3').node.storeId
  const asker = ring.node('n0').node
  const refusal = await ring.wait(asker.remove(dead, { force: false }).catch((error) => error))
  assert.is(refusal.code, 'BAD_REQUEST')
  ring.kill('n3')
  await ring.clock.advance(1000)
  await ring.wait(asker.remove(dead, { force: false }))
  await ring.until(() => ring.agrees(4), 20_000, 'the dead member is out')
  await ring.untilWhole(4)
  await ring.clock.advance(10_000)
  let copies = 0
  for (const { node } of ring.running) copies += node.totals.entries
  assert.is(copies, 3 * 200)
  ring.close()
})

test('a member removed while away hands over its entries and comes back as a new member', async () => {
  const ring = new SimRing(15)
  await ring.startAll(names(5))
  await ring.untilWhole(5)
  await fill(ring, 100)
  const before = ring.node('n3').node.storeId
  ring.kill('n3')
  await ring.clock.advance(1000)
  await ring.wait(ring.node('n0').node.remove(before, { force: false }))
  await ring.until(() => ring.agrees(4), 20_000, 'the dead member is out')
  await ring.untilWhole(4)
  const back = await ring.start('n3')
  let failure: { code: string } | undefined
  void back.node.failed.then((error) => {
    failure = error
  })
  await ring.until(() => failure !== undefined, 60_000, 'it learns that it is out')
  assert.is(failure!.code, 'REMOVED')
  await ring.stop('n3')
  assert.is((await slotsIn(back.store)).size, 0)
  const again = await ring.start('n3')
  await ring.untilWhole(5)
  assert.is.not(again.node.storeId, before)
  assert.is(ring.node('n0').node.view!.members.has(before), false)
  ring.close()
})

test('an old copy of a disk is recognised by the peers, and comes back as a new member', async () => {
  const ring = new SimRing(18)
  await ring.startAll(names(3))
  await ring.untilWhole(3)
  const old = await copyOf(ring.node('n2').store)
  const before = ring.node('n2').node.storeId
  await fill(ring, 50)
  // Long enough for the others to learn of these batches.
  await ring.clock.advance(2000)
  ring.kill('n2')
  await ring.start('n2')
  await ring.untilWhole(3)
  ring.kill('n2')
  const back = await ring.start('n2', { store: old })
  let failure: { code: string } | undefined
  void back.node.failed.then((error) => {
    failure = error
  })
  await ring.until(() => failure !== undefined, 20_000, 'it learns that it is an old copy')
  assert.is(failure!.code, 'DATA_DAMAGED')
  await ring.stop('n2')
  const again = await ring.start('n2')
  await ring.until(() => ring.agrees(4), 20_000, 'it is a new member')
  assert.is.not(again.node.storeId, before)
  ring.close()
})

test('chains are compacted, and a member that was away learns the ring from the snapshot', async () => {
  const ring = new SimRing(16)
  const short = { changesMax: 2 }
  await ring.startAll(names(4), short)
  await ring.untilWhole(4)
  await fill(ring, 100)
  ring.kill('n3')
  for (const name of names(4, 4)) {
    await ring.start(name, short)
    await ring.until(() => ring.agrees(5 + Number(name.slice(1)) - 4), 30_000, `${name} is in`)
    await ring.until(() => ring.running.every(({ node }) => settled(node.view!)), 30_000, 'settled')
    await ring.clock.advance(3000)
  }
  const stored = await namesOf(ring.node('n0').store)
  assert.ok(stored.includes('snapshot'))
  assert.ok(stored.filter((name) => name.startsWith('view/')).length <= 2)
  await ring.start('n3', short)
  await ring.untilWhole(8)
  for (let key = 0; key < 100; key++) assert.is(await ring.wait(ring.node('n3').get(`key-${key}`)), `value-${key}`)
  for (const name of names(8)) ring.kill(name)
  for (const name of names(8)) await ring.start(name, { ...short, join: [] })
  await ring.untilWhole(8)
  ring.close()
})

test('a member that died while leaving can be taken for dead as well, and the remaining copies are used', async () => {
  const ring = new SimRing(17)
  await ring.startAll(names(6))
  await ring.untilWhole(6)
  await fill(ring, 100)
  const [leaver, other] = [ring.node('n1').node, ring.node('n2').node]
  await ring.wait(leaver.leave({ force: false }))
  const asker = ring.node('n0').node
  await ring.until(() => !asker.view!.members.has(leaver.storeId), 20_000, 'the leaver is out')
  ring.kill('n1')
  ring.kill('n2')
  await ring.clock.advance(5000)
  assert.not(settled(asker.view!))
  const before = (await ring.wait(asker.report('status', Buffer.alloc(0)))) as StatusReport
  assert.equal(
    before.departing.map(({ storeId, state }) => [storeId, state]),
    [[leaver.storeId, 'down']]
  )
  assert.is(before.health, 'at-risk')
  await ring.wait(asker.remove(other.storeId, { force: false }))
  const refusal = await ring.wait(asker.remove(leaver.storeId, { force: false }).catch((error) => error))
  assert.is(refusal.code, 'TOO_FEW_OWNERS')
  await ring.wait(asker.remove(leaver.storeId, { force: true }))
  await ring.untilWhole(4, 60_000)
  assert.equal([...asker.view!.lost].sort(), [leaver.storeId, other.storeId].sort())
  const after = (await ring.wait(asker.report('status', Buffer.alloc(0)))) as StatusReport
  assert.equal([after.departing, after.health], [[], 'healthy'])
  await ring.wait(ring.node('n0').put('key-1', 'again'))
  assert.is(await ring.wait(ring.node('n3').get('key-1')), 'again')
  ring.close()
})

function settled(view: NonNullable<SimNode['node']['view']>): boolean {
  return view.configs.windows.every((window) => window.length === 1)
}

async function namesOf(store: Store): Promise<string[]> {
  const scan = store.scan({ from: Buffer.from('m'), to: Buffer.from('n') })
  const found: string[] = []
  for (let some = await scan.next(MiB); some.length > 0; some = await scan.next(MiB)) {
    for (const [key] of some) found.push(Buffer.from(key).toString().slice(1))
  }
  await scan.close()
  return found
}

test.run()
