// How quickly each member has been answering this router: who is asked first, and when a second owner is asked.
// Part of the router. An estimate, and never a reason to count or to drop an answer.
import type { MemberId } from '../../member.js'

/** A second owner is asked when the first has taken this many times its usual time, within the bounds below. */
const HEDGE_FACTOR = 4
export const HEDGE_MS_MIN = 20
export const HEDGE_MS_MAX = 500
/** Weight of the newest answer in a member's usual time. */
const LATENCY_GAIN = 0.05
/** What a member is assumed to take before it has answered once, ms. */
const LATENCY_MS_START = 5
/** Each request under way makes a member look slower by this share of its usual time. */
const QUEUE_SHARE = 1 / 16

interface Latency {
  usualMs: number
  underWay: number
}

export class PeerLatency {
  readonly #members = new Map<MemberId, Latency>()

  /** A request leaves for the member. */
  asked(member: MemberId): void {
    this.#of(member).underWay += 1
  }

  /** Its answer, or the error that stands for it, came after `tookMs`. */
  answered(member: MemberId, tookMs: number): void {
    const latency = this.#of(member)
    latency.underWay -= 1
    latency.usualMs += (tookMs - latency.usualMs) * LATENCY_GAIN
  }

  /** After how many ms without an answer another owner is asked as well. */
  hedgeAfterMs(member: MemberId): number {
    return Math.min(Math.max(this.#of(member).usualMs * HEDGE_FACTOR, HEDGE_MS_MIN), HEDGE_MS_MAX)
  }

  /** What asking the member is expected to cost, ms: its usual time, stretched by the requests under way. */
  cost(member: MemberId): number {
    const { usualMs, underWay } = this.#of(member)
    return usualMs * (1 + underWay * QUEUE_SHARE)
  }

  #of(member: MemberId): Latency {
    let latency = this.#members.get(member)
    if (latency === undefined) {
      latency = { usualMs: LATENCY_MS_START, underWay: 0 }
      this.#members.set(member, latency)
    }
    return latency
  }
}
