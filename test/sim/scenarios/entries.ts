// Single entries: half-written values, order of arrival, deletes, clocks, and entries that a transfer must not miss.

import { JOB_SLOTS_FIRST } from '../../../lib/actors/migration/migration.js'
import { slotOf } from '../../../lib/ring/slots.js'
import { pullJobs } from '../../../lib/views/pull-plan.js'
import { message } from '../seams/steering.js'
import type { Scenario } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'

const halfWrite: Scenario = {
  name: 'halfWrite',
  summary: 'a value that one owner holds was read, and is then read from the two others',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    cluster.put('n0', KEY, 'half')
    await cluster.when(() => cluster.holds('n0', KEY) === 'half', 'n0 has it')
    const skip = cluster.steering.hold(message('read', ['n1'], ['n2']))
    const read = await cluster.answered(cluster.get('n1', KEY))
    cluster.reached(read.value === 'half' || read.state === 'failed', 'the value is read')
    skip.release()
    cluster.kill('n0')
    if (read.state === 'done') await cluster.mustRead('n2', KEY, 'half')
    await cluster.start('n0')
    await cluster.heal(3)
  }
}

const halfDelete: Scenario = {
  name: 'halfDelete',
  summary: 'a tombstone that one owner holds was read, and the key is then read from the two others',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all have the value')
    cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    cluster.delete('n0', KEY)
    await cluster.when(() => cluster.holds('n0', KEY) === undefined, 'n0 has the tombstone')
    const skip = cluster.steering.hold(message('read', ['n1'], ['n2']))
    const read = await cluster.answered(cluster.get('n1', KEY))
    cluster.reached(read.state === 'done' && read.value === undefined, 'the key is read as deleted')
    skip.release()
    cluster.kill('n0')
    await cluster.mustRead('n2', KEY, undefined)
    await cluster.start('n0')
    await cluster.ring.untilWhole(3)
  }
}

const lateAnswer: Scenario = {
  name: 'lateAnswer',
  summary: 'a late answer to a read arrives while the read writes its value back',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    cluster.put('n0', KEY, 'half')
    await cluster.when(() => cluster.holds('n0', KEY) === 'half', 'n0 has it')
    const repairs = cluster.steering.hold(message('write', ['n1'], ['n2']))
    const late = cluster.steering.holdAnswers(message('read', ['n1'], ['n2']))
    const early = cluster.steering.hold(message('read', ['n1'], ['n0']))
    const read = cluster.get('n1', KEY)
    await cluster.when(() => early.caught.length > 0 && late.caught.length > 0, 'n1 has asked both')
    cluster.disk('n1').hold()
    early.release()
    await cluster.when(() => repairs.caught.length > 0, 'the value is being written back')
    await cluster.advance(50)
    late.release()
    await cluster.advance(50)
    if (read.state === 'done' && read.value === 'half') {
      cluster.kill('n0', 'n1')
      cluster.promise(
        cluster.holds('n2', KEY) === 'half' || cluster.holds('n1', KEY) === 'half',
        'a value was read that only n0 holds'
      )
    }
    cluster.reached(read.state === 'open', 'the read waits for a quorum of what it writes back')
    cluster.disk('n1').release()
    await cluster.heal(3)
  }
}

const oneAck: Scenario = {
  name: 'oneAck',
  summary: 'a write reaches one of three owners, and its router dies',
  async run(cluster) {
    await cluster.grow(OLD)
    const writes = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const write = cluster.put('n0', KEY, 'new')
    await cluster.when(() => cluster.holds('n0', KEY) === 'new' && writes.caught.length === 2, 'n0 has it')
    await cluster.advance(100)
    cluster.kill('n0')
    if (write.state === 'done') await cluster.mustRead('n1', KEY, 'new')
    cluster.reached(write.state === 'open', 'the write is not acknowledged')
    await cluster.start('n0')
    await cluster.heal(3)
  }
}

const arrivalOrder: Scenario = {
  name: 'arrivalOrder',
  summary: 'two owners get an older write after a newer one that was acknowledged',
  async run(cluster) {
    await cluster.grow(OLD)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    cluster.put('n0', KEY, 'old')
    await cluster.when(() => late.caught.length === 2 && cluster.holds('n0', KEY) === 'old', 'the older write is at n0')
    cluster.steering.lose(message('write', ['n2'], ['n0']))
    await cluster.advance(50)
    const write = await cluster.answered(cluster.put('n2', KEY, 'new'))
    cluster.reached(write.state === 'done' && cluster.holds('n1', KEY) === 'new', 'the newer write is at n1 and n2')
    cluster.reached(cluster.version('n1', KEY)! > cluster.version('n0', KEY)!, 'it is newer')
    const version = cluster.version('n1', KEY)!
    cluster.steering.lose(message('write', ['n0']))
    late.letGo()
    await cluster.advance(100)
    for (const name of ['n1', 'n2']) {
      cluster.promise(cluster.version(name, KEY)! >= version, `${name} went back to an older version`)
    }
    await cluster.ring.untilWhole(3)
  }
}

const oneBatch: Scenario = {
  name: 'oneBatch',
  summary: 'a newer and then an older write of one key wait for the disk in one batch',
  async run(cluster) {
    await cluster.grow(OLD)
    const late = cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    cluster.put('n0', KEY, 'old')
    await cluster.when(() => late.caught.length === 2 && cluster.holds('n0', KEY) === 'old', 'the older write is at n0')
    const disk = cluster.disk('n1')
    disk.hold()
    cluster.put('n2', 'other', 'x')
    await cluster.when(() => disk.isWriting('other'), 'the disk of n1 is busy')
    await cluster.advance(50)
    const write = await cluster.answered(cluster.put('n2', KEY, 'new'))
    cluster.reached(write.state === 'done', 'the newer write is acknowledged')
    await cluster.advance(50)
    late.release()
    await cluster.advance(50)
    cluster.reached(cluster.holds('n1', KEY) === undefined, 'both writes wait at n1')
    disk.release()
    await cluster.when(() => cluster.holds('n1', KEY) !== undefined, 'n1 has written them')
    cluster.promise(
      cluster.version('n1', KEY) === cluster.version('n2', KEY),
      'n1 holds the older of two writes of one batch'
    )
    await cluster.heal(3)
  }
}

