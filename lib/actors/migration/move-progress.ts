// What this member still has to copy until it is ready for all slots that it owns, and how long that takes. Part of the
// migration actor.
// Owns the sizes of these slots at their owners: they are asked for once for each slot, and are estimates from then on.
import type { Clock } from '../../clock.js'
import { SLOTS } from '../../ring/slots.js'
import type { PullJob } from '../../views/pull-plan.js'
import type { RingView } from '../../views/ring-view.js'
import { type LeftSample, msLeft, SAMPLE_MS, withLeft } from './move-forecast.js'

export interface MoveProgressDeps {
  readonly clock: Clock
  /** The bytes that owners hold of these slots, in their order; undefined where none tells. Never rejects. */
  readonly sizesOf: (view: RingView, slots: readonly number[]) => Promise<readonly (number | undefined)[]>
  /** The bytes that this member holds of the slot; 0 while they are not counted. */
  readonly bytesHere: (slot: number) => number
}

export interface MoveLeft {
  readonly slots: number
  /** Undefined while no owner has told how much its slots hold. */
  readonly bytes: number | undefined
  readonly ms: number | undefined
}

/** Owners that did not tell are asked again after this time. */
const AGAIN_MS = 2000

export class MoveProgress {
  readonly #deps: MoveProgressDeps
  #jobs: readonly PullJob[] = []
  #slots: readonly number[] = []
  /** Per slot; NaN: not known. */
  readonly #sizes = new Float64Array(SLOTS).fill(Number.NaN)
  #isAsking = false
  #askAgainAt = Number.NEGATIVE_INFINITY
  #samples: readonly LeftSample[] = []
  /** Of all slots of this move that owners have told of: their number and bytes. */
  #told = { slots: 0, bytes: 0 }

  constructor(deps: MoveProgressDeps) {
    this.#deps = deps
  }

  /** All jobs that are left, those under way included. */
  look(view: RingView, jobs: readonly PullJob[]): void {
    if (jobs !== this.#jobs) this.#slots = jobs.flatMap(({ slots }) => slots)
    this.#jobs = jobs
    if (this.#slots.length === 0) {
      this.#sizes.fill(Number.NaN)
      this.#samples = []
      this.#told = { slots: 0, bytes: 0 }
      return
    }
    this.#askSizes(view)
    const last = this.#samples.at(-1)
    if (last === undefined || this.#deps.clock.elapsed() - last.at >= SAMPLE_MS) this.sample()
  }

  /** Notes how much is left now. O(slots that are left). */
  sample(): void {
    if (this.#slots.length === 0) return
    const at = this.#deps.clock.elapsed()
    this.#samples = withLeft(this.#samples, { at, slots: this.#slots.length, bytes: this.#bytesLeft() })
  }

  /** Entries have come. The pace counts from the first of them on: before, only the move began. */
  came(): void {
    const last = this.#samples.at(-1)
    if (last === undefined || this.#deps.clock.elapsed() - last.at < SAMPLE_MS) return
    if (this.#samples.length === 1) this.#samples = []
    this.sample()
  }

  left(): MoveLeft {
    this.sample()
    if (this.#slots.length === 0) return { slots: 0, bytes: 0, ms: 0 }
    const ms = msLeft(this.#samples, this.#deps.clock.elapsed())
    return { slots: this.#slots.length, bytes: this.#samples.at(-1)?.bytes, ms }
  }

  /** Slots of which no owner has told count like the mean of the others. */
  #bytesLeft(): number | undefined {
    const { slots, bytes } = this.#told
    if (slots === 0) return undefined
    let left = 0
    for (const slot of this.#slots) {
      const size = this.#sizes[slot]!
      left += Math.max(0, (Number.isNaN(size) ? bytes / slots : size) - this.#deps.bytesHere(slot))
    }
    return Math.round(left)
  }

  #askSizes(view: RingView): void {
    const now = this.#deps.clock.elapsed()
    if (this.#isAsking || now < this.#askAgainAt) return
    const unknown = this.#slots.filter((slot) => Number.isNaN(this.#sizes[slot]!))
    if (unknown.length === 0) return
    this.#isAsking = true
    this.#askAgainAt = now + AGAIN_MS
    void this.#deps.sizesOf(view, unknown).then((sizes) => {
      this.#isAsking = false
      let [slots, bytes] = [0, 0]
      unknown.forEach((slot, index) => {
        const size = sizes[index]
        if (size === undefined) return
        this.#sizes[slot] = size
        slots += 1
        bytes += size
      })
      this.#told = { slots: this.#told.slots + slots, bytes: this.#told.bytes + bytes }
      this.sample()
    })
  }
}
