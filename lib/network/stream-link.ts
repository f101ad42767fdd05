// One end of one long-lived stream: requests and answers with ids, gathered into packets.
// Owns the queue of packets to send, the requests that wait for an answer, and the limits on requests in service.
// Must not know the transport or the protocol of the stream: see `ByteStream` and `LinkOptions`.
// Invariants: `done` of a request is called once; every queue is bounded in bytes and in frames; a malformed packet, a
// handler that throws, or too many requests from the other end harm only this link.
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../bytes.js'
import type { Clock, Timer } from '../clock.js'
import { isErrorCode, RingdError, toRingdError } from '../errors.js'
import { KiB, MiB } from '../limits.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Counter } from '../metrics.js'
import { helloOf, type Identity, meet, ringConflict } from './hello.js'
import { type Answer, type Body, InformedRefusal, type Link, type RequestHandler } from './network.js'
import { type Hlc, Outbox } from './outbox.js'
import { type DecodedFrame, decodePacket, PacketReader, UNKNOWN_BODY } from './packet-reader.js'
import { VALUE_PACKET_BYTES_MAX } from './packet-writer.js'
import { PendingRequests } from './pending-requests.js'
import type { Refusal } from './wire.js'

/** The part of a stream that a link needs. The adapter calls `received`, `drained` and `ended` of the link. */
export interface ByteStream {
  /** False: wait for `drained` before the next send. May throw when the stream has ended. */
  send(bytes: Bytes): boolean
  /** From `pause` until `resume` returns, only bytes arrive that were already under way. */
  pause(): void
  resume(): void
  /** Delivers the bytes that were sent, then ends. */
  close(): void
  abort(error: RingdError): void
}

export interface LinkDeps {
  readonly clock: Clock
  readonly hlc: Hlc
  readonly log: Logger
}

export interface LinkOptions {
  /** In both directions. */
  readonly packetBytesMax: number
  /** Requests are refused with NOT_SERVING unless both ends belong to the ring. */
  readonly ringRequired: boolean
  /** Bytes that wait to be sent. With more, a request fails with OVERLOADED. */
  readonly queuedBytesMax?: number
  /** Requests that wait for an answer. With more, a request fails with OVERLOADED. */
  readonly pendingMax?: number
  /** Requests of the other end in service, and their bytes. With more, the stream is paused until half are answered. */
  readonly servedMax?: number
  readonly servedBytesMax?: number
  readonly helloTimeoutMs?: number
  /** Counts the bytes that arrive. */
  readonly received?: Counter
}

/** The options of a client's stream, at both ends. */
export const CLIENT_LINK_OPTIONS: LinkOptions = { packetBytesMax: VALUE_PACKET_BYTES_MAX, ringRequired: false }

/** The part that made the link, and hears of its changes. */
export interface LinkOwner {
  /** The other end said hello, for the first time or again; `link.remote` is set. */
  greeted(link: StreamLink): void
  /** Called once. All pending requests have failed already. */
  closed(link: StreamLink, error: RingdError): void
}

const QUEUED_BYTES_MAX = 64 * MiB
const PENDING_MAX = 16384
const SERVED_MAX = 4096
const SERVED_BYTES_MAX = 64 * MiB
const HELLO_TIMEOUT_MS = 5000
/** For a hello and a few small messages of the same turn. */
const FIRST_PACKET_BYTES_MAX = 4 * KiB
/** A longer message of a refusal is cut. */
const REFUSAL_CHARS_MAX = 1000

export class StreamLink {
  readonly peerId: PeerId
  private readonly deps: LinkDeps
  private readonly options: Required<Omit<LinkOptions, 'received'>>
  private readonly receivedBytes: Counter | undefined
  private readonly stream: ByteStream
  private readonly handler: RequestHandler
  private readonly owner: LinkOwner
  private identity: Identity
  private remoteLink: Link | undefined

  private readonly reader = new PacketReader(FIRST_PACKET_BYTES_MAX)
  private readonly outbox: Outbox
  private readonly pending: PendingRequests
  private readonly helloTimer: Timer

  private served = 0
  private servedBytes = 0
  private paused = false
  private reading = false
  private resumeDue = false
  private error: RingdError | undefined

