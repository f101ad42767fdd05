// Watches the free space of the disk, and decides which writes may use it. The rules are in disk.md.
// Writes are refused before the disk refuses them: LevelDB needs room to rewrite its files and to be opened, and what
// frees room must always fit. Part of the replica.
// Invariant: what was admitted since the last look counts as taken: a burst between two looks cannot use the reserve.
import { type Clock, every, type Timer } from '../../clock.js'
import type { Conditions } from '../../conditions.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Gauge, Metrics } from '../../metrics.js'

/** A file that takes up room until it is released. */
export interface Ballast {
  /** The bytes that it takes up now. */
  readonly held: number
  /** The bytes that it would still take. */
  readonly lacking: number
  fill(): Promise<void>
  release(): Promise<void>
}

export interface FreeSpaceDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly conditions?: Conditions | undefined
  /** Free bytes below the store; undefined where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
  /** Bytes that the store may write by itself for what it holds already (default 0). */
  readonly upkeepBytes?: (() => number) | undefined
  readonly ballast?: Ballast | undefined
  /** Told whether room is running out, each time that this changes: other peers then ask this owner first. */
  readonly onShort?: ((isShort: boolean) => void) | undefined
}

/**
 * What a write is for. value: a client's value, a hint, an entry that moves here. mending: a tombstone, an entry of
 * read repair, an absent entry of another owner: it makes a read or a purge possible, so it may use most of the
 * reserve.
 * Records of the ring, purges and all that deletes is never refused here.
 */
export type Purpose = 'value' | 'mending'

/** Kept free of values. Less risks a failed write; more gives less of the disk to data. */
export const RESERVE_BYTES = 64 * MiB
/** The part of the reserve that is left to records, purges, and deletes of the store itself. */
export const LAST_BYTES = 16 * MiB
/** Room is running out when no more than this is left above the reserve. */
export const SHORT_BYTES = 64 * MiB
/** Below this the ballast is released. */
const RELEASE_BYTES = 8 * MiB
/** Values are taken again when so much more than the reserve is free: else each small gain would end in a refusal. */
const HYSTERESIS_BYTES = 4 * MiB
/** A write takes room in LevelDB's log, and in a table before that log is deleted. */
const COPIES = 2
const LOOK_MS = 1000
/** The ballast is not made before this: a peer that starts has more urgent work for its disk. */
const FILL_AFTER_MS = 10_000
/** After so many admitted bytes the disk is looked at again at once. */
const LOOK_BYTES = 8 * MiB

/** Says whether entries may be written, by the free space of the disk. */
export class FreeSpace {
  readonly #deps: FreeSpaceDeps
  readonly #free: Gauge
  readonly #full: Gauge
  readonly #timer: Timer | undefined
  readonly #startedAt: number
  /** Bytes that were free at the last look, with the ballast. Infinity: unknown, or without end. */
  #seen = Number.POSITIVE_INFINITY
  #upkeep = 0
  /** Bytes that were admitted since the last look. */
  #admitted = 0
  #isFull = false
  #isShort = false
  #isLooking = false
  #hasEnded = false
  /** The last reading failed, and was logged. */
  #isUnknown = false

  /** Looks at once, and then every second. */
  constructor(deps: FreeSpaceDeps) {
    this.#deps = deps
    this.#startedAt = deps.clock.elapsed()
    this.#free = deps.metrics.gauge('ringd_storage_free_bytes', 'free space on the disk of the store')
    this.#full = deps.metrics.gauge('ringd_storage_full', '1: writes are refused, the disk is nearly full')
    if (deps.freeBytes === undefined) return
    void this.#look()
    this.#timer = every(deps.clock, LOOK_MS, () => void this.#look())
  }

