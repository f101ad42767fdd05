// The adapter of Network to libp2p (TCP, noise, yamux, gossipsub).
// Owns the libp2p node: it dials, opens the streams of the connections that it dialled, and reports them to PeerTable,
// which knows the peers that are up. Must not keep state about peers, or let types of libp2p out of this folder.
import type { Libp2p, Connection as Libp2pConnection, Listener, Stream } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { createLibp2p } from 'libp2p'
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { LargeWork } from '../large-work.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import { type Metrics, noMetrics } from '../metrics.js'
import type { Random } from '../random.js'
import { ClientPort } from './client-port.js'
import { ConnectionWatch, type Watched, watchLimits } from './connection-watch.js'
import { Dialer } from './dialer.js'
import { type PrivateKey, peerIdOf } from './identity.js'
import { type Instance, newInstance } from './instances.js'
import { connectionEnd, handleBlocks } from './libp2p-blocks.js'
import { addressOf, dialError, listenError } from './libp2p-errors.js'
import { CLIENT_PROTOCOL, PROTOCOLS, peerOptions, type Services } from './libp2p-options.js'
import { tie } from './libp2p-stream.js'
import { requireMember } from './member-services.js'
import type { Answer, Body, ClientHandler, Link, Network, PeerEvent, RequestHandler, StreamClass } from './network.js'
import { STREAM_CLASSES } from './network.js'
import type { Hlc } from './outbox.js'
import { type Connection, PeerTable } from './peer-table.js'
import { PendingConnections, pendingLimits } from './pending-connections.js'
import { orRedisPort } from './redis-probe.js'
import { Rumors } from './rumors.js'
import { SecretRefusals } from './secret-refusals.js'
import { daemonSecrets, Keyring, OPEN_SECRET, type Role } from './secrets.js'
import { roleOf } from './secured-noise.js'

export interface Libp2pNetworkDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly hlc: Hlc
  readonly privateKey: PrivateKey
  /** The secrets of each role. Default: the open secret, for peers that only their own machine reaches. */
  readonly keyring?: Keyring
  readonly metrics?: Metrics
  /** The turns of large packets and answers. Left out: they never wait. */
  readonly largeWork?: LargeWork | undefined
}

export interface Libp2pNetworkOptions {
  /** Multiaddrs to listen on; port 0 takes a free port. */
  readonly listen: readonly string[]
  /** Addresses to give to other peers instead of those in `listen`: where a port mapping or NAT leads to them. */
  readonly announce?: readonly string[]
  /** See PeerTableDeps. */
  readonly wireVersion?: number
  /** The id of the only ring that this peer may join. Default: any. */
  readonly ring?: string | undefined
  /** See Identity. */
  readonly expects?: number | undefined
  /** How many connections there may be. Default: see ConnectionWatch and PendingConnections. */
  readonly connections?: ConnectionBounds | undefined
}

/** The most connections of each role, and of those whose handshake is not done. */
export type ConnectionBounds = Readonly<Record<Role | 'pending', number>>

/** For peers that are kept (Dialer). The caller of `dial` gives a timeout. */
const DIAL_TIMEOUT_MS = 5000
const NEGOTIATION_TIMEOUT_MS = 5000
/** libp2p may still write about a peer for a moment after its last connection. */
const FORGET_MS = 1000
/** Streams of one class for each connection, and streams of a client. */
const STREAMS_MAX = 1
const CLIENT_STREAMS_MAX = 4

/** Builds the node without starting it. */
export async function createLibp2pNetwork(
  deps: Libp2pNetworkDeps,
  options: Libp2pNetworkOptions
): Promise<Libp2pNetwork> {
  const { listen, announce = [] } = options
  for (const address of [...listen, ...announce]) addressOf(address)
  const { clock, privateKey, keyring = new Keyring(daemonSecrets([OPEN_SECRET])) } = deps
  const refusals = new SecretRefusals(deps)
  const onRefused: SecretRefusals['inbound'] = (role, address) => refusals.inbound(role, address)
  const pending = new PendingConnections(deps.metrics, pendingLimits(options.connections?.pending))
  const node = await createLibp2p(peerOptions(privateKey, { clock, keyring, onRefused }, pending, listen, announce))
  return new Libp2pNetwork(deps, node, refusals, options)
}

