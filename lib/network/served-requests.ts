// The requests of the other end of a link: those in service, and those that wait for a turn.
// Invariants: requests begin in the order of their arrival; each is answered at most once; a handler that throws
// answers with its error.
import { RingdError, toRingdError } from '../errors.js'
import type { LargeWork } from '../large-work.js'
import type { Logger } from '../logger.js'
import type { LaneUser, Turn } from './answer-lanes.js'
import type { Answer, Body, Link, RequestHandler } from './network.js'
import type { DecodedFrame } from './packet-reader.js'
import type { RequestRate } from './request-rate.js'

export interface ServedOptions {
  readonly log: Logger
  readonly handler: RequestHandler
  /** For links of clients: a read begins when it has its turn. */
  readonly lane: LaneUser | undefined
  /** Bounds how many requests begin in a second. */
  readonly rate: RequestRate | undefined
  readonly largeWork: LargeWork | undefined
  /** False: no request begins for now. Call `advance` when it becomes true. */
  readonly mayBegin: () => boolean
  readonly answer: (id: number, answer: Answer) => void
  /** Room for an answer was reserved. */
  readonly onReserved: () => void
  /** A request was answered. */
  readonly onAnswered: () => void
}

interface Waiting {
  readonly from: Link
  readonly frame: DecodedFrame
}

export class ServedRequests {
  private readonly options: ServedOptions
  private inService = 0
  private frameBytes = 0
  private reservedBytes = 0
  private waiting: Waiting[] = []
  private advancing = false
  private stopped = false

  constructor(options: ServedOptions) {
    this.options = options
  }

  /** Requests that have no answer yet. */
  get count(): number {
    return this.inService + this.waiting.length
  }

  /** Requests that have begun and have no answer yet. */
  get begun(): number {
    return this.inService
  }

  /** The bytes of these requests. */
  get bytes(): number {
    return this.frameBytes
  }

  /** Bytes that the answers of reads in service may take. */
  get reserved(): number {
    return this.reservedBytes
  }

  get hasWaiting(): boolean {
    return this.waiting.length > 0
  }

  /** Serves a request now, or when those before it have begun and it may begin. */
  add(from: Link, frame: DecodedFrame): void {
    this.frameBytes += frame.bytes
    if (this.waiting.length === 0 && this.begin(from, frame)) return
    this.waiting.push({ from, frame })
  }

  /** Begins the waiting requests that may begin now. */
  readonly advance = (): void => {
    if (this.advancing || this.stopped || this.waiting.length === 0) return
    this.advancing = true
    let begun = 0
    for (const { from, frame } of this.waiting) {
      if (this.stopped || !this.begin(from, frame)) break
      begun++
    }
    if (begun > 0) this.waiting = this.waiting.slice(begun)
    this.advancing = false
  }

  /** No waiting request begins any more. Answers of those in service are dropped by the link. */
  stop(): void {
    this.stopped = true
    this.waiting = []
    this.options.lane?.close()
    this.options.rate?.stop()
  }

  private begin(from: Link, frame: DecodedFrame): boolean {
    const { lane, mayBegin, rate } = this.options
    if (rate?.take() === false) return false
    if (lane === undefined) {
      this.run(from, frame, undefined)
      return true
    }
    if (!mayBegin()) return false
    const read = readOf(frame.body)
    const turn = read && lane.enter(read)
    if (read !== undefined && turn === undefined) return false
    this.run(from, frame, turn)
    return true
  }

  private run(from: Link, { id, body, bytes }: DecodedFrame, turn: Turn | undefined): void {
    const { answer, onAnswered, onReserved, largeWork } = this.options
    this.inService++
    if (turn !== undefined) {
      this.reservedBytes += turn.bytes
      onReserved()
    }
    let answered = false
    const respond = (result: Answer): void => {
      if (answered) return
      answered = true
      this.inService--
      this.frameBytes -= bytes
      if (turn !== undefined) this.reservedBytes -= turn.bytes
      answer(id, result)
      turn?.leave(sizeOf(result))
      onAnswered()
    }
    if (turn?.isLarge && largeWork !== undefined) largeWork.begin(() => this.handle(from, body, respond))
    else this.handle(from, body, respond)
  }

  /** False when the link has stopped, and the handler was not called. */
  private handle(from: Link, body: Body, respond: (answer: Answer) => void): boolean {
    if (this.stopped) {
      respond(new RingdError('STOPPED'))
      return false
    }
    const { log, handler } = this.options
    try {
      handler(from, body, respond)
    } catch (thrown) {
      log.error({ peer: from.peerId, err: thrown }, 'request handler failed')
      respond(toRingdError(thrown))
    }
    return true
  }
}

/** What the request reads, when the answer may be much larger than the request. */
function readOf(body: Body): 'value' | 'report' | undefined {
  if (body.clientGet !== undefined) return 'value'
  return body.clientQuery !== undefined ? 'report' : undefined
}

function sizeOf(answer: Answer): number {
  if (answer instanceof RingdError) return 0
  return (answer.clientValue?.value?.length ?? 0) + (answer.clientReport?.json.length ?? 0)
}
