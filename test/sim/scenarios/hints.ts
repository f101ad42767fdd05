// Hints: they do not count for a quorum, they reach the right member unchanged, and they are deleted only after their
// owner has them.
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
const DAY_MS = 86_400_000

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

/** n1 is down, and n0 keeps a hint for it. */
async function missed(cluster: ScenarioCluster): Promise<void> {
  await cluster.grow(OLD)
  cluster.kill('n1')
  const write = await cluster.answered(cluster.put('n0', KEY, 'missed'))
  cluster.reached(write.state === 'done', 'the write is acknowledged')
  await cluster.advance(SILENCE_MS)
  cluster.reached(await isKept(cluster, 'n0', KEY), 'n0 keeps a hint for n1')
}

const hintAlone: Scenario = {
  name: 'hintAlone',
  summary: 'two of three owners are down, and a write is sent to the third',
  async run(cluster) {
    await missed(cluster)
    cluster.kill('n2')
    await cluster.advance(SILENCE_MS)
    const write = await cluster.answered(cluster.put('n0', KEY, 'alone'))
    cluster.promise(write.state === 'failed', 'a write was acknowledged that only one of three owners has')
    await cluster.start('n1')
    await cluster.start('n2')
    await cluster.advance(REPLAY_MS)
    cluster.steering.releaseAll()
    await cluster.untilWhole(3)
  }
}

const hintReturns: Scenario = {
  name: 'hintReturns',
  summary: 'an owner misses two writes of one key and one of another, and returns',
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
      cluster.promise(found !== undefined, `n1 is back, and did not get the write of ${key} that it missed`)
      cluster.promise(found === wanted, `n1 holds ${key} under another version than n2`)
    }
    await cluster.heal(3)
  }
}

const hintWrongLife: Scenario = {
  name: 'hintWrongLife',
  summary: 'the peer of an owner comes back with an empty disk, and later with its old disk',
  async run(cluster) {
    await missed(cluster)
    const old = cluster.disk('n1')
    const oldLife = toText(cluster.fact('n1', 'store-id')!)
    const join = cluster.node('n0').network.addresses()
    await cluster.start('n1', { join, store: new FaultyStore() })
    await cluster.when(() => cluster.isLinked('n0', 'n1'), 'n0 has a link to the new member')
    await cluster.advance(REPLAY_MS)
    cluster.promise(await isKept(cluster, 'n0', KEY), 'a hint was sent to another member on the same peer')
    cluster.reached(
      cluster.window('n0', KEY).some(({ owners }) => owners.includes(oldLife)),
      'the former member still owns the key'
    )
    cluster.kill('n1')
    await cluster.start('n1', { join, store: old })
    await cluster.advance(2 * REPLAY_MS)
    cluster.promise(
      cluster.holds('n1', KEY) === 'missed',
      'n1 is back with its disk, and did not get the write that it missed'
    )
  }
}

const hintUnanswered: Scenario = {
  name: 'hintUnanswered',
  summary: 'a peer dies while it sends a hint to the owner',
  async run(cluster) {
    await missed(cluster)
    const replay = cluster.steering.hold(message('write', ['n0'], ['n1']))
    await cluster.start('n1')
    await cluster.when(() => replay.caught.length > 0, 'the hint is on its way')
    await cluster.advance(100)
    cluster.promise(await isKept(cluster, 'n0', KEY), 'a hint was deleted before its owner had it')
    cluster.kill('n0')
    cluster.steering.releaseAll()
    await cluster.start('n0')
    await cluster.advance(2 * REPLAY_MS)
    cluster.promise(cluster.holds('n1', KEY) === 'missed', 'n1 is back, and did not get the write that it missed')
    cluster.promise(!(await isKept(cluster, 'n0', KEY)), 'a hint was not deleted after its owner had answered')
    await cluster.heal(3)
  }
}

const hintClockJumps: Scenario = {
  name: 'hintClockJumps',
  summary: 'the clock of a peer that keeps a hint jumps by a day, ahead and behind, before the owner returns',
  async run(cluster) {
    await missed(cluster)
    for (const skewMs of [DAY_MS, -DAY_MS, 0]) {
      cluster.node('n0').clock.skewMs = skewMs
      await cluster.advance(REPLAY_MS)
      const isThere = await isKept(cluster, 'n0', KEY)
      cluster.promise(isThere, `a young hint was dropped by a clock that is wrong by ${skewMs} ms`)
    }
    await cluster.start('n1')
    await cluster.advance(REPLAY_MS)
    cluster.promise(cluster.holds('n1', KEY) === 'missed', 'n1 is back, and did not get the write that it missed')
    await cluster.heal(3)
  }
}

export const HINTS: readonly Scenario[] = [hintAlone, hintReturns, hintWrongLife, hintUnanswered, hintClockJumps]
