// Below which versions nothing may enter a slot any more, so that what says "deleted" may leave it. Pure.
//
// Two bounds a slot, in whole seconds since the epoch; 0: none; closed <= closing.
//   closing   this owner takes no new write with a version below it
//   closed    all owners of the slot were closing there and held the same below it: from then on nobody takes anything
//             below it from anybody, unless such owners speak for it (read-resolution.ts), and what is gone below it
//             (tombstones, expired entries) is garbage
// Whoever was closing at a bound knows all that is to know below it; who was not may hold what others have forgotten.

import type { Bytes } from '../bytes.js'
import { SLOTS } from '../ring/slots.js'
import { expiresAt, isTombstone, versionOf } from './envelope.js'
import { COUNTER_MAX, makeVersion, VERSION_MEMBER_BYTES, type Version, versionMs } from './version.js'

const SECOND_MS = 1000
const HIGHEST_MEMBER = new Uint8Array(VERSION_MEMBER_BYTES).fill(0xff)

/** What another owner of the slots says of its own bounds. */
export interface SlotBounds {
  readonly closing: Uint32Array
  readonly closed: Uint32Array
}

export class PurgeBounds implements SlotBounds {
  /** Seconds for each slot. Replaced, never changed, so that one that was handed out stays as it was. */
  closing: Uint32Array
  closed: Uint32Array

  constructor({ closing, closed }: SlotBounds) {
    this.closing = closing
    this.closed = closed
  }

  /** Raises bounds of the slots to at least `beforeS`; false when nothing changed. */
  raise(which: keyof SlotBounds, slots: readonly number[], beforeS: number): boolean {
    if (slots.every((slot) => this[which][slot]! >= beforeS)) return false
    const raised = this[which].slice()
    for (const slot of slots) raised[slot] = Math.max(raised[slot]!, beforeS)
    this[which] = raised
    return true
  }

  /** Raises all bounds of the slots to at least theirs; false when nothing changed. */
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

  /** All that is to know of that version is known here. */
  isClosed(slot: number, version: Version): boolean {
    return isBefore(version, this.closed[slot]!)
  }

  isGarbage(slot: number, envelope: Bytes): boolean {
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

/** Whether the entry says that there is nothing, and has said so since before `beforeS`. */
export function isAbsentBefore(envelope: Bytes, beforeS: number): boolean {
  const at = absentSinceMs(envelope)
  return at !== undefined && at < beforeS * SECOND_MS
}

/** Since when, or from when on, the entry says that there is nothing; undefined for one that stays. */
export function absentSinceMs(envelope: Bytes): number | undefined {
  const written = versionMs(versionOf(envelope))
  if (isTombstone(envelope)) return written
  const expiry = expiresAt(envelope)
  return expiry === undefined ? undefined : Math.max(written, expiry)
}

/** The highest version below the bound: what a write is told that comes too late. */
export function highestBefore(beforeS: number): Version {
  return makeVersion(beforeS * SECOND_MS - 1, COUNTER_MAX, HIGHEST_MEMBER)
}

/**
 * What a member that takes the slot's entries from a source must do first. `forget`: what it holds itself below that
 * bound, since the source closed without it. `distrust`: what the source holds below that bound, since this member
 * closed without the source. 0: nothing.
 */
export function trustBetween(mine: SlotBounds, theirs: SlotBounds, slot: number): { forget: number; distrust: number } {
  const forget = theirs.closed[slot]! > mine.closing[slot]! ? theirs.closed[slot]! : 0
  const distrust = mine.closed[slot]! > theirs.closing[slot]! ? mine.closed[slot]! : 0
  return { forget, distrust }
}
