// A store that fails, lags and forgets as told, around the in-memory one: for the rule of failed writes, and for
// group commit.
import type { Bytes } from '../../../lib/bytes.js'
import { type ErrorCode, RingdError } from '../../../lib/errors.js'
import { MemoryStore } from '../../../lib/storage/memory.js'
import type { Scan, ScanRange, Store, StoreWrite } from '../../../lib/storage/store.js'

export class FaultyStore implements Store {
  readonly disk = new MemoryStore()
  /** Batches as they were asked for, tried or not. */
  readonly batches: (readonly StoreWrite[])[] = []
  /** The next write fails with this; `failWritten` says whether the disk has it all the same. */
  failNext: ErrorCode | undefined
  failWritten = false
  failReopen: ErrorCode | undefined
  /** Reading entries one after the other fails with this. */
  failScans: ErrorCode | undefined
  /** Acknowledges without writing, as a log with a hole does: gone when opened again. */
  isForgetful = false
  readonly #gate: (() => void)[] = []
  #isHeld = false
  readonly #scans: (() => void)[] = []
  #areScansHeld = false

  /** Writes wait from now on, until `release`. */
  hold(): void {
    this.#isHeld = true
  }

  /** Lets the writes that wait go on, and no others when `once`. */
  release(once = false): void {
    if (!once) this.#isHeld = false
    for (const open of this.#gate.splice(0)) open()
  }

  /** The process is gone: what waits is never written. */
  crash(): void {
    this.#gate.length = 0
    this.#isHeld = false
  }

  /** A write that waits has this text in one of its keys. */
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
    // Facts are read before anything else runs.
    if (Buffer.from(range.from).toString('latin1', 0, 1) !== 'd') return scan
    const next: Scan['next'] = async (bytesMax) => {
      if (this.#areScansHeld) await new Promise<void>((resolve) => this.#scans.push(resolve))
      if (this.failScans !== undefined) throw new RingdError(this.failScans)
      return scan.next(bytesMax)
    }
    return { next, close: () => scan.close() }
  }

  /** Scans of entries wait from now on, until `releaseScans`. */
  holdScans(): void {
    this.#areScansHeld = true
  }

  releaseScans(): void {
    this.#areScansHeld = false
    for (const open of this.#scans.splice(0)) open()
  }

  async reopen(): Promise<void> {
    if (this.failReopen !== undefined) throw new RingdError(this.failReopen)
    await this.disk.reopen()
  }

  close(): Promise<void> {
    return this.disk.close()
  }
}
