// The puller's end of a pull stream: asks one source for entries, versions, sums or keys, and takes what it answers.
// Owns the credit of the stream and the asks under way. The other end is source-stream.ts.
// Invariants: no more bytes are under way, or wait to be on disk, than the window, or one part; a source may send only
// what the pace of this peer has allowed before; parts of one ask are taken in their order; an ask ends once, with what
// the source counted or with an error; what a source may not send ends the stream.
import { pipe } from 'it-pipe'
import { type Pushable, pushable } from 'it-pushable'
import type { Bytes } from '../../bytes.js'
import { type Clock, every, type Timer } from '../../clock.js'
import type { Compression } from '../../compression.js'
import { RingdError, toRingdError } from '../../errors.js'
import { BLOCK_BODY_BYTES_MAX } from '../../limits.js'
import type { BlockFrame, BlockStream } from '../../network/network.js'
import type { PullBegin, PullEnd, PullHead, PullPart } from '../../network/wire.js'
import type { SlotRange } from '../../ring/slots.js'
import type { Paced } from './pace.js'
import { headOf, PULLED, type Pulled, refusedWith, toFrame, WINDOW_BYTES } from './pull-frames.js'

export interface Ask {
  readonly what: Pulled
  readonly view: number
  readonly config: number
  readonly ranges: readonly SlotRange[]
  /** For entries and versions: the stored key behind which they begin, or no bytes. For keys: a block of keys. */
  readonly body: Bytes
}

/** Takes what a source answers to one ask. A promise that rejects ends the ask, and the source stops. */
export interface Taker {
  /** Before the first part. */
  begin(begin: PullBegin): Promise<void>
  /** Resolves when the part is on disk, or needs no room any more. Several may be under way. */
  part(block: Bytes, entries: number): Promise<void>
}

export interface Answered extends PullEnd {
  /** The sums, when these were asked for. */
  readonly body: Bytes
}

export interface PullerStreamDeps {
  readonly clock: Clock
  readonly compression: Compression
  /** Resolves when so many bytes more may be asked for. Left out: at once. */
  readonly pace?: Paced | undefined
  /** The stream has ended. */
  readonly onEnded: () => void
}

interface Asked {
  readonly number: number
  readonly taker: Taker
  readonly resolve: (answered: Answered) => void
  readonly reject: (error: RingdError) => void
  /** Set when the source has begun to answer. */
  begun: Promise<void> | undefined
  /** Resolves when the begin is taken, and all parts that have come are decompressed. Never rejects before `begun`. */
  unpacked: Promise<void>
  readonly taking: Promise<void>[]
  isOver: boolean
}

const NOTHING = Promise.resolve()
/** A source that sends nothing for so long, although it has asks and credit, is given up. It may be paced. */
const SILENCE_MS = 60_000
const LOOK_MS = 1000
/** Credit is given in pieces of this, and of less when nothing is under way. */
const CREDIT_BYTES = WINDOW_BYTES / 16

export class PullerStream {
  readonly #deps: PullerStreamDeps
  readonly #stream: BlockStream
  readonly #outgoing: Pushable<BlockFrame> = pushable({ objectMode: true })
  /** In the order in which the source answers them. */
  readonly #asked: Asked[] = []
  readonly #watch: Timer
  #numbers = 0
  /** What the source may still send, and what there is room for and it may not send yet. */
  #credit = 0
  #due = WINDOW_BYTES
  #isGiving = false
  #heardAt: number
  #error: RingdError | undefined
  /** Aborted when the stream ends. */
  readonly #ended = new AbortController()

  constructor(deps: PullerStreamDeps, stream: BlockStream) {
    this.#deps = deps
    this.#stream = stream
    this.#heardAt = deps.clock.elapsed()
    this.#watch = every(deps.clock, LOOK_MS, () => this.#look())
    void this.#run()
  }

  get hasEnded(): boolean {
    return this.#error !== undefined
  }

  /** Asks that have not ended. */
  get asks(): number {
    return this.#asked.length
  }

