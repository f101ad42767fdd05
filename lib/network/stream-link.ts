// One end of one long-lived stream: requests and answers with ids, gathered into packets.
// Owns the queue of packets to send, the requests that wait for an answer, the limits on requests in service, and the
// account of the bytes that all of these hold.
// Must not know the transport or the protocol of the stream: see `ByteStream` and `LinkOptions`.
// Invariants: `done` of a request is called once; every queue is bounded in bytes and in frames; a malformed packet, a
// handler that throws, too many requests, answers that are not read, or a packet that never ends harm only this link.
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../bytes.js'
import type { Timer } from '../clock.js'
import { RingdError, toRingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Counter } from '../metrics.js'
import { type Account, NO_ACCOUNT } from './byte-budget.js'
import { helloOf, type Identity, meet, ringConflict } from './hello.js'
import {
  type ByteStream,
  FIRST_PACKET_BYTES_MAX,
  LINK_DEFAULTS,
  LITTLE_BYTES,
  type LinkDeps,
  type LinkOptions
} from './link-options.js'
import { LinkProgress } from './link-progress.js'
import type { Answer, Body, Link, RequestHandler } from './network.js'
import { Outbox } from './outbox.js'
import { PacketPieces } from './packet-pieces.js'
import { type DecodedFrame, decodePacket, PacketReader, UNKNOWN_BODY } from './packet-reader.js'
import { PendingRequests } from './pending-requests.js'
import { answerOf, errorOf, noRoom, pendingError, refusalOf } from './refusals.js'
import { rateOf } from './request-rate.js'
import { ServedRequests } from './served-requests.js'

/** The part that made the link, and hears of its changes. */
export interface LinkOwner {
  /** The other end said hello, for the first time or again; `link.remote` is set. */
  greeted(link: StreamLink): void
  /** Called once. All pending requests have failed already. */
  closed(link: StreamLink, error: RingdError): void
}

export class StreamLink {
  readonly peerId: PeerId
  private readonly deps: LinkDeps
  private readonly options: Required<Omit<LinkOptions, 'received' | 'budget' | 'lanes'>>
  private readonly receivedCounter: Counter | undefined
  private readonly stream: ByteStream
  private readonly owner: LinkOwner
  private identity: Identity
  private remoteLink: Link | undefined

  private readonly reader = new PacketReader(FIRST_PACKET_BYTES_MAX)
  private readonly outbox: Outbox
  private readonly pending: PendingRequests
  private readonly served: ServedRequests
  private readonly account: Account
  private readonly pieces: PacketPieces
  private readonly progress: LinkProgress
  private readonly helloTimer: Timer
  /** When the other end last sent a packet, on the monotonic clock. */
  lastPacketAt: number

