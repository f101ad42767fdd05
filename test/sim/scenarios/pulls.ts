// Readiness: newcomers and owners that stay must pull from enough owners before they are ready.
import { newestConfig } from '../../../lib/views/configs.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']

/** Makes a ring of three. n0 and n1 have acknowledged all writes, and n2 has missed them. */
async function beginWithoutThird(cluster: ScenarioCluster): Promise<void> {
  cluster.keepCopies()
  await cluster.grow(OLD)
  const lost = cluster.steering.lose(message('write', ['n0'], ['n2']))
  await cluster.fill('n0', cluster.keys, 'old')
  lost.release()
}

const oneSource: Scenario = {
  name: 'oneSource',
  summary: 'a newcomer reaches only the one of three owners that has missed a write',
  async run(cluster) {
    await beginWithoutThird(cluster)
    cluster.ring.hub.partition(['n3'], ['n0', 'n1'])
    await cluster.join(['n3'], 'n2')
    // n2 must not own the key: it could become ready, and n3 could then pull from it.
    const key = cluster.pickKey('n3', (owners) => owners.join() === 'n0,n1,n3')
    await cluster.advance(3000)
    cluster.mustHold('n3', key, 'old')
    cluster.reached(!cluster.isReady('n3', key), 'n3 is not ready while it reaches only n2')
    await cluster.heal(4)
    cluster.mustHold('n3', key, 'old')
  }
}

const lazyStayer: Scenario = {
  name: 'lazyStayer',
  summary:
    'an owner that stays has missed a write of the config before, and its pulls and those of the joiner are held',
  async run(cluster) {
    await beginWithoutThird(cluster)
    const pulls = cluster.steering.hold(message('pull', ['n2', 'n3']))
    await cluster.join(['n3'], 'n1')
    const key = cluster.pickKey('n3', (owners) => owners.includes('n2') && owners.includes('n3'))
    const third = cluster.owners('n3', key).find((name) => name === 'n0' || name === 'n1')!
    await cluster.when(() => cluster.viewNumber('n2') === 3, 'n2 knows the view')
    await cluster.advance(2000)
    cluster.mustHold('n2', key, 'old')
    cluster.steering.hold(message('read', undefined, [third]))
    await cluster.mustRead('n3', key, 'old')
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n2', key), 'n2 wants to pull')
    cluster.reached(!cluster.isReady('n3', key), 'n3 is not ready')
    await cluster.heal(4)
    cluster.mustHold('n2', key, 'old')
  }
}

const lazyGrower: Scenario = {
  name: 'lazyGrower',
  summary: 'an owner is added and none is removed, and one that stays has missed a write of the config before',
  async run(cluster) {
    await cluster.start('n0', { replicas: 4 })
    await cluster.grow(['n1', 'n2'])
    const lost = cluster.steering.lose(message('write', ['n0'], ['n2']))
    await cluster.fill('n0', ['a'], 'old')
    lost.release()
    const pulls = cluster.steering.hold(message('pull', ['n2']))
    await cluster.join(['n3'], 'n1')
    cluster.reached(cluster.owners('n3', 'a').length === 4, 'all four own everything')
    await cluster.when(() => cluster.viewNumber('n2') === 3, 'n2 knows the view')
    await cluster.advance(1000)
    cluster.mustHold('n2', 'a', 'old')
    cluster.reached(pulls.caught.length > 0 && !cluster.isReady('n2', 'a'), 'n2 wants to pull')
    await cluster.heal(4)
    cluster.mustHold('n2', 'a', 'old')
  }
}

const growTwo: Scenario = {
  name: 'growTwo',
  summary: 'a second member has pulled nothing when a third one wants to join, which reaches only the second',
  async run(cluster) {
    await cluster.grow(['n0'])
    await cluster.fill('n0', ['a'], 'old')
    const pulls = cluster.steering.hold(message('pull', ['n1']))
    await cluster.join(['n1'], 'n0')
    await cluster.when(() => pulls.caught.length > 0, 'n1 wants to pull')
    cluster.ring.hub.partition(['n2'], ['n0'])
    await cluster.start('n2', { join: cluster.node('n1').network.addresses() })
    await cluster.advance(8000)
    cluster.reached(
      cluster.viewNumber('n2') >= 2 && !cluster.isReady('n1', 'a'),
      'n2 knows the ring, and n1 has no data'
    )
    if (cluster.view('n2').isMember) {
      await cluster.advance(3000)
      cluster.mustHold('n2', 'a', 'old')
    }
    await cluster.heal(3)
    cluster.mustHold('n2', 'a', 'old')
  }
}

const vacuousReady: Scenario = {
  name: 'vacuousReady',
  summary:
    'an owner learns that its config is settled before it has pulled anything, and loses its links to the ready owners',
  async run(cluster) {
    cluster.keepCopies()
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', ['n5']))
    await cluster.join(['n3', 'n4', 'n5'], 'n1')
    const key = cluster.pickKey('n5', (owners) => owners.join() === 'n3,n4,n5')
    await cluster.when(() => cluster.window('n5', key).length === 1, 'n5 knows that the slot is settled')
    cluster.reached(!cluster.isReady('n5', key) && pulls.caught.length > 0, 'n5 has pulled nothing')
    await cluster.isolate('n5', ['n3', 'n4'])
    await cluster.advance(20_000)
    pulls.release()
    await cluster.advance(2000)
    cluster.mustHold('n5', key, 'old')
    cluster.reached(!cluster.isReady('n5', key), 'n5 waits for an owner that is ready')
    await cluster.heal(6)
    cluster.mustHold('n5', key, 'old')
  }
}

const readyThenCrash: Scenario = {
  name: 'readyThenCrash',
  summary: 'a newcomer with a slow disk dies as soon as others know that it is ready',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    await cluster.join(['n3'], 'n1')
    const disk = cluster.disk('n3')
    disk.hold()
    const mine = cluster.keys.filter((key) => cluster.owners('n3', key).includes('n3'))
    const known = () => mine.filter((key) => cluster.isReady('n3', key, 'n1'))
    for (let batch = 0; known().length === 0; batch++) {
      cluster.reached(batch < 300, 'n1 knows that n3 is ready')
      disk.release(true)
      await cluster.advance(100)
    }
    const ready = known()
    cluster.kill('n3')
    for (const key of ready) {
      cluster.promise(
        cluster.holds('n3', key) === 'old',
        `n1 knows that n3 is ready, but ${key} is not on the disk of n3`
      )
    }
    await cluster.start('n3')
    await cluster.heal(4)
  }
}

const deadJoinersWedge: Scenario = {
  name: 'deadJoinersWedge',
  summary: 'two of three joiners die before they have pulled, and come back later',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    const pulls = cluster.steering.hold(message('pull', ['n3', 'n4']))
    await cluster.join(['n3', 'n4', 'n5'], 'n1')
    const key = cluster.pickKey('n5', (owners) => owners.join() === 'n3,n4,n5')
    await cluster.when(() => pulls.caught.length > 0, 'n3 or n4 wants to pull')
    cluster.kill('n3', 'n4')
    await cluster.advance(5000)
    cluster.reached(newestConfig(cluster.window('n0', key)).begin === 3, 'the joiners own the key')
    await cluster.mustRead('n0', key, 'old')
    cluster.steering.releaseAll()
    await cluster.startAll(['n3', 'n4'])
    await cluster.heal(6)
  }
}

export const PULLS: readonly Scenario[] = [
  oneSource,
  lazyStayer,
  lazyGrower,
  growTwo,
  vacuousReady,
  readyThenCrash,
  deadJoinersWedge
]
