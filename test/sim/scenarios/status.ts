// What the report `status` says while members cannot do all of their work, which pings alone do not show.
import type { StatusReport } from '../../../lib/client/reports.js'
import { type ConditionName, Conditions } from '../../../lib/conditions.js'
import { silent } from '../../../lib/logger.js'
import { noMetrics } from '../../../lib/metrics.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
/** A pong of each member is at most this old, and the detector calls a member unreached after some seconds. */
const HEARD_MS = 3000
const UNREACHED_MS = 12_000

async function status(cluster: ScenarioCluster, name: string): Promise<StatusReport> {
  return (await cluster.ring.wait(cluster.node(name).node.report('status', Buffer.alloc(0)))) as StatusReport
}

/** Three members, whose conditions the scenario sets. */
async function growWatched(cluster: ScenarioCluster): Promise<ReadonlyMap<string, Conditions>> {
  const all = new Map<string, Conditions>()
  for (const name of OLD) {
    const conditions = new Conditions({ log: silent, metrics: noMetrics })
    all.set(name, conditions)
    await cluster.start(name, { conditions })
  }
  await cluster.untilWhole(OLD.length)
  await cluster.advance(HEARD_MS)
  return all
}

/** Sets the condition on some members, and gives what the status of another one says then. */
async function whileIn(
  cluster: ScenarioCluster,
  condition: ConditionName,
  names: readonly string[]
): Promise<StatusReport> {
  const all = await growWatched(cluster)
  cluster.reached((await status(cluster, 'n0')).health === 'healthy', 'the ring is healthy before')
  for (const name of names) all.get(name)!.set(condition, `${name} is in trouble`)
  await cluster.advance(HEARD_MS)
  const report = await status(cluster, 'n0')
  for (const name of names) all.get(name)!.clear(condition)
  await cluster.advance(HEARD_MS)
  const { health } = await status(cluster, 'n0')
  cluster.promise(health === 'healthy', `the status says ${health} after the end of all conditions`)
  return report
}

const fullDisksTold: Scenario = {
  name: 'fullDisksTold',
  summary: 'two of three owners have full disks: they answer pings and reads, and no write can be acknowledged',
  async run(cluster) {
    const { health, slots } = await whileIn(cluster, 'disk-full', ['n1', 'n2'])
    cluster.promise(health === 'read-only' && slots.unwritable > 0, `the status says ${health} while writes fail`)
    cluster.promise(slots.atRisk === 0, `${slots.atRisk} slots are called at risk, but all can be read`)
  }
}

const closedStoresTold: Scenario = {
  name: 'closedStoresTold',
  summary: 'two of three owners take no write after an error of their disks: they answer pings and reads',
  async run(cluster) {
    const { health } = await whileIn(cluster, 'store-closed', ['n1', 'n2'])
    cluster.promise(health === 'read-only', `the status says ${health} while writes fail`)
  }
}

const oneWayTold: Scenario = {
  name: 'oneWayTold',
  summary: 'two members lost the link between them, and a third one hears both',
  async run(cluster) {
    await growWatched(cluster)
    cluster.ring.hub.partition(['n1'], ['n2'])
    await cluster.advance(UNREACHED_MS)
    const { members, health } = await status(cluster, 'n0')
    const [first, second] = [cluster.member('n1'), cluster.member('n2')]
    const told = new Map(members.map(({ storeId, unreachableFrom }) => [storeId, unreachableFrom]))
    const isTold = told.get(first)?.[0] === second && told.get(second)?.[0] === first
    cluster.promise(isTold && health === 'degraded', `the status says ${health}, and not who does not reach whom`)
    await cluster.heal(OLD.length)
    await cluster.advance(UNREACHED_MS)
    const after = await status(cluster, 'n0')
    cluster.promise(after.health === 'healthy', `the status says ${after.health} after all links are back`)
  }
}

export const STATUS: readonly Scenario[] = [fullDisksTold, closedStoresTold, oneWayTold]
