// Repair between owners: what each of them missed, what is damaged, slots that move, and stores that are not counted
// yet.
import type { RepairReport } from '../../../lib/client/reports.js'
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']
const KEY = 'a'
const EVERY_MS = 3000
/** Some rounds of every pair, also after links have come up. */
const ROUNDS_MS = 20_000
const ALL = { first: 0, last: 16383 }

function quick(stage: Stage): void {
  // Hints would bring what is missing first.
  stage.options = { repairEveryMs: EVERY_MS, scrubMs: 0, hintBytesMax: 0 }
}

/** All but `missing` have the value. */
async function writeWithout(stage: Stage, missing: string, key: string, value: string): Promise<void> {
  const lost = stage.steering.lose(message('write', undefined, [missing]))
  const via = OLD.find((name) => name !== missing)!
  const write = await stage.answered(stage.put(via, key, value))
  stage.reached(write.state === 'done', 'the write is acknowledged')
  const others = OLD.filter((name) => name !== missing)
  await stage.when(() => others.every((name) => stage.holds(name, key) === value), 'the others have it')
  stage.reached(stage.holds(missing, key) !== value, `${missing} has missed it`)
  lost.release()
}

const missedWrites: Scenario = {
  name: 'missedWrites',
  story: 'each of three owners has missed another write, and nobody reads',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    for (const missing of OLD) await writeWithout(stage, missing, `missed by ${missing}`, 'new')
    await stage.advance(ROUNDS_MS)
    for (const missing of OLD) {
      const held = stage.holds(missing, `missed by ${missing}`)
      stage.promise(held === 'new', `${missing} still lacks what it missed`)
    }
  }
}

const olderBeside: Scenario = {
  name: 'olderBeside',
  story: 'one owner holds an older entry than the two others, and they repair',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    for (const missing of OLD) {
      await stage.fill('n0', [missing], 'old')
      await stage.when(() => OLD.every((name) => stage.holds(name, missing) === 'old'), 'all have the older one')
    }
    for (const missing of OLD) await writeWithout(stage, missing, missing, 'new')
    const held = () => OLD.map((name) => OLD.map((key) => stage.version(name, key)!))
    for (let before = held(), at = 0; at < ROUNDS_MS; at += EVERY_MS / 6) {
      await stage.advance(EVERY_MS / 6)
      const now = held()
      const isBack = now.some((versions, name) => versions.some((version, key) => version < before[name]![key]!))
      stage.promise(!isBack, 'an owner went back to an older version')
      before = now
    }
    stage.promise(
      OLD.every((name) => OLD.every((key) => stage.holds(name, key) === 'new')),
      'not all hold the newest'
    )
  }
}

const rotBesideOld: Scenario = {
  name: 'rotBesideOld',
  story: 'the newest entry is damaged at one owner and away with another, and the third holds an older one',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have the older one')
    const repairs = stage.steering.hold(message('repairSums'))
    await writeWithout(stage, 'n2', KEY, 'new')
    await stage.rot('n1', KEY)
    await stage.isolate('n0', ['n1', 'n2'])
    repairs.release()
    // Whoever begins, and whichever way.
    for (const name of ['n1', 'n2']) {
      await stage.ring.wait(stage.node(name).node.repair(ALL))
      await stage.advance(ROUNDS_MS)
    }
    stage.promise(stage.holds('n2', KEY) === 'old', `n2 took ${stage.holds('n2', KEY)} from a damaged entry`)
    await stage.mustRead('n2', KEY, 'new')
    await stage.heal(3)
  }
}

const repairWhileMoving: Scenario = {
  name: 'repairWhileMoving',
  story: 'slots are on their way to new owners, which have pulled nothing yet',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    const pulls = stage.steering.hold(message('pull', NEW))
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
    await stage.advance(ROUNDS_MS)
    stage.reached(pulls.caught.length > 0 && !stage.isReady('n3', key), 'nobody is ready')
    for (const name of NEW) {
      stage.promise(stage.holds(name, key) === undefined, `repair brought ${name} what moves`)
    }
    await stage.heal(6)
  }
}

const uncounted: Scenario = {
  name: 'uncounted',
  story: 'a member alone has a write, is started again, and is to compare itself before its store has been counted',
  async run(stage) {
    await stage.grow(OLD)
    const lost = stage.steering.lose(message('write', ['n1'], ['n0', 'n2']))
    stage.put('n1', KEY, 'half')
    await stage.when(() => stage.holds('n1', KEY) === 'half', 'n1 has it')
    stage.kill('n1')
    lost.release()
    stage.disk('n1').holdScans()
    await stage.start('n1', { repairEveryMs: EVERY_MS })
    await stage.when(() => stage.isLinked('n1', 'n0') && stage.isLinked('n1', 'n2'), 'n1 is back')
    await stage.advance(3000)
    const { node } = stage.node('n1')
    await stage.ring.wait(node.repair(ALL))
    let report: RepairReport
    do {
      await stage.advance(EVERY_MS)
      report = await stage.ring.wait(node.repair())
    } while (report.running)
    stage.reached(stage.holds('n0', KEY) === undefined, 'n0 has nothing of it')
    const isSaidEqual = report.compared === 2 && report.failures.length === 0 && report.differing === 0
    stage.promise(!isSaidEqual, 'stores are said to be equal that are not')
    stage.disk('n1').releaseScans()
    await stage.advance(ROUNDS_MS)
    for (const name of OLD) stage.promise(stage.holds(name, KEY) === 'half', `${name} lacks what n1 holds`)
  }
}

export const REPAIR: readonly Scenario[] = [missedWrites, olderBeside, rotBesideOld, repairWhileMoving, uncounted]
