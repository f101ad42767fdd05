// Wall clocks that are wrong and come right again, and disks whose syncs take seconds. The rules are in
// lib/entry/clock.md.

import { encodeEnvelope } from '../../../lib/entry/envelope.js'
import { makeVersion } from '../../../lib/entry/version.js'
import { message } from '../seams/steering.js'
import type { Attempt, Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const KEY = 'a'
const HOUR_MS = 3_600_000
const SKEW_MS = 5000

/** The ms of the version on the disk of the node, ahead of the right time. */
function aheadMs(cluster: ScenarioCluster, name: string, key: string): number {
  const version = cluster.version(name, key)
  return version === undefined ? 0 : Number.parseInt(version.slice(0, 12), 16) - cluster.ring.clock.now()
}

function mustBeOfNow(cluster: ScenarioCluster, key: string): void {
  for (const name of OLD) {
    const ahead = aheadMs(cluster, name, key)
    cluster.promise(ahead <= SKEW_MS, `${name} holds a version of ${key} that lies ${ahead} ms in the future`)
  }
}

async function mustWrite(cluster: ScenarioCluster, name: string, key: string, value: string): Promise<Attempt> {
  const write = await cluster.answered(cluster.put(name, key, value))
  cluster.promise(write.state === 'done', `a write through ${name} fails: ${write.error}`)
  return write
}

/** All clocks are set, as by one order of an operator. */
function setClocks(cluster: ScenarioCluster, names: readonly string[], skewMs: number): void {
  for (const name of names) cluster.node(name).clock.skewMs = skewMs
}

const clockAheadAlone: Scenario = {
  name: 'clockAheadAlone',
  summary: 'one of three clocks jumps an hour ahead, clients write through its peer, and it is set right again',
  async run(cluster) {
    cluster.options = { ...cluster.options, repairEveryMs: 5000 }
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.advance(3000)
    setClocks(cluster, ['n2'], HOUR_MS)
    const early = cluster.put('n2', KEY, 'early')
    await cluster.answered(early)
    const late = await cluster.answered(cluster.put('n2', KEY, 'late'))
    cluster.reached(early.state === 'failed' && late.state === 'failed', 'the peer refuses its clients')
    mustBeOfNow(cluster, KEY)
    await mustWrite(cluster, 'n0', KEY, 'new')
    await cluster.advance(20_000)
    for (const name of OLD) await cluster.mustRead(name, KEY, 'new')
    setClocks(cluster, ['n2'], 0)
    await cluster.advance(2000)
    await mustWrite(cluster, 'n2', KEY, 'back')
    cluster.kill('n2')
    await cluster.start('n2')
    await cluster.untilWhole(3)
    await mustWrite(cluster, 'n2', KEY, 'again')
    mustBeOfNow(cluster, KEY)
    await cluster.heal(3)
  }
}

const clockAheadAtStart: Scenario = {
  name: 'clockAheadAtStart',
  summary: 'a peer starts with its clock an hour ahead, and a client writes through it before it hears the others',
  async run(cluster) {
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    cluster.kill('n2')
    cluster.steering.lose(message('write', ['n2']))
    await cluster.start('n2', { skewMs: HOUR_MS })
    await cluster.when(() => cluster.node('n2').node.view !== undefined, 'n2 knows its view')
    const write = await cluster.answered(cluster.put('n2', KEY, 'future'))
    cluster.reached(write.state === 'failed', 'the write is refused')
    await cluster.advance(1000)
    mustBeOfNow(cluster, KEY)
    setClocks(cluster, ['n2'], 0)
    await cluster.heal(3)
  }
}

const clocksAheadTogether: Scenario = {
  name: 'clocksAheadTogether',
  summary: 'all clocks were an hour ahead, are set right, and all peers restart',
  async run(cluster) {
    await cluster.startAll(['n0'])
    for (const name of ['n1', 'n2']) await cluster.start(name)
    setClocks(cluster, OLD, HOUR_MS)
    await cluster.untilWhole(3)
    // One peer takes all writes: the others know the time of the ring from what they store.
    await cluster.fill('n0', [KEY, 'b'], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, 'b') === 'old'), 'all owners have the values')
    cluster.reached(aheadMs(cluster, 'n1', KEY) > HOUR_MS / 2, 'the versions lie ahead')
    setClocks(cluster, OLD, 0)
    await cluster.advance(3000)
    for (const name of OLD) await mustWrite(cluster, name, KEY, `right-${name}`)
    setClocks(cluster, OLD, HOUR_MS)
    await cluster.advance(3000)
    await mustWrite(cluster, 'n0', KEY, 'ahead-again')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'ahead-again'), 'all owners have it')
    cluster.kill(...OLD)
    for (const name of OLD) await cluster.start(name)
    await cluster.untilWhole(3)
    for (const name of ['n2', 'n1', 'n0']) {
      await mustWrite(cluster, name, KEY, `restarted-${name}`)
      await mustWrite(cluster, name, `new-${name}`, 'x')
      await cluster.mustRead('n0', KEY, `restarted-${name}`)
    }
    await cluster.heal(3)
  }
}

