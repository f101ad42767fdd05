// The connections of each peer, and which peers are up: the part that all adapters of Network share.
// An adapter reports connections and streams. The table sends hellos on them, routes requests, and reports the peers
// that come up and go down.
// Invariants: a peer is up while one connection with it has a hello on all classes; when there are two connections,
// both ends send requests over the one that the lower peer id dialled; one broken link ends its connection.
import { fromHex } from '../bytes.js'
import type { Timer } from '../clock.js'
import { type ErrorCode, RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import { type Counter, type Metrics, noMetrics } from '../metrics.js'
import { type BlockConnection, type BlockPeer, BlockTable } from './block-table.js'
import { ByteBudget, MEMBER_BUDGET } from './byte-budget.js'
import { type Identity, NOBODY } from './hello.js'
import { type Instance, isLater, NO_INSTANCE } from './instances.js'
import type { ByteStream, ByteStreamUser, LinkDeps, LinkOptions } from './link-options.js'
import type { Answer, Body, Link, Network, PeerEvent, RequestHandler, StreamClass } from './network.js'
import { STREAM_CLASSES, WIRE_VERSION } from './network.js'
import { CONTROL_PACKET_BYTES_MAX, VALUE_PACKET_BYTES_MAX } from './packet-writer.js'
import { pendingError } from './refusals.js'
import { type LinkOwner, StreamLink } from './stream-link.js'
import type { Me } from './wire.js'

/** One secured connection, as its adapter knows it. */
export interface Connection extends BlockConnection {
  /** The peer at the other end; it has proved that it has the key of this id. */
  readonly peerId: PeerId
  /** True when this side dialled. */
  readonly outgoing: boolean
  /** Ends it now, with all its streams. */
  abort(error: RingdError): void
}

export interface PeerTableDeps extends LinkDeps {
  readonly self: PeerId
  /** The version in this peer's hellos. Default WIRE_VERSION; another one is for tests of refusals. */
  readonly wireVersion?: number | undefined
  /** See Identity. */
  readonly wantedRing?: string | undefined
  readonly instance?: Instance | undefined
  readonly expects?: number | undefined
  readonly metrics?: Metrics | undefined
}

/** A member sends a few in a second; an exchange of knowledge takes about 1 ms to answer. */
const CONTROL_REQUESTS_PER_SECOND = 200

export const LINK_OPTIONS: Readonly<Record<StreamClass, LinkOptions>> = {
  control: {
    packetBytesMax: CONTROL_PACKET_BYTES_MAX,
    ringRequired: false,
    requestsPerSecond: CONTROL_REQUESTS_PER_SECOND
  },
  operations: { packetBytesMax: VALUE_PACKET_BYTES_MAX, ringRequired: true },
  bulk: { packetBytesMax: VALUE_PACKET_BYTES_MAX, ringRequired: true }
}

/** From the first stream of a connection until all its streams have a hello. */
const GREETING_TIMEOUT_MS = 5000
/** The time for a refusal to reach the other end before the connection is aborted. */
const FAREWELL_MS = 250

/** For a process that may have ended, on a connection that does not show it. */
const WHO_TIMEOUT_MS = 3000
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['WRONG_RING', 'WRONG_VERSION', 'IDENTITY_TWICE'])

interface Session {
  readonly connection: Connection
  readonly links: Map<StreamClass, StreamLink>
  readonly timer: Timer
  /** The other end, once the hellos on all links agree. */
  remote: Link | undefined
  ended: boolean
}

interface Peer {
  /** In the order in which they began. */
  readonly sessions: Session[]
  /** The session that carries requests: it has all hellos, and both ends prefer it. */
  current: Session | undefined
  /** The link that listeners know; undefined while the peer is down. */
  told: Link | undefined
}

type Waiter = (error: RingdError | undefined) => void

export class PeerTable {
  private readonly deps: PeerTableDeps
  private readonly linkOptions: Readonly<Record<StreamClass, LinkOptions>>
  private readonly peers = new Map<PeerId, Peer>()
  private readonly handlers = new Map<StreamClass, RequestHandler>()
  private readonly listeners: Array<(event: PeerEvent) => void> = []
  private readonly waiters = new Map<PeerId, Set<Waiter>>()
  private readonly budget = new ByteBudget(MEMBER_BUDGET)
  private readonly received: ReadonlyMap<StreamClass, Counter>
  private readonly blocks: BlockTable
  private self: Identity
  private stopped = false

