// What was deleted leaves the disks: when it may not, and what must not come back once it has.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']
const KEY = 'a'
/** Of the same slot. */
const GONE = '{a}gone'
const AFTER_MS = 2000
const EVERY_MS = 1000
/** Every owner has had its turn to look. */
const ROUNDS_MS = 15_000

/** Purges are quick, and nothing else heals what a scenario is about. */
function quick(cluster: ScenarioCluster): void {
  cluster.options = {
    purgeAfterMs: AFTER_MS,
    purgeEveryMs: EVERY_MS,
    repairEveryMs: 0,
    scrubMs: 0,
    hintBytesMax: 0
  }
}

async function remove(cluster: ScenarioCluster, via: string, key = KEY): Promise<void> {
  const deletion = await cluster.answered(cluster.delete(via, key))
  cluster.reached(deletion.state === 'done', 'the key is deleted')
}

function isForgotten(cluster: ScenarioCluster, names: readonly string[], key = KEY): boolean {
  return names.every((name) => cluster.version(name, key) === undefined)
}

async function untilForgotten(cluster: ScenarioCluster, names: readonly string[], key = KEY): Promise<void> {
  await cluster.when(() => isForgotten(cluster, names, key), 'the tombstone has left every disk')
}

const missedDelete: Scenario = {
  name: 'missedDelete',
  story: 'one owner has missed a delete, and holds what was deleted',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all have it')
    const lost = cluster.steering.lose(message('write', undefined, ['n2']))
    await remove(cluster, 'n0')
    lost.release()
    await cluster.advance(ROUNDS_MS)
    cluster.reached(cluster.holds('n2', KEY) === 'old', 'n2 still holds it')
    for (const name of ['n0', 'n1']) {
      cluster.promise(cluster.version(name, KEY) !== undefined, `${name} forgot a delete that n2 has not heard of`)
    }
    await cluster.heal(3)
  }
}

const absentOwner: Scenario = {
  name: 'absentOwner',
  story: 'one owner is away while a key is deleted, and comes back with it',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all have it')
    cluster.kill('n2')
    await remove(cluster, 'n0')
    await cluster.advance(ROUNDS_MS)
    for (const name of ['n0', 'n1']) {
      cluster.promise(cluster.version(name, KEY) !== undefined, `${name} forgot a delete while n2 was away`)
    }
    await cluster.start('n2')
    await cluster.heal(3)
  }
}

const lateWriteBelow: Scenario = {
  name: 'lateWriteBelow',
  story: 'a write gets to its owners long after its key was deleted and forgotten',
  async run(cluster) {
    quick(cluster)
    await cluster.grow([...OLD, 'n3'])
    const key = cluster.pickKey('n3', (owners) => owners.join() === OLD.join())
    const late = cluster.steering.hold(message('write', ['n3'], OLD))
    const write = cluster.put('n3', key, 'late')
    await cluster.when(() => late.caught.length === OLD.length, 'the write is under way')
    await cluster.answered(write)
    await cluster.fill('n0', [key], 'new')
    await remove(cluster, 'n0', key)
    await untilForgotten(cluster, OLD, key)
    late.release()
    await cluster.advance(1000)
    for (const name of OLD) {
      cluster.promise(cluster.holds(name, key) === undefined, `${name} took what is older than the delete`)
    }
    await cluster.heal(4)
  }
}

const handOverBelow: Scenario = {
  name: 'handOverBelow',
  story: 'a member that was removed while it was away hands over what has been deleted and forgotten since',
  async run(cluster) {
    quick(cluster)
    await cluster.grow([...OLD, 'n3'])
    await cluster.fill('n0', cluster.keys, 'old')
    const key = cluster.pickKey('n0', (owners) => owners.includes('n3'))
    const member = cluster.member('n3')
    cluster.kill('n3')
    await cluster.advance(1000)
    await cluster.ring.wait(cluster.node('n0').node.remove(member, { force: false }))
    await cluster.when(() => cluster.ring.isWhole(3), 'the others go on without it')
    await remove(cluster, 'n0', key)
    await untilForgotten(cluster, OLD, key)
    // What has left the disk must be known to have left it, also by the next life of its owners.
    for (const name of OLD) {
      cluster.kill(name)
      await cluster.start(name)
      await cluster.when(() => cluster.ring.isWhole(3), `${name} is back`)
    }
    const back = await cluster.ring.start('n3', { ...cluster.options, store: cluster.disk('n3') })
    let hasEnded = false
    void back.node.failed.then(() => {
      hasEnded = true
    })
    await cluster.when(() => hasEnded, 'n3 has handed over what it held')
    for (const name of OLD) {
      cluster.promise(cluster.holds(name, key) === undefined, `n3 brought ${name} what was deleted`)
    }
    await cluster.mustRead('n0', key, undefined)
  }
}

