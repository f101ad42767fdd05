// One connection of the in-memory hub: two ends, and per class of streams a pipe each way that keeps its order.
// A pipe holds at most a window of bytes before its sender is told to wait, like a socket.
import type { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import { STREAM_CLASSES, type StreamClass } from '../../../lib/network/network.js'
import type { Connection } from '../../../lib/network/peer-table.js'
import type { ByteStream, StreamLink } from '../../../lib/network/stream-link.js'
import type { MemoryHub, MemoryNetwork } from './memory-network.js'

/** Bytes, or the end of the connection. */
type Item = { readonly at: number; readonly bytes: Uint8Array | undefined }

/** One direction of one stream. */
class Pipe implements ByteStream {
  private readonly hub: MemoryHub
  private readonly source: End
  private readonly target: End
  private readonly stream: StreamClass
  private queue: Item[] = []
  private queuedBytes = 0
  private lastAt = 0
  private full = false
  /** The reader asked for nothing more. */
  readerPaused = false

  constructor(hub: MemoryHub, source: End, target: End, stream: StreamClass) {
    this.hub = hub
    this.source = source
    this.target = target
    this.stream = stream
  }

  send(bytes: Uint8Array): boolean {
    if (this.source.gone) return false
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

  /** What is under way never arrives. */
  drop(): void {
    this.queue = []
  }

  /** Hands over what is due and not held up. */
  pump(): void {
    while (this.queue.length > 0 && this.queue[0]!.at <= this.hub.clock.elapsed()) {
      if (this.target.gone || this.hub.isBlocked(this.source.owner, this.target.owner, this.stream)) return
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
        if (!this.source.gone) this.source.links.get(this.stream)?.drained()
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
  gone = false
  private hasVanished = false
  onGone: () => void = () => {}
  private readonly network: MemoryNetwork
  private readonly pipes = new Map<StreamClass, Pipe>()
  private other: End | undefined

  constructor(network: MemoryNetwork, peerId: PeerId, outgoing: boolean) {
    this.network = network
    this.owner = network.peerId
    this.peerId = peerId
    this.outgoing = outgoing
  }

  join(hub: MemoryHub, other: End): void {
    this.other = other
    for (const stream of STREAM_CLASSES) this.pipes.set(stream, new Pipe(hub, this, other, stream))
  }

  /** Says hello on every stream. */
  open(): void {
    for (const [stream, pipe] of this.pipes) {
      if (this.gone) return
      this.links.set(stream, this.network.table.attach(this, stream, pipe))
    }
  }

  /** The pipe that brings bytes to this end. */
  opposite(stream: StreamClass): Pipe {
    return this.other!.pipes.get(stream)!
  }

  /** Both ways: what an end has sent before it was gone still arrives. */
  pump(): void {
    for (const pipe of this.pipes.values()) pipe.pump()
    for (const pipe of this.other!.pipes.values()) pipe.pump()
  }

  /** On their way out of this end. */
  get queuedBytes(): number {
    let bytes = 0
    for (const pipe of this.pipes.values()) bytes += pipe.bytes
    return bytes
  }

  /** The connection breaks: nothing more that was sent from here arrives. */
  tear(): void {
    for (const pipe of this.pipes.values()) pipe.drop()
    this.lose('connection reset')
  }

  /** This end is lost without a word to the other one. */
  vanish(): void {
    if (!this.gone) this.hasVanished = true
    this.lose('connection lost')
  }

  /** Finds out that the other end has vanished, if it has. */
  exposed(): void {
    if (this.other!.hasVanished) this.lose('connection lost')
  }

  /** The other end hears of it behind everything that was sent. */
  abort(_error: RingdError): void {
    if (this.gone) return
    this.leave()
    this.network.table.disconnected(this, 'connection closed')
  }

  /** Its process is gone: the table behind it is left as it is. */
  die(): void {
    if (!this.gone) this.leave()
  }

  /** The other end has closed. */
  closed(): void {
    if (this.gone) return
    this.gone = true
    this.onGone()
    this.network.table.disconnected(this, 'connection closed by the peer')
  }

  /** The process hears of it when it runs: not while it is paused, and never when it is gone. */
  private lose(reason: string): void {
    if (this.gone) return
    this.gone = true
    this.onGone()
    this.network.clock.defer(() => this.network.table.disconnected(this, reason))
  }

  private leave(): void {
    this.gone = true
    this.onGone()
    for (const pipe of this.pipes.values()) pipe.put(undefined)
  }
}

export function connectEnds(hub: MemoryHub, from: MemoryNetwork, to: MemoryNetwork): [dialled: End, accepted: End] {
  const dialled = new End(from, to.peerId, true)
  const accepted = new End(to, from.peerId, false)
  dialled.join(hub, accepted)
  accepted.join(hub, dialled)
  return [dialled, accepted]
}
