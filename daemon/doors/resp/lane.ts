// The turns of operations that may take much memory. At most some bytes of them run at once in the whole door; the
// others wait, first come, first served. Small operations do not come here, so they never wait behind large ones.
// Owns the queue and its bounds. Does not know what an operation does.
// Invariant: each operation of an open connection is started once or refused once; none waits for more than
// `WAIT_MS_MAX`.
import type { Clock } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { LargeWork } from '../../../lib/large-work.js'

/** The client of an operation. */
export interface LaneUser {
  /** Its connection is closed: nobody waits for its operations any more. */
  readonly isClosed: boolean
  /** It has read a part of one reply. It goes first, or it could hold that part for ever. */
  readonly holdsPart: boolean
}

export interface LaneOptions {
  /** The bytes of the operations that run at once, with their copies. A single operation may be larger. */
  readonly bytesMax: number | (() => number)
  /** Each byte of an operation takes this number of bytes while it runs. */
  readonly copies: number
  /** Whether there is room for the result of one more operation. `isPart`: the user holds the first part already. */
  readonly hasRoom: (bytes: number, isPart: boolean) => boolean
  /** Each operation begins in its turn. Left out: it begins as soon as it may. */
  readonly largeWork?: LargeWork
}

/** Expected bytes; a function when they are guessed anew at the moment of the start. */
type Expected = number | (() => number)

interface Waiting {
  readonly user: LaneUser
  readonly bytes: Expected
  readonly start: (ended: () => void) => void
  readonly refuse: (error: RingdError) => void
  readonly deadlineMs: number
}

/** Longer than the timeout of an operation, so that a ring that is slow is not taken for a full queue. */
export const WAIT_MS_MAX = 30_000
const WAITING_MAX = 8192

/** One for each kind of operation that must not wait for another kind. */
export class Lane {
  readonly #clock: Clock
  readonly #options: LaneOptions
  #queue: Waiting[] = []
  #running = 0
  #runningBytes = 0
  #pumping = false

  constructor(clock: Clock, options: LaneOptions) {
    this.#clock = clock
    this.#options = options
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** The expected bytes of the operations that run, without copies. */
  get runningBytes(): number {
    return this.#runningBytes
  }

  /**
   * Calls `start` at once or later, with a function to call when the operation has ended and its result is counted
   * elsewhere; or `refuse` with OVERLOADED.
   */
  run(user: LaneUser, bytes: Expected, start: Waiting['start'], refuse: Waiting['refuse']): void {
    if (this.#queue.length >= WAITING_MAX) {
      refuse(new RingdError('OVERLOADED', `${WAITING_MAX} operations on large values wait already; try again later`))
      return
    }
    this.#queue.push({ user, bytes, start, refuse, deadlineMs: this.#clock.elapsed() + WAIT_MS_MAX })
    this.pump()
  }

  /** Starts what may start now. Call it when `hasRoom` may have become true. */
  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    for (let next = this.#take(); next !== undefined; next = this.#take()) this.#start(next, amountOf(next.bytes))
    this.#pumping = false
  }

  /** Refuses the operations that have waited too long. Returns how many. */
  expire(nowMs: number): number {
    const late = this.#queue.filter(({ deadlineMs }) => deadlineMs <= nowMs)
    if (late.length === 0) return 0
    this.#queue = this.#queue.filter(({ deadlineMs }) => deadlineMs > nowMs)
    for (const { refuse } of late) {
      refuse(new RingdError('OVERLOADED', `no room for a large value within ${WAIT_MS_MAX} ms; try again later`))
    }
    this.pump()
    return late.length
  }

  /** The next operation that may start, out of the queue. */
  #take(): Waiting | undefined {
    this.#dropClosed()
    const held = this.#queue.findIndex(({ user }) => user.holdsPart)
    const at = Math.max(0, held)
    const next = this.#queue[at]
    if (next === undefined) return undefined
    const bytes = amountOf(next.bytes)
    const { bytesMax, copies, hasRoom } = this.#options
    if (this.#running > 0 && copies * (this.#runningBytes + bytes) > amountOf(bytesMax)) return undefined
    if (!hasRoom(bytes, held >= 0)) return undefined
    this.#queue.splice(at, 1)
    return next
  }

  /** Drops what closed connections have left at the head. Each of them has let go of its calls already. */
  #dropClosed(): void {
    while (this.#queue[0]?.user.isClosed) this.#queue.shift()
  }

  #start({ user, start }: Waiting, bytes: number): void {
    if (user.isClosed) return
    this.#running++
    this.#runningBytes += bytes
    const ended = (): void => {
      this.#running--
      this.#runningBytes -= bytes
      this.pump()
    }
    const { largeWork } = this.#options
    if (largeWork === undefined) start(ended)
    else {
      largeWork.begin(() => {
        if (user.isClosed) ended()
        else start(ended)
        return !user.isClosed
      })
    }
  }
}

function amountOf(bytes: Expected): number {
  return typeof bytes === 'number' ? bytes : bytes()
}
