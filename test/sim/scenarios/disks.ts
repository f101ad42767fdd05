// Disks that fail, lose writes, are damaged or are replaced, and what their members may still do.
import { newestConfig } from '../../../lib/views/configs.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'

const powerCut: Scenario = {
  name: 'powerCut',
  summary: 'all members lose power while a write waits for every disk',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    for (const name of OLD) cluster.disk(name).hold()
    const write = cluster.put('n0', KEY, 'new')
    await cluster.when(() => OLD.every((name) => cluster.disk(name).isWriting(KEY)), 'every disk is writing it')
    await cluster.advance(1000)
    const isDone = write.state === 'done'
    cluster.kill(...OLD)
    await cluster.grow(OLD)
    if (isDone) await cluster.mustRead('n1', KEY, 'new')
    cluster.reached(!isDone, 'the write was not acknowledged')
    await cluster.heal(3)
  }
}

/** n0 and n1 hold an acknowledged write that n2 has missed. */
async function beginWithoutThird(cluster: ScenarioCluster): Promise<void> {
  await cluster.grow(OLD)
  cluster.steering.lose(message('write', ['n0'], ['n2']))
  await cluster.fill('n0', [KEY], 'new')
  await cluster.when(() => cluster.holds('n1', KEY) === 'new', 'n1 has it')
  cluster.reached(cluster.holds('n2', KEY) === undefined, 'n2 missed it')
}

const forgetfulDisk: Scenario = {
  name: 'forgetfulDisk',
  summary: 'a disk fails, and after its next open it lacks an acknowledged write',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.steering.lose(message('write', ['n0'], ['n2']))
    const disk = cluster.disk('n1')
    disk.isForgetful = true
    await cluster.fill('n0', [KEY], 'new')
    cluster.reached(cluster.holds('n1', KEY) === undefined && cluster.holds('n2', KEY) === undefined, 'only n0 has it')
    disk.isForgetful = false
    disk.failNext = 'STORE_FAILED'
    const [before] = cluster.ring.running.filter(({ name }) => name === 'n1')
    cluster.put('n1', 'other', 'x')
    await cluster.advance(3000)
    cluster.ring.hub.partition(['n0'], ['n1', 'n2'])
    await cluster.mustRead('n2', KEY, 'new')
    cluster.ring.hub.heal()
    cluster.reached(before!.node.storeId !== undefined, 'n1 was there')
  }
}

const restoredCopy: Scenario = {
  name: 'restoredCopy',
  summary: 'a peer starts on an old copy of its disk, which lacks an acknowledged write',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.advance(3000)
    const copy = await cluster.copyOf('n1')
    cluster.steering.lose(message('write', ['n0'], ['n2']))
    await cluster.fill('n0', [KEY], 'new')
    await cluster.when(() => cluster.holds('n1', KEY) === 'new', 'n1 has it')
    await cluster.advance(3000)
    const address = cluster.address('n1')
    cluster.kill('n1')
    await cluster.start('n1', { store: copy, address })
    await cluster.advance(5000)
    cluster.reached(cluster.holds('n1', KEY) === undefined && cluster.holds('n2', KEY) === undefined, 'only n0 has it')
    cluster.steering.hold(message('read', ['n2'], ['n0']))
    await cluster.mustRead('n2', KEY, 'new')
  }
}

const bitRot: Scenario = {
  name: 'bitRot',
  summary: 'an entry is damaged on the disk of the owner that is read first',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have it')
    const [first] = [...OLD].sort((one, other) => (cluster.member(one) < cluster.member(other) ? -1 : 1))
    await cluster.rot(first!, KEY)
    await cluster.mustRead(first!, KEY, 'old')
    await cluster.heal(3)
  }
}

const bitRotPassedOn: Scenario = {
  name: 'bitRotPassedOn',
  summary: 'a newcomer reaches two sources: the entry of one is damaged, and the other one has no entry',
  async run(cluster) {
    await cluster.grow(OLD)
    const lost = cluster.steering.lose(message('write', ['n0'], ['n2']))
    await cluster.fill('n0', cluster.keys, 'old')
    await cluster.when(() => cluster.keys.every((key) => cluster.holds('n1', key) === 'old'), 'n1 has the entries')
    lost.release()
    for (const key of cluster.keys) await cluster.rot('n1', key)
    cluster.ring.hub.partition(['n3'], ['n0'])
    await cluster.join(['n3'], 'n1')
    const mine = cluster.keys.filter((key) => cluster.owners('n3', key).includes('n3'))
    await cluster.when(() => mine.every((key) => cluster.isReady('n3', key)), 'n3 is ready')
    for (const key of mine) cluster.mustHold('n3', key, 'old')
    await cluster.heal(4)
  }
}

const anotherLife: Scenario = {
  name: 'anotherLife',
  summary: 'a peer comes back with an empty disk, and a read asks it as if it still were an owner',
  async run(cluster) {
    await beginWithoutThird(cluster)
    cluster.kill('n1')
    // n1 does not become a member: members propose only peers that answer pings.
    cluster.steering.lose(message('ping', undefined, ['n1']))
    await cluster.start('n1', { store: new FaultyStore() })
    await cluster.when(() => cluster.viewNumber('n1') === 2, 'n1 knows the ring again')
    cluster.reached(!cluster.view('n1').isMember, 'n1 is no member')
    const slow = cluster.steering.hold(message('read', ['n2'], ['n0']))
    const read = cluster.get('n2', KEY)
    await cluster.advance(1000)
    cluster.promise(
      read.state !== 'done',
      `a peer that is no member counted for the quorum of a read, which found ${read.value}`
    )
    slow.release()
    await cluster.answered(read)
    cluster.promise(read.value === 'new', `the read found ${read.value}, but new was acknowledged`)
  }
}

const anotherLifePulled: Scenario = {
  name: 'anotherLifePulled',
  summary: 'a newcomer reaches a peer that came back with an empty disk, and an owner that has missed a write',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.steering.lose(message('write', ['n0'], ['n2']))
    await cluster.fill('n0', cluster.keys, 'old')
    cluster.kill('n1')
    cluster.ring.hub.partition(['n0'], ['n3'])
    cluster.steering.lose(({ to, body, from }) => to === 'n1' && body.ping !== undefined && from !== 'n3')
    await cluster.start('n1', { store: new FaultyStore(), join: cluster.node('n2').network.addresses() })
    await cluster.when(() => cluster.viewNumber('n1') === 2, 'n1 knows the ring again')
    await cluster.join(['n3'], 'n2')
    const former = cluster.member('n0')
    const key = cluster.pickKey('n3', (owners, one) => {
      const { owners: ids } = newestConfig(cluster.window('n3', one))
      return owners.includes('n3') && !owners.includes('n2') && ids.includes(former)
    })
    await cluster.advance(5000)
    cluster.mustHold('n3', key, 'old')
    cluster.reached(!cluster.isReady('n3', key), 'n3 waits for an owner that holds the write')
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
