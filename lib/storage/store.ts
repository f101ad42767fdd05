// The seam to the disk: an ordered map of bytes with atomic batches. Adapters: level.ts (LevelDB), memory.ts (tests,
// simulator). Implementations pass test/conformance/store.ts. Only the storage actor holds one.
import type { Bytes } from '../bytes.js'

export type StoreWrite =
  | { readonly type: 'put'; readonly key: Bytes; readonly value: Bytes }
  | { readonly type: 'del'; readonly key: Bytes }

export interface ScanRange {
  /** Inclusive lower bound. */
  readonly from: Bytes
  /** Exclusive upper bound. */
  readonly to: Bytes
}

/** A consistent snapshot of a range as it was when the scan was opened, read in key order. */
export interface Scan {
  /** The next entries, at least one unless the end is reached (then none), stopping once `bytesMax` is passed. */
  next(bytesMax: number): Promise<ReadonlyArray<readonly [key: Bytes, value: Bytes]>>
  close(): Promise<void>
}

export interface Store {
  /** The value, or undefined. Synchronous: about 3 us on LevelDB, and what it sees is on disk. Throws STOPPED. */
  get(key: Bytes): Bytes | undefined
  /**
   * All of `writes` or none, in order, on disk (fsync) when the promise resolves. Later writes to a key win within a
   * batch. Throws DISK_FULL or STORE_FAILED; after a throw the store must not be written again (see `reopen`).
   */
  write(writes: readonly StoreWrite[]): Promise<void>
  /** Opens a snapshot now, synchronously: later writes are not seen. */
  scan(range: ScanRange): Scan
  /**
   * Closes and opens again, after a failed write; open scans end. Throws DISK_FULL or STORE_FAILED (try again),
   * DATA_DAMAGED.
   */
  reopen(): Promise<void>
  /**
   * Whether the files below are what was written, while the store is in use: what may hide entries, in words, or
   * nothing. Awaits `between` after each few MiB, and rejects as that does. Left out where there are no files.
   */
  check?(between: () => Promise<void>): Promise<string | undefined>
  close(): Promise<void>
}
