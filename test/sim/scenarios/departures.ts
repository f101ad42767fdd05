// Members that leave or are removed, and slots that are released: what must be kept until other members hold it.
import { slotOf } from '../../../lib/ring/slots.js'
import { newestConfig } from '../../../lib/views/configs.js'
import { message } from '../seams/steering.js'
import { NotReached, type Scenario, type ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

const hastyDelete: Scenario = {
  name: 'hastyDelete',
  summary: 'former owners look for slots to release while the new owners have pulled nothing yet',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    await cluster.when(
      () => cluster.keys.every((key) => OLD.every((name) => cluster.holds(name, key))),
      'all owners have all keys'
    )
    const pulls = cluster.steering.hold(message('pull', NEW))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.when(() => OLD.every((name) => cluster.viewNumber(name) === 3), 'the old owners know the view')
    await cluster.advance(8000)
    for (const name of OLD)
      cluster.promise(cluster.holds(name, key) === 'old', `${name} released a slot that has not settled`)
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n3', key), 'no new owner is ready')
    await cluster.heal(6)
    const haveReleased = () => OLD.every((name) => cluster.holds(name, key) === undefined)
    cluster.promise(await cluster.ring.clock.runUntil(haveReleased, 30_000), 'former owners do not release the slot')
  }
}

const ownerAgain: Scenario = {
  name: 'ownerAgain',
  summary: 'a former owner has compared itself with the new owners, and owns the slot again before it releases it',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const compares = cluster.steering.holdAnswers(message('compare', ['n0']))
    await cluster.join(NEW, 'n1')
    await cluster.when(() => compares.caught.length > 0, 'n0 compares itself with an owner')
    const ranges = compares.caught[0]!.body.compare!.ranges
    const owners = newestConfig(cluster.view('n0').configs.windows[ranges[0]!.first]!).owners
    for (let count = 1; count < owners.length; count++) {
      compares.letGo()
      await cluster.when(() => compares.caught.length > count, 'n0 compares itself with the next one')
    }
    const { to: last } = compares.caught.at(-1)!
    const dead = NEW.find((name) => name !== last && owners.includes(cluster.member(name)))
    if (dead === undefined) throw new NotReached('no joiner owns the slots besides the one that is compared last')
    const member = cluster.member(dead)
    cluster.kill(dead)
    void cluster.node('n1').node.remove(member, { force: true })
    const isIn = (slot: number) => ranges.some(({ first, last: end }) => first <= slot && slot <= end)
    const isMine = (key: string) => isIn(slotOf(Buffer.from(key))) && cluster.isReady('n0', key)
    const mine = () => cluster.keys.filter((key) => isMine(key) && cluster.owners('n0', key).includes('n0'))
    await cluster.when(() => cluster.view('n0').members.size === 5, 'the dead joiner is removed')
    await cluster.when(() => mine().length > 0, 'n0 owns some of the slots again, and is ready', 8000)
    const key = mine()[0]!
    cluster.reached(cluster.holds('n0', key) === 'old', 'n0 still holds the key')
    compares.release()
    await cluster.advance(3000)
    cluster.mustHold('n0', key, 'old')
    await cluster.heal(5)
    cluster.mustHold('n0', key, 'old')
  }
}

const lastCopy: Scenario = {
  name: 'lastCopy',
  summary: 'a write has reached one owner only, and the joiners have pulled from the two others',
  async run(cluster) {
    await cluster.grow(OLD)
    const lost = cluster.steering.lose(message('write', ['n0'], ['n1', 'n2']))
    for (const key of cluster.keys) cluster.put('n0', key, 'half')
    await cluster.when(() => cluster.keys.every((key) => cluster.holds('n0', key) === 'half'), 'n0 has the writes')
    cluster.ring.hub.partition(['n0'], NEW)
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.when(() => NEW.every((name) => cluster.isReady(name, key)), 'the joiners are ready')
    // The router gives the write up, so that only n0 has it.
    await cluster.advance(10_000)
    lost.release()
    cluster.reached(
      cluster.holds('n0', key) === 'half' && NEW.every((name) => !cluster.holds(name, key)),
      'only n0 has it'
    )
    cluster.ring.hub.heal()
    await cluster.when(() => cluster.holds('n0', key) === undefined, 'n0 has released its copy')
    for (const name of NEW) cluster.promise(cluster.holds(name, key) === 'half', `${name} did not get the entry of n0`)
    await cluster.heal(6)
  }
}

