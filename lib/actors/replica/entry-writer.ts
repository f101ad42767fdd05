// Plans what a batch does to entries: the merge rule, healing, deleting. Part of the storage actor.
// Invariants: a newer entry is never replaced by an older one; what is damaged gives way, but that is no reason to
// acknowledge anything; what is too old for its slot does not enter; an entry is dropped only while this member has
// given its slot up, or when it is garbage.
// Source: rules 5 and 13 of lib/views/README.md.
import { asBuffer, type Bytes } from '../../bytes.js'
import { checkEnvelope, compareVersions, versionOf, type Envelope } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, dataKey, slotOfDataKey } from '../../entry/keys.js'
import { highestBefore, isAbsentBefore, isBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import type { Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { slotOf } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { WriteBatch } from './write-batch.js'

/**
 * Who brings an entry. client: a new write, or one that was kept as a hint. owner: somebody who holds it, for a reason
 * other than a move. repair: the same, and what is damaged here stays, as it may have been newer: a quorum is asked for
 * it. source: a pull, which decides itself what to believe.
 */
export type Origin = 'client' | 'owner' | 'repair' | 'source'

export interface EntryWriterDeps {
  readonly store: GuardedStore
  readonly reader: EntryReader
  readonly log: Logger
  /** This member gave the slot up and does not own it again. */
  readonly isReleased: (slot: number) => boolean
  /** This member has held all that is to have of the slot. */
  readonly isComplete: (slot: number) => boolean
  readonly bounds: PurgeBounds
  /** The slot is being closed: what is older may come later, s since the epoch. */
  readonly sealedBefore: (slot: number) => number
  /** Owners do not agree on an entry of the key, below a bound where they should. */
  readonly onDisputed: (key: Bytes) => void
}

const SETTLED = 'this member held another entry than the owners had agreed on: it holds theirs now'

export class EntryWriter {
  readonly #deps: EntryWriterDeps

  constructor(deps: EntryWriterDeps) {
    this.#deps = deps
  }

  /**
   * Plans the entry unless a newer one is there, whose version it returns then; or the version that it would have to
   * exceed, when it is too old for the slot. What is damaged gives way, but the answer is BAD_ENTRY: it may have been
   * newer. `confirmedBelow`: owners that closed the slot below that speak for the entry.
   */
  apply(
    plan: WriteBatch,
    stored: Bytes,
    envelope: Envelope,
    origin: Origin,
    confirmedBelow = 0
  ): Version | RingdError | undefined {
    const key = stored.subarray(DATA_KEY_OVERHEAD)
    const name = nameOf(stored)
    const before = this.#before(plan, name, stored)
    const sound = this.#deps.reader.sound(key, before)
    if (sound !== undefined) {
      const order = compareVersions(sound, envelope)
      if (order > 0) return versionOf(sound)
      if (order === 0) return undefined
    } else if (before !== undefined && origin === 'repair') return undefined
    const slot = slotOfDataKey(stored)
    const version = versionOf(envelope)
    const { closing, closed } = this.#deps.bounds
    const sealed = this.#deps.sealedBefore(slot)
    if (origin === 'client') {
      const floor = Math.max(closing[slot]!, sealed)
      if (isBefore(version, floor)) return highestBefore(floor)
    } else if (origin !== 'source' && isBefore(version, sealed)) {
      return new RingdError('OVERLOADED', 'the slot is being closed')
    } else if (this.isKnown(slot, version)) {
      // Also of a pull: a block may be late, and this member complete by then. That something was deleted need not be
      // known any more where nothing is stored.
      if (before === undefined && isAbsentBefore(envelope, closed[slot]!)) return undefined
      if (confirmedBelow < closed[slot]!) {
        if (origin === 'repair') this.#deps.onDisputed(key)
        return highestBefore(closed[slot]!)
      }
    }
    plan.put(name, stored, before, envelope)
    return before === undefined || sound !== undefined ? undefined : new RingdError('BAD_ENTRY')
  }

  /** So old that this member has all that is to have of it, stored or gone. */
  isKnown(slot: number, version: Version): boolean {
    const { bounds, isComplete } = this.#deps
    return bounds.isClosed(slot, version) && isComplete(slot)
  }

  /** What the owners say takes the place of what is damaged here, is missing, or is what they speak against. */
  heal(plan: WriteBatch, key: Bytes, { envelope, confirmedBelow, deniedBelow, isTie }: Resolution): void {
    const slot = slotOf(key)
    if (this.#deps.isReleased(slot)) return
    const stored = dataKey(slot, key)
    const name = nameOf(stored)
    if (plan.planned(name) !== undefined) return
    const before = this.#deps.store.get(stored)
    const isSound = before !== undefined && checkEnvelope(key, before)
    const isDamaged = before !== undefined && !isSound
    // What was told of the slot must stay true until it is closed.
    if (!isDamaged && (isTie || this.#deps.sealedBefore(slot) > 0)) return
    if (before === undefined) {
      // They may have gone on since they were asked, and have deleted it.
      const closed = this.#deps.bounds.closed[slot]!
      if (envelope === undefined || confirmedBelow === 0 || confirmedBelow < closed || isAbsentBefore(envelope, closed))
        return
    } else if (isSound) {
      const isHere = envelope !== undefined && compareVersions(before, envelope) === 0
      if (isHere || !isBefore(versionOf(before), deniedBelow)) return
    }
    if (envelope !== undefined) plan.put(name, stored, before, envelope)
    else plan.drop(name, stored, before!)
    this.#deps.log.info({ slot, isAbsent: envelope === undefined }, isDamaged ? 'damaged entry healed' : SETTLED)
  }

  /** What is stored once the batch so far is written. */
  #before(plan: WriteBatch, name: string, stored: Bytes): Bytes | undefined {
    const planned = plan.planned(name)
    return planned === undefined ? this.#deps.store.get(stored) : planned.after
  }

  dropGarbage(plan: WriteBatch, stored: Bytes): void {
    const { bounds } = this.#deps
    this.#dropIf(plan, stored, (envelope) => bounds.isGarbage(slotOfDataKey(stored), envelope))
  }

  /** Whatever is older than that bound. */
  dropBefore(plan: WriteBatch, stored: Bytes, beforeS: number): void {
    this.#dropIf(plan, stored, (envelope) => isBefore(versionOf(envelope), beforeS))
  }

  #dropIf(plan: WriteBatch, stored: Bytes, mayDrop: (envelope: Envelope) => boolean): void {
    const name = nameOf(stored)
    const before = this.#before(plan, name, stored)
    if (before !== undefined && mayDrop(before)) plan.drop(name, stored, before)
  }

  /** Unless this member owns the slot again: then the entry is what it owns. */
  dropRetired(plan: WriteBatch, stored: Bytes): void {
    if (!this.#deps.isReleased(slotOf(stored.subarray(DATA_KEY_OVERHEAD)))) return
    const before = this.#deps.store.get(stored)
    if (before !== undefined) plan.drop(nameOf(stored), stored, before)
  }
}

function nameOf(stored: Bytes): string {
  return asBuffer(stored).toString('latin1')
}
