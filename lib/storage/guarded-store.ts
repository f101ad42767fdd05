// The rule for failed writes, around any store.
//
// When LevelDB runs out of space once, it still acknowledges later synced writes, and loses all of them at the next
// open, because the failed record left a hole in its log. So the first failed write stops the store. It is closed and
// opened again, and accepts writes only when the disk holds all acknowledged batches. Each batch writes the next number
// of a sequence. So the number after reopening is that of the last batch on disk.
// Invariant: no batch is acknowledged whose number is above that of a lost batch.
import type { Bytes } from '../bytes.js'
import { readU48, U48_MAX, writeU48 } from '../entry/integers.js'
import { metaKey } from '../entry/keys.js'
import { assert, RingdError } from '../errors.js'
import type { Scan, ScanRange, Store, StoreWrite } from './store.js'

const SEQUENCE_KEY = metaKey('sequence')
/** A u64 of which 48 bits are used: enough for a million batches a second over eight years. */
const SEQUENCE_BYTES = 8

export class GuardedStore {
  readonly #store: Store
  #acknowledged: number
  #failure: RingdError | undefined
  #isWriting = false
  /** From the closing of the store until it is known to hold all acknowledged batches: it answers nothing. */
  #isReopening = false

  /** Takes an open store. Throws DATA_DAMAGED when its sequence cannot be read. */
  constructor(store: Store) {
    this.#store = store
    this.#acknowledged = readSequence(store)
  }

  /** The number of the last batch that is on the disk. */
  get batch(): number {
    return this.#acknowledged
  }

  /** The error with which writes are refused; undefined while they are accepted. */
  get failure(): RingdError | undefined {
    return this.#failure
  }

  /** False while the store is opened again: `get` and `scan` throw STOPPED. */
  get isReadable(): boolean {
    return !this.#isReopening
  }

  /** As in Store. After a failed write it returns the acknowledged values. STOPPED while the store is reopened. */
  get(key: Bytes): Bytes | undefined {
    this.#assertReadable()
    return this.#store.get(key)
  }

  scan(range: ScanRange): Scan {
    this.#assertReadable()
    return this.#store.scan(range)
  }

  /** As in Store; 0 for a store that needs none. */
  upkeepBytes(): number {
    return this.#store.upkeepBytes?.() ?? 0
  }

  /**
   * As in Store; one batch at a time. After the first DISK_FULL or STORE_FAILED, each later call throws the same error
   * and writes nothing, until `recover` succeeds. Until then it is unknown whether the failed batch is on disk.
   */
  async write(writes: readonly StoreWrite[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    assert(!this.#isWriting, 'the store is written by one batch at a time')
    const sequence = this.#acknowledged + 1
    this.#isWriting = true
    try {
      await this.#store.write([...writes, { type: 'put', key: SEQUENCE_KEY, value: encodeSequence(sequence) }])
      this.#acknowledged = sequence
    } catch (thrown) {
      this.#failure =
        thrown instanceof RingdError ? thrown : new RingdError('STORE_FAILED', undefined, { cause: thrown })
      throw this.#failure
    } finally {
      this.#isWriting = false
    }
  }

  /**
   * Opens the store again, and accepts writes when no acknowledged batch is lost. The failed batch is then on disk as a
   * whole, or not at all. Open scans end. Throws the errors of `tryReopen` (then the store can still be read) and of
   * `reopen` (then nothing can be read); try again later. Throws DATA_DAMAGED when the store went backwards. Such a
   * store may only go on with a new storeId, in a new GuardedStore.
   */
  async recover(): Promise<void> {
    assert(!this.#isWriting, 'a store recovers when its write is over')
    this.#failure ??= new RingdError('STORE_FAILED')
    if (!this.#isReopening) await this.#store.tryReopen?.()
    this.#isReopening = true
    await this.#store.reopen()
    const persisted = readSequence(this.#store)
    if (persisted !== this.#acknowledged && persisted !== this.#acknowledged + 1) {
      const found = `the last batch on disk is ${persisted}, the last acknowledged one is ${this.#acknowledged}`
      this.#failure = new RingdError('DATA_DAMAGED', `the store went backwards: ${found}`)
      throw this.#failure
    }
    this.#acknowledged = persisted
    this.#failure = undefined
    this.#isReopening = false
  }

  /** As in Store; nothing for a store that needs none. */
  async compact(range: ScanRange): Promise<void> {
    this.#assertReadable()
    await this.#store.compact?.(range)
  }

  /** As in Store; 0 for a store that cannot tell. */
  async diskBytes(range: ScanRange): Promise<number> {
    this.#assertReadable()
    return (await this.#store.diskBytes?.(range)) ?? 0
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  #assertReadable(): void {
    if (this.#isReopening) throw new RingdError('STOPPED', 'the store is being opened again')
  }
}

const RESTORE = 'move the data directory away and start with an empty one to fetch the data from the ring'

function readSequence(store: Store): number {
  const bytes = store.get(SEQUENCE_KEY)
  if (bytes === undefined) return 0
  if (bytes.length !== SEQUENCE_BYTES)
    throw new RingdError('DATA_DAMAGED', `the sequence number of the store is damaged; ${RESTORE}`)
  return readU48(bytes, 2)
}

function encodeSequence(sequence: number): Bytes {
  assert(sequence <= U48_MAX, 'the sequence fits 48 bits')
  const bytes = new Uint8Array(SEQUENCE_BYTES)
  writeU48(bytes, 2, sequence)
  return bytes
}
