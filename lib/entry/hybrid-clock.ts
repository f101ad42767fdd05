// Owns the member's hybrid logical clock: makes versions, and moves past every stamp that it sees. Pure, but for `now`.
// Must not write to disk: it tells its owner which ceiling to persist, and is told when that is durable.
//
// Invariant: versions strictly increase, also over restarts. Every version's ms is below a ceiling that was durable
// before, and a clock starts at the persisted ceiling, so whatever the former life made lies below. A wall clock that
// jumps back, or a lost tail of a disk's cache, can therefore never make one version twice.
// Source: Kulkarni et al. 2014, "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases".
import type { Bytes } from '../bytes.js'
import { assert } from '../errors.js'
import { COUNTER_MAX, makeVersion, type Version, versionCounter, versionMs } from './version.js'

/** How far above the clock a new ceiling lies: more costs a restarted member a bigger step ahead of its wall clock. */
const CEILING_LEAD_MS = 2000
/** A new ceiling is due when less than this is left: time enough for one slow fsync. */
const CEILING_SPARE_MS = 1000
/** Raising it lets worse clocks join; a wrong clock can then push everybody's clock further ahead. */
const MAX_SKEW_MS = 5000

export interface HybridClockOptions {
  /** The first 8 bytes of the storeId. */
  readonly member: Bytes
  /** The persisted ceiling; 0 in a new store. */
  readonly ceilingMs: number
  /** Stamps and versions further ahead of the local clock than this are refused. Default 5000. */
  readonly maxSkewMs?: number
}

/** A point of a hybrid clock, as packets carry it. */
export interface Stamp {
  readonly ms: number
  readonly counter: number
}

export class HybridClock {
  readonly #now: () => number
  readonly #member: Bytes
  readonly #maxSkewMs: number
  #ceilingMs: number
  // The highest point made or seen.
  #ms: number
  #counter: number

  constructor(deps: { readonly now: () => number }, options: HybridClockOptions) {
    this.#now = () => Math.floor(deps.now())
    this.#member = options.member
    this.#maxSkewMs = options.maxSkewMs ?? MAX_SKEW_MS
    this.#ceilingMs = options.ceilingMs
    this.#ms = Math.max(0, options.ceilingMs - 1)
    this.#counter = COUNTER_MAX
  }

  /**
   * Whether `next` can make a version of this moment below the ceiling. False after the start, and when the clock has
   * reached the ceiling, until `raiseCeiling`: a version that lags would lose against older writes of others.
   */
  canMint(): boolean {
    const reach = this.#counter < COUNTER_MAX ? this.#ms : this.#ms + 1
    return Math.max(reach, this.#now()) < this.#ceilingMs
  }

  /**
   * A version above every one made or seen before. Only while `canMint()`; should time run on since, it stays below the
   * ceiling.
   */
  next(): Version {
    assert(this.canMint(), 'versions are made below a durable ceiling')
    const now = Math.min(this.#now(), this.#ceilingMs - 1)
    if (now > this.#ms) {
      this.#ms = now
      this.#counter = 0
    } else if (this.#counter < COUNTER_MAX) {
      this.#counter += 1
    } else {
      this.#ms += 1
      this.#counter = 0
    }
    return makeVersion(this.#ms, this.#counter, this.#member)
  }

  /** At or above everything made or seen: who observes it makes only newer versions. */
  stamp(): Stamp {
    const now = this.#now()
    return now > this.#ms ? { ms: now, counter: 0 } : { ms: this.#ms, counter: this.#counter }
  }

  /** Moves past a stamp that was seen. False, and no move, when it lies too far ahead or is no stamp. */
  observe(ms: number, counter: number): boolean {
    const sane = Number.isInteger(ms) && ms >= 0 && Number.isInteger(counter) && counter >= 0 && counter <= COUNTER_MAX
    if (!sane || ms > this.#now() + this.#maxSkewMs) return false
    if (ms > this.#ms || (ms === this.#ms && counter > this.#counter)) {
      this.#ms = ms
      this.#counter = counter
    }
    return true
  }

  observeVersion(version: Version): boolean {
    return this.observe(versionMs(version), versionCounter(version))
  }

  /** Whether a replica must refuse this version (CLOCK_SKEW). */
  isTooFarAhead(version: Version): boolean {
    return versionMs(version) > this.#now() + this.#maxSkewMs
  }

  /** The ceiling to persist next, when one is due. The same answer again until `raiseCeiling`. */
  needsCeiling(): number | undefined {
    const reach = Math.max(this.#now(), this.#ms)
    return this.#ceilingMs - reach < CEILING_SPARE_MS ? reach + CEILING_LEAD_MS : undefined
  }

  /** To be called once `ms` is durable. A lower one than before changes nothing. */
  raiseCeiling(ms: number): void {
    this.#ceilingMs = Math.max(this.#ceilingMs, ms)
  }
}