  constructor(deps: PeerTableDeps, linkOptions = LINK_OPTIONS) {
    this.deps = deps
    const { metrics = noMetrics } = deps
    const counter = (stream: StreamClass | 'pull') =>
      metrics.counter('ringd_network_received_bytes', 'bytes that other peers sent on our streams', { stream })
    this.received = new Map(STREAM_CLASSES.map((stream) => [stream, counter(stream)]))
    const { clock, log } = deps
    this.blocks = new BlockTable({ clock, log, budget: this.budget, received: counter('pull') })
    const { wireVersion = WIRE_VERSION, wantedRing, instance = NO_INSTANCE, expects = 0 } = deps
    this.self = { ...NOBODY, wireVersion, wantedRing, instance, expects }
    this.linkOptions = linkOptions
  }

  /** The identity in this peer's hellos. */
  get identity(): Identity {
    return this.self
  }

  /** Bytes that the links of all peers hold. */
  get heldBytes(): number {
    return this.budget.bytes
  }

  // ---- methods of Network that adapters pass on ----

  serve: Network['serve'] = (stream, handler) => void this.handlers.set(stream, handler)

  onPeer: Network['onPeer'] = (listener) => void this.listeners.push(listener)

  link: Network['link'] = (peerId) => this.peers.get(peerId)?.told

  serveBlocks: Network['serveBlocks'] = (heldBytesMax, handler) => this.blocks.serve(heldBytesMax, handler)

