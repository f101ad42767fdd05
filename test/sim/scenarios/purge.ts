// What was deleted leaves the disks: when it may not, and what must not come back once it has.
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

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
function quick(stage: Stage): void {
  stage.options = {
    purgeAfterMs: AFTER_MS,
    purgeEveryMs: EVERY_MS,
    repairEveryMs: 0,
    scrubMs: 0,
    hintBytesMax: 0
  }
}

async function remove(stage: Stage, via: string, key = KEY): Promise<void> {
  const deletion = await stage.answered(stage.delete(via, key))
  stage.reached(deletion.state === 'done', 'the key is deleted')
}

function isForgotten(stage: Stage, names: readonly string[], key = KEY): boolean {
  return names.every((name) => stage.version(name, key) === undefined)
}

async function untilForgotten(stage: Stage, names: readonly string[], key = KEY): Promise<void> {
  await stage.when(() => isForgotten(stage, names, key), 'the tombstone has left every disk')
}

const missedDelete: Scenario = {
  name: 'missedDelete',
  story: 'one owner has missed a delete, and holds what was deleted',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have it')
    const lost = stage.steering.lose(message('write', undefined, ['n2']))
    await remove(stage, 'n0')
    lost.release()
    await stage.advance(ROUNDS_MS)
    stage.reached(stage.holds('n2', KEY) === 'old', 'n2 still holds it')
    for (const name of ['n0', 'n1']) {
      stage.promise(stage.version(name, KEY) !== undefined, `${name} forgot a delete that n2 has not heard of`)
    }
    await stage.heal(3)
  }
}

const absentOwner: Scenario = {
  name: 'absentOwner',
  story: 'one owner is away while a key is deleted, and comes back with it',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have it')
    stage.kill('n2')
    await remove(stage, 'n0')
    await stage.advance(ROUNDS_MS)
    for (const name of ['n0', 'n1']) {
      stage.promise(stage.version(name, KEY) !== undefined, `${name} forgot a delete while n2 was away`)
    }
    await stage.start('n2')
    await stage.heal(3)
  }
}

const lateWriteBelow: Scenario = {
  name: 'lateWriteBelow',
  story: 'a write gets to its owners long after its key was deleted and forgotten',
  async run(stage) {
    quick(stage)
    await stage.grow([...OLD, 'n3'])
    const key = stage.pickKey('n3', (owners) => owners.join() === OLD.join())
    const late = stage.steering.hold(message('write', ['n3'], OLD))
    const write = stage.put('n3', key, 'late')
    await stage.when(() => late.caught.length === OLD.length, 'the write is under way')
    await stage.answered(write)
    await stage.fill('n0', [key], 'new')
    await remove(stage, 'n0', key)
    await untilForgotten(stage, OLD, key)
    late.release()
    await stage.advance(1000)
    for (const name of OLD) {
      stage.promise(stage.holds(name, key) === undefined, `${name} took what is older than the delete`)
    }
    await stage.heal(4)
  }
}

const handOverBelow: Scenario = {
  name: 'handOverBelow',
  story: 'a member that was removed while it was away hands over what has been deleted and forgotten since',
  async run(stage) {
    quick(stage)
    await stage.grow([...OLD, 'n3'])
    await stage.fill('n0', stage.keys, 'old')
    const key = stage.pickKey('n0', (owners) => owners.includes('n3'))
    const member = stage.member('n3')
    stage.kill('n3')
    await stage.advance(1000)
    await stage.ring.wait(stage.node('n0').node.remove(member, { force: false }))
    await stage.when(() => stage.ring.isWhole(3), 'the others go on without it')
    await remove(stage, 'n0', key)
    await untilForgotten(stage, OLD, key)
    // What has left the disk must be known to have left it, also by the next life of its owners.
    for (const name of OLD) {
      stage.kill(name)
      await stage.start(name)
      await stage.when(() => stage.ring.isWhole(3), `${name} is back`)
    }
    const back = await stage.ring.start('n3', { ...stage.options, store: stage.disk('n3') })
    let hasEnded = false
    void back.node.failed.then(() => {
      hasEnded = true
    })
    await stage.when(() => hasEnded, 'n3 has handed over what it held')
    for (const name of OLD) {
      stage.promise(stage.holds(name, key) === undefined, `n3 brought ${name} what was deleted`)
    }
    await stage.mustRead('n0', key, undefined)
  }
}

