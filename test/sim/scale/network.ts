// A lean twin of the in-memory network, for rings of a thousand members. A link is an entry in two maps. A message is
// one event of the clock. Bodies are immutable, so they are passed without a copy. Counts the traffic of the real wire.
// Its only faults are lost rumors and `vanish`. It has no packets, windows or hellos, and carries no hybrid clocks.
// Messages between two peers keep their order, because each pair has one delay. The hub's clock is every peer's clock.
import type { Clock } from '../../../lib/clock.js'
import { sleep } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import { KiB } from '../../../lib/limits.js'
import type { PeerId } from '../../../lib/member.js'
import type { BlockConnection, BlockPeer, BlockTable } from '../../../lib/network/block-table.js'
import { NO_INSTANCE } from '../../../lib/network/instances.js'
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
import { blockConnection, newBlockTable } from './blocks.js'
import { Traffic } from './traffic.js'

const DELAY_MS_MIN = 0.2
const DELAY_MS_MAX = 1
const RUMOR_BYTES_MAX = 64 * KiB
const REDIAL_MS = 1000
const NO_LINK = new RingdError('UNREACHABLE', 'no link')

export class ScaleHub {
  readonly clock: Clock
  readonly traffic = new Traffic()
  readonly #byAddress = new Map<string, ScaleNetwork>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  network(peerId: PeerId, address: string): ScaleNetwork {
    return new ScaleNetwork(this, peerId, `${address}/p2p/${peerId}`)
  }

  /** While true, peers do not dial, and their messages are lost and not counted: for the building of the first ring. */
  isStill = false
  /** While true, all rumors are lost. */
  losesRumors = false

  /** Links every two of these peers. */
  linkAll(networks: readonly ScaleNetwork[]): void {
    networks.forEach((one, index) => {
      for (let at = index + 1; at < networks.length; at++) this.link(one, networks[at]!)
    })
  }

  listen(network: ScaleNetwork): void {
    this.#byAddress.set(network.address, network)
  }

  leave(network: ScaleNetwork): void {
    this.#byAddress.delete(network.address)
  }

  at(address: string): ScaleNetwork | undefined {
    return this.#byAddress.get(address)
  }

  link(one: ScaleNetwork, other: ScaleNetwork): void {
    if (one.peers.has(other.peerId)) return
    one.linked(other)
    other.linked(one)
  }

  /** The delay in one direction, ms; constant for each pair. */
  delayMs(one: ScaleNetwork, other: ScaleNetwork): number {
    const share = ((one.place * other.place) % 997) / 997
    return DELAY_MS_MIN + share * (DELAY_MS_MAX - DELAY_MS_MIN)
  }
}

export class ScaleNetwork implements Network {
  readonly peerId: PeerId
  readonly instance = NO_INSTANCE
  readonly address: string
  /** The peers that are linked with this one. */
  readonly peers = new Map<PeerId, ScaleNetwork>()
  readonly place: number
  /** The identity that this peer sends in its hello. It is replaced, never modified. */
  identity: Link
  readonly #hub: ScaleHub
  readonly #handlers = new Map<StreamClass, RequestHandler>()
  readonly #listeners: Array<(event: PeerEvent) => void> = []
  readonly #rumorListeners: Array<(from: PeerId, rumor: Uint8Array) => void> = []
  readonly #blocks: BlockTable
  readonly #connections = new Map<ScaleNetwork, BlockConnection>()
  #kept: ReadonlyMap<PeerId, readonly string[]> = new Map()
  #isRunning = false

