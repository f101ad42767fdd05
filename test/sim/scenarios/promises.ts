// What owners promise to rounds, and what they tell of entries that they have held. The scenarios play the routers by
// hand (raw-router.ts). A round A has read before a write v comes: when v is acknowledged and A is too, v is lost.
// Each is a counterexample of the model of atomic operations; its name is the name there.
import { message } from '../seams/steering.js'
import { RawRouter } from './raw-router.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OWNERS = ['n0', 'n1', 'n2']
const KEY = 'key'
/** A round's ballot, far enough ahead that a restart takes less time. */
const A = 4000
/** The version of a write with an earlier clock. */
const V = 30

/** One of them will be of n3. */
function keysOf(cluster: ScenarioCluster): string[] {
  return cluster.keys.slice(0, 12)
}

async function begin(cluster: ScenarioCluster): Promise<RawRouter> {
  // Rounds of the nodes themselves would change what the scenario has built.
  cluster.options = { ...cluster.options, settleAfterMs: 0 }
  await cluster.grow(OWNERS)
  return new RawRouter(cluster)
}

/** v was acknowledged: a quorum holds it. So the round A, which has read before, must not be. */
function mustNotLose(cluster: ScenarioCluster, isWritten: boolean, isOverwritten: boolean): void {
  cluster.promise(
    !(isWritten && isOverwritten),
    'a round has overwritten a write that was acknowledged after it had read'
  )
}

/** An earlier write comes to n0 and n2, and then what the round A writes to n0 and n1. Whether each is acknowledged. */
async function race(cluster: ScenarioCluster, router: RawRouter, hasPromised = true) {
  const isWritten = (await router.write(['n0', 'n2'], KEY, { at: V, value: 'v' })) === 2
  const isOverwritten = hasPromised && (await router.write(['n0', 'n1'], KEY, { at: A, value: 'A' })) === 2
  mustNotLose(cluster, isWritten, isOverwritten)
  return { isWritten, isOverwritten }
}

async function restart(cluster: ScenarioCluster, name: string, via: string): Promise<void> {
  const join = cluster.node(via).network.addresses()
  cluster.kill(name)
  await cluster.start(name, { join })
  await cluster.when(() => cluster.isLinked(via, name) && cluster.viewNumber(name) > 0, `${name} is back`)
}

/** Waits until the owner answers operations again: after a restart it first hears from the others. */
async function untilServing(cluster: ScenarioCluster, router: RawRouter, owner: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await router.prepare([owner], 'another key', 1 + tries)) === 1) return
    await cluster.advance(20)
  }
  cluster.reached(false, `${owner} serves again`)
}

const promiseLost: Scenario = {
  name: 'promiseLost',
  summary: 'an owner restarts after it has promised a round, and gets an older write before the round writes',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.prepare(['n0', 'n1'], KEY, A)) === 2, 'n0 and n1 have promised')
    await restart(cluster, 'n0', 'n1')
    await untilServing(cluster, router, 'n0')
    const { isOverwritten } = await race(cluster, router)
    cluster.promise(isOverwritten, 'the round that was promised is refused')
    await cluster.heal(3)
  }
}

const promiseBeforeDisk: Scenario = {
  name: 'promiseBeforeDisk',
  summary: 'an owner is killed while it writes a promise, and gets an older write in its next life',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.prepare(['n1'], KEY, A)) === 1, 'n1 has promised')
    cluster.disk('n0').hold()
    const asked = router.begin('n0', KEY, A)
    await cluster.advance(100)
    await restart(cluster, 'n0', 'n1')
    await untilServing(cluster, router, 'n0')
    const hasPromised = asked.answer !== undefined && 'preparedKey' in asked.answer
    const { isWritten } = await race(cluster, router, hasPromised)
    cluster.reached(isWritten, 'the write is acknowledged')
    await cluster.heal(3)
  }
}

const blindPasses: Scenario = {
  name: 'blindPasses',
  summary: 'a blind write with an earlier version comes between the two phases of a round',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.prepare(['n0', 'n1'], KEY, A)) === 2, 'n0 and n1 have promised')
    await race(cluster, router)
    await cluster.heal(3)
  }
}

const acceptUnderHigher: Scenario = {
  name: 'acceptUnderHigher',
  summary: 'a round writes after an owner has promised a later one, which does not know of it',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.prepare(['n0', 'n1'], KEY, A - 1)) === 2, 'n0 and n1 have promised')
    cluster.reached((await router.prepare(['n1', 'n2'], KEY, A)) === 2, 'n1 and n2 have promised')
    const isWritten = (await router.write(['n0', 'n1'], KEY, { at: A - 1, value: 'v' })) === 2
    const isOverwritten = (await router.write(['n1', 'n2'], KEY, { at: A, value: 'A' })) === 2
    mustNotLose(cluster, isWritten, isOverwritten)
    await cluster.heal(3)
  }
}

