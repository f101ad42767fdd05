// The store in memory, for tests and the simulator. It behaves as level.ts, but knows nothing of LevelDB.
// Invariant: each stored value is a copy, and each returned value is another copy, so callers can never change the
// store.
import { asBuffer, type Bytes } from '../bytes.js'
import { RingdError } from '../errors.js'
import type { Scan, ScanRange, Store, StoreWrite } from './store.js'

type Pair = readonly [key: Bytes, value: Bytes]

export class MemoryStore implements Store {
  // The keys are texts with one character for each byte: they compare as the bytes do.
  readonly #values = new Map<string, Bytes>()
  readonly #scans = new Set<MemoryScan>()
  // All keys in #values. While #isSorted is false, they may be unsorted, and hold duplicates and deleted keys.
  #keys: string[] = []
  #isSorted = true
  #isOpen = true

  get(key: Bytes): Bytes | undefined {
    this.#assertOpen()
    const value = this.#values.get(textOf(key))
    return value && Buffer.from(value)
  }

  async write(writes: readonly StoreWrite[]): Promise<void> {
    this.#assertOpen()
    const copies = writes.map((write): [string, Bytes | undefined] => [
      textOf(write.key),
      write.type === 'put' ? Buffer.from(write.value) : undefined
    ])
    // As on a disk, the writes are not visible before the caller's turn of the event loop is over.
    await undefined
    for (const [key, value] of copies) {
      if (value === undefined) this.#delete(key)
      else this.#put(key, value)
    }
  }

  scan(range: ScanRange): Scan {
    this.#assertOpen()
    this.#sort()
    const from = this.#lowerBound(textOf(range.from))
    const to = this.#lowerBound(textOf(range.to))
    const entries = this.#keys.slice(from, to).map((key): [string, Bytes] => [key, this.#values.get(key)!])
    const scan = new MemoryScan(entries, () => this.#scans.delete(scan))
    this.#scans.add(scan)
    return scan
  }

  async reopen(): Promise<void> {
    await this.close()
    this.#isOpen = true
  }

  async close(): Promise<void> {
    this.#isOpen = false
    for (const scan of this.#scans) await scan.close()
  }

  #put(key: string, value: Bytes): void {
    if (!this.#values.has(key)) {
      this.#keys.push(key)
      this.#isSorted = false
    }
    this.#values.set(key, value)
  }

  #delete(key: string): void {
    if (this.#values.delete(key)) this.#isSorted = false
  }

  /** A long sorted list with a short unsorted end costs little more to sort than one pass. */
  #sort(): void {
    if (this.#isSorted) return
    this.#keys.sort()
    this.#keys = this.#keys.filter((key, at, keys) => key !== keys[at - 1] && this.#values.has(key))
    this.#isSorted = true
  }

  /** The index of the first key at or above `key`. */
  #lowerBound(key: string): number {
    let low = 0
    let high = this.#keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new RingdError('STOPPED', 'the store is closed')
  }
}

class MemoryScan implements Scan {
  #entries: ReadonlyArray<readonly [key: string, value: Bytes]> | undefined
  readonly #onClose: () => void
  #at = 0

  constructor(entries: ReadonlyArray<readonly [key: string, value: Bytes]>, onClose: () => void) {
    this.#entries = entries
    this.#onClose = onClose
  }

  async next(bytesMax: number): Promise<readonly Pair[]> {
    if (this.#entries === undefined) throw new RingdError('STOPPED', 'the scan is closed')
    const entries: Pair[] = []
    let bytes = 0
    while (this.#at < this.#entries.length && (entries.length === 0 || bytes < bytesMax)) {
      const [key, value] = this.#entries[this.#at++]!
      entries.push([Buffer.from(key, 'latin1'), Buffer.from(value)])
      bytes += key.length + value.length
    }
    return entries
  }

  async close(): Promise<void> {
    this.#entries = undefined
    this.#onClose()
  }
}

function textOf(bytes: Bytes): string {
  return asBuffer(bytes).toString('latin1')
}
