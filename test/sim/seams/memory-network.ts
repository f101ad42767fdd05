// The in-memory twin of the libp2p network: the same links, the same packets, the same rules about which peer is up.
// Only the bytes travel through a hub instead of sockets. Nodes share no memory: packets are encoded and decoded,
// rumors copied.
//
// The hub draws delays from one Random and waits on one Clock, so that a run can be repeated exactly. Faults are
// methods of the hub. A cut holds bytes back, as TCP does, and delivers them when it heals. `reset` and `tear` break
// connections.

import { type Clock, sleep } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import { KiB, MiB } from '../../../lib/limits.js'
import type { Logger } from '../../../lib/logger.js'
import type { PeerId } from '../../../lib/member.js'
import { Dialer } from '../../../lib/network/dialer.js'
import { type Instance, newInstance } from '../../../lib/network/instances.js'
import type {
  Answer,
  BlockStream,
  Body,
  Link,
  Network,
  PeerEvent,
  RequestHandler,
  StreamClass
} from '../../../lib/network/network.js'
import type { Hlc } from '../../../lib/network/outbox.js'
import { PeerTable } from '../../../lib/network/peer-table.js'
import type { PullAsk } from '../../../lib/network/wire.js'
import type { Random } from '../../../lib/random.js'
import { connectEnds, type End, type PipeClass } from './memory-pipe.js'
import { type FrameFilter, steered } from './steered-blocks.js'

export interface HubOptions {
  /** One way, per packet; drawn uniformly. Default 0.2 .. 1 ms. */
  readonly delayMsMin?: number
  readonly delayMsMax?: number
  /** Share of packets that take longer. Default 0. */
  readonly tailShare?: number
  /** How much longer these usually take; a few of them take ten times that. Default 0. */
  readonly tailMs?: number
  /** Share of rumors that are lost. Default 0. */
  readonly rumorLoss?: number
  /** Bytes under way in one direction of one stream at which its sender must wait. Default 1 MiB. */
  readonly windowBytes?: number
}

export interface MemoryNetworkDeps {
  readonly peerId: PeerId
  /** The clock of the node; see VirtualClock.forNode. */
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly hlc: Hlc
  /** The address to listen on, `/memory/` and a number; left out: a new address at each start. */
  readonly address?: string | undefined
  /** A version other than WIRE_VERSION, for tests of the refusal. */
  readonly wireVersion?: number
  /** See Identity. */
  readonly expects?: number | undefined
}

/** Sees single messages before they are sent; see steering.ts. */
export interface MessageFilter extends FrameFilter {
  /** Called instead of the request. Calls `send` at once, later or never. */
  request(message: SentMessage, timeoutMs: number, send: (done: Done) => void, done: Done): void
  /** Whether a rumor may arrive. */
  passesRumor(from: PeerId, to: PeerId): boolean
}

export interface SentMessage {
  readonly from: PeerId
  readonly to: PeerId
  /** `pull`: an ask of a pull stream. */
  readonly body: Omit<Body, 'pull'> & { readonly pull?: Pick<PullAsk, 'ranges' | 'what'> | undefined }
}

type Done = (answer: Answer) => void

