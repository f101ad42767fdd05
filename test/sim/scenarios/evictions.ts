// Members that the ring goes on without by itself: who may be, by whose votes, one at a time, and what becomes of them.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const FIVE = ['n0', 'n1', 'n2', 'n3', 'n4']
const SIX = [...FIVE, 'n5']
const EVICT_MS = 1000
/** Few tokens: what a view costs grows with them. */
const OPTIONS = { evictAfterMs: EVICT_MS, onLoss: 'wait', weight: 0.25 } as const
/** Down is found within 5 s; then a second, and whatever the votes take. */
const FOUND_MS = 10_000
/** The same with caution: ten times the second. */
const CAUTION_MS = 20_000

async function grow(cluster: ScenarioCluster, names: readonly string[]): Promise<void> {
  cluster.options = OPTIONS
  await cluster.grow(names)
}

/** `names` lose `victim` and hear nothing of it through others either. */
async function losesSight(cluster: ScenarioCluster, names: readonly string[], victim: string): Promise<void> {
  cluster.steering.lose((sent) => names.includes(sent.from) && sent.body.pingThrough !== undefined)
  await cluster.isolate(victim, names)
}

function has(cluster: ScenarioCluster, knower: string, id: string): boolean {
  return cluster.view(knower).members.has(id)
}

const evictedByMinority: Scenario = {
  name: 'evictedByMinority',
  story: 'two of five are cut off from the others, and each side would go on without the other',
  async run(cluster) {
    await grow(cluster, FIVE)
    const before = cluster.viewNumber('n0')
    const [some, others] = [FIVE.slice(0, 2), FIVE.slice(2)]
    for (const one of some) for (const other of others) cluster.ring.hub.reset(one, other)
    await cluster.advance(5)
    cluster.ring.hub.partition(some, others)
    await cluster.when(() => cluster.viewNumber('n2') > before, 'three of five evict', FOUND_MS + CAUTION_MS)
    await cluster.advance(CAUTION_MS)
    cluster.mustAgreeOn(`view/${String(before + 1).padStart(10, '0')}`)
    for (const name of some) cluster.promise(cluster.viewNumber(name) === before, `${name} has a view of a minority`)
  }
}

const votesOfDeaf: Scenario = {
  name: 'votesOfDeaf',
  story: 'two of five do not hear a member that the two others hear',
  async run(cluster) {
    await grow(cluster, FIVE)
    const victim = cluster.member('n4')
    const asking = countOf(cluster, ['n0', 'n1'])
    await losesSight(cluster, ['n0', 'n1'], 'n4')
    await cluster.when(() => asking.count > 0, 'one of them asks for its eviction')
    await cluster.advance(FOUND_MS)
    for (const name of ['n2', 'n3', 'n4'])
      cluster.promise(has(cluster, name, victim), 'a member that is heard was evicted')
    await cluster.heal(5)
    cluster.promise(has(cluster, 'n0', victim), 'a member that is heard was evicted')
  }
}

/** Counts the ballots for evictions that these ask for, and holds none of them up. */
function countOf(cluster: ScenarioCluster, names: readonly string[]): { readonly count: number } {
  const counter = { count: 0 }
  cluster.steering.lose(({ from, body }) => {
    if (names.includes(from) && body.prepare !== undefined && body.prepare.evictions.length > 0) counter.count += 1
    return false
  })
  return counter
}

/** A key of three owners of whom the third, which is not `via`, has missed the newest write. */
async function writtenToTwo(
  cluster: ScenarioCluster,
  via: string
): Promise<{ key: string; two: string[]; third: string }> {
  await cluster.fill(via, cluster.keys, 'old')
  const key = cluster.pickKey(via, (owners) => owners.length === 3 && !owners.includes(via))
  const [third = '', ...two] = cluster.owners(via, key)
  const lost = cluster.steering.lose(message('write', undefined, [third]))
  await cluster.answered(cluster.put(via, key, 'new'))
  const holdsNew = (name: string) => cluster.holds(name, key) === 'new'
  cluster.reached(two.every(holdsNew) && !holdsNew(third), 'two owners have the write, the third has missed it')
  lost.release()
  return { key, two, third }
}

