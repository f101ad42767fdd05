// Reads and writes while slots move: which configs must answer, and which answers count.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Three members hold all keys; three more join, and the pulls of `held` wait. Returns a key that only joiners own. */
async function begin(cluster: ScenarioCluster, held: readonly string[]) {
  cluster.keepCopies()
  await cluster.grow(OLD)
  await cluster.fill('n0', cluster.keys, 'old')
  const pulls = cluster.steering.hold(message('pull', held))
  await cluster.join(NEW, 'n1')
  const key = cluster.pickKey('n5', (owners) => owners.join() === NEW.join())
  await cluster.when(() => pulls.caught.length > 0, 'a joiner wants to pull')
  return { pulls, key }
}

const movingRead: Scenario = {
  name: 'movingRead',
  summary: 'a client reads through a new owner before the new owners have pulled anything',
  async run(cluster) {
    const { key } = await begin(cluster, NEW)
    cluster.reached(cluster.window('n5', key).length === 2, 'both configs are open')
    await cluster.mustRead('n5', key, 'old')
    await cluster.mustRead('n0', key, 'old')
    await cluster.heal(6)
  }
}

const oneReady: Scenario = {
  name: 'oneReady',
  summary: 'one of three new owners is ready, and a read gets answers only from the two others',
  async run(cluster) {
    const { key } = await begin(cluster, ['n4', 'n5'])
    await cluster.when(() => cluster.isReady('n3', key, 'n5'), 'n3 is ready')
    cluster.reached(!cluster.isReady('n4', key) && !cluster.isReady('n5', key), 'the others are not')
    cluster.steering.hold(message('read', undefined, ['n3']))
    await cluster.mustRead('n5', key, 'old')
    await cluster.heal(6)
  }
}

const staleBase: Scenario = {
  name: 'staleBase',
  summary: 'a router does not know that a slot has settled, and a write has reached only the new owners',
  async run(cluster) {
    const { pulls, key } = await begin(cluster, NEW)
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 knows the view')
    cluster.steering.deafen('n0')
    pulls.release()
    await cluster.when(() => NEW.every((name) => cluster.window(name, key).length === 1), 'the slot has settled')
    await cluster.answered(cluster.put('n3', key, 'new'))
    cluster.reached(cluster.holds('n4', key) === 'new' || cluster.holds('n5', key) === 'new', 'the new owners have it')
    cluster.reached(
      OLD.every((name) => cluster.holds(name, key) === 'old'),
      'the old owners do not'
    )
    cluster.reached(cluster.window('n0', key).length === 2, 'n0 does not know that the slot has settled')
    await cluster.mustRead('n0', key, 'new')
    await cluster.heal(6)
  }
}

const narrowMidRead: Scenario = {
  name: 'narrowMidRead',
  summary: 'new owners answer a read before they are ready, and the slot settles before the old owners answer',
  async run(cluster) {
    const { pulls, key } = await begin(cluster, NEW)
    const slow = cluster.steering.hold(message('read', ['n5'], OLD))
    const early = cluster.steering.holdAnswers(message('read', ['n5'], ['n3', 'n4']))
    const read = cluster.get('n5', key)
    await cluster.when(() => early.caught.length === 2 && slow.caught.length > 0, 'the new owners have answered')
    pulls.release()
    await cluster.when(() => cluster.window('n5', key).length === 1, 'n5 knows that the slot has settled')
    cluster.reached(read.state === 'open', 'the read is under way')
    await cluster.advance(20)
    early.release()
    await cluster.advance(100)
    slow.release()
    await cluster.answered(read)
    cluster.promise(
      read.state !== 'done' || read.value === 'old',
      `the read found ${read.value}, but old was acknowledged`
    )
    await cluster.heal(6)
  }
}

const blindJoiner: Scenario = {
  name: 'blindJoiner',
  summary: 'a peer learns the ring while slots move, and a client reads through it a key that the new owners lack',
  async run(cluster) {
    const { key } = await begin(cluster, NEW)
    await cluster.start('n6', { join: cluster.node('n1').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n6') === 3, 'n6 knows the views')
    cluster.reached(!cluster.isReady('n4', key) && !cluster.isReady('n5', key), 'the new owners are not ready')
    await cluster.mustRead('n6', key, 'old')
    await cluster.heal(7)
  }
}

const retryMints: Scenario = {
  name: 'retryMints',
  summary: 'a write that two owners have stored is retried because the ring has changed',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.steering.hold(message('write', ['n0'], ['n2']))
    cluster.steering.holdAnswers(message('write', ['n0'], ['n1']))
    const writes = new Map(cluster.keys.map((key) => [key, cluster.put('n0', key, 'new')]))
    const areAtTwo = () => cluster.keys.every((key) => ['n0', 'n1'].every((name) => cluster.holds(name, key) === 'new'))
    await cluster.when(areAtTwo, 'two owners have the writes')
    const versions = new Map(cluster.keys.map((key) => [key, cluster.version('n1', key)]))
    await cluster.join(NEW, 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.join() === NEW.join())
    await cluster.when(() => cluster.viewNumber('n0') === 3, 'n0 knows the view')
    await cluster.advance(20)
    cluster.reached(writes.get(key)?.state === 'open', 'the write is under way')
    cluster.steering.releaseAll()
    await cluster.answered(writes.get(key)!)
    const found = cluster.ring.running.map(({ name }) => cluster.version(name, key)).filter((one) => one !== undefined)
    cluster.promise(
      found.every((one) => one === versions.get(key)),
      'a write that was tried again has another version'
    )
    await cluster.heal(6)
  }
}

export const MOVING_WINDOWS: readonly Scenario[] = [
  movingRead,
  oneReady,
  staleBase,
  narrowMidRead,
  blindJoiner,
  retryMints
]