export class Libp2pNetwork implements Network {
  readonly peerId: PeerId
  readonly instance: Instance
  private readonly deps: Libp2pNetworkDeps
  private readonly node: Libp2p<Services>
  private readonly refusals: SecretRefusals
  private readonly table: PeerTable
  private readonly dialer: Dialer
  /** Every open connection that has had one of our streams. */
  private readonly connections = new Map<Libp2pConnection, Connection>()
  private readonly clients: ClientPort
  private readonly rumors: Rumors
  private readonly listeners: Listener[] = []
  private readonly watched = new Map<Libp2pConnection, Watched>()
  private readonly watch: ConnectionWatch
  private admits: (from: PeerId, rumor: Uint8Array) => boolean = () => true
  private state: 'new' | 'started' | 'stopped' = 'new'

  constructor(
    deps: Libp2pNetworkDeps,
    node: Libp2p<Services>,
    refusals: SecretRefusals,
    { wireVersion, ring: wantedRing, expects, connections }: Libp2pNetworkOptions
  ) {
    const { clock, random, log, hlc, privateKey, metrics, largeWork } = deps
    const self = peerIdOf(privateKey)
    this.deps = deps
    this.node = node
    this.refusals = refusals
    this.peerId = self
    this.watch = new ConnectionWatch(clock, watchLimits(connections))
    this.clients = new ClientPort({ clock, hlc, log, largeWork })
    this.rumors = new Rumors({
      log,
      gossip: node.services.gossip,
      admits: (from, rumor) => this.admits(from, rumor)
    })
    this.instance = newInstance(clock, random)
    const { instance } = this
    const hello = { self, wireVersion, wantedRing, instance, expects }
    this.table = new PeerTable({ clock, hlc, log, largeWork, metrics, ...hello })
    this.dialer = new Dialer({
      clock,
      random,
      log,
      self,
      isUp: (peerId) => this.link(peerId) !== undefined,
      connect: (peerId, addresses, anew) => this.connect(peerId, addresses, anew)
    })
    this.onPeer((event) => {
      if (event.type === 'down') this.dialer.lost(event.peerId)
    })
    node.addEventListener('transport:listening', ({ detail }) => void this.listeners.push(detail))
    node.addEventListener('connection:open', ({ detail }) => this.connected(detail))
    node.addEventListener('connection:close', ({ detail }) => this.disconnected(detail))
  }

  addresses(): readonly string[] {
    return this.state === 'started' ? this.node.getMultiaddrs().map(String) : []
  }

  /** The multiaddrs on which this peer listens, with /p2p/: for processes of its own machine. Empty before `start`. */
  listening(): readonly string[] {
    if (this.state !== 'started') return []
    return this.listeners.flatMap((listener) => listener.getAddrs()).map((address) => `${address}/p2p/${this.peerId}`)
  }