  /** Sends a hello at once. */
  constructor(
    deps: LinkDeps,
    peerId: PeerId,
    identity: Identity,
    stream: ByteStream,
    handler: RequestHandler,
    owner: LinkOwner,
    options: LinkOptions
  ) {
    this.deps = deps
    this.peerId = peerId
    this.identity = identity
    this.stream = stream
    this.handler = handler
    this.owner = owner
    this.receivedBytes = options.received
    this.options = {
      queuedBytesMax: QUEUED_BYTES_MAX,
      pendingMax: PENDING_MAX,
      servedMax: SERVED_MAX,
      servedBytesMax: SERVED_BYTES_MAX,
      helloTimeoutMs: HELLO_TIMEOUT_MS,
      ...options
    }
    this.outbox = new Outbox(deps.clock, deps.hlc, options.packetBytesMax, (packet) => this.send(packet))
    this.pending = new PendingRequests(deps.clock, (thrown) => {
      deps.log.error({ peer: peerId, err: thrown }, 'answer callback failed')
    })
    this.helloTimer = deps.clock.after(this.options.helloTimeoutMs, () => {
      this.fail(new RingdError('UNREACHABLE', `no hello within ${this.options.helloTimeoutMs} ms`))
    })
    this.introduce(identity)
  }

  /** The other end, once it has said hello. */
  get remote(): Link | undefined {
    return this.remoteLink
  }

  get closed(): boolean {
    return this.error !== undefined
  }

  /** Sends a hello with this identity. Closes the link when the other end belongs to another ring. */
  introduce(identity: Identity): void {
    if (this.closed) return
    this.identity = identity
    this.outbox.append(0, false, { hello: helloOf(identity) })
    this.outbox.endPacket()
    const error = this.remoteLink && ringConflict(this.remoteLink, identity)
    if (error !== undefined) this.refuse(error)
  }

  /** See Network.request. */
  request(body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    const id = this.pending.nextId()
    const refused = this.queue(id, body)
    if (refused === undefined) this.pending.add(id, timeoutMs, done)
    else this.deps.clock.defer(() => done(refused))
  }

  /** Queues a request. Returns an error when it cannot. */
  private queue(id: number, body: Body): RingdError | undefined {
    if (this.error !== undefined) return pendingError(this.error)
    if (this.pending.size >= this.options.pendingMax) {
      return new RingdError('OVERLOADED', `${this.pending.size} requests to the peer wait for an answer`)
    }
    const { bytes } = this.outbox
    if (bytes >= this.options.queuedBytesMax) {
      return new RingdError('OVERLOADED', `${bytes} bytes to the peer wait to be sent`)
    }
    try {
      this.outbox.append(id, false, body)
      return undefined
    } catch (thrown) {
      return toRingdError(thrown)
    }
  }

  /** Ends the link from this side, after sending all that is queued. */
  close(error: RingdError): void {
    if (this.closed) return
    this.outbox.flush()
    if (this.closed) return
    this.endWith(error)
    this.stream.close()
  }

  // ---- out ----

  private send(packet: Bytes): boolean {
    try {
      return this.stream.send(packet)
    } catch (thrown) {
      this.fail(new RingdError('UNREACHABLE', 'the stream has ended', { cause: thrown }))
      return false
    }
  }

  /** The stream takes bytes again. */
  drained(): void {
    this.outbox.drained()
  }

  // ---- in ----

  received(chunk: Uint8Array | Uint8ArrayList): void {
    if (this.closed) return
    this.receivedBytes?.add(chunk.byteLength)
    this.reader.push(chunk)
    this.read()
  }

  /** The stream ended, though this side did not end it. */
  ended(reason: string): void {
    this.endWith(new RingdError('UNREACHABLE', reason))
  }

  private read(): void {
    if (this.reading || this.paused) return
    this.reading = true
    try {
      while (!this.closed && !this.paused) {
        const packet = this.reader.next()
        if (packet === undefined) break
        this.take(packet)
        if (!this.closed && this.busy(1)) this.pause()
      }
    } catch (thrown) {
      this.fail(toRingdError(thrown))
    } finally {
      this.reading = false
    }
  }

  private take(packet: Bytes): void {
    const { clockMs, clockCounter, frames } = decodePacket(packet)
    this.deps.hlc.observe(clockMs, clockCounter, this.remoteLink)
    for (const frame of frames) {
      if (this.closed) return
      if (frame.id === 0) this.takeNotice(frame.body)
      else if (this.remoteLink === undefined) throw new RingdError('BAD_MESSAGE', 'the first message is not a hello')
      else if (frame.answer) this.pending.settle(frame.id, answerOf(frame.body))
      else this.serve(this.remoteLink, frame)
    }
  }

  /** Takes a message about the link itself: a hello or a refusal. */
  private takeNotice(body: Body): void {
    if (body.refusal !== undefined) {
      this.fail(errorOf(body.refusal))
    } else if (body.hello !== undefined) {
      try {
        this.remoteLink = meet(this.peerId, body.hello, this.identity)
      } catch (thrown) {
        this.refuse(toRingdError(thrown))
        return
      }
      this.helloTimer.cancel()
      this.reader.packetBytesMax = this.options.packetBytesMax
      this.owner.greeted(this)
    } else {
      throw new RingdError('BAD_MESSAGE', 'a message without an id is neither hello nor refusal')
    }
  }

