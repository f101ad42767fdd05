// The purge bounds of each slot: no entry older than a bound enters the slot, so that tombstones may be deleted. Pure.
//
// A slot has two bounds, in whole seconds since the epoch; 0: none; closed <= closing.
//   closing   set by the purge step prepare: this owner takes no new write with a version below it.
//   closed    set by the purge step commit: all owners were closing at the bound and held the same entries below it.
//             From then on no owner takes an entry below it, unless owners that closed the slot confirm it
//             (read-resolution.ts). Tombstones and expired entries below it are garbage.
// An owner that took part in closing at T has seen every write below T. One that did not may still hold data that the
// others have purged.
// Source: rule 13 of lib/views/README.md.

import { SLOTS } from '../ring/slots.js'
import { type Envelope, expiresAt, isTombstone, versionOf } from './envelope.js'
import { latestVersion, type Version, versionMs } from './version.js'

const SECOND_MS = 1000

/** The bounds of one owner: seconds since the epoch for each slot. */
export interface SlotBounds {
  readonly closing: Uint32Array
  readonly closed: Uint32Array
}

export class PurgeBounds implements SlotBounds {
  /** The arrays are replaced, never changed: an array that a caller holds keeps its values. */
  closing: Uint32Array
  closed: Uint32Array

  constructor({ closing, closed }: SlotBounds) {
    this.closing = closing
    this.closed = closed
  }

  /** Raises one bound of the slots to at least `beforeS`; false when nothing changed. */
  raise(which: keyof SlotBounds, slots: readonly number[], beforeS: number): boolean {
    if (slots.every((slot) => this[which][slot]! >= beforeS)) return false
    const raised = this[which].slice()
    for (const slot of slots) raised[slot] = Math.max(raised[slot]!, beforeS)
    this[which] = raised
    return true
  }

  /** Raises both bounds of the slots to at least those of `theirs`; false when nothing changed. */
  raiseTo(theirs: SlotBounds, slots: readonly number[]): boolean {
    const isLess = (slot: number) =>
      this.closing[slot]! < theirs.closing[slot]! || this.closed[slot]! < theirs.closed[slot]!
    if (!slots.some(isLess)) return false
    const [closing, closed] = [this.closing.slice(), this.closed.slice()]
    for (const slot of slots) {
      closing[slot] = Math.max(closing[slot]!, theirs.closing[slot]!)
      closed[slot] = Math.max(closed[slot]!, theirs.closed[slot]!)
    }
    this.closing = closing
    this.closed = closed
    return true
  }

  /** Whether the version is below the closed bound: this owner has the final state of the slot below it. */
  isClosed(slot: number, version: Version): boolean {
    return isBefore(version, this.closed[slot]!)
  }

  /** Whether the entry may be deleted: it has been absent since before the closed bound. */
  isGarbage(slot: number, envelope: Envelope): boolean {
    return isAbsentBefore(envelope, this.closed[slot]!)
  }
}

export function noBounds(): PurgeBounds {
  return new PurgeBounds({ closing: new Uint32Array(SLOTS), closed: new Uint32Array(SLOTS) })
}

/** Whether the version is older than `beforeS` seconds since the epoch. */
export function isBefore(version: Version, beforeS: number): boolean {
  return beforeS > 0 && versionMs(version) < beforeS * SECOND_MS
}

/** Whether the entry has been absent (a tombstone, or expired) since before `beforeS`. */
export function isAbsentBefore(envelope: Envelope, beforeS: number): boolean {
  const at = absentSinceMs(envelope)
  return at !== undefined && at < beforeS * SECOND_MS
}

/** The time from which the entry is absent, in the past or the future; undefined for a value without expiry. */
export function absentSinceMs(envelope: Envelope): number | undefined {
  const written = versionMs(versionOf(envelope))
  if (isTombstone(envelope)) return written
  const expiry = expiresAt(envelope)
  return expiry === undefined ? undefined : Math.max(written, expiry)
}

/** The highest version below the bound. A write below the bound is refused with it. */
export function highestBefore(beforeS: number): Version {
  return latestVersion(beforeS * SECOND_MS - 1)
}

/**
 * The precautions of a member before it pulls the entries of a slot from a source. It drops its own entries below
 * `forget`, because the source closed the slot there without it. It ignores the source's entries below `distrust`,
 * because this member closed the slot there without the source. 0: none.
 */
export function trustBetween(mine: SlotBounds, theirs: SlotBounds, slot: number): { forget: number; distrust: number } {
  const forget = theirs.closed[slot]! > mine.closing[slot]! ? theirs.closed[slot]! : 0
  const distrust = mine.closed[slot]! > theirs.closing[slot]! ? mine.closed[slot]! : 0
  return { forget, distrust }
}
