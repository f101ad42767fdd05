// The writes that wait for the disk: turns everything that waits into one synced batch, and only then has it answered.
// Part of the storage actor, which alone owns one. Owns what waits, and the recovery after a failed write.
// Invariants: nothing is answered before it is on disk; what waits is planned in its order; after a failed write
// nothing is written before the store is known to be what was acknowledged; the tally follows the disk, also when a
// batch that failed is there all the same.
import type { Clock } from '../../clock.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Histogram, Metrics } from '../../metrics.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { SlotStats } from './slot-stats.js'
import { WriteBatch } from './write-batch.js'

export interface WriteQueueDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: GuardedStore
  readonly slotStats: SlotStats
  /** The store lost what it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

/** Something that waits to be written. */
export interface QueuedWrite {
  /** What it counts for; 0 for what is small. */
  readonly bytes: number
  /** Adds to the batch what must be written; returns how to answer once it is on disk. */
  readonly plan: (plan: WriteBatch) => () => void
  readonly fail: (error: RingdError) => void
}

/** One synced batch holds at most this: more lengthens every wait, less costs fsyncs. */
const GROUP_BYTES_MAX = 4 * MiB
/** Values waiting for their fsync. Beyond, writes are refused. */
const PENDING_BYTES_MAX = 128 * MiB
const RECOVER_REPEAT_MS = 1000
const COUNT_REPEAT_MS = 5000

export class WriteQueue {
  readonly #deps: WriteQueueDeps
  readonly #groupSize: Histogram
  #pending: QueuedWrite[] = []
  /** Wait behind operations: one in each batch at most, so that a transfer delays nobody by more than a block. */
  readonly #merges: QueuedWrite[] = []
  #bytes = 0
  #flushing = false
  #flushed = Promise.resolve()
  #hasEnded = false
  #recovering = false

  constructor(deps: WriteQueueDeps) {
    this.#deps = deps
    this.#groupSize = deps.metrics.histogram('ringd_storage_group_writes', 'writes in one synced batch')
    this.#count()
  }

  /** So much waits that no more may be taken. */
  get isFull(): boolean {
    return this.#bytes > PENDING_BYTES_MAX
  }

  get isRecovering(): boolean {
    return this.#recovering
  }

  /** Takes it; `urge` has it written. */
  add(pending: QueuedWrite): void {
    this.#bytes += pending.bytes
    this.#pending.push(pending)
  }

  /** As `add`, behind what clients wait for. */
  addBehind(pending: QueuedWrite): void {
    this.#merges.push(pending)
  }

  /** Resolves when what `run` plans in its turn is on disk. */
  step(run: (plan: WriteBatch) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const plan = (group: WriteBatch) => {
        run(group)
        return resolve
      }
      this.add({ bytes: 0, plan, fail: reject })
      this.urge()
    })
  }

  urge(): void {
    if (this.#pending.length + this.#merges.length > 0 && !this.#flushing) this.#flushed = this.#flush()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#hasEnded = true
    return this.#flushed
  }

  /** Turns everything that waits into synced batches, one after the other, until nothing waits. */
  async #flush(): Promise<void> {
    this.#flushing = true
    while (this.#pending.length + this.#merges.length > 0) {
      const group = this.#takeGroup()
      for (const answer of await this.#writeGroup(group)) answer()
    }
    this.#flushing = false
  }

  /** Writes the group as one batch; returns how to answer each. Never throws: a failed write is answered, too. */
  async #writeGroup(group: readonly QueuedWrite[]): Promise<readonly (() => void)[]> {
    const { store, slotStats } = this.#deps
    const plan = new WriteBatch()
    try {
      if (this.#recovering) throw store.failure ?? new RingdError('STORE_FAILED')
      const answers = group.map((pending) => pending.plan(plan))
      if (plan.writes.length > 0) await store.write(plan.writes)
      this.#groupSize.observe(plan.writes.length)
      for (const { stored, before, after } of plan.changes()) slotStats.change(stored, before, after)
      return answers
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (!this.#recovering) void this.#recover(error, plan)
      return group.map((pending) => () => pending.fail(error))
    }
  }

  #takeGroup(): QueuedWrite[] {
    const { length } = this.#pending
    let taken = 0
    let bytes = 0
    while (taken < length && bytes < GROUP_BYTES_MAX) bytes += this.#pending[taken++]!.bytes
    const group = taken === length ? this.#pending : this.#pending.slice(0, taken)
    this.#pending = taken === length ? [] : this.#pending.slice(taken)
    this.#bytes -= bytes
    const merge = this.#merges.shift()
    return merge === undefined ? group : [...group, merge]
  }

  /** After a failed write: reopens until the store is what was acknowledged, or is lost. */
  async #recover(error: RingdError, failed: WriteBatch): Promise<void> {
    const { store, log, clock, onLost, slotStats } = this.#deps
    const { batch } = store
    this.#recovering = true
    log.error({ err: error }, 'the disk refused a write; reopening the store')
    while (!this.#hasEnded) {
      try {
        await store.recover()
        // The failed batch may be there all the same.
        if (store.batch > batch)
          for (const { stored, before, after } of failed.changes()) slotStats.change(stored, before, after)
        if (!slotStats.isComplete) this.#count()
        this.#recovering = false
        log.info({}, 'the store is whole and takes writes again')
        return
      } catch (thrown) {
        const cause = toRingdError(thrown)
        if (cause.code === 'DATA_DAMAGED') return onLost(cause)
        log.warn({ err: cause }, 'the store cannot be reopened yet')
      }
      await new Promise<void>((resolve) => void clock.after(RECOVER_REPEAT_MS, resolve))
    }
  }

  /** In the background; given up when the store must be reopened or cannot be read, and begun anew then. */
  #count(): void {
    const { slotStats, store, log, clock } = this.#deps
    slotStats.countAll(store).catch((thrown) => {
      log.warn({ err: thrown }, 'entries could not be counted; trying again')
      clock.after(COUNT_REPEAT_MS, () => this.#countAgain())
    })
  }

  #countAgain(): void {
    if (this.#hasEnded || this.#deps.slotStats.isComplete) return
    // After a failed write it is counted anew as well.
    this.step(() => this.#count()).catch(() => {})
  }
}
