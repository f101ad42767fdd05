// Who may call itself ready: newcomers and stayers that must pull from enough owners before they do.
import { newestConfig } from '../../../lib/views/configs.js'
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']

/** Three members; everything is acknowledged by n0 and n1, and never reached n2. */
async function beginWithoutThird(stage: Stage): Promise<void> {
  stage.keepCopies()
  await stage.grow(OLD)
  const lost = stage.steering.lose(message('write', ['n0'], ['n2']))
  await stage.fill('n0', stage.keys, 'old')
  lost.release()
}

const oneSource: Scenario = {
  name: 'oneSource',
  story: 'a newcomer reaches only that one of three owners that missed a write',
  async run(stage) {
    await beginWithoutThird(stage)
    stage.ring.hub.partition(['n3'], ['n0', 'n1'])
    await stage.join(['n3'], 'n2')
    // n2 could become ready, and n3 copy from it, where it stays an owner.
    const key = stage.pickKey('n3', (owners) => owners.join() === 'n0,n1,n3')
    await stage.advance(3000)
    stage.mustHold('n3', key, 'old')
    stage.reached(!stage.isReady('n3', key), 'n3 is not ready while it reaches only n2')
    await stage.heal(4)
    stage.mustHold('n3', key, 'old')
  }
}

const lazyStayer: Scenario = {
  name: 'lazyStayer',
  story: 'an owner that stays has missed a write of the config before, and its pulls and those of the joiner wait',
  async run(stage) {
    await beginWithoutThird(stage)
    const pulls = stage.steering.hold(message('pull', ['n2', 'n3']))
    await stage.join(['n3'], 'n1')
    const key = stage.pickKey('n3', (owners) => owners.includes('n2') && owners.includes('n3'))
    const third = stage.owners('n3', key).find((name) => name === 'n0' || name === 'n1')!
    await stage.when(() => stage.viewNumber('n2') === 3, 'n2 knows the view')
    await stage.advance(2000)
    stage.mustHold('n2', key, 'old')
    stage.steering.hold(message('read', undefined, [third]))
    await stage.mustRead('n3', key, 'old')
    stage.reached(pulls.caught.length > 0 && !stage.isReady('n2', key), 'n2 wants to pull')
    stage.reached(!stage.isReady('n3', key), 'nor is n3 ready')
    await stage.heal(4)
    stage.mustHold('n2', key, 'old')
  }
}

const lazyGrower: Scenario = {
  name: 'lazyGrower',
  story: 'owners only grow in number, and one that stays has missed a write of the config before',
  async run(stage) {
    await stage.start('n0', { replicas: 4 })
    await stage.grow(['n1', 'n2'])
    const lost = stage.steering.lose(message('write', ['n0'], ['n2']))
    await stage.fill('n0', ['a'], 'old')
    lost.release()
    const pulls = stage.steering.hold(message('pull', ['n2']))
    await stage.join(['n3'], 'n1')
    stage.reached(stage.owners('n3', 'a').length === 4, 'all four own everything')
    await stage.when(() => stage.viewNumber('n2') === 3, 'n2 knows the view')
    await stage.advance(1000)
    stage.mustHold('n2', 'a', 'old')
    stage.reached(pulls.caught.length > 0 && !stage.isReady('n2', 'a'), 'n2 wants to pull')
    await stage.heal(4)
    stage.mustHold('n2', 'a', 'old')
  }
}

const growTwo: Scenario = {
  name: 'growTwo',
  story: 'one grows to two; the second has pulled nothing when a third wants to join that reaches only the second',
  async run(stage) {
    await stage.grow(['n0'])
    await stage.fill('n0', ['a'], 'old')
    const pulls = stage.steering.hold(message('pull', ['n1']))
    await stage.join(['n1'], 'n0')
    await stage.when(() => pulls.caught.length > 0, 'n1 wants to pull')
    stage.ring.hub.partition(['n2'], ['n0'])
    await stage.start('n2', { join: stage.node('n1').network.addresses() })
    await stage.advance(8000)
    stage.reached(stage.viewNumber('n2') >= 2 && !stage.isReady('n1', 'a'), 'n2 has met its ring, and n1 has no data')
    if (stage.view('n2').isMember) {
      await stage.advance(3000)
      stage.mustHold('n2', 'a', 'old')
    }
    await stage.heal(3)
    stage.mustHold('n2', 'a', 'old')
  }
}

const vacuousReady: Scenario = {
  name: 'vacuousReady',
  story: 'an owner learns that its config is settled before it has pulled anything, and loses sight of who is ready',
  async run(stage) {
    stage.keepCopies()
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    const pulls = stage.steering.hold(message('pull', ['n5']))
    await stage.join(['n3', 'n4', 'n5'], 'n1')
    const key = stage.pickKey('n5', (owners) => owners.join() === 'n3,n4,n5')
    await stage.when(() => stage.window('n5', key).length === 1, 'n5 knows that the slot is settled')
    stage.reached(!stage.isReady('n5', key) && pulls.caught.length > 0, 'n5 has pulled nothing')
    await stage.isolate('n5', ['n3', 'n4'])
    await stage.advance(20_000)
    pulls.release()
    await stage.advance(2000)
    stage.mustHold('n5', key, 'old')
    stage.reached(!stage.isReady('n5', key), 'n5 waits for one that is ready')
    await stage.heal(6)
    stage.mustHold('n5', key, 'old')
  }
}

const readyThenCrash: Scenario = {
  name: 'readyThenCrash',
  story: 'a newcomer on a slow disk dies as soon as others take it for ready',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    await stage.join(['n3'], 'n1')
    const disk = stage.disk('n3')
    disk.hold()
    const mine = stage.keys.filter((key) => stage.owners('n3', key).includes('n3'))
    const known = () => mine.filter((key) => stage.isReady('n3', key, 'n1'))
    for (let batch = 0; known().length === 0; batch++) {
      stage.reached(batch < 300, 'n1 takes n3 for ready')
      disk.release(true)
      await stage.advance(100)
    }
    const ready = known()
    stage.kill('n3')
    for (const key of ready) {
      stage.promise(stage.holds('n3', key) === 'old', `n1 takes n3 for ready, and ${key} is not on its disk`)
    }
    await stage.start('n3')
    await stage.heal(4)
  }
}

const deadJoinersWedge: Scenario = {
  name: 'deadJoinersWedge',
  story: 'two of three joiners die before they have pulled: nothing is lost, and all is well when they are back',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    const pulls = stage.steering.hold(message('pull', ['n3', 'n4']))
    await stage.join(['n3', 'n4', 'n5'], 'n1')
    const key = stage.pickKey('n5', (owners) => owners.join() === 'n3,n4,n5')
    await stage.when(() => pulls.caught.length > 0, 'they want to pull')
    stage.kill('n3', 'n4')
    await stage.advance(5000)
    stage.reached(newestConfig(stage.window('n0', key)).begin === 3, 'the key is theirs')
    await stage.mustRead('n0', key, 'old')
    stage.steering.releaseAll()
    await stage.startAll(['n3', 'n4'])
    await stage.heal(6)
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
