// How quickly each member answers this router. It decides which owner a read asks first, and when it asks a second one.
// Part of the router. The times are estimates: no answer is counted or dropped because of them.
import type { MemberId } from '../../member.js'

/** A second owner is asked when the first takes this many times its usual time, within the two bounds below. */
const HEDGE_FACTOR = 4
export const HEDGE_MS_MIN = 20
export const HEDGE_MS_MAX = 500
/** Weight of the newest answer in a member's usual time. */
const LATENCY_GAIN = 0.05
/** Assumed usual time of a member that has not answered yet, ms. */
const LATENCY_MS_START = 5
/** Each request under way makes a member look slower by this share of its usual time. */
const QUEUE_SHARE = 1 / 16

interface Latency {
  /** Moving average, ms. */
  usualMs: number
  underWay: number
}

/** The usual answer time of each member, and the requests to it that are under way. */
export class PeerLatency {
  readonly #members = new Map<MemberId, Latency>()

  /** A request was sent to the member. */
  asked(member: MemberId): void {
    this.#of(member).underWay += 1
  }

  /** The request ended after `tookMs`, with an answer or an error. */
  answered(member: MemberId, tookMs: number): void {
    const latency = this.#of(member)
    latency.underWay -= 1
    latency.usualMs += (tookMs - latency.usualMs) * LATENCY_GAIN
  }

  /** After how many ms without an answer another owner is asked as well. */
  hedgeAfterMs(member: MemberId): number {
    return Math.min(Math.max(this.#of(member).usualMs * HEDGE_FACTOR, HEDGE_MS_MIN), HEDGE_MS_MAX)
  }

  /** Expected time of a request to the member, ms: its usual time, longer for each request under way. */
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

/** The costs of the items that are being sorted. Kept: every read sorts. */
const costs: number[] = []

/** The items by cost, ascending; equal costs keep their order. Insertion sort: every read calls it, owners are few. */
export function cheapestFirst<T>(items: readonly T[], costOf: (item: T) => number): T[] {
  const sorted = items.slice()
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!
    const cost = costOf(item)
    let at = i
    for (; at > 0 && costs[at - 1]! > cost; at--) {
      sorted[at] = sorted[at - 1]!
      costs[at] = costs[at - 1]!
    }
    sorted[at] = item
    costs[at] = cost
  }
  return sorted
}
