// The transfers by which this member takes data: those that are running, and the last ones that have ended, with their
// receipts. Part of the migration actor; repair tells it what it brings.
// Owns the records of transfers on disk. A running one is written there as one that was cut off, so that a crash loses
// at most two seconds of its receipt.
// Invariants: a receipt counts only what both ends have compared and what is on disk. Nothing here holds up a pull: a
// record that cannot be written costs that record. The number of transfers is bounded, in memory and on disk.
import type { Clock, Timer } from '../../clock.js'
import { every } from '../../clock.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Metrics } from '../../metrics.js'
import { SlotSet } from '../../ring/slot-set.js'
import type { MetaWrite } from '../../storage/meta.js'
import { newestConfig } from '../../views/configs.js'
import type { MoveCause } from '../../views/move-cause.js'
import type { PullJob } from '../../views/pull-plan.js'
import type { RingView } from '../../views/ring-view.js'
import { type MoveLeft, MoveProgress, type MoveProgressDeps } from './move-progress.js'
import type { PullProgress } from './slot-pull.js'
import { Transfer } from './transfer.js'
import { TransferMetrics } from './transfer-metrics.js'
import {
  ENDED_MAX,
  type Holder,
  type KeptTransfers,
  type RunningTransfer,
  type TransferRecord,
  type TransferState,
  writeTransfer
} from './transfer-records.js'

export interface TransfersDeps extends MoveProgressDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly self: MemberId
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Why the slots of the config that began with this view move. */
  readonly causeOf: (config: number) => MoveCause
  /** What the pace of this peer waits for now. */
  readonly paceHeldBy: () => Holder | undefined
}

/** What a job tells of itself. */
export interface JobProgress extends PullProgress {
  /** The job has ended: when it is done, everything of it is compared and on disk. */
  end(isDone: boolean): void
}

/** What repair has brought from another owner. It is on disk, and its blocks have matched their checksums. */
export interface Repaired {
  readonly source: MemberId
  readonly slots: ReadonlySet<number>
  readonly entries: number
  readonly bytes: number
  readonly checksum: number
}

/** What this peer tells of itself. */
export interface ToldTransfers {
  readonly running: readonly RunningTransfer[]
  /** The newest first. */
  readonly ended: readonly TransferRecord[]
  readonly left: MoveLeft
}

/** One change of the ring, as far as this member takes slots for it. */
interface Change {
  /** Slots that were given to a source. */
  readonly assigned: SlotSet
  /** Slots that this member is not ready for, and those of them that jobs under way take. */
  left: number
  underWay: number
}

const TICK_MS = 1000
/** A running transfer is written this often, when it has changed. */
const SAVE_TICKS = 2
/** Running transfers that are written at a time. Others are written when they end. */
const SAVED_MAX = 16
/** Repair with a source has ended when it has brought nothing for this long. */
const REPAIR_QUIET_MS = 3000
/** Twice as many as a ring has members. */
const RUNNING_MAX = 2048
/** Running transfers that are told: so many have half a MiB. */
const TOLD_MAX = 256
/** The pace of a move is told after this time. */
const PACE_MS_MIN = 1000
const REPAIR_CONFIG = 0

export class Transfers {
  readonly #deps: TransfersDeps
  readonly #metrics: TransferMetrics
  readonly #progress: MoveProgress
  readonly #running = new Map<string, Transfer>()
  readonly #changes = new Map<number, Change>()
  /** Ascending by number, but for those that were renumbered. */
  #ended: readonly TransferRecord[]
  #lastNumber: number
  #view: RingView | undefined
  #timer: Timer | undefined
  #ticks = 0
  #isStopped = false
  #moved = nothingMoved()
  /** Bytes in a second in the last move that has ended. */
  #lastPace: number | undefined

  constructor(deps: TransfersDeps, { ended, damaged }: KeptTransfers) {
    this.#deps = deps
    this.#metrics = new TransferMetrics(deps.metrics)
    this.#progress = new MoveProgress(deps)
    this.#ended = ended
    this.#lastNumber = ended.at(-1)?.number ?? 0
    this.#metrics.damaged(damaged)
    if (damaged > 0)
      deps.log.warn({ damaged }, 'records of transfers that have ended cannot be read; they are left out')
  }

  /** Bytes that came in a second in the present move, or in the last one; undefined when nothing came. */
  get bytesPerSecond(): number | undefined {
    const { bytes, since, jobs } = this.#moved
    const ms = this.#deps.clock.elapsed() - since
    return jobs > 0 && bytes > 0 && ms >= PACE_MS_MIN ? (bytes / ms) * 1000 : this.#lastPace
  }

