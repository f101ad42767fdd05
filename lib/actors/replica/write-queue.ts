// The write queue of the replica: turns everything that waits into one synced batch, and answers it only then. Owns
// what waits, and the recovery after a failed write.
// Invariants: nothing is answered before it is on disk; writes enter batches in the order in which they came; after a
// failed write nothing is written until the store is known to be what was acknowledged; the slot statistics follow the
// disk, also when a failed batch turns out to be on disk.
import assert from 'node:assert/strict'
import type { Clock } from '../../clock.js'
import type { Conditions } from '../../conditions.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Histogram, Metrics } from '../../metrics.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { AgreedMoment } from './agreed-moment.js'
import type { DiskSpeed } from './disk-speed.js'
import type { SlotStats } from './slot-stats.js'
import { WriteBatch } from './write-batch.js'

export interface WriteQueueDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: GuardedStore
  readonly slotStats: SlotStats
  /** Told of each batch that is on disk; and of one that failed, which may be on disk all the same. */
  readonly batches?: BatchListener | undefined
  /** What each batch carries beside its writes; left out: nothing. */
  readonly agreedMoment?: AgreedMoment | undefined
  readonly diskSpeed?: DiskSpeed | undefined
  readonly conditions?: Conditions | undefined
  /** The disk had no room for a write. Resolves when the room that is kept for this case is free. */
  readonly onExhausted?: (() => Promise<void>) | undefined
  /** The store lost a write that it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

export interface BatchListener {
  stored(batch: WriteBatch): void
  failed(batch: WriteBatch): void
  /** The store was counted for the first time, or again. */
  counted(): void
}

/** A merge that waits behind the writes of clients. */
export interface QueuedMerge extends QueuedWrite {
  /** It may add entries without a look-up, so in its batch only others of its kind may follow. */
  readonly isLast: boolean
}

/** Something that waits to be written. */
export interface QueuedWrite {
  /** Its share of the limit of waiting bytes; 0 for small writes. */
  readonly bytes: number
  /** Adds its writes to the batch. Returns the function that answers once the batch is on disk. */
  readonly addTo: (batch: WriteBatch) => () => void
  readonly fail: (error: RingdError) => void
}

/**
 * Whether batches may reach the store. recovering: a write failed; the store can be read, until the disk has room and
 * the store is opened again. lost: the store went backwards, and never takes a write again.
 */
type StoreState = 'writable' | 'recovering' | 'lost'

/** The most in one synced batch. A larger batch lengthens every wait; a smaller one costs more fsyncs. */
const BATCH_BYTES_MAX = 4 * MiB
/** The most that may wait. Beyond it writes are refused. */
const PENDING_BYTES_MAX = 128 * MiB
/** The most of merges in one batch while no client waits. */
const MERGE_BYTES_MAX = MiB
const RECOVER_REPEAT_MS = 1000
/** One of so many tries to open the store again is logged. */
const LOGGED_TRIES = 60
const COUNT_REPEAT_MS = 5000

/** Writes batch after batch, in the order in which the writes came. */
export class WriteQueue {
  readonly #deps: WriteQueueDeps
  readonly #batchSize: Histogram
  #pending: QueuedWrite[] = []
  /** Merges wait behind operations: a few in a batch at most, so a transfer delays no client by more than that. */
  readonly #merges: QueuedMerge[] = []
  #bytes = 0
  /** A flush is under way, and `#flushed` resolves at its end. */
  #isFlushing = false
  #flushed = Promise.resolve()
  #state: StoreState = 'writable'
  /** No retry begins any more. Independent of the state: what waits is still written, or refused, as the state says. */
  #hasEnded = false

  constructor(deps: WriteQueueDeps) {
    this.#deps = deps
    this.#batchSize = deps.metrics.histogram('ringd_storage_group_writes', 'writes in one synced batch')
    this.#count()
  }

  /** The waiting bytes have reached their limit: no write may be added. */
  get isFull(): boolean {
    return this.#bytes > PENDING_BYTES_MAX
  }

  /** False while the store is opened again after a failed write, until it is known to be whole. */
  get isReadable(): boolean {
    return this.#state !== 'lost' && this.#deps.store.isReadable
  }

  /** Takes a write. It is written after the next `urge`. */
  add(write: QueuedWrite): void {
    this.#bytes += write.bytes
    this.#pending.push(write)
  }

  /** As `add`, but behind the writes that clients wait for. */
  addBehind(merge: QueuedMerge): void {
    this.#merges.push(merge)
  }