  /** Resolves when all parts are taken. Throws what the source refuses with, and what the taker throws. */
  ask({ what, body, view, config, ranges }: Ask, taker: Taker): Promise<Answered> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error)
      this.#numbers += 1
      const number = this.#numbers
      const asked: Asked = {
        number,
        taker,
        resolve,
        reject,
        begun: undefined,
        unpacked: NOTHING,
        taking: [],
        isOver: false
      }
      this.#asked.push(asked)
      const ask = { number, view, config, ranges: [...ranges], what: PULLED.indexOf(what), zstd: true }
      this.#outgoing.push(toFrame({ ask }, body))
      void this.#give()
    })
  }

  /** Ends the stream and every ask with this error. */
  end(error: RingdError): void {
    if (this.#error !== undefined) return
    this.#error = error
    this.#ended.abort()
    this.#watch.cancel()
    this.#outgoing.end()
    this.#stream.abort(error)
    for (const asked of this.#asked.splice(0)) this.#fail(asked, error)
    this.#deps.onEnded()
  }

  async #run(): Promise<void> {
    try {
      await pipe(this.#outgoing, this.#stream, (frames) => this.#receive(frames))
      this.end(new RingdError('UNREACHABLE', 'the source has ended the stream'))
    } catch (thrown) {
      this.end(toRingdError(thrown))
    }
  }

  async #receive(frames: AsyncIterable<BlockFrame>): Promise<void> {
    for await (const frame of frames) {
      this.#heardAt = this.#deps.clock.elapsed()
      this.#take(headOf(frame), frame)
    }
  }

  #take(head: PullHead, frame: BlockFrame): void {
    if (head.begin !== undefined) this.#begin(this.#answering(head.begin.ask), head.begin)
    else if (head.part !== undefined) this.#part(this.#answering(head.part.ask), head.part, frame.body)
    else if (head.end !== undefined) this.#end(this.#answering(head.end.ask), head.end, frame.body)
    else if (head.refusal !== undefined) this.#refused(this.#answering(head.refusal.ask), refusedWith(frame))
    else throw new RingdError('BAD_MESSAGE', 'a source answers with begin, part, end or refusal')
  }

  /** The ask that the source answers now: they come in order. */
  #answering(number: number): Asked {
    const asked = this.#asked[0]
    if (asked?.number === number) return asked
    throw new RingdError('BAD_MESSAGE', `the source answers ask ${number}, which is not the next one`)
  }

  #begin(asked: Asked, begin: PullBegin): void {
    if (asked.begun !== undefined) throw new RingdError('BAD_MESSAGE', 'an ask begins twice')
    asked.begun = asked.isOver ? Promise.resolve() : asked.taker.begin(begin)
    asked.begun.catch((thrown) => this.#giveUp(asked, toRingdError(thrown)))
    asked.unpacked = asked.begun
  }

  #part(asked: Asked, { entries, holds }: PullPart, body: Bytes): void {
    if (asked.begun === undefined) throw new RingdError('BAD_MESSAGE', 'a part comes before the begin')
    const bytes = holds || body.length
    if (bytes > BLOCK_BODY_BYTES_MAX) {
      throw new RingdError('BAD_MESSAGE', `a part of ${bytes} bytes exceeds the limit of ${BLOCK_BODY_BYTES_MAX}`)
    }
    if (bytes > this.#credit && this.#credit < WINDOW_BYTES) {
      throw new RingdError('BAD_MESSAGE', 'the source sends more than its credit')
    }
    // Without entries it only says that the source is there, and waits for its own pace.
    if (body.length === 0) return
    this.#credit -= bytes
    // One part after the other, so that they stay in their order.
    const isPacked = holds > 0
    const block = asked.unpacked.then(() =>
      isPacked && !asked.isOver ? this.#deps.compression.decompress(body, holds) : body
    )
    asked.unpacked = block.then(() => {})
    asked.unpacked.catch(() => {})
    const taken = block.then((unpacked) => (asked.isOver ? undefined : asked.taker.part(unpacked, entries)))
    asked.taking.push(taken.catch((thrown) => this.#giveUp(asked, toRingdError(thrown))))
    void taken.catch(() => {}).then(() => this.#giveBack(bytes))
  }

  #end(asked: Asked, end: PullEnd, body: Bytes): void {
    if (asked.begun === undefined) throw new RingdError('BAD_MESSAGE', 'an ask ends before it begins')
    this.#asked.shift()
    Promise.all([asked.begun.catch(() => {}), ...asked.taking]).then(
      () => {
        if (asked.isOver) return
        asked.isOver = true
        asked.resolve({ ...end, body })
      },
      () => {}
    )
  }

  #refused(asked: Asked, error: RingdError): void {
    this.#asked.shift()
    Promise.all(asked.taking).then(
      () => this.#fail(asked, error),
      () => {}
    )
  }

  /** The taker has failed, or needs no more: the source is told, and what comes is thrown away. */
  #giveUp(asked: Asked, error: RingdError): void {
    if (asked.isOver) return
    this.#fail(asked, error)
    if (this.#error === undefined && this.#asked.includes(asked)) {
      this.#outgoing.push(toFrame({ cancel: { ask: asked.number } }))
    }
  }

  #fail(asked: Asked, error: RingdError): void {
    if (asked.isOver) return
    asked.isOver = true
    asked.reject(error)
  }

  #giveBack(bytes: number): void {
    this.#due += bytes
    void this.#give()
  }

  /** Gives the source credit, piece by piece as the pace allows. One piece waits at a time. Never throws. */
  async #give(): Promise<void> {
    if (this.#isGiving) return
    this.#isGiving = true
    while (this.#mayGive) {
      const bytes = Math.min(this.#due, CREDIT_BYTES)
      await this.#deps.pace?.(bytes, this.#ended.signal)
      if (this.#error !== undefined) return
      this.#due -= bytes
      this.#credit += bytes
      this.#outgoing.push(toFrame({ credit: { bytes } }))
    }
    this.#isGiving = false
  }

  get #mayGive(): boolean {
    if (this.#error !== undefined || this.#asked.length === 0) return false
    const isIdle = this.#credit + this.#due >= WINDOW_BYTES
    return this.#due >= CREDIT_BYTES || (isIdle && this.#due > 0)
  }

  #look(): void {
    // Without all of its credit the source may wait for this peer: for its disk, or for its pace.
    const isWaiting = this.#asked.length > 0 && this.#credit >= WINDOW_BYTES
    if (!isWaiting) this.#heardAt = this.#deps.clock.elapsed()
    else if (this.#deps.clock.elapsed() - this.#heardAt > SILENCE_MS) {
      this.end(new RingdError('TIMEOUT', `the source has sent nothing for ${SILENCE_MS} ms`))
    }
  }
}
