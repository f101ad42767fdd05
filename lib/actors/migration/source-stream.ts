// The source's end of a pull stream: serves the asks of one puller, one after the other, as its credit allows. The
// other end is puller-stream.ts; the replica takes the snapshots (lib/actors/replica/pull-source.ts).
// Invariants: a part is read only when there is credit for it, so at most two parts are in memory; each ask is answered
// with an end or a refusal; a puller that asks too much, gives no credit or does not read ends its stream.
import { pipe } from 'it-pipe'
import { type Pushable, pushable } from 'it-pushable'
import { type Bytes, EMPTY_BYTES } from '../../bytes.js'
import { type Clock, every, type Timer } from '../../clock.js'
import type { Compression } from '../../compression.js'
import type { FetchedBlock } from '../../entry/block.js'
import { BlockWriter, readKeys } from '../../entry/block.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KEY_BYTES_MAX } from '../../limits.js'
import type { BlockFrame, BlockStream, Link } from '../../network/network.js'
import type { PullAsk } from '../../network/wire.js'
import { checkRanges } from '../../ring/slots.js'
import type { Ref } from '../../runtime/actor.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage, SourceSnapshot, StandingPromise, TakenBlock } from '../replica/replica-messages.js'
import type { Paced } from './pace.js'
import { PartCompressor } from './part-compression.js'
import {
  ASKS_MAX,
  headOf,
  PART_BYTES_MAX,
  PULLED,
  type Pulled,
  refusalFrame,
  toFrame,
  WINDOW_BYTES
} from './pull-frames.js'

export interface SourceStreamDeps {
  readonly clock: Clock
  readonly replica: Ref<ReplicaMessage>
  readonly compression: Compression
  /** Why the peer may not pull; undefined: it may. */
  readonly refusal: (from: Link, view: number) => RingdError | undefined
  /** Resolves when so many bytes more may be sent. Left out: at once. */
  readonly pace?: Paced | undefined
  /** Told of each part that is sent: its entries, and the bytes that it holds. */
  readonly sent?: ((entries: number, bytes: number) => void) | undefined
}

/** A puller that gives no credit for so long, although it has asked, is given up: its disk takes nothing. */
const NO_CREDIT_MS = 120_000
/** While a part waits for the pace of this peer, the puller is told so often that the source is there. */
const ALIVE_MS = 10_000
const LOOK_MS = 1000

/** Serves the puller until the stream ends. Never throws. */
export function servePull(deps: SourceStreamDeps, stream: BlockStream): void {
  void new SourceStream(deps, stream).run()
}

/** An ask, and the bytes that came with it. */
interface Wanted {
  readonly ask: PullAsk
  readonly body: Bytes
}

class SourceStream {
  readonly #deps: SourceStreamDeps
  readonly #stream: BlockStream
  readonly #wanted: Pushable<Wanted> = pushable({ objectMode: true })
  readonly #cancelled = new Set<number>()
  readonly #compressor: PartCompressor
  readonly #watch: Timer
  /** The numbers of the asks that are not answered yet. */
  readonly #waiting = new Set<number>()
  #highest = 0
  #credit = 0
  #onCredit: (() => void) | undefined
  /** Since when a part waits for credit and none has come; monotonic ms. */
  #since: number | undefined
  #error: RingdError | undefined
  /** Aborted when the stream ends. */
  readonly #ended = new AbortController()

  constructor(deps: SourceStreamDeps, stream: BlockStream) {
    this.#deps = deps
    this.#stream = stream
    this.#compressor = new PartCompressor(deps.compression)
    this.#watch = every(deps.clock, LOOK_MS, () => this.#look())
  }

