// Members that go and slots that are given up: what must be kept until others provably hold it.
import { slotOf } from '../../../lib/ring/slots.js'
import { newestConfig } from '../../../lib/views/configs.js'
import { message } from '../seams/steering.js'
import { NotReached, type Scenario, type Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

const hastyDelete: Scenario = {
  name: 'hastyDelete',
  story: 'the new owners of a slot have pulled nothing yet, and the old ones look for what they may give up',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    await stage.when(() => stage.keys.every((key) => OLD.every((name) => stage.holds(name, key))), 'all hold all')
    const pulls = stage.steering.hold(message('pull', NEW))
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
    await stage.when(() => OLD.every((name) => stage.viewNumber(name) === 3), 'the old owners know the view')
    await stage.advance(8000)
    for (const name of OLD) stage.promise(stage.holds(name, key) === 'old', `${name} gave up what has not settled`)
    stage.reached(pulls.caught.length > 0 && !stage.isReady('n3', key), 'nobody is ready')
    await stage.heal(6)
    const areGone = () => OLD.every((name) => stage.holds(name, key) === undefined)
    stage.promise(await stage.ring.clock.runUntil(areGone, 30_000), 'old owners keep what they should give up')
  }
}

const ownerAgain: Scenario = {
  name: 'ownerAgain',
  story: 'a former owner has compared itself with the new ones, and owns the slot again before it gives it up',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    const compares = stage.steering.holdAnswers(message('compare', ['n0']))
    await stage.join(NEW, 'n1')
    await stage.when(() => compares.caught.length > 0, 'n0 compares itself with an owner')
    const ranges = compares.caught[0]!.body.compare!.ranges
    const owners = newestConfig(stage.view('n0').configs.windows[ranges[0]!.first]!).owners
    for (let count = 1; count < owners.length; count++) {
      compares.letGo()
      await stage.when(() => compares.caught.length > count, 'n0 compares itself with the next one')
    }
    const { to: last } = compares.caught.at(-1)!
    const dead = NEW.find((name) => name !== last && owners.includes(stage.member(name)))
    if (dead === undefined) throw new NotReached('a joiner owns the slots, and is not compared with last')
    const member = stage.member(dead)
    stage.kill(dead)
    void stage.node('n1').node.remove(member, { force: true })
    const isIn = (slot: number) => ranges.some(({ first, last: end }) => first <= slot && slot <= end)
    const isMine = (key: string) => isIn(slotOf(Buffer.from(key))) && stage.isReady('n0', key)
    const mine = () => stage.keys.filter((key) => isMine(key) && stage.owners('n0', key).includes('n0'))
    await stage.when(() => stage.view('n0').members.size === 5, 'the dead one is out')
    await stage.when(() => mine().length > 0, 'n0 owns some of the slots again, and is ready', 8000)
    const key = mine()[0]!
    stage.reached(stage.holds('n0', key) === 'old', 'n0 holds what it owns')
    compares.release()
    await stage.advance(3000)
    stage.mustHold('n0', key, 'old')
    await stage.heal(5)
    stage.mustHold('n0', key, 'old')
  }
}

const lastCopy: Scenario = {
  name: 'lastCopy',
  story: 'a write has reached one owner only, and the joiners have pulled from the two others',
  async run(stage) {
    await stage.grow(OLD)
    const lost = stage.steering.lose(message('write', ['n0'], ['n1', 'n2']))
    for (const key of stage.keys) stage.put('n0', key, 'half')
    await stage.when(() => stage.keys.every((key) => stage.holds('n0', key) === 'half'), 'n0 has the writes')
    stage.ring.hub.partition(['n0'], NEW)
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
    await stage.when(() => NEW.every((name) => stage.isReady(name, key)), 'the joiners are ready')
    // The router gives the write up, so that it is nobody's but n0's.
    await stage.advance(10_000)
    lost.release()
    stage.reached(stage.holds('n0', key) === 'half' && NEW.every((name) => !stage.holds(name, key)), 'only n0 has it')
    stage.ring.hub.heal()
    await stage.when(() => stage.holds('n0', key) === undefined, 'n0 has given its copy up')
    for (const name of NEW) stage.promise(stage.holds(name, key) === 'half', `${name} did not get what n0 held`)
    await stage.heal(6)
  }
}

/**
 * n4 and n5 are ready and n3 is not, does not know it, and cannot be reached by the old owners, who have lost patience
 * and given up the slot of the key. n3's pulls then reach those that `between` names.
 */
