// The adapter of Network to libp2p (TCP, noise, yamux, gossipsub).
// Owns the libp2p node: it dials, opens the streams of the connections that it dialled, and reports them to PeerTable,
// which knows the peers that are up. Must not keep state about peers, or let types of libp2p out of this folder.
import type { Libp2p, Connection as Libp2pConnection, PeerId as Libp2pPeerId } from '@libp2p/interface'
import { createLibp2p } from 'libp2p'
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Metrics } from '../metrics.js'
import type { Random } from '../random.js'
import { Dialer } from './dialer.js'
import { type PrivateKey, peerIdOf } from './identity.js'
import { addressOf, dialError, listenError } from './libp2p-errors.js'
import {
  CLIENT_PROTOCOL,
  PROTOCOLS,
  peerOptions,
  RUMOR_BYTES_MAX,
  rumorTopic,
  type Services
} from './libp2p-options.js'
import { tie } from './libp2p-stream.js'
import { requireMember } from './member-services.js'
import type { Answer, Body, ClientHandler, Link, Network, PeerEvent, RequestHandler, StreamClass } from './network.js'
import { STREAM_CLASSES } from './network.js'
import type { Hlc } from './outbox.js'
import { type Connection, PeerTable } from './peer-table.js'
import { SecretRefusals } from './secret-refusals.js'
import { daemonSecrets, Keyring, OPEN_SECRET } from './secrets.js'
import { roleOf } from './secured-noise.js'
import { CLIENT_LINK_OPTIONS, StreamLink } from './stream-link.js'

export interface Libp2pNetworkDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly hlc: Hlc
  readonly privateKey: PrivateKey
  /** The secrets of each role. Default: the open secret, for peers that only their own machine reaches. */
  readonly keyring?: Keyring
  readonly metrics?: Metrics
}

export interface Libp2pNetworkOptions {
  /** Multiaddrs to listen on; port 0 takes a free port. */
  readonly listen: readonly string[]
  /** Addresses to give to other peers instead of those in `listen`. */
  readonly announce?: readonly string[]
  /** See PeerTableDeps. */
  readonly wireVersion?: number
  /** The id of the only ring that this peer may join. Default: any. */
  readonly ring?: string | undefined
}

/** For peers that are kept (Dialer). The caller of `dial` gives a timeout. */
const DIAL_TIMEOUT_MS = 5000
const NEGOTIATION_TIMEOUT_MS = 5000
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
  const node = await createLibp2p(peerOptions(privateKey, { clock, keyring, onRefused }, listen, announce))
  return new Libp2pNetwork(deps, node, refusals, options)
}

export class Libp2pNetwork implements Network {
  readonly peerId: PeerId
  private readonly deps: Libp2pNetworkDeps
  private readonly node: Libp2p<Services>
  private readonly refusals: SecretRefusals
  private readonly table: PeerTable
  private readonly dialer: Dialer
  /** Every open connection that has had one of our streams. */
  private readonly connections = new Map<Libp2pConnection, Connection>()
  private readonly clients = new Set<StreamLink>()
  private readonly rumorListeners: Array<(from: PeerId, rumor: Uint8Array) => void> = []
  private clientHandler: ClientHandler | undefined
  private topic: string | undefined
  private state: 'new' | 'started' | 'stopped' = 'new'

  constructor(
    deps: Libp2pNetworkDeps,
    node: Libp2p<Services>,
    refusals: SecretRefusals,
    { wireVersion, ring }: Libp2pNetworkOptions
  ) {
    const { clock, random, log, hlc, privateKey, metrics } = deps
    const self = peerIdOf(privateKey)
    this.deps = deps
    this.node = node
    this.refusals = refusals
    this.peerId = self
    this.table = new PeerTable({ clock, hlc, log, self, wireVersion, wantedRing: ring, metrics })
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
    node.addEventListener('connection:open', ({ detail }) => this.identify(detail))
    node.addEventListener('connection:close', ({ detail }) => this.disconnected(detail))
    node.services.gossip.addEventListener('message', ({ detail }) => {
      if (detail.topic === this.topic && detail.type === 'signed') this.rumored(detail.from, detail.data)
    })
  }

  addresses(): readonly string[] {
    return this.state === 'started' ? this.node.getMultiaddrs().map(String) : []
  }