  /** Why an entry of so many bytes is refused; undefined: there is room, and it counts as taken. DISK_FULL. */
  admit(purpose: Purpose, bytes: number): RingdError | undefined {
    if (this.#seen === Number.POSITIVE_INFINITY) return undefined
    const left = this.#left - COPIES * bytes
    const kept = purpose === 'mending' ? LAST_BYTES : this.#keptOfValues
    if (left < kept || (purpose === 'value' && this.#isFull)) {
      if (purpose === 'value' && !this.#isFull) this.#setFull(true)
      return this.#refusal()
    }
    this.#admitted += bytes
    if (this.#admitted >= LOOK_BYTES) void this.#look()
    return undefined
  }

  /** Room is running out. */
  get isShort(): boolean {
    return this.#isShort
  }

  /** Whether the store may write so many bytes more than it needs for its upkeep. */
  hasRoomFor(bytes: number): boolean {
    return this.#left >= this.#upkeep + bytes + LAST_BYTES
  }

  /** The disk has refused a write: releases the ballast, and refuses values until the next look. */
  async exhausted(): Promise<void> {
    if (this.#deps.freeBytes === undefined) return
    this.#seen = 0
    this.#setFull(true)
    this.#setShort(true)
    await this.#deps.ballast?.release()
    await this.#look()
  }

  stop(): void {
    this.#hasEnded = true
    this.#timer?.cancel()
  }

  get #left(): number {
    return this.#seen - COPIES * this.#admitted
  }

  /** The room above the ballast that values may not use. */
  get #keptOfValues(): number {
    return RESERVE_BYTES + this.#upkeep + (this.#isFull ? HYSTERESIS_BYTES : 0)
  }

  #refusal(): RingdError {
    const left = Math.max(0, Math.floor(this.#left / MiB))
    const kept = Math.ceil(this.#keptOfValues / MiB)
    return new RingdError('DISK_FULL', `the disk has ${left} MiB left; ${kept} MiB are kept for its upkeep`)
  }

  async #look(): Promise<void> {
    const { log, freeBytes, upkeepBytes, ballast } = this.#deps
    if (this.#isLooking || this.#hasEnded) return
    this.#isLooking = true
    const before = this.#admitted
    try {
      const free = await freeBytes!()
      this.#free.set(free)
      this.#isUnknown = false
      this.#upkeep = upkeepBytes?.() ?? 0
      this.#seen = free + (ballast?.held ?? 0)
      this.#admitted -= before
      this.#judge()
      await this.#balance(free)
    } catch (thrown) {
      if (!this.#isUnknown) log.warn({ err: thrown }, 'the free space of the disk cannot be read')
      this.#isUnknown = true
      this.#seen = Number.POSITIVE_INFINITY
    } finally {
      this.#isLooking = false
    }
  }

  #judge(): void {
    this.#setFull(this.#left < this.#keptOfValues)
    this.#setShort(this.#left < this.#keptOfValues + SHORT_BYTES)
  }

  /** Takes up the room of the ballast, or gives it back. */
  async #balance(free: number): Promise<void> {
    const { ballast, log, clock } = this.#deps
    if (ballast === undefined) return
    const mayFill = clock.elapsed() - this.#startedAt >= FILL_AFTER_MS
    if (ballast.held > 0 && free < RELEASE_BYTES) {
      await ballast.release()
      log.warn({ freeBytes: free }, 'the disk is full: the room that was kept for deletes and records is used now')
    } else if (mayFill && ballast.lacking > 0 && free - ballast.lacking > RESERVE_BYTES + this.#upkeep) {
      await ballast.fill()
    }
  }

  #setFull(isFull: boolean): void {
    const { log, conditions } = this.#deps
    if (isFull) {
      const left = Math.max(0, Math.floor(this.#left / MiB))
      conditions?.set('disk-full', `the disk of the store has ${left} MiB left: writes of values are refused here`)
    } else conditions?.clear('disk-full')
    if (isFull === this.#isFull) return
    this.#isFull = isFull
    this.#full.set(isFull ? 1 : 0)
    const freeBytes = this.#left
    if (isFull) log.error({ freeBytes }, 'the disk is nearly full: writes are refused')
    else log.info({ freeBytes }, 'there is room on the disk again: writes are taken')
  }

  #setShort(isShort: boolean): void {
    if (isShort === this.#isShort) return
    this.#isShort = isShort
    this.#deps.onShort?.(isShort)
  }
}