const HUB_DEFAULTS = { delayMsMin: 0.2, delayMsMax: 1, tailShare: 0, tailMs: 0, rumorLoss: 0, windowBytes: MiB }
const RUMOR_BYTES_MAX = 64 * KiB
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
  /** How many cuts there are in each direction. */
  private readonly cuts = new Map<string, number>()
  private readonly pausedNodes = new Set<PeerId>()
  private readonly deafNodes = new Set<PeerId>()
  private readonly slowMs = new Map<PeerId, number>()
  private readonly readGapMs = new Map<PeerId, number>()
  private readonly rumorLosses = new Map<string, number>()
  private starts = 0
  /** Called with every packet and rumor that arrives. */
  onDelivery: ((from: PeerId, to: PeerId, what: PipeClass | 'rumor', bytes: Uint8Array) => void) | undefined

  constructor(clock: Clock, random: Random, options: HubOptions = {}) {
    this.clock = clock
    this.random = random
    this.options = { ...HUB_DEFAULTS, ...options }
    this.windowBytes = this.options.windowBytes
  }

  network(deps: MemoryNetworkDeps): MemoryNetwork {
    return new MemoryNetwork(this, deps)
  }

  // ---- faults ----

  /** Nothing from `from` arrives at `to` until `mend` or `heal`. No peer is notified. */
  cut(from: PeerId, to: PeerId): void {
    const key = way(from, to)
    this.cuts.set(key, (this.cuts.get(key) ?? 0) + 1)
  }

  /** Ends one cut in this direction; other cuts in the same direction stay. */
  mend(from: PeerId, to: PeerId): void {
    const key = way(from, to)
    const left = (this.cuts.get(key) ?? 0) - 1
    if (left > 0) this.cuts.set(key, left)
    else this.cuts.delete(key)
    this.pump()
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

  /** Breaks every connection between two peers; the bytes under way are lost. Both notice. */
  tear(one: PeerId, other: PeerId): void {
    for (const end of [...this.ends]) {
      if ((end.owner === one && end.peerId === other) || (end.owner === other && end.peerId === one)) end.tear()
    }
  }

  /** `loser` loses its connections with `holder`. `holder` does not notice, and what it sends there is lost. */
  halfOpen(holder: PeerId, loser: PeerId): void {
    for (const end of [...this.ends]) if (end.owner === loser && end.peerId === holder) end.vanish()
  }

  /** Peers notice that the other end of their connections has vanished: all of them, or those with `loser` only. */
  expose(loser?: PeerId): void {
    for (const end of [...this.ends]) if (loser === undefined || end.peerId === loser) end.exposed()
  }

  /** Like kill -9: the node sends and receives nothing more; its peers see their connections closed. */
  kill(peerId: PeerId): void {
    this.end(peerId)
    for (const end of [...this.ends]) if (end.owner === peerId) end.die()
  }

  /** Like a power cut: its peers notice only at `expose`. Kill the clock of the node first. */
  unplug(peerId: PeerId): void {
    this.end(peerId)
    for (const end of [...this.ends]) if (end.owner === peerId) end.vanish()
  }

  /** Like SIGSTOP for the network: connections stay, nothing is read or written. Pause the clock of the node, too. */
  pause(peerId: PeerId): void {
    this.pausedNodes.add(peerId)
  }

  resume(peerId: PeerId): void {
    this.pausedNodes.delete(peerId)
    this.pump()
  }

  /** No facts of the ring reach the node: rumors to it are lost, and control streams to it are held back. */
  deafen(peerId: PeerId): void {
    this.deafNodes.add(peerId)
  }

  undeafen(peerId: PeerId): void {
    this.deafNodes.delete(peerId)
    this.pump()
  }

  /** Adds `extraMs` to every delay from and to the node. 0 ends it. */
  slow(peerId: PeerId, extraMs: number): void {
    this.slowMs.set(peerId, extraMs)
  }

  /** The node reads one packet of each stream per `gapMs`. 0 ends it. */
  slowReader(peerId: PeerId, gapMs: number): void {
    this.readGapMs.set(peerId, gapMs)
  }

  /** Share of the rumors in this direction that are lost; the larger of this and the option counts. 0 ends it. */
  loseRumors(from: PeerId, to: PeerId, share: number): void {
    this.rumorLosses.set(way(from, to), share)
  }

  /** Ends all faults that last: cuts, pauses, slowness, losses. Peers notice vanished connections. */
  calm(): void {
    this.cuts.clear()
    this.pausedNodes.clear()
    this.deafNodes.clear()
    this.slowMs.clear()
    this.readGapMs.clear()
    this.rumorLosses.clear()
    this.expose()
    this.pump()
  }

  // ---- for networks and pipes ----

  isBlocked(from: PeerId, to: PeerId, what?: PipeClass | 'rumor'): boolean {
    if (this.pausedNodes.has(from) || this.pausedNodes.has(to)) return true
    if (this.deafNodes.has(to) && (what === 'control' || what === 'rumor')) return true
    return this.cuts.size > 0 && this.cuts.has(way(from, to))
  }

  delayMs(from: PeerId, to: PeerId): number {
    const { delayMsMin, delayMsMax, tailShare, tailMs } = this.options
    const extraMs = (this.slowMs.get(from) ?? 0) + (this.slowMs.get(to) ?? 0)
    const isLate = tailShare > 0 && this.random.next() < tailShare
    const lateMs = isLate ? heavyTail(this.random) * tailMs : 0
    return delayMsMin + this.random.next() * (delayMsMax - delayMsMin) + extraMs + lateMs
  }

  /** The least time between two packets of one stream to this peer, ms. */
  gapMs(to: PeerId): number {
    return this.readGapMs.get(to) ?? 0
  }

  /** Bytes under way in the streams from and to a peer. */
  queuedBytes(peerId: PeerId): number {
    let bytes = 0
    for (const end of this.ends) if (end.owner === peerId || end.peerId === peerId) bytes += end.queuedBytes
    return bytes
  }

  /** Registers a listener, under `wanted` or a new address. */
  listen(node: MemoryNetwork, wanted?: string): string {
    const address = wanted ?? `/memory/${++this.starts}`
    this.nodes.set(address, node)
    return address
  }

  leave(node: MemoryNetwork): void {
    for (const [address, other] of this.nodes) if (other === node) this.nodes.delete(address)
  }

  /** Opens a connection. Throws UNREACHABLE: at once when no node listens there, or after `timeoutMs` in a cut. */
  async connect(from: MemoryNetwork, address: string, timeoutMs: number): Promise<End> {
    const target = this.nodes.get(address)
    if (target === undefined) {
      await sleep(this.clock, this.delayMs(from.peerId, ''))
      throw new RingdError('UNREACHABLE', `no node listens on ${address}`)
    }
    const deadline = this.clock.elapsed() + timeoutMs
    await sleep(this.clock, this.delayMs(from.peerId, target.peerId) * 2)
    while (this.isBlocked(from.peerId, target.peerId) || this.isBlocked(target.peerId, from.peerId)) {
      if (this.clock.elapsed() >= deadline) {
        throw new RingdError('UNREACHABLE', `no answer from ${address} within ${timeoutMs} ms`)
      }
      await sleep(this.clock, Math.max(1, timeoutMs / 10))
    }
    if (from.isOver) throw new RingdError('STOPPED')
    if (this.nodes.get(address) !== target) throw new RingdError('UNREACHABLE', `no node listens on ${address}`)
    const [dialled, accepted] = connectEnds(this, from, target)
    for (const end of [dialled, accepted]) {
      this.ends.add(end)
      end.onClosed = () => this.ends.delete(end)
    }
    accepted.open()
    dialled.open()
    return dialled
  }

  spread(from: MemoryNetwork, ringId: string, rumor: Uint8Array): void {
    for (const node of [...this.nodes.values()]) {
      if (node === from || node.ringId !== ringId || node.link(from.peerId) === undefined) continue
      const loss = this.rumorLosses.get(way(from.peerId, node.peerId)) ?? 0
      if (this.random.next() < Math.max(this.options.rumorLoss, loss)) continue
      if (this.filter?.passesRumor(from.peerId, node.peerId) === false) continue
      const copy = rumor.slice()
      this.clock.after(this.delayMs(from.peerId, node.peerId), () => {
        if (this.isBlocked(from.peerId, node.peerId, 'rumor')) return
        this.onDelivery?.(from.peerId, node.peerId, 'rumor', copy)
        node.rumored(from.peerId, copy)
      })
    }
  }

  private pump(): void {
    for (const end of [...this.ends]) end.pump()
  }

  private end(peerId: PeerId): void {
    for (const node of [...this.nodes.values()]) if (node.peerId === peerId) node.die()
    this.pausedNodes.delete(peerId)
  }
}