async function pullFromWhoGaveUp(
  stage: Stage,
  old: readonly string[],
  between: (key: string) => Promise<readonly string[]>
): Promise<void> {
  for (const name of old) await stage.start(name, { holdDownMs: 1000 })
  await stage.grow([])
  await stage.fill('n0', stage.keys, 'old')
  const pulls = stage.steering.hold(message('pull', ['n3']))
  await stage.join(NEW, old.at(-1)!)
  stage.steering.deafen('n3')
  const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
  await stage.isolate('n3', old)
  await stage.when(() => old.every((name) => stage.holds(name, key) === undefined), 'the old owners gave the key up')
  stage.reached(!stage.isReady('n3', key) && stage.window('n3', key).length === 2, 'n3 knows nothing of it')
  const reachable = await between(key)
  for (const name of reachable) stage.ring.hub.heal('n3', name)
  await stage.when(() => reachable.every((name) => stage.isLinked('n3', name)), 'n3 reaches them again')
  pulls.release()
  await stage.advance(20_000)
  stage.mustHold('n3', key, 'old')
  stage.steering.releaseAll()
  stage.ring.hub.heal()
  const leavers = ['n4', 'n5'].filter((name) => stage.view('n0').members.get(stage.member(name)) === undefined)
  await stage.when(() => leavers.every((name) => stage.left.has(name)), 'those who leave have left')
  await stage.stopLeft()
  await stage.heal(old.length + 3 - leavers.length)
  stage.mustHold('n3', key, 'old')
}

const mootPull: Scenario = {
  name: 'mootPull',
  story: 'an owner that wants to pull from former owners learns that they have given the slot up',
  async run(stage) {
    for (const name of OLD) await stage.start(name, { holdDownMs: 1000 })
    await stage.grow([])
    await stage.fill('n0', stage.keys, 'old')
    const pulls = stage.steering.hold(message('pull', ['n3']))
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
    await stage.when(() => pulls.caught.length > 0, 'n3 wants to pull')
    await stage.isolate('n3', OLD)
    await stage.when(() => OLD.every((name) => stage.holds(name, key) === undefined), 'the old owners gave the key up')
    stage.reached(stage.window('n3', key).length === 1 && !stage.isReady('n3', key), 'n3 knows, and is not ready')
    stage.ring.hub.heal()
    pulls.release()
    await stage.heal(6)
    stage.mustHold('n3', key, 'old')
  }
}

const sameOwnersAgain: Scenario = {
  name: 'sameOwnersAgain',
  story: 'a member comes and goes; a slot has its former owners again, of whom one has missed a write since',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    await stage.join(['n3'], 'n1')
    await stage.untilWhole(4)
    const key = stage.pickKey('n3', (owners) => owners.join() === 'n0,n1,n3')
    await stage.when(() => stage.holds('n2', key) === undefined, 'n2 has given it up')
    stage.steering.lose(message('write', ['n3'], ['n1']))
    await stage.answered(stage.put('n3', key, 'new'))
    stage.reached(stage.holds('n0', key) === 'new' && stage.holds('n1', key) === 'old', 'n1 has missed the write')
    stage.steering.hold(message('pull', OLD))
    void stage.node('n3').node.leave({ force: false })
    await stage.when(() => OLD.every((name) => stage.viewNumber(name) === 4), 'n3 is out')
    stage.reached(stage.owners('n2', key).join() === OLD.join(), 'the former owners own it again')
    await stage.advance(1000)
    stage.steering.hold(message('read', undefined, ['n0']))
    await stage.mustRead('n2', key, 'new')
    stage.steering.releaseAll()
    await stage.when(() => stage.left.has('n3'), 'n3 has left')
    await stage.stopLeft()
    await stage.heal(3)
  }
}

const lazyShrinker: Scenario = {
  name: 'lazyShrinker',
  story: 'three shrink to two, and one that stays has missed a write that the leaver has',
  async run(stage) {
    stage.keepCopies()
    await stage.grow(OLD)
    stage.steering.lose(message('write', ['n1'], ['n0']))
    await stage.answered(stage.put('n1', 'a', 'old'))
    stage.reached(stage.holds('n0', 'a') === undefined, 'n0 has missed it')
    const pulls = stage.steering.hold(message('pull', ['n0']))
    void stage.node('n2').node.leave({ force: true })
    await stage.when(() => stage.viewNumber('n0') === 3, 'n2 is out')
    await stage.advance(1000)
    stage.mustHold('n0', 'a', 'old')
    stage.reached(pulls.caught.length > 0 && !stage.isReady('n0', 'a'), 'n0 wants to pull')
    stage.steering.releaseAll()
    await stage.when(() => stage.left.has('n2'), 'n2 has left')
    await stage.stopLeft()
    await stage.heal(2)
    stage.mustHold('n0', 'a', 'old')
  }
}

const retiredSource: Scenario = {
  name: 'retiredSource',
  story: 'an owner that is behind pulls from former owners that have given the slot up and deleted it',
  run: (stage) => pullFromWhoGaveUp(stage, OLD, async () => OLD)
}

const retiredRestart: Scenario = {
  name: 'retiredRestart',
  story: 'former owners that have given a slot up restart, and an owner that is behind pulls from them',
  run: (stage) =>
    pullFromWhoGaveUp(stage, OLD, async () => {
      // n3 hears of no new addresses.
      const addresses = new Map(OLD.map((name) => [name, stage.address(name)]))
      stage.kill(...OLD)
      for (const name of OLD) await stage.start(name, { address: addresses.get(name)! })
      await stage.when(() => OLD.every((name) => stage.viewNumber(name) === 3), 'they are back')
      return OLD
    })
}

