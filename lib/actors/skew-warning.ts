// Tells an operator that the clocks of two peers differ too much. Transfers and repairs between them are tried again
// and again, so the line comes once in a while only.
import type { Clock } from '../clock.js'
import type { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'

/** One line in this time, whichever peer it is. */
const WARN_MS = 60_000

export class SkewWarning {
  readonly #deps: { readonly clock: Clock; readonly log: Logger }
  #nextAt = Number.NEGATIVE_INFINITY

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.#deps = { clock, log }
  }

  /**
   * `member` is the other end, whose entries were refused or which refused those of this member. `entries`: how many of
   * one message; undefined: the whole message.
   */
  failed(error: RingdError, member: MemberId, entries?: number): void {
    const now = this.#deps.clock.elapsed()
    if (error.code !== 'CLOCK_SKEW' || now < this.#nextAt) return
    this.#nextAt = now + WARN_MS
    this.#deps.log.warn(
      { member, err: error, ...(entries !== undefined && { entries }) },
      'entries are not taken because their versions lie in the future; check the clocks, and run ringd doctor there'
    )
  }
}