  constructor(hub: ScaleHub, peerId: PeerId, address: string) {
    this.#hub = hub
    this.peerId = peerId
    this.#blocks = newBlockTable(hub.clock)
    this.address = address
    this.place = 1 + ([...address].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 99_991, 7) % 996)
    this.identity = { peerId, ringId: '', storeId: '' }
  }

  addresses(): readonly string[] {
    return this.#isRunning ? [this.address] : []
  }

  introduce(ringId: string, storeId: string): void {
    if (this.identity.ringId === ringId && this.identity.storeId === storeId) return
    this.identity = { peerId: this.peerId, ringId, storeId }
    for (const peer of this.peers.values()) {
      this.#deliver(peer, () => {
        peer.#endBlocks(this)
        peer.#tell({ type: 'up', link: this.identity })
      })
    }
  }

  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    const { clock, traffic, isStill } = this.#hub
    const peer = this.peers.get(to)
    if (peer === undefined || isStill) {
      clock.defer(() => done(NO_LINK))
      return
    }
    let isOpen = true
    const finish = (answer: Answer) => {
      if (!isOpen) return
      isOpen = false
      timer.cancel()
      done(answer)
    }
    const timer = clock.after(timeoutMs, () => finish(new RingdError('TIMEOUT')))
    traffic.request(body)
    this.#deliver(peer, () => {
      peer.#serve(stream, this.identity, body, (answer) => {
        traffic.answer(answer)
        peer.#deliver(this, () => finish(answer))
      })
    })
  }

  openBlocks(to: PeerId, heldBytesMax: number, timeoutMs: number): Promise<BlockStream> {
    return this.#blocks.open(() => this.#blockPeer(this.peers.get(to)), heldBytesMax, timeoutMs)
  }

  serveBlocks(heldBytesMax: number, handler: (stream: BlockStream) => void): void {
    this.#blocks.serve(heldBytesMax, handler)
  }

  serve(stream: StreamClass, handler: RequestHandler): void {
    this.#handlers.set(stream, handler)
  }

  publish(rumor: Uint8Array): void {
    if (!this.#isRunning || this.identity.ringId === '' || rumor.length > RUMOR_BYTES_MAX) return
    if (this.#hub.isStill || this.#hub.losesRumors) return
    let listeners = 0
    for (const peer of this.peers.values()) {
      if (peer.identity.ringId !== this.identity.ringId) continue
      listeners += 1
      this.#deliver(peer, () => {
        for (const listener of peer.#rumorListeners) listener(this.peerId, rumor)
      })
    }
    this.#hub.traffic.rumor(rumor.length, listeners)
  }

  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void {
    this.#rumorListeners.push(listener)
  }

  /** Does nothing: every peer here is honest. */
  admitRumors(): void {}

  onPeer(listener: (event: PeerEvent) => void): void {
    this.#listeners.push(listener)
  }

  link(peerId: PeerId): Link | undefined {
    return this.peers.get(peerId)?.identity
  }

  /** Does nothing: these links lose no messages. */
  redial(): void {}

  keep(peers: ReadonlyMap<PeerId, readonly string[]>): void {
    this.#kept = peers
    if (this.#hub.isStill) return
    for (const peerId of peers.keys()) if (!this.peers.has(peerId)) this.#redial(peerId)
  }

  async dial(address: string, _timeoutMs: number): Promise<PeerId> {
    const peer = this.#hub.at(address)
    if (peer === undefined || !this.#isRunning) throw new RingdError('UNREACHABLE', `no node listens on ${address}`)
    await sleep(this.#hub.clock, 2 * this.#hub.delayMs(this, peer))
    this.#hub.link(this, peer)
    return peer.peerId
  }

  async start(): Promise<void> {
    this.#isRunning = true
    this.#hub.listen(this)
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    this.#hub.leave(this)
    for (const peer of this.peers.values()) {
      this.#endBlocks(peer)
      peer.#lost(this)
    }
    this.peers.clear()
  }

  /** Like pulling the cable: no peer notices, and no message arrives or leaves any more. */
  vanish(): void {
    this.#isRunning = false
    this.#hub.leave(this)
  }

  linked(peer: ScaleNetwork): void {
    this.peers.set(peer.peerId, peer)
    this.#tell({ type: 'up', link: peer.identity })
  }

  #lost(peer: ScaleNetwork): void {
    this.peers.delete(peer.peerId)
    this.#endBlocks(peer)
    this.#tell({ type: 'down', peerId: peer.peerId, reason: 'the other end closed' })
    this.#redial(peer.peerId)
  }

  #redial(peerId: PeerId): void {
    const peer = this.#hub.at(this.#kept.get(peerId)?.[0] ?? '')
    const { clock } = this.#hub
    const again = () => {
      if (this.#isRunning && this.#kept.has(peerId) && !this.peers.has(peerId)) this.#redial(peerId)
    }
    if (peer === undefined) clock.after(REDIAL_MS, again)
    else clock.after(2 * this.#hub.delayMs(this, peer), () => peer.#isRunning && this.#hub.link(this, peer))
  }

  #serve(stream: StreamClass, from: Link, body: Body, respond: (answer: Answer) => void): void {
    const handler = this.#handlers.get(stream)
    if (handler === undefined) respond(new RingdError('NOT_SERVING'))
    else handler(from, body, respond)
  }

  #blockPeer(peer: ScaleNetwork | undefined): BlockPeer {
    const { isStill } = this.#hub
    if (peer === undefined || isStill || peer.identity.ringId === '' || this.identity.ringId === '') throw NO_LINK
    return { connection: this.#connectionWith(peer), link: peer.identity }
  }

  #connectionWith(peer: ScaleNetwork): BlockConnection {
    const known = this.#connections.get(peer)
    if (known !== undefined) return known
    const connection = blockConnection({
      accept: (bytes) => peer.#blocks.accept(peer.#blockPeer(this), bytes),
      there: (arrive) => this.#deliver(peer, arrive),
      back: (arrive) => peer.#deliver(this, arrive)
    })
    this.#connections.set(peer, connection)
    return connection
  }

  /** The link with a peer is over, or the peer is another member now. */
  #endBlocks(peer: ScaleNetwork): void {
    const connection = this.#connections.get(peer)
    if (connection !== undefined) this.#blocks.end(connection, NO_LINK)
    this.#connections.delete(peer)
  }

  #deliver(to: ScaleNetwork, arrive: () => void): void {
    this.#hub.clock.after(this.#hub.delayMs(this, to), () => {
      if (this.#isRunning && to.#isRunning) arrive()
    })
  }

  #tell(event: PeerEvent): void {
    for (const listener of this.#listeners) listener(event)
  }
}
