// The part of membership that has the ring go on without members that are down for long: keeps what the detector told,
// says whom to propose, and refuses others who want to evict a member that is heard here.
// Invariants: what is older than a few ticks of the detector accuses nobody, so a process that was not running does
// not; and a member is refused before a ballot is promised, never when a value is to be accepted: what one acceptor
// has accepted must stay acceptable for all.
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

/** What the detector told longer ago than this says nothing about now. It tells once a second. */
const HEARING_MS_MAX = 2500
/** After a refusal, and a quarter of the time after which members are evicted. */
const BACKOFF_MS_MIN = 2000
const BACKOFF_SHARE = 4

/** Somebody to go on without, and since when this peer has wanted it; monotonic ms. */
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
  /** What the rule last said, and of what: it looks at all slots, and is asked ten times a second. */
  #judged:
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

  /** What the detector says now. */
  hear(hearing: Hearing): void {
    this.#hearing = hearing
  }

  /** The first of these members that is heard here, and so must not be evicted. */
  heardOf(members: readonly MemberId[]): MemberId | undefined {
    return members.find((id) => this.#hearing.heard.has(id))
  }

  /** Whom to evict now, while nothing else waits to be agreed on. */
  due(ring: RingState, now: number): DueEviction | undefined {
    const member = this.#candidate(ring, now)?.member
    if (member !== this.#due?.member) this.#due = member === undefined ? undefined : { member, from: now }
    return now < this.#notBefore ? undefined : this.#due
  }

  #candidate(ring: RingState, now: number): Candidate | undefined {
    const { view, configs, departures } = ring
    const hearing = this.#hearing
    if (view === undefined || configs === undefined || now - hearing.at > HEARING_MS_MAX) return undefined
    if (this.#judged?.hearing !== hearing || this.#judged.ring !== ring) {
      const leavingAsDead = new Set(
        Array.from(departures.values()).flatMap((request) => (request.dead ? request.storeId : []))
      )
      const candidate = memberToEvict({ view, configs, hearing, leavingAsDead }, this.#options)
      this.#judged = { hearing, ring, candidate }
    }
    return this.#judged.candidate
  }

  /** The others are being asked. */
  proposed(member: MemberId): void {
    this.#proposed.add()
    const { hearing, candidate } = this.#judged!
    const downMs = Math.round(hearing.at - (hearing.downSince.get(member) ?? hearing.at))
    const slotsAtRisk = candidate?.slotsAtRisk ?? 0
    if (slotsAtRisk === 0) return this.#log.warn({ member, downMs }, 'proposing to evict a member that is down')
    const text = 'proposing to evict a member that is down; too few owners are left: acknowledged writes may be missing'
    this.#log.error({ member, downMs, slotsAtRisk }, text)
  }

  /** Too many of the others hear the member, or nobody answers: others who want to change the ring go first. */
  refused(member: MemberId, now: number): void {
    this.#refused.add()
    this.#notBefore = now + Math.max(BACKOFF_MS_MIN, this.#options.evictAfterMs / BACKOFF_SHARE)
    this.#log.info({ member, againInMs: Math.round(this.#notBefore - now) }, 'the others did not evict the member')
  }

  objected(member: MemberId, proposer: MemberId): void {
    this.#objected.add()
    this.#log.info({ member, proposer }, 'refused to evict a member that is up here')
  }

  done(member: MemberId, view: number): void {
    this.#done.add()
    this.#log.warn({ member, view }, 'member evicted')
  }
}