  /** Calls `run` in its turn; resolves when what it added to the batch is on disk. */
  step(run: (batch: WriteBatch) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const addTo = (batch: WriteBatch) => {
        run(batch)
        return resolve
      }
      this.add({ bytes: 0, addTo, fail: reject })
      this.urge()
    })
  }

  /** idle -> flushing, when something waits */
  urge(): void {
    if (this.#isWaiting && !this.#isFlushing) this.#flushed = this.#flush()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#hasEnded = true
    return this.#flushed
  }

  get #isWaiting(): boolean {
    return this.#pending.length + this.#merges.length > 0
  }

  /** Writes batch after batch until nothing waits. flushing -> idle */
  async #flush(): Promise<void> {
    this.#isFlushing = true
    while (this.#isWaiting) {
      const writes = this.#takeNext()
      for (const answer of await this.#writeBatch(writes)) answer()
    }
    this.#isFlushing = false
  }

  /** Writes them as one batch; returns the functions that answer each. Never throws: a failed write has answers too. */
  async #writeBatch(writes: readonly QueuedWrite[]): Promise<readonly (() => void)[]> {
    const { store } = this.#deps
    const batch = new WriteBatch()
    try {
      if (this.#state !== 'writable') throw store.failure ?? new RingdError('STORE_FAILED')
      const answers = writes.map((write) => write.addTo(batch))
      if (batch.writes.length > 0) await this.#sync(batch)
      this.#batchSize.observe(batch.writes.length)
      this.#countChanges(batch)
      return answers
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (this.#state !== 'writable') return writes.map((write) => () => write.fail(error))
      this.#recover(error, batch)
      return writes.map((write) => () => write.fail(inDoubt(error)))
    }
  }

  async #sync(batch: WriteBatch): Promise<void> {
    const { store, agreedMoment, diskSpeed } = this.#deps
    const agreed = agreedMoment?.due()
    if (agreed !== undefined) batch.record(agreed.record)
    const ended = diskSpeed?.began()
    try {
      await store.write(batch.writes)
    } finally {
      ended?.()
    }
    agreed?.stored()
  }

  #takeNext(): QueuedWrite[] {
    const { length } = this.#pending
    let taken = 0
    let bytes = 0
    while (taken < length && bytes < BATCH_BYTES_MAX) bytes += this.#pending[taken++]!.bytes
    const next = taken === length ? this.#pending : this.#pending.slice(0, taken)
    this.#pending = taken === length ? [] : this.#pending.slice(taken)
    this.#bytes -= bytes
    return this.#merges.length === 0 ? next : [...next, ...this.#takeMerges(next.length > 0)]
  }

  /** One merge beside the writes of clients; several while there are none. */
  #takeMerges(isShared: boolean): readonly QueuedWrite[] {
    const taken = [this.#merges.shift()!]
    let { bytes } = taken[0]!
    while (!isShared && this.#merges.length > 0 && this.#merges[0]!.isLast && bytes < MERGE_BYTES_MAX) {
      const merge = this.#merges.shift()!
      taken.push(merge)
      bytes += merge.bytes
    }
    return taken
  }

  /** writable -> recovering */
  #recover(error: RingdError, failed: WriteBatch): void {
    assert(this.#state === 'writable', 'a recovery begins once for each failed write')
    this.#state = 'recovering'
    const { log, store } = this.#deps
    this.#deps.batches?.failed(failed)
    log.error({ err: error }, 'the disk refused a write; what is stored can be read until the store is opened again')
    this.#deps.conditions?.set('store-closed', `the disk refused a write, so no write is taken: ${error.message}`)
    void this.#reopen(failed, store.batch)
  }

  /** Tries until the store is what was acknowledged, or is known to be lost. `acknowledged`: the last batch before. */
  async #reopen(failed: WriteBatch, acknowledged: number): Promise<void> {
    const { store, log, clock, onExhausted } = this.#deps
    let tries = 0
    while (!this.#hasEnded) {
      try {
        if (store.failure?.code === 'DISK_FULL') await onExhausted?.()
        await store.recover()
        return this.#resume(failed, acknowledged)
      } catch (thrown) {
        const cause = toRingdError(thrown)
        if (cause.code === 'DATA_DAMAGED') return this.#lose(cause)
        if (tries++ % LOGGED_TRIES === 0) log.warn({ err: cause }, 'the store cannot be opened again yet')
      }
      await new Promise<void>((resolve) => void clock.after(RECOVER_REPEAT_MS, resolve))
    }
  }

  /** recovering -> writable */
  #resume(failed: WriteBatch, acknowledged: number): void {
    assert(this.#state === 'recovering', 'only a store that is being reopened resumes')
    const { store, slotStats, log } = this.#deps
    // The failed batch may be on disk nevertheless.
    if (store.batch > acknowledged) this.#countChanges(failed)
    if (!slotStats.isComplete) this.#count()
    this.#state = 'writable'
    this.#deps.conditions?.clear('store-closed')
    log.info({}, 'the store is whole and takes writes again')
  }

  /** recovering -> lost */
  #lose(error: RingdError): void {
    assert(this.#state === 'recovering', 'only a store that is being reopened can be found lost')
    this.#state = 'lost'
    this.#deps.onLost(error)
  }

  #countChanges(batch: WriteBatch): void {
    const { slotStats } = this.#deps
    for (const { storedKey, before, after } of batch.changes()) slotStats.change(storedKey, before, after)
    this.#deps.batches?.stored(batch)
  }

  /** Counts the store in the background. Fails when the store is reopened or cannot be read, and begins anew then. */
  #count(): void {
    const { slotStats, store, log, clock } = this.#deps
    const failed = (thrown: unknown) => {
      log.warn({ err: thrown, retryMs: COUNT_REPEAT_MS }, 'entries could not be counted; trying again')
      clock.after(COUNT_REPEAT_MS, () => this.#countAgain())
    }
    slotStats.countAll(store).then(() => this.#deps.batches?.counted(), failed)
  }

  #countAgain(): void {
    if (this.#hasEnded || this.#deps.slotStats.isComplete) return
    // When this step fails, `#resume` counts anew.
    this.step(() => this.#count()).catch(() => {})
  }
}

/** The batch may be on disk although it failed, so no answer may say that certainly nothing was stored. */
function inDoubt(error: RingdError): RingdError {
  return error.code === 'DISK_FULL' ? new RingdError('STORE_FAILED', error.message, { cause: error }) : error
}
