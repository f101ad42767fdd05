// What this member takes from one source for one change of the ring, or in repair: how much came, what was compared,
// and what it waits for. Part of the migration actor.
// Invariant: the receipt counts what both ends have compared and what is on disk, and nothing else.
import type { MemberId } from '../../member.js'
import { SlotSet } from '../../ring/slot-set.js'
import type { MoveCause } from '../../views/move-cause.js'
import type { Holder, RunningTransfer, TransferRecord, TransferState } from './transfer-records.js'

/** A rate and what holds a transfer back are those of this time. */
const RECENT_MS = 5000
/** A rate over less time would say nothing. */
const SPAN_MS_MIN = 200
/** One sample for each tick of a second. */
const SAMPLES_MAX = 8

/** How far a transfer was at one moment; monotonic ms. */
interface Sample {
  readonly at: number
  readonly bytes: number
  /** For how long in all parts of it have waited for the disk of this member. */
  readonly mergingMs: number
}

export interface TransferBegin {
  readonly number: number
  readonly cause: MoveCause
  readonly source: MemberId
  readonly puller: MemberId
  readonly config: number
  /** Wall clock, ms since the epoch; and monotonic ms. */
  readonly beganAtMs: number
  readonly at: number
}

export class Transfer {
  readonly #begin: TransferBegin
  readonly #slots = new SlotSet()
  /** Slots of jobs that have begun, done or not. */
  readonly #assigned = new SlotSet()
  #number: number
  #entries = 0
  #bytes = 0
  #receiptEntries = 0
  #checksum = 0
  /** Jobs under way. */
  #jobs = 0
  /** Parts that wait for the disk, since when, and for how long in all there were some. */
  #merging = 0
  #mergingSince = 0
  #mergingMs = 0
  #samples: Sample[]
  /** Monotonic ms: the last time that something came or was compared. */
  #activeAt: number
  /** Something has changed since it was last written to disk. */
  #isChanged = false

  constructor(begin: TransferBegin) {
    this.#begin = begin
    this.#number = begin.number
    this.#samples = [{ at: begin.at, bytes: 0, mergingMs: 0 }]
    this.#activeAt = begin.at
  }

  get config(): number {
    return this.#begin.config
  }

  get cause(): MoveCause {
    return this.#begin.cause
  }

  get source(): MemberId {
    return this.#begin.source
  }

  get number(): number {
    return this.#number
  }

  /** It was so long under way that others have taken its place on disk. */
  renumber(number: number): void {
    this.#number = number
  }

  /** Jobs are under way. */
  get isBusy(): boolean {
    return this.#jobs > 0
  }

  get activeAt(): number {
    return this.#activeAt
  }

  get assigned(): number {
    return this.#assigned.size
  }

  /** The slots of jobs that have begun. */
  slots(): readonly number[] {
    return this.#assigned.slots()
  }

  /** Whether there is something to tell of it: it brought or compared something. */
  get isWorthKeeping(): boolean {
    return this.#slots.size > 0 || this.#entries > 0
  }

  jobBegan(slots: readonly number[]): void {
    this.#jobs += 1
    this.#assigned.add(slots)
  }

  /** `slots`: those that are done; none when the job has failed. */
  jobEnded(slots: readonly number[], at: number): void {
    this.#jobs -= 1
    this.#slots.add(slots)
    this.#touch(at)
  }

  mergeBegan(at: number): void {
    if (this.#merging === 0) this.#mergingSince = at
    this.#merging += 1
  }

  mergeEnded(at: number): void {
    this.#merging -= 1
    if (this.#merging === 0) this.#mergingMs += at - this.#mergingSince
  }

  /** Entries are on disk. */
  came(entries: number, bytes: number, at: number): void {
    this.#entries += entries
    this.#bytes += bytes
    this.#touch(at)
  }

  /** Both ends have counted the same entries, with the same checksum, and they are on disk. */
  compared(entries: number, checksum: number, at: number): void {
    this.#receiptEntries += entries
    this.#checksum = (this.#checksum + checksum) >>> 0
    this.#touch(at)
  }

  /** Slots that repair has brought entries of. */
  touched(slots: Iterable<number>): void {
    this.#slots.add(slots)
  }

  #touch(at: number): void {
    this.#activeAt = at
    this.#isChanged = true
  }

  /** Once a second. */
  sample(at: number): void {
    this.#samples.push({ at, bytes: this.#bytes, mergingMs: this.#mergingMsAt(at) })
    while (this.#samples.length > SAMPLES_MAX || (this.#samples.length > 2 && at - this.#samples[1]!.at > RECENT_MS))
      this.#samples.shift()
  }

  #mergingMsAt(at: number): number {
    return this.#mergingMs + (this.#merging > 0 ? at - this.#mergingSince : 0)
  }

  /** True once for each change. */
  takeChange(): boolean {
    const isChanged = this.#isChanged
    this.#isChanged = false
    return isChanged
  }

  /** As a record. `state`: one that is cut was running when it was written. */
  record(state: TransferState, endedAtMs: number): TransferRecord {
    const { cause, source, puller, config, beganAtMs } = this.#begin
    const receipt = { slots: this.#slots, entries: this.#receiptEntries, checksum: this.#checksum }
    const taken = { entries: this.#entries, bytes: this.#bytes, receipt }
    return { number: this.#number, cause, source, puller, config, state, ...taken, beganAtMs, endedAtMs }
  }

  /** `paced`: what the pace of this peer waits for now. `shareLeft`: slots that nobody takes yet, as its share. */
  running(nowMs: number, at: number, paced: Holder | undefined, shareLeft: number): RunningTransfer {
    const [first] = this.#samples
    const passed = Math.max(SPAN_MS_MIN, at - first!.at)
    const bytesPerS = Math.round(((this.#bytes - first!.bytes) / passed) * 1000)
    // Parts wait for the disk most of the time: then the source is faster than the disk.
    const isDisk = (this.#mergingMsAt(at) - first!.mergingMs) / passed > 0.5
    const heldBy = paced ?? (isDisk ? 'disk' : 'source')
    const slotsInAll = this.#assigned.size + shareLeft
    return { ...this.record('running', nowMs), slotsInAll, bytesPerS, heldBy }
  }
}