const reownedSource: Scenario = {
  name: 'reownedSource',
  story: 'one that has given a slot up owns it again, without data yet, when an owner that is behind pulls from it',
  run: (stage) =>
    pullFromWhoGaveUp(stage, ['n0'], async () => {
      stage.steering.hold(message('pull', ['n0']))
      for (const name of ['n4', 'n5']) void stage.node(name).node.leave({ force: true })
      await stage.when(() => stage.view('n0').members.size === 2, 'n4 and n5 are out')
      stage.reached(stage.view('n3').members.size === 4, 'n3 does not know it')
      return ['n0']
    })
}

const leaverTakesChain: Scenario = {
  name: 'leaverTakesChain',
  story: 'half of the members leave; the view without them is known to them alone',
  async run(stage) {
    for (const name of [...OLD, 'n3']) await stage.start(name, { replicas: 2 })
    await stage.grow([])
    const before = stage.viewNumber('n0')
    for (const name of ['n0', 'n1']) stage.steering.deafen(name, { votes: true })
    for (const name of ['n2', 'n3']) void stage.node(name).node.leave({ force: false })
    await stage.when(() => ['n2', 'n3'].every((name) => !stage.view(name).isMember), 'they are out')
    await stage.advance(15_000)
    stage.reached(stage.viewNumber('n0') === before && stage.viewNumber('n1') === before, 'those who stay are behind')
    await stage.stopLeft()
    stage.steering.releaseAll()
    const areAlone = () => ['n0', 'n1'].every((name) => stage.view(name).members.size === 2)
    stage.promise(await stage.ring.clock.runUntil(areAlone, 30_000), 'those who stay never learn that they are alone')
    await stage.when(() => stage.left.size === 2, 'the others have left')
    await stage.stopLeft()
    await stage.heal(2)
  }
}

const leaverTakesFact: Scenario = {
  name: 'leaverTakesFact',
  story: 'three leave; they alone know that two of the new owners are ready, and one of these is lost',
  async run(stage) {
    const everyone = [...OLD, ...NEW]
    for (const name of everyone) await stage.start(name, { holdDownMs: 1000 })
    await stage.grow([])
    await stage.fill('n0', stage.keys, 'old')
    const among = ({ from, to }: { from: string; to: string }) => NEW.includes(from) && NEW.includes(to)
    stage.steering.lose((sent) => among(sent) && (sent.body.learn !== undefined || sent.body.exchange !== undefined))
    stage.steering.loseRumors((from, to) => among({ from, to }))
    const pulls = stage.steering.hold(message('pull', ['n5']))
    for (const name of OLD) void stage.node(name).node.leave({ force: false })
    await stage.when(() => everyone.every((name) => stage.view(name).members.size === 3), 'three are out')
    stage.steering.lose(message('learn', OLD, NEW))
    stage.steering.lose(message('exchange', OLD, NEW))
    stage.steering.lose(message('exchange', NEW, OLD))
    stage.steering.loseRumors((from, to) => OLD.includes(from) && NEW.includes(to))
    await stage.when(() => pulls.caught.length > 0, 'n5 has seen the view')
    await stage.isolate('n5', OLD)
    await stage.advance(30_000)
    stage.reached(stage.window('n4', 'key-0').length === 2, 'n4 knows of nothing that has settled')
    await stage.stopLeft()
    stage.kill('n3')
    stage.steering.releaseAll()
    stage.ring.hub.heal()
    const isSettled = () => ['n4', 'n5'].every((name) => stage.keys.every((key) => stage.isReady(name, key)))
    stage.promise(await stage.ring.clock.runUntil(isSettled, 60_000), 'n4 and n5 never become ready')
    for (const key of stage.keys) await stage.mustRead('n4', key, 'old')
  }
}

const twoMajorities: Scenario = {
  name: 'twoMajorities',
  story: 'each side of a partition wants to remove the other one',
  async run(stage) {
    await stage.grow(OLD)
    const ids = new Map(OLD.map((name) => [name, stage.member(name)]))
    stage.ring.hub.partition(['n0'], ['n1', 'n2'])
    for (const name of ['n1', 'n2']) {
      stage.ring.hub.reset('n0', name)
      void stage.node('n0').node.remove(ids.get(name)!, { force: true })
    }
    void stage.node('n1').node.remove(ids.get('n0')!, { force: true })
    await stage.when(() => stage.viewNumber('n1') >= 3, 'two of three have removed the third')
    await stage.advance(5000)
    stage.mustAgreeOn('view/0000000003')
  }
}

export const DEPARTURES: readonly Scenario[] = [
  hastyDelete,
  ownerAgain,
  lastCopy,
  mootPull,
  sameOwnersAgain,
  lazyShrinker,
  retiredSource,
  retiredRestart,
  reownedSource,
  leaverTakesChain,
  leaverTakesFact,
  twoMajorities
]
