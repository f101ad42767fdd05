// Evictions: which members may be evicted, by which votes, one at a time, and what happens to evicted members.
import { message } from '../seams/steering.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const FIVE = ['n0', 'n1', 'n2', 'n3', 'n4']
const SIX = [...FIVE, 'n5']
const EVICT_MS = 1000
/** A small weight gives few tokens: the cost of a view grows with them. */
const OPTIONS = { evictAfterMs: EVICT_MS, onLoss: 'wait', weight: 0.25 } as const
/** A member is detected as down within 5 s; then EVICT_MS and the votes follow. */
const FOUND_MS = 10_000
/** As FOUND_MS for cautious members, which wait ten times EVICT_MS. */
const CAUTION_MS = 20_000

async function grow(cluster: ScenarioCluster, names: readonly string[]): Promise<void> {
  cluster.options = OPTIONS
  await cluster.grow(names)
}

/** `names` lose their links with `victim`, and their pings through other members are lost, too. */
async function loseContact(cluster: ScenarioCluster, names: readonly string[], victim: string): Promise<void> {
  cluster.steering.lose((sent) => names.includes(sent.from) && sent.body.pingThrough !== undefined)
  await cluster.isolate(victim, names)
}

function has(cluster: ScenarioCluster, knower: string, id: string): boolean {
  return cluster.view(knower).members.has(id)
}

const evictedByMinority: Scenario = {
  name: 'evictedByMinority',
  summary: 'a partition separates two of five members, and each side wants to evict the other side',
  async run(cluster) {
    await grow(cluster, FIVE)
    const before = cluster.viewNumber('n0')
    const [some, others] = [FIVE.slice(0, 2), FIVE.slice(2)]
    for (const one of some) for (const other of others) cluster.ring.hub.reset(one, other)
    await cluster.advance(5)
    cluster.ring.hub.partition(some, others)
    await cluster.when(() => cluster.viewNumber('n2') > before, 'three of five evict a member', FOUND_MS + CAUTION_MS)
    await cluster.advance(CAUTION_MS)
    cluster.mustAgreeOn(`view/${String(before + 1).padStart(10, '0')}`)
    for (const name of some)
      cluster.promise(cluster.viewNumber(name) === before, `${name} knows a view that a minority has chosen`)
  }
}

const votesOfDeaf: Scenario = {
  name: 'votesOfDeaf',
  summary: 'two of five members do not reach a member that the two others reach',
  async run(cluster) {
    await grow(cluster, FIVE)
    const victim = cluster.member('n4')
    const asking = countOf(cluster, ['n0', 'n1'])
    await loseContact(cluster, ['n0', 'n1'], 'n4')
    await cluster.when(() => asking.count > 0, 'n0 or n1 asks for the eviction of n4')
    await cluster.advance(FOUND_MS)
    for (const name of ['n2', 'n3', 'n4'])
      cluster.promise(has(cluster, name, victim), 'a member that others reach was evicted')
    await cluster.heal(5)
    cluster.promise(has(cluster, 'n0', victim), 'a member that others reach was evicted')
  }
}

/** Counts the prepare messages for evictions from these members, and delivers all of them. */
function countOf(cluster: ScenarioCluster, names: readonly string[]): { readonly count: number } {
  const counter = { count: 0 }
  cluster.steering.lose(({ from, body }) => {
    if (names.includes(from) && body.prepare !== undefined && body.prepare.evictions.length > 0) counter.count += 1
    return false
  })
  return counter
}

/** Writes a key through `via`, which does not own it. One of its three owners misses the newest write. */
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
  summary: 'both owners that hold a write die; one is evicted, and the other one must stay a member',
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
    cluster.promise(left() === 1, 'both were evicted, and the write that only they held is lost')
    await cluster.mustRead(knower, key, 'new')
    for (const name of two) await cluster.start(name)
    // The evicted member comes back, is refused and ends; its service manager would start it again.
    await cluster.when(() => cluster.window(knower, key).length === 1, 'the slot has settled', 60_000)
    await cluster.mustRead(knower, key, 'new')
  }
}

const evictBelowReplicas: Scenario = {
  name: 'evictBelowReplicas',
  summary: 'one of three members dies, and every entry must have three copies',
  async run(cluster) {
    await grow(cluster, ['n0', 'n1', 'n2'])
    const victim = cluster.member('n2')
    cluster.kill('n2')
    await cluster.advance(FOUND_MS + CAUTION_MS)
    cluster.promise(has(cluster, 'n0', victim), 'a member was evicted although two members cannot hold three copies')
    await cluster.start('n2')
    await cluster.heal(3)
  }
}

const pausedAccuses: Scenario = {
  name: 'pausedAccuses',
  summary: 'a member dies, all others are paused for a minute, and the member is back when they resume',
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
    cluster.promise(has(cluster, 'n0', victim), 'n4 was evicted for the time in which the others were paused')
    await cluster.start('n4')
    await cluster.heal(5)
    cluster.promise(has(cluster, 'n0', victim), 'n4 was evicted for the time in which the others were paused')
  }
}

const stuckEviction: Scenario = {
  name: 'stuckEviction',
  summary: 'one of four members accepts an eviction, and the evicted one comes back before the others are asked',
  async run(cluster) {
    await grow(cluster, ['n0', 'n1', 'n2', 'n3'])
    const old = cluster.member('n3')
    const others = ['n0', 'n1', 'n2']
    const accepts = cluster.steering.lose(message('accept', others, others))
    cluster.kill('n3')
    await cluster.when(
      () => accepts.caught.length > 0,
      'a proposer has accepted its own proposal, and asks the others',
      FOUND_MS
    )
    // The others reach n3, but it takes no part in ballots, so a majority needs all three others.
    for (const kind of ['prepare', 'accept'] as const) cluster.steering.lose(message(kind, undefined, ['n3']))
    cluster.steering.lose(message('prepare', ['n3']))
    await cluster.start('n3')
    await cluster.when(() => others.every((name) => cluster.isLinked(name, 'n3')), 'n3 is back')
    await cluster.advance(5000)
    cluster.reached(has(cluster, 'n0', old), 'n3 is still a member')
    accepts.release()
    await cluster.start('n4')
    const isIn = () => cluster.node('n4').node.view?.isMember === true
    cluster.promise(await cluster.ring.clock.runUntil(isIn, 60_000), 'the ring can no longer choose a view')
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
