// The store on a disk: LevelDB through classic-level. The only file that imports it.
// Must not hide an error: after a failed write LevelDB acknowledges writes that the next open loses. So each failure is
// thrown as a RingdError, and GuardedStore stops the writes.
//
// It relies on this behaviour of classic-level 3, as read in its source: a batch copies its bytes before it returns; an
// iterator takes its snapshot when it is made; each returned buffer owns its memory; close waits for running reads and
// writes.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel, type Iterator } from 'classic-level'
import type { Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KiB, MiB } from '../limits.js'
import { checkStore, checkTables } from './level-check.js'
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
const READ_AHEAD_ENTRIES = 1000

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
  const level: Level = new ClassicLevel(path, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    createIfMissing: options.createIfMissing,
    cacheSize: options.cacheBytes ?? CACHE_BYTES,
    writeBufferSize: options.writeBufferBytes ?? WRITE_BUFFER_BYTES
  })
  try {
    await level.open()
  } catch (thrown) {
    throw openError(path, thrown)
  }
  return new LevelStore(path, level)
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
  readonly #scans = new Set<LevelScan>()

  constructor(path: string, level: Level) {
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

  async reopen(): Promise<void> {
    await this.close()
    try {
      await this.#level.open({ createIfMissing: false })
    } catch (thrown) {
      throw openError(this.#path, thrown)
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
      this.#chunk = await this.#iterator.nextv(READ_AHEAD_ENTRIES)
      this.#at = 0
      return this.#chunk.length > 0
    } catch (thrown) {
      throw storeError(this.#path, thrown)
    }
  }
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
  if (message.includes('No space left on device') || message.includes('Disk quota exceeded')) {
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

/** The code and message of LevelDB itself. A failed open wraps its error. */
function nativeError(thrown: unknown): { code: unknown; message: string } {
  if (!(thrown instanceof Error)) return { code: undefined, message: String(thrown) }
  const native = thrown.cause instanceof Error ? thrown.cause : thrown
  return { code: 'code' in native ? native.code : undefined, message: native.message }
}