  introduce(ringId: string, storeId: string): void {
    this.table.introduce(ringId, storeId)
    for (const client of this.clients) client.introduce(this.table.identity)
    if (this.state === 'started') this.listenToRumors()
  }

  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    this.table.request(to, stream, body, timeoutMs, done)
  }

  serve(stream: StreamClass, handler: RequestHandler): void {
    this.table.serve(stream, handler)
  }

  /** Serves clients, which belong to no ring. Set before `start`. */
  serveClients(handler: ClientHandler): void {
    this.clientHandler = handler
  }

  publish(rumor: Uint8Array): void {
    if (this.topic === undefined || this.state !== 'started' || rumor.length > RUMOR_BYTES_MAX) return
    this.node.services.gossip
      .publish(this.topic, rumor)
      .catch((thrown: unknown) => this.deps.log.debug({ err: thrown }, 'rumor not published'))
  }

  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void {
    this.rumorListeners.push(listener)
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

  async dial(address: string, timeoutMs: number, anew = false): Promise<PeerId> {
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
      if (error.code === 'UNREACHABLE') connection.abort(error)
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
    await this.node.handle(CLIENT_PROTOCOL, (bytes, connection) => tie(bytes, (end) => this.welcome(connection, end)), {
      maxInboundStreams: CLIENT_STREAMS_MAX
    })
    try {
      await this.node.start()
    } catch (thrown) {
      await this.node.stop()
      throw listenError(thrown)
    }
    this.state = 'started'
    this.listenToRumors()
    this.dialer.start()
  }

  async stop(): Promise<void> {
    if (this.state === 'stopped') return
    this.state = 'stopped'
    this.dialer.stop()
    this.table.stop()
    for (const client of [...this.clients]) client.close(new RingdError('STOPPED'))
    await this.node.stop()
  }

  /** Dials the addresses of one peer, one after the other. */
  private async connect(peerId: PeerId, addresses: readonly string[], anew: boolean): Promise<void> {
    let failure = new RingdError('UNREACHABLE', `no address of ${peerId}`)
    for (const address of addresses) {
      try {
        const [base] = address.split('/p2p/')
        await this.dial(`${base}/p2p/${peerId}`, DIAL_TIMEOUT_MS, anew)
        return
      } catch (thrown) {
        failure = toRingdError(thrown)
      }
    }
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
      connection.abort(error)
    } finally {
      timer.cancel()
    }
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
    const end: Connection = {
      peerId: connection.remotePeer.toString(),
      outgoing: connection.direction === 'outbound',
      abort: (error) => connection.abort(error)
    }
    this.connections.set(connection, end)
    return end
  }

  private disconnected(connection: Libp2pConnection): void {
    const end = this.connections.get(connection)
    if (end === undefined) return
    this.connections.delete(connection)
    this.table.disconnected(end, 'the connection was closed')
  }

  private welcome(connection: Libp2pConnection, end: ConstructorParameters<typeof StreamLink>[3]): StreamLink {
    const handler = this.clientHandler
    const right = roleOf(connection)
    if (right === undefined || right === 'member')
      throw new RingdError('NOT_ALLOWED', 'members send no client requests')
    if (handler === undefined || this.state !== 'started') throw new RingdError('NOT_SERVING')
    const link = new StreamLink(
      this.deps,
      connection.remotePeer.toString(),
      this.table.identity,
      end,
      (_from, body, respond) => handler(right, body, respond),
      { greeted() {}, closed: (closed) => void this.clients.delete(closed) },
      CLIENT_LINK_OPTIONS
    )
    this.clients.add(link)
    return link
  }

  private listenToRumors(): void {
    const { gossip } = this.node.services
    const { ringId } = this.table.identity
    const topic = ringId === '' ? undefined : rumorTopic(ringId)
    if (topic === this.topic) return
    if (this.topic !== undefined) gossip.unsubscribe(this.topic)
    if (topic !== undefined) gossip.subscribe(topic)
    this.topic = topic
  }

  private rumored(from: Libp2pPeerId, rumor: Uint8Array): void {
    if (this.state !== 'started' || rumor.length > RUMOR_BYTES_MAX) return
    const peerId = from.toString()
    for (const listener of this.rumorListeners) {
      try {
        listener(peerId, rumor)
      } catch (thrown) {
        this.deps.log.error({ peer: peerId, err: thrown }, 'rumor listener failed')
      }
    }
  }
}