const deletedStays: Scenario = {
  name: 'deletedStays',
  summary: 'one owner has missed a delete, and a newcomer pulls from it and from an owner that has the tombstone',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', cluster.keys, 'old')
    await cluster.when(() => cluster.keys.every((key) => cluster.holds('n2', key) === 'old'), 'n2 has the values')
    cluster.steering.lose(message('write', ['n0'], ['n2']))
    const deletes = cluster.keys.map((key) => cluster.delete('n0', key))
    await cluster.when(() => deletes.every(({ state }) => state === 'done'), 'all are deleted')
    await cluster.join(['n3'], 'n1')
    const mine = cluster.keys.filter((key) => cluster.owners('n3', key).includes('n3'))
    await cluster.when(() => mine.every((key) => cluster.isReady('n3', key)), 'n3 is ready')
    cluster.reached(
      mine.some((key) => cluster.holds('n2', key) === 'old'),
      'n2 still has some of the values'
    )
    for (const key of mine) cluster.mustHold('n3', key, undefined)
    await cluster.heal(4)
  }
}

const slowClock: Scenario = {
  name: 'slowClock',
  summary: 'a router with a slow clock writes a key, and does not know the newer version that the owners hold',
  async run(cluster) {
    await cluster.grow(['n0', 'n1'])
    await cluster.start('n2', { skewMs: -3000 })
    await cluster.ring.untilWhole(3)
    cluster.kill('n2')
    const { hub } = cluster.ring
    await cluster.start('n2', { skewMs: -3000 })
    await cluster.ring.untilWhole(3)
    await cluster.advance(3000)
    for (const other of ['n0', 'n1']) hub.cut(other, 'n2')
    await cluster.advance(2500)
    await cluster.answered(cluster.put('n0', KEY, 'first'))
    const write = cluster.put('n2', KEY, 'second')
    await cluster.advance(500)
    hub.heal()
    await cluster.answered(write)
    cluster.reached(write.state === 'done', 'the later write is acknowledged')
    await cluster.mustRead('n1', KEY, 'second')
    await cluster.heal(3)
  }
}

const clockBack: Scenario = {
  name: 'clockBack',
  summary: 'a peer restarts with its clock set back to the ms of its last write',
  async run(cluster) {
    await cluster.grow(['n0'])
    await cluster.advance(5000)
    await cluster.answered(cluster.put('n0', KEY, 'first'))
    const then = Number.parseInt(cluster.version('n0', KEY)!.slice(0, 12), 16)
    cluster.kill('n0')
    await cluster.advance(5000)
    // The clock starts earlier, so that it shows that ms when the write is made.
    const skewMs = then - cluster.ring.clock.now()
    const node = await cluster.start('n0', { skewMs: skewMs - 3000 })
    await cluster.ring.untilWhole(1)
    await cluster.advance(3000 - (cluster.ring.clock.elapsed() % 1))
    node.clock.skewMs = then - cluster.ring.clock.now()
    await cluster.answered(cluster.put('n0', KEY, 'second'))
    await cluster.heal(1)
  }
}

const lastSlot: Scenario = {
  name: 'lastSlot',
  summary: 'a newcomer has missed a write in the last slot of one of its pulls',
  async run(cluster) {
    await cluster.grow(OLD)
    const pulls = cluster.steering.hold(message('pull', ['n3']))
    cluster.steering.lose(message('write', undefined, ['n3']))
    await cluster.join(['n3'], 'n1')
    await cluster.when(() => pulls.caught.length > 0, 'n3 wants to pull')
    const { configs, self, readiness } = cluster.view('n3')
    const [job] = pullJobs(
      configs,
      self,
      readiness.get(self) ?? new Uint32Array(configs.windows.length),
      JOB_SLOTS_FIRST
    )
    const slot = job?.slots.at(-1)
    let at = 0
    while (slotOf(Buffer.from(`key-${at}`)) !== slot) at += 1
    const key = `key-${at}`
    // The write must be acknowledged without the newcomer.
    const write = await cluster.answered(cluster.put('n0', key, 'new'))
    cluster.reached(write.state === 'done', 'the write is acknowledged without n3')
    pulls.release()
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready')
    cluster.mustHold('n3', key, 'new')
    await cluster.heal(4)
  }
}

const blockBorder: Scenario = {
  name: 'blockBorder',
  summary: 'the entries of one slot need several blocks of a transfer',
  async run(cluster) {
    await cluster.grow(['n0'])
    const keys = Array.from({ length: 14 }, (_, at) => `{slot}-${at}`)
    await cluster.fill('n0', keys, 'v'.repeat(200_000))
    await cluster.grow(['n1'])
    cluster.reached(
      keys.every((key) => cluster.isReady('n1', key)),
      'n1 is ready'
    )
    for (const key of keys) cluster.promise(cluster.holds('n1', key) !== undefined, `n1 is ready and lacks ${key}`)
    await cluster.heal(2)
  }
}

export const ENTRIES: readonly Scenario[] = [
  halfWrite,
  halfDelete,
  lateAnswer,
  oneAck,
  arrivalOrder,
  oneBatch,
  deletedStays,
  slowClock,
  clockBack,
  lastSlot,
  blockBorder
]
