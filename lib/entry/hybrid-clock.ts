// Owns the member's hybrid logical clock: it makes versions, and moves past each stamp that it sees. Pure except for
// `now`.
// Must not write to disk: it returns the ceiling to persist, and its owner reports when that is durable.
//
// Invariant: versions strictly increase, also over restarts. The ms of each version is below a ceiling that was durable
// before, and a clock starts at the persisted ceiling. So all versions from before a restart are lower. A wall clock
// that jumps back, or a disk that loses its newest writes, can therefore never cause one version to be made twice.
// Source: Kulkarni et al. 2014, "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases".
import type { Bytes } from '../bytes.js'
import { COUNTER_MAX, makeVersion, type Version, versionCounter, versionMs } from './version.js'

/**
 * A new ceiling lies this far above the clock. More sets the clock of a restarted member further ahead of its wall
 * clock.
 */
export const CEILING_LEAD_MS = 2000
/** A new ceiling is due when less than this is left: enough for one slow fsync. */
const CEILING_SPARE_MS = 1000
/** A larger value accepts members with worse clocks; a wrong clock can then move the clocks of all further ahead. */
export const MAX_SKEW_MS = 5000
/**
 * The part of the skew by which other peers may set this clock ahead of the wall clock. The rest is for peers whose
 * wall clocks are behind this one: they must still accept the versions that are made here.
 */
const FOLLOWED_SHARE = 0.5

export interface HybridClockOptions {
  /** The first 8 bytes of the storeId. */
  readonly member: Bytes
  /** The persisted ceiling; 0 in a new store. */
  readonly ceilingMs: number
  /** Stamps and versions that are further ahead of the local clock are refused. Default 5000. */
  readonly maxSkewMs?: number
}

/** A point of a hybrid clock. Each packet carries one. */
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
   * A version above each version made or seen before, and below the ceiling. Undefined when a version of this moment
   * would not lie below the ceiling: after the start, and when the clock has reached the ceiling, until `raiseCeiling`.
   * A version below the present moment could lose to an older write of another member. The wall clock is read once,
   * because it may reach the ceiling between two readings.
   */
  next(): Version | undefined {
    const now = this.#now()
    if (!this.#hasRoom(now)) return undefined
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

  #hasRoom(now: number): boolean {
    const reach = this.#counter < COUNTER_MAX ? this.#ms : this.#ms + 1
    return Math.max(reach, now) < this.#ceilingMs
  }

  /** A stamp at or above all versions made or seen. A clock that observes it makes only newer versions. */
  stamp(): Stamp {
    const now = this.#now()
    return now > this.#ms ? { ms: now, counter: 0 } : { ms: this.#ms, counter: this.#counter }
  }

  /**
   * Moves past a point of another clock. Returns false and does not move when it is too far ahead, or no valid point.
   */
  moveTo(ms: number, counter: number): boolean {
    if (!isPoint(ms, counter) || ms > this.#now() + this.#maxSkewMs) return false
    this.#advance(ms, counter)
    return true
  }

  /**
   * Moves past a stamp or a version that another member made, but at most by half of the skew ahead of the wall clock.
   * So one member whose clock is ahead, or that lies, does not set this clock so far ahead that peers refuse its
   * versions.
   */
  follow(ms: number, counter: number): void {
    if (!isPoint(ms, counter)) return
    const limit = Math.floor(this.#now() + this.#maxSkewMs * FOLLOWED_SHARE)
    if (ms <= limit) this.#advance(ms, counter)
    else this.#advance(limit, 0)
  }

  #advance(ms: number, counter: number): void {
    if (ms < this.#ms || (ms === this.#ms && counter <= this.#counter)) return
    this.#ms = ms
    this.#counter = counter
  }

  /** Moves past a version that owners hold, so that the next version is newer. False when it lies too far ahead. */
  moveBeyond(version: Version): boolean {
    return this.moveTo(versionMs(version), versionCounter(version))
  }

  /** Whether a replica must refuse this version (CLOCK_SKEW). */
  isTooFarAhead(version: Version): boolean {
    return this.isAhead(versionMs(version))
  }

  /** Whether the moment (ms since the epoch) lies further ahead of the wall clock than the clocks of peers may. */
  isAhead(ms: number): boolean {
    return ms > this.#now() + this.#maxSkewMs
  }

  /** The ceiling to persist next; undefined when none is due. A ceiling stays due until `raiseCeiling`. */
  needsCeiling(): number | undefined {
    const reach = Math.max(this.#now(), this.#ms)
    return this.#ceilingMs - reach < CEILING_SPARE_MS ? reach + CEILING_LEAD_MS : undefined
  }

  /** Call it when the ceiling `ms` is durable. A lower ceiling than before changes nothing. */
  raiseCeiling(ms: number): void {
    this.#ceilingMs = Math.max(this.#ceilingMs, ms)
  }
}

function isPoint(ms: number, counter: number): boolean {
  return Number.isInteger(ms) && ms >= 0 && Number.isInteger(counter) && counter >= 0 && counter <= COUNTER_MAX
}
