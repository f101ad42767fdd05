// How long a move still takes: from what is left, and how quickly that became less in the last seconds. Pure.
// What others settle, and what clients write meanwhile, counts by itself: only what is left is looked at.

/** What this member still has to copy at one moment; monotonic ms. */
export interface LeftSample {
  readonly at: number
  readonly slots: number
  /** Of these slots, as far as they are not here yet; undefined while it is not known. */
  readonly bytes: number | undefined
}

/**
 * The pace is that of the last quarter of the move, within these bounds. A longer time is steadier, but shows a change
 * of pace later; and each move begins slowly, which must not count for long.
 */
const PACE_SHARE = 1 / 4
const PACE_MS_LEAST = 1000
const PACE_MS_MOST = 8000
/** Samples lie at least this far apart. */
export const SAMPLE_MS = 100
/** A pace is known after this time, when something has become less. */
const PACE_MS_MIN = 200

/** The samples with one more. Bounded: the first one, and those of the last PACE_MS_MOST, which lie SAMPLE_MS apart. */
export function withLeft(samples: readonly LeftSample[], sample: LeftSample): readonly LeftSample[] {
  const last = samples.at(-1)
  if (last === undefined) return [sample]
  // More than before: another move has begun. Its pace is its own. So is the pace in bytes once they are known.
  const isOther = sample.slots > last.slots || (last.bytes === undefined) !== (sample.bytes === undefined)
  // Until something comes there is no pace: the time before is that of the beginning, and not of the move.
  const isStill = samples[0]!.slots === sample.slots && samples[0]!.bytes === sample.bytes
  if (isOther || isStill) return [sample]
  const kept = samples.filter(({ at }, index) => index === 0 || sample.at - at <= PACE_MS_MOST)
  const before = kept.at(-2)
  // The newest sample is replaced while it is too close to the one before.
  const isClose = before !== undefined && kept.at(-1)!.at - before.at < SAMPLE_MS
  return [...(isClose ? kept.slice(0, -1) : kept), sample]
}

/**
 * Ms until nothing is left, seen at `now`; 0 when nothing is left, undefined while there is no pace. Bytes count while
 * there are some; slots of which nothing is left are only compared, and count by their number.
 */
export function msLeft(samples: readonly LeftSample[], now: number): number | undefined {
  const [begin, last] = [samples[0], samples.at(-1)]
  if (begin === undefined || last === undefined) return undefined
  if (last.slots === 0) return 0
  const paceMs = Math.max(PACE_MS_LEAST, Math.min(PACE_MS_MOST, (last.at - begin.at) * PACE_SHARE))
  const first = samples.findLast(({ at }) => last.at - at >= paceMs) ?? begin
  const passed = last.at - first.at
  if (passed < PACE_MS_MIN) return undefined
  const left = (last.bytes ?? 0) > 0 ? last.bytes! : last.slots
  const done = (last.bytes ?? 0) > 0 ? first.bytes! - last.bytes! : first.slots - last.slots
  if (done <= 0) return undefined
  return Math.max(0, (left * passed) / done - (now - last.at))
}