  async run(): Promise<void> {
    const { source, sink } = this.#stream
    const asked = pipe(source, (frames) => this.#take(frames))
    const served = pipe(
      this.#wanted,
      (wanted) => this.#serve(wanted),
      (frames) => this.#paced(frames),
      sink
    )
    await Promise.all([asked, served]).catch((thrown) => this.#end(toRingdError(thrown)))
    this.#end(new RingdError('UNREACHABLE', 'the puller has ended the stream'))
  }

  #end(error: RingdError): void {
    this.#watch.cancel()
    if (this.#error !== undefined) return
    this.#error = error
    this.#ended.abort()
    this.#wanted.end()
    this.#onCredit?.()
    this.#stream.abort(error)
  }

  // ---- what the puller sends ----

  async #take(frames: AsyncIterable<BlockFrame>): Promise<void> {
    for await (const frame of frames) {
      const { ask, credit, cancel } = headOf(frame)
      if (ask !== undefined) this.#asked(ask, frame.body)
      else if (credit !== undefined) this.#credited(credit.bytes)
      else if (cancel !== undefined) this.#cancel(cancel.ask)
      else throw new RingdError('BAD_MESSAGE', 'a puller sends asks, credit and cancels')
    }
    this.#wanted.end()
  }

  #asked(ask: PullAsk, body: Bytes): void {
    if (ask.number <= this.#highest) throw new RingdError('BAD_MESSAGE', 'the numbers of asks ascend')
    if (this.#waiting.size >= ASKS_MAX) throw new RingdError('BAD_MESSAGE', `more than ${ASKS_MAX} asks wait`)
    this.#highest = ask.number
    this.#waiting.add(ask.number)
    this.#wanted.push({ ask, body })
  }

  /** A cancel may come after the end of its ask was sent. */
  #cancel(ask: number): void {
    if (this.#waiting.has(ask)) this.#cancelled.add(ask)
  }

  #credited(bytes: number): void {
    this.#credit = Math.min(this.#credit + bytes, WINDOW_BYTES)
    if (this.#since !== undefined) this.#since = this.#deps.clock.elapsed()
    this.#onCredit?.()
  }

  // ---- what it is sent ----

  async *#serve(wanted: AsyncIterable<Wanted>): AsyncGenerator<BlockFrame> {
    for await (const { ask, body } of wanted) {
      try {
        yield* this.#answer(ask, body)
      } catch (thrown) {
        yield refusalFrame(ask.number, toRingdError(thrown))
      }
      this.#waiting.delete(ask.number)
      this.#cancelled.delete(ask.number)
    }
  }

  async *#answer(ask: PullAsk, body: Bytes): AsyncGenerator<BlockFrame> {
    const { view, ranges, config, number } = ask
    const { from } = this.#stream
    const refusal = this.#deps.refusal(from, view)
    if (refusal !== undefined) throw refusal
    const what = PULLED[ask.what]
    if (what === undefined) throw new RingdError('BAD_REQUEST', `there is nothing ${ask.what} to pull`)
    checkRanges(ranges)
    if (what === 'keys') return yield* this.#answerKeys(ask, body)
    const snapshot = await askReplica<SourceSnapshot>(this.#deps, (reply) => ({
      type: 'snapshot',
      view,
      from,
      config,
      ranges,
      withSums: what === 'sums',
      withPromises: what === 'promises',
      reply
    }))
    const { ready, closing, closed } = snapshot
    yield toFrame({ begin: { ask: number, ready, closing: [...closing], closed: [...closed] } })
    yield* this.#answerFrom(snapshot, what, ask, body)
  }

  async *#answerFrom(snapshot: SourceSnapshot, what: Pulled, ask: PullAsk, body: Bytes): AsyncGenerator<BlockFrame> {
    const end = { ask: ask.number, entries: 0, checksum: 0, last: true, taken: 0 }
    if (what === 'sums') return yield toFrame({ end }, snapshot.sums)
    const after = body.length === 0 ? undefined : body
    if (what === 'versions') {
      const { last, ...taken } = await snapshot.versions(after)
      yield await this.#partOf(ask, taken)
      return yield toFrame({ end: { ...end, entries: taken.count, checksum: taken.checksum, last } })
    }
    const parts = what === 'promises' ? blocksOf(snapshot.promises) : ahead(snapshot.entries(after, PART_BYTES_MAX))
    for await (const taken of parts) {
      if (this.#cancelled.has(ask.number)) throw new RingdError('STOPPED', 'the puller needs no more')
      end.entries += taken.count
      end.checksum = (end.checksum + taken.checksum) >>> 0
      yield await this.#partOf(ask, taken)
    }
    yield toFrame({ end })
  }

  async *#answerKeys(ask: PullAsk, body: Bytes): AsyncGenerator<BlockFrame> {
    const { view, config, number } = ask
    const keys = readKeys(body, KEY_BYTES_MAX)
    const { from } = this.#stream
    const fetched = await askReplica<FetchedBlock & TakenBlock>(this.#deps, (reply) => ({
      type: 'fetch',
      view,
      from,
      config,
      keys,
      reply
    }))
    const { count, checksum, taken } = fetched
    yield toFrame({ begin: { ask: number, ready: false, closing: [], closed: [] } })
    yield await this.#partOf(ask, fetched)
    yield toFrame({ end: { ask: number, entries: count, checksum, last: true, taken } })
  }

  async #partOf({ number, zstd }: PullAsk, { block, count }: TakenBlock): Promise<BlockFrame> {
    const { body, holds } = zstd ? await this.#compressor.pack(block) : { body: block, holds: 0 }
    return toFrame({ part: { ask: number, entries: count, holds } }, body)
  }

  /** Lets each part wait for credit, and for the pace of this peer. */
  async *#paced(frames: AsyncIterable<BlockFrame>): AsyncGenerator<BlockFrame> {
    for await (const frame of frames) {
      const bytes = frame.body.length
      const part = bytes > 0 ? headOf(frame).part : undefined
      if (part !== undefined) {
        const holds = part.holds || bytes
        await this.#room(holds)
        yield* this.#turn(part.ask, bytes)
        this.#credit -= holds
        this.#deps.sent?.(part.entries, holds)
      }
      if (this.#error !== undefined) return
      yield frame
    }
  }

  /** Ends when the pace allows so many bytes, or the stream has ended. Yields an empty part now and then. */
  async *#turn(ask: number, bytes: number): AsyncGenerator<BlockFrame> {
    const turn = this.#deps.pace?.(bytes, this.#ended.signal)
    if (turn === undefined) return
    while (!(await this.#isOverSoon(turn))) yield toFrame({ part: { ask, entries: 0, holds: 0 } }, EMPTY_BYTES)
  }

  #isOverSoon(turn: Promise<void>): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = this.#deps.clock.after(ALIVE_MS, () => resolve(false))
      void turn.then(() => {
        timer.cancel()
        resolve(true)
      })
    })
  }

  /** Resolves when the credit is enough, or whole, or the stream has ended. */
  async #room(bytes: number): Promise<void> {
    this.#since = this.#deps.clock.elapsed()
    while (this.#error === undefined && this.#credit < Math.min(bytes, WINDOW_BYTES)) {
      await new Promise<void>((resolve) => {
        this.#onCredit = resolve
      })
    }
    this.#onCredit = undefined
    this.#since = undefined
  }

  #look(): void {
    if (this.#since === undefined || this.#deps.clock.elapsed() - this.#since < NO_CREDIT_MS) return
    this.#end(new RingdError('TIMEOUT', `the puller has given no credit for ${NO_CREDIT_MS} ms`))
  }
}

/** Promises as blocks of versions. */
function* blocksOf(promises: readonly StandingPromise[]): Generator<TakenBlock> {
  const writer = new BlockWriter(PART_BYTES_MAX)
  for (const { storedKey, ballot } of promises) {
    if (writer.add(storedKey, ballot)) continue
    yield writer.take()
    writer.add(storedKey, ballot)
  }
  if (!writer.isEmpty) yield writer.take()
}

/** The same items. The next one is made while the one before is used. */
async function* ahead<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = items.next()
  try {
    for (;;) {
      const { done, value } = await next
      if (done === true) return
      next = items.next()
      next.catch(() => {})
      yield value
    }
  } finally {
    await items.return(undefined)
  }
}
