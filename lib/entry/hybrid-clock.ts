// Owns the member's hybrid logical clock: it makes versions, and moves past each stamp that it sees. Pure except for
// the moments that it is given. clock.md has the rules.
// Must not write to disk: it returns the ceiling to persist, and its owner reports when that is durable.
//
// Invariant: versions strictly increase, also over restarts. The ms of each version is below a ceiling that was durable
// before, and a clock starts at the persisted ceiling. So all versions from before a restart are lower. A wall clock
// that jumps back, or a disk that loses its newest writes, can therefore never cause one version to be made twice.
// Source: Kulkarni et al. 2014, "Logical Physical Clocks and Consistent Snapshots in Globally Distributed Databases".
import type { Bytes } from '../bytes.js'
import { COUNTER_MAX, makeVersion, type Version, versionCounter, versionMs } from './version.js'

/**
 * A new ceiling lies this far above the clock, and further when the disk is slow. More sets the clock of a restarted
 * member further ahead of its wall clock.
 */
export const CEILING_LEAD_MS = 2000
/** A new ceiling is due when less than this is left. */
const CEILING_SPARE_MS = 1000
/** A ceiling waits for the batch under way and for its own, and must then be of use for as long again. */
const LEAD_SYNCS = 4
const SPARE_SYNCS = 2
/** A slower disk makes no versions in time for its operations: owners on other disks must. */
const LEAD_MS_MAX = 20_000
/**
 * The same for a clock that runs ahead of the wall clock: only writes move it, 65536 of them by one ms. A restart must
 * cost little of the skew, because the wall clock does not give it back.
 */
const LOGICAL_LEAD_MS = 20
const LOGICAL_SPARE_MS = 10
/**
 * A larger value accepts members with worse clocks. Entries may then lie further ahead, and a write through a peer with
 * an earlier clock has to pass them.
 */
export const MAX_SKEW_MS = 5000
/**
 * A peer makes versions up to this much less than the skew ahead of the agreed moment. Owners take all of the skew: two
 * estimates of one moment differ by as much as packets are late.
 */
export const SKEW_MARGIN_MS = 500
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
  /** Stamps and versions that are further ahead of the agreed moment are refused. Default 5000. */
  readonly maxSkewMs?: number
}

export interface HybridClockDeps {
  /** The wall clock as far as it may be used; ms since the epoch. */
  readonly now: () => number
  /** The moment that most members have reached (`RingTime.agreedMs`). Left out: `now`. */
  readonly agreedMs?: () => number
  /** A moment that they had reached before, at no cost (`RingTime.leastAgreedMs`). Left out: 0. */
  readonly leastAgreedMs?: () => number
}

/** A point of a hybrid clock. Each packet carries one. */
export interface Stamp {
  readonly ms: number
  readonly counter: number
}

export class HybridClock {
  readonly #now: () => number
  readonly #agreedMs: (() => number) | undefined
  readonly #leastAgreedMs: () => number
  readonly #member: Bytes
  readonly #maxSkewMs: number
  #ceilingMs: number
  // The highest point that a version has: one that was made here, or stored by owners.
  #ms: number
  #counter: number
  /** The highest stamp of a member. No version may have it, so it counts only while it is near the wall clock. */
  #seen: Stamp = { ms: 0, counter: 0 }

  constructor(deps: HybridClockDeps, options: HybridClockOptions) {
    this.#now = () => Math.floor(deps.now())
    this.#agreedMs = deps.agreedMs
    this.#leastAgreedMs = deps.leastAgreedMs ?? (() => 0)
    this.#member = options.member
    this.#maxSkewMs = options.maxSkewMs ?? MAX_SKEW_MS
    this.#ceilingMs = options.ceilingMs
    this.#ms = Math.max(0, options.ceilingMs - 1)
    this.#counter = COUNTER_MAX
  }

  /**
   * A version above each version made or seen before, at or above the agreed moment, and below the ceiling. Undefined
   * when it would not lie below the ceiling: after the start, and when the clock has reached the ceiling, until
   * `raiseCeiling`.
   * A version below the present moment could lose to an older write of another member. The wall clock is read once,
   * because it may reach the ceiling between two readings.
   */
  next(): Version | undefined {
    const now = this.#now()
    const seen = this.#seenNow()
    this.#advance(seen.ms, seen.counter)
    const least = this.#least(now)
    if (!this.#hasRoom(least)) return undefined
    if (least > this.#ms) {
      this.#ms = least
      this.#counter = 0
    } else if (this.#counter < COUNTER_MAX) {
      this.#counter += 1
    } else {
      this.#ms += 1
      this.#counter = 0
    }
    return makeVersion(this.#ms, this.#counter, this.#member)
  }

  #hasRoom(least: number): boolean {
    const reach = this.#counter < COUNTER_MAX ? this.#ms : this.#ms + 1
    return Math.max(reach, least) < this.#ceilingMs
  }

  /**
   * No version lies below the agreed moment, also when the wall clock does. A write that nobody acknowledged may have
   * left an entry near that moment, and a later write must not lose to it for long.
   */
  #least(now: number): number {
    return Math.max(now, this.#agreedMs?.() ?? 0)
  }

  #agreed(): number {
    return this.#agreedMs?.() ?? this.#now()
  }

  /** The wall clock as far as it may be used; whole ms. */
  now(): number {
    return this.#now()
  }