  private paused = false
  private reading = false
  private resuming = false
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
    this.owner = owner
    this.receivedCounter = options.received
    this.lastPacketAt = deps.clock.elapsed()
    this.options = { ...LINK_DEFAULTS, ...options }
    this.outbox = new Outbox(deps.clock, deps.hlc, options.packetBytesMax, (packet) => this.send(packet))
    this.pending = new PendingRequests(deps.clock, (thrown) => {
      deps.log.error({ peer: peerId, err: thrown }, 'answer callback failed')
    })
    this.account = options.budget?.open(peerId, () => deps.clock.defer(() => this.fail(noRoom()))) ?? NO_ACCOUNT
    this.served = new ServedRequests({
      log: deps.log,
      handler,
      rate: rateOf(deps.clock, this.options.requestsPerSecond, () => this.served.advance()),
      largeWork: deps.largeWork,
      lane: options.lanes?.user(this.account, () => this.served.advance()),
      mayBegin: () => !this.closed && this.unreadBytes() < this.options.answersQueuedMax,
      answer: (id, answer) => this.answer(id, answer),
      onReserved: () => this.count(),
      // Otherwise the packet of the answer is sent, and everything counted, at the end of this turn.
      onAnswered: () => {
        if (this.paused || this.outbox.isBlocked || this.served.hasWaiting) this.relieved()
      }
    })
    this.pieces = new PacketPieces(deps.largeWork, this.options.pieceBytes, () => this.relieved())
    this.progress = new LinkProgress(deps.clock, {
      readStallMs: this.options.readStallMs,
      awaitsPacket: () => !this.paused && this.reader.bytes > 0,
      unread: () => this.unreadBytes(),
      unsent: () => this.unreadBytes() - this.outbox.bytes,
      isContended: () => this.account.isContended,
      fail: (error) => this.fail(error)
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
    if (this.outbox.bytes >= this.options.queuedBytesMax) {
      return new RingdError('OVERLOADED', `${this.outbox.bytes} bytes to the peer wait to be sent`)
    }
    if (this.hasTooMuch) return new RingdError('OVERLOADED', 'too many bytes from and to the peer are under way')
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
    this.outbox.flushAll()
    if (this.closed) return
    this.endWith(error)
    this.stream.close()
  }

  // ---- out ----

  private send(packet: Bytes): boolean {
    this.progress.sent(packet.length)
    try {
      const takesMore = this.stream.send(packet)
      this.relieved()
      return takesMore
    } catch (thrown) {
      this.fail(new RingdError('UNREACHABLE', 'the stream has ended', { cause: thrown }))
      return false
    }
  }

  /** The stream takes bytes again. */
  drained(): void {
    this.outbox.drained()
    this.relieved()
    // The stream sends what it still holds after this event, and tells nobody when it holds nothing more.
    if ((this.stream.unsent?.() ?? 0) > 0) this.deps.clock.defer(() => this.relieved())
  }

  /** Bytes that the other end has not read, as far as this end knows. */
  private unreadBytes(): number {
    return this.outbox.bytes + (this.stream.unsent?.() ?? 0)
  }

  // ---- in ----

  received(chunk: Uint8Array | Uint8ArrayList): void {
    if (this.closed) return
    this.receivedCounter?.add(chunk.byteLength)
    this.progress.received(chunk.byteLength)
    this.reader.push(chunk)
    this.read()
    if (this.closed) return
    this.count()
    // The peer waits until its requests are answered. Without one, the link holds one packet: its rest may come.
    const restrains = this.hasTooMuch && this.heldBytes() >= 2 * this.unreadBytes() && this.served.begun > 0
    if (restrains && !this.paused) this.pause()
    this.pace(chunk.byteLength)
    if (this.reader.bytes > 0) this.progress.watchPackets()
  }

  /** A large packet is read piece by piece, each in its turn. Answers come as fast as this side has asked for them. */
  private pace(bytes: number): void {
    if (this.pending.size > 0) return
    this.pieces.add(bytes, this.reader.packetBytes)
    if (this.pieces.isWaiting && !this.paused) this.pause()
  }

  /** The stream ended, though this side did not end it. */
  ended(reason: string): void {
    this.endWith(new RingdError('UNREACHABLE', reason))
  }

  private read(): void {
    if (this.reading || this.resuming || this.paused) return
    this.reading = true
    try {
      while (!this.closed && !this.paused) {
        const packet = this.reader.next()
        if (packet === undefined) break
        this.progress.packetRead()
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
    this.lastPacketAt = this.deps.clock.elapsed()
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

  private serve(from: Link, frame: DecodedFrame): void {
    const { id, body } = frame
    if (this.options.ringRequired && (from.ringId === '' || this.identity.ringId === '')) {
      const joiner = from.ringId === '' ? 'the peer that asks' : 'this peer'
      this.answer(id, new RingdError('NOT_SERVING', `${joiner} belongs to no ring yet`))
      return
    }
    if (body === UNKNOWN_BODY) {
      this.answer(id, new RingdError('BAD_REQUEST', 'this peer does not know messages of this kind'))
      return
    }
    this.served.add(from, frame)
  }

  private answer(id: number, answer: Answer): void {
    if (this.closed) return
    const queued = this.outbox.bytes
    if (queued >= 2 * this.options.queuedBytesMax) {
      this.fail(new RingdError('OVERLOADED', 'the peer sends requests and does not read the answers'))
      return
    }
    if (queued >= this.options.queuedBytesMax || (queued > 0 && this.hasTooMuch)) {
      answer = new RingdError('OVERLOADED', `${queued} bytes of answers wait to be read`)
    }
    try {
      this.outbox.append(id, true, answer instanceof RingdError ? { refusal: refusalOf(answer) } : answer)
    } catch (thrown) {
      // Too large for a packet, or not of its type: a defect of this peer. The peer that asks must hear of it.
      this.deps.log.error({ peer: this.peerId, err: thrown }, 'answer cannot be sent')
      this.outbox.append(id, true, { refusal: { code: 'INTERNAL', message: 'the answer cannot be sent' } })
    }
  }

  private busy(share: number): boolean {
    const { servedMax, servedBytesMax, answersQueuedMax } = this.options
    const { served } = this
    if (
      this.pieces.isWaiting ||
      served.count >= servedMax * share ||
      served.bytes >= servedBytesMax * share ||
      served.hasWaiting
    )
      return true
    return this.unreadBytes() >= answersQueuedMax * share
  }

  /** Requests were answered, answers were sent, or a turn came: what waits goes on. False when the link has ended. */
  private relieved(): boolean {
    if (this.closed) return false
    this.served.advance()
    this.count()
    if (this.paused && !this.resumeDue && !this.busy(0.5)) {
      this.resumeDue = true
      this.deps.clock.defer(this.resume)
    }
    return true
  }

  private heldBytes(unread = this.unreadBytes()): number {
    return this.reader.bytes + this.served.bytes + this.served.reserved + unread
  }

  /** The peer holds more than it may, and part of it on this link. */
  private get hasTooMuch(): boolean {
    return this.account.exceeded && this.heldBytes() >= LITTLE_BYTES
  }

  /** Tells the account what this link holds now. */
  private count(): void {
    const unread = this.unreadBytes()
    this.account.hold(this.heldBytes(unread))
    this.progress.watchAnswers(unread)
  }

  private pause(): void {
    this.paused = true
    if (!this.resuming) this.stream.pause()
  }

  private readonly resume = (): void => {
    this.resumeDue = false
    if (this.closed) return
    // `stream.resume` delivers what it held, and undoes a pause during that call: its buffer would overflow.
    this.paused = false
    this.read()
    if (this.closed || this.paused) return
    this.resuming = true
    this.stream.resume()
    this.resuming = false
    if (this.paused && !this.closed) this.stream.pause()
    this.read()
    this.progress.readsAgain()
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
    this.progress.stop()
    this.served.stop()
    this.account.close()
    this.outbox.stop()
    this.pending.fail(pendingError(error))
    this.owner.closed(this, error)
  }
}
