// The in-memory twin of the libp2p network: same links, same packets, same rules of who is up; only the bytes travel
// through a hub instead of sockets. Nodes share no memory: every packet is encoded and decoded, every hint is copied.
//
// The hub draws delays from one Random and waits on one Clock, so that a run is repeated exactly. Faults are methods of
// the hub. A cut holds bytes back, as TCP does, and lets them go when it heals; `reset` is what breaks connections.

import { type Clock, sleep } from '../../lib/clock.js'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import type { Logger } from '../../lib/logger.js'
import type { PeerId } from '../../lib/member.js'
import { Dialer } from '../../lib/network/dialer.js'
import type { Answer, Body, Link, Network, PeerEvent, RequestHandler, StreamClass } from '../../lib/network/network.js'
import type { Hlc } from '../../lib/network/outbox.js'
import { PeerTable } from '../../lib/network/peer-table.js'
import type { Random } from '../../lib/random.js'
import { connectEnds, type End } from './memory-pipe.js'

export interface HubOptions {
  /** One way, per packet; drawn uniformly. Default 0.2 .. 1 ms. */
  readonly delayMsMin?: number
  readonly delayMsMax?: number
  /** Share of hints that get lost. Default 0. */
  readonly hintLoss?: number
  /** Bytes under way in one direction of one stream before its sender is told to wait. Default 1 MiB. */
  readonly windowBytes?: number
}

export interface MemoryNetworkDeps {
  readonly peerId: PeerId
  /** The node's own; see VirtualClock.forNode. */
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly hlc: Hlc
  /** Another one than WIRE_VERSION, to be refused. */
  readonly wireVersion?: number
}

/** Looks at single messages before they are sent; see steering.ts. */
export interface MessageFilter {
  /** In place of the request: hands it to `send` at once, later or never. */
  request(message: SentMessage, timeoutMs: number, send: (done: Done) => void, done: Done): void
  /** Whether a hint may arrive. */
  passesHint(from: PeerId, to: PeerId): boolean
}

export interface SentMessage {
  readonly from: PeerId
  readonly to: PeerId
  readonly body: Body
}

type Done = (answer: Answer) => void

const HINT_BYTES_MAX = 64 * KiB
const DIAL_TIMEOUT_MS = 5000
const ADDRESS_PATTERN = /^(\/memory\/\d+)(?:\/p2p\/([^/]+))?$/

export class MemoryHub {
  readonly clock: Clock
  readonly windowBytes: number
  filter: MessageFilter | undefined
  private readonly random: Random
  private readonly options: Required<HubOptions>
  private readonly nodes = new Map<string, MemoryNetwork>()
  private readonly ends = new Set<End>()
  private readonly cuts = new Set<string>()
  private readonly pausedNodes = new Set<PeerId>()
  private readonly slowMs = new Map<PeerId, number>()
  private starts = 0

  constructor(clock: Clock, random: Random, options: HubOptions = {}) {
    this.clock = clock
    this.random = random
    this.options = { delayMsMin: 0.2, delayMsMax: 1, hintLoss: 0, windowBytes: MiB, ...options }
    this.windowBytes = this.options.windowBytes
  }

  network(deps: MemoryNetworkDeps): MemoryNetwork {
    return new MemoryNetwork(this, deps)
  }

  // ---- faults ----

  /** Nothing arrives at `to` from `from` until `heal`; nobody is told. */
  cut(from: PeerId, to: PeerId): void {
    this.cuts.add(way(from, to))
  }

  /** Cuts both ways between every two peers of different groups. */
  partition(...groups: ReadonlyArray<readonly PeerId[]>): void {
    for (const group of groups) {
      for (const other of groups) {
        if (other !== group) for (const from of group) for (const to of other) this.cut(from, to)
      }
    }
  }

  /** Ends the cuts between two peers, or all of them. */
  heal(one?: PeerId, other?: PeerId): void {
    if (one === undefined || other === undefined) this.cuts.clear()
    else for (const key of [way(one, other), way(other, one)]) this.cuts.delete(key)
    this.pump()
  }

