// The rule for failed writes, around any store. Used by the storage actor.
//
// LevelDB that ran out of space once goes on to acknowledge synced writes, and loses every one of them at the next
// open: the failed record left a hole in its log. So the first failed write stops the store; it is closed and opened
// again, and goes on only when what is on the disk is what was acknowledged.
// How that is known: every batch carries the next number of a sequence, so the number found after reopening names the
// last batch that is there. Invariant: no batch is acknowledged whose number is above one that was lost.
import type { Bytes } from '../bytes.js'
import { readU48, U48_MAX, writeU48 } from '../entry/integers.js'
import { metaKey } from '../entry/keys.js'
import { assert, RingdError } from '../errors.js'
import type { Scan, ScanRange, Store, StoreWrite } from './store.js'

const SEQUENCE_KEY = metaKey('sequence')
/** A u64, of which 48 bits are used: enough for a million batches a second over eight years. */
const SEQUENCE_BYTES = 8

export class GuardedStore {
  readonly #store: Store
  #acknowledged: number
  #failure: RingdError | undefined
  #isWriting = false

  /** Takes over an open store. Throws DATA_DAMAGED when its sequence cannot be read. */
  constructor(store: Store) {
    this.#store = store
    this.#acknowledged = readSequence(store)
  }

  /** The number of the last batch that is on the disk. */
  get batch(): number {
    return this.#acknowledged
  }

  /** Why writes are refused; undefined while they are not. */
  get failure(): RingdError | undefined {
    return this.#failure
  }

  /** As in Store. While writes are refused it still answers from what was acknowledged, but not during `recover`. */
  get(key: Bytes): Bytes | undefined {
    return this.#store.get(key)
  }

  scan(range: ScanRange): Scan {
    return this.#store.scan(range)
  }

  /**
   * As in Store; one batch at a time. After a first DISK_FULL or STORE_FAILED every later call is refused with that
   * same error, untried, until `recover` succeeds. Whether the failed batch was written is not known before that.
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
   * Opens the store again and accepts writes when nothing acknowledged is lost; the failed batch is then there as a
   * whole or not at all. Open scans end. Throws what `reopen` throws (DISK_FULL while there is no space: try again
   * later), or DATA_DAMAGED when the store went backwards: then it must only go on under a new storeId, as a new
   * GuardedStore.
   */
  async recover(): Promise<void> {
    assert(!this.#isWriting, 'a store recovers when its write is over')
    this.#failure ??= new RingdError('STORE_FAILED')
    await this.#store.reopen()
    const persisted = readSequence(this.#store)
    if (persisted !== this.#acknowledged && persisted !== this.#acknowledged + 1) {
      const found = `batch ${persisted} is the last on disk, ${this.#acknowledged} the last acknowledged`
      this.#failure = new RingdError('DATA_DAMAGED', `the store went backwards: ${found}`)
      throw this.#failure
    }
    this.#acknowledged = persisted
    this.#failure = undefined
  }

  close(): Promise<void> {
    return this.#store.close()
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
