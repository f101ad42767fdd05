// What is kept for owners that are away: that it counts for nothing, reaches the right life unchanged, and is forgotten
// only when its owner has it.
import { type Bytes, toText } from '../../../lib/bytes.js'
import { allHints, decodeHint } from '../../../lib/entry/hint.js'
import { FaultyStore } from '../seams/faulty-store.js'
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'
/** Longer than a request waits for its answer. */
const SILENCE_MS = 11_000
const REPLAY_MS = 10_000

/** Values of the hints on the disk of a node, running or not. */
async function hintsOf(cluster: ScenarioCluster, name: string): Promise<readonly Bytes[]> {
  const scan = cluster.disk(name).scan(allHints())
  const found = await scan.next(Number.POSITIVE_INFINITY)
  await scan.close()
  return found.map(([, value]) => value)
}

async function isKept(cluster: ScenarioCluster, name: string, key: string): Promise<boolean> {
  const values = await hintsOf(cluster, name)
  return values.some((value) => Buffer.from(decodeHint(value)?.key ?? '').toString() === key)
}

/** n1 is dead, and n0 keeps a write for it. */
async function missed(cluster: ScenarioCluster): Promise<void> {
  await cluster.grow(OLD)
  cluster.kill('n1')
  const write = await cluster.answered(cluster.put('n0', KEY, 'missed'))
  cluster.reached(write.state === 'done', 'the write is acknowledged')
  await cluster.advance(SILENCE_MS)
  cluster.reached(await isKept(cluster, 'n0', KEY), 'n0 keeps the write for n1')
}

const hintAlone: Scenario = {
  name: 'hintAlone',
  story: 'two of three owners are dead, and a write is sent to the third',
  async run(cluster) {
    await missed(cluster)
    cluster.kill('n2')
    await cluster.advance(SILENCE_MS)
    const write = await cluster.answered(cluster.put('n0', KEY, 'alone'))
    cluster.promise(write.state === 'failed', 'a write is acknowledged that one of three owners has')
    await cluster.start('n1')
    await cluster.start('n2')
    await cluster.advance(REPLAY_MS)
    cluster.steering.releaseAll()
    await cluster.untilWhole(3)
  }
}

const hintReturns: Scenario = {
  name: 'hintReturns',
  story: 'an owner misses two writes of one key and one of another, and returns',
  async run(cluster) {
    await missed(cluster)
    for (const [key, value] of [
      [KEY, 'newer'],
      ['b', 'other']
    ] as const) {
      const write = await cluster.answered(cluster.put('n0', key, value))
      cluster.reached(write.state === 'done', 'the write is acknowledged')
    }
    await cluster.advance(SILENCE_MS)
    await cluster.start('n1')
    await cluster.advance(REPLAY_MS)
    for (const key of [KEY, 'b']) {
      const [found, wanted] = [cluster.version('n1', key), cluster.version('n2', key)]
      cluster.promise(found !== undefined, `n1 is back, and has not got what it missed of ${key}`)
      cluster.promise(found === wanted, `n1 holds ${key} under another version than n2`)
    }
    await cluster.heal(3)
  }
}

const hintWrongLife: Scenario = {
  name: 'hintWrongLife',
  story: 'the peer of a dead owner comes back with an empty disk, and later with the old one',
  async run(cluster) {
    await missed(cluster)
    const old = cluster.disk('n1')
    const oldLife = toText(cluster.fact('n1', 'store-id')!)
    const join = cluster.node('n0').network.addresses()
    await cluster.start('n1', { join, store: new FaultyStore() })
    await cluster.when(() => cluster.isLinked('n0', 'n1'), 'n0 has a link to the new life')
    await cluster.advance(REPLAY_MS)
    cluster.promise(await isKept(cluster, 'n0', KEY), 'a hint was given to another life of the peer')
    cluster.reached(
      cluster.window('n0', KEY).some(({ owners }) => owners.includes(oldLife)),
      'the former life owns the key still'
    )
    cluster.kill('n1')
    await cluster.start('n1', { join, store: old })
    await cluster.advance(2 * REPLAY_MS)
    cluster.promise(cluster.holds('n1', KEY) === 'missed', 'n1 is back with its disk, and has not got what it missed')
  }
}

const hintUnanswered: Scenario = {
  name: 'hintUnanswered',
  story: 'the peer that keeps a hint dies while the hint is on its way to its owner',
  async run(cluster) {
    await missed(cluster)
    const replay = cluster.steering.hold(message('write', ['n0'], ['n1']))
    await cluster.start('n1')
    await cluster.when(() => replay.caught.length > 0, 'the hint is on its way')
    await cluster.advance(100)
    cluster.promise(await isKept(cluster, 'n0', KEY), 'a hint left the disk before its owner had it')
    cluster.kill('n0')
    cluster.steering.releaseAll()
    await cluster.start('n0')
    await cluster.advance(2 * REPLAY_MS)
    cluster.promise(cluster.holds('n1', KEY) === 'missed', 'n1 is back, and has not got what it missed')
    cluster.promise(!(await isKept(cluster, 'n0', KEY)), 'a hint that has been answered is still kept')
    await cluster.heal(3)
  }
}

export const HINTS: readonly Scenario[] = [hintAlone, hintReturns, hintWrongLife, hintUnanswered]
