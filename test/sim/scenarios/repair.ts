// Repair between owners: missed writes, damaged entries, slots that move, and stores that are not counted yet.
import type { RepairReport } from '../../../lib/client/reports.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']
const KEY = 'a'
const EVERY_MS = 3000
/** Long enough for some rounds of every pair, also after new links. */
const ROUNDS_MS = 20_000
const ALL = { first: 0, last: 16383 }

function quick(cluster: ScenarioCluster): void {
  // Hints are off: they would deliver missed writes before repair does.
  cluster.options = { repairEveryMs: EVERY_MS, scrubMs: 0, hintBytesMax: 0 }
}

/** Writes the value to all owners except `missing`. */
async function writeWithout(cluster: ScenarioCluster, missing: string, key: string, value: string): Promise<void> {
  const lost = cluster.steering.lose(message('write', undefined, [missing]))
  const via = OLD.find((name) => name !== missing)!
  const write = await cluster.answered(cluster.put(via, key, value))
  cluster.reached(write.state === 'done', 'the write is acknowledged')
  const others = OLD.filter((name) => name !== missing)
  await cluster.when(() => others.every((name) => cluster.holds(name, key) === value), 'the others have it')
  cluster.reached(cluster.holds(missing, key) !== value, `${missing} has missed it`)
  lost.release()
}

const missedWrites: Scenario = {
  name: 'missedWrites',
  summary: 'each of three owners has missed a different write, and no client reads',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    for (const missing of OLD) await writeWithout(cluster, missing, `missed by ${missing}`, 'new')
    await cluster.advance(ROUNDS_MS)
    for (const missing of OLD) {
      const held = cluster.holds(missing, `missed by ${missing}`)
      cluster.promise(held === 'new', `${missing} still lacks what it missed`)
    }
  }
}

const olderBeside: Scenario = {
  name: 'olderBeside',
  summary: 'one owner holds an older version than the two others, and they repair',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    for (const missing of OLD) {
      await cluster.fill('n0', [missing], 'old')
      await cluster.when(() => OLD.every((name) => cluster.holds(name, missing) === 'old'), 'all have the older one')
    }
    for (const missing of OLD) await writeWithout(cluster, missing, missing, 'new')
    const held = () => OLD.map((name) => OLD.map((key) => cluster.version(name, key)!))
    for (let before = held(), at = 0; at < ROUNDS_MS; at += EVERY_MS / 6) {
      await cluster.advance(EVERY_MS / 6)
      const now = held()
      const isBack = now.some((versions, name) => versions.some((version, key) => version < before[name]![key]!))
      cluster.promise(!isBack, 'an owner went back to an older version')
      before = now
    }
    cluster.promise(
      OLD.every((name) => OLD.every((key) => cluster.holds(name, key) === 'new')),
      'an owner lacks the newest version'
    )
  }
}

const rotBesideOld: Scenario = {
  name: 'rotBesideOld',
  summary: 'one owner holds the newest entry damaged, one holds an older entry, and the third is not reachable',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all have the older one')
    const repairs = cluster.steering.hold(message('repairSums'))
    await writeWithout(cluster, 'n2', KEY, 'new')
    await cluster.rot('n1', KEY)
    await cluster.isolate('n0', ['n1', 'n2'])
    repairs.release()
    // Each of the two starts a repair once.
    for (const name of ['n1', 'n2']) {
      await cluster.ring.wait(cluster.node(name).node.repair(ALL))
      await cluster.advance(ROUNDS_MS)
    }
    cluster.promise(cluster.holds('n2', KEY) === 'old', `n2 stored ${cluster.holds('n2', KEY)} from a damaged entry`)
    await cluster.mustRead('n2', KEY, 'new')
    await cluster.heal(3)
  }
}

const repairWhileMoving: Scenario = {
  name: 'repairWhileMoving',
  summary: 'slots move to new owners, which have pulled nothing yet',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', NEW))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.advance(ROUNDS_MS)
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n3', key), 'no new owner is ready')
    for (const name of NEW) {
      cluster.promise(cluster.holds(name, key) === undefined, `repair sent ${name} entries of a slot that moves`)
    }
    await cluster.heal(6)
  }
}

const uncounted: Scenario = {
  name: 'uncounted',
  summary: 'a member that alone holds a write restarts, and repairs before its store has been counted',
  async run(cluster) {
    await cluster.grow(OLD)
    const lost = cluster.steering.lose(message('write', ['n1'], ['n0', 'n2']))
    cluster.put('n1', KEY, 'half')
    await cluster.when(() => cluster.holds('n1', KEY) === 'half', 'n1 has it')
    cluster.kill('n1')
    lost.release()
    cluster.disk('n1').holdScans()
    await cluster.start('n1', { repairEveryMs: EVERY_MS })
    await cluster.when(() => cluster.isLinked('n1', 'n0') && cluster.isLinked('n1', 'n2'), 'n1 is back')
    await cluster.advance(3000)
    const { node } = cluster.node('n1')
    await cluster.ring.wait(node.repair(ALL))
    let report: RepairReport
    do {
      await cluster.advance(EVERY_MS)
      report = await cluster.ring.wait(node.repair())
    } while (report.running)
    cluster.reached(cluster.holds('n0', KEY) === undefined, 'n0 does not have it')
    const isSaidEqual = report.compared === 2 && report.failures.length === 0 && report.differing === 0
    cluster.promise(!isSaidEqual, 'repair reports different stores as equal')
    cluster.disk('n1').releaseScans()
    await cluster.advance(ROUNDS_MS)
    for (const name of OLD) cluster.promise(cluster.holds(name, KEY) === 'half', `${name} lacks what n1 holds`)
  }
}

export const REPAIR: readonly Scenario[] = [missedWrites, olderBeside, rotBesideOld, repairWhileMoving, uncounted]
