// Rings that lose too many members: a ring of two that loses one, and a ring that is rescued from one directory.
import { giveToRing, rescueRing } from '../../../lib/node/rescue.js'
import { message } from '../seams/steering.js'
import { seeded } from '../sim-node.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const TWO = ['n0', 'n1']
const KEY = 'a'
/** A member is detected as down within 5 s. */
const DOWN_MS = 6000
const EVICT_MS = 2000
const PURGE = { purgeAfterMs: 2000, purgeEveryMs: 1000 }

/** A request to remove the member of `target`. True when the ring was asked; false when it was refused at once. */
function remove(cluster: ScenarioCluster, name: string, target: string): Promise<boolean> {
  const member = cluster.member(target)
  return cluster
    .node(name)
    .node.remove(member, { force: true })
    .then(
      () => true,
      () => false
    )
}

const bothOfTwoDecide: Scenario = {
  name: 'bothOfTwoDecide',
  summary: 'a ring of two is cut in half, and on each side an operator removes the other member',
  async run(cluster) {
    await cluster.grow(TWO)
    await cluster.fill('n1', [KEY], 'old')
    await cluster.isolate('n0', ['n1'])
    await cluster.advance(DOWN_MS)
    const asked = [remove(cluster, 'n0', 'n1'), remove(cluster, 'n1', 'n0')]
    await cluster.ring.wait(Promise.all(asked))
    await cluster.advance(5000)
    cluster.reached(cluster.viewNumber('n0') > 2, 'the first member has removed the second')
    cluster.mustAgreeOn('view/0000000003')
    cluster.promise(cluster.viewNumber('n1') === 2, 'the second member has chosen a view alone')
    await cluster.mustRead('n0', KEY, 'old')
    const write = await cluster.answered(cluster.put('n0', KEY, 'new'))
    cluster.promise(write.state === 'done', 'the first member does not serve alone')
  }
}

const secondDiesYoung: Scenario = {
  name: 'secondDiesYoung',
  summary: 'the second member of a ring dies before it has taken over its copies',
  async run(cluster) {
    cluster.options = { ...cluster.options, evictAfterMs: EVICT_MS }
    await cluster.grow(['n0'])
    await cluster.fill('n0', [KEY], 'old')
    cluster.steering.hold(message('pull'))
    await cluster.start('n1')
    await cluster.when(() => cluster.view('n0').members.size === 2, 'n1 is a member')
    cluster.kill('n1')
    await cluster.advance(DOWN_MS + 2 * EVICT_MS)
    cluster.promise(cluster.view('n0').members.size === 1, 'the first member waits for the second')
    await cluster.mustRead('n0', KEY, 'old')
    await cluster.heal(1)
  }
}

const secondStays: Scenario = {
  name: 'secondStays',
  summary: 'the second member of a ring goes down when it has its copies, and comes back',
  async run(cluster) {
    cluster.options = { ...cluster.options, evictAfterMs: EVICT_MS }
    await cluster.grow(TWO)
    await cluster.fill('n0', [KEY], 'old')
    cluster.kill('n1')
    await cluster.advance(DOWN_MS + 10 * EVICT_MS)
    cluster.promise(cluster.view('n0').members.size === 2, 'a member with copies was evicted, and one copy is left')
    await cluster.start('n1')
    await cluster.heal(2)
  }
}

const rescuedRing: Scenario = {
  name: 'rescuedRing',
  summary:
    'all members but one are lost, then another directory turns up that holds a write which the first had missed',
  async run(cluster) {
    cluster.options = { ...cluster.options, ...PURGE }
    await cluster.grow(['n0', 'n1', 'n2'])
    await cluster.fill('n0', ['{t}kept', '{t}deleted'], 'old')
    const address = cluster.address('n0')
    cluster.kill('n0')
    await cluster.answered(cluster.put('n1', '{t}late', 'late'))
    cluster.kill('n1', 'n2')
    const random = seeded(11)
    const now = () => cluster.ring.clock.now()
    const ringId = await cluster.ring.wait(rescueRing(cluster.disk('n0'), random, now()))
    await cluster.start('r0', { store: cluster.disk('n0'), join: [], address })
    await cluster.untilWhole(1)
    await cluster.answered(cluster.delete('r0', '{t}deleted'))
    // Purges would come now. A lost member comes back, and is in a ring of its own.
    const lost = await cluster.start('n2', { join: [address] })
    await cluster.advance(30_000)
    cluster.promise(!cluster.view('r0').members.has(lost.node.storeId), 'a lost member is in the rescued ring')
    cluster.promise(lost.node.view?.founding.ringId !== ringId, 'a lost member has joined the rescued ring by itself')
    cluster.kill('n2')
    await cluster.ring.wait(giveToRing(cluster.disk('n1'), random, ringId))
    await cluster.start('r1', { store: cluster.disk('n1'), join: cluster.node('r0').network.addresses() })
    await cluster.heal(2)
  }
}

export const LOST_MAJORITY: readonly Scenario[] = [bothOfTwoDecide, secondDiesYoung, secondStays, rescuedRing]
