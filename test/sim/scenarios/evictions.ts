// Members that the ring goes on without by itself: who may be, by whose votes, one at a time, and what becomes of them.
import { message } from '../seams/steering.js'
import type { Scenario, Stage } from './stage.js'

const FIVE = ['n0', 'n1', 'n2', 'n3', 'n4']
const SIX = [...FIVE, 'n5']
const EVICT_MS = 1000
/** Few tokens: what a view costs grows with them. */
const OPTIONS = { evictAfterMs: EVICT_MS, onLoss: 'wait', weight: 0.25 } as const
/** Down is found within 5 s; then a second, and whatever the votes take. */
const FOUND_MS = 10_000
/** The same with caution: ten times the second. */
const CAUTION_MS = 20_000

async function grow(stage: Stage, names: readonly string[]): Promise<void> {
  stage.options = OPTIONS
  await stage.grow(names)
}

/** `names` lose `victim` and hear nothing of it through others either. */
async function losesSight(stage: Stage, names: readonly string[], victim: string): Promise<void> {
  stage.steering.lose((sent) => names.includes(sent.from) && sent.body.pingThrough !== undefined)
  await stage.isolate(victim, names)
}

function has(stage: Stage, knower: string, id: string): boolean {
  return stage.view(knower).members.has(id)
}

const evictedByMinority: Scenario = {
  name: 'evictedByMinority',
  story: 'two of five are cut off from the others, and each side would go on without the other',
  async run(stage) {
    await grow(stage, FIVE)
    const before = stage.viewNumber('n0')
    const [some, others] = [FIVE.slice(0, 2), FIVE.slice(2)]
    for (const one of some) for (const other of others) stage.ring.hub.reset(one, other)
    await stage.advance(5)
    stage.ring.hub.partition(some, others)
    await stage.when(() => stage.viewNumber('n2') > before, 'three of five evict', FOUND_MS + CAUTION_MS)
    await stage.advance(CAUTION_MS)
    stage.mustAgreeOn(`view/${String(before + 1).padStart(10, '0')}`)
    for (const name of some) stage.promise(stage.viewNumber(name) === before, `${name} has a view of a minority`)
  }
}

const votesOfDeaf: Scenario = {
  name: 'votesOfDeaf',
  story: 'two of five do not hear a member that the two others hear',
  async run(stage) {
    await grow(stage, FIVE)
    const victim = stage.member('n4')
    const asking = countOf(stage, ['n0', 'n1'])
    await losesSight(stage, ['n0', 'n1'], 'n4')
    await stage.when(() => asking.count > 0, 'one of them asks for its eviction')
    await stage.advance(FOUND_MS)
    for (const name of ['n2', 'n3', 'n4']) stage.promise(has(stage, name, victim), 'a member that is heard was evicted')
    await stage.heal(5)
    stage.promise(has(stage, 'n0', victim), 'a member that is heard was evicted')
  }
}

/** Counts the ballots for evictions that these ask for, and holds none of them up. */
function countOf(stage: Stage, names: readonly string[]): { readonly count: number } {
  const counter = { count: 0 }
  stage.steering.lose(({ from, body }) => {
    if (names.includes(from) && body.prepare !== undefined && body.prepare.evictions.length > 0) counter.count += 1
    return false
  })
  return counter
}

/** A key of three owners of whom the third, which is not `via`, has missed the newest write. */
async function writtenToTwo(stage: Stage, via: string): Promise<{ key: string; two: string[]; third: string }> {
  await stage.fill(via, stage.keys, 'old')
  const key = stage.pickKey(via, (owners) => owners.length === 3 && !owners.includes(via))
  const [third = '', ...two] = stage.owners(via, key)
  const lost = stage.steering.lose(message('write', undefined, [third]))
  await stage.answered(stage.put(via, key, 'new'))
  const holdsNew = (name: string) => stage.holds(name, key) === 'new'
  stage.reached(two.every(holdsNew) && !holdsNew(third), 'two owners have the write, the third has missed it')
  lost.release()
  return { key, two, third }
}

const twoOfThreeDie: Scenario = {
  name: 'twoOfThreeDie',
  story: 'both owners that have a write die; one is evicted, the other one is what is left of the write',
  async run(stage) {
    await grow(stage, SIX)
    stage.keepCopies()
    const { key, two } = await writtenToTwo(stage, 'n0')
    const knower = SIX.find((name) => !two.includes(name))!
    const ids = two.map((name) => stage.member(name))
    stage.kill(...two)
    const left = () => ids.filter((id) => has(stage, knower, id)).length
    await stage.when(() => left() < 2, 'one of them is evicted', FOUND_MS)
    await stage.advance(CAUTION_MS)
    stage.promise(left() === 1, 'both were evicted, and with them what only they held')
    await stage.mustRead(knower, key, 'new')
    for (const name of two) await stage.start(name)
    // The first comes back, is refused, and ends; its supervisor starts it again.
    await stage.when(() => stage.window(knower, key).length === 1, 'the slot has settled', 60_000)
    await stage.mustRead(knower, key, 'new')
  }
}

const evictBelowReplicas: Scenario = {
  name: 'evictBelowReplicas',
  story: 'one of three dies, and there are to be three copies of everything',
  async run(stage) {
    await grow(stage, ['n0', 'n1', 'n2'])
    const victim = stage.member('n2')
    stage.kill('n2')
    await stage.advance(FOUND_MS + CAUTION_MS)
    stage.promise(has(stage, 'n0', victim), 'two members are left, too few for three copies')
    await stage.start('n2')
    await stage.heal(3)
  }
}

const pausedAccuses: Scenario = {
  name: 'pausedAccuses',
  story: 'a member dies, all others sleep for a minute at that moment, and it is back when they wake up',
  async run(stage) {
    await grow(stage, FIVE)
    const victim = stage.member('n4')
    const others = FIVE.slice(0, 4)
    stage.kill('n4')
    await stage.advance(3000)
    for (const name of others) stage.node(name).clock.pause()
    await stage.advance(60_000)
    for (const name of others) stage.node(name).clock.resume()
    await stage.advance(1000)
    stage.promise(has(stage, 'n0', victim), 'their own sleep counted against it')
    await stage.start('n4')
    await stage.heal(5)
    stage.promise(has(stage, 'n0', victim), 'their own sleep counted against it')
  }
}

const stuckEviction: Scenario = {
  name: 'stuckEviction',
  story: 'one of four accepts the eviction of a member, which comes back before the others are asked to',
  async run(stage) {
    await grow(stage, ['n0', 'n1', 'n2', 'n3'])
    const old = stage.member('n3')
    const others = ['n0', 'n1', 'n2']
    const accepts = stage.steering.lose(message('accept', others, others))
    stage.kill('n3')
    await stage.when(
      () => accepts.caught.length > 0,
      'one has accepted its own proposal, and asks the others',
      FOUND_MS
    )
    // It may be heard, and takes no part in ballots: all three others are needed for a majority.
    for (const kind of ['prepare', 'accept'] as const) stage.steering.lose(message(kind, undefined, ['n3']))
    stage.steering.lose(message('prepare', ['n3']))
    await stage.start('n3')
    await stage.when(() => others.every((name) => stage.isLinked(name, 'n3')), 'it is back')
    await stage.advance(5000)
    stage.reached(has(stage, 'n0', old), 'it is a member still')
    accepts.release()
    await stage.start('n4')
    const isIn = () => stage.node('n4').node.view?.isMember === true
    stage.promise(await stage.ring.clock.runUntil(isIn, 60_000), 'the ring has no next view any more')
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
