// One connection of the in-memory hub: two ends, and for each class of streams one pipe in each direction. A pipe keeps
// the order of its packets, and makes its sender wait when a window of bytes is under way, like a socket.

import type { Clock } from '../../../lib/clock.js'
import type { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import type { ByteStream } from '../../../lib/network/link-options.js'
import { STREAM_CLASSES, type StreamClass } from '../../../lib/network/network.js'
import type { Connection, PeerTable } from '../../../lib/network/peer-table.js'
import type { StreamLink } from '../../../lib/network/stream-link.js'

/** The medium between two ends: how long bytes take, how many may be under way, and what is cut. */
export interface PipeMedium {
  readonly clock: Clock
  readonly windowBytes: number
  delayMs(from: PeerId, to: PeerId): number
  /** The time that must pass between two packets to a reader. */
  gapMs(to: PeerId): number
  isBlocked(from: PeerId, to: PeerId, stream: StreamClass): boolean
  onDelivery: ((from: PeerId, to: PeerId, stream: StreamClass, bytes: Uint8Array) => void) | undefined
}

/** The node at an end. */
export interface PipeNode {
  readonly peerId: PeerId
  readonly clock: Clock
  readonly table: Pick<PeerTable, 'attach' | 'disconnected'>
}

/** Bytes, or the end of the connection. */
type Item = { readonly at: number; readonly bytes: Uint8Array | undefined }

/** One direction of one stream. */
class Pipe implements ByteStream {
  private readonly hub: PipeMedium
  private readonly source: End
  private readonly target: End
  private readonly stream: StreamClass
  private queue: Item[] = []
  private queuedBytes = 0
  private lastAt = 0
  private full = false
  /** The reader does not read for now. */
  readerPaused = false

  constructor(hub: PipeMedium, source: End, target: End, stream: StreamClass) {
    this.hub = hub
    this.source = source
    this.target = target
    this.stream = stream
  }

  send(bytes: Uint8Array): boolean {
    if (this.source.isClosed) return false
    this.put(bytes)
    this.queuedBytes += bytes.length
    this.full = this.queuedBytes >= this.hub.windowBytes
    return !this.full
  }

  put(bytes: Uint8Array | undefined): void {
    const delayMs = this.hub.delayMs(this.source.owner, this.target.owner)
    const free = this.lastAt + this.hub.gapMs(this.target.owner)
    this.lastAt = Math.max(free, this.hub.clock.elapsed() + delayMs)
    this.queue.push({ at: this.lastAt, bytes })
    this.hub.clock.after(this.lastAt - this.hub.clock.elapsed(), () => this.pump())
  }

  pause(): void {
    this.source.opposite(this.stream).readerPaused = true
  }

  resume(): void {
    const incoming = this.source.opposite(this.stream)
    incoming.readerPaused = false
    incoming.pump()
  }

  close(): void {}

  abort(): void {}

  get bytes(): number {
    return this.queuedBytes
  }

  /** The bytes under way are lost. */
  drop(): void {
    this.queue = []
  }

  /** Delivers the packets that are due and not blocked. */
  pump(): void {
    while (this.queue.length > 0 && this.queue[0]!.at <= this.hub.clock.elapsed()) {
      if (this.target.isClosed || this.hub.isBlocked(this.source.owner, this.target.owner, this.stream)) return
      const { bytes } = this.queue[0]!
      if (bytes !== undefined && this.readerPaused) return
      this.queue.shift()
      if (bytes === undefined) {
        this.target.closed()
        return
      }
      this.queuedBytes -= bytes.length
      this.hub.onDelivery?.(this.source.owner, this.target.owner, this.stream, bytes)
      this.target.links.get(this.stream)?.received(bytes)
      if (this.full && this.queuedBytes <= this.hub.windowBytes / 2) {
        this.full = false
        if (!this.source.isClosed) this.source.links.get(this.stream)?.drained()
      }
    }
  }
}

export class End implements Connection {
  readonly owner: PeerId
  readonly peerId: PeerId
  readonly outgoing: boolean
  readonly links = new Map<StreamClass, StreamLink>()
  /** Nothing reaches or leaves this end any more. */
  isClosed = false
  private hasVanished = false
  onClosed: () => void = () => {}
  private readonly network: PipeNode
  private readonly pipes = new Map<StreamClass, Pipe>()
  private other: End | undefined

  constructor(network: PipeNode, peerId: PeerId, outgoing: boolean) {
    this.network = network
    this.owner = network.peerId
    this.peerId = peerId
    this.outgoing = outgoing
  }

  join(hub: PipeMedium, other: End): void {
    this.other = other
    for (const stream of STREAM_CLASSES) this.pipes.set(stream, new Pipe(hub, this, other, stream))
  }

  /** Sends a hello on every stream. */
  open(): void {
    for (const [stream, pipe] of this.pipes) {
      if (this.isClosed) return
      this.links.set(stream, this.network.table.attach(this, stream, pipe))
    }
  }

  /** The pipe that brings bytes to this end. */
  opposite(stream: StreamClass): Pipe {
    return this.other!.pipes.get(stream)!
  }

  /** Pumps both directions: what an end sent before it closed still arrives. */
  pump(): void {
    for (const pipe of this.pipes.values()) pipe.pump()
    for (const pipe of this.other!.pipes.values()) pipe.pump()
  }

  /** Bytes that this end has sent and that have not arrived. */
  get queuedBytes(): number {
    let bytes = 0
    for (const pipe of this.pipes.values()) bytes += pipe.bytes
    return bytes
  }

  /** The connection breaks: what this end has sent and what has not arrived is lost. */
  tear(): void {
    for (const pipe of this.pipes.values()) pipe.drop()
    this.lose('connection reset')
  }

  /** This end is lost, and the other end does not notice. */
  vanish(): void {
    if (!this.isClosed) this.hasVanished = true
    this.lose('connection lost')
  }

  /** Notices that the other end has vanished, if it has. */
  exposed(): void {
    if (this.other!.hasVanished) this.lose('connection lost')
  }

  /** Closes the connection; the other end notices after it has received everything that was sent. */
  abort(_error: RingdError): void {
    if (this.isClosed) return
    this.leave()
    this.network.table.disconnected(this, 'connection closed')
  }

  /** The process has ended: its peer table is not updated. */
  die(): void {
    if (!this.isClosed) this.leave()
  }

  /** The other end has closed. */
  closed(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.onClosed()
    this.network.table.disconnected(this, 'connection closed by the peer')
  }

  /** The process notices when it runs: not while it is paused, and never when it has ended. */
  private lose(reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    this.onClosed()
    this.network.clock.defer(() => this.network.table.disconnected(this, reason))
  }

  private leave(): void {
    this.isClosed = true
    this.onClosed()
    for (const pipe of this.pipes.values()) pipe.put(undefined)
  }
}

export function connectEnds(hub: PipeMedium, from: PipeNode, to: PipeNode): [dialled: End, accepted: End] {
  const dialled = new End(from, to.peerId, true)
  const accepted = new End(to, from.peerId, false)
  dialled.join(hub, accepted)
  accepted.join(hub, dialled)
  return [dialled, accepted]
}
