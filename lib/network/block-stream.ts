// One end of a block stream: frames with blocks, in both directions at once.
// Owns the frames that have arrived and were not read. It never pauses its stream: how much the other end may send is
// agreed by the layer above, and who sends more is ended.
// Must not know the transport: see `ByteStream`. It is never ended within a call of it, but in the next turn.
// Invariants: a waiting reader and a waiting sender hear of the end at once; what is held is bounded in bytes and in
// frames; no wait for the other end to go on lasts longer than STALL_MS.
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import { assert, RingdError, toRingdError } from '../errors.js'
import type { Counter } from '../metrics.js'
import { BlockFrameReader, encodeFrame, frameBytes, PIECE_BYTES_MAX } from './block-frames.js'
import { type Account, type ByteBudget, NO_ACCOUNT } from './byte-budget.js'
import type { ByteStream, ByteStreamUser } from './link-options.js'
import type { BlockFrame, BlockStream, Link } from './network.js'
import { noRoom } from './refusals.js'
import { PROGRESS_BYTES_MIN, STALL_MS, StallWatch } from './stall-watch.js'

/** Bytes that the stream gets in one turn of the event loop, since it encrypts at once what it gets. */
const TURN_BYTES_MAX = 4 * PIECE_BYTES_MAX
/** Frames that were not read. An empty one takes about 200 bytes. */
const HELD_FRAMES_MAX = 16_384

export interface BlockLinkOptions {
  /** See Network.openBlocks. */
  readonly heldBytesMax: number
  /** Counts the bytes that arrive. */
  readonly received?: Counter
  /** The account of all links of a port. */
  readonly budget?: ByteBudget
  /** Called once, when the byte stream has ended too. */
  readonly closed?: () => void
}

interface Waiting {
  resolve(result: IteratorResult<BlockFrame, undefined>): void
  reject(error: RingdError): void
}

export class BlockLink implements BlockStream, ByteStreamUser {
  readonly from: Link
  private readonly clock: Clock
  private readonly stream: ByteStream
  private readonly options: BlockLinkOptions
  private readonly account: Account
  private error: RingdError | undefined

  private readonly reader = new BlockFrameReader((frame) => this.take(frame))
  private frames: BlockFrame[] = []
  private framesBytes = 0
  private isRead = false
  private waiting: Waiting | undefined
  private receivedBytes = 0
  private framesReceived = 0
  private readonly frameWatch: StallWatch

  private isSending = false
  private isBlocked = false
  private turnBytes = 0
  private hasRoom: (() => void) | undefined
  private stopSending: ((error: RingdError) => void) | undefined
  private readonly roomWatch: StallWatch

  constructor(clock: Clock, from: Link, stream: ByteStream, options: BlockLinkOptions) {
    this.clock = clock
    this.from = from
    this.stream = stream
    this.options = options
    this.account = options.budget?.open(from.peerId, () => this.abort(noRoom())) ?? NO_ACCOUNT
    const stalled = (reason: string) => () => this.abort(new RingdError('UNREACHABLE', reason))
    this.frameWatch = new StallWatch(clock, {
      periodMs: STALL_MS,
      isWaiting: () => this.reader.bytes > 0,
      progress: () => this.receivedBytes + this.framesReceived * PROGRESS_BYTES_MIN,
      onStall: stalled('a frame of the peer has begun and does not end')
    })
    this.roomWatch = new StallWatch(clock, {
      periodMs: STALL_MS,
      isWaiting: () => this.isBlocked,
      progress: () => 0,
      onStall: stalled(`the peer took no bytes for ${STALL_MS / 1000} s`)
    })
  }

  get closed(): boolean {
    return this.error !== undefined
  }

  /** Bytes of frames that have arrived and were not read. */
  get heldBytes(): number {
    return this.framesBytes + this.reader.bytes
  }

  // ---- in ----

  readonly source: AsyncIterable<BlockFrame> = { [Symbol.asyncIterator]: () => this.read() }

  private read(): AsyncIterator<BlockFrame, undefined> {
    assert(!this.isRead, 'a block stream is read once')
    this.isRead = true
    return { next: () => this.next(), return: async () => ({ done: true, value: undefined }) }
  }

  private next(): Promise<IteratorResult<BlockFrame, undefined>> {
    if (this.error !== undefined) return Promise.reject(this.error)
    const frame = this.frames.shift()
    if (frame === undefined) {
      assert(this.waiting === undefined, 'a block stream has one reader')
      return new Promise((resolve, reject) => {
        this.waiting = { resolve, reject }
      })
    }
    this.framesBytes -= frameBytes(frame)
    this.count()
    return Promise.resolve({ done: false, value: frame })
  }