  openBlocks: Network['openBlocks'] = (to, heldBytesMax, timeoutMs) =>
    this.blocks.open(() => this.blockPeer(this.peers.get(to)?.current, to), heldBytesMax, timeoutMs)

  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    const link = this.peers.get(to)?.current?.links.get(stream)
    if (link !== undefined) link.request(body, timeoutMs, done)
    else this.deps.clock.defer(() => done(this.stopped ? new RingdError('STOPPED') : noLink(to)))
  }

  introduce(ringId: string, storeId: string): void {
    const isOther = ringId !== this.self.ringId || storeId !== this.self.storeId
    this.self = { ...this.self, ringId, storeId }
    for (const { sessions } of [...this.peers.values()]) {
      for (const session of [...sessions]) {
        if (isOther) this.blocks.end(session.connection, otherMember())
        for (const link of [...session.links.values()]) link.introduce(this.self)
      }
    }
  }

  /** Ends every link. Pending requests fail with STOPPED. Listeners get no `down` events. */
  stop(): void {
    if (this.stopped) return
    this.stopped = true
    const error = new RingdError('STOPPED')
    for (const { sessions } of [...this.peers.values()]) for (const session of [...sessions]) this.end(session, error)
    for (const set of [...this.waiters.values()]) for (const waiter of [...set]) waiter(error)
  }

  // ---- reports of adapters ----

  /**
   * A stream of a connection is open; sends a hello on it. Throws BAD_MESSAGE for a second one of its class, or
   * STOPPED.
   */
  attach(connection: Connection, stream: StreamClass, bytes: ByteStream): StreamLink {
    if (this.stopped) throw new RingdError('STOPPED')
    const session = this.sessionOf(connection)
    if (session.links.has(stream)) throw new RingdError('BAD_MESSAGE', `the connection has a second ${stream} stream`)
    const owner: LinkOwner = {
      greeted: () => this.greeted(session),
      closed: (_link, error) => this.end(session, error)
    }
    const handler: RequestHandler = (from, body, respond) => {
      const serving = this.handlers.get(stream)
      if (serving === undefined) respond(new RingdError('NOT_SERVING'))
      else serving(from, body, respond)
    }
    const { peerId } = connection
    const options = { ...this.linkOptions[stream], received: this.received.get(stream)!, budget: this.budget }
    const link = new StreamLink(this.deps, peerId, this.self, bytes, handler, owner, options)
    session.links.set(stream, link)
    return link
  }

  /**
   * The other end opened a block stream; `connection` is undefined when it has had no other one. Throws UNREACHABLE,
   * OVERLOADED, NOT_SERVING, or STOPPED.
   */
  attachBlocks(connection: Connection | undefined, bytes: ByteStream): ByteStreamUser {
    const { peerId = 'a peer without other streams' } = connection ?? {}
    const session = this.peers.get(peerId)?.sessions.find((one) => one.connection === connection)
    return this.blocks.accept(this.blockPeer(session, peerId), bytes)
  }

  /** The other end of a session, for block streams: it has all hellos, and both ends belong to the ring. */
  private blockPeer(session: Session | undefined, peerId: PeerId): BlockPeer {
    if (this.stopped) throw new RingdError('STOPPED')
    if (session?.remote === undefined) throw noLink(peerId)
    const { connection, remote: link } = session
    if (link.ringId !== '' && this.self.ringId !== '') return { connection, link }
    throw new RingdError('UNREACHABLE', `this peer or ${peerId} belongs to no ring yet`)
  }

  /** The connection was closed. */
  disconnected(connection: Connection, reason: string): void {
    const session = this.peers.get(connection.peerId)?.sessions.find((one) => one.connection === connection)
    if (session !== undefined) this.end(session, new RingdError('UNREACHABLE', reason))
  }

  /** The streams of a connection could not be opened. */
  refused(connection: Connection, error: RingdError): void {
    this.end(this.sessionOf(connection), error)
  }

  /**
   * Resolves when the peer is up. Throws its refusal, or UNREACHABLE after the timeout or when its last connection
   * ends.
   */
  whenUp(peerId: PeerId, timeoutMs: number): Promise<void> {
    if (this.link(peerId) !== undefined) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (error) => {
        timer.cancel()
        this.waitersOf(peerId).delete(waiter)
        if (error === undefined) resolve()
        else reject(error)
      }
      const timer = this.deps.clock.after(timeoutMs, () =>
        waiter(new RingdError('UNREACHABLE', `the peer was not up within ${timeoutMs} ms`))
      )
      this.waitersOf(peerId).add(waiter)
    })
  }

  // ---- sessions ----

  private sessionOf(connection: Connection): Session {
    const { peerId } = connection
    let peer = this.peers.get(peerId)
    if (peer === undefined) {
      peer = { sessions: [], current: undefined, told: undefined }
      this.peers.set(peerId, peer)
    }
    const existing = peer.sessions.find((session) => session.connection === connection)
    if (existing !== undefined) return existing
    const timer = this.deps.clock.after(GREETING_TIMEOUT_MS, () =>
      this.end(session, new RingdError('UNREACHABLE', `not all streams were greeted within ${GREETING_TIMEOUT_MS} ms`))
    )
    const session: Session = { connection, links: new Map(), timer, remote: undefined, ended: false }
    peer.sessions.push(session)
    return session
  }

  /** A hello arrived on one of the links. When it was the last missing one, the session can be used. */
  private greeted(session: Session): void {
    const remotes = STREAM_CLASSES.map((stream) => session.links.get(stream)?.remote)
    const first = remotes[0]
    if (first === undefined || !remotes.every((remote) => sameLink(remote, first))) return
    session.timer.cancel()
    if (!sameLink(session.remote, first)) this.blocks.end(session.connection, otherMember())
    session.remote = first
    const peer = this.peers.get(first.peerId)!
    // A peer dials again only when its former connection is dead, so the older ones in this direction are replaced.
    const { outgoing } = session.connection
    const others = peer.sessions.filter((other) => other !== session && other.remote !== undefined)
    this.choose(first.peerId, peer, '')
    for (const other of others) {
      if (isOtherProcess(other, session)) this.askTwins(other, session)
      else if (other.connection.outgoing === outgoing) this.end(other, replaced())
    }
  }

  /**
   * The newer session is of another process than the older one. Either the peer was started again, and the older
   * process answers no more; or both run, each with the key of the peer. Then both are told, and the connection of the
   * later one ends.
   */
  private askTwins(older: Session, newer: Session): void {
    this.askWho(older, newer, (first) => {
      if (older.ended) return
      if (first === undefined) return this.end(older, replaced())
      if (newer.ended) return
      this.askWho(newer, older, (second) => {
        if (older.ended || newer.ended) return
        newer.links.get('control')!.request({ twin: { other: first } }, WHO_TIMEOUT_MS, () => {})
        if (second !== undefined)
          older.links.get('control')!.request({ twin: { other: second } }, WHO_TIMEOUT_MS, () => {})
        const later = isLater(newer.remote!.instance!, older.remote!.instance!) ? newer : older
        const { peerId } = later.connection
        this.end(later, new RingdError('IDENTITY_TWICE', `two processes run with the identity of peer ${peerId}`))
      })
    })
  }

  /** Undefined: the process at the other end of the session does not answer, or knows no such question. */
  private askWho(session: Session, other: Session, done: (me: Me | undefined) => void): void {
    const challenge = new Uint8Array(fromHex(other.remote!.instance!.id))
    session.links
      .get('control')!
      .request({ who: { challenge } }, WHO_TIMEOUT_MS, (answer) =>
        done(answer instanceof RingdError ? undefined : answer.me)
      )
  }

  private end(session: Session, error: RingdError): void {
    if (session.ended) return
    session.ended = true
    session.timer.cancel()
    const { peerId } = session.connection
    const peer = this.peers.get(peerId)!
    peer.sessions.splice(peer.sessions.indexOf(session), 1)
    this.blocks.end(session.connection, pendingError(error))
    for (const link of session.links.values()) link.close(error)
    const refused = REFUSALS.has(error.code)
    if (refused) this.deps.clock.after(FAREWELL_MS, () => session.connection.abort(error))
    else session.connection.abort(error)
    if (peer.sessions.length === 0) this.peers.delete(peerId)
    if (this.stopped) return
    if (refused) this.tell({ type: 'refused', peerId, error })
    this.choose(peerId, peer, error.message)
    if (refused || peer.sessions.length === 0) this.wake(peerId, error)
  }

  /** Chooses the connection for requests, and tells listeners when the peer came up, changed or went down. */
  private choose(peerId: PeerId, peer: Peer, reason: string): void {
    const outgoing = this.deps.self < peerId
    const greeted = peer.sessions.filter((session) => session.remote !== undefined)
    peer.current = greeted.findLast((session) => session.connection.outgoing === outgoing) ?? greeted.at(-1)
    const remote = peer.current?.remote
    if (remote === undefined) {
      if (peer.told === undefined) return
      peer.told = undefined
      this.tell({ type: 'down', peerId, reason })
    } else if (peer.told === undefined || !sameLink(peer.told, remote)) {
      peer.told = remote
      this.tell({ type: 'up', link: remote })
      this.wake(peerId, undefined)
    }
  }

  private waitersOf(peerId: PeerId): Set<Waiter> {
    const waiters = this.waiters.get(peerId) ?? new Set()
    this.waiters.set(peerId, waiters)
    return waiters
  }

  private wake(peerId: PeerId, error: RingdError | undefined): void {
    const waiters = this.waiters.get(peerId)
    this.waiters.delete(peerId)
    if (waiters !== undefined) for (const waiter of [...waiters]) waiter(error)
  }

  private tell(event: PeerEvent): void {
    for (const listener of this.listeners) {
      try {
        listener(event)
      } catch (thrown) {
        this.deps.log.error({ event: event.type, err: thrown }, 'peer listener failed')
      }
    }
  }
}

function sameLink(one: Link | undefined, other: Link): boolean {
  if (one === undefined || one.instance?.id !== other.instance?.id) return false
  return one.ringId === other.ringId && one.storeId === other.storeId
}

/** Whether two processes are at the other ends. Unknown when one of them names no instance. */
function isOtherProcess(one: Session, other: Session): boolean {
  const [first, second] = [one.remote?.instance?.id ?? '', other.remote?.instance?.id ?? '']
  return first !== '' && second !== '' && first !== second
}

function otherMember(): RingdError {
  return new RingdError('UNREACHABLE', 'the peers have introduced themselves anew')
}

function replaced(): RingdError {
  return new RingdError('UNREACHABLE', 'replaced by a newer connection')
}

function noLink(peerId: PeerId): RingdError {
  return new RingdError('UNREACHABLE', `no link to ${peerId}`)
}