/**
 * n4 and n5 are ready, and n3 is not and does not know it. The old owners cannot reach n3, and release the slot of the
 * key after their hold-down. Then n3 reaches the nodes that `between` returns, and pulls from them.
 */
async function pullFromFormerOwners(
  cluster: ScenarioCluster,
  old: readonly string[],
  between: (key: string) => Promise<readonly string[]>
): Promise<void> {
  for (const name of old) await cluster.start(name, { holdDownMs: 1000 })
  await cluster.grow([])
  await cluster.fill('n0', cluster.keys, 'old')
  const pulls = cluster.steering.hold(message('pull', ['n3']))
  await cluster.join(NEW, old.at(-1)!)
  cluster.steering.deafen('n3')
  const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
  await cluster.isolate('n3', old)
  await cluster.when(
    () => old.every((name) => cluster.holds(name, key) === undefined),
    'the old owners have released the slot'
  )
  cluster.reached(!cluster.isReady('n3', key) && cluster.window('n3', key).length === 2, 'n3 does not know it')
  const reachable = await between(key)
  for (const name of reachable) cluster.ring.hub.heal('n3', name)
  await cluster.when(() => reachable.every((name) => cluster.isLinked('n3', name)), 'n3 reaches them again')
  pulls.release()
  await cluster.advance(20_000)
  cluster.mustHold('n3', key, 'old')
  cluster.steering.releaseAll()
  cluster.ring.hub.heal()
  const leavers = ['n4', 'n5'].filter((name) => cluster.view('n0').members.get(cluster.member(name)) === undefined)
  await cluster.when(() => leavers.every((name) => cluster.left.has(name)), 'the leaving members have left')
  await cluster.stopLeft()
  await cluster.heal(old.length + 3 - leavers.length)
  cluster.mustHold('n3', key, 'old')
}

const mootPull: Scenario = {
  name: 'mootPull',
  summary: 'an owner wants to pull from former owners, and learns that they have released the slot',
  async run(cluster) {
    for (const name of OLD) await cluster.start(name, { holdDownMs: 1000 })
    await cluster.grow([])
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', ['n3']))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.when(() => pulls.caught.length > 0, 'n3 wants to pull')
    await cluster.isolate('n3', OLD)
    await cluster.when(
      () => OLD.every((name) => cluster.holds(name, key) === undefined),
      'the old owners have released the slot'
    )
    cluster.reached(
      cluster.window('n3', key).length === 1 && !cluster.isReady('n3', key),
      'n3 knows it, and is not ready'
    )
    cluster.ring.hub.heal()
    pulls.release()
    await cluster.heal(6)
    cluster.mustHold('n3', key, 'old')
  }
}

