// Gives the room of deleted entries back to the disk: has the store rewrite the ranges in which much was deleted.
// LevelDB by itself rewrites a range only when enough is written there, and deleting writes little. Part of
// the replica.
// Invariants: one range is rewritten at a time, and after it the disk rests in proportion; no range is rewritten when
// the disk has no room for the rewriting.
import { type Clock, every, sleep, type Timer } from '../../clock.js'
import { slotScan } from '../../entry/keys.js'
import { toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Counter, Histogram, Metrics } from '../../metrics.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { FreeSpace } from './free-space.js'
import { GROUP_SLOTS, GROUPS } from './slot-room.js'
import type { SlotStats } from './slot-stats.js'

export interface ReclaimDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: Pick<GuardedStore, 'compact' | 'diskBytes' | 'failure'>
  readonly slotStats: Pick<SlotStats, 'isComplete' | 'room'>
  readonly space: Pick<FreeSpace, 'isShort' | 'hasRoomFor'>
}

/** A run of groups that are rewritten together. */
interface Run {
  readonly first: number
  readonly last: number
  readonly bytes: number
}

const LOOK_MS = 5000
/**
 * A group is rewritten when its deleted entries are more than this share of the others. A smaller share gives room back
 * sooner, and writes more.
 */
const FREED_SHARE = 0.25
/** The same while room on the disk is running out. */
const FREED_SHARE_SHORT = 0.05
/** Less in all groups together is not worth a rewriting. */
const FREED_BYTES_MIN = 16 * MiB
const FREED_BYTES_MIN_SHORT = 2 * MiB
/** Bytes that are rewritten at once, about. */
const RUN_BYTES = 64 * MiB
/** The same while room is running out: the old and the new tables of a run take room at once. */
const RUN_BYTES_SHORT = 8 * MiB
/** The rest after a run, in multiples of its time; none while room is running out. */
const REST_FACTOR = 3
const REST_MS_MIN = 50
/** Tables take up more than their entries: what is above this factor when the store is opened counts as deleted. */
const TABLE_FACTOR = 1.2

export class Reclaim {
  readonly #deps: ReclaimDeps
  readonly #timer: Timer
  readonly #bytes: Counter
  readonly #runMs: Histogram
  #isWorking = false
  #hasEnded = false
  /** The room that the store took up when it was opened was compared with its entries. */
  #hasCompared = false

  /** Looks every few seconds. */
  constructor(deps: ReclaimDeps) {
    this.#deps = deps
    const { metrics, clock } = deps
    this.#bytes = metrics.counter('ringd_storage_reclaimed_bytes', 'bytes of deleted entries whose room was given back')
    this.#runMs = metrics.histogram('ringd_storage_reclaim_ms', 'time to rewrite a range, to give room back')
    this.#timer = every(clock, LOOK_MS, () => void this.#look())
  }

  end(): void {
    this.#hasEnded = true
    this.#timer.cancel()
  }

  async #look(): Promise<void> {
    const { log, slotStats } = this.#deps
    if (this.#isWorking || !slotStats.isComplete) return
    this.#isWorking = true
    try {
      if (!this.#hasCompared) await this.#compare()
      for (const run of this.#runs()) if (this.#mayGoOn(run)) await this.#rewrite(run)
    } catch (thrown) {
      log.debug({ err: toRingdError(thrown) }, 'room of deleted entries cannot be given back now')
    } finally {
      this.#isWorking = false
    }
  }

  /** Counts what was deleted before the store was opened. */
  async #compare(): Promise<void> {
    const { store, slotStats } = this.#deps
    const { room } = slotStats
    for (let group = 0; group < GROUPS && !this.#hasEnded; group++) {
      const disk = await store.diskBytes(rangeOf(group, group))
      const deleted = disk - room.live(group) * TABLE_FACTOR
      if (deleted > 0) room.addFreed(group, deleted)
    }
    this.#hasCompared = true
  }

  #runs(): Run[] {
    const { slotStats, space } = this.#deps
    const { room } = slotStats
    const share = space.isShort ? FREED_SHARE_SHORT : FREED_SHARE
    const least = space.isShort ? FREED_BYTES_MIN_SHORT : FREED_BYTES_MIN
    const most = space.isShort ? RUN_BYTES_SHORT : RUN_BYTES
    const runs: Run[] = []
    let freed = 0
    for (let group = 0; group < GROUPS; group++) {
      const mine = room.freed(group)
      if (mine < least / GROUPS || mine < room.live(group) * share) continue
      freed += mine
      const bytes = mine + room.live(group)
      const before = runs.at(-1)
      if (before?.last === group - 1 && before.bytes + bytes <= most) {
        runs[runs.length - 1] = { first: before.first, last: group, bytes: before.bytes + bytes }
      } else runs.push({ first: group, last: group, bytes })
    }
    return freed < least ? [] : runs
  }

  #mayGoOn({ bytes }: Run): boolean {
    const { store, space } = this.#deps
    return !this.#hasEnded && store.failure === undefined && space.hasRoomFor(Math.min(bytes, RUN_BYTES))
  }

  async #rewrite({ first, last, bytes }: Run): Promise<void> {
    const { clock, store, slotStats, space, log } = this.#deps
    const { room } = slotStats
    let freed = 0
    const started = clock.elapsed()
    for (let group = first; group <= last; group++) {
      freed += room.freed(group)
      // Before the rewriting: what is deleted meanwhile may stay.
      room.reclaimed(group)
    }
    await store.compact(rangeOf(first, last))
    const ms = clock.elapsed() - started
    this.#bytes.add(freed)
    this.#runMs.observe(ms)
    log.debug({ firstSlot: first * GROUP_SLOTS, groups: last - first + 1, bytes, freed, ms }, 'range rewritten')
    if (!space.isShort) await sleep(clock, REST_MS_MIN + ms * REST_FACTOR)
  }
}

function rangeOf(first: number, last: number) {
  return slotScan(first * GROUP_SLOTS, (last + 1) * GROUP_SLOTS - 1)
}