  received(chunk: Uint8Array | Uint8ArrayList): void {
    if (this.closed) return
    this.options.received?.add(chunk.byteLength)
    this.receivedBytes += chunk.byteLength
    try {
      if (chunk instanceof Uint8Array) this.reader.push(chunk)
      else for (const part of chunk) this.reader.push(part)
      this.checkHeld()
    } catch (thrown) {
      this.abort(toRingdError(thrown))
      return
    }
    this.count()
    if (this.reader.bytes > 0) this.frameWatch.watch()
  }

  private take(frame: BlockFrame): void {
    this.framesReceived++
    const { waiting } = this
    if (waiting !== undefined) {
      this.waiting = undefined
      waiting.resolve({ done: false, value: frame })
      return
    }
    if (this.frames.length >= HELD_FRAMES_MAX) {
      throw new RingdError('BAD_MESSAGE', `the peer sent more than ${HELD_FRAMES_MAX} frames that were not read`)
    }
    this.frames.push(frame)
    this.framesBytes += frameBytes(frame)
  }

  private checkHeld(): void {
    const { heldBytes, frames, reader } = this
    const { heldBytesMax } = this.options
    const isOneFrame = frames.length + Math.sign(reader.bytes) === 1
    if (heldBytes <= heldBytesMax || isOneFrame) return
    throw new RingdError(
      'BAD_MESSAGE',
      `the peer sent ${heldBytes} bytes that were not read, of at most ${heldBytesMax}`
    )
  }

  private count(): void {
    this.account.hold(this.heldBytes + (this.stream.unsent?.() ?? 0))
  }

  // ---- out ----

  readonly sink = async (frames: AsyncIterable<BlockFrame>): Promise<void> => {
    assert(!this.isSending, 'a block stream sends one sequence of frames at a time')
    const iterator = frames[Symbol.asyncIterator]()
    this.isSending = true
    try {
      for (;;) {
        if (this.error !== undefined) throw this.error
        const next = await this.orEnd(iterator.next())
        if (next.done === true) return
        await this.send(next.value)
      }
    } catch (thrown) {
      const error = this.error ?? toRingdError(thrown)
      this.abort(error)
      void stop(iterator)
      throw error
    } finally {
      this.isSending = false
      this.stopSending = undefined
    }
  }

  private async send(frame: BlockFrame): Promise<void> {
    const [start, rest] = encodeFrame(frame)
    await this.sendPiece(start)
    for (let at = 0; at < rest.length; at += PIECE_BYTES_MAX) {
      await this.sendPiece(rest.subarray(at, at + PIECE_BYTES_MAX))
    }
  }

  private async sendPiece(piece: Bytes): Promise<void> {
    if (this.error !== undefined) throw this.error
    try {
      this.isBlocked = !this.stream.send(piece)
    } catch (thrown) {
      throw new RingdError('UNREACHABLE', 'the stream has ended', { cause: thrown })
    }
    this.count()
    this.turnBytes += piece.length
    if (this.isBlocked) {
      this.roomWatch.restart()
      await this.orEnd(this.room())
    } else if (this.turnBytes >= TURN_BYTES_MAX) {
      await this.orEnd(new Promise<void>((resolve) => this.clock.defer(resolve)))
    } else {
      return
    }
    this.turnBytes = 0
  }

  private room(): Promise<void> {
    return new Promise((resolve) => {
      this.hasRoom = resolve
    })
  }

  drained(): void {
    if (this.closed) return
    this.isBlocked = false
    this.roomWatch.restart()
    this.count()
    this.hasRoom?.()
    this.hasRoom = undefined
    // The stream sends what it still holds after this event.
    if ((this.stream.unsent?.() ?? 0) > 0) this.clock.defer(() => this.count())
  }

  /** Like `wait`, but rejects at once when the stream ends. */
  private orEnd<T>(wait: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      wait.then(resolve, reject)
      this.stopSending = reject
      // The stream may have ended within `stream.send`.
      if (this.error !== undefined) reject(this.error)
    })
  }

  // ---- ends ----

  abort(error: RingdError): void {
    if (!this.endWith(error)) return
    this.clock.defer(() => {
      this.stream.abort(error)
      this.options.closed?.()
    })
  }

  ended(reason: string): void {
    if (this.endWith(new RingdError('UNREACHABLE', reason))) this.options.closed?.()
  }

  /** False when the stream had ended already. */
  private endWith(error: RingdError): boolean {
    if (this.closed) return false
    this.error = error
    this.isBlocked = false
    this.frameWatch.stop()
    this.roomWatch.stop()
    this.frames = []
    this.framesBytes = 0
    this.reader.drop()
    this.account.close()
    this.waiting?.reject(error)
    this.waiting = undefined
    this.stopSending?.(error)
    return true
  }
}

/** Ends the frames of a sender. They may be at work on the next one, so nobody waits for them. */
async function stop(iterator: AsyncIterator<BlockFrame>): Promise<void> {
  try {
    await iterator.return?.()
  } catch {
    // The sender hears of the end of the stream.
  }
}