export class MemoryNetwork implements Network {
  readonly peerId: PeerId
  readonly instance: Instance
  readonly table: PeerTable
  readonly clock: Clock
  private readonly hub: MemoryHub
  private readonly dialer: Dialer
  private readonly rumorListeners: Array<(from: PeerId, rumor: Uint8Array) => void> = []
  private admits: (from: PeerId, rumor: Uint8Array) => boolean = () => true
  private readonly wantedAddress: string | undefined
  private address: string | undefined
  private stopped = false

  constructor(hub: MemoryHub, deps: MemoryNetworkDeps) {
    const { peerId, clock, random, log, hlc, wireVersion, expects } = deps
    this.hub = hub
    this.peerId = peerId
    this.clock = clock
    this.wantedAddress = deps.address
    this.instance = newInstance(clock, random)
    this.table = new PeerTable({ clock, hlc, log, self: peerId, wireVersion, instance: this.instance, expects })
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

  async openBlocks(to: PeerId, heldBytesMax: number, timeoutMs: number): Promise<BlockStream> {
    return steered(this.hub, this.peerId, await this.table.openBlocks(to, heldBytesMax, timeoutMs))
  }

  serveBlocks(heldBytesMax: number, handler: (stream: BlockStream) => void): void {
    this.table.serveBlocks(heldBytesMax, (stream) => handler(steered(this.hub, this.peerId, stream)))
  }

  publish(rumor: Uint8Array): void {
    if (this.stopped || this.ringId === '' || rumor.length > RUMOR_BYTES_MAX) return
    this.hub.spread(this, this.ringId, rumor)
  }

  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void {
    this.rumorListeners.push(listener)
  }

  admitRumors(admits: (from: PeerId, rumor: Uint8Array) => boolean): void {
    this.admits = admits
  }

  rumored(from: PeerId, rumor: Uint8Array): void {
    if (!this.stopped && this.admits(from, rumor)) for (const listener of this.rumorListeners) listener(from, rumor)
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

  redial(peerId: PeerId): void {
    this.dialer.redial(peerId)
  }

  async dial(address: string, timeoutMs: number): Promise<PeerId> {
    const [, base, expected] = ADDRESS_PATTERN.exec(address) ?? []
    if (base === undefined) throw new RingdError('BAD_ADDRESS', `${address} is not /memory/<number>`)
    if (base === this.address && (expected ?? this.peerId) === this.peerId) {
      throw new RingdError('OWN_ADDRESS', `${address} is an address of this peer itself`)
    }
    const end = await this.hub.connect(this, base, timeoutMs)
    if (expected !== undefined && end.peerId !== expected) {
      end.abort(new RingdError('UNREACHABLE', `another peer than ${expected} answers at ${base}`))
      throw new RingdError('UNREACHABLE', `another peer than ${expected} answers at ${base}`)
    }
    await this.table.whenUp(end.peerId, timeoutMs)
    return end.peerId
  }

  async start(): Promise<void> {
    this.address = this.hub.listen(this, this.wantedAddress)
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

  /** The process has ended: it notifies no peer. */
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

/** About 1, seldom up to 20: a truncated Pareto distribution. */
export function heavyTail(random: Random): number {
  return Math.min(20, (1 - random.next()) ** (-1 / 1.5) - 1)
}

function way(from: PeerId, to: PeerId): string {
  return `${from}>${to}`
}
