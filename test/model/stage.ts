// The stage of a directed scenario: time stands still, nothing is lost, and the scenario says what arrives where.
import type { Deviations } from './deviations.js'
import type { KeySet } from './entries.js'
import type { Message, Node, Packet } from './messages.js'
import type { Operation, Router } from './operation-state.js'
import type { OperationKind } from './operations.js'
import { Ring, Violation } from './ring.js'

export const X = 1
export const Y = 2
export const Z = 4

export type Filter = (packet: Packet) => boolean

const RETRIES = 20
const CLOCK_AT_ZERO = 20
const LATE_MS = 900

export const isWrite: Filter = ({ message }) => message.kind === 'ask' && message.ask.kind === 'write'
export const isNoWrite: Filter = (packet) => !isWrite(packet)
/** What an operation sends, and what it is answered. */
export const of =
  (operation: Operation): Filter =>
  ({ message }) =>
    (message.kind === 'ask' || message.kind === 'answer') && message.id === operation.id

export class Stage {
  readonly ring: Ring

  constructor(deviations: Deviations, owners: readonly number[] = [0, 1, 2], keys = 2) {
    this.ring = new Ring({ seed: 7, deviations, keys, nodes: 8, routers: 4, owners, isCalm: true })
    this.ring.clockShift = 30
  }

  node(id: number): Node {
    return this.ring.nodes[id]!
  }

  router(id: number): Router {
    return this.ring.routers[id]!
  }

  /** Begins an operation; `ms` is the clock of its router, so about the ms of its version. */
  start(router: number, kind: OperationKind, keys: KeySet, ms = 0): Operation {
    this.router(router).skew = ms - CLOCK_AT_ZERO
    return this.ring.start(this.router(router), kind, keys)
  }

  /** Delivers what goes to these nodes and comes from them, and what follows. */
  go(ids: readonly number[], takes: Filter = () => true): void {
    this.ring.pump((packet) => ids.includes(nodeOf(packet)) && takes(packet))
  }

  /** Requests arrive at one node; its answers stay on the way. */
  arrive(id: number, takes: Filter = () => true): void {
    this.ring.pump((packet) => packet.to.kind === 'node' && packet.to.id === id && takes(packet))
  }

  drop(drops: Filter = () => true): void {
    this.ring.packets = this.ring.packets.filter((packet) => !drops(packet))
  }

  /** Takes packets off the network, for later. */
  take(takes: Filter = () => true): Packet[] {
    const taken = this.ring.packets.filter(takes)
    this.drop(takes)
    return taken
  }

  put(packets: readonly Packet[]): void {
    this.ring.packets.push(...packets)
  }

  /** A whole operation that reaches these nodes only; the rest of its packets is lost. */
  whole(router: number, kind: OperationKind, keys: KeySet, ids: readonly number[], ms = 0): Operation {
    const kept = this.take()
    const operation = this.start(router, kind, keys, ms)
    this.go(ids)
    this.again(operation, ids, RETRIES)
    this.drop()
    this.put(kept)
    return operation
  }

  again(operation: Operation, ids: readonly number[], times = 4): void {
    for (let time = 0; time < times && operation.status === 'pending'; time++) {
      this.ring.driver.retry(operation)
      this.go(ids)
    }
  }

  /** A round of the sweeper. */
  settle(router: number, keys: KeySet, ms: number): Operation {
    this.router(router).skew = ms - CLOCK_AT_ZERO
    return this.ring.start(this.router(router), 'settle', keys, true)
  }

  giveUp(operation: Operation): void {
    if (operation.status === 'pending') this.ring.driver.giveUp(operation)
  }

  restart(id: number): void {
    this.ring.crash(this.node(id))
    this.node(id).isUp = true
  }

  push(from: number, to: number, key: number): void {
    this.ring.push(this.node(from), this.node(to), key)
    this.ring.pump(({ message }) => message.kind === 'push')
  }

  /** A new config, which these processes know. */
  config(owners: readonly number[], ...processes: readonly (Node | Router)[]): number {
    const config = this.ring.addConfig(owners)
    for (const process of processes) this.ring.learn(process, config, 0)
    return config
  }

  /** One node pulls from these sources. */
  pull(id: number, sources: readonly number[]): void {
    const isPull = ({ kind }: Message) => kind === 'pull' || kind === 'page'
    for (const source of sources) {
      this.ring.startPull(this.node(id))
      this.ring.pump(({ to, message }) => {
        if (message.kind === 'took') return to.id === id
        return isPull(message) && to.id === source
      })
      this.drop(({ message }) => isPull(message) || message.kind === 'took')
    }
  }

  /** The routers learn that a config is settled. */
  narrow(config: number, routers: readonly number[] = [0, 1, 2, 3]): void {
    if (!this.ring.isSettled(config)) throw new Error(`config ${config} is not settled`)
    for (const id of routers) this.ring.learn(this.router(id), config, config)
  }

  /** All operations end, a last client reads, and the history is judged. */
  end(ids: readonly number[] = this.ring.nodes.map(({ id }) => id)): void {
    const { ring } = this
    for (const operation of [...ring.underWay.values()]) ring.driver.giveUp(operation)
    this.drop()
    for (let key = 0; key < ring.keys; key++) this.whole(3, 'get', 1 << key, ids, LATE_MS)
    ring.checkOpenGroups()
    if (ring.judge() !== 'linearizable') throw new Violation('LIN')
  }
}

function nodeOf({ to, message }: Packet): number {
  if (to.kind === 'node') return to.id
  return message.kind === 'answer' ? message.answer.owner : -1
}
