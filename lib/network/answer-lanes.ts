// Turns for the reads of clients. Nobody knows how large a value is before the owners have sent it, so the number of
// reads in service is the bound of the memory that they may take. Clients whose answers are small share many turns;
// the others, and those that have not read yet, have one turn after the other, and room for the largest answer is held.
// Reports are small, so they never wait for large values.
// Invariant: a link that waits gets its turn in the order of waiting, or after RETRY_MS when only bytes were short.
import type { Clock, Timer } from '../clock.js'
import { KiB, MiB, VALUE_BYTES_MAX } from '../limits.js'
import type { Account } from './byte-budget.js'

export interface LaneLimits {
  /** Reads in service of clients with small answers, all together and of one link. */
  readonly smallMax: number
  readonly smallOfLinkMax: number
  /** Reads in service of all other clients, all together. */
  readonly largeMax: number
}

/** Two large reads at once would bring no more bytes in a second, and make everybody else wait longer. */
const LIMITS: LaneLimits = { smallMax: 64, smallOfLinkMax: 32, largeMax: 1 }
/** A small answer has at most this many bytes. */
const SMALL_BYTES_MAX = 64 * KiB
/** After this many small answers in a row the next is expected to be small. */
const SMALL_RUN = 4
/** Held for an answer of unknown length: a value of the limit, and its frame. */
const LARGE_BYTES = VALUE_BYTES_MAX + MiB / 4
/** After a large answer in the lane of small ones, that lane has so few turns for so long. */
const STRICT_MAX = 16
const STRICT_MS = 10_000
const RETRY_MS = 50
/** Links that are asked at once whether they can use a turn. The others are asked the next time. */
const WOKEN_MAX = 16

/** One read in service. `leave` is called once, with the length of the answer. */
export interface Turn {
  readonly bytes: number
  readonly isLarge: boolean
  leave(answerBytes: number): void
}

export class AnswerLanes {
  private readonly clock: Clock
  private readonly limits: LaneLimits
  private small = 0
  private large = 0
  private strictUntil = 0
  private readonly waitingSmall = new Set<LaneUser>()
  private readonly waitingLarge = new Set<LaneUser>()
  private timer: Timer | undefined

  constructor(clock: Clock, limits: LaneLimits = LIMITS) {
    this.clock = clock
    this.limits = limits
  }

  /** For one link. `onTurn` is called when the link waits and may try again. */
  user(account: Account, onTurn: () => void): LaneUser {
    return new LaneUser(this, account, onTurn)
  }

  /** For LaneUser. */
  take(user: LaneUser, isSmall: boolean): Turn | undefined {
    const bytes = isSmall ? SMALL_BYTES_MAX : LARGE_BYTES
    const free = isSmall ? this.small < this.smallMax() && user.inService < this.limits.smallOfLinkMax : this.hasLarge
    if (!free || !user.account.fits(bytes)) {
      this.wait(user, isSmall)
      return undefined
    }
    if (isSmall) this.small++
    else this.large++
    user.inService++
    let left = false
    return {
      bytes,
      isLarge: !isSmall,
      leave: (answerBytes) => {
        if (left) return
        left = true
        if (isSmall) this.small--
        else this.large--
        user.inService--
        user.answered(answerBytes)
        if (isSmall && answerBytes > SMALL_BYTES_MAX) this.strictUntil = this.clock.elapsed() + STRICT_MS
        this.wake(isSmall)
      }
    }
  }

  private get hasLarge(): boolean {
    return this.large < this.limits.largeMax
  }

  private smallMax(): number {
    return this.clock.elapsed() < this.strictUntil ? Math.min(STRICT_MAX, this.limits.smallMax) : this.limits.smallMax
  }

  private wait(user: LaneUser, isSmall: boolean): void {
    if (user.closed) return
    const waiting = isSmall ? this.waitingSmall : this.waitingLarge
    waiting.add(user)
    this.timer ??= this.clock.after(RETRY_MS, () => {
      this.timer = undefined
      this.wake(true)
      this.wake(false)
    })
  }

  /** Not waiting any more. */
  forget(user: LaneUser): void {
    this.waitingSmall.delete(user)
    this.waitingLarge.delete(user)
  }

  private wake(isSmall: boolean): void {
    const waiting = isSmall ? this.waitingSmall : this.waitingLarge
    let woken = 0
    // A user that still finds no turn is added again, behind the others.
    for (const user of waiting) {
      if (woken++ === WOKEN_MAX || !(isSmall ? this.small < this.smallMax() : this.hasLarge)) return
      waiting.delete(user)
      user.onTurn()
    }
  }
}

export class LaneUser {
  readonly account: Account
  readonly onTurn: () => void
  private readonly lanes: AnswerLanes
  private smallRun = 0
  inService = 0
  closed = false

  constructor(lanes: AnswerLanes, account: Account, onTurn: () => void) {
    this.lanes = lanes
    this.account = account
    this.onTurn = onTurn
  }

  get expectsSmall(): boolean {
    return this.smallRun >= SMALL_RUN
  }

  /** A turn for one value or report; undefined when there is none now, and then `onTurn` is called later. */
  enter(of: 'value' | 'report' = 'value'): Turn | undefined {
    return this.lanes.take(this, of === 'report' || this.expectsSmall)
  }

  answered(bytes: number): void {
    this.smallRun = bytes > SMALL_BYTES_MAX ? 0 : this.smallRun + 1
  }

  close(): void {
    this.closed = true
    this.lanes.forget(this)
  }
}
