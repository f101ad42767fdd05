// What the clocks of the members show together, and whether this peer's clock agrees with them. Pure except for the two
// clocks that it is given.
// Must not ask anybody: its owner brings the readings, and writes the agreed moment to disk.
//
// Invariants: no minority of the members moves the agreed moment, whatever their clocks show or they say. The agreed
// moment never falls. It follows wall clocks alone, never versions, so that versions cannot push it.
// clock.md has the rules, and why they lose no write.
import type { MemberId } from '../member.js'
import { MAX_SKEW_MS, SKEW_MARGIN_MS } from './hybrid-clock.js'

/** What one member's clock showed, as a pong told. */
export interface ClockReading {
  /** Its wall clock when it answered, and the latest moment that it knows a majority to have reached; ms; 0: none. */
  readonly wallMs: number
  readonly agreedMs: number
  /** When this peer asked and had the answer, on its own monotonic clock; ms. */
  readonly askedAt: number
  readonly answeredAt: number
}

/**
 * Whether the wall clock of this peer may be used.
 *   right      it agrees with most members, or there are no others
 *   doubtful   not compared yet: after the start, and after a jump
 *   wrong      it differs from most members by more than is allowed; `aheadMs` is negative when it is behind
 */
export type ClockVerdict =
  | { readonly state: 'right' | 'doubtful' }
  | { readonly state: 'wrong'; readonly aheadMs: number }

export interface RingTimeDeps {
  /** The wall clock, ms since the epoch. */
  readonly now: () => number
  /** Monotonic ms. */
  readonly elapsed: () => number
}

export interface RingTimeOptions {
  /** The agreed moment on disk; 0 in a new store. */
  readonly agreedMs: number
  /** For how long what the clocks showed is not read again; ms. Default 1. */
  readonly lookMs?: number
}

/** The members of a view, as far as clocks are concerned. */
export interface ClockMembers {
  readonly self: MemberId
  readonly members: ReadonlyMap<MemberId, unknown>
}

/** How far a wall clock may differ from most members'. */
const TOLERANCE_MS = MAX_SKEW_MS - SKEW_MARGIN_MS
/** A wall clock that moved by this against the monotonic clock has jumped. Clocks that NTP slews move far less. */
const JUMP_MS = 500
/** So long after the start or a jump a single other member is enough to compare with. */
const PATIENCE_MS = 3000
/** A reading with this error or less always replaces an older one. */
const GOOD_ERROR_MS = 100
/** An older reading is replaced by a worse one. Quartz clocks drift by less than 10 ms in this time. */
const FRESH_MS = 60_000
/** A member is asked once a second; in large rings ten of them are. A reading of now is at most this old. */
const RECENT_MS = 3000
const RECENT_MS_PER_MEMBER = 200
/** Readings are forgotten after this. Until then they are right within half a second. */
const AGE_MS_MAX = 3_600_000
/** One operation asks a dozen times. */
const LOOK_MS = 1
/** The versions of entries hold 48 bits of ms. */
const MS_MAX = 2 ** 48 - 1

interface Kept {
  /** The wall clock of the member less the monotonic clock of this peer. It stays the same while both clocks run. */
  readonly offset: number
  readonly errorMs: number
  readonly at: number
  /** When it was read last, if only to confirm it. */
  readonly heardAt: number
  readonly agreedMs: number
}

const RIGHT: ClockVerdict = { state: 'right' }
const DOUBTFUL: ClockVerdict = { state: 'doubtful' }

export class RingTime {
  readonly #wall: () => number
  readonly #elapsed: () => number
  readonly #lookMs: number
  readonly #kept = new Map<MemberId, Kept>()
  #self: MemberId | undefined
  #members: ReadonlyMap<MemberId, unknown> | undefined
  /** How many members are a majority. */
  #quorum = 1
  #agreedMs: number
  /** The offsets of all kept readings, ascending; and of those that came after the last jump. */
  #all: readonly number[] = []
  #fresh: readonly number[] = []
  /** This peer's own offset when it was looked at last, and since when readings count as fresh. */
  #ownWallMs: number
  #ownOffset: number
  #since: number
  /** When this peer looked at its clocks last, monotonic ms, and what it found then; undefined: not computed yet. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #verdict: ClockVerdict | undefined
  #agreedNow: number | undefined
  /** The wall clock has been compared since the start. */
  #isCompared = false

  constructor({ now, elapsed }: RingTimeDeps, { agreedMs, lookMs = LOOK_MS }: RingTimeOptions) {
    this.#wall = now
    this.#elapsed = elapsed
    this.#lookMs = lookMs
    this.#agreedMs = agreedMs
    this.#since = elapsed()
    this.#ownWallMs = now()
    this.#ownOffset = this.#ownWallMs - this.#since
  }