const clockAheadInRingOfOne: Scenario = {
  name: 'clockAheadInRingOfOne',
  summary: 'the clock of a ring of one was an hour ahead; it restarts often with the right clock, and others join it',
  async run(cluster) {
    await cluster.start('n0', { skewMs: HOUR_MS })
    await cluster.untilWhole(1)
    await cluster.fill('n0', cluster.keys, 'old')
    setClocks(cluster, ['n0'], 0)
    await mustWrite(cluster, 'n0', KEY, 'first')
    for (let life = 0; life < 5; life++) {
      cluster.kill('n0')
      await cluster.start('n0')
      await cluster.untilWhole(1)
      await mustWrite(cluster, 'n0', KEY, `life-${life}`)
    }
    await cluster.grow(['n1', 'n2'])
    for (const name of ['n1', 'n2', 'n0']) {
      await mustWrite(cluster, name, KEY, `grown-${name}`)
      await cluster.mustRead('n0', KEY, `grown-${name}`)
    }
    cluster.kill('n1', 'n2')
    for (const name of ['n1', 'n2']) await cluster.start(name)
    await cluster.heal(3)
  }
}

const expiryByWrongClock: Scenario = {
  name: 'expiryByWrongClock',
  summary: 'a value that expires is read through a peer whose clock jumps past its expiry',
  async run(cluster) {
    cluster.options = { ...cluster.options, purgeAfterMs: 10_000, purgeEveryMs: 3000 }
    await cluster.grow(OLD)
    const put = await cluster.answered(cluster.put('n0', KEY, 'brief', HOUR_MS / 2))
    cluster.reached(put.state === 'done', 'the value is acknowledged')
    setClocks(cluster, ['n2'], HOUR_MS)
    for (const wait of [0, 1500, 30_000]) {
      await cluster.advance(wait)
      await cluster.mustRead('n2', KEY, 'brief')
      await cluster.mustRead('n0', KEY, 'brief')
    }
    setClocks(cluster, ['n2'], 0)
    await cluster.heal(3)
  }
}

const futureOnOneDisk: Scenario = {
  name: 'futureOnOneDisk',
  summary: 'one owner holds an entry of the future from an older version; the key is read, written and repaired',
  async run(cluster) {
    cluster.options = { ...cluster.options, repairEveryMs: 5000 }
    await cluster.grow(OLD)
    await cluster.fill('n0', [KEY], 'old')
    await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have the value')
    const version = makeVersion(cluster.ring.clock.now() + HOUR_MS, 0, Buffer.alloc(8, 1))
    const future = encodeEnvelope(Buffer.from(KEY), { version, tombstone: false, value: Buffer.from('future') })
    await cluster.show('n2', KEY, future)
    for (const name of OLD) await mustReadNow(cluster, name, 'old')
    await mustWrite(cluster, 'n1', KEY, 'new')
    await cluster.advance(15_000)
    for (const name of OLD) await mustReadNow(cluster, name, 'new')
    for (const name of ['n0', 'n1']) {
      cluster.promise(cluster.holds(name, KEY) === 'new', `the entry of the future came to ${name}`)
    }
    cluster.reached(cluster.ring.agrees(3), 'the ring is whole')
  }
}

async function mustReadNow(cluster: ScenarioCluster, name: string, value: string): Promise<void> {
  const read = await cluster.answered(cluster.get(name, KEY))
  cluster.promise(read.state === 'done', `a read through ${name} fails: ${read.error}`)
  cluster.promise(read.value === value, `${KEY} read through ${name} is ${read.value}, but ${value} was acknowledged`)
}

const slowSyncs: Scenario = {
  name: 'slowSyncs',
  summary: 'the disk of one owner takes 2.5 s for each synced batch, and clients write through its peer',
  async run(cluster) {
    await cluster.grow(OLD)
    cluster.disk('n2').lag = { clock: cluster.ring.clock, ms: 2500 }
    await cluster.advance(10_000)
    for (let round = 0; round < 3; round++) {
      for (let write = 0; write < 3; write++) await mustWrite(cluster, 'n2', `${KEY}-${write}`, `round-${round}`)
      const many = Array.from({ length: 20 }, (_, at) => cluster.put('n2', `many-${at}`, `round-${round}`))
      for (const one of many) await cluster.answered(one)
      const failed = many.find(({ state }) => state === 'failed')
      cluster.promise(failed === undefined, `a write beside others fails: ${failed?.error}`)
      await cluster.advance(10_000)
    }
    cluster.disk('n2').lag = undefined
    await cluster.heal(3)
  }
}

export const CLOCKS: readonly Scenario[] = [
  clockAheadAlone,
  clockAheadAtStart,
  clocksAheadTogether,
  clockAheadInRingOfOne,
  expiryByWrongClock,
  futureOnOneDisk,
  slowSyncs
]
