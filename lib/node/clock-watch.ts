// Compares the clock of this peer with those of the members, by the pongs that they send. Part of the node.
// Owns the condition `clock-wrong` and the metrics of clocks. Decides nothing: lib/entry/ring-time.ts has the rules.
import { type AgreedMoment, writeAdoptedMoment } from '../actors/replica/agreed-moment.js'
import { clockFromFuture, wrongClock } from '../actors/router/version-minter.js'
import type { Clock } from '../clock.js'
import type { Conditions } from '../conditions.js'
import { type HybridClock, MAX_SKEW_MS } from '../entry/hybrid-clock.js'
import type { RingTime } from '../entry/ring-time.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'
import type { Gauge, Metrics } from '../metrics.js'
import type { Pong } from '../network/wire.js'
import type { MetaWrite } from '../storage/meta.js'

export interface ClockWatchDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly conditions: Pick<Conditions, 'set' | 'clear'>
  readonly ringTime: RingTime
  readonly hlc: HybridClock
  readonly agreedMoment: Pick<AgreedMoment, 'urgentMs' | 'stored'>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
}

/** A joiner that hears no majority of the members joins all the same after this: most of them may be away. */
const JOIN_PATIENCE_MS = 5000
/** A restarted clock may be ahead by its ceiling for this long. Only what lasts is a condition. */
const OVERREACH_MS = 20_000

export class ClockWatch {
  readonly #deps: ClockWatchDeps
  readonly #ahead: Gauge
  readonly #runsAhead: Gauge
  readonly #startedAt: number
  #isStoring = false
  #isRunningAhead = false

  constructor(deps: ClockWatchDeps) {
    this.#deps = deps
    const { metrics, clock } = deps
    this.#ahead = metrics.gauge('ringd_clock_ahead_ms', 'how far the wall clock is ahead of that of most members')
    this.#runsAhead = metrics.gauge('ringd_clock_runs_ahead_ms', 'how far new versions lie ahead of the wall clock')
    this.#startedAt = clock.elapsed()
  }

  /** A member has answered a ping that was sent at `askedAt`, monotonic ms. Older versions tell no moments. */
  hear(member: MemberId, { wallMs, agreedMs }: Pong, askedAt: number): void {
    const { ringTime, clock } = this.#deps
    if (wallMs === undefined || agreedMs === undefined) return ringTime.heardOlder(member)
    ringTime.heard(member, { wallMs, agreedMs, askedAt, answeredAt: clock.elapsed() })
    this.look()
  }

  /** What the pong of this peer tells. */
  moments(): { readonly wallMs: number; readonly agreedMs: number } {
    const { clock, ringTime } = this.#deps
    return { wallMs: Math.max(0, Math.floor(clock.now())), agreedMs: ringTime.provenMs }
  }

  /** Whether this peer has what it must know of the ring's time before it stores for others, on disk too. */
  get isInformed(): boolean {
    if (this.#isStoring) return false
    const { ringTime } = this.#deps
    return ringTime.isInformed || this.#deps.clock.elapsed() - this.#startedAt > JOIN_PATIENCE_MS
  }

  /** Call it once a second: a clock may jump while nobody answers. */
  look(): void {
    const { ringTime, hlc, conditions } = this.#deps
    const { verdict } = ringTime
    const { overreachMs } = hlc
    this.#ahead.set(Math.round(ringTime.aheadMs))
    this.#runsAhead.set(Math.round(hlc.runsAheadMs))
    if (verdict.state === 'wrong') conditions.set('clock-wrong', wrongClock(verdict.aheadMs))
    else if (verdict.state === 'right') {
      if (overreachMs > OVERREACH_MS) conditions.set('clock-wrong', clockFromFuture(overreachMs))
      else conditions.clear('clock-wrong')
      this.#tellOfRunningAhead()
    }
    this.#keepAgreedMoment()
  }

  /** The clocks of all were ahead once. Nothing is to be done, but an operator should know why versions lie ahead. */
  #tellOfRunningAhead(): void {
    const aheadMs = this.#deps.hlc.runsAheadMs
    const isRunningAhead = aheadMs > MAX_SKEW_MS
    if (isRunningAhead && !this.#isRunningAhead) {
      this.#deps.log.warn(
        { aheadMs: Math.round(aheadMs) },
        'the clocks of most members were ahead once; versions go on from there until the wall clock has caught up'
      )
    }
    this.#isRunningAhead = isRunningAhead
  }

  /** Batches carry the moment. A peer that writes none would forget that all clocks were ahead. */
  #keepAgreedMoment(): void {
    const { agreedMoment, persist } = this.#deps
    const moment = agreedMoment.urgentMs
    if (this.#isStoring || moment === undefined) return
    this.#isStoring = true
    const end = () => {
      this.#isStoring = false
    }
    persist([writeAdoptedMoment(moment)])
      .then(() => agreedMoment.stored(moment))
      .then(end, end)
  }
}
