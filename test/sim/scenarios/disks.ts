// Disks that fail, forget, rot and die, and what their owners may still say.
import { newestConfig } from '../../../lib/views/configs.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'

const powerCut: Scenario = {
  name: 'powerCut',
  story: 'the power of the whole ring fails while a write waits for every disk',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    for (const name of OLD) stage.disk(name).hold()
    const write = stage.put('n0', KEY, 'new')
    await stage.when(() => OLD.every((name) => stage.disk(name).isWriting(KEY)), 'every disk is writing it')
    await stage.advance(1000)
    const isDone = write.state === 'done'
    stage.kill(...OLD)
    await stage.grow(OLD)
    if (isDone) await stage.mustRead('n1', KEY, 'new')
    stage.reached(!isDone, 'the write was not acknowledged')
    await stage.heal(3)
  }
}

/** n0 and n1 hold an acknowledged write that n2 missed. */
async function beginWithoutThird(stage: Stage): Promise<void> {
  await stage.grow(OLD)
  stage.steering.lose(message('write', ['n0'], ['n2']))
  await stage.fill('n0', [KEY], 'new')
  await stage.when(() => stage.holds('n1', KEY) === 'new', 'n1 has it')
  stage.reached(stage.holds('n2', KEY) === undefined, 'n2 missed it')
}

const forgetfulDisk: Scenario = {
  name: 'forgetfulDisk',
  story: 'a disk fails, and what it had acknowledged is gone when it is opened again',
  async run(stage) {
    await stage.grow(OLD)
    stage.steering.lose(message('write', ['n0'], ['n2']))
    const disk = stage.disk('n1')
    disk.isForgetful = true
    await stage.fill('n0', [KEY], 'new')
    stage.reached(stage.holds('n1', KEY) === undefined && stage.holds('n2', KEY) === undefined, 'only n0 has it')
    disk.isForgetful = false
    disk.failNext = 'STORE_FAILED'
    const [before] = stage.ring.running.filter(({ name }) => name === 'n1')
    stage.put('n1', 'other', 'x')
    await stage.advance(3000)
    stage.ring.hub.partition(['n0'], ['n1', 'n2'])
    await stage.mustRead('n2', KEY, 'new')
    stage.ring.hub.heal()
    stage.reached(before!.node.storeId !== undefined, 'n1 was there')
  }
}

const restoredCopy: Scenario = {
  name: 'restoredCopy',
  story: 'a peer is started on an old copy of its disk, which lacks an acknowledged write',
  async run(stage) {
    await stage.grow(OLD)
    await stage.advance(3000)
    const copy = await stage.copyOf('n1')
    stage.steering.lose(message('write', ['n0'], ['n2']))
    await stage.fill('n0', [KEY], 'new')
    await stage.when(() => stage.holds('n1', KEY) === 'new', 'n1 has it')
    await stage.advance(3000)
    const address = stage.address('n1')
    stage.kill('n1')
    await stage.start('n1', { store: copy, address })
    await stage.advance(5000)
    stage.reached(stage.holds('n1', KEY) === undefined && stage.holds('n2', KEY) === undefined, 'only n0 has it')
    stage.steering.hold(message('read', ['n2'], ['n0']))
    await stage.mustRead('n2', KEY, 'new')
  }
}

const bitRot: Scenario = {
  name: 'bitRot',
  story: 'a byte of an entry changes on the disk of the owner that is read first',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have it')
    const [first] = [...OLD].sort((one, other) => (stage.member(one) < stage.member(other) ? -1 : 1))
    await stage.rot(first!, KEY)
    await stage.mustRead(first!, KEY, 'old')
    await stage.heal(3)
  }
}

const bitRotPassedOn: Scenario = {
  name: 'bitRotPassedOn',
  story: 'a newcomer reaches two sources: the copy of one is damaged, the other one has none',
  async run(stage) {
    await stage.grow(OLD)
    const lost = stage.steering.lose(message('write', ['n0'], ['n2']))
    await stage.fill('n0', stage.keys, 'old')
    await stage.when(() => stage.keys.every((key) => stage.holds('n1', key) === 'old'), 'n1 has the entries')
    lost.release()
    for (const key of stage.keys) await stage.rot('n1', key)
    stage.ring.hub.partition(['n3'], ['n0'])
    await stage.join(['n3'], 'n1')
    const mine = stage.keys.filter((key) => stage.owners('n3', key).includes('n3'))
    await stage.when(() => mine.every((key) => stage.isReady('n3', key)), 'n3 is ready')
    for (const key of mine) stage.mustHold('n3', key, 'old')
    await stage.heal(4)
  }
}

const anotherLife: Scenario = {
  name: 'anotherLife',
  story: 'a peer comes back without its disk, and is asked as if it still were the owner that it was',
  async run(stage) {
    await beginWithoutThird(stage)
    stage.kill('n1')
    // It stays a stranger: nobody proposes who does not answer.
    stage.steering.lose(message('ping', undefined, ['n1']))
    await stage.start('n1', { store: new FaultyStore() })
    await stage.when(() => stage.viewNumber('n1') === 2, 'n1 knows the ring again')
    stage.reached(!stage.view('n1').isMember, 'it is no member')
    const slow = stage.steering.hold(message('read', ['n2'], ['n0']))
    const read = stage.get('n2', KEY)
    await stage.advance(1000)
    stage.promise(read.state !== 'done', `a stranger made up the quorum of a read, which found ${read.value}`)
    slow.release()
    await stage.answered(read)
    stage.promise(read.value === 'new', `the read found ${read.value}`)
  }
}

const anotherLifePulled: Scenario = {
  name: 'anotherLifePulled',
  story: 'a newcomer can pull from a peer that came back without its disk and from an owner that missed a write',
  async run(stage) {
    await stage.grow(OLD)
    stage.steering.lose(message('write', ['n0'], ['n2']))
    await stage.fill('n0', stage.keys, 'old')
    stage.kill('n1')
    stage.ring.hub.partition(['n0'], ['n3'])
    stage.steering.lose(({ to, body, from }) => to === 'n1' && body.ping !== undefined && from !== 'n3')
    await stage.start('n1', { store: new FaultyStore(), join: stage.node('n2').network.addresses() })
    await stage.when(() => stage.viewNumber('n1') === 2, 'n1 knows the ring again')
    await stage.join(['n3'], 'n2')
    const former = stage.member('n0')
    const key = stage.pickKey('n3', (owners, one) => {
      const { owners: ids } = newestConfig(stage.window('n3', one))
      return owners.includes('n3') && !owners.includes('n2') && ids.includes(former)
    })
    await stage.advance(5000)
    stage.mustHold('n3', key, 'old')
    stage.reached(!stage.isReady('n3', key), 'n3 waits for an owner that holds what it must')
  }
}

export const DISKS: readonly Scenario[] = [
  powerCut,
  forgetfulDisk,
  restoredCopy,
  bitRot,
  bitRotPassedOn,
  anotherLife,
  anotherLifePulled
]
