// Whole nodes that compare all owners of the slots on order: differences are found, and only those.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { VerifyReport } from '../../lib/client/reports.js'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import type { VerifyOrder } from '../../lib/node/verification.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { message, Steering } from '../sim/seams/steering.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node verify')
const KEYS = Array.from({ length: 60 }, (_, at) => `key-${at}`)
const ALL = { first: 0, last: SLOTS - 1 }

async function filled(seed: number, members: number): Promise<SimRing> {
  const ring = new SimRing(seed)
  // Nothing is healed by itself.
  await ring.startAll(names(members), { repairEveryMs: 0, hintBytesMax: 0 })
  await ring.untilWhole(members, 60_000)
  for (const key of KEYS) await ring.wait(ring.node('n0').put(key, 'value'))
  await ring.clock.advance(1000)
  return ring
}

/** Runs a comparison to its end through one node. */
async function verified(ring: SimRing, name: string, order: Partial<VerifyOrder> = {}): Promise<VerifyReport> {
  const { node } = ring.node(name)
  const first = node.verify({ range: ALL, once: false, ...order })
  assert.is(first.running, true)
  await ring.until(() => !node.verify().running, 120_000, 'the comparison ends')
  const report = node.verify()
  const { equal, differing, changing, unanswered, moving } = report
  assert.is(equal + differing + changing + unanswered + moving, report.slots, 'each slot is in one state')
  assert.is(report.compared, report.slots)
  return report
}

/** Writes that one node never gets. */
async function missed(ring: SimRing, missing: string, keys: readonly string[]): Promise<void> {
  const lost = new Steering(ring.hub).lose(message('write', undefined, [missing]))
  for (const key of keys) await ring.wait(ring.node(missing === 'n0' ? 'n1' : 'n0').put(key, 'newer'))
  await ring.clock.advance(6000)
  lost.release()
}

const slotOfKey = (key: string) => slotOf(Buffer.from(key))

test('equal stores are equal through each peer, in few requests', async () => {
  const ring = await filled(21, 4)
  const steering = new Steering(ring.hub)
  let asked = 0
  steering.lose(({ body }) => {
    if (body.tally !== undefined) asked += 1
    return false
  })
  for (const name of names(4)) {
    asked = 0
    const report = await verified(ring, name)
    assert.equal([report.equal, report.differences, report.failures, report.cleared], [SLOTS, [], [], 0])
    assert.ok(asked <= 16 * 3, `${asked} requests`)
  }
  ring.close()
})

test('slots in which one owner missed a write are found, with the owner that differs', async () => {
  const ring = await filled(22, 3)
  const keys = KEYS.slice(0, 3)
  await missed(ring, 'n2', keys)
  const report = await verified(ring, 'n0')
  const slots = keys.map(slotOfKey).sort((a, b) => a - b)
  assert.equal(
    report.differences.map(({ slot }) => slot),
    slots
  )
  assert.equal([report.differing, report.equal, report.failures], [3, SLOTS - 3, []])
  const { storeId } = ring.node('n2').node
  for (const { owners, changing } of report.differences) {
    assert.is(changing, false)
    assert.equal(
      owners.filter(({ group }) => group === 1).map((owner) => owner.storeId),
      [storeId]
    )
    assert.is(owners.length, 3)
  }
  const range = { first: slots[1]!, last: slots[1]! }
  const one = await verified(ring, 'n1', { range })
  assert.equal([one.slots, one.differing], [1, 1])

  ring.node('n0').node.repair(ALL)
  await ring.clock.advance(10_000)
  assert.is((await verified(ring, 'n0')).equal, SLOTS)
  ring.close()
})

test('an entry that vanished from a disk is found', async () => {
  const ring = await filled(23, 3)
  const [key] = KEYS as [string]
  const stored = dataKey(slotOfKey(key), Buffer.from(key))
  ring.kill('n1')
  await ring.clock.advance(1000)
  await ring.disks.get('n1')!.write([{ type: 'del', key: stored }])
  await ring.start('n1', { repairEveryMs: 0, hintBytesMax: 0 })
  await ring.untilWhole(3, 60_000)
  await ring.clock.advance(3000)
  const report = await verified(ring, 'n2')
  assert.equal(
    report.differences.map(({ slot, owners }) => [slot, owners.map(({ entries }) => entries).sort()]),
    [[slotOfKey(key), [0, 1, 1]]]
  )
  ring.close()
})

