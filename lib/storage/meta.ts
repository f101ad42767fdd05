// Small named records beside the entries: the state that actors keep on disk. Types only: the replica writes the
// records, in the same synced batches as entries.
import type { Bytes } from '../bytes.js'

/** One named record; `undefined` deletes it. */
export interface MetaWrite {
  readonly name: string
  readonly value: Bytes | undefined
}

/** Reads the records at the start, before any actor runs. */
export interface MetaReader {
  get(name: string): Bytes | undefined
  /** The names that begin with `prefix`, ascending. */
  names(prefix: string): Promise<readonly string[]>
}