const sameOwnersAgain: Scenario = {
  name: 'sameOwnersAgain',
  summary: 'a member joins and leaves again; a slot then has its first owners, one of which has missed a write',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    await cluster.join(['n3'], 'n1')
    await cluster.untilWhole(4)
    const key = cluster.pickKey('n3', (owners) => owners.join() === 'n0,n1,n3')
    await cluster.when(() => cluster.holds('n2', key) === undefined, 'n2 has released it')
    cluster.steering.lose(message('write', ['n3'], ['n1']))
    await cluster.answered(cluster.put('n3', key, 'new'))
    cluster.reached(cluster.holds('n0', key) === 'new' && cluster.holds('n1', key) === 'old', 'n1 has missed the write')
    cluster.steering.hold(message('pull', OLD))
    void cluster.node('n3').node.leave({ force: false })
    await cluster.when(() => OLD.every((name) => cluster.viewNumber(name) === 4), 'n3 is no longer a member')
    cluster.reached(cluster.owners('n2', key).join() === OLD.join(), 'the former owners own it again')
    await cluster.advance(1000)
    cluster.steering.hold(message('read', undefined, ['n0']))
    await cluster.mustRead('n2', key, 'new')
    cluster.steering.releaseAll()
    await cluster.when(() => cluster.left.has('n3'), 'n3 has left')
    await cluster.stopLeft()
    await cluster.heal(3)
  }
}

const lazyShrinker: Scenario = {
  name: 'lazyShrinker',
  summary: 'three members become two, and one that stays has missed a write that the leaving member holds',
  async run(cluster) {
    cluster.keepCopies()
    await cluster.grow(OLD)
    cluster.steering.lose(message('write', ['n1'], ['n0']))
    await cluster.answered(cluster.put('n1', 'a', 'old'))
    cluster.reached(cluster.holds('n0', 'a') === undefined, 'n0 has missed it')
    const pulls = cluster.steering.hold(message('pull', ['n0']))
    void cluster.node('n2').node.leave({ force: true })
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n2 is no longer a member')
    await cluster.advance(1000)
    cluster.mustHold('n0', 'a', 'old')
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n0', 'a'), 'n0 wants to pull')
    cluster.steering.releaseAll()
    await cluster.when(() => cluster.left.has('n2'), 'n2 has left')
    await cluster.stopLeft()
    await cluster.heal(2)
    cluster.mustHold('n0', 'a', 'old')
  }
}

const retiredSource: Scenario = {
  name: 'retiredSource',
  summary: 'an owner that is behind pulls from former owners that have released the slot and deleted it',
  run: (cluster) => pullFromFormerOwners(cluster, OLD, async () => OLD)
}

const retiredRestart: Scenario = {
  name: 'retiredRestart',
  summary: 'former owners that have released a slot restart, and an owner that is behind pulls from them',
  run: (cluster) =>
    pullFromFormerOwners(cluster, OLD, async () => {
      // The old owners keep their addresses, because n3 learns no new ones.
      const addresses = new Map(OLD.map((name) => [name, cluster.address(name)]))
      cluster.kill(...OLD)
      for (const name of OLD) await cluster.start(name, { address: addresses.get(name)! })
      await cluster.when(() => OLD.every((name) => cluster.viewNumber(name) === 3), 'they are back')
      return OLD
    })
}

const reownedSource: Scenario = {
  name: 'reownedSource',
  summary: 'an owner that is behind pulls from a member that has released the slot and owns it again without data',
  run: (cluster) =>
    pullFromFormerOwners(cluster, ['n0'], async () => {
      cluster.steering.hold(message('pull', ['n0']))
      for (const name of ['n4', 'n5']) void cluster.node(name).node.leave({ force: true })
      await cluster.when(() => cluster.view('n0').members.size === 2, 'n4 and n5 are no longer members')
      cluster.reached(cluster.view('n3').members.size === 4, 'n3 does not know it')
      return ['n0']
    })
}