  /** A stamp at or above all versions made or seen. A clock that observes it makes only newer versions. */
  stamp(): Stamp {
    const now = this.#now()
    const { ms, counter } = this.#seenNow()
    if (now > Math.max(this.#ms, ms)) return { ms: now, counter: 0 }
    return this.#isPast(ms, counter) ? { ms: this.#ms, counter: this.#counter } : { ms, counter }
  }

  /**
   * Moves past a point of another clock. Returns false and does not move when it is too far ahead, or no valid point.
   */
  moveTo(ms: number, counter: number): boolean {
    if (!isPoint(ms, counter) || this.isAhead(ms)) return false
    this.#advance(ms, counter)
    return true
  }

  /**
   * Moves past a stamp of another member, but at most by half of the skew ahead of the wall clock and of the agreed
   * moment. So one member whose clock is ahead, or that lies, does not set this clock so far ahead that peers refuse
   * its versions. A stamp beyond that is forgotten when the wall clock is set back.
   */
  follow(ms: number, counter: number): void {
    if (!isPoint(ms, counter)) return
    const stamp = this.#mayFollow(ms) ? { ms, counter } : { ms: this.#followedMax(this.#now()), counter: 0 }
    if (isAfter(stamp, this.#seen) || !this.#mayFollow(this.#seen.ms)) this.#seen = stamp
  }

  /** Moves past a version that an owner stores, but at most by half of the skew ahead of the agreed moment. */
  accept(version: Version): void {
    const ms = versionMs(version)
    const counter = versionCounter(version)
    if (this.#isPast(ms, counter)) return
    if (this.#mayFollow(ms)) this.#advance(ms, counter)
    else this.#advance(this.#followedMax(this.#now()), 0)
  }

  /** Whether this clock may be set to the moment by others. Nearly all are of now, and cost no look at the clocks. */
  #mayFollow(ms: number): boolean {
    return ms <= this.#leastAgreedMs() + this.#maxSkewMs * FOLLOWED_SHARE || ms <= this.#followedMax(this.#now())
  }

  #followedMax(now: number): number {
    return Math.floor(this.#least(now) + this.#maxSkewMs * FOLLOWED_SHARE)
  }

  /** The highest stamp of a member, as long as it counts. */
  #seenNow(): Stamp {
    return this.#mayFollow(this.#seen.ms) ? this.#seen : { ms: 0, counter: 0 }
  }

  #advance(ms: number, counter: number): void {
    if (this.#isPast(ms, counter)) return
    this.#ms = ms
    this.#counter = counter
  }

  /** Whether this clock has reached the point. */
  #isPast(ms: number, counter: number): boolean {
    return ms < this.#ms || (ms === this.#ms && counter <= this.#counter)
  }

  /** Moves past a version that owners hold, so that the next version is newer. False when it lies too far ahead. */
  moveBeyond(version: Version): boolean {
    return this.moveTo(versionMs(version), versionCounter(version))
  }

  /** Whether a replica must refuse this version (CLOCK_SKEW). */
  isTooFarAhead(version: Version): boolean {
    return this.isAhead(versionMs(version))
  }

  /** Whether the moment (ms since the epoch) lies further ahead of the agreed moment than versions may. */
  isAhead(ms: number): boolean {
    // Nearly all versions are of now. So the agreed moment is seldom computed.
    if (ms <= this.#leastAgreedMs() + this.#maxSkewMs) return false
    return ms > this.#agreed() + this.#maxSkewMs
  }

  /** No version lies after this moment in a store that this clock has guarded so far; ms. */
  get latestMs(): number {
    return Math.max(this.#agreed() + this.#maxSkewMs, this.#ceilingMs)
  }

  #reach(now: number): number {
    return Math.max(this.#least(now), this.#ms, this.#seenNow().ms)
  }

  /** By how much the next version would lie further ahead than other owners take; 0 or less: they take it. */
  get overreachMs(): number {
    return this.#reach(this.#now()) - (this.#agreed() + this.#maxSkewMs - SKEW_MARGIN_MS)
  }

  /** How far this clock runs ahead of the wall clock; 0 when it does not. */
  get runsAheadMs(): number {
    const now = this.#now()
    return Math.max(this.#least(now), this.#ms) - now
  }

  /**
   * The ceiling to persist next; undefined when none is due. A ceiling stays due until `raiseCeiling`. `syncMs`: how
   * long the disk takes for one synced batch.
   */
  needsCeiling(syncMs = 0): number | undefined {
    const now = this.#now()
    const reach = this.#reach(now)
    const isLogical = reach - now > this.#maxSkewMs
    const leadMs = Math.min(CEILING_LEAD_MS + LEAD_SYNCS * Math.ceil(syncMs), LEAD_MS_MAX)
    const spareMs = Math.min(CEILING_SPARE_MS + SPARE_SYNCS * syncMs, leadMs / 2)
    const left = this.#ceilingMs - reach
    if (isLogical) return left < LOGICAL_SPARE_MS ? reach + LOGICAL_LEAD_MS : undefined
    return left < spareMs ? reach + leadMs : undefined
  }

  /** Call it when the ceiling `ms` is durable. A lower ceiling than before changes nothing. */
  raiseCeiling(ms: number): void {
    this.#ceilingMs = Math.max(this.#ceilingMs, ms)
  }
}

function isAfter(one: Stamp, other: Stamp): boolean {
  return one.ms > other.ms || (one.ms === other.ms && one.counter > other.counter)
}

function isPoint(ms: number, counter: number): boolean {
  return Number.isInteger(ms) && ms >= 0 && Number.isInteger(counter) && counter >= 0 && counter <= COUNTER_MAX
}
