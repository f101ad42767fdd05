// The part of membership that removes members that are down for long. It keeps what the detector told, says which
// member to propose, and refuses to evict a member that is heard here. See eviction.md.
// Invariants: a hearing that is older than a few ticks of the detector counts for nothing, so a process that did not
// run for a while evicts nobody; and an eviction is refused before a ballot is promised, never when a change is to be
// accepted: a change that one acceptor has accepted must stay acceptable to all.
import {
  type EvictionChoice as Candidate,
  EVICTION_DEFAULTS,
  type EvictionOptions,
  type Hearing,
  memberToEvict,
  NOTHING_HEARD
} from '../../detector/eviction-rule.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Metrics } from '../../metrics.js'
import type { RingState } from '../../views/ring-state.js'

export interface EvictorDeps {
  readonly log: Logger
  readonly metrics: Metrics
}

/** A hearing that is older than this says nothing about now. The detector tells one each second. */
const HEARING_MS_MAX = 2500
/** Rest after a refusal: this, or a quarter of the time after which members are evicted, whichever is longer. */
const BACKOFF_MS_MIN = 2000
const BACKOFF_SHARE = 4

/** A member to evict, and since when this peer has known that it is due; monotonic ms. */
export interface DueEviction {
  readonly member: MemberId
  readonly from: number
}

export class Evictor {
  readonly #log: Logger
  readonly #options: EvictionOptions
  readonly #proposed: Counter
  readonly #refused: Counter
  readonly #objected: Counter
  readonly #done: Counter
  #hearing: Hearing = NOTHING_HEARD
  #notBefore = Number.NEGATIVE_INFINITY
  /** The last answer of the rule, and its input. The rule looks at all slots, and is asked ten times a second. */
  #lastAnswer:
    | { readonly hearing: Hearing; readonly ring: RingState; readonly candidate: Candidate | undefined }
    | undefined
  #due: DueEviction | undefined

  constructor({ log, metrics }: EvictorDeps, options: Partial<EvictionOptions> = {}) {
    this.#log = log
    this.#options = { ...EVICTION_DEFAULTS, ...options }
    const counter = (what: string, help: string) => metrics.counter(`ringd_eviction_${what}`, help)
    this.#proposed = counter('proposed', 'evictions of members that this peer asked the others for')
    this.#refused = counter('refused', 'evictions that this peer asked for in vain')
    this.#objected = counter('objections', 'evictions that this peer refused since it hears the member')
    this.#done = counter('done', 'members that were evicted because this peer asked for it')
  }

  /** The detector tells which members are heard and which are down. */
  hear(hearing: Hearing): void {
    this.#hearing = hearing
  }

  /**
   * The first of these members that is heard here, and so must not be removed. One that is linked counts as heard until
   * the detector calls it down: after a start of this peer, and for former members, the detector has not told yet.
   */
  heardOf(members: readonly MemberId[], isLinked: (id: MemberId) => boolean): MemberId | undefined {
    const { heard, downSince } = this.#hearing
    return members.find((id) => heard.has(id) || (isLinked(id) && !downSince.has(id)))
  }

  /** The member to evict now, when nothing else waits to be agreed on. */
  due(ring: RingState, now: number): DueEviction | undefined {
    const member = this.#candidate(ring, now)?.member
    if (member !== this.#due?.member) this.#due = member === undefined ? undefined : { member, from: now }
    return now < this.#notBefore ? undefined : this.#due
  }

  #candidate(ring: RingState, now: number): Candidate | undefined {
    const { view, configs, departures } = ring
    const hearing = this.#hearing
    if (view === undefined || configs === undefined || now - hearing.at > HEARING_MS_MAX) return undefined
    if (this.#lastAnswer?.hearing !== hearing || this.#lastAnswer.ring !== ring) {
      const leavingAsDead = new Set(
        Array.from(departures.values()).flatMap((request) => (request.dead ? request.storeId : []))
      )
      const candidate = memberToEvict({ view, configs, hearing, leavingAsDead }, this.#options)
      this.#lastAnswer = { hearing, ring, candidate }
    }
    return this.#lastAnswer.candidate
  }

  /** A ballot to evict the member is being sent to the acceptors. */
  proposed(member: MemberId): void {
    this.#proposed.add()
    const { hearing, candidate } = this.#lastAnswer!
    const downMs = Math.round(hearing.at - (hearing.downSince.get(member) ?? hearing.at))
    const slotsAtRisk = candidate?.slotsAtRisk ?? 0
    if (slotsAtRisk === 0) return this.#log.warn({ member, downMs }, 'proposing to evict a member that is down')
    const text = 'proposing to evict a member that is down; too few owners are left: acknowledged writes may be missing'
    this.#log.error({ member, downMs, slotsAtRisk }, text)
  }

  /** Too many acceptors hear the member, or too few answered. This peer rests, so that others can change the ring. */
  refused(member: MemberId, now: number): void {
    this.#refused.add()
    this.#notBefore = now + Math.max(BACKOFF_MS_MIN, this.#options.evictAfterMs / BACKOFF_SHARE)
    this.#log.info({ member, againInMs: Math.round(this.#notBefore - now) }, 'the others did not evict the member')
  }

  /** This peer has refused to promise: it hears the member. */
  objected(member: MemberId, proposer: MemberId): void {
    this.#objected.add()
    this.#log.info({ member, proposer }, 'refused to evict a member that is up here')
  }

  /** The view without the member is chosen. */
  done(member: MemberId, view: number): void {
    this.#done.add()
    this.#log.warn({ member, view }, 'member evicted')
  }
}