const leaverTakesChain: Scenario = {
  name: 'leaverTakesChain',
  summary: 'half of the members leave, and only they know the view without them',
  async run(cluster) {
    for (const name of [...OLD, 'n3']) await cluster.start(name, { replicas: 2 })
    await cluster.grow([])
    const before = cluster.viewNumber('n0')
    for (const name of ['n0', 'n1']) cluster.steering.deafen(name, { votes: true })
    for (const name of ['n2', 'n3']) void cluster.node(name).node.leave({ force: false })
    await cluster.when(
      () => ['n2', 'n3'].every((name) => !cluster.view(name).isMember),
      'n2 and n3 are no longer members'
    )
    await cluster.advance(15_000)
    cluster.reached(
      cluster.viewNumber('n0') === before && cluster.viewNumber('n1') === before,
      'n0 and n1 do not know the view'
    )
    await cluster.stopLeft()
    cluster.steering.releaseAll()
    const areAlone = () => ['n0', 'n1'].every((name) => cluster.view(name).members.size === 2)
    cluster.promise(
      await cluster.ring.clock.runUntil(areAlone, 30_000),
      'n0 and n1 do not learn the view without n2 and n3'
    )
    await cluster.when(() => cluster.left.size === 2, 'the others have left')
    await cluster.stopLeft()
    await cluster.heal(2)
  }
}

const leaverTakesFact: Scenario = {
  name: 'leaverTakesFact',
  summary: 'three members leave; only they know that two new owners are ready, and one of these two dies',
  async run(cluster) {
    const everyone = [...OLD, ...NEW]
    for (const name of everyone) await cluster.start(name, { holdDownMs: 1000 })
    await cluster.grow([])
    await cluster.fill('n0', cluster.keys, 'old')
    const among = ({ from, to }: { from: string; to: string }) => NEW.includes(from) && NEW.includes(to)
    cluster.steering.lose((sent) => among(sent) && (sent.body.learn !== undefined || sent.body.exchange !== undefined))
    cluster.steering.loseRumors((from, to) => among({ from, to }))
    const pulls = cluster.steering.hold(message('pull', ['n5']))
    for (const name of OLD) void cluster.node(name).node.leave({ force: false })
    await cluster.when(
      () => everyone.every((name) => cluster.view(name).members.size === 3),
      'the three old owners are no longer members'
    )
    cluster.steering.lose(message('learn', OLD, NEW))
    cluster.steering.lose(message('exchange', OLD, NEW))
    cluster.steering.lose(message('exchange', NEW, OLD))
    cluster.steering.loseRumors((from, to) => OLD.includes(from) && NEW.includes(to))
    await cluster.when(() => pulls.caught.length > 0, 'n5 knows the view')
    await cluster.isolate('n5', OLD)
    await cluster.advance(30_000)
    cluster.reached(cluster.window('n4', 'key-0').length === 2, 'n4 does not know that the slots have settled')
    await cluster.stopLeft()
    cluster.kill('n3')
    cluster.steering.releaseAll()
    cluster.ring.hub.heal()
    const isSettled = () => ['n4', 'n5'].every((name) => cluster.keys.every((key) => cluster.isReady(name, key)))
    cluster.promise(await cluster.ring.clock.runUntil(isSettled, 60_000), 'n4 and n5 do not become ready')
    for (const key of cluster.keys) await cluster.mustRead('n4', key, 'old')
  }
}

const twoMajorities: Scenario = {
  name: 'twoMajorities',
  summary: 'each side of a partition wants to remove the other side',
  async run(cluster) {
    await cluster.grow(OLD)
    const ids = new Map(OLD.map((name) => [name, cluster.member(name)]))
    // A side that sees too few members refuses the request, so both are asked before. Neither hears of the other one.
    const silence = cluster.steering.lose((sent) => sent.body.learn !== undefined || sent.body.exchange !== undefined)
    cluster.steering.loseRumors(() => true)
    const remove = (name: string, target: string) => cluster.node(name).node.remove(ids.get(target)!, { force: true })
    await cluster.ring.wait(Promise.all([remove('n0', 'n1'), remove('n0', 'n2'), remove('n1', 'n0')]))
    cluster.ring.hub.partition(['n0'], ['n1', 'n2'])
    for (const name of ['n1', 'n2']) cluster.ring.hub.reset('n0', name)
    silence.release()
    await cluster.when(() => cluster.viewNumber('n1') >= 3, 'two of three have removed the third')
    await cluster.advance(5000)
    cluster.mustAgreeOn('view/0000000003')
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
