// The promises of this owner: for each key the ballot of the last round that asked for one, as long as it is above the
// entry. Part of the replica. The records lie in the store (lib/entry/promise-record.ts) and are written with the same
// batches as entries; all of them are in memory too, so that a write of a key without a promise costs no read.
// Invariants: a promise is on disk before anybody hears of it; the table holds what the disk holds, and what a batch
// changes counts for later writes of the same batch; a promise ends only in the batch that writes an entry which is not
// below it, or when its slot is released.
// Source: rules A1 and A3 of lib/views/README.md.
import { asBuffer, type Bytes, compareBytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { DATA_KEY_OVERHEAD, type StoredKey, slotOfDataKey } from '../../entry/keys.js'
import { encodePromise, promiseKey } from '../../entry/promise-record.js'
import type { Version } from '../../entry/version.js'
import { MiB } from '../../limits.js'
import type { Gauge, Metrics } from '../../metrics.js'
import type { StandingPromise } from './replica-messages.js'
import type { WriteBatch } from './write-batch.js'

interface Standing extends StandingPromise {
  /** When this process learned of it, or last named its key (`olderThan`), monotonic ms. */
  readonly since: number
}

/** Promises that may stand at once, and the bytes of their keys. Beyond that a prepare is refused as overloaded. */
export const PROMISES_MAX = 65_536
const KEY_BYTES_OF_ALL_MAX = 64 * MiB

export interface PromisesDeps {
  readonly clock: Pick<Clock, 'elapsed'>
  readonly metrics: Metrics
}

export class Promises {
  readonly #clock: Pick<Clock, 'elapsed'>
  readonly #count: Gauge
  /** By stored key, as in `WriteBatch`. */
  readonly #standing = new Map<string, Standing>()
  #keyBytes = 0

  /** `stored`: the promises on disk. */
  constructor({ clock, metrics }: PromisesDeps, stored: readonly StandingPromise[]) {
    this.#clock = clock
    this.#count = metrics.gauge('ringd_storage_promises', 'keys of which a round is promised and not written here')
    for (const { storedKey, ballot } of stored) this.#set(nameOf(storedKey), storedKey, ballot)
  }

  /** Whether some promise stands once the batch so far is written, for whichever key. Cheaper than `of`. */
  isAny(batch: WriteBatch): boolean {
    return this.#standing.size > 0 || batch.promiseChanges().size > 0
  }

  /** Whether no promise for another key may be added. */
  get isFull(): boolean {
    return this.#standing.size >= PROMISES_MAX || this.#keyBytes >= KEY_BYTES_OF_ALL_MAX
  }

  /** The promise that stands for the key once the batch so far is written; undefined: none. */
  of(batch: WriteBatch, name: string): Version | undefined {
    const change = batch.promiseChange(name)
    if (change !== undefined) return change.ballot
    return this.#standing.size === 0 ? undefined : this.#standing.get(name)?.ballot
  }

  /**
   * Adds the promise to the batch. A promise that stands already is written again: a failed batch may have left it in
   * doubt.
   */
  promise(batch: WriteBatch, name: string, storedKey: StoredKey, ballot: Version): void {
    batch.changePromise(name, storedKey, ballot)
    batch.writes.push({ type: 'put', key: promiseKey(storedKey), value: encodePromise(storedKey, ballot) })
  }

  /** Ends the promise in the batch. Nothing when none stands. */
  end(batch: WriteBatch, name: string, storedKey: StoredKey): void {
    if (this.of(batch, name) === undefined) return
    batch.changePromise(name, storedKey, undefined)
    batch.writes.push({ type: 'del', key: promiseKey(storedKey) })
  }

  /** The batch is on disk. */
  stored(batch: WriteBatch): void {
    for (const [name, { storedKey, ballot }] of batch.promiseChanges()) {
      if (ballot === undefined) this.#delete(name)
      else this.#set(name, storedKey, ballot)
    }
  }

  /** The promises on disk for keys of these slots, in the order of stored keys. */
  inSlots(slots: Iterable<number>): readonly StandingPromise[] {
    if (this.#standing.size === 0) return []
    const wanted = new Set(slots)
    const found: StandingPromise[] = []
    for (const standing of this.#standing.values())
      if (wanted.has(slotOfDataKey(standing.storedKey))) found.push(standing)
    return found.sort((one, other) => compareBytes(one.storedKey, other.storedKey))
  }

  /** The slots of keys with a promise. */
  slots(): ReadonlySet<number> {
    return new Set(Array.from(this.#standing.values(), ({ storedKey }) => slotOfDataKey(storedKey)))
  }

  /**
   * Keys of clients in such slots whose promises have stood for at least so long, the oldest promise first. A key that
   * was named counts as new: keys that cannot be settled for now must not keep the others from being named.
   */
  olderThan(ageMs: number, limit: number, isOurs: (slot: number) => boolean): readonly Bytes[] {
    const latest = this.#clock.elapsed() - ageMs
    const named: [name: string, standing: Standing][] = []
    for (const [name, standing] of this.#standing) {
      // In the order in which they were given or named.
      if (named.length >= limit || standing.since > latest) break
      if (isOurs(slotOfDataKey(standing.storedKey))) named.push([name, standing])
    }
    const since = this.#clock.elapsed()
    for (const [name, standing] of named) {
      this.#standing.delete(name)
      this.#standing.set(name, { ...standing, since })
    }
    return named.map(([, { storedKey }]) => storedKey.subarray(DATA_KEY_OVERHEAD))
  }

  #set(name: string, storedKey: StoredKey, ballot: Version): void {
    this.#delete(name)
    // The bytes of a message would keep the whole message in memory.
    const own = { storedKey: new Uint8Array(storedKey) as StoredKey, ballot: new Uint8Array(ballot) as Version }
    this.#standing.set(name, { ...own, since: this.#clock.elapsed() })
    this.#keyBytes += storedKey.length
    this.#count.set(this.#standing.size)
  }

  #delete(name: string): void {
    const before = this.#standing.get(name)
    if (before === undefined) return
    this.#standing.delete(name)
    this.#keyBytes -= before.storedKey.length
    this.#count.set(this.#standing.size)
  }
}

function nameOf(storedKey: StoredKey): string {
  return asBuffer(storedKey).toString('latin1')
}
