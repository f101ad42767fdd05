// Purges: when a tombstone must stay on the disks, and what must not come back after a purge.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']
const KEY = 'a'
/** A key of the same slot as KEY; it is deleted and purged. */
const DELETED_KEY = '{a}gone'
const AFTER_MS = 2000
const EVERY_MS = 1000
/** Long enough for every owner to have looked for purges. */
const ROUNDS_MS = 15_000

/** Purges are quick. Repair, scrub and hints are off: they could hide the effect of a bug. */
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

function isPurged(cluster: ScenarioCluster, names: readonly string[], key = KEY): boolean {
  return names.every((name) => cluster.version(name, key) === undefined)
}

async function untilPurged(cluster: ScenarioCluster, names: readonly string[], key = KEY): Promise<void> {
  await cluster.when(() => isPurged(cluster, names, key), 'the tombstone has been purged everywhere')
}

const missedDelete: Scenario = {
  name: 'missedDelete',
  summary: 'one owner has missed a delete, and still holds the deleted value',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have it')
    const lost = cluster.steering.lose(message('write', undefined, ['n2']))
    await remove(cluster, 'n0')
    lost.release()
    await cluster.advance(ROUNDS_MS)
    cluster.reached(cluster.holds('n2', KEY) === 'old', 'n2 still holds it')
    for (const name of ['n0', 'n1']) {
      cluster.promise(
        cluster.version(name, KEY) !== undefined,
        `${name} purged the tombstone of a delete that n2 has missed`
      )
    }
    await cluster.heal(3)
  }
}

const absentOwner: Scenario = {
  name: 'absentOwner',
  summary: 'one owner is down while a key is deleted, and comes back with the deleted value',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have it')
    cluster.kill('n2')
    await remove(cluster, 'n0')
    await cluster.advance(ROUNDS_MS)
    for (const name of ['n0', 'n1']) {
      cluster.promise(cluster.version(name, KEY) !== undefined, `${name} purged a tombstone while n2 was down`)
    }
    await cluster.start('n2')
    await cluster.heal(3)
  }
}

const lateWriteBelow: Scenario = {
  name: 'lateWriteBelow',
  summary: 'a write reaches the owners long after its key was deleted and purged',
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
    await untilPurged(cluster, OLD, key)
    late.release()
    await cluster.advance(1000)
    for (const name of OLD) {
      cluster.promise(
        cluster.holds(name, key) === undefined,
        `${name} stored a write that is older than the purged delete`
      )
    }
    await cluster.heal(4)
  }
}

const handOverBelow: Scenario = {
  name: 'handOverBelow',
  summary: 'a member that was removed while it was down hands over values that were deleted and purged meanwhile',
  async run(cluster) {
    quick(cluster)
    await cluster.grow([...OLD, 'n3'])
    await cluster.fill('n0', cluster.keys, 'old')
    const key = cluster.pickKey('n0', (owners) => owners.includes('n3'))
    const member = cluster.member('n3')
    cluster.kill('n3')
    await cluster.advance(1000)
    await cluster.ring.wait(cluster.node('n0').node.remove(member, { force: false }))
    await cluster.when(() => cluster.ring.isWhole(3), 'the ring is whole without n3')
    await remove(cluster, 'n0', key)
    await untilPurged(cluster, OLD, key)
    // The purge bounds must be on disk: the next life of each owner must know them.
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
    await cluster.when(() => hasEnded, 'n3 has ended its handoff')
    for (const name of OLD) {
      cluster.promise(cluster.holds(name, key) === undefined, `${name} stored a deleted value from n3`)
    }
    await cluster.mustRead('n0', key, undefined)
  }
}

const leftoverOwner: Scenario = {
  name: 'leftoverOwner',
  summary: 'a former owner still holds a value that was deleted and purged, and owns the key again',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    cluster.keepCopies()
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n1', (owners) => owners.join() === NEW.join())
    await cluster.when(() => cluster.ring.isWhole(6), 'the new owners have it')
    await remove(cluster, 'n0', key)
    await untilPurged(cluster, NEW, key)
    cluster.reached(cluster.holds('n0', key) === 'old', 'n0 has kept it')
    for (const name of NEW) {
      const { storeId } = cluster.node(name).node
      void cluster.node(name).node.leave({ force: true })
      await cluster.when(() => !cluster.view('n0').members.has(storeId), `${name} is no longer a member`)
      const isSettled = () => cluster.view('n0').configs.windows.every((window) => window.length === 1)
      await cluster.when(isSettled, 'all slots have settled')
    }
    cluster.reached(cluster.owners('n0', key).includes('n0'), 'n0 owns it again')
    await cluster.when(() => OLD.every((name) => cluster.isReady(name, key, 'n0')), 'the owners are ready')
    for (const name of OLD) {
      cluster.promise(cluster.holds(name, key) === undefined, `${name} holds a deleted value again`)
    }
    await cluster.mustRead('n0', key, undefined)
  }
}

/** All owners close the slot of KEY, and hold the value of KEY from before. */
async function closeSlot(cluster: ScenarioCluster): Promise<void> {
  await cluster.fill('n0', [KEY, DELETED_KEY], 'old')
  await cluster.when(() => OLD.every((name) => cluster.holds(name, DELETED_KEY) === 'old'), 'all owners have it')
  await remove(cluster, 'n0', DELETED_KEY)
  await untilPurged(cluster, OLD, DELETED_KEY)
}

const hiddenBelow: Scenario = {
  name: 'hiddenBelow',
  summary: 'an entry of a closed slot vanishes from the disk of one owner, without an error',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await closeSlot(cluster)
    await cluster.hide('n2', KEY)
    for (const name of OLD) await cluster.mustRead(name, KEY, 'old')
    cluster.promise(cluster.holds('n2', KEY) === 'old', 'a read did not write the entry back to n2')
    await cluster.hide('n2', KEY)
    cluster.kill('n2')
    cluster.options = { ...cluster.options, repairEveryMs: EVERY_MS }
    await cluster.start('n2')
    await cluster.when(() => cluster.ring.isWhole(3), 'n2 is back')
    const isRepaired = await cluster.ring.clock.runUntil(() => cluster.holds('n2', KEY) === 'old', ROUNDS_MS)
    cluster.promise(isRepaired, 'repair did not give the entry back to n2')
    await cluster.heal(3)
  }
}

const shownBelow: Scenario = {
  name: 'shownBelow',
  summary: 'a deleted and purged entry is back on the disk of one owner',
  async run(cluster) {
    quick(cluster)
    await cluster.grow(OLD)
    await cluster.fill('n0', [DELETED_KEY], 'old')
    const entry = cluster.entry('n0', DELETED_KEY)!
    await closeSlot(cluster)
    await cluster.show('n2', DELETED_KEY, entry)
    for (const name of OLD) await cluster.mustRead(name, DELETED_KEY, undefined)
    cluster.kill('n2')
    cluster.options = { ...cluster.options, repairEveryMs: EVERY_MS }
    await cluster.start('n2')
    await cluster.when(() => cluster.ring.isWhole(3), 'n2 is back')
    const isRepaired = await cluster.ring.clock.runUntil(() => isPurged(cluster, OLD, DELETED_KEY), ROUNDS_MS)
    cluster.promise(isRepaired, 'n2 still holds the deleted entry')
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
