// Small named records beside the entries: what actors keep on disk about themselves. Shapes only: the replica writes
// them, in the same synced batches as entries.
import type { Bytes } from '../bytes.js'

/** One named record; `undefined` deletes it. */
export interface MetaWrite {
  readonly name: string
  readonly value: Bytes | undefined
}

/** Reads records at start, before any actor runs. */
export interface MetaReader {
  get(name: string): Bytes | undefined
  /** Names that begin with `prefix`, ascending. */
  names(prefix: string): Promise<readonly string[]>
}
