// After a run: all faults end. Then every operation must end, every owner must hold the same, and new operations work.
import { isGroup } from './entries.js'
import { type Ring, Violation } from './ring.js'

const ROUNDS = 14
const OPERATIONS_MAX = 30

export function heal(ring: Ring): void {
  const { random } = ring
  ring.isCalm = true
  ring.tornShare = 0
  for (const process of [...ring.nodes, ...ring.routers]) {
    process.isUp = true
    process.pausedTill = 0
  }
  ring.packets = ring.packets.filter(() => random.chance(0.5))
  for (let round = 0; round < ROUNDS; round++) healRound(ring)
  for (const operation of [...ring.underWay.values()]) {
    const isStuck = !operation.isHidden && operation.attempts.length === 0
    if (isStuck) throw new Violation(`STUCK ${operation.kind} ${operation.phase}`)
    ring.driver.giveUp(operation)
  }
  const newest = ring.configs.length - 1
  const owners = ring.owners(newest).map((id) => ring.nodes[id]!)
  if (!owners.every(({ ready }) => ready.has(newest))) throw new Violation('STUCK not Ready')
  for (let round = 0; round < 3; round++) {
    pushAll(ring)
    settleAll(ring)
  }
  pushAll(ring)
  ring.checkOpenGroups()
  for (let key = 0; key < ring.keys; key++) {
    if (owners.some(({ owner }) => owner.standing(key) !== 0)) throw new Violation('PROMISE')
    // A purged tombstone and one that is left are the same.
    const texts = owners.map(({ owner }) => {
      const { version, value } = owner.entries[key]!
      return value === null ? '-' : `${version}=${value}`
    })
    if (new Set(texts).size > 1) throw new Violation('SPLIT')
  }
  probe(ring)
}

function healRound(ring: Ring): void {
  const newest = ring.configs.length - 1
  for (const process of [...ring.nodes, ...ring.routers]) {
    ring.learn(process, newest, 1)
    ring.learnBase(process)
  }
  ring.pump()
  for (const id of ring.owners(newest)) {
    const node = ring.nodes[id]!
    if (node.ready.has(newest)) continue
    ring.startPull(node)
    ring.pump()
    const due = ring.dueKeys(node)
    if (due !== 0) ring.start(ring.random.pick(ring.routers), 'settle', due, true)
    ring.pump()
  }
  retryAll(ring)
}

function retryAll(ring: Ring): void {
  for (const operation of [...ring.underWay.values()]) {
    if (!ring.underWay.has(operation.id)) continue
    ring.driver.retry(operation)
    ring.pump()
  }
}

function pushAll(ring: Ring): void {
  const owners = ring.owners(ring.configs.length - 1).map((id) => ring.nodes[id]!)
  for (const from of owners) {
    for (const to of owners) {
      if (from === to) continue
      for (let key = 0; key < ring.keys; key++) ring.push(from, to, key)
      ring.pump()
    }
  }
}

/** The sweeper: one round for each key at which something stands, or at which owners differ. */
function settleAll(ring: Ring): void {
  const owners = ring.owners(ring.configs.length - 1).map((id) => ring.nodes[id]!)
  for (let key = 0; key < ring.keys; key++) {
    const versions = new Set(owners.map(({ owner }) => owner.entries[key]!.version))
    const set = owners.reduce((sum, { owner }) => sum | owner.standing(key), 0)
    if (versions.size === 1 && set === 0) continue
    const operation = ring.start(ring.random.pick(ring.routers), 'settle', set | (1 << key), true)
    for (let retry = 0; retry < 8 && operation.status === 'pending'; retry++) {
      ring.pump()
      if (operation.status === 'pending') ring.driver.retry(operation)
    }
    ring.pump()
  }
}

function probe(ring: Ring): void {
  const all = (1 << ring.keys) - 1
  for (const router of ring.routers) {
    for (const kind of ['appendAll', 'getAll', 'append', 'get'] as const) {
      if (ring.operations.length >= OPERATIONS_MAX) return
      const keys = kind === 'append' || kind === 'get' ? 1 << ring.random.below(ring.keys) : all
      const operation = ring.start(router, kind, keys)
      for (let retry = 0; retry < 8 && operation.status === 'pending'; retry++) {
        ring.pump()
        if (operation.status === 'pending') ring.driver.retry(operation)
      }
      ring.pump()
      if (operation.status !== 'ok') throw new Violation(`STUCK fresh ${kind} ${isGroup(keys)}`)
    }
  }
}
