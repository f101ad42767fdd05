// Single entries: half-written values, order of arrival, deletions, clocks, and copies that a transfer must not miss.

import { slotOf } from '../../../lib/ring/slots.js'
import { pullJobs } from '../../../lib/views/pull-plan.js'
import { message } from '../seams/steering.js'
import type { Scenario } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'

const halfWrite: Scenario = {
  name: 'halfWrite',
  story: 'a value that reached one owner only was read, and is asked for again at the two others',
  async run(stage) {
    await stage.grow(OLD)
    stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    stage.put('n0', KEY, 'half')
    await stage.when(() => stage.holds('n0', KEY) === 'half', 'n0 has it')
    const skip = stage.steering.hold(message('read', ['n1'], ['n2']))
    const read = await stage.answered(stage.get('n1', KEY))
    stage.reached(read.value === 'half' || read.state === 'failed', 'the value is read')
    skip.release()
    stage.kill('n0')
    if (read.state === 'done') await stage.mustRead('n2', KEY, 'half')
    await stage.start('n0')
    await stage.heal(3)
  }
}

const halfDelete: Scenario = {
  name: 'halfDelete',
  story: 'a deletion that reached one owner only was read, and the key is asked for again at the two others',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', [KEY], 'old')
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have the value')
    stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    stage.delete('n0', KEY)
    await stage.when(() => stage.holds('n0', KEY) === undefined, 'n0 has the tombstone')
    const skip = stage.steering.hold(message('read', ['n1'], ['n2']))
    const read = await stage.answered(stage.get('n1', KEY))
    stage.reached(read.state === 'done' && read.value === undefined, 'the key is read as deleted')
    skip.release()
    stage.kill('n0')
    await stage.mustRead('n2', KEY, undefined)
    await stage.start('n0')
    await stage.ring.untilWhole(3)
  }
}

const lateAnswer: Scenario = {
  name: 'lateAnswer',
  story: 'an answer to the reading of a value comes while the value is being written back',
  async run(stage) {
    await stage.grow(OLD)
    stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    stage.put('n0', KEY, 'half')
    await stage.when(() => stage.holds('n0', KEY) === 'half', 'n0 has it')
    const repairs = stage.steering.hold(message('write', ['n1'], ['n2']))
    const late = stage.steering.holdAnswers(message('read', ['n1'], ['n2']))
    const early = stage.steering.hold(message('read', ['n1'], ['n0']))
    const read = stage.get('n1', KEY)
    await stage.when(() => early.caught.length > 0 && late.caught.length > 0, 'n1 has asked both')
    stage.disk('n1').hold()
    early.release()
    await stage.when(() => repairs.caught.length > 0, 'the value is being written back')
    await stage.advance(50)
    late.release()
    await stage.advance(50)
    if (read.state === 'done' && read.value === 'half') {
      stage.kill('n0', 'n1')
      stage.promise(stage.holds('n2', KEY) === 'half' || stage.holds('n1', KEY) === 'half', 'read, and at n0 alone')
    }
    stage.reached(read.state === 'open', 'the read waits for a quorum of what it writes back')
    stage.disk('n1').release()
    await stage.heal(3)
  }
}

const oneAck: Scenario = {
  name: 'oneAck',
  story: 'a write reaches one owner of three, and its router dies',
  async run(stage) {
    await stage.grow(OLD)
    const writes = stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    const write = stage.put('n0', KEY, 'new')
    await stage.when(() => stage.holds('n0', KEY) === 'new' && writes.caught.length === 2, 'n0 has it')
    await stage.advance(100)
    stage.kill('n0')
    if (write.state === 'done') await stage.mustRead('n1', KEY, 'new')
    stage.reached(write.state === 'open', 'the write is not acknowledged')
    await stage.start('n0')
    await stage.heal(3)
  }
}

const arrivalOrder: Scenario = {
  name: 'arrivalOrder',
  story: 'two owners get an older write after a newer one that was acknowledged',
  async run(stage) {
    await stage.grow(OLD)
    const late = stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    stage.put('n0', KEY, 'old')
    await stage.when(() => late.caught.length === 2 && stage.holds('n0', KEY) === 'old', 'the older write is at n0')
    stage.steering.lose(message('write', ['n2'], ['n0']))
    await stage.advance(50)
    const write = await stage.answered(stage.put('n2', KEY, 'new'))
    stage.reached(write.state === 'done' && stage.holds('n1', KEY) === 'new', 'the newer write is at n1 and n2')
    stage.reached(stage.version('n1', KEY)! > stage.version('n0', KEY)!, 'it is newer')
    const version = stage.version('n1', KEY)!
    stage.steering.lose(message('write', ['n0']))
    late.letGo()
    await stage.advance(100)
    for (const name of ['n1', 'n2']) {
      stage.promise(stage.version(name, KEY)! >= version, `${name} went back to an older version`)
    }
    await stage.ring.untilWhole(3)
  }
}