const twoOfThreeDie: Scenario = {
  name: 'twoOfThreeDie',
  story: 'both owners that have a write die; one is evicted, the other one is what is left of the write',
  async run(cluster) {
    await grow(cluster, SIX)
    cluster.keepCopies()
    const { key, two } = await writtenToTwo(cluster, 'n0')
    const knower = SIX.find((name) => !two.includes(name))!
    const ids = two.map((name) => cluster.member(name))
    cluster.kill(...two)
    const left = () => ids.filter((id) => has(cluster, knower, id)).length
    await cluster.when(() => left() < 2, 'one of them is evicted', FOUND_MS)
    await cluster.advance(CAUTION_MS)
    cluster.promise(left() === 1, 'both were evicted, and with them what only they held')
    await cluster.mustRead(knower, key, 'new')
    for (const name of two) await cluster.start(name)
    // The first comes back, is refused, and ends; its supervisor starts it again.
    await cluster.when(() => cluster.window(knower, key).length === 1, 'the slot has settled', 60_000)
    await cluster.mustRead(knower, key, 'new')
  }
}

const evictBelowReplicas: Scenario = {
  name: 'evictBelowReplicas',
  story: 'one of three dies, and there are to be three copies of everything',
  async run(cluster) {
    await grow(cluster, ['n0', 'n1', 'n2'])
    const victim = cluster.member('n2')
    cluster.kill('n2')
    await cluster.advance(FOUND_MS + CAUTION_MS)
    cluster.promise(has(cluster, 'n0', victim), 'two members are left, too few for three copies')
    await cluster.start('n2')
    await cluster.heal(3)
  }
}

const pausedAccuses: Scenario = {
  name: 'pausedAccuses',
  story: 'a member dies, all others sleep for a minute at that moment, and it is back when they wake up',
  async run(cluster) {
    await grow(cluster, FIVE)
    const victim = cluster.member('n4')
    const others = FIVE.slice(0, 4)
    cluster.kill('n4')
    await cluster.advance(3000)
    for (const name of others) cluster.node(name).clock.pause()
    await cluster.advance(60_000)
    for (const name of others) cluster.node(name).clock.resume()
    await cluster.advance(1000)
    cluster.promise(has(cluster, 'n0', victim), 'their own sleep counted against it')
    await cluster.start('n4')
    await cluster.heal(5)
    cluster.promise(has(cluster, 'n0', victim), 'their own sleep counted against it')
  }
}

const stuckEviction: Scenario = {
  name: 'stuckEviction',
  story: 'one of four accepts the eviction of a member, which comes back before the others are asked to',
  async run(cluster) {
    await grow(cluster, ['n0', 'n1', 'n2', 'n3'])
    const old = cluster.member('n3')
    const others = ['n0', 'n1', 'n2']
    const accepts = cluster.steering.lose(message('accept', others, others))
    cluster.kill('n3')
    await cluster.when(
      () => accepts.caught.length > 0,
      'one has accepted its own proposal, and asks the others',
      FOUND_MS
    )
    // It may be heard, and takes no part in ballots: all three others are needed for a majority.
    for (const kind of ['prepare', 'accept'] as const) cluster.steering.lose(message(kind, undefined, ['n3']))
    cluster.steering.lose(message('prepare', ['n3']))
    await cluster.start('n3')
    await cluster.when(() => others.every((name) => cluster.isLinked(name, 'n3')), 'it is back')
    await cluster.advance(5000)
    cluster.reached(has(cluster, 'n0', old), 'it is a member still')
    accepts.release()
    await cluster.start('n4')
    const isIn = () => cluster.node('n4').node.view?.isMember === true
    cluster.promise(await cluster.ring.clock.runUntil(isIn, 60_000), 'the ring has no next view any more')
  }
}

export const EVICTIONS: readonly Scenario[] = [
  evictedByMinority,
  votesOfDeaf,
  twoOfThreeDie,
  evictBelowReplicas,
  pausedAccuses,
  stuckEviction
]
