// A random directed scenario: operations one after the other, each of which reaches one quorum, and most of which stop
// half way. What a directed scenario shows in ten steps is dense here, and very rare in a run with random delays.
import type { Deviations } from './deviations.js'
import { heal } from './healing.js'
import type { Judgement } from './linearizability.js'
import type { Packet } from './messages.js'
import type { Operation, Router } from './operation-state.js'
import { GROUP_KINDS, type OperationKind } from './operations.js'
import { SeededRandom } from './random.js'
import { keysFor } from './random-run.js'
import { Ring, Violation } from './ring.js'

const MIXES: readonly (readonly OperationKind[])[] = [
  ['get', 'get', 'set', 'appendAll'],
  ['get', 'get', 'set', 'appendAll'],
  ['get', 'get', 'append', 'appendAll'],
  ['get', 'set', 'copy', 'getAll'],
  ['get', 'get', 'delete', 'setIfAbsent', 'append', 'set', ...GROUP_KINDS],
  ['get', 'getAll', 'setAll', 'set', 'append'],
  ['get', 'getAll', 'appendAll']
]
const NODES = 6
const ROUTERS = 4
const FIRST_MS = 30

export function newScriptRing(seed: number, deviations: Deviations): Ring {
  const random = new SeededRandom(seed * 104_729 + 7)
  const size = random.pick([1, 2, 3, 3, 3, 3, 4, 5])
  const owners = Array.from({ length: size }, (_, id) => id)
  const keys = random.pick([2, 2, 2, 3])
  const ring = new Ring({ seed, deviations, keys, nodes: NODES, routers: ROUTERS, owners, isCalm: true })
  ring.clockShift = 30
  return ring
}

/** Runs one seed. Throws a Violation when a rule is broken. */
export function runScript(ring: Ring, isFixed: boolean): Judgement {
  const { random } = ring
  const mix = random.pick(MIXES)
  const steps = 8 + random.below(12)
  const moves = isFixed ? 0 : random.pick([0, 0.15, 0.3])
  for (let step = 0; step < steps; step++) {
    if (random.chance(moves)) move(ring)
    else act(ring, mix, step)
    ring.checkOpenGroups()
  }
  for (const operation of [...ring.underWay.values()]) {
    if (random.chance(0.5)) finish(ring, operation)
    ring.driver.giveUp(operation)
  }
  heal(ring)
  const judgement = ring.judge()
  if (judgement === 'not linearizable') throw new Violation('LIN')
  return judgement
}

function act(ring: Ring, mix: readonly OperationKind[], step: number): void {
  const { random } = ring
  const draw = random.next()
  const pending = random.pickOr([...ring.underWay.values()])
  if (draw < 0.62 && ring.operations.length < 18) {
    const router = random.pick(ring.routers)
    router.skew = FIRST_MS - 20 + step * 10 + random.pick([0, 0, 0, -25, 25])
    const kind = random.pick(mix)
    const operation = ring.start(router, kind, keysFor(ring, kind))
    if (random.chance(operation.phase === 'prepare' ? 0.35 : 0.05)) tear(ring, operation)
    else advance(ring, operation)
  } else if (draw < 0.76 && pending !== undefined) {
    if (random.chance(0.5)) pending.next ??= 'prepare'
    advance(ring, pending)
  } else if (draw < 0.82) {
    deliver(ring, () => true, 1 + random.below(6))
  } else if (draw < 0.87) {
    ring.push(random.pick(ring.nodes), random.pick(ring.nodes), random.below(ring.keys))
    deliver(ring, ({ message }) => message.kind === 'push', 1)
  } else if (draw < 0.91) {
    const node = random.pick(ring.nodes)
    ring.crash(node)
    node.isUp = true
  } else if (draw < 0.95) settle(ring)
  else if (draw < 0.97) purge(ring)
  else if (pending !== undefined) ring.driver.giveUp(pending)
}

/** The operation reaches a quorum, and ends, or stops half way. */
function advance(ring: Ring, operation: Operation): void {
  const { random } = ring
  const reach = quorumFor(ring, operation.router)
  const takes = (packet: Packet) => concerns(packet, operation, reach)
  if (random.chance(0.45)) {
    for (let time = 0; time < 1 + random.below(3); time++) {
      deliver(ring, takes, random.below(9))
      if (operation.status === 'pending' && random.chance(0.5)) ring.driver.retry(operation)
    }
    if (random.chance(0.7)) drop(ring, operation)
    return
  }
  finish(ring, operation, reach)
  drop(ring, operation)
}

