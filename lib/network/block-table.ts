// The block streams of all connections: who may open one, how many there may be, and their end with the link.
// PeerTable tells which connection is that of a peer that is up, and when that ends.
// Invariants: at most two streams of a connection in each direction, and 64 that other peers opened; no stream outlives
// the link with which it was opened. A stream counts until its byte stream has ended.
import type { Clock } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Counter } from '../metrics.js'
import { BlockLink } from './block-stream.js'
import type { ByteBudget } from './byte-budget.js'
import type { ByteStream, ByteStreamUser } from './link-options.js'
import type { BlockStream, Link } from './network.js'

/** Of one connection, in each direction. */
export const BLOCK_STREAMS_MAX = 2
/** That other peers opened, over all connections. */
export const SERVED_BLOCK_STREAMS_MAX = 64

/** The part of a connection that opens byte streams for blocks. */
export interface BlockConnection {
  /**
   * Opens one more byte stream, and calls `attach` once when the other end has agreed. Resolves then; rejects when
   * there is no stream, and soon after `signal` is aborted. When `attach` throws, the byte stream is aborted.
   */
  openBlocks(attach: (bytes: ByteStream) => ByteStreamUser, signal: AbortSignal): Promise<void>
}

/** A connection with a peer that is up. */
export interface BlockPeer {
  readonly connection: BlockConnection
  readonly link: Link
}

export interface BlockTableDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly budget: ByteBudget
  readonly received: Counter
}

type Direction = 'opened' | 'served'

interface Streams {
  readonly links: Set<BlockLink>
  /** Each ends one attempt to open a stream. */
  readonly attempts: Set<(error: RingdError) => void>
  /** How many there are, with those that are about to be opened or are about to end. */
  readonly counts: Record<Direction, number>
}

export class BlockTable {
  private readonly deps: BlockTableDeps
  private readonly streams = new Map<BlockConnection, Streams>()
  private served = 0
  private service: { readonly heldBytesMax: number; readonly handler: (stream: BlockStream) => void } | undefined

  constructor(deps: BlockTableDeps) {
    this.deps = deps
  }

  serve(heldBytesMax: number, handler: (stream: BlockStream) => void): void {
    this.service = { heldBytesMax, handler }
  }

  /** See Network.openBlocks. `find` gives the connection, or throws. */
  async open(find: () => BlockPeer, heldBytesMax: number, timeoutMs: number): Promise<BlockStream> {
    const { clock } = this.deps
    // Streams that were aborted in this turn end with it, before the other end hears of a new one.
    await new Promise<void>((resolve) => clock.defer(resolve))
    const { connection, link } = find()
    const streams = this.streamsOf(connection)
    if (streams.counts.opened >= BLOCK_STREAMS_MAX) {
      throw new RingdError('OVERLOADED', `${BLOCK_STREAMS_MAX} block streams to ${link.peerId} are open`)
    }
    streams.counts.opened++
    return new Promise((resolve, reject) => {
      const abort = new AbortController()
      let isOver = false
      const end = (): void => {
        isOver = true
        timer.cancel()
        streams.attempts.delete(fail)
      }
      const fail = (error: RingdError): void => {
        if (isOver) return
        end()
        this.leave(connection, streams, 'opened')
        abort.abort(error)
        reject(error)
      }
      const timer = clock.after(timeoutMs, () =>
        fail(new RingdError('TIMEOUT', `${link.peerId} opened no block stream within ${timeoutMs} ms`))
      )
      streams.attempts.add(fail)
      const attach = (bytes: ByteStream): BlockLink => {
        if (isOver) throw new RingdError('UNREACHABLE', 'the block stream is not wanted any more')
        end()
        const opened = this.join(connection, streams, 'opened', link, bytes, heldBytesMax)
        resolve(opened)
        return opened
      }
      connection.openBlocks(attach, abort.signal).then(
        () => fail(new RingdError('UNREACHABLE', 'there is no block stream')),
        (thrown: unknown) => fail(openError(thrown))
      )
    })
  }

  /** The peer at the other end of the connection opened a stream. Throws NOT_SERVING or OVERLOADED. */
  accept({ connection, link }: BlockPeer, bytes: ByteStream): BlockLink {
    const { clock, log } = this.deps
    const { service } = this
    if (service === undefined) throw new RingdError('NOT_SERVING')
    const { served = 0 } = this.streams.get(connection)?.counts ?? {}
    if (served >= BLOCK_STREAMS_MAX || this.served >= SERVED_BLOCK_STREAMS_MAX) {
      throw new RingdError('OVERLOADED', 'too many block streams are open')
    }
    const streams = this.streamsOf(connection)
    streams.counts.served++
    this.served++
    const accepted = this.join(connection, streams, 'served', link, bytes, service.heldBytesMax)
    clock.defer(() => {
      if (accepted.closed) return
      try {
        service.handler(accepted)
      } catch (thrown) {
        log.error({ peer: link.peerId, err: thrown }, 'block stream handler failed')
        accepted.abort(toRingdError(thrown))
      }
    })
    return accepted
  }

  /** The link of the connection ends, or its other end becomes another member: all its block streams end. */
  end(connection: BlockConnection, error: RingdError): void {
    const streams = this.streams.get(connection)
    if (streams === undefined) return
    for (const fail of [...streams.attempts]) fail(error)
    for (const link of [...streams.links]) link.abort(error)
  }

  private join(
    connection: BlockConnection,
    streams: Streams,
    direction: Direction,
    from: Link,
    bytes: ByteStream,
    heldBytesMax: number
  ): BlockLink {
    const { clock, budget, received } = this.deps
    const link: BlockLink = new BlockLink(clock, from, bytes, {
      heldBytesMax,
      received,
      budget,
      closed: () => {
        streams.links.delete(link)
        this.leave(connection, streams, direction)
      }
    })
    streams.links.add(link)
    return link
  }

  private leave(connection: BlockConnection, { counts }: Streams, direction: Direction): void {
    counts[direction]--
    if (direction === 'served') this.served--
    if (counts.opened + counts.served === 0) this.streams.delete(connection)
  }

  private streamsOf(connection: BlockConnection): Streams {
    const known = this.streams.get(connection)
    if (known !== undefined) return known
    const streams: Streams = { links: new Set(), attempts: new Set(), counts: { opened: 0, served: 0 } }
    this.streams.set(connection, streams)
    return streams
  }
}

function openError(thrown: unknown): RingdError {
  if (thrown instanceof RingdError) return thrown
  return new RingdError('UNREACHABLE', `no block stream: ${toRingdError(thrown).message}`, { cause: thrown })
}
