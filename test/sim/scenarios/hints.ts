// What is kept for owners that are away: that it counts for nothing, reaches the right life unchanged, and is forgotten
// only when its owner has it.
import { type Bytes, toText } from '../../../lib/bytes.js'
import { allHints, decodeHint } from '../../../lib/entry/hint.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'
/** Longer than a request waits for its answer. */
const SILENCE_MS = 11_000
const REPLAY_MS = 10_000

/** Values of the hints on the disk of a node, running or not. */
async function hintsOf(stage: Stage, name: string): Promise<readonly Bytes[]> {
  const scan = stage.disk(name).scan(allHints())
  const found = await scan.next(Number.POSITIVE_INFINITY)
  await scan.close()
  return found.map(([, value]) => value)
}

async function isKept(stage: Stage, name: string, key: string): Promise<boolean> {
  const values = await hintsOf(stage, name)
  return values.some((value) => Buffer.from(decodeHint(value)?.key ?? '').toString() === key)
}

/** n1 is dead, and n0 keeps a write for it. */
async function missed(stage: Stage): Promise<void> {
  await stage.grow(OLD)
  stage.kill('n1')
  const write = await stage.answered(stage.put('n0', KEY, 'missed'))
  stage.reached(write.state === 'done', 'the write is acknowledged')
  await stage.advance(SILENCE_MS)
  stage.reached(await isKept(stage, 'n0', KEY), 'n0 keeps the write for n1')
}

const hintAlone: Scenario = {
  name: 'hintAlone',
  story: 'two of three owners are dead, and a write is sent to the third',
  async run(stage) {
    await missed(stage)
    stage.kill('n2')
    await stage.advance(SILENCE_MS)
    const write = await stage.answered(stage.put('n0', KEY, 'alone'))
    stage.promise(write.state === 'failed', 'a write is acknowledged that one of three owners has')
    await stage.start('n1')
    await stage.start('n2')
    await stage.advance(REPLAY_MS)
    stage.steering.releaseAll()
    await stage.untilWhole(3)
  }
}

const hintReturns: Scenario = {
  name: 'hintReturns',
  story: 'an owner misses two writes of one key and one of another, and returns',
  async run(stage) {
    await missed(stage)
    for (const [key, value] of [
      [KEY, 'newer'],
      ['b', 'other']
    ] as const) {
      const write = await stage.answered(stage.put('n0', key, value))
      stage.reached(write.state === 'done', 'the write is acknowledged')
    }
    await stage.advance(SILENCE_MS)
    await stage.start('n1')
    await stage.advance(REPLAY_MS)
    for (const key of [KEY, 'b']) {
      const [found, wanted] = [stage.version('n1', key), stage.version('n2', key)]
      stage.promise(found !== undefined, `n1 is back, and has not got what it missed of ${key}`)
      stage.promise(found === wanted, `n1 holds ${key} under another version than n2`)
    }
    await stage.heal(3)
  }
}

const hintWrongLife: Scenario = {
  name: 'hintWrongLife',
  story: 'the peer of a dead owner comes back with an empty disk, and later with the old one',
  async run(stage) {
    await missed(stage)
    const old = stage.disk('n1')
    const oldLife = toText(stage.fact('n1', 'store-id')!)
    const join = stage.node('n0').network.addresses()
    await stage.start('n1', { join, store: new FaultyStore() })
    await stage.when(() => stage.isLinked('n0', 'n1'), 'n0 has a link to the new life')
    await stage.advance(REPLAY_MS)
    stage.promise(await isKept(stage, 'n0', KEY), 'a hint was given to another life of the peer')
    stage.reached(
      stage.window('n0', KEY).some(({ owners }) => owners.includes(oldLife)),
      'the former life owns the key still'
    )
    stage.kill('n1')
    await stage.start('n1', { join, store: old })
    await stage.advance(2 * REPLAY_MS)
    stage.promise(stage.holds('n1', KEY) === 'missed', 'n1 is back with its disk, and has not got what it missed')
  }
}

const hintUnanswered: Scenario = {
  name: 'hintUnanswered',
  story: 'the peer that keeps a hint dies while the hint is on its way to its owner',
  async run(stage) {
    await missed(stage)
    const replay = stage.steering.hold(message('write', ['n0'], ['n1']))
    await stage.start('n1')
    await stage.when(() => replay.caught.length > 0, 'the hint is on its way')
    await stage.advance(100)
    stage.promise(await isKept(stage, 'n0', KEY), 'a hint left the disk before its owner had it')
    stage.kill('n0')
    stage.steering.releaseAll()
    await stage.start('n0')
    await stage.advance(2 * REPLAY_MS)
    stage.promise(stage.holds('n1', KEY) === 'missed', 'n1 is back, and has not got what it missed')
    stage.promise(!(await isKept(stage, 'n0', KEY)), 'a hint that has been answered is still kept')
    await stage.heal(3)
  }
}

export const HINTS: readonly Scenario[] = [hintAlone, hintReturns, hintWrongLife, hintUnanswered]