const pushPasses: Scenario = {
  name: 'pushPasses',
  summary: 'repair brings a write to an owner that has promised a round above it',
  async run(cluster) {
    cluster.options = { ...cluster.options, repairEveryMs: 500 }
    const repair = cluster.steering.hold(message('repairSums'))
    const router = await begin(cluster)
    cluster.reached((await router.write(['n2'], KEY, { at: V, value: 'v' })) === 1, 'only n2 has the write')
    cluster.reached((await router.prepare(['n0', 'n1'], KEY, A)) === 2, 'n0 and n1 have promised')
    repair.release()
    await cluster.advance(2500)
    const isWritten = cluster.holds('n0', KEY) === 'v' || cluster.holds('n1', KEY) === 'v'
    const isOverwritten = (await router.write(['n0', 'n1'], KEY, { at: A, value: 'A' })) === 2
    mustNotLose(cluster, isWritten, isOverwritten)
    cluster.reached(isOverwritten, 'the round is acknowledged')
    await cluster.when(() => OWNERS.every((name) => cluster.holds(name, KEY) === 'A'), 'repair brings the round to all')
    await cluster.heal(3)
  }
}

const writeBackPasses: Scenario = {
  name: 'writeBackPasses',
  summary: 'a read writes back to an owner that has promised a round above what was read',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.write(['n2'], KEY, { at: V, value: 'v' })) === 1, 'only n2 has the write')
    cluster.reached((await router.prepare(['n0', 'n1'], KEY, A)) === 2, 'n0 and n1 have promised')
    const away = cluster.steering.lose(message('read', undefined, ['n1']))
    const lost = cluster.steering.lose(message('write', undefined, ['n1']))
    const unprepared = cluster.steering.lose(message('prepareKey'))
    const read = cluster.get('n0', KEY)
    await cluster.advance(1000)
    const isRead = read.state === 'done' && read.value === 'v'
    away.release()
    lost.release()
    const isOverwritten = (await router.write(['n0', 'n1'], KEY, { at: A, value: 'A' })) === 2
    mustNotLose(cluster, isRead, isOverwritten)
    unprepared.release()
    await cluster.answered(read)
    await cluster.heal(3)
  }
}

/** n3 joins and owns the key. It does not hear n0. Its pulls wait. */
async function joins(cluster: ScenarioCluster) {
  cluster.ring.hub.partition(['n3'], ['n0'])
  const pulls = cluster.steering.hold(message('pull', ['n3']))
  cluster.keepCopies()
  await cluster.join(['n3'], 'n1')
  const key = cluster.pickKey('n3', (owners) => owners.includes('n3'), keysOf(cluster))
  return { pulls, key }
}

const promiseLeftBehind: Scenario = {
  name: 'promiseLeftBehind',
  summary: 'a round has written at one owner only, and a newcomer pulls from the others, of which one has promised it',
  async run(cluster) {
    const router = await begin(cluster)
    for (const key of keysOf(cluster)) {
      cluster.reached((await router.prepare(['n0', 'n1'], key, A)) === 2, 'n0 and n1 have promised')
      cluster.reached(
        (await router.write(['n0'], key, { at: A, value: 'A' })) === 1,
        'only n0 has what the round wrote'
      )
    }
    cluster.steering.hold(message('pull', undefined, ['n0']))
    const { pulls, key } = await joins(cluster)
    pulls.release()
    await cluster.advance(2000)
    const isReady = cluster.isReady('n3', key)
    cluster.promise(
      !isReady || cluster.holds('n3', key) === 'A',
      'n3 is ready and takes writes below what was promised'
    )
    cluster.reached((await router.write(['n3'], key, { at: V, value: 'v' })) === 1, 'n3 takes an older write')
    await cluster.advance(1000)
    cluster.promise(!cluster.isReady('n3', key), 'n3 is ready with a write below what was promised')
    for (const one of keysOf(cluster)) await router.write(['n1', 'n2', 'n3'], one, { at: A + 1, value: 'B' })
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready once it holds what was promised, or newer')
    await cluster.heal(4)
  }
}

const pullBreaksPromise: Scenario = {
  name: 'pullBreaksPromise',
  summary: 'a newcomer has promised a round, and then pulls a write that is below it',
  async run(cluster) {
    const router = await begin(cluster)
    for (const key of keysOf(cluster)) await router.write(['n2'], key, { at: V, value: 'v' })
    const { pulls, key } = await joins(cluster)
    cluster.reached((await router.prepare(['n1', 'n3'], key, A)) === 2, 'n1 and n3 have promised')
    pulls.release()
    await cluster.advance(2000)
    cluster.promise(cluster.holds('n3', key) === undefined, 'a pull has broken a promise')
    cluster.promise(!cluster.isReady('n3', key), 'n3 is ready and lacks a write that it has pulled')
    cluster.reached((await router.write(['n1', 'n3'], key, { at: A, value: 'A' })) === 2, 'the round is acknowledged')
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready once it holds what was promised')
    await cluster.heal(4)
  }
}

