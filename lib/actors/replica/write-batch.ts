// What one synced batch of the storage actor will write, and what it replaces. Part of the storage actor.
// Invariant: of several writes of one key in a batch each is compared with the one before it.
import type { Bytes } from '../../bytes.js'
import type { StoreWrite } from '../../storage/store.js'

/** The writes of one synced batch, and what they replace. */
export class WriteBatch {
  readonly writes: StoreWrite[] = []
  readonly #changes = new Map<string, Change>()

  /** What this batch will do to the key so far; undefined: nothing. */
  planned(name: string): Change | undefined {
    return this.#changes.get(name)
  }

  put(name: string, stored: Bytes, before: Bytes | undefined, after: Bytes): void {
    const first = this.#changes.get(name)
    this.#changes.set(name, { stored, before: first === undefined ? before : first.before, after })
    this.writes.push({ type: 'put', key: stored, value: after })
  }

  /** Deletes what is stored under the key. */
  drop(name: string, stored: Bytes, before: Bytes): void {
    const first = this.#changes.get(name)
    this.#changes.set(name, { stored, before: first === undefined ? before : first.before, after: undefined })
    this.writes.push({ type: 'del', key: stored })
  }

  fact(key: Bytes, value: Bytes | undefined): void {
    this.writes.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value })
  }

  changes(): Iterable<Change> {
    return this.#changes.values()
  }
}

export interface Change {
  readonly stored: Bytes
  readonly before: Bytes | undefined
  /** undefined: nothing any more. */
  readonly after: Bytes | undefined
}