  /** Breaks every connection between two peers; both notice. */
  reset(one: PeerId, other: PeerId): void {
    for (const end of [...this.ends]) {
      if (end.owner === one && end.peerId === other) end.abort(new RingdError('UNREACHABLE', 'connection reset'))
    }
  }

  /** Like kill -9: the node says and hears nothing more; the others find their connections closed. */
  kill(peerId: PeerId): void {
    for (const node of [...this.nodes.values()]) if (node.peerId === peerId) node.die()
    for (const end of [...this.ends]) if (end.owner === peerId) end.die()
    this.pausedNodes.delete(peerId)
  }

  /** Like SIGSTOP, as far as the network goes: connections stay, nothing is read or written. Pause its clock, too. */
  pause(peerId: PeerId): void {
    this.pausedNodes.add(peerId)
  }

  resume(peerId: PeerId): void {
    this.pausedNodes.delete(peerId)
    this.pump()
  }

  /** Adds to every delay from and to a node. 0 ends it. */
  slow(peerId: PeerId, extraMs: number): void {
    this.slowMs.set(peerId, extraMs)
  }

  // ---- for networks and pipes ----

  isBlocked(from: PeerId, to: PeerId): boolean {
    return this.cuts.has(way(from, to)) || this.pausedNodes.has(from) || this.pausedNodes.has(to)
  }

  delayMs(from: PeerId, to: PeerId): number {
    const { delayMsMin, delayMsMax } = this.options
    const extraMs = (this.slowMs.get(from) ?? 0) + (this.slowMs.get(to) ?? 0)
    return delayMsMin + this.random.next() * (delayMsMax - delayMsMin) + extraMs
  }

  /** Registers a listener under a new address. */
  listen(node: MemoryNetwork): string {
    const address = `/memory/${++this.starts}`
    this.nodes.set(address, node)
    return address
  }

  leave(node: MemoryNetwork): void {
    for (const [address, other] of this.nodes) if (other === node) this.nodes.delete(address)
  }

  /** Both ends of a new connection. Throws UNREACHABLE: at once when nobody listens there, after the time in a cut. */
  async connect(from: MemoryNetwork, address: string, timeoutMs: number): Promise<End> {
    const target = this.nodes.get(address)
    if (target === undefined) {
      await sleep(this.clock, this.delayMs(from.peerId, ''))
      throw new RingdError('UNREACHABLE', `nobody listens on ${address}`)
    }
    const deadline = this.clock.elapsed() + timeoutMs
    await sleep(this.clock, this.delayMs(from.peerId, target.peerId) * 2)
    while (this.isBlocked(from.peerId, target.peerId) || this.isBlocked(target.peerId, from.peerId)) {
      if (this.clock.elapsed() >= deadline) throw new RingdError('UNREACHABLE', `no answer from ${address}`)
      await sleep(this.clock, Math.max(1, timeoutMs / 10))
    }
    if (from.isOver) throw new RingdError('STOPPED')
    if (this.nodes.get(address) !== target) throw new RingdError('UNREACHABLE', `nobody listens on ${address}`)
    const [dialled, accepted] = connectEnds(this, from, target)
    for (const end of [dialled, accepted]) {
      this.ends.add(end)
      end.onGone = () => this.ends.delete(end)
    }
    accepted.open()
    dialled.open()
    return dialled
  }

  spread(from: MemoryNetwork, ringId: string, hint: Uint8Array): void {
    for (const node of [...this.nodes.values()]) {
      if (node === from || node.ringId !== ringId || node.link(from.peerId) === undefined) continue
      if (this.random.next() < this.options.hintLoss) continue
      if (this.filter?.passesHint(from.peerId, node.peerId) === false) continue
      const copy = hint.slice()
      this.clock.after(this.delayMs(from.peerId, node.peerId), () => {
        if (!this.isBlocked(from.peerId, node.peerId)) node.hinted(from.peerId, copy)
      })
    }
  }

  private pump(): void {
    for (const end of [...this.ends]) end.pump()
  }
}

