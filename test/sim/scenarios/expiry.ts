// Values that expire: what is gone stays gone, no expiry is lost, and what is written after the end stays.
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'
const TTL_MS = 500
const LONG_TTL_MS = 600_000

const expiredGone: Scenario = {
  name: 'expiredGone',
  story: 'a value has expired and lies on all disks still',
  async run(stage) {
    await stage.grow(OLD)
    const put = await stage.answered(stage.put('n0', KEY, 'brief', TTL_MS))
    stage.reached(put.state === 'done', 'it is acknowledged')
    for (const name of OLD) await stage.mustRead(name, KEY, 'brief')
    await stage.advance(TTL_MS)
    for (const name of OLD) await stage.mustRead(name, KEY, undefined)
    await stage.answered(stage.put('n1', KEY, 'stays'))
    await stage.advance(10 * TTL_MS)
    await stage.heal(3)
  }
}

/** A value has expired that n0 alone has, over one that all have. */
async function expireAtOne(stage: Stage): Promise<void> {
  await stage.grow(OLD)
  await stage.fill('n0', [KEY], 'old')
  await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'old'), 'all have the value before')
  stage.steering.hold(message('write', ['n0'], ['n1', 'n2']))
  stage.put('n0', KEY, 'brief', TTL_MS)
  await stage.when(() => stage.holds('n0', KEY) === 'brief', 'n0 has it')
  await stage.advance(TTL_MS)
}

const halfExpired: Scenario = {
  name: 'halfExpired',
  story: 'a value that reached one owner only has expired and was read as gone; the key is asked for at the others',
  async run(stage) {
    await expireAtOne(stage)
    const skip = stage.steering.hold(message('read', ['n1'], ['n2']))
    const read = await stage.answered(stage.get('n1', KEY))
    stage.reached(read.state === 'done' && read.value === undefined, 'the key is read as gone')
    skip.release()
    stage.kill('n0')
    await stage.mustRead('n2', KEY, undefined)
    await stage.start('n0')
    await stage.ring.untilWhole(3)
  }
}

const writtenAtTheEnd: Scenario = {
  name: 'writtenAtTheEnd',
  story: 'a key is written while a read of what has expired under it waits for its answers',
  async run(stage) {
    await stage.grow(OLD)
    await stage.answered(stage.put('n0', KEY, 'brief', TTL_MS))
    await stage.when(() => OLD.every((name) => stage.holds(name, KEY) === 'brief'), 'all have it')
    await stage.advance(TTL_MS)
    const late = stage.steering.holdAnswers(message('read', ['n1']))
    const read = stage.get('n1', KEY)
    await stage.when(() => late.caught.length > 0, 'n1 has been answered')
    const write = await stage.answered(stage.put('n0', KEY, 'new'))
    stage.reached(write.state === 'done' && read.state === 'open', 'the key is written meanwhile')
    await stage.advance(50)
    late.release()
    await stage.answered(read)
    for (const name of OLD) await stage.mustRead(name, KEY, 'new')
    await stage.heal(3)
  }
}

const deletedAfterRepair: Scenario = {
  name: 'deletedAfterRepair',
  story: 'a delete finds what has expired, is writing that back, and meets a newer value of which only one owner knows',
  async run(stage) {
    await expireAtOne(stage)
    const skip = stage.steering.hold(message('read', ['n1'], ['n2']))
    const near = stage.steering.hold(message('write', ['n1'], ['n0']))
    const far = stage.steering.hold(message('write', ['n1'], ['n2']))
    const remove = stage.delete('n1', KEY)
    await stage.when(() => near.caught.length > 0 && far.caught.length > 0, 'n1 is writing it back')
    stage.steering.hold(message('write', ['n2']))
    stage.put('n2', KEY, 'new')
    await stage.when(() => stage.holds('n2', KEY) === 'new', 'n2 has something newer')
    stage.kill('n2')
    await stage.start('n2')
    stage.reached(remove.state === 'open', 'the delete is under way')
    stage.steering.hold(message('read', ['n1'], ['n0']))
    skip.release()
    far.release()
    await stage.advance(500)
    near.release()
    await stage.answered(remove)
    stage.reached(remove.state === 'done', 'the key is deleted')
    for (const name of OLD) await stage.mustRead(name, KEY, undefined)
    await stage.heal(3)
  }
}

const expiryMoves: Scenario = {
  name: 'expiryMoves',
  story: 'a newcomer pulls values that expire',
  async run(stage) {
    await stage.grow(OLD)
    const keys = stage.keys.slice(0, 40)
    const puts = keys.map((key) => stage.put('n0', key, 'brief', LONG_TTL_MS))
    await stage.when(() => puts.every(({ state }) => state === 'done'), 'all are acknowledged')
    const expiries = new Map(keys.map((key) => [key, stage.expiry('n0', key)]))
    await stage.join(['n3'], 'n1')
    const mine = keys.filter((key) => stage.owners('n3', key).includes('n3'))
    await stage.when(() => mine.every((key) => stage.isReady('n3', key)), 'n3 is ready')
    stage.reached(mine.length > 0, 'n3 owns some of them')
    for (const key of mine) {
      stage.mustHold('n3', key, 'brief')
      stage.promise(stage.expiry('n3', key) === expiries.get(key), `${key} has another expiry at n3`)
    }
    await stage.advance(LONG_TTL_MS)
    await stage.heal(4)
  }
}

const mintedAgain: Scenario = {
  name: 'mintedAgain',
  story: 'a value that expires is written by a slow clock, whose owners hold something newer',
  async run(stage) {
    await stage.grow(['n0', 'n1'])
    await stage.start('n2', { skewMs: -3000 })
    await stage.ring.untilWhole(3)
    await stage.advance(3000)
    for (const other of ['n0', 'n1']) stage.ring.hub.cut(other, 'n2')
    await stage.advance(2500)
    await stage.answered(stage.put('n0', KEY, 'first'))
    const newer = stage.version('n0', KEY)!
    const write = stage.put('n2', KEY, 'brief', LONG_TTL_MS)
    await stage.when(() => stage.holds('n2', KEY) === 'brief', 'n2 has it')
    stage.reached(stage.version('n2', KEY)! < newer, 'its version is older')
    stage.ring.hub.heal()
    await stage.answered(write)
    stage.reached(write.state === 'done', 'it is acknowledged')
    for (const name of ['n0', 'n1', 'n2']) {
      const isThere = stage.holds(name, KEY) === 'brief'
      if (isThere) stage.promise(stage.expiry(name, KEY) !== undefined, `the value stays for ever at ${name}`)
    }
    await stage.advance(LONG_TTL_MS + 5000)
    await stage.heal(3)
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
