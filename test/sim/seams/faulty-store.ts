// An in-memory store that can fail, hold writes and forget, for tests of failed writes and of group commit.
import type { Bytes } from '../../../lib/bytes.js'
import { type ErrorCode, RingdError } from '../../../lib/errors.js'
import { MemoryStore } from '../../../lib/storage/memory.js'
import type { Scan, ScanRange, Store, StoreWrite } from '../../../lib/storage/store.js'

export class FaultyStore implements Store {
  readonly disk = new MemoryStore()
  /** All batches that `write` was called with, written or not. */
  readonly batches: (readonly StoreWrite[])[] = []
  /** The next write fails with this code; `failWritten` says whether it is on the disk nevertheless. */
  failNext: ErrorCode | undefined
  failWritten = false
  failReopen: ErrorCode | undefined
  /** The disk does not take what an open needs. */
  failTrial: ErrorCode | undefined
  /** Free space of the disk, for nodes that are told of it. */
  freeBytes = Number.MAX_SAFE_INTEGER
  /** Scans of entries fail with this code. */
  failScans: ErrorCode | undefined
  /**
   * Acknowledges writes and does not store them, like a log with a hole: a reader finds nothing after the next open.
   */
  isForgetful = false
  readonly #gate: (() => void)[] = []
  #isHeld = false
  readonly #scans: (() => void)[] = []
  #areScansHeld = false

  /** From now on writes wait for `release`. */
  hold(): void {
    this.#isHeld = true
  }

  /** The waiting writes continue. With `once`, later writes wait again. */
  release(once = false): void {
    if (!once) this.#isHeld = false
    for (const open of this.#gate.splice(0)) open()
  }

  /** The process has ended: waiting writes are never written. */
  crash(): void {
    this.#gate.length = 0
    this.#isHeld = false
  }

  /** Whether a waiting write has this text in one of its keys. */
  isWriting(text: string): boolean {
    if (this.#gate.length === 0) return false
    return this.batches.at(-1)!.some(({ key }) => Buffer.from(key).includes(text))
  }

  get(key: Bytes): Bytes | undefined {
    return this.disk.get(key)
  }

  async write(writes: readonly StoreWrite[]): Promise<void> {
    this.batches.push(writes)
    if (this.#isHeld) await new Promise<void>((resolve) => this.#gate.push(resolve))
    const code = this.failNext
    this.failNext = undefined
    if (!this.isForgetful && (code === undefined || this.failWritten)) await this.disk.write(writes)
    if (code !== undefined) throw new RingdError(code)
  }

  scan(range: ScanRange): Scan {
    const scan = this.disk.scan(range)
    // Only scans of entries can be held or fail: nodes read their facts before they start.
    if (Buffer.from(range.from).toString('latin1', 0, 1) !== 'd') return scan
    const next: Scan['next'] = async (bytesMax) => {
      if (this.#areScansHeld) await new Promise<void>((resolve) => this.#scans.push(resolve))
      if (this.failScans !== undefined) throw new RingdError(this.failScans)
      return scan.next(bytesMax)
    }
    return { next, close: () => scan.close() }
  }

  /** From now on scans of entries wait for `releaseScans`. */
  holdScans(): void {
    this.#areScansHeld = true
  }

  releaseScans(): void {
    this.#areScansHeld = false
    for (const open of this.#scans.splice(0)) open()
  }

  async tryReopen(): Promise<void> {
    if (this.failTrial !== undefined) throw new RingdError(this.failTrial)
  }

  async reopen(): Promise<void> {
    if (this.failReopen !== undefined) throw new RingdError(this.failReopen)
    await this.disk.reopen()
  }

  close(): Promise<void> {
    return this.disk.close()
  }
}
