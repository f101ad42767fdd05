// One random run: processes fail, configs change, clients ask, everything drawn from the seed; then everything heals.
import type { Deviations } from './deviations.js'
import { isGroup, type KeySet, MS_STEP, msOf } from './entries.js'
import { heal } from './healing.js'
import type { Judgement } from './linearizability.js'
import type { Node } from './messages.js'
import type { Operation, Router } from './operation-state.js'
import { GROUP_KINDS, type OperationKind, SINGLE_KINDS } from './operations.js'
import { SeededRandom } from './random.js'
import { Ring, Violation } from './ring.js'

/** `fixed`: one config. `hard`: many changes of the config, many lost writes, clocks far apart. */
export type Kind = 'usual' | 'fixed' | 'hard'

const MIXES: readonly (readonly OperationKind[])[] = [
  ['get', 'get', 'get', 'set', 'appendAll'],
  ['get', 'get', 'get', 'append', 'appendAll'],
  ['get', 'set', 'append', 'appendAll', 'getAll'],
  ['get', 'append', 'appendAll', 'copy', 'getAll'],
  ['get', 'set', 'delete', 'append', 'setIfAbsent', ...GROUP_KINDS],
  ['get', 'set', 'setAll', 'getAll'],
  ['get', 'set', 'set', 'get', 'appendAll'],
  ['get', 'delete', 'setAllIfAbsent', 'getAll', 'set'],
  ['get', 'set', 'copy', 'getAll', 'append'],
  [...SINGLE_KINDS, 'appendAll'],
  ['appendAll', 'getAll', 'get']
]

interface Plan {
  readonly kind: Kind
  readonly steps: number
  readonly operationsMax: number
  readonly mix: readonly OperationKind[]
  readonly churn: number
  readonly crashes: number
  readonly pushes: number
  readonly purges: number
  /** How often a router is cut off from some nodes, or from others, or from none. */
  readonly cuts: number
  /** How often a router with a group under way stops for good. */
  readonly abandons: number
  readonly configsMax: number
}

function planOf(random: SeededRandom, kind: Kind): Plan {
  const hasManyMoves = kind === 'hard'
  return {
    kind,
    steps: random.pick([600, 1200, 2400]),
    operationsMax: random.pick([8, 14, 20]),
    mix: random.pick(MIXES),
    churn: kind === 'fixed' ? 0 : hasManyMoves ? random.pick([0.15, 0.3, 0.6]) : random.pick([0, 0.02, 0.06, 0.06]),
    crashes: random.pick([0, 0.01, 0.04]),
    pushes: random.pick([0, 0.05, 0.3]),
    purges: random.pick([0, 0, 0.02, 0.06]),
    cuts: random.pick([0, 0.2, 0.5]),
    abandons: random.pick([0, 0.05, 0.2]),
    configsMax: 2 + random.below(hasManyMoves ? 8 : 4)
  }
}

export function newRing(seed: number, deviations: Deviations): Ring {
  const random = new SeededRandom(seed * 7919 + 13)
  const size = random.pick([1, 2, 3, 3, 3, 4, 5])
  return new Ring({
    seed,
    deviations,
    keys: random.pick([2, 2, 3]),
    nodes: 7,
    routers: 2 + random.below(3),
    owners: Array.from({ length: size }, (_, id) => id)
  })
}

/** Runs one seed. Throws a Violation when a rule is broken. */
export function runSeed(ring: Ring, kind: Kind): Judgement {
  const { random } = ring
  const plan = planOf(random, kind)
  if (kind === 'hard') {
    for (const node of ring.nodes) node.lostWrites = random.pick([0, 0.3, 0.6, 0.85])
    for (const router of ring.routers) router.skew = random.pick([0, -8, 8, 25])
    ring.heldShare = random.pick([0.1, 0.3])
  }
  for (let step = 0; step < plan.steps; step++) {
    ring.time++
    if (ring.packets.length > 0 && random.chance(0.8)) deliverOne(ring)
    else act(ring, plan)
  }
  heal(ring)
  const judgement = ring.judge()
  if (judgement === 'not linearizable') throw new Violation('LIN')
  return judgement
}

function deliverOne(ring: Ring): void {
  const { packets, random } = ring
  for (let attempt = 0; attempt < 5; attempt++) {
    const index = random.below(packets.length)
    const packet = packets[index]!
    if (packet.at > ring.time || packet.to.pausedTill > ring.time) continue
    packets[index] = packets.at(-1)!
    packets.pop()
    ring.deliver(packet)
    ring.checkOpenGroups()
    return
  }
}