const leftoverOwner: Scenario = {
  name: 'leftoverOwner',
  story: 'a former owner kept what has been deleted and forgotten since, and owns the key again',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    stage.keepCopies()
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n1', (owners) => owners.join() === NEW.join())
    await stage.when(() => stage.ring.isWhole(6), 'the new owners have it')
    await remove(stage, 'n0', key)
    await untilForgotten(stage, NEW, key)
    stage.reached(stage.holds('n0', key) === 'old', 'n0 has kept it')
    for (const name of NEW) {
      const { storeId } = stage.node(name).node
      void stage.node(name).node.leave({ force: true })
      await stage.when(() => !stage.view('n0').members.has(storeId), `${name} is out`)
      const isSettled = () => stage.view('n0').configs.windows.every((window) => window.length === 1)
      await stage.when(isSettled, 'what it owned has moved')
    }
    stage.reached(stage.owners('n0', key).includes('n0'), 'n0 owns it again')
    await stage.when(() => OLD.every((name) => stage.isReady(name, key, 'n0')), 'the owners are ready')
    for (const name of OLD) {
      stage.promise(stage.holds(name, key) === undefined, `${name} holds again what was deleted`)
    }
    await stage.mustRead('n0', key, undefined)
  }
}

/** All owners have closed the slot of KEY, and hold what was put there before. */
async function closeSlot(stage: Stage): Promise<void> {
  await stage.fill('n0', [KEY, GONE], 'old')
  await stage.when(() => OLD.every((name) => stage.holds(name, GONE) === 'old'), 'all have it')
  await remove(stage, 'n0', GONE)
  await untilForgotten(stage, OLD, GONE)
}

const hiddenBelow: Scenario = {
  name: 'hiddenBelow',
  story: 'after its slot was closed an entry vanishes from the disk of one owner without a trace',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await closeSlot(stage)
    await stage.hide('n2', KEY)
    for (const name of OLD) await stage.mustRead(name, KEY, 'old')
    stage.promise(stage.holds('n2', KEY) === 'old', 'a read has not given n2 back what it lacked')
    await stage.hide('n2', KEY)
    stage.kill('n2')
    stage.options = { ...stage.options, repairEveryMs: EVERY_MS }
    await stage.start('n2')
    await stage.when(() => stage.ring.isWhole(3), 'n2 is back')
    const isMended = await stage.ring.clock.runUntil(() => stage.holds('n2', KEY) === 'old', ROUNDS_MS)
    stage.promise(isMended, 'repair has not given n2 back what it lacked')
    await stage.heal(3)
  }
}

const shownBelow: Scenario = {
  name: 'shownBelow',
  story: 'after its slot was closed a deleted entry is back on the disk of one owner',
  async run(stage) {
    quick(stage)
    await stage.grow(OLD)
    await stage.fill('n0', [GONE], 'old')
    const entry = stage.entry('n0', GONE)!
    await closeSlot(stage)
    await stage.show('n2', GONE, entry)
    for (const name of OLD) await stage.mustRead(name, GONE, undefined)
    stage.kill('n2')
    stage.options = { ...stage.options, repairEveryMs: EVERY_MS }
    await stage.start('n2')
    await stage.when(() => stage.ring.isWhole(3), 'n2 is back')
    const isMended = await stage.ring.clock.runUntil(() => isForgotten(stage, OLD, GONE), ROUNDS_MS)
    stage.promise(isMended, 'n2 still holds what was deleted')
    await stage.heal(3)
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
