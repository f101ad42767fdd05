// The store on a disk: LevelDB through classic-level. The only file that imports it.
// Must not hide an error: after a failed write LevelDB acknowledges writes that the next open loses. So each failure is
// thrown as a RingdError, and GuardedStore stops the writes.
//
// It relies on this behaviour of classic-level 3, as read in its source: a batch copies its bytes before it returns; an
// iterator takes its snapshot when it is made; each returned buffer owns its memory; close waits for running reads and
// writes.
import { existsSync } from 'node:fs'
import { type FileHandle, open, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { ClassicLevel, type Iterator } from 'classic-level'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KiB, MiB } from '../limits.js'
import { checkStore, checkTables } from './level-check.js'
import { openNewFile } from './private-files.js'
import type { Scan, ScanRange, Store, StoreWrite } from './store.js'

/** A larger buffer makes fewer and longer compactions. LevelDB holds up to two, and replays one at the next open. */
const WRITE_BUFFER_BYTES = 16 * MiB
/** The cache of uncompressed blocks. */
const CACHE_BYTES = 32 * MiB
/**
 * A scan reads ahead this much at once, off the main thread. Less pays more often for the change of thread; more blocks
 * the main thread for longer when the entries arrive.
 */
const READ_AHEAD_BYTES = 256 * KiB
/**
 * The first read of a scan takes this many entries, and each further one twice as many, up to the most. classic-level
 * reserves 64 bytes for each entry that a read may take, and frees them only when the garbage collector of JavaScript
 * finds the closed iterator, whose size it does not know. With large first reads, the scans of 16384 small slots by a
 * purge held hundreds of MiB.
 */
const READ_AHEAD_ENTRIES = 16
const READ_AHEAD_ENTRIES_MAX = 1000
/** A MANIFEST, a log, and the room that file systems keep for their own structures. */
const OPEN_BYTES = MiB
/** The files that LevelDB has open at once while it opens a store, besides the tables that it maps to memory. */
const OPEN_FILES = 12
const TRIAL = 'trial.tmp'
const TRIAL_PIECE_BYTES = MiB

export interface LevelStoreOptions {
  /** True only for a new directory. Otherwise a store whose CURRENT is lost would be opened as an empty one. */
  readonly createIfMissing: boolean
  /** Default 32 MiB. */
  readonly cacheBytes?: number
  /** Default 16 MiB; up to twice as much memory is used. */
  readonly writeBufferBytes?: number
  /** Called before the store is open, with the stored keys of the entries whose values are damaged on disk. */
  readonly onDamaged?: (keys: readonly Bytes[]) => void
}

type Level = ClassicLevel<Bytes, Bytes>
type Pair = readonly [key: Bytes, value: Bytes]

/** Opens the LevelDB in the directory `path`. Throws DATA_LOCKED, DATA_DAMAGED, DISK_FULL or STORE_FAILED. */
export async function openLevelStore(path: string, options: LevelStoreOptions): Promise<Store> {
  // The check comes before LevelDB opens the store, because LevelDB deletes the parts that it cannot read.
  if (existsSync(join(path, 'CURRENT'))) await assertSound(path, options)
  const writeBufferBytes = options.writeBufferBytes ?? WRITE_BUFFER_BYTES
  const level: Level = new ClassicLevel(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing: options.createIfMissing,
    cacheSize: options.cacheBytes ?? CACHE_BYTES,
    writeBufferSize: writeBufferBytes
  })
  try {
    await level.open()
  } catch (thrown) {
    throw openError(path, thrown)
  }
  // The leftover of a crash during `tryReopen`. Now that the lock is held, no other process uses it.
  await rm(join(path, TRIAL), { force: true })
  return new LevelStore(path, level, writeBufferBytes)
}

async function assertSound(path: string, { onDamaged }: LevelStoreOptions): Promise<void> {
  await assertUnlocked(path)
  const { damage, damaged } = await checkStore(path).catch((thrown) => {
    throw storeError(path, thrown)
  })
  if (damage !== undefined) {
    throw new RingdError('DATA_DAMAGED', `the store in ${path} is damaged: ${damage}; ${RESTORE}`)
  }
  if (damaged.length > 0) onDamaged?.(damaged)
}