export class MemoryNetwork implements Network {
  readonly peerId: PeerId
  readonly table: PeerTable
  private readonly hub: MemoryHub
  private readonly dialer: Dialer
  private readonly hintListeners: Array<(from: PeerId, hint: Uint8Array) => void> = []
  private address: string | undefined
  private stopped = false

  constructor(hub: MemoryHub, deps: MemoryNetworkDeps) {
    const { peerId, clock, random, log, hlc, wireVersion } = deps
    this.hub = hub
    this.peerId = peerId
    this.table = new PeerTable({ clock, hlc, log, self: peerId, wireVersion })
    this.dialer = new Dialer({
      clock,
      random,
      log,
      self: peerId,
      isUp: (other) => this.link(other) !== undefined,
      connect: (other, addresses) => this.connect(other, addresses)
    })
    this.onPeer((event) => {
      if (event.type === 'down') this.dialer.lost(event.peerId)
    })
  }

  get ringId(): string {
    return this.table.identity.ringId
  }

  addresses(): readonly string[] {
    return this.address === undefined ? [] : [`${this.address}/p2p/${this.peerId}`]
  }

  introduce(ringId: string, storeId: string): void {
    this.table.introduce(ringId, storeId)
  }

  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    const send = (answered: Done) => this.table.request(to, stream, body, timeoutMs, answered)
    const { filter } = this.hub
    if (filter === undefined) send(done)
    else filter.request({ from: this.peerId, to, body }, timeoutMs, send, done)
  }

  serve(stream: StreamClass, handler: RequestHandler): void {
    this.table.serve(stream, handler)
  }

  publish(hint: Uint8Array): void {
    if (this.stopped || this.ringId === '' || hint.length > HINT_BYTES_MAX) return
    this.hub.spread(this, this.ringId, hint)
  }

  onHint(listener: (from: PeerId, hint: Uint8Array) => void): void {
    this.hintListeners.push(listener)
  }

  hinted(from: PeerId, hint: Uint8Array): void {
    if (!this.stopped) for (const listener of this.hintListeners) listener(from, hint)
  }

  onPeer(listener: (event: PeerEvent) => void): void {
    this.table.onPeer(listener)
  }

  link(peerId: PeerId): Link | undefined {
    return this.table.link(peerId)
  }

  keep(peers: ReadonlyMap<PeerId, readonly string[]>): void {
    this.dialer.keep(peers)
  }

  async dial(address: string, timeoutMs: number): Promise<PeerId> {
    const [, base, expected] = ADDRESS_PATTERN.exec(address) ?? []
    if (base === undefined) throw new RingdError('BAD_ADDRESS', `${address} is no address of a peer`)
    const end = await this.hub.connect(this, base, timeoutMs)
    if (expected !== undefined && end.peerId !== expected) {
      end.abort(new RingdError('UNREACHABLE', 'another peer answers there'))
      throw new RingdError('UNREACHABLE', `another peer than ${expected} answers at ${base}`)
    }
    await this.table.whenUp(end.peerId, timeoutMs)
    return end.peerId
  }

  async start(): Promise<void> {
    this.address = this.hub.listen(this)
    this.dialer.start()
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.hub.leave(this)
    this.dialer.stop()
    this.table.stop()
  }

  get isOver(): boolean {
    return this.stopped
  }

  /** The process is gone: nothing is told to anybody. */
  die(): void {
    this.stopped = true
    this.hub.leave(this)
    this.dialer.stop()
  }

  private async connect(peerId: PeerId, addresses: readonly string[]): Promise<void> {
    let failure = new RingdError('UNREACHABLE', `no address of ${peerId}`)
    for (const address of addresses) {
      try {
        const [, base] = ADDRESS_PATTERN.exec(address) ?? []
        await this.dial(`${base ?? address}/p2p/${peerId}`, DIAL_TIMEOUT_MS)
        return
      } catch (thrown) {
        failure = thrown as RingdError
      }
    }
    throw failure
  }
}

function way(from: PeerId, to: PeerId): string {
  return `${from}>${to}`
}