test('an owner that does not answer is named, and its slots are not called equal', async () => {
  const ring = await filled(24, 3)
  const steering = new Steering(ring.hub)
  steering.lose(message('tally', undefined, ['n1']))
  const report = await verified(ring, 'n0', { range: { first: 0, last: 99 } })
  assert.equal([report.equal, report.unanswered, report.differing], [0, 100, 0])
  assert.equal(report.failures, [{ storeId: ring.node('n1').node.storeId, error: 'TIMEOUT', slots: 100 }])
  ring.close()
})

test('a difference that is gone a second later is not reported, but counted', async () => {
  const ring = await filled(25, 3)
  const [key] = KEYS as [string]
  const held = new Steering(ring.hub).hold(message('write', undefined, ['n2']))
  await ring.wait(ring.node('n0').put(key, 'newer'))
  const { node } = ring.node('n0')
  node.verify({ range: ALL, once: false })
  await ring.until(() => node.verify().compared === SLOTS, 5000, 'all slots are compared')
  assert.is(node.verify().differing, 1)
  held.release()
  await ring.until(() => !node.verify().running, 10_000, 'the comparison ends')
  assert.equal([node.verify().equal, node.verify().cleared, node.verify().differences], [SLOTS, 1, []])
  ring.close()
})

test('a slot that is written all the time is told apart from one that differs, and once means once', async () => {
  const ring = await filled(26, 3)
  const [busy, idle] = KEYS as [string, string]
  await missed(ring, 'n2', [idle])
  // Owners are asked while each of them holds another number of the writes.
  const steering = new Steering(ring.hub)
  const late = steering.hold(message('write', undefined, ['n2']))
  let number = 0
  const write = () =>
    void ring
      .node('n0')
      .put(busy, `value ${++number}`)
      .catch(() => {})
  const before = ring.node('n0').node.verify({ range: ALL, once: true })
  assert.is(before.running, true)
  await ring.until(() => !ring.node('n0').node.verify().running, 10_000, 'the comparison ends')
  assert.equal(ring.node('n0').node.verify().differing, 1)
  late.release()

  ring.node('n0').node.verify({ range: ALL, once: false })
  for (let turn = 0; ring.node('n0').node.verify().running && turn < 2000; turn++) {
    write()
    await ring.clock.advance(2)
  }
  const { differences, differing } = ring.node('n0').node.verify()
  assert.is(differing, 1, 'the idle one alone')
  for (const { slot, changing } of differences) assert.is(changing, slot === slotOfKey(busy))
  ring.close()
})

test('one comparison at a time', async () => {
  const ring = await filled(27, 3)
  const { node } = ring.node('n0')
  node.verify({ range: ALL, once: true })
  assert.throws(
    () => node.verify({ range: ALL, once: true }),
    (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'OVERLOADED'
  )
  await ring.until(() => !node.verify().running, 10_000, 'the comparison ends')
  ring.close()
})

test('a slot that moves is compared among the owners that hold it, and is not called equal', async () => {
  const ring = await filled(28, 3)
  const steering = new Steering(ring.hub)
  steering.lose(message('learn', undefined, ['n3']))
  await ring.start('n3', { repairEveryMs: 0, hintBytesMax: 0 })
  await ring.until(() => ring.node('n0').node.view!.members.size === 4, 60_000, 'the fourth is a member')
  const report = await verified(ring, 'n0', { once: true, range: ALL })
  if (report.moving > 0) assert.is(report.differing, 0)
  steering.releaseAll()
  await ring.untilWhole(4, 60_000)
  assert.is((await verified(ring, 'n0')).equal, SLOTS)
  ring.close()
})

test.run()