/**
 * Throws DATA_LOCKED when another process has the store open. With `errorIfExists`, LevelDB takes the lock first, then
 * fails because the store exists, and reads nothing.
 */
async function assertUnlocked(path: string): Promise<void> {
  try {
    await new ClassicLevel(path, { createIfMissing: false, errorIfExists: true }).open()
  } catch (thrown) {
    if (nativeError(thrown).code === 'LEVEL_LOCKED') throw openError(path, thrown)
  }
}

class LevelStore implements Store {
  readonly #path: string
  readonly #level: Level
  readonly #writeBufferBytes: number
  readonly #scans = new Set<LevelScan>()

  constructor(path: string, level: Level, writeBufferBytes: number) {
    this.#writeBufferBytes = writeBufferBytes
    this.#path = path
    this.#level = level
  }

  get(key: Bytes): Bytes | undefined {
    try {
      return this.#level.getSync(key)
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }

  async write(writes: readonly StoreWrite[]): Promise<void> {
    try {
      await this.#level.batch(writes as StoreWrite[], { sync: true })
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }

  scan(range: ScanRange): Scan {
    try {
      const iterator = this.#level.iterator({ gte: range.from, lt: range.to, highWaterMarkBytes: READ_AHEAD_BYTES })
      const scan = new LevelScan(this.#path, iterator, () => this.#scans.delete(scan))
      this.#scans.add(scan)
      return scan
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }

  /** Writes as much as LevelDB writes when it replays its logs, and opens as many files. Then it undoes that. */
  async tryReopen(): Promise<void> {
    const files: FileHandle[] = []
    const path = join(this.#path, TRIAL)
    try {
      const names = (await readdir(this.#path)).filter((name) => name.endsWith('.log'))
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(this.#path, name))).size))
      const bytes = sizes.reduce((sum, size) => sum + size, OPEN_BYTES)
      const file = await openNewFile(path)
      files.push(file)
      while (files.length < OPEN_FILES) files.push(await open(path))
      const { bavail, bsize } = await statfs(this.#path)
      if (bavail * bsize < bytes) throw new RingdError('DISK_FULL', `no space left for the store in ${this.#path}`)
      const piece = new Uint8Array(TRIAL_PIECE_BYTES).fill(TRIAL_PIECE_BYTES)
      for (let at = 0; at < bytes; at += piece.length) await file.writeFile(piece)
      await file.sync()
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    } finally {
      for (const file of files) await file.close().catch(() => {})
      await rm(path, { force: true }).catch(() => {})
    }
  }

  async reopen(): Promise<void> {
    await this.close()
    try {
      await this.#level.open({ createIfMissing: false })
    } catch (thrown) {
      throw openError(this.#path, thrown)
    }
  }

  /**
   * Two write buffers, and the largest rewrite: LevelDB merges all tables of level 0 with those of level 1 at once, and
   * deletes them when the merged ones are whole.
   */
  upkeepBytes(): number {
    const buffered = 2 * this.#writeBufferBytes
    try {
      return buffered + bytesOfLevels(this.#level.getProperty('leveldb.stats'), 1)
    } catch {
      // The store is being reopened.
      return buffered
    }
  }

  async compact({ from, to }: ScanRange): Promise<void> {
    try {
      await this.#level.compactRange(from, to)
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }

  async diskBytes({ from, to }: ScanRange): Promise<number> {
    try {
      return await this.#level.approximateSize(from, to)
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }

  check(between: () => Promise<void>): Promise<string | undefined> {
    return checkTables(this.#path, between)
  }

  /** Ends open scans after the reads that they wait for. */
  async close(): Promise<void> {
    try {
      await Promise.all(Array.from(this.#scans, (scan) => scan.close()))
      await this.#level.close()
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }
}

class LevelScan implements Scan {
  readonly #path: string
  readonly #iterator: Iterator<Level, Bytes, Bytes>
  readonly #onClose: () => void
  // Entries that were read ahead. Those from `#at` on are not returned yet.
  #chunk: readonly Pair[] = []
  #at = 0
  #ahead = READ_AHEAD_ENTRIES
  #isOpen = true

  constructor(path: string, iterator: Iterator<Level, Bytes, Bytes>, onClose: () => void) {
    this.#path = path
    this.#iterator = iterator
    this.#onClose = onClose
  }

  async next(bytesMax: number): Promise<readonly Pair[]> {
    if (!this.#isOpen) throw new RingdError('STOPPED', 'the scan is closed')
    const entries: Pair[] = []
    let bytes = 0
    while (entries.length === 0 || bytes < bytesMax) {
      if (this.#at === this.#chunk.length && !(await this.#readAhead())) break
      const entry = this.#chunk[this.#at++]!
      entries.push(entry)
      bytes += entry[0].length + entry[1].length
    }
    return entries
  }

  async close(): Promise<void> {
    this.#isOpen = false
    this.#onClose()
    await this.#iterator.close()
  }

  /** Reads the next chunk; false at the end of the range. */
  async #readAhead(): Promise<boolean> {
    try {
      this.#chunk = await this.#iterator.nextv(this.#ahead)
      this.#ahead = Math.min(2 * this.#ahead, READ_AHEAD_ENTRIES_MAX)
      this.#at = 0
      return this.#chunk.length > 0
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }
}

/** One line for each level: its number, its tables, its size in MiB. */
const LEVEL_LINE = /^ *(\d+) +\d+ +(\d+) /gm

/** The bytes of all levels up to `last`, by what LevelDB tells of itself. */
function bytesOfLevels(stats: string, last: number): number {
  let bytes = 0
  for (const [, level, size] of stats.matchAll(LEVEL_LINE)) if (Number(level) <= last) bytes += Number(size) * MiB
  return bytes
}

const RESTORE =
  'put the files back, or move the directory away and start with an empty one to fetch the data from the ring'

function openError(path: string, thrown: unknown): RingdError {
  const { code, message } = nativeError(thrown)
  if (code === 'LEVEL_LOCKED') {
    const advice = 'stop that process or choose another directory'
    return new RingdError('DATA_LOCKED', `another process uses ${path}; ${advice}`, { cause: thrown })
  }
  if (message.includes('create_if_missing is false') || message.includes('No such file or directory')) {
    return new RingdError('DATA_DAMAGED', `files of the store in ${path} are missing; ${RESTORE}`, { cause: thrown })
  }
  return storeError(path, thrown)
}

function storeError(path: string, thrown: unknown): RingdError {
  if (thrown instanceof RingdError) return thrown
  const { code, message } = nativeError(thrown)
  if (NO_SPACE.some((text) => message.includes(text))) {
    return new RingdError('DISK_FULL', `no space left for the store in ${path}`, { cause: thrown })
  }
  if (code === 'LEVEL_CORRUPTION') {
    return new RingdError('DATA_DAMAGED', `the store in ${path} is damaged; ${RESTORE}`, { cause: thrown })
  }
  if (code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN') {
    return new RingdError('STOPPED', `the store in ${path} is closed`, { cause: thrown })
  }
  return new RingdError('STORE_FAILED', `the store in ${path} failed: ${message}`, { cause: thrown })
}

/** As LevelDB says it, and as Node does. */
const NO_SPACE = ['No space left on device', 'Disk quota exceeded', 'ENOSPC', 'EDQUOT']

/** The code and message of LevelDB itself. A failed open wraps its error. */
function nativeError(thrown: unknown): { code: unknown; message: string } {
  if (!(thrown instanceof Error)) return { code: undefined, message: String(thrown) }
  const native = thrown.cause instanceof Error ? thrown.cause : thrown
  return { code: 'code' in native ? native.code : undefined, message: native.message }
}
