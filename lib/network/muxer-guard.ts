// A guard between an encrypted connection and its yamux muxer. It follows the headers of the frames that arrive.
// The muxer buffers a whole data frame, of up to 4 GiB, before it compares it with the window of its stream; the guard
// ends the connection at the header. It also bounds what arrives on a stream before its protocol is agreed, pings, and
// gossip. Must not change the bytes that arrive; what the muxer sends passes through window-updates.ts.
// Invariant: no call of a muxer throws because the connection has ended meanwhile. The muxer answers events of the
// connection, and an exception in a listener would end the process.
import type { MessageStream, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import { KiB, MiB } from '../limits.js'
import { WindowUpdates } from './window-updates.js'

export interface MuxerLimits {
  /** The largest data frame: no sender may send more than the window of its stream. */
  readonly frameBytesMax: number
  /** The smallest window of a stream. */
  readonly windowBytes: number
}

/** Bytes on a stream whose protocol is not agreed yet. The agreement takes less than 200 bytes. */
const UNAGREED_BYTES_MAX = 16 * KiB
/** Gossip of one connection: at most this much at once, and then this much for each second. */
const GOSSIP_BYTES_MAX = 32 * MiB
const GOSSIP_BYTES_PER_SECOND = 4 * MiB
/** Frames that the muxer answers or allocates a stream for: pings, opened streams. A peer sends about 20. */
const COSTLY_FRAMES_MAX = 1000
const COSTLY_FRAMES_PER_SECOND = 20
/** Frames that wait to be sent. The streams stop when the connection is full; answers to pings and the like do not. */
const UNSENT_BYTES_MAX = 32 * MiB
/** Streams that the guard remembers. Then it forgets them, and looks at their protocols again. */
const STREAMS_MAX = 1024
/** The time in which the other end closes a connection after its goodbye. */
const FAREWELL_MS = 1000

const HEADER_BYTES = 12
const TYPE_DATA = 0
const TYPE_PING = 2
const TYPE_GO_AWAY = 3
const FLAG_OPENS = 1
const GOSSIP_PREFIX = '/meshsub/'

/** Wraps a muxer factory. All connections that it multiplexes are guarded. */
export function guardMuxer(factory: StreamMuxerFactory, clock: Clock, limits: MuxerLimits): StreamMuxerFactory {
  return {
    protocol: factory.protocol,
    createStreamMuxer(connection) {
      let muxer: StreamMuxer | undefined
      const protocolOf = (id: string) => muxer?.streams.find((stream) => stream.id === id)?.protocol
      // The muxer ends its streams at a goodbye, and leaves the connection to the other end, which may keep it open.
      const guard = new FrameGuard(clock, limits, protocolOf, () => {
        clock.after(FAREWELL_MS, () => connection.abort(new RingdError('UNREACHABLE', 'the peer said goodbye')))
      })
      const updates = new WindowUpdates(limits.windowBytes)
      muxer = factory.createStreamMuxer(guarded(connection, clock, guard, updates))
      return muxer
    }
  }
}

/** The connection as the muxer sees it: messages pass the guard first, and `send` never throws after the end. */
function guarded(connection: MessageStream, clock: Clock, guard: FrameGuard, updates: WindowUpdates): MessageStream {
  const listen = (type: string, listener: unknown, options?: unknown): void => {
    const passed = type === 'message' && typeof listener === 'function' ? checked(listener as Listener) : listener
    ;(connection.addEventListener as Add)(type, passed, options)
  }
  const checked =
    (listener: Listener): Listener =>
    (event) => {
      if (guard.failed) return
      try {
        guard.check(event.data)
      } catch (thrown) {
        // Not now: the connection is delivering this message to other listeners.
        clock.defer(() => connection.abort(thrown as RingdError))
        return
      }
      listener(event)
    }
  const send = (data: Uint8Array | Uint8ArrayList): boolean => {
    // The streams hear of the end by the event of the connection.
    if (connection.status !== 'open') return false
    if (connection.writeBufferLength > UNSENT_BYTES_MAX) {
      clock.defer(() => connection.abort(new RingdError('OVERLOADED', 'the peer does not read what it asks for')))
      return false
    }
    try {
      let takesMore = true
      for (const frame of updates.next(data)) takesMore = connection.send(frame)
      return takesMore
    } catch (thrown) {
      if (connection.status === 'open') throw thrown
      return false
    }
  }
  return new Proxy(connection, {
    get(target, name) {
      if (name === 'addEventListener') return listen
      if (name === 'send') return send
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' && name !== 'log' ? value.bind(target) : value
    }
  })
}

type Listener = (event: { readonly data: Uint8Array | Uint8ArrayList }) => void
type Add = (type: string, listener: unknown, options?: unknown) => void

type Kind = 'unagreed' | 'gossip' | 'other'

/** Follows the frames of one direction of one connection. O(1) for each chunk and each frame. */
export class FrameGuard {
  private readonly limits: MuxerLimits
  private readonly protocolOf: (streamId: string) => string | undefined
  private readonly onGoodbye: () => void
  private readonly header = new DataView(new ArrayBuffer(HEADER_BYTES))
  private headerBytes = 0
  /** Bytes of the current data frame that have not arrived. */
  private missing = 0
  private readonly agreed = new Map<number, Kind>()
  private readonly unagreedBytes = new Map<number, number>()
  private readonly gossip: Allowance
  private readonly costly: Allowance
  /** After an error nothing more is read: the rest of the bytes has no meaning. */
  failed = false

  /**
   * `protocolOf` gives the protocol of an open stream: '' while it is not agreed, undefined for an unknown stream.
   * `onGoodbye` is called when the other end closes the muxer.
   */
  constructor(
    clock: Clock,
    limits: MuxerLimits,
    protocolOf: (streamId: string) => string | undefined,
    onGoodbye: () => void
  ) {
    this.limits = limits
    this.protocolOf = protocolOf
    this.onGoodbye = onGoodbye
    this.gossip = new Allowance(clock, GOSSIP_BYTES_MAX, GOSSIP_BYTES_PER_SECOND)
    this.costly = new Allowance(clock, COSTLY_FRAMES_MAX, COSTLY_FRAMES_PER_SECOND)
  }

  /** Takes the next bytes. Throws BAD_MESSAGE for a frame that no sound muxer sends, OVERLOADED for a flood. */
  check(chunk: Uint8Array | Uint8ArrayList): void {
    try {
      if (chunk instanceof Uint8Array) this.take(chunk)
      else for (const part of chunk) this.take(part)
    } catch (thrown) {
      this.failed = true
      throw thrown
    }
  }

  private take(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.missing > 0) {
        const skipped = Math.min(this.missing, bytes.length - at)
        this.missing -= skipped
        at += skipped
        continue
      }
      while (this.headerBytes < HEADER_BYTES && at < bytes.length)
        this.header.setUint8(this.headerBytes++, bytes[at++]!)
      if (this.headerBytes < HEADER_BYTES) return
      this.headerBytes = 0
      this.begin()
    }
  }

  private begin(): void {
    const { header } = this
    const type = header.getUint8(1)
    const opens = (header.getUint16(2) & FLAG_OPENS) !== 0
    const length = header.getUint32(8)
    if (header.getUint8(0) !== 0 || type > TYPE_GO_AWAY) {
      throw new RingdError('BAD_MESSAGE', `a yamux frame has version ${header.getUint8(0)} and type ${type}`)
    }
    // Each ping, and each stream above the limit of the muxer, is answered with a frame.
    if ((opens || type === TYPE_PING) && !this.costly.take(1)) {
      throw new RingdError('OVERLOADED', 'the peer pings or opens streams too often')
    }
    // The muxer sees this chunk after the guard, so it does not know yet a stream that the chunk opens.
    if (opens && type !== TYPE_PING) this.countUnagreed(header.getUint32(4), 0)
    if (type === TYPE_GO_AWAY) this.onGoodbye()
    if (type !== TYPE_DATA) return
    const { frameBytesMax } = this.limits
    if (length > frameBytesMax) {
      throw new RingdError('BAD_MESSAGE', `a yamux frame of ${length} bytes exceeds the window of ${frameBytesMax}`)
    }
    this.missing = length
    this.count(header.getUint32(4), length)
  }

  /** Counts the data of a stream against the limit of its kind. */
  private count(streamId: number, length: number): void {
    const kind = this.agreed.get(streamId) ?? this.kindOf(streamId)
    if (kind === 'unagreed') this.countUnagreed(streamId, length)
    else if (kind === 'gossip' && !this.gossip.take(length)) {
      throw new RingdError('OVERLOADED', 'the peer sends gossip faster than this peer reads it')
    }
  }

  private countUnagreed(streamId: number, length: number): void {
    const bytes = (this.unagreedBytes.get(streamId) ?? 0) + length
    if (bytes > UNAGREED_BYTES_MAX) {
      throw new RingdError('BAD_MESSAGE', 'a stream carries data before its protocol is agreed')
    }
    if (this.unagreedBytes.size >= STREAMS_MAX) this.unagreedBytes.clear()
    this.unagreedBytes.set(streamId, bytes)
  }

  private kindOf(streamId: number): Kind {
    const protocol = this.protocolOf(String(streamId))
    // The muxer drops data of a stream that it does not know: this side has closed it.
    if (protocol === undefined) return this.unagreedBytes.has(streamId) ? 'unagreed' : 'other'
    if (protocol === '') return 'unagreed'
    const kind = protocol.startsWith(GOSSIP_PREFIX) ? 'gossip' : 'other'
    this.unagreedBytes.delete(streamId)
    if (this.agreed.size >= STREAMS_MAX) this.agreed.clear()
    this.agreed.set(streamId, kind)
    return kind
  }
}

/** A token bucket. */
class Allowance {
  private readonly clock: Clock
  private readonly max: number
  private readonly perSecond: number
  private left: number
  private at: number

  constructor(clock: Clock, max: number, perSecond: number) {
    this.clock = clock
    this.max = max
    this.perSecond = perSecond
    this.left = max
    this.at = clock.elapsed()
  }

  take(amount: number): boolean {
    if (this.left < amount) {
      const now = this.clock.elapsed()
      this.left = Math.min(this.max, this.left + ((now - this.at) * this.perSecond) / 1000)
      this.at = now
      if (this.left < amount) return false
    }
    this.left -= amount
    return true
  }
}
