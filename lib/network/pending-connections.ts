// The connections of strangers: from the first packet of TCP until the handshake is done. They are bounded apart from
// the admitted ones, in number and in bytes, so that mute connections keep nobody out.
// Invariant: a new connection is never refused. When there are too many, one that waits goes: of the address with the
// most, the oldest that has sent nothing, or else the oldest.
import type { ConnectionGater, MultiaddrConnection } from '@libp2p/interface'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import { KiB } from '../limits.js'
import { type Counter, type Gauge, type Metrics, noMetrics } from '../metrics.js'

export interface PendingLimits {
  readonly connectionsMax: number
  /** A handshake, the choice of a muxer and the first frames are a few KiB. */
  readonly bytesMax: number
}

const LIMITS: PendingLimits = { connectionsMax: 512, bytesMax: 64 * KiB }

/** The limits with another number of connections. */
export function pendingLimits(connectionsMax = LIMITS.connectionsMax): PendingLimits {
  return { ...LIMITS, connectionsMax }
}

/** A connection that is not admitted yet. */
export interface PendingConnection {
  /** Host of the other end. */
  readonly host: string
  /** Bytes that it has sent. */
  received(): number
  abort(error: RingdError): void
}

export class PendingConnections {
  private readonly limits: PendingLimits
  private readonly dropped: Counter
  private readonly waiting: Gauge
  /** In the order of their arrival. */
  private readonly hosts = new Map<string, Set<PendingConnection>>()
  private count = 0

  constructor(metrics: Metrics = noMetrics, limits: PendingLimits = LIMITS) {
    this.limits = limits
    const help = 'connections that were closed before their handshake, because too many waited or sent too much'
    this.dropped = metrics.counter('ringd_network_dropped_connections', help)
    this.waiting = metrics.gauge('ringd_network_pending_connections', 'connections whose handshake is not done')
    this.waiting.set(0)
  }

  get size(): number {
    return this.count
  }

  add(connection: PendingConnection): void {
    const ofHost = this.hosts.get(connection.host) ?? new Set()
    this.hosts.set(connection.host, ofHost)
    if (ofHost.has(connection)) return
    ofHost.add(connection)
    this.waiting.set(++this.count)
    if (this.count > this.limits.connectionsMax) this.drop(this.leastUseful(), 'too many connections wait')
  }

  /** The connection was admitted or has ended. */
  remove(connection: PendingConnection): void {
    const ofHost = this.hosts.get(connection.host)
    if (ofHost?.delete(connection) !== true) return
    this.waiting.set(--this.count)
    if (ofHost.size === 0) this.hosts.delete(connection.host)
  }

  /** Call it when the connection has received bytes. */
  check(connection: PendingConnection): void {
    if (connection.received() > this.limits.bytesMax) this.drop(connection, 'too many bytes before the handshake')
  }

  private drop(connection: PendingConnection, reason: string): void {
    this.dropped.add(1)
    this.remove(connection)
    connection.abort(new RingdError('OVERLOADED', reason))
  }

  private leastUseful(): PendingConnection {
    let most: Set<PendingConnection> | undefined
    for (const ofHost of this.hosts.values()) if (most === undefined || ofHost.size > most.size) most = ofHost
    let oldest: PendingConnection | undefined
    for (const connection of most!) {
      if (connection.received() === 0) return connection
      oldest ??= connection
    }
    return oldest!
  }
}

/** The part of a socket that is counted. */
interface RawSocket {
  readonly bytesRead: number
  on(event: 'data', listener: () => void): void
  off(event: 'data', listener: () => void): void
}

/** Tells `pending` of the inbound connections of a libp2p node. It denies none. */
export function pendingGater(pending: PendingConnections, clock: Clock): ConnectionGater {
  const known = new WeakMap<MultiaddrConnection, () => void>()
  return {
    denyInboundConnection(raw) {
      // A listener of the connection itself would take its first bytes from the handshake, which listens later.
      const { socket } = raw as MultiaddrConnection & { readonly socket?: RawSocket }
      const connection: PendingConnection = {
        host: raw.remoteAddr.getComponents()[0]?.value ?? '',
        received: () => socket?.bytesRead ?? 0,
        // Not now: the connection may be delivering an event.
        abort: (error) => clock.defer(() => raw.abort(error))
      }
      const onData = (): void => pending.check(connection)
      const done = (): void => {
        socket?.off('data', onData)
        pending.remove(connection)
      }
      known.set(raw, done)
      raw.addEventListener('close', done)
      socket?.on('data', onData)
      pending.add(connection)
      return false
    },
    denyInboundUpgradedConnection(_peerId, raw) {
      known.get(raw)?.()
      return false
    }
  }
}