  /** Everything that this member still has to pull, jobs under way included. */
  look(view: RingView, jobs: readonly PullJob[]): void {
    this.#view = view
    for (const change of this.#changes.values()) change.left = 0
    for (const { config, slots } of jobs) this.#changeOf(config.begin).left += slots.length
    this.#progress.look(view, jobs)
    this.#endChanges()
    if (jobs.length === 0) this.#becomeWhole(view)
    this.#observe()
  }

  /** A job begins, which takes its slots from these sources. */
  begin({ config, slots }: PullJob, sources: readonly MemberId[]): JobProgress {
    const { clock } = this.#deps
    if (this.#moved.jobs === 0) this.#moved.since = clock.elapsed()
    this.#moved.jobs += 1
    const change = this.#changeOf(config.begin)
    change.assigned.add(slots)
    change.underWay += slots.length
    const cause = this.#deps.causeOf(config.begin)
    const taking = new Map(sources.map((source) => [source, this.#transferOf(cause, source, config.begin)]))
    for (const transfer of taking.values()) transfer.jobBegan(slots)
    return {
      merging: (source) => taking.get(source)?.mergeBegan(clock.elapsed()),
      merged: (source) => taking.get(source)?.mergeEnded(clock.elapsed()),
      came: (source, entries, bytes) => this.#came(taking.get(source), entries, bytes),
      compared: (source, entries, checksum) => taking.get(source)?.compared(entries, checksum, clock.elapsed()),
      end: (isDone) => {
        change.underWay -= slots.length
        for (const transfer of taking.values()) transfer.jobEnded(isDone ? slots : [], clock.elapsed())
        // The last look may have been before, and no other one may come.
        this.#endChanges()
      }
    }
  }

  repaired({ source, slots, entries, bytes, checksum }: Repaired): void {
    if (entries === 0 || this.#isStopped) return
    const now = this.#deps.clock.elapsed()
    const transfer = this.#transferOf('repair', source, REPAIR_CONFIG)
    transfer.touched(slots)
    transfer.came(entries, bytes, now)
    transfer.compared(entries, checksum, now)
  }

  /** At most `endedMax` of those that have ended. */
  tell(endedMax: number): ToldTransfers {
    const { clock } = this.#deps
    const [nowMs, at, paced] = [clock.now(), clock.elapsed(), this.#deps.paceHeldBy()]
    const running = Array.from(this.#running.values())
      .slice(0, TOLD_MAX)
      .map((transfer) => transfer.running(nowMs, at, paced, this.#shareLeft(transfer)))
    const ended = endedMax > 0 ? this.#ended.slice(-Math.min(endedMax, ENDED_MAX)).reverse() : []
    return { running, ended, left: this.#progress.left() }
  }

  /** Ends what is running: the next start goes on with other transfers. */
  stop(): void {
    this.#isStopped = true
    this.#end([...this.#running.values()], () => 'cut')
  }

  #came(transfer: Transfer | undefined, entries: number, bytes: number): void {
    this.#metrics.came(entries, bytes)
    this.#moved.entries += entries
    this.#moved.bytes += bytes
    transfer?.came(entries, bytes, this.#deps.clock.elapsed())
    this.#progress.came()
  }

  #changeOf(config: number): Change {
    let change = this.#changes.get(config)
    if (change === undefined) {
      change = { assigned: new SlotSet(), left: 0, underWay: 0 }
      this.#changes.set(config, change)
    }
    return change
  }

  #transferOf(cause: MoveCause, source: MemberId, config: number): Transfer {
    const key = keyOf(source, config)
    const known = this.#running.get(key)
    if (known !== undefined) return known
    if (this.#running.size >= RUNNING_MAX) this.#endIdle()
    const { clock, self: puller } = this.#deps
    this.#lastNumber += 1
    const began = { number: this.#lastNumber, cause, source, puller, config }
    const transfer = new Transfer({ ...began, beganAtMs: clock.now(), at: clock.elapsed() })
    this.#running.set(key, transfer)
    if (!this.#isStopped) this.#timer ??= every(clock, TICK_MS, () => this.#tick())
    return transfer
  }

  /** The first one that does nothing now makes room. Its receipt holds; another one goes on. */
  #endIdle(): void {
    for (const transfer of this.#running.values()) if (!transfer.isBusy) return this.#end([transfer], () => 'cut')
  }

  /** What nobody takes yet is shared as what was taken. */
  #shareLeft({ config, assigned }: Transfer): number {
    const change = this.#changes.get(config)
    if (change === undefined || change.assigned.size === 0) return 0
    const open = Math.max(0, change.left - change.underWay)
    return Math.round((open * assigned) / change.assigned.size)
  }

  /** Ends the transfers of changes for which nothing is left to take. */
  #endChanges(): void {
    const view = this.#view
    if (view === undefined) return
    for (const [config, { left, underWay }] of this.#changes) {
      if (left > 0 || underWay > 0) continue
      this.#changes.delete(config)
      const ending = [...this.#running.values()].filter((transfer) => transfer.config === config)
      this.#end(ending, (transfer) => (isOvertaken(transfer, view) ? 'overtaken' : 'done'))
    }
  }

  #end(transfers: readonly Transfer[], stateOf: (transfer: Transfer) => TransferState): void {
    const records: TransferRecord[] = []
    for (const transfer of transfers) {
      this.#running.delete(keyOf(transfer.source, transfer.config))
      if (!transfer.isWorthKeeping) continue
      const record = this.#recordOf(transfer, stateOf(transfer))
      records.push(record)
      this.#metrics.ended(record.cause)
      this.#log(record)
    }
    if (this.#running.size === 0) {
      this.#timer?.cancel()
      this.#timer = undefined
    }
    if (records.length === 0) return
    this.#ended = [...this.#ended, ...records].slice(-ENDED_MAX)
    this.#persist(records.slice(-ENDED_MAX))
  }

  #log({ cause, source, config, state, entries, bytes, receipt, beganAtMs, endedAtMs }: TransferRecord): void {
    const { log } = this.#deps
    const compared = { slots: receipt.slots.size, comparedEntries: receipt.entries, checksum: receipt.checksum }
    const fields = { cause, source, config, state, entries, bytes, ...compared, ms: endedAtMs - beganAtMs }
    if (entries > 0) log.info(fields, 'transfer ended')
    else log.debug(fields, 'transfer ended: nothing was missing')
  }

  /** Another one may have taken its place on disk meanwhile. */
  #recordOf(transfer: Transfer, state: TransferState): TransferRecord {
    if (transfer.number <= this.#lastNumber - ENDED_MAX) {
      this.#lastNumber += 1
      transfer.renumber(this.#lastNumber)
    }
    return transfer.record(state, this.#deps.clock.now())
  }

  #tick(): void {
    const now = this.#deps.clock.elapsed()
    this.#ticks += 1
    this.#progress.sample()
    for (const transfer of this.#running.values()) transfer.sample(now)
    const isQuiet = ({ cause, activeAt }: Transfer) => cause === 'repair' && now - activeAt >= REPAIR_QUIET_MS
    this.#end([...this.#running.values()].filter(isQuiet), () => 'done')
    if (this.#ticks % SAVE_TICKS === 0) this.#save()
    this.#observe()
  }

  #save(): void {
    const records: TransferRecord[] = []
    for (const transfer of this.#running.values()) {
      if (records.length >= SAVED_MAX) break
      if (transfer.isWorthKeeping && transfer.takeChange()) records.push(this.#recordOf(transfer, 'cut'))
    }
    if (records.length > 0) this.#persist(records)
  }

  #persist(records: readonly TransferRecord[]): void {
    this.#deps.persist(records.map(writeTransfer)).catch((thrown) => {
      this.#deps.log.debug({ err: thrown }, 'records of transfers were not written; their receipts are lost')
    })
  }

  #observe(): void {
    const { running, left } = this.tell(0)
    this.#metrics.observe(this.#running.size, running, left)
  }

  /** Nothing is left to pull. */
  #becomeWhole(view: RingView): void {
    if (this.#moved.jobs === 0) return
    const { jobs, entries, bytes, since } = this.#moved
    const ms = Math.round(this.#deps.clock.elapsed() - since)
    this.#deps.log.info({ view: view.number, jobs, entries, bytes, ms }, 'everything that this member owns is here')
    if (bytes > 0) this.#lastPace = (bytes / Math.max(1, ms)) * 1000
    this.#moved = nothingMoved()
  }
}

/** A newer view has given slots of it other owners. */
function isOvertaken(transfer: Transfer, { configs }: RingView): boolean {
  return transfer.slots().some((slot) => newestConfig(configs.windows[slot]!).begin !== transfer.config)
}

function keyOf(source: MemberId, config: number): string {
  return `${config} ${source}`
}

/** What was pulled since everything was here the last time. `since`: the first job began, monotonic ms. */
function nothingMoved(): { jobs: number; entries: number; bytes: number; since: number } {
  return { jobs: 0, entries: 0, bytes: 0, since: 0 }
}
