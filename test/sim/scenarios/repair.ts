// Repair between owners: what each of them missed, what is damaged, slots that move, and stores that are not counted
// yet.
import type { RepairReport } from '../../../lib/client/reports.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']
const KEY = 'a'
const EVERY_MS = 3000
/** Some rounds of every pair, also after links have come up. */
const ROUNDS_MS = 20_000
const ALL = { first: 0, last: 16383 }

function quick(cluster: ScenarioCluster): void {
  // Hints would bring what is missing first.
  cluster.options = { repairEveryMs: EVERY_MS, scrubMs: 0, hintBytesMax: 0 }
}

/** All but `missing` have the value. */
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
  story: 'each of three owners has missed another write, and nobody reads',
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
  story: 'one owner holds an older entry than the two others, and they repair',
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
      'not all hold the newest'
    )
  }
}

const rotBesideOld: Scenario = {
  name: 'rotBesideOld',
  story: 'the newest entry is damaged at one owner and away with another, and the third holds an older one',
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
    // Whoever begins, and whichever way.
    for (const name of ['n1', 'n2']) {
      await cluster.ring.wait(cluster.node(name).node.repair(ALL))
      await cluster.advance(ROUNDS_MS)
    }
    cluster.promise(cluster.holds('n2', KEY) === 'old', `n2 took ${cluster.holds('n2', KEY)} from a damaged entry`)
    await cluster.mustRead('n2', KEY, 'new')
    await cluster.heal(3)
  }
}

const repairWhileMoving: Scenario = {
  name: 'repairWhileMoving',
  story: 'slots are on their way to new owners, which have pulled nothing yet',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', NEW))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.advance(ROUNDS_MS)
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n3', key), 'nobody is ready')
    for (const name of NEW) {
      cluster.promise(cluster.holds(name, key) === undefined, `repair brought ${name} what moves`)
    }
    await cluster.heal(6)
  }
}

const uncounted: Scenario = {
  name: 'uncounted',
  story: 'a member alone has a write, is started again, and is to compare itself before its store has been counted',
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
    cluster.reached(cluster.holds('n0', KEY) === undefined, 'n0 has nothing of it')
    const isSaidEqual = report.compared === 2 && report.failures.length === 0 && report.differing === 0
    cluster.promise(!isSaidEqual, 'stores are said to be equal that are not')
    cluster.disk('n1').releaseScans()
    await cluster.advance(ROUNDS_MS)
    for (const name of OLD) cluster.promise(cluster.holds(name, KEY) === 'half', `${name} lacks what n1 holds`)
  }
}

export const REPAIR: readonly Scenario[] = [missedWrites, olderBeside, rotBesideOld, repairWhileMoving, uncounted]
