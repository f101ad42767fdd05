// One connection of the in-memory hub: two ends, and one pipe in each direction for each class of streams, and for each
// block stream. A pipe keeps the order of its packets, and makes its sender wait when a window of bytes is under way,
// like a socket.

import type { Clock } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import type { ByteStream, ByteStreamUser } from '../../../lib/network/link-options.js'
import { STREAM_CLASSES, type StreamClass } from '../../../lib/network/network.js'
import type { Connection, PeerTable } from '../../../lib/network/peer-table.js'

/** A pipe of a class, or of a block stream. */
export type PipeClass = StreamClass | 'pull'

/** The medium between two ends: how long bytes take, how many may be under way, and what is cut. */
export interface PipeMedium {
  readonly clock: Clock
  readonly windowBytes: number
  delayMs(from: PeerId, to: PeerId): number
  /** The time that must pass between two packets to a reader. */
  gapMs(to: PeerId): number
  isBlocked(from: PeerId, to: PeerId, stream: PipeClass): boolean
  onDelivery: ((from: PeerId, to: PeerId, stream: PipeClass, bytes: Uint8Array) => void) | undefined
}

/** The node at an end. */
export interface PipeNode {
  readonly peerId: PeerId
  readonly clock: Clock
  readonly table: Pick<PeerTable, 'attach' | 'attachBlocks' | 'disconnected'>
}

/** Bytes; the end of the connection; or the beginning, the agreement and the end of a block stream. */
type Parcel = Uint8Array | 'end' | 'open' | 'agreed' | 'reset'
type Item = { readonly at: number; readonly parcel: Parcel }

/** One direction of one stream. */
class Pipe implements ByteStream {
  protected readonly hub: PipeMedium
  protected readonly source: End
  protected readonly target: End
  private readonly stream: PipeClass
  private queue: Item[] = []
  private queuedBytes = 0
  protected lastAt = 0
  private full = false
  /** The same stream in the other direction. */
  reverse!: Pipe
  /** What reads this pipe at its target. */
  reader: ByteStreamUser | undefined
  /** The reader does not read for now. */
  readerPaused = false

  constructor(hub: PipeMedium, source: End, target: End, stream: PipeClass) {
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

  put(parcel: Parcel): void {
    const delayMs = this.hub.delayMs(this.source.owner, this.target.owner)
    const free = this.lastAt + this.hub.gapMs(this.target.owner)
    this.lastAt = Math.max(free, this.hub.clock.elapsed() + delayMs)
    this.queue.push({ at: this.lastAt, parcel })
    this.hub.clock.after(this.lastAt - this.hub.clock.elapsed(), () => this.pump())
  }

  pause(): void {
    this.reverse.readerPaused = true
  }

  resume(): void {
    this.reverse.readerPaused = false
    this.reverse.pump()
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
      const { parcel } = this.queue[0]!
      if (parcel !== 'end' && this.readerPaused) return
      this.queue.shift()
      if (parcel === 'end') {
        this.target.closed()
        return
      }
      if (typeof parcel === 'string') this.signalled(parcel)
      else this.deliver(parcel)
    }
  }

  private deliver(bytes: Uint8Array): void {
    this.queuedBytes -= bytes.length
    this.hub.onDelivery?.(this.source.owner, this.target.owner, this.stream, bytes)
    this.reader?.received(bytes)
    if (this.full && this.queuedBytes <= this.hub.windowBytes / 2) {
      this.full = false
      if (!this.source.isClosed) this.reverse.reader?.drained()
    }
  }

  protected signalled(_signal: Parcel): void {}
}

/** One direction of a block stream. Its two ends learn from each other when it begins and when it ends. */
class BlockPipe extends Pipe {
  /** Called at the end that opens the stream, when the other one has agreed. */
  onAgreed: () => void = () => {}
  onRefused: () => void = () => {}

  /** Nodes share no memory: the body of a frame is copied. */
  override send(bytes: Uint8Array): boolean {
    return super.send(bytes.slice())
  }

  override abort(): void {
    this.reverse.reader = undefined
    if (this.source.isClosed) return
    this.put('reset')
    this.source.blocksResetAt = Math.max(this.source.blocksResetAt, this.lastAt)
  }

  /** Begins the stream. The other end hears before that of each stream that this one has ended. */
  open(): void {
    if (this.source.isClosed) return
    this.lastAt = Math.max(this.lastAt, this.source.blocksResetAt)
    this.put('open')
  }