  introduce(ringId: string, storeId: string): void {
    this.table.introduce(ringId, storeId)
    this.clients.introduce(this.table.identity)
    if (this.state === 'started') this.rumors.follow(ringId)
  }

  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    this.table.request(to, stream, body, timeoutMs, done)
  }

  serve(stream: StreamClass, handler: RequestHandler): void {
    this.table.serve(stream, handler)
  }

  openBlocks: Network['openBlocks'] = (to, heldBytesMax, timeoutMs) =>
    this.table.openBlocks(to, heldBytesMax, timeoutMs)

  serveBlocks: Network['serveBlocks'] = (heldBytesMax, handler) => this.table.serveBlocks(heldBytesMax, handler)

  /** Serves clients, which belong to no ring. Set before `start`. */
  serveClients(handler: ClientHandler): void {
    this.clients.handler = handler
  }

  publish(rumor: Uint8Array): void {
    if (this.state === 'started') this.rumors.publish(rumor)
  }

  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void {
    this.rumors.listen((from, rumor) => {
      if (this.state === 'started') listener(from, rumor)
    })
  }

  admitRumors(admits: (from: PeerId, rumor: Uint8Array) => boolean): void {
    this.admits = admits
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
    try {
      return await this.dialOnce(address, timeoutMs, false)
    } catch (thrown) {
      throw await orRedisPort(this.deps.clock, address, toRingdError(thrown))
    }
  }

  private async dialOnce(address: string, timeoutMs: number, anew: boolean): Promise<PeerId> {
    const target = addressOf(address)
    if (this.state !== 'started') throw new RingdError('STOPPED')
    const deadline = this.deps.clock.elapsed() + timeoutMs
    const abort = new AbortController()
    const timer = this.deps.clock.after(timeoutMs, () => abort.abort())
    let connection: Libp2pConnection
    try {
      connection = await this.node.dial(target, { signal: abort.signal, force: anew })
    } catch (thrown) {
      const error = dialError(address, thrown)
      if (error.code === 'WRONG_SECRET') this.refusals.outbound(address)
      throw error
    } finally {
      timer.cancel()
    }
    // The peer at this address may be connected as a client already; a dial returns that connection.
    if (roleOf(connection) !== 'member') throw new RingdError('UNREACHABLE', `${address} is connected as a client`)
    const peerId = connection.remotePeer.toString()
    try {
      const up = this.table.whenUp(peerId, Math.max(0, deadline - this.deps.clock.elapsed()))
      if (connection.direction === 'outbound' && !this.connections.has(connection)) {
        // A failure ends the connection, and then `up` rejects.
        void this.openStreams(connection)
      }
      await up
      return peerId
    } catch (thrown) {
      // The next dial would return this connection again, on which the peer does not answer. So it is aborted.
      const error = toRingdError(thrown)
      if (error.code === 'UNREACHABLE') this.deps.clock.defer(() => connection.abort(error))
      throw error
    }
  }

  /** Throws PORT_IN_USE or BAD_ADDRESS when an address cannot be listened on. */
  async start(): Promise<void> {
    for (const stream of STREAM_CLASSES) {
      await this.node.handle(
        PROTOCOLS[stream],
        (bytes, connection) => {
          requireMember(connection)
          tie(bytes, (end) => this.table.attach(this.connectionOf(connection), stream, end))
        },
        { maxInboundStreams: STREAMS_MAX, maxOutboundStreams: STREAMS_MAX }
      )
    }
    await handleBlocks(this.node, (connection, end) => this.table.attachBlocks(this.connections.get(connection), end))
    await this.node.handle(CLIENT_PROTOCOL, (bytes, connection) => this.welcome(connection, bytes), {
      maxInboundStreams: CLIENT_STREAMS_MAX
    })
    try {
      await this.node.start()
    } catch (thrown) {
      await this.node.stop()
      throw listenError(thrown)
    }
    this.state = 'started'
    this.rumors.follow(this.table.identity.ringId)
    this.dialer.start()
    const { metrics = noMetrics } = this.deps
    const help = 'bytes that the port holds: unfinished packets, requests in service, what waits to be sent'
    const members = metrics.gauge('ringd_network_held_bytes', help, { role: 'member' })
    const clients = metrics.gauge('ringd_network_held_bytes', help, { role: 'client' })
    this.watch.start(() => {
      members.set(this.table.heldBytes)
      clients.set(this.clients.heldBytes)
    })
  }

  async stop(): Promise<void> {
    if (this.state === 'stopped') return
    this.state = 'stopped'
    this.dialer.stop()
    this.table.stop()
    this.watch.stop()
    this.clients.stop()
    await this.node.stop()
  }

  /** Dials the addresses of one peer, one after the other. */
  private async connect(peerId: PeerId, addresses: readonly string[], anew: boolean): Promise<void> {
    let failure = new RingdError('UNREACHABLE', `no address of ${peerId}`)
    for (const address of addresses) {
      try {
        const [base] = address.split('/p2p/')
        await this.dialOnce(`${base}/p2p/${peerId}`, DIAL_TIMEOUT_MS, anew)
        return
      } catch (thrown) {
        failure = toRingdError(thrown)
      }
    }
    this.forget(peerId)
    throw failure
  }

  /** Opens our three streams on a connection that this side dialled. */
  private async openStreams(connection: Libp2pConnection): Promise<void> {
    const end = this.connectionOf(connection)
    const abort = new AbortController()
    const timer = this.deps.clock.after(NEGOTIATION_TIMEOUT_MS, () => abort.abort())
    try {
      await Promise.all(
        STREAM_CLASSES.map(async (stream) => {
          const bytes = await connection.newStream(PROTOCOLS[stream], { signal: abort.signal })
          tie(bytes, (tied) => this.table.attach(end, stream, tied))
        })
      )
    } catch (thrown) {
      const error = dialError(connection.remoteAddr.toString(), thrown)
      this.table.refused(end, error)
      end.abort(error)
    } finally {
      timer.cancel()
    }
  }

  private connected(connection: Libp2pConnection): void {
    const watched: Watched = {
      role: roleOf(connection) ?? 'data',
      usedAt: () => this.usedAt(connection),
      abort: (error) => this.deps.clock.defer(() => connection.abort(error))
    }
    this.watched.set(connection, watched)
    this.watch.opened(watched)
    this.identify(connection)
  }

  /** See Watched. PeerTable ends the connections of members that are not greeted. */
  private usedAt(connection: Libp2pConnection): number | undefined {
    if (this.connections.has(connection)) return this.deps.clock.elapsed()
    return this.clients.usedAt(connection)
  }

  /** gossipsub takes peers that it has identified. Clients are not asked, so they never become peers of it. */
  private identify(connection: Libp2pConnection): void {
    if (roleOf(connection) !== 'member') return
    this.node.services.identify.identify(connection).catch((thrown: unknown) => {
      this.deps.log.debug({ peer: connection.remotePeer.toString(), err: thrown }, 'peer not identified')
    })
  }

  private connectionOf(connection: Libp2pConnection): Connection {
    const known = this.connections.get(connection)
    if (known !== undefined) return known
    const end = connectionEnd(connection, this.deps.clock)
    this.connections.set(connection, end)
    return end
  }

  private welcome(connection: Libp2pConnection, stream: Stream): void {
    tie(stream, (bytes) => this.clients.welcome(connection, this.table.identity, bytes))
  }

  private disconnected(connection: Libp2pConnection): void {
    const watched = this.watched.get(connection)
    this.watched.delete(connection)
    this.clients.disconnected(connection)
    if (watched !== undefined) this.watch.closed(watched)
    this.forget(connection.remotePeer.toString())
    const end = this.connections.get(connection)
    if (end === undefined) return
    this.connections.delete(connection)
    this.table.disconnected(end, 'the connection was closed')
  }

  /** libp2p keeps what it knows of every peer that was ever connected, in memory and without a bound. */
  private forget(peerId: PeerId): void {
    const forgotten = async (): Promise<void> => {
      // Throws for a text that is no peer id. A view may hold one.
      const peer = peerIdFromString(peerId)
      if (this.state !== 'started' || this.node.getConnections(peer).length > 0) return
      await this.node.peerStore.delete(peer)
    }
    this.deps.clock.after(FORGET_MS, () => {
      forgotten().catch((thrown: unknown) => {
        this.deps.log.debug({ peer: peerId, err: thrown }, 'peer not forgotten')
      })
    })
  }
}
