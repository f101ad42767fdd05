// The limit for moving data: every member ends with the same one, whatever was lost and whoever was away.
import type { LimitReport } from '../../../lib/client/reports.js'
import { MiB } from '../../../lib/limits.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const FACT = 'move-limit'
/** All members are told at once. */
const TOLD_MS = 1000
const COMPARED_MS = 5000
/** Each member exchanges what it knows with a random one every 2 s. */
const EXCHANGED_MS = 30_000

async function limitOf(cluster: ScenarioCluster, name: string): Promise<LimitReport> {
  return (await cluster.ring.wait(cluster.node(name).node.report('limit', Buffer.alloc(0)))) as LimitReport
}

/** Has the node set the limit. */
async function order(cluster: ScenarioCluster, name: string, bytesPerS: number): Promise<void> {
  const { setBy } = await cluster.ring.wait(cluster.node(name).node.limit(bytesPerS))
  cluster.promise(setBy === cluster.member(name), 'the answer tells the limit that was set')
  cluster.promise(cluster.fact(name, FACT) !== undefined, 'the limit is on disk before the order is answered')
}

/** Every running node comes to know this limit, on disk too. */
async function allHave(cluster: ScenarioCluster, bytesPerS: number): Promise<void> {
  const names = cluster.ring.running.map(({ name }) => name)
  const isOne = () => new Set(names.map((name) => cluster.fact(name, FACT)?.toString('hex'))).size === 1
  await cluster.ring.clock.runUntil(isOne, EXCHANGED_MS)
  const found = new Set<string>()
  for (const { name } of cluster.ring.running) {
    const limit = await limitOf(cluster, name)
    cluster.promise(limit.bytesPerS === bytesPerS, `${name} has the limit ${limit.bytesPerS} instead of ${bytesPerS}`)
    found.add(JSON.stringify(limit))
  }
  cluster.promise(found.size === 1, 'members tell different times of one limit')
  cluster.mustAgreeOn(FACT)
}

const lostLimit: Scenario = {
  name: 'lostLimit',
  summary: 'a limit does not reach one member, which learns it later; and all keep it when they lose power',
  async run(cluster) {
    await cluster.grow(OLD)
    const lost = cluster.steering.lose(message('learn', ['n0'], ['n2']))
    const silence = cluster.steering.hold(message('exchange'))
    await order(cluster, 'n0', 2 * MiB)
    await cluster.advance(TOLD_MS)
    cluster.promise((await limitOf(cluster, 'n1')).bytesPerS === 2 * MiB, 'a member has not learnt it within a second')
    cluster.reached((await limitOf(cluster, 'n2')).bytesPerS === null, 'n2 has not heard of it')
    lost.release()
    silence.release()
    await allHave(cluster, 2 * MiB)
    cluster.kill(...OLD)
    for (const name of OLD) await cluster.start(name)
    await cluster.heal(OLD.length)
    await allHave(cluster, 2 * MiB)
  }
}

const lateLimit: Scenario = {
  name: 'lateLimit',
  summary: 'a member hears of a later limit before it hears of an earlier one',
  async run(cluster) {
    await cluster.grow(OLD)
    const silence = cluster.steering.hold(message('exchange'))
    const late = cluster.steering.hold(message('learn', ['n1'], ['n2']))
    await order(cluster, 'n1', 2 * MiB)
    await cluster.advance(10)
    await order(cluster, 'n0', 3 * MiB)
    await cluster.advance(200)
    cluster.reached(late.caught.length > 0, 'n2 has not heard of the first limit')
    late.release()
    await cluster.advance(200)
    const { bytesPerS } = await limitOf(cluster, 'n2')
    cluster.promise(bytesPerS === 3 * MiB, 'an earlier limit that is heard later counts')
    silence.release()
    await allHave(cluster, 3 * MiB)
  }
}

const limitsOfTwoSides: Scenario = {
  name: 'limitsOfTwoSides',
  summary:
    'both sides of a partition set a limit, and the later one counts everywhere; who was away or joins learns it',
  async run(cluster) {
    await cluster.grow([...OLD, 'n3'])
    // A member that has not compared its clock with most others refuses.
    await cluster.advance(COMPARED_MS)
    await cluster.isolate('n0', ['n1', 'n2', 'n3'])
    cluster.kill('n3')
    await order(cluster, 'n0', 3 * MiB)
    await cluster.advance(100)
    await order(cluster, 'n1', 5 * MiB)
    await cluster.advance(TOLD_MS)
    cluster.reached((await limitOf(cluster, 'n0')).bytesPerS === 3 * MiB, 'n0 has not heard of the other side')
    cluster.ring.hub.heal()
    await cluster.start('n3')
    await cluster.untilWhole(4)
    await allHave(cluster, 5 * MiB)
    await cluster.grow(['n4'])
    await allHave(cluster, 5 * MiB)
    await order(cluster, 'n4', 0)
    await cluster.advance(TOLD_MS)
    const { bytesPerS } = await limitOf(cluster, 'n2')
    cluster.promise(bytesPerS === null, 'a limit is off at every member within a second')
    await cluster.heal(5)
  }
}

const limitOfTheFuture: Scenario = {
  name: 'limitOfTheFuture',
  summary: 'a member whose clock is an hour ahead sets a limit, and another one can change it afterwards',
  async run(cluster) {
    await cluster.startAll(['n0', 'n1'])
    await cluster.start('n2', { skewMs: 3_600_000 })
    await cluster.untilWhole(OLD.length)
    await cluster.advance(COMPARED_MS)
    await order(cluster, 'n2', MiB)
    await cluster.advance(TOLD_MS)
    for (const name of OLD) {
      cluster.promise((await limitOf(cluster, name)).bytesPerS === MiB, `${name} does not take the time of n2`)
    }
    await order(cluster, 'n0', 7 * MiB)
    await allHave(cluster, 7 * MiB)
  }
}

export const LIMITS: readonly Scenario[] = [lostLimit, lateLimit, limitsOfTwoSides, limitOfTheFuture]