  protected override signalled(signal: Parcel): void {
    if (signal === 'open') this.begin()
    else if (signal === 'agreed') this.onAgreed()
    else {
      this.source.blockPipes.delete(this)
      this.target.blockPipes.delete(this.reverse as BlockPipe)
      this.onRefused()
      this.reader?.ended('the stream was reset by the peer')
      this.reader = undefined
    }
  }

  /** The target serves the stream, or refuses it. */
  private begin(): void {
    try {
      this.reader = this.target.accept(this.reverse)
      this.reverse.put('agreed')
    } catch {
      this.reverse.put('reset')
    }
  }
}

export class End implements Connection {
  readonly owner: PeerId
  readonly peerId: PeerId
  readonly outgoing: boolean
  /** Nothing reaches or leaves this end any more. */
  isClosed = false
  private hasVanished = false
  onClosed: () => void = () => {}
  private readonly network: PipeNode
  private readonly pipes = new Map<StreamClass, Pipe>()
  /** The pipes of block streams that leave this end. */
  readonly blockPipes = new Set<BlockPipe>()
  /** When the last end of a block stream that this end has sent arrives. */
  blocksResetAt = 0
  private hub: PipeMedium | undefined
  private other: End | undefined

  constructor(network: PipeNode, peerId: PeerId, outgoing: boolean) {
    this.network = network
    this.owner = network.peerId
    this.peerId = peerId
    this.outgoing = outgoing
  }

  /** Connects the two ends of a connection. */
  static join(hub: PipeMedium, one: End, other: End): void {
    for (const [end, opposite] of [
      [one, other],
      [other, one]
    ] as const) {
      end.hub = hub
      end.other = opposite
    }
    for (const stream of STREAM_CLASSES) {
      const [there, back] = pairOf(new Pipe(hub, one, other, stream), new Pipe(hub, other, one, stream))
      one.pipes.set(stream, there)
      other.pipes.set(stream, back)
    }
  }

  /** Sends a hello on every stream. */
  open(): void {
    for (const [stream, pipe] of this.pipes) {
      if (this.isClosed) return
      pipe.reverse.reader = this.network.table.attach(this, stream, pipe)
    }
  }

  openBlocks(attach: (bytes: ByteStream) => ByteStreamUser, signal: AbortSignal): Promise<void> {
    const hub = this.hub!
    const other = this.other!
    const [there, back] = pairOf(new BlockPipe(hub, this, other, 'pull'), new BlockPipe(hub, other, this, 'pull'))
    this.blockPipes.add(there)
    other.blockPipes.add(back)
    return new Promise((resolve, reject) => {
      const fail = (error: RingdError): void => {
        there.abort()
        reject(error)
      }
      back.onAgreed = () => {
        if (signal.aborted) return
        try {
          back.reader = attach(there)
          resolve()
        } catch (thrown) {
          fail(thrown as RingdError)
        }
      }
      back.onRefused = () => reject(new RingdError('UNREACHABLE', 'the peer refused the block stream'))
      signal.addEventListener('abort', () => fail(signal.reason as RingdError))
      there.open()
    })
  }

  /** The other end opened a block stream. Throws when this end refuses it. */
  accept(pipe: Pipe): ByteStreamUser {
    return this.network.table.attachBlocks(this, pipe)
  }

  /** Pumps both directions: what an end sent before it closed still arrives. */
  pump(): void {
    for (const pipe of [...this.leaving(), ...this.other!.leaving()]) pipe.pump()
  }

  /** The pipes that leave this end. */
  private leaving(): Pipe[] {
    return [...this.pipes.values(), ...this.blockPipes]
  }

  /** Bytes that this end has sent and that have not arrived. */
  get queuedBytes(): number {
    let bytes = 0
    for (const pipe of this.pipes.values()) bytes += pipe.bytes
    for (const pipe of this.blockPipes) bytes += pipe.bytes
    return bytes
  }

  /** The connection breaks: what this end has sent and what has not arrived is lost. */
  tear(): void {
    for (const pipe of this.leaving()) pipe.drop()
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
    for (const pipe of this.pipes.values()) pipe.put('end')
  }
}

export function connectEnds(hub: PipeMedium, from: PipeNode, to: PipeNode): [dialled: End, accepted: End] {
  const dialled = new End(from, to.peerId, true)
  const accepted = new End(to, from.peerId, false)
  End.join(hub, dialled, accepted)
  return [dialled, accepted]
}

function pairOf<P extends Pipe>(there: P, back: P): [there: P, back: P] {
  there.reverse = back
  back.reverse = there
  return [there, back]
}