  private serve(from: Link, { id, body, bytes }: DecodedFrame): void {
    if (this.options.ringRequired && (from.ringId === '' || this.identity.ringId === '')) {
      const joiner = from.ringId === '' ? 'the peer that asks' : 'this peer'
      this.answer(id, new RingdError('NOT_SERVING', `${joiner} belongs to no ring yet`))
      return
    }
    if (body === UNKNOWN_BODY) {
      this.answer(id, new RingdError('BAD_REQUEST', 'this peer does not know messages of this kind'))
      return
    }
    this.served++
    this.servedBytes += bytes
    let answered = false
    const respond = (answer: Answer): void => {
      if (answered) return
      answered = true
      this.served--
      this.servedBytes -= bytes
      this.answer(id, answer)
      if (this.paused && !this.resumeDue && !this.busy(0.5)) {
        this.resumeDue = true
        this.deps.clock.defer(this.resume)
      }
    }
    try {
      this.handler(from, body, respond)
    } catch (thrown) {
      this.deps.log.error({ peer: this.peerId, err: thrown }, 'request handler failed')
      respond(toRingdError(thrown))
    }
  }

  private answer(id: number, answer: Answer): void {
    if (this.closed) return
    const queued = this.outbox.bytes
    if (queued >= 2 * this.options.queuedBytesMax) {
      this.fail(new RingdError('OVERLOADED', 'the peer sends requests and does not read the answers'))
      return
    }
    if (queued >= this.options.queuedBytesMax) {
      answer = new RingdError('OVERLOADED', `${queued} bytes of answers wait to be read`)
    }
    try {
      this.outbox.append(id, true, answer instanceof RingdError ? { refusal: refusalOf(answer) } : answer)
    } catch (thrown) {
      // The answer is too large for a packet, or not of its type: a defect of this peer. The peer that asks must hear
      // of it.
      this.deps.log.error({ peer: this.peerId, err: thrown }, 'answer cannot be sent')
      this.outbox.append(id, true, { refusal: { code: 'INTERNAL', message: 'the answer cannot be sent' } })
    }
  }

  private busy(share: number): boolean {
    return this.served >= this.options.servedMax * share || this.servedBytes >= this.options.servedBytesMax * share
  }

  private pause(): void {
    this.paused = true
    this.stream.pause()
  }

  private readonly resume = (): void => {
    this.resumeDue = false
    if (this.closed) return
    // First the bytes that were received already are read. `stream.resume` delivers the bytes that it held. A pause
    // during that call would be undone when it returns, so `reading` holds the packets back until it has returned.
    this.paused = false
    this.read()
    if (this.closed || this.paused) return
    this.reading = true
    this.stream.resume()
    this.reading = false
    this.read()
  }

  // ---- ends ----

  /** Sends the reason to the other end, then closes. */
  private refuse(error: RingdError): void {
    if (this.closed) return
    this.outbox.append(0, true, { refusal: refusalOf(error) })
    this.close(error)
  }

  private fail(error: RingdError): void {
    if (this.closed) return
    this.endWith(error)
    this.stream.abort(error)
  }

  private endWith(error: RingdError): void {
    if (this.closed) return
    this.error = error
    this.helloTimer.cancel()
    this.outbox.stop()
    this.pending.fail(pendingError(error))
    this.owner.closed(this, error)
  }
}

/** The error of a pending request when its link ends: UNREACHABLE, or STOPPED when this side stopped. */
function pendingError(error: RingdError): RingdError {
  if (error.code === 'STOPPED' || error.code === 'UNREACHABLE') return error
  return new RingdError('UNREACHABLE', `the link has ended: ${error.message}`, { cause: error })
}

function refusalOf(error: RingdError): Refusal {
  const refusal: Refusal = { code: error.code, message: error.message.slice(0, REFUSAL_CHARS_MAX) }
  if (error instanceof InformedRefusal) refusal.knowledge = error.knowledge
  return refusal
}

function answerOf(body: Body): Answer {
  return body.refusal === undefined ? body : errorOf(body.refusal)
}

function errorOf({ code, message, knowledge }: Refusal): RingdError {
  const known = isErrorCode(code) ? code : 'INTERNAL'
  const text = message.slice(0, REFUSAL_CHARS_MAX)
  return knowledge === undefined ? new RingdError(known, text) : new InformedRefusal(known, text, knowledge)
}