  /** Sets whose clocks count: those of the members of the newest view. */
  useMembers({ self, members }: ClockMembers): void {
    this.#self = self
    this.#members = members
    this.#quorum = Math.floor(members.size / 2) + 1
    for (const id of this.#kept.keys()) if (id === self || !members.has(id)) this.#kept.delete(id)
    // A ring of one has nobody to compare with. Who joins it later compares with it.
    if (members.size === 1 && members.has(self)) this.#isCompared = true
    this.#sort()
  }

  /** Takes a reading of a member. A reading of nobody else, or one that makes no sense, is ignored. */
  heard(member: MemberId, { wallMs, agreedMs, askedAt, answeredAt }: ClockReading): void {
    if (member === this.#self || this.#members?.has(member) !== true) return
    if (!isMoment(wallMs) || !isMoment(agreedMs) || answeredAt < askedAt) return
    this.#read(this.#elapsed())
    const errorMs = (answeredAt - askedAt) / 2
    const offset = wallMs - (askedAt + answeredAt) / 2
    const reading = { offset, errorMs, at: answeredAt, heardAt: answeredAt, agreedMs }
    const old = this.#kept.get(member)
    const isConfirmed = old !== undefined && this.#isBetter(old, reading)
    this.#kept.set(member, isConfirmed ? { ...old, heardAt: answeredAt, agreedMs } : reading)
    this.#sort()
    this.#agree()
    this.#adopt()
    if (this.#judge().state !== 'doubtful') this.#isCompared = true
    this.#forget()
  }

  /** A member of an older version has answered, which tells nothing of its clock: the own clock must do, as there. */
  heardOlder(member: MemberId): void {
    if (member !== this.#self && this.#members?.has(member) === true) this.#isCompared = true
    this.#forget()
  }

  get verdict(): ClockVerdict {
    this.#look()
    return this.#verdictNow()
  }

  /** How far the wall clock is ahead of most members'; 0 when there is nobody to compare with. */
  get aheadMs(): number {
    this.#look()
    return this.#ownOffset - lowerMedian(this.#all, this.#ownOffset)
  }

  /** The moment by which values expire: the wall clock, or what the others show while it is not right. Whole ms. */
  now(): number {
    this.#look()
    if (this.#verdictNow().state === 'right') return Math.floor(this.#ownWallMs)
    return this.#momentOf(this.#majorityOffset() ?? lowerMedian(this.#all, this.#ownOffset))
  }

  /**
   * The latest moment that the wall clocks of a majority of the members have reached, as far as this peer knows; ms.
   * Nothing further ahead of it than the skew is stored. While a majority was not heard, the own clock stands in.
   */
  agreedMs(): number {
    this.#look()
    this.#agreedNow ??= this.#agreedByClocks()
    return this.#agreedNow
  }

  #agreedByClocks(): number {
    const offset = this.#majorityOffset()
    const { state } = this.#verdictNow()
    if (offset === undefined && state === 'wrong') return this.#agreedMs
    const moment = this.#momentOf(offset ?? this.#ownOffset)
    if (this.#others === 0) this.#agreedMs = Math.max(this.#agreedMs, moment)
    return Math.max(this.#agreedMs, moment)
  }

  /** What `provenMs` was when it was looked at last. Never above it. O(1). */
  get leastAgreedMs(): number {
    return this.#agreedMs
  }

  /** The agreed moment without any guess: it stays when clocks are set back, goes to disk and to other members. */
  get provenMs(): number {
    this.agreedMs()
    return this.#agreedMs
  }

  /** Whether enough members have told what they agreed on: a joiner must know it before it stores for others. */
  get isInformed(): boolean {
    return this.#members === undefined || this.#all.length + this.#ownVotes >= this.#quorum
  }

  // ---- readings ----

  /**
   * Reads the clocks, unless it has done so a moment ago. Notices a jump of the wall clock. Readings before it are not
   * fresh any more: the monotonic clock may have stood still.
   */
  #look(): void {
    const elapsed = this.#elapsed()
    if (elapsed - this.#lookedAt >= this.#lookMs) this.#read(elapsed)
  }

  #read(elapsed: number): void {
    this.#forget()
    this.#lookedAt = elapsed
    this.#ownWallMs = this.#wall()
    const offset = this.#ownWallMs - elapsed
    const hasJumped = Math.abs(offset - this.#ownOffset) > JUMP_MS
    this.#ownOffset = offset
    if (!hasJumped) return
    this.#since = elapsed
    this.#sort()
  }

  /** What was found is computed again: the members, a reading or a clock has changed. */
  #forget(): void {
    this.#verdict = undefined
    this.#agreedNow = undefined
  }

  /** A kept reading with a smaller error is kept on while it is young and the new one does not contradict it. */
  #isBetter(old: Kept, reading: Kept): boolean {
    if (old.at < this.#since || reading.at - old.at > FRESH_MS || reading.errorMs <= GOOD_ERROR_MS) return false
    const mayAgree = Math.abs(old.offset - reading.offset) <= old.errorMs + reading.errorMs
    return mayAgree && old.errorMs < reading.errorMs
  }

  #sort(): void {
    this.#forget()
    const now = this.#elapsed()
    for (const [member, { heardAt }] of this.#kept) if (now - heardAt > AGE_MS_MAX) this.#kept.delete(member)
    const kept = [...this.#kept.values()]
    this.#all = ascending(kept.map(({ offset }) => offset))
    this.#fresh = ascending(kept.filter(({ at }) => at >= this.#since).map(({ offset }) => offset))
  }

  /**
   * Raises the agreed moment, by readings of now. Of an older one it is only believed that the clock has run on since:
   * it may have been set back.
   */
  #agree(): void {
    const now = this.#elapsed()
    const recentMs = RECENT_MS + RECENT_MS_PER_MEMBER * this.#others
    const recent = [...this.#kept.values()].filter(({ heardAt }) => now - heardAt <= recentMs)
    const own = this.#ownVotes === 0 ? undefined : this.#ownOffset
    const offset = highestOfMajority(ascending(recent.map((kept) => kept.offset)), own, this.#quorum)
    if (offset !== undefined) this.#agreedMs = Math.max(this.#agreedMs, this.#momentOf(offset))
  }

  /** Takes over what a majority of the members had agreed on before this one came, or before it forgot it. */
  #adopt(): void {
    const told = ascending(Array.from(this.#kept.values(), ({ agreedMs }) => agreedMs))
    const moment = highestOfMajority(told, this.#ownVotes === 0 ? undefined : this.#agreedMs, this.#quorum)
    if (moment !== undefined) this.#agreedMs = Math.max(this.#agreedMs, moment)
  }

  // ---- judging ----

  /** The own wall clock is not computed from its offset, which would round it down now and then. */
  #momentOf(offset: number): number {
    return Math.floor(offset === this.#ownOffset ? this.#ownWallMs : this.#elapsed() + offset)
  }

  get #ownVotes(): 0 | 1 {
    return this.#self !== undefined && this.#members?.has(this.#self) === true ? 1 : 0
  }

  /** How many other members there are; Infinity while no view is known. */
  get #others(): number {
    return this.#members === undefined ? Number.POSITIVE_INFINITY : this.#members.size - this.#ownVotes
  }

  #verdictNow(): ClockVerdict {
    this.#verdict ??= this.#judge()
    return this.#verdict
  }

  #judge(): ClockVerdict {
    if (this.#members === undefined) return DOUBTFUL
    if (this.#others === 0) return RIGHT
    if (this.#isCompared && Math.abs(this.#aheadOf(this.#all)) <= TOLERANCE_MS) return RIGHT
    const awaited = Math.max(1, this.#quorum - this.#ownVotes)
    const isPatient = this.#elapsed() - this.#since < PATIENCE_MS
    if (this.#fresh.length < (isPatient ? awaited : 1)) return DOUBTFUL
    const aheadMs = this.#aheadOf(this.#fresh)
    return Math.abs(aheadMs) <= TOLERANCE_MS ? RIGHT : { state: 'wrong', aheadMs }
  }

  #aheadOf(offsets: readonly number[]): number {
    return this.#ownOffset - lowerMedian(offsets, this.#ownOffset)
  }

  /** The offset that a majority of the members has reached; undefined when fewer were heard. */
  #majorityOffset(): number | undefined {
    return highestOfMajority(this.#all, this.#ownVotes === 0 ? undefined : this.#ownOffset, this.#quorum)
  }
}

function ascending(numbers: number[]): readonly number[] {
  return numbers.sort((a, b) => a - b)
}

function isMoment(ms: number): boolean {
  return Number.isInteger(ms) && ms >= 0 && ms <= MS_MAX
}

/** The element at `index` of the ascending `others` with `own` sorted in. O(1). */
function elementWith(others: readonly number[], own: number, index: number): number {
  const least = others[index - 1] ?? Number.NEGATIVE_INFINITY
  const most = others[index] ?? Number.POSITIVE_INFINITY
  return Math.min(Math.max(own, least), most)
}

/** The lower median of the others and this peer: of two clocks the earlier one is believed. */
function lowerMedian(others: readonly number[], own: number): number {
  return elementWith(others, own, Math.floor(others.length / 2))
}

/** The highest value that `quorum` of the values have reached; undefined when there are fewer of them. */
function highestOfMajority(others: readonly number[], own: number | undefined, quorum: number): number | undefined {
  if (own === undefined) return others.length < quorum ? undefined : others[others.length - quorum]
  const count = others.length + 1
  return count < quorum ? undefined : elementWith(others, own, count - quorum)
}