/** The write of the operation reaches one owner; sometimes a second one gets it later. */
function tear(ring: Ring, operation: Operation): void {
  const { random } = ring
  const reach = quorumFor(ring, operation.router)
  const isWriting = ({ message }: Packet) => message.kind === 'ask' && message.ask.kind === 'write'
  const takes = (packet: Packet) => concerns(packet, operation, reach)
  for (let time = 0; time < 3 && operation.phase === 'prepare'; time++) {
    deliver(ring, (packet) => takes(packet) && !isWriting(packet), 40)
    if (operation.phase === 'prepare') ring.driver.retry(operation)
  }
  deliver(ring, (packet) => takes(packet) && isWriting(packet), 1)
  if (random.chance(0.8)) drop(ring, operation)
  if (random.chance(0.6)) ring.driver.giveUp(operation)
}

function finish(ring: Ring, operation: Operation, reach = quorumFor(ring, operation.router)): void {
  const takes = (packet: Packet) => concerns(packet, operation, reach)
  for (let time = 0; time < 12 && operation.status === 'pending'; time++) {
    deliver(ring, takes, 60)
    if (operation.status === 'pending') ring.driver.retry(operation)
  }
  if (ring.random.chance(0.6)) deliver(ring, ({ message }) => message.kind === 'close', 8)
}

function concerns({ to, message }: Packet, { id }: Operation, reach: ReadonlySet<number>): boolean {
  if (message.kind === 'ask') return message.id === id && reach.has(to.id)
  return message.kind === 'answer' && message.id === id && reach.has(message.answer.owner)
}

function drop(ring: Ring, { id }: Operation): void {
  ring.packets = ring.packets.filter(({ message }) => {
    return !((message.kind === 'ask' || message.kind === 'answer') && message.id === id)
  })
}

/** A random quorum of each config that the router may need, sometimes more. */
function quorumFor(ring: Ring, router: Router): Set<number> {
  const { random } = ring
  const reach = new Set<number>()
  for (let config = router.base; config < ring.configs.length; config++) {
    const owners = [...ring.owners(config)]
    const size = random.chance(0.2) ? owners.length : (owners.length >> 1) + 1
    while (owners.length > size) owners.splice(random.below(owners.length), 1)
    for (const id of owners) reach.add(id)
  }
  return reach
}

/** Delivers up to so many packets, in random order, and what follows from them. */
function deliver(ring: Ring, takes: (packet: Packet) => boolean, limit: number): void {
  for (let count = 0; count < limit; count++) {
    const packet = ring.random.pickOr(ring.packets.filter(takes))
    if (packet === undefined) return
    ring.packets.splice(ring.packets.indexOf(packet), 1)
    ring.time++
    ring.deliver(packet)
  }
}

function settle(ring: Ring): void {
  const { random } = ring
  const key = random.below(ring.keys)
  const node = random.pickOr(ring.nodes.filter(({ owner }) => owner.standing(key) !== 0))
  if (node !== undefined) advance(ring, ring.start(random.pick(ring.routers), 'settle', node.owner.standing(key), true))
}

function purge(ring: Ring): void {
  const { random } = ring
  const newest = Math.max(...ring.nodes.flatMap(({ owner }) => owner.entries.map(({ version }) => version)))
  ring.startPurge(newest + random.pick([0, 0, 5000]))
  const isPurge = ({ message }: Packet) => ['seal', 'sealed', 'endPurge'].includes(message.kind)
  deliver(ring, isPurge, random.pick([4, 8, 40]))
}

/** A step of a move: a new config, a pull, or a process that learns. */
function move(ring: Ring): void {
  const { random } = ring
  const newest = ring.configs.length - 1
  const processes = [...ring.nodes, ...ring.routers]
  if (newest < 4 && random.chance(0.3) && processes.every(({ known, base }) => known - base < 3)) {
    const ids = ring.nodes.map(({ id }) => id)
    const size = random.pick([1, 2, 3, 3])
    while (ids.length > size) ids.splice(random.below(ids.length), 1)
    ring.addConfig(ids)
    return
  }
  const router = random.pick(ring.routers)
  ring.learn(router, Math.min(newest, router.known + random.below(2)), 0)
  if (random.chance(0.5)) ring.learnBase(router)
  const owner = ring.nodes[random.pick(ring.owners(newest))]!
  ring.learn(owner, newest, 0)
  if (random.chance(0.5)) ring.learnBase(owner)
  if (owner.ready.has(owner.known) || !ring.owners(owner.known).includes(owner.id)) return
  ring.startPull(owner)
  const sources = new Set(ring.nodes.filter(() => random.chance(0.7)).map(({ id }) => id))
  const isPull = ({ to, message }: Packet) => {
    if (message.kind === 'took') return true
    return (message.kind === 'pull' || message.kind === 'page') && sources.has(to.id)
  }
  deliver(ring, isPull, random.pick([3, 10, 100]))
  const due = ring.dueKeys(owner)
  if (due !== 0) advance(ring, ring.start(router, 'settle', due, true))
}