function act(ring: Ring, plan: Plan): void {
  const { random } = ring
  const all = [...ring.nodes, ...ring.routers]
  const router = random.pickOr(ring.routers.filter((one) => ring.isAwake(one)))
  const node = random.pickOr(ring.nodes.filter((one) => ring.isAwake(one)))
  if (router === undefined || node === undefined) {
    for (const process of all) if (random.chance(0.3)) process.isUp = true
    return
  }
  const rate = (plan.operationsMax / plan.steps) * 12
  if (ring.operations.length < plan.operationsMax && random.chance(rate)) startOperation(ring, router, plan)
  if (random.chance(plan.cuts)) cut(ring)
  if (random.chance(plan.abandons)) abandon(ring)
  const draw = random.next()
  if (draw < 0.5) retryOne(ring)
  else if (draw < 0.5 + plan.crashes) {
    const process = random.chance(0.3) ? router : node
    ring.crash(process)
    process.backAt = ring.time + random.below(300)
  } else if (draw < 0.58) random.pick(all).pausedTill = ring.time + random.below(250)
  else if (draw < 0.68) {
    for (const process of all) if (!process.isUp && process.backAt < ring.time) process.isUp = true
  } else if (draw < 0.68 + plan.pushes / 3) {
    const to = random.pick(ring.nodes)
    if (to !== node) ring.push(node, to, random.below(ring.keys))
  } else if (draw < 0.82) sweep(ring, router)
  else if (draw < 0.82 + plan.purges) purge(ring, router)
  else if (plan.kind !== 'fixed') changeConfig(ring, plan, node, router)
}

/** A router reaches one quorum only, or some nodes, or all. Different quorums see different things. */
function cut(ring: Ring): void {
  const { random } = ring
  const router = random.pick(ring.routers)
  const draw = random.next()
  if (draw < 0.2) router.cutOff = []
  else if (draw < 0.4) router.cutOff = ring.nodes.filter(() => random.chance(0.3)).map(({ id }) => id)
  else {
    const owners = [...ring.owners(ring.configs.length - 1)]
    while (owners.length > (ring.owners(ring.configs.length - 1).length >> 1) + 1) {
      owners.splice(random.below(owners.length), 1)
    }
    router.cutOff = ring.nodes.filter(({ id }) => !owners.includes(id)).map(({ id }) => id)
  }
}

function abandon(ring: Ring): void {
  const isWritingGroup = ({ phase, write }: Operation) => phase === 'write' && write!.open
  const operation = ring.random.pickOr([...ring.underWay.values()].filter(isWritingGroup))
  if (operation !== undefined) ring.driver.giveUp(operation)
}

function startOperation(ring: Ring, router: Router, { mix }: Plan): void {
  const { random } = ring
  const kind = random.pick(mix)
  ring.start(router, kind, keysFor(ring, kind))
}

export function keysFor(ring: Ring, kind: OperationKind): KeySet {
  const { random, keys } = ring
  if (!GROUP_KINDS.includes(kind)) return 1 << random.below(keys)
  const all = (1 << keys) - 1
  const without = random.below(keys)
  const set = keys > 2 && random.chance(0.6) ? all & ~(1 << without) : all
  return isGroup(set) ? set : all
}

function retryOne(ring: Ring): void {
  const { random } = ring
  const operation = random.pickOr([...ring.underWay.values()].filter((one) => ring.isAwake(one.router)))
  if (operation === undefined) return
  if (ring.time - operation.start > 500 && random.chance(0.1)) ring.driver.giveUp(operation)
  else ring.driver.retry(operation)
}

/** A promise or an open group stands at an owner: a round settles it. */
function sweep(ring: Ring, router: Router): void {
  const { random } = ring
  const key = random.below(ring.keys)
  const node = random.pickOr(ring.nodes.filter(({ isUp, owner }) => isUp && owner.standing(key) !== 0))
  if (node !== undefined && random.chance(0.5)) ring.start(router, 'settle', node.owner.standing(key), true)
}

function purge(ring: Ring, router: Router): void {
  const newest = Math.max(
    ...ring.nodes.flatMap(({ owner }) => owner.entries.map(({ version }) => version)),
    router.last
  )
  if (newest > 0) ring.startPurge((msOf(newest) - ring.random.below(8)) * MS_STEP)
}

function changeConfig(ring: Ring, plan: Plan, node: Node, router: Router): void {
  const { random } = ring
  const newest = ring.configs.length - 1
  const hasManyMoves = plan.kind === 'hard'
  const isCalmChain = [...ring.nodes, ...ring.routers].every(({ known, base }) => known - base < 3)
  if (random.chance(plan.churn) && newest < plan.configsMax && isCalmChain) {
    const size = hasManyMoves ? random.pick([1, 2, 3, 3]) : random.pick([1, 2, 3, 3, 4, 5])
    const former = ring.owners(newest)
    const bias = random.pick([-1, -1, 0, 1])
    const drawn = ring.nodes.map(({ id }) => ({ id, rank: random.next() + (former.includes(id) ? bias : 0) }))
    drawn.sort((one, other) => one.rank - other.rank)
    ring.addConfig(drawn.slice(0, size).map(({ id }) => id))
    if (random.chance(0.5)) ring.learn(node, newest + 1, 0)
  }
  const process = random.chance(0.6) ? node : router
  const last = ring.configs.length - 1
  if (random.chance(0.3) && process.known < last) ring.learn(process, process.known + 1, 0)
  if (random.chance(0.3)) ring.learnBase(process)
  const puller = random.pickOr(
    ring.nodes.filter((one) => {
      const isOwner = ring.owners(one.known).includes(one.id)
      return ring.isAwake(one) && isOwner && !one.ready.has(one.known)
    })
  )
  if (puller === undefined) return
  ring.startPull(puller)
  const due = ring.dueKeys(puller)
  if (due !== 0 && random.chance(0.5)) ring.start(router, 'settle', due, true)
}
