// Notices when something that should make progress does not: a packet that has begun, answers that wait to be read.
// Progress is measured, not time: a slow peer that keeps on sending or reading is never ended.
// One timer, which runs only while there is something to wait for.
import type { Clock, Timer } from '../clock.js'
import { KiB } from '../limits.js'

/** Progress in one period below which a peer has stalled: 64 KiB in 20 s. A value of 8 MiB may take 40 minutes. */
export const STALL_MS = 20_000
export const PROGRESS_BYTES_MIN = 64 * KiB
/** A look that comes later finds that this process did not run: what has arrived meanwhile was not read yet. */
const LATE_MS = 1000

export interface StallOptions {
  readonly periodMs: number
  /** Whether this side waits for the other one now. */
  readonly isWaiting: () => boolean
  /** Bytes done so far; it never falls. Whatever is finished counts PROGRESS_BYTES_MIN more, however small it is. */
  readonly progress: () => number
  readonly onStall: () => void
}

export class StallWatch {
  private readonly clock: Clock
  private readonly options: StallOptions
  private timer: Timer | undefined
  private stopped = false
  private seen = 0
  private due = 0

  constructor(clock: Clock, options: StallOptions) {
    this.clock = clock
    this.options = options
  }

  /** Call it when something begins to wait. Cheap when the watch runs already. */
  watch(): void {
    if (this.timer !== undefined || this.stopped) return
    this.seen = this.options.progress()
    this.due = this.clock.elapsed() + this.options.periodMs
    this.timer = this.clock.after(this.options.periodMs, this.look)
  }

  /** Call it when this side itself has held up what it waits for, until now. */
  restart(): void {
    this.timer?.cancel()
    this.timer = undefined
    if (this.options.isWaiting()) this.watch()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    this.timer = undefined
  }

  private readonly look = (): void => {
    const { isWaiting, progress, onStall } = this.options
    this.timer = undefined
    if (this.stopped || !isWaiting()) return
    const isLate = this.clock.elapsed() - this.due > LATE_MS
    if (!isLate && progress() - this.seen < PROGRESS_BYTES_MIN) onStall()
    else this.watch()
  }
}
