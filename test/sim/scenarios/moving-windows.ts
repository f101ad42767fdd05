// Reads and writes while slots move: which configs must answer, and whose answers count.
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const NEW = ['n3', 'n4', 'n5']

/** Three members hold everything; three join, and the pulls of `held` wait. A key of the joiners alone. */
async function begin(stage: Stage, held: readonly string[]) {
  stage.keepCopies()
  await stage.grow(OLD)
  await stage.fill('n0', stage.keys, 'old')
  const pulls = stage.steering.hold(message('pull', held))
  await stage.join(NEW, 'n1')
  const key = stage.pickKey('n5', (owners) => owners.join() === NEW.join())
  await stage.when(() => pulls.caught.length > 0, 'a joiner wants to pull')
  return { pulls, key }
}

const movingRead: Scenario = {
  name: 'movingRead',
  story: 'the new owners have pulled nothing yet when one of them is asked for what the old ones hold',
  async run(stage) {
    const { key } = await begin(stage, NEW)
    stage.reached(stage.window('n5', key).length === 2, 'both configs are open')
    await stage.mustRead('n5', key, 'old')
    await stage.mustRead('n0', key, 'old')
    await stage.heal(6)
  }
}

const oneReady: Scenario = {
  name: 'oneReady',
  story: 'one of three new owners is ready, and the two others are asked',
  async run(stage) {
    const { key } = await begin(stage, ['n4', 'n5'])
    await stage.when(() => stage.isReady('n3', key, 'n5'), 'n3 is ready')
    stage.reached(!stage.isReady('n4', key) && !stage.isReady('n5', key), 'the others are not')
    stage.steering.hold(message('read', undefined, ['n3']))
    await stage.mustRead('n5', key, 'old')
    await stage.heal(6)
  }
}

const staleBase: Scenario = {
  name: 'staleBase',
  story: 'a reader knows the newest view but not that its slot has settled, and a write went to the new owners only',
  async run(stage) {
    const { pulls, key } = await begin(stage, NEW)
    await stage.when(() => stage.viewNumber('n0') === 3, 'n0 knows the view')
    stage.steering.deafen('n0')
    pulls.release()
    await stage.when(() => NEW.every((name) => stage.window(name, key).length === 1), 'the slot has settled')
    await stage.answered(stage.put('n3', key, 'new'))
    stage.reached(stage.holds('n4', key) === 'new' || stage.holds('n5', key) === 'new', 'the new owners have it')
    stage.reached(
      OLD.every((name) => stage.holds(name, key) === 'old'),
      'the old owners do not'
    )
    stage.reached(stage.window('n0', key).length === 2, 'n0 does not know that the slot has settled')
    await stage.mustRead('n0', key, 'new')
    await stage.heal(6)
  }
}

const narrowMidRead: Scenario = {
  name: 'narrowMidRead',
  story: 'new owners answer a read before they are ready, and the slot settles before the old ones answer',
  async run(stage) {
    const { pulls, key } = await begin(stage, NEW)
    const slow = stage.steering.hold(message('read', ['n5'], OLD))
    const early = stage.steering.holdAnswers(message('read', ['n5'], ['n3', 'n4']))
    const read = stage.get('n5', key)
    await stage.when(() => early.caught.length === 2 && slow.caught.length > 0, 'the new owners have answered')
    pulls.release()
    await stage.when(() => stage.window('n5', key).length === 1, 'n5 knows that the slot has settled')
    stage.reached(read.state === 'open', 'the read is under way')
    await stage.advance(20)
    early.release()
    await stage.advance(100)
    slow.release()
    await stage.answered(read)
    stage.promise(read.state !== 'done' || read.value === 'old', `the read found ${read.value}, old was acknowledged`)
    await stage.heal(6)
  }
}

const blindJoiner: Scenario = {
  name: 'blindJoiner',
  story: 'a stranger learns of the ring while slots move, and is asked for what the new owners do not hold yet',
  async run(stage) {
    const { key } = await begin(stage, NEW)
    await stage.start('n6', { join: stage.node('n1').network.addresses() })
    await stage.when(() => stage.viewNumber('n6') === 3, 'n6 knows the views')
    stage.reached(!stage.isReady('n4', key) && !stage.isReady('n5', key), 'the new owners are not ready')
    await stage.mustRead('n6', key, 'old')
    await stage.heal(7)
  }
}

const retryMints: Scenario = {
  name: 'retryMints',
  story: 'a write that some owners have taken is tried again because the ring has changed',
  async run(stage) {
    await stage.grow(OLD)
    stage.steering.hold(message('write', ['n0'], ['n2']))
    stage.steering.holdAnswers(message('write', ['n0'], ['n1']))
    const writes = new Map(stage.keys.map((key) => [key, stage.put('n0', key, 'new')]))
    const areAtTwo = () => stage.keys.every((key) => ['n0', 'n1'].every((name) => stage.holds(name, key) === 'new'))
    await stage.when(areAtTwo, 'two owners have the writes')
    const versions = new Map(stage.keys.map((key) => [key, stage.version('n1', key)]))
    await stage.join(NEW, 'n1')
    const key = stage.pickKey('n3', (owners) => owners.join() === NEW.join())
    await stage.when(() => stage.viewNumber('n0') === 3, 'n0 knows the view')
    await stage.advance(20)
    stage.reached(writes.get(key)?.state === 'open', 'the write is under way')
    stage.steering.releaseAll()
    await stage.answered(writes.get(key)!)
    const found = stage.ring.running.map(({ name }) => stage.version(name, key)).filter((one) => one !== undefined)
    stage.promise(
      found.every((one) => one === versions.get(key)),
      'a write that was tried again has another version'
    )
    await stage.heal(6)
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
