// The id of a ring that an operator made from one directory, after too many members of the former ring were lost. Pure.
// The id tells when that was, so that every member knows it without a message of its own:
//
//   6 hex digits: mark | 10: seconds since the epoch | 16: random
//
// A founder draws all 32 digits at random; one in 2^24 begins with the mark, and then names a moment far from now.
import { type Bytes, toHex } from '../bytes.js'

const MARK = '5e5c7e'
const SECONDS_DIGITS = 10
const SECOND_MS = 1000

/** Random bytes that `rescuedRingId` takes. */
export const RESCUED_RANDOM_BYTES = 8

/**
 * While a ring is younger than this, nothing is purged in it. Members of the former ring hand over what they hold by
 * version. A deletion that was purged before that could not win over the older value.
 */
export const HAND_OVER_MS = 86_400_000

export function rescuedRingId(nowMs: number, random: Bytes): string {
  const seconds = Math.floor(nowMs / SECOND_MS)
  return `${MARK}${seconds.toString(16).padStart(SECONDS_DIGITS, '0')}${toHex(random)}`
}

/** Whether the ring was rescued less than HAND_OVER_MS ago. A moment in the future counts as now. */
export function awaitsHandOver(ringId: string, nowMs: number): boolean {
  if (!ringId.startsWith(MARK)) return false
  const rescuedAtMs = Number.parseInt(ringId.slice(MARK.length, MARK.length + SECONDS_DIGITS), 16) * SECOND_MS
  return Math.abs(nowMs - rescuedAtMs) < HAND_OVER_MS
}
