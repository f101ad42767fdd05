// Values that expire: an expired value stays absent, no expiry is lost, and a later write stays.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'
const TTL_MS = 500
const LONG_TTL_MS = 600_000

const expiredGone: Scenario = {
  name: 'expiredGone',
  summary: 'a value has expired, and is still on all disks',
  async run(cluster) {
    await cluster.grow(OLD)
    const put = await cluster.answered(cluster.put('n0', KEY, 'brief', TTL_MS))
    cluster.reached(put.state === 'done', 'it is acknowledged')
    for (const name of OLD) await cluster.mustRead(name, KEY, 'brief')
    await cluster.advance(TTL_MS)
    for (const name of OLD) await cluster.mustRead(name, KEY, undefined)
    await cluster.answered(cluster.put('n1', KEY, 'stays'))
    await cluster.advance(10 * TTL_MS)
    await cluster.heal(3)
  }
}

/** All owners hold an old value. Only n0 holds a newer one, which has expired. */
async function expireAtOne(cluster: ScenarioCluster): Promise<void> {
  await cluster.grow(OLD)
  await cluster.fill('n0', [KEY], 'old')
  await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have the old value')
  cluster.steering.hold(message('write', ['n0'], ['n1', 'n2']))
  cluster.put('n0', KEY, 'brief', TTL_MS)
  await cluster.when(() => cluster.holds('n0', KEY) === 'brief', 'n0 has it')
  await cluster.advance(TTL_MS)
}

const halfExpired: Scenario = {
  name: 'halfExpired',
  summary: 'an expired value is on one owner only and has read as absent; then the key is read from the others',
  async run(cluster) {
    await expireAtOne(cluster)
    const skip = cluster.steering.hold(message('read', ['n1'], ['n2']))
    const read = await cluster.answered(cluster.get('n1', KEY))
    cluster.reached(read.state === 'done' && read.value === undefined, 'the key reads as absent')
    skip.release()
    cluster.kill('n0')
    await cluster.mustRead('n2', KEY, undefined)
    await cluster.start('n0')
    await cluster.ring.untilWhole(3)
  }
}

const writtenAtTheEnd: Scenario = {
  name: 'writtenAtTheEnd',
  summary: 'a key is written while a read of its expired value waits for answers',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.answered(cluster.put('n0', KEY, 'brief', TTL_MS))
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'brief'), 'all owners have it')
    await cluster.advance(TTL_MS)
    const late = cluster.steering.holdAnswers(message('read', ['n1']))
    const read = cluster.get('n1', KEY)
    await cluster.when(() => late.caught.length > 0, 'n1 has been answered')
    const write = await cluster.answered(cluster.put('n0', KEY, 'new'))
    cluster.reached(write.state === 'done' && read.state === 'open', 'the key is written meanwhile')
    await cluster.advance(50)
    late.release()
    await cluster.answered(read)
    for (const name of OLD) await cluster.mustRead(name, KEY, 'new')
    await cluster.heal(3)
  }
}

const deletedAfterRepair: Scenario = {
  name: 'deletedAfterRepair',
  summary: 'a delete writes an expired value back, and meets a newer value that only one owner holds',
  async run(cluster) {
    await expireAtOne(cluster)
    const skip = cluster.steering.hold(message('read', ['n1'], ['n2']))
    const near = cluster.steering.hold(message('write', ['n1'], ['n0']))
    const far = cluster.steering.hold(message('write', ['n1'], ['n2']))
    const remove = cluster.delete('n1', KEY)
    await cluster.when(() => near.caught.length > 0 && far.caught.length > 0, 'n1 writes the expired value back')
    cluster.steering.hold(message('write', ['n2']))
    cluster.put('n2', KEY, 'new')
    await cluster.when(() => cluster.holds('n2', KEY) === 'new', 'n2 has a newer value')
    cluster.kill('n2')
    // Until then its link to the former process looks like one to the new process: both are the same member.
    await cluster.when(() => cluster.node('n1').network.link('n2') === undefined, 'n1 knows that n2 has ended')
    await cluster.start('n2')
    cluster.reached(remove.state === 'open', 'the delete is under way')
    cluster.steering.hold(message('read', ['n1'], ['n0']))
    await cluster.when(() => cluster.isLinked('n1', 'n2'), 'n1 and n2 are linked again')
    skip.release()
    far.release()
    await cluster.advance(500)
    near.release()
    await cluster.answered(remove)
    cluster.reached(remove.state === 'done', 'the key is deleted')
    for (const name of OLD) await cluster.mustRead(name, KEY, undefined)
    await cluster.heal(3)
  }
}

const expiryMoves: Scenario = {
  name: 'expiryMoves',
  summary: 'a newcomer pulls values that expire',
  async run(cluster) {
    await cluster.grow(OLD)
    const keys = cluster.keys.slice(0, 40)
    const puts = keys.map((key) => cluster.put('n0', key, 'brief', LONG_TTL_MS))
    await cluster.when(() => puts.every(({ state }) => state === 'done'), 'all are acknowledged')
    const expiries = new Map(keys.map((key) => [key, cluster.expiry('n0', key)]))
    await cluster.join(['n3'], 'n1')
    const mine = keys.filter((key) => cluster.owners('n3', key).includes('n3'))
    await cluster.when(() => mine.every((key) => cluster.isReady('n3', key)), 'n3 is ready')
    cluster.reached(mine.length > 0, 'n3 owns some of the keys')
    for (const key of mine) {
      cluster.mustHold('n3', key, 'brief')
      cluster.promise(cluster.expiry('n3', key) === expiries.get(key), `${key} has another expiry at n3 than at n0`)
    }
    await cluster.advance(LONG_TTL_MS)
    await cluster.heal(4)
  }
}

const mintedAgain: Scenario = {
  name: 'mintedAgain',
  summary: 'a router with a slow clock writes a value that expires, and the owners hold a newer version',
  async run(cluster) {
    await cluster.grow(['n0', 'n1'])
    await cluster.start('n2', { skewMs: -3000 })
    await cluster.ring.untilWhole(3)
    await cluster.advance(3000)
    for (const other of ['n0', 'n1']) cluster.ring.hub.cut(other, 'n2')
    await cluster.advance(2500)
    // A little ahead: n2 makes its versions of the moment that most clocks have reached.
    cluster.node('n0').clock.skewMs = 400
    await cluster.answered(cluster.put('n0', KEY, 'first'))
    const newer = cluster.version('n0', KEY)!
    const write = cluster.put('n2', KEY, 'brief', LONG_TTL_MS)
    await cluster.when(() => cluster.holds('n2', KEY) === 'brief', 'n2 has it')
    cluster.reached(cluster.version('n2', KEY)! < newer, 'its version is older')
    cluster.ring.hub.heal()
    await cluster.answered(write)
    cluster.reached(write.state === 'done', 'it is acknowledged')
    for (const name of ['n0', 'n1', 'n2']) {
      const isThere = cluster.holds(name, KEY) === 'brief'
      if (isThere) cluster.promise(cluster.expiry(name, KEY) !== undefined, `the value has no expiry at ${name}`)
    }
    await cluster.advance(LONG_TTL_MS + 5000)
    await cluster.heal(3)
  }
}

export const EXPIRY: readonly Scenario[] = [
  expiredGone,
  halfExpired,
  writtenAtTheEnd,
  deletedAfterRepair,
  expiryMoves,
  mintedAgain
]