const oneBatch: Scenario = {
  name: 'oneBatch',
  story: 'an older and a newer write of one key wait for the disk in one batch, the newer one first',
  async run(stage) {
    await stage.grow(OLD)
    const late = stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
    stage.put('n0', KEY, 'old')
    await stage.when(() => late.caught.length === 2 && stage.holds('n0', KEY) === 'old', 'the older write is at n0')
    const disk = stage.disk('n1')
    disk.hold()
    stage.put('n2', 'other', 'x')
    await stage.when(() => disk.isWriting('other'), 'the disk of n1 is busy')
    await stage.advance(50)
    const write = await stage.answered(stage.put('n2', KEY, 'new'))
    stage.reached(write.state === 'done', 'the newer write is acknowledged')
    await stage.advance(50)
    late.release()
    await stage.advance(50)
    stage.reached(stage.holds('n1', KEY) === undefined, 'both wait at n1')
    disk.release()
    await stage.when(() => stage.holds('n1', KEY) !== undefined, 'n1 has written them')
    stage.promise(stage.version('n1', KEY) === stage.version('n2', KEY), 'the older write of a batch won')
    await stage.heal(3)
  }
}

const deletedStays: Scenario = {
  name: 'deletedStays',
  story: 'a deletion missed one owner, and a newcomer pulls from owners of which one still has the value',
  async run(stage) {
    await stage.grow(OLD)
    await stage.fill('n0', stage.keys, 'old')
    await stage.when(() => stage.keys.every((key) => stage.holds('n2', key) === 'old'), 'n2 has the values')
    stage.steering.lose(message('write', ['n0'], ['n2']))
    const deletes = stage.keys.map((key) => stage.delete('n0', key))
    await stage.when(() => deletes.every(({ state }) => state === 'done'), 'all are deleted')
    await stage.join(['n3'], 'n1')
    const mine = stage.keys.filter((key) => stage.owners('n3', key).includes('n3'))
    await stage.when(() => mine.every((key) => stage.isReady('n3', key)), 'n3 is ready')
    stage.reached(
      mine.some((key) => stage.holds('n2', key) === 'old'),
      'n2 still has some of the values'
    )
    for (const key of mine) stage.mustHold('n3', key, undefined)
    await stage.heal(4)
  }
}

const slowClock: Scenario = {
  name: 'slowClock',
  story: 'a write is made by a slow clock that has not seen the newer version that owners hold',
  async run(stage) {
    await stage.grow(['n0', 'n1'])
    await stage.start('n2', { skewMs: -3000 })
    await stage.ring.untilWhole(3)
    stage.kill('n2')
    const { hub } = stage.ring
    await stage.start('n2', { skewMs: -3000 })
    await stage.ring.untilWhole(3)
    await stage.advance(3000)
    for (const other of ['n0', 'n1']) hub.cut(other, 'n2')
    await stage.advance(2500)
    await stage.answered(stage.put('n0', KEY, 'first'))
    const write = stage.put('n2', KEY, 'second')
    await stage.advance(500)
    hub.heal()
    await stage.answered(write)
    stage.reached(write.state === 'done', 'the later write is acknowledged')
    await stage.mustRead('n1', KEY, 'second')
    await stage.heal(3)
  }
}

const clockBack: Scenario = {
  name: 'clockBack',
  story: 'a peer restarts with its clock set back to the very ms of its last write',
  async run(stage) {
    await stage.grow(['n0'])
    await stage.advance(5000)
    await stage.answered(stage.put('n0', KEY, 'first'))
    const then = Number.parseInt(stage.version('n0', KEY)!.slice(0, 12), 16)
    stage.kill('n0')
    await stage.advance(5000)
    // Until the write is made the clock goes on to that ms.
    const skewMs = then - stage.ring.clock.now()
    const node = await stage.start('n0', { skewMs: skewMs - 3000 })
    await stage.ring.untilWhole(1)
    await stage.advance(3000 - (stage.ring.clock.elapsed() % 1))
    node.clock.skewMs = then - stage.ring.clock.now()
    await stage.answered(stage.put('n0', KEY, 'second'))
    await stage.heal(1)
  }
}

const lastSlot: Scenario = {
  name: 'lastSlot',
  story: 'a write lies in the last slot of what a newcomer pulls at once, and never reached it otherwise',
  async run(stage) {
    await stage.grow(OLD)
    const pulls = stage.steering.hold(message('pull', ['n3']))
    stage.steering.lose(message('write', undefined, ['n3']))
    await stage.join(['n3'], 'n1')
    await stage.when(() => pulls.caught.length > 0, 'n3 wants to pull')
    const { configs, self, readiness } = stage.view('n3')
    const [job] = pullJobs(configs, self, readiness.get(self) ?? new Uint32Array(configs.windows.length), 1024)
    const slot = job?.slots.at(-1)
    let at = 0
    while (slotOf(Buffer.from(`key-${at}`)) !== slot) at += 1
    const key = `key-${at}`
    // The newcomer would count as an owner that has it.
    const write = await stage.answered(stage.put('n0', key, 'new'))
    stage.reached(write.state === 'done', 'the write is acknowledged without n3')
    pulls.release()
    await stage.when(() => stage.isReady('n3', key), 'n3 is ready')
    stage.mustHold('n3', key, 'new')
    await stage.heal(4)
  }
}

const blockBorder: Scenario = {
  name: 'blockBorder',
  story: 'the entries of one slot fill several blocks of a transfer',
  async run(stage) {
    await stage.grow(['n0'])
    const keys = Array.from({ length: 14 }, (_, at) => `{slot}-${at}`)
    await stage.fill('n0', keys, 'v'.repeat(200_000))
    await stage.grow(['n1'])
    stage.reached(
      keys.every((key) => stage.isReady('n1', key)),
      'n1 is ready'
    )
    for (const key of keys) stage.promise(stage.holds('n1', key) !== undefined, `n1 is ready and lacks ${key}`)
    await stage.heal(2)
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
