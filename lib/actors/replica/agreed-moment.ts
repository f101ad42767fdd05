// The agreed moment on disk (lib/entry/clock.md). Part of the replica.
// Invariant: no entry on disk lies further ahead of the moment on the same disk than the skew. So a restarted member
// takes its own entries for good, whatever its wall clock shows then. The moment is written in the batches that are
// written anyway, at most once in LEAD_MS; and at once when it jumps.
import { type Bytes, fromText, toText } from '../../bytes.js'
import { MAX_SKEW_MS, SKEW_MARGIN_MS } from '../../entry/hybrid-clock.js'
import type { RingTime } from '../../entry/ring-time.js'
import { RingdError } from '../../errors.js'
import type { MetaReader, MetaWrite } from '../../storage/meta.js'

const AGREED_RECORD = 'clock-agreed'
/** Taken over from the members while nothing was written. A record of its own, so that neither lowers the other. */
const ADOPTED_RECORD = 'clock-adopted'
export const MOMENT_RECORDS: readonly string[] = [AGREED_RECORD, ADOPTED_RECORD]
/**
 * The moment on disk lies up to this much ahead, so that not every batch carries a new one. After a restart it counts:
 * the margin between what a router makes and what owners take must cover it.
 */
const LEAD_MS = SKEW_MARGIN_MS

export class AgreedMoment {
  readonly #ringTime: Pick<RingTime, 'provenMs'>
  readonly #elapsed: () => number
  /** What is on disk, and since when; monotonic ms. */
  #storedMs: number
  #storedAt: number

  /** `elapsed`: monotonic ms. */
  constructor(ringTime: Pick<RingTime, 'provenMs'>, elapsed: () => number) {
    this.#ringTime = ringTime
    this.#elapsed = elapsed
    this.#storedMs = ringTime.provenMs
    this.#storedAt = elapsed()
  }

  /**
   * A moment that must be written although no batch comes: it is further ahead of what is on disk than the time that
   * has passed since. Most clocks have jumped ahead then, or the moment is one that others had agreed on.
   */
  get urgentMs(): number | undefined {
    const moment = this.#ringTime.provenMs
    return moment > this.#storedMs + (this.#elapsed() - this.#storedAt) + MAX_SKEW_MS ? moment : undefined
  }

  /** The moment is on disk. */
  stored(ms: number): void {
    if (ms <= this.#storedMs) return
    this.#storedMs = ms
    this.#storedAt = this.#elapsed()
  }

  /** The record that the next batch must carry, and what to call when that batch is on disk; undefined: none is due. */
  due(): { readonly record: MetaWrite; readonly stored: () => void } | undefined {
    const moment = this.#ringTime.provenMs
    // A restarted member finds its own lead proven. It must not add another one while the ring's time stands still.
    if (moment <= this.#storedMs) return undefined
    const ms = moment + LEAD_MS
    return { record: writeMoment(AGREED_RECORD, ms), stored: () => this.stored(ms) }
  }
}

export function writeAdoptedMoment(ms: number): MetaWrite {
  return writeMoment(ADOPTED_RECORD, ms)
}

/** The stored moment, ms since the epoch; 0 when there is none. Throws DATA_DAMAGED. */
export function readAgreedMoment(meta: Pick<MetaReader, 'get'>): number {
  return Math.max(...MOMENT_RECORDS.map((name) => readMoment(meta, name)))
}

export function writeMoment(name: string, ms: number): MetaWrite & { readonly value: Bytes } {
  return { name, value: fromText(String(ms)) }
}

function readMoment(meta: Pick<MetaReader, 'get'>, name: string): number {
  const bytes = meta.get(name)
  const moment = bytes === undefined ? 0 : Number(toText(bytes))
  if (Number.isSafeInteger(moment)) return moment
  throw new RingdError('DATA_DAMAGED', `the record ${name} is not a whole number of ms; restore the data directory`)
}