const hadBeforeReady: Scenario = {
  name: 'hadBeforeReady',
  summary: 'a newcomer has taken a write and then pulled a newer one; of before it was ready it knows nothing',
  async run(cluster) {
    const router = await begin(cluster)
    for (const key of keysOf(cluster)) await router.write(OWNERS, key, { at: 40, value: 'B' })
    const { pulls, key } = await joins(cluster)
    cluster.reached((await router.write(['n3'], key, { at: V, value: 'v' })) === 1, 'n3 has the older write')
    pulls.release()
    await cluster.when(() => cluster.isReady('n3', key), 'n3 is ready')
    const [told] = await router.asks('n3', key, A, [V])
    cluster.promise(told === '?', `n3 tells of a write that it had before it was ready: ${told}`)
    await router.write(['n3', 'n1', 'n2'], key, { at: A, value: 'A' })
    await cluster.heal(4)
  }
}

const shownToReader: Scenario = {
  name: 'shownToReader',
  summary: 'an owner has answered a read with a write that is overwritten then',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.write(OWNERS, KEY, { at: V, value: 'v' })) === 3, 'all have the write')
    for (const name of OWNERS) await cluster.mustRead(name, KEY, 'v')
    cluster.reached((await router.write(OWNERS, KEY, { at: 40, value: 'w' })) === 3, 'all have a newer write')
    const told: string[] = []
    for (const name of OWNERS) told.push(...(await router.asks(name, KEY, A, [V])))
    // Each owner has answered at least the read through itself.
    cluster.promise(
      told.every((one) => one === `${V}*`),
      `owners say that nobody has seen what was read: ${told}`
    )
    await router.write(OWNERS, KEY, { at: A, value: 'A' })
    await cluster.heal(3)
  }
}

const shownBeforeRestart: Scenario = {
  name: 'shownBeforeRestart',
  summary: 'as before, but the owner restarts before the write is overwritten',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.write(OWNERS, KEY, { at: V, value: 'v' })) === 3, 'all have the write')
    await cluster.mustRead('n0', KEY, 'v')
    await restart(cluster, 'n0', 'n1')
    await untilServing(cluster, router, 'n0')
    cluster.reached((await router.write(['n0'], KEY, { at: 40, value: 'w' })) === 1, 'n0 has a newer write')
    const [told] = await router.asks('n0', KEY, A, [V])
    const isSafe = told!.includes('?') || told!.includes(`${V}*`)
    cluster.promise(isSafe, `n0 says that nobody has seen what was read: ${told}`)
    await router.write(OWNERS, KEY, { at: A, value: 'A' })
    await cluster.heal(3)
  }
}

const hadForgotten: Scenario = {
  name: 'hadForgotten',
  summary: 'a write was overwritten before the owner restarted; it must not say that it never had it',
  async run(cluster) {
    const router = await begin(cluster)
    for (const [at, value] of [
      [V, 'v'],
      [40, 'w']
    ] as const) {
      cluster.reached((await router.write(OWNERS, KEY, { at, value })) === 3, 'all have the write')
    }
    await restart(cluster, 'n0', 'n1')
    await untilServing(cluster, router, 'n0')
    const [told] = await router.asks('n0', KEY, A, [V])
    cluster.promise(told === '?', `n0 says after its restart: ${told || 'never had it'}`)
    await router.write(OWNERS, KEY, { at: A, value: 'A' })
    await cluster.heal(3)
  }
}

const adoptedAndTold: Scenario = {
  name: 'adoptedAndTold',
  summary: 'a round of a reader has adopted a write, and its entry is overwritten; the reader may tell of it',
  async run(cluster) {
    const router = await begin(cluster)
    cluster.reached((await router.write(OWNERS, KEY, { at: 50, origin: V, value: 'v' })) === 3, 'all have the entry')
    cluster.reached((await router.write(OWNERS, KEY, { at: 60, value: 'w' })) === 3, 'all have a newer write')
    const [told] = await router.asks('n0', KEY, A, [V])
    cluster.promise(told === '50*', `n0 says of an entry that a round has adopted: ${told || 'never had it'}`)
    await router.write(OWNERS, KEY, { at: A, value: 'A' })
    await cluster.heal(3)
  }
}

export const PROMISES: readonly Scenario[] = [
  promiseLost,
  promiseBeforeDisk,
  blindPasses,
  acceptUnderHigher,
  pushPasses,
  writeBackPasses,
  promiseLeftBehind,
  pullBreaksPromise,
  hadBeforeReady,
  shownToReader,
  shownBeforeRestart,
  hadForgotten,
  adoptedAndTold
]
