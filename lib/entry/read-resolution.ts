// Read resolution: one result from the answers of a key's owners. Pure.
//
// The newest entry is the result, with one exception. An owner that has closed the slot (purge-bounds.ts) held the same
// entries below its bound as all other owners, and has taken nothing older since. So below its bound it confirms the
// entry that it holds; where it holds nothing, it confirms a tombstone or an expired value; and it denies all other
// entries, because they were purged. When such owners contradict each other, the disk of one of them lost an entry or
// brought one back. Then the greater number decides; of equal numbers, the owners that confirm.
import { compareVersions, type Envelope, versionOf } from './envelope.js'
import { isAbsentBefore, isBefore } from './purge-bounds.js'

/** The answer of one owner. */
export interface OwnerAnswer {
  /** The entry that it holds; undefined when it holds none. */
  readonly envelope: Envelope | undefined
  /** The owner has closed the slot below this, s since the epoch; 0: it has not. */
  readonly closed: number
}

export function isOwnerAnswer(told: Envelope | OwnerAnswer | undefined): told is OwnerAnswer {
  return told !== undefined && !(told instanceof Uint8Array)
}

export interface Resolution {
  /** The newest entry that is not denied by more owners than confirm it. */
  readonly envelope: Envelope | undefined
  /** The highest bound of the owners that confirm it; 0: none does. */
  readonly confirmedBelow: number
  /** The highest bound of the owners that deny it, or deny a newer entry that was rejected; 0: none does. */
  readonly deniedBelow: number
  /** As many owners deny it as confirm it, and not all owners have answered: the result holds for this read only. */
  readonly isTie: boolean
}

/** The resolution when no owner holds an entry. */
export const NOTHING_FOUND: Resolution = { envelope: undefined, confirmedBelow: 0, deniedBelow: 0, isTie: false }

/** The resolution of these answers. `haveAllAnswered`: no owner is missing. */
export function resolve(answers: readonly OwnerAnswer[], haveAllAnswered: boolean): Resolution {
  let envelope = newestOf(answers, undefined)
  if (!answers.some(hasClosed)) return { envelope, confirmedBelow: 0, deniedBelow: 0, isTie: false }
  let deniedBelow = 0
  for (; envelope !== undefined; envelope = newestOf(answers, envelope)) {
    const count = countOwners(answers, envelope)
    deniedBelow = Math.max(deniedBelow, count.deniedBelow)
    const isTie = count.denying > 0 && count.denying === count.confirming && !haveAllAnswered
    if (count.denying <= count.confirming) return { envelope, confirmedBelow: count.confirmedBelow, deniedBelow, isTie }
  }
  return { ...NOTHING_FOUND, deniedBelow }
}

function hasClosed({ closed }: OwnerAnswer): boolean {
  return closed > 0
}

/** The newest entry; with `limit`, the newest of the entries that are older than `limit`. */
function newestOf(answers: readonly OwnerAnswer[], limit: Envelope | undefined): Envelope | undefined {
  let newest: Envelope | undefined
  for (const { envelope } of answers) {
    if (envelope === undefined || (limit !== undefined && compareVersions(envelope, limit) >= 0)) continue
    if (newest === undefined || compareVersions(envelope, newest) > 0) newest = envelope
  }
  return newest
}

/**
 * Counts the owners that confirm and that deny the entry, of those that closed the slot above it; and their highest
 * bounds.
 */
function countOwners(answers: readonly OwnerAnswer[], envelope: Envelope) {
  const version = versionOf(envelope)
  const count = { confirming: 0, confirmedBelow: 0, denying: 0, deniedBelow: 0 }
  for (const { envelope: held, closed } of answers) {
    if (!isBefore(version, closed)) continue
    const order = held === undefined ? -1 : compareVersions(held, envelope)
    if (order === 0 || (held === undefined && isAbsentBefore(envelope, closed))) {
      count.confirming += 1
      count.confirmedBelow = Math.max(count.confirmedBelow, closed)
    } else if (order < 0) {
      count.denying += 1
      count.deniedBelow = Math.max(count.deniedBelow, closed)
    }
  }
  return count
}
