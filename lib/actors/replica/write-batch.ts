// One synced batch of the replica: its writes, and the entries that they replace.
// Invariant: of several writes of one key in a batch, each is compared with the one before it.
import type { StoredEntry } from '../../entry/block.js'
import type { Envelope } from '../../entry/envelope.js'
import { metaKey, type StoredKey, slotOfDataKey } from '../../entry/keys.js'
import type { Version } from '../../entry/version.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { StoreWrite } from '../../storage/store.js'

/** The effect of a batch on the entry of one key. */
export interface EntryChange {
  readonly storedKey: StoredKey
  /** The envelope on disk before the batch; undefined: none. */
  readonly before: Envelope | undefined
  /** The envelope on disk after the batch; undefined: none. */
  readonly after: Envelope | undefined
}

/** The effect of a batch on the promise for one key. */
export interface PromiseChange {
  readonly storedKey: StoredKey
  /** The promise on disk after the batch; undefined: none. */
  readonly ballot: Version | undefined
}

const NO_PROMISES: ReadonlyMap<string, PromiseChange> = new Map()

/** The writes of one synced batch, and what they replace. `name` is the stored key as a string. */
export class WriteBatch {
  readonly writes: StoreWrite[] = []
  readonly #changes = new Map<string, EntryChange>()
  readonly #added: StoredEntry[] = []
  /** Made for the first promise: most batches change none. */
  #promises: Map<string, PromiseChange> | undefined

  /** The change of the entry by this batch so far; undefined: none. */
  changeOf(name: string): EntryChange | undefined {
    return this.#changes.get(name)
  }

  put(name: string, storedKey: StoredKey, before: Envelope | undefined, after: Envelope): void {
    const first = this.#changes.get(name)
    this.#changes.set(name, { storedKey, before: first === undefined ? before : first.before, after })
    this.writes.push({ type: 'put', key: storedKey, value: after })
  }

  /** Adds an entry of a key of which nothing is stored. No later write of the batch may be of this key. */
  add(storedKey: StoredKey, envelope: Envelope): void {
    this.#added.push({ dataKey: storedKey, envelope })
    this.writes.push({ type: 'put', key: storedKey, value: envelope })
  }

  drop(name: string, storedKey: StoredKey, before: Envelope): void {
    const first = this.#changes.get(name)
    this.#changes.set(name, { storedKey, before: first === undefined ? before : first.before, after: undefined })
    this.writes.push({ type: 'del', key: storedKey })
  }

  /** The change of the promise for the key by this batch so far; undefined: none. */
  promiseChange(name: string): PromiseChange | undefined {
    return this.#promises?.get(name)
  }

  changePromise(name: string, storedKey: StoredKey, ballot: Version | undefined): void {
    this.#promises ??= new Map()
    this.#promises.set(name, { storedKey, ballot })
  }

  promiseChanges(): ReadonlyMap<string, PromiseChange> {
    return this.#promises ?? NO_PROMISES
  }

  /** Writes or deletes a named record. */
  record({ name, value }: MetaWrite): void {
    const key = metaKey(name)
    this.writes.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value })
  }

  *changes(): Iterable<EntryChange> {
    yield* this.#changes.values()
    for (const { dataKey, envelope } of this.#added) yield { storedKey: dataKey, before: undefined, after: envelope }
  }

  /** The keys of which the batch has put or dropped an entry so far, without those that were added. */
  *touched(): Iterable<{ readonly slot: number; readonly name: string }> {
    for (const [name, { storedKey }] of this.#changes) yield { slot: slotOfDataKey(storedKey), name }
  }
}