const leftoverOwner: Scenario = {
  name: 'leftoverOwner',
  story: 'a former owner kept what has been deleted and forgotten since, and owns the key again',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    cluster.keepCopies()
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n1', (owners) => owners.join() === NEW.join())
    await cluster.when(() => cluster.ring.isWhole(6), 'the new owners have it')
    await remove(cluster, 'n0', key)
    await untilForgotten(cluster, NEW, key)
    cluster.reached(cluster.holds('n0', key) === 'old', 'n0 has kept it')
    for (const name of NEW) {
      const { storeId } = cluster.node(name).node
      void cluster.node(name).node.leave({ force: true })
      await cluster.when(() => !cluster.view('n0').members.has(storeId), `${name} is out`)
      const isSettled = () => cluster.view('n0').configs.windows.every((window) => window.length === 1)
      await cluster.when(isSettled, 'what it owned has moved')
    }
    cluster.reached(cluster.owners('n0', key).includes('n0'), 'n0 owns it again')
    await cluster.when(() => OLD.every((name) => cluster.isReady(name, key, 'n0')), 'the owners are ready')
    for (const name of OLD) {
      cluster.promise(cluster.holds(name, key) === undefined, `${name} holds again what was deleted`)
    }
    await cluster.mustRead('n0', key, undefined)
  }
}

/** All owners have closed the slot of KEY, and hold what was put there before. */
async function closeSlot(cluster: ScenarioCluster): Promise<void> {
  await cluster.fill('n0', [KEY, GONE], 'old')
  await cluster.when(() => OLD.every((name) => cluster.holds(name, GONE) === 'old'), 'all have it')
  await remove(cluster, 'n0', GONE)
  await untilForgotten(cluster, OLD, GONE)
}

const hiddenBelow: Scenario = {
  name: 'hiddenBelow',
  story: 'after its slot was closed an entry vanishes from the disk of one owner without a trace',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await closeSlot(cluster)
    await cluster.hide('n2', KEY)
    for (const name of OLD) await cluster.mustRead(name, KEY, 'old')
    cluster.promise(cluster.holds('n2', KEY) === 'old', 'a read has not given n2 back what it lacked')
    await cluster.hide('n2', KEY)
    cluster.kill('n2')
    cluster.options = { ...cluster.options, repairEveryMs: EVERY_MS }
    await cluster.start('n2')
    await cluster.when(() => cluster.ring.isWhole(3), 'n2 is back')
    const isMended = await cluster.ring.clock.runUntil(() => cluster.holds('n2', KEY) === 'old', ROUNDS_MS)
    cluster.promise(isMended, 'repair has not given n2 back what it lacked')
    await cluster.heal(3)
  }
}

const shownBelow: Scenario = {
  name: 'shownBelow',
  story: 'after its slot was closed a deleted entry is back on the disk of one owner',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [GONE], 'old')
    const entry = cluster.entry('n0', GONE)!
    await closeSlot(cluster)
    await cluster.show('n2', GONE, entry)
    for (const name of OLD) await cluster.mustRead(name, GONE, undefined)
    cluster.kill('n2')
    cluster.options = { ...cluster.options, repairEveryMs: EVERY_MS }
    await cluster.start('n2')
    await cluster.when(() => cluster.ring.isWhole(3), 'n2 is back')
    const isMended = await cluster.ring.clock.runUntil(() => isForgotten(cluster, OLD, GONE), ROUNDS_MS)
    cluster.promise(isMended, 'n2 still holds what was deleted')
    await cluster.heal(3)
  }
}

export const PURGE: readonly Scenario[] = [
  missedDelete,
  absentOwner,
  lateWriteBelow,
  handOverBelow,
  leftoverOwner,
  hiddenBelow,
  shownBelow
]
