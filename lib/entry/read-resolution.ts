// What the answers of a key's owners say together, for a read. Pure.
//
// The newest entry counts, but for this: an owner that has closed the slot (lib/entry/purge-bounds.ts) held the same as
// all others below its bound, and takes nothing older since. So it speaks for what it holds there, for what says
// "deleted" where it holds nothing any more, and against everything else: what a stranger kept there is gone. When such
// owners contradict each other, the disk of one of them has lost something, or brought something back: the greater
// number is right, and of equal numbers those that hold it.
import type { Bytes } from '../bytes.js'
import { compareVersions, versionOf } from './envelope.js'
import { isAbsentBefore, isBefore } from './purge-bounds.js'

/** What one owner says that has answered. */
export interface OwnerAnswer {
  /** What it holds, or nothing. */
  readonly envelope: Bytes | undefined
  /** It has closed the slot below this, s since the epoch; 0: it does not say so. */
  readonly closed: number
}

export function isOwnerAnswer(told: Bytes | OwnerAnswer | undefined): told is OwnerAnswer {
  return told !== undefined && !(told instanceof Uint8Array)
}

export interface Resolution {
  /** The newest entry that stands. */
  readonly envelope: Bytes | undefined
  /** The furthest bound of those that speak for it; 0: nobody does. */
  readonly confirmedBelow: number
  /** The furthest bound of those that speak against it, or against something newer that fell; 0: nobody does. */
  readonly deniedBelow: number
  /** As many speak against it as for it, and not all owners have been heard: for this one read it stands. */
  readonly isTie: boolean
}

/** Nobody holds anything. */
export const NOTHING_FOUND: Resolution = { envelope: undefined, confirmedBelow: 0, deniedBelow: 0, isTie: false }

/** `isWhole`: all owners have answered. */
export function resolve(answers: readonly OwnerAnswer[], isWhole: boolean): Resolution {
  let envelope = newestOf(answers, undefined)
  if (!answers.some(hasClosed)) return { envelope, confirmedBelow: 0, deniedBelow: 0, isTie: false }
  let deniedBelow = 0
  for (; envelope !== undefined; envelope = newestOf(answers, envelope)) {
    const count = poll(answers, envelope)
    deniedBelow = Math.max(deniedBelow, count.denied)
    const isTie = count.deniedBelow > 0 && count.deniedBelow === count.for
    if (count.deniedBelow <= count.for)
      return { envelope, confirmedBelow: count.confirmedBelow, deniedBelow, isTie: isTie && !isWhole }
  }
  return { ...NOTHING_FOUND, deniedBelow }
}

function hasClosed({ closed }: OwnerAnswer): boolean {
  return closed > 0
}

/** The newest entry of all, or of those that are older than `limit`. */
function newestOf(answers: readonly OwnerAnswer[], limit: Bytes | undefined): Bytes | undefined {
  let newest: Bytes | undefined
  for (const { envelope } of answers) {
    if (envelope === undefined || (limit !== undefined && compareVersions(envelope, limit) >= 0)) continue
    if (newest === undefined || compareVersions(envelope, newest) > 0) newest = envelope
  }
  return newest
}

/** How many that have closed the slot beyond the entry speak for it and against it, and their furthest bounds. */
function poll(answers: readonly OwnerAnswer[], envelope: Bytes) {
  const version = versionOf(envelope)
  const count = { for: 0, confirmedBelow: 0, deniedBelow: 0, denied: 0 }
  for (const { envelope: held, closed } of answers) {
    if (!isBefore(version, closed)) continue
    const order = held === undefined ? -1 : compareVersions(held, envelope)
    if (order === 0 || (held === undefined && isAbsentBefore(envelope, closed))) {
      count.for += 1
      count.confirmedBelow = Math.max(count.confirmedBelow, closed)
    } else if (order < 0) {
      count.deniedBelow += 1
      count.denied = Math.max(count.denied, closed)
    }
  }
  return count
}
