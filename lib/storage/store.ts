// The seam to the disk: an ordered map of bytes with atomic batches. Adapters: level.ts (LevelDB), memory.ts (tests,
// simulator). Each implementation passes test/conformance/store.ts.
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

/** A consistent snapshot of a range, as it was when the scan was opened. It is read in key order. */
export interface Scan {
  /** The next entries: at least one, and no more once `bytesMax` is passed. None at the end of the range. */
  next(bytesMax: number): Promise<ReadonlyArray<readonly [key: Bytes, value: Bytes]>>
  close(): Promise<void>
}

export interface Store {
  /**
   * The value, or undefined. Synchronous: about 3 us on LevelDB. Returns only values that are on disk. Throws STOPPED.
   */
  get(key: Bytes): Bytes | undefined
  /**
   * Writes all of `writes` or none, in order; they are on disk (fsync) when the promise resolves. Of two writes to a
   * key in one batch, the later one wins. Throws DISK_FULL or STORE_FAILED. After that the store must not be written
   * again before `reopen`.
   */
  write(writes: readonly StoreWrite[]): Promise<void>
  /** Opens a snapshot at once, synchronously: it does not contain later writes. */
  scan(range: ScanRange): Scan
  /**
   * Closes the store and opens it again, after a failed write. Open scans end. Throws DISK_FULL or STORE_FAILED (then
   * it may be tried again), or DATA_DAMAGED.
   */
  reopen(): Promise<void>
  /**
   * Resolves when the disk takes what `reopen` needs. Call it before `reopen`: the store stays open meanwhile, so what
   * it holds can still be read while the disk is full. Throws DISK_FULL or STORE_FAILED. Left out: nothing is needed.
   */
  tryReopen?(): Promise<void>
  /**
   * The most bytes that the store may write by itself, for what it holds already: while it rewrites its files, both the
   * old and the new ones take room. Left out: none.
   */
  upkeepBytes?(): number
  /**
   * Gives back the room of entries that were deleted or replaced in the range. The store is written and read meanwhile.
   * Takes time and room in proportion to what the range holds, and to what was written last. Left out: not needed.
   */
  compact?(range: ScanRange): Promise<void>
  /** About how many bytes of the disk the entries of the range take up, without those written last. */
  diskBytes?(range: ScanRange): Promise<number>
  /**
   * Checks the files of the store while it is in use. Resolves with a description of damage that may hide entries, or
   * undefined. Awaits `between` after each few MiB, and rejects when that rejects. A store without files has no
   * `check`.
   */
  check?(between: () => Promise<void>): Promise<string | undefined>
  close(): Promise<void>
}
