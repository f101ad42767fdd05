// Watches the free space of the disk, so that writes are refused before the disk refuses them: LevelDB needs room to
// compact and to reopen, and the records of the ring must always fit. Part of the replica.
import { type Clock, every, type Timer } from '../../clock.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Gauge, Metrics } from '../../metrics.js'

export interface FreeSpaceDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Free bytes below the store; undefined where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
}

/** Kept free for compaction, reopening and records. Less risks a failed write; more gives less of the disk to data. */
export const RESERVE_BYTES = 64 * MiB
const LOOK_MS = 1000

/** Says whether entries may be written, by the free space of the disk. */
export class FreeSpace {
  readonly #deps: FreeSpaceDeps
  readonly #free: Gauge
  readonly #full: Gauge
  readonly #timer: Timer | undefined
  #refusal: RingdError | undefined
  /** The last reading failed, and was logged. */
  #isUnknown = false

  /** Looks at once, and then every second. */
  constructor(deps: FreeSpaceDeps) {
    this.#deps = deps
    this.#free = deps.metrics.gauge('ringd_storage_free_bytes', 'free space on the disk of the store')
    this.#full = deps.metrics.gauge('ringd_storage_full', '1: writes are refused, the disk is nearly full')
    if (deps.freeBytes === undefined) return
    void this.#look(deps.freeBytes)
    this.#timer = every(deps.clock, LOOK_MS, () => void this.#look(deps.freeBytes!))
  }

  /** Why writes of entries are refused; undefined while there is room. */
  get refusal(): RingdError | undefined {
    return this.#refusal
  }

  stop(): void {
    this.#timer?.cancel()
  }

  async #look(freeBytes: () => Promise<number>): Promise<void> {
    const { log } = this.#deps
    try {
      const free = await freeBytes()
      this.#free.set(free)
      this.#isUnknown = false
      const wasShort = this.#refusal !== undefined
      const isShort = free < RESERVE_BYTES
      if (isShort === wasShort) return
      this.#full.set(isShort ? 1 : 0)
      this.#refusal = isShort ? new RingdError('DISK_FULL', 'less than 64 MiB are free on the disk') : undefined
      if (isShort) log.error({ freeBytes: free }, 'the disk is nearly full: writes are refused')
      else log.info({ freeBytes: free }, 'there is room on the disk again: writes are taken')
    } catch (thrown) {
      if (!this.#isUnknown) log.warn({ err: thrown }, 'the free space of the disk cannot be read')
      this.#isUnknown = true
    }
  }
}
