// Plans what a batch does to entries: the merge rule, healing, deleting. Part of the storage actor.
// Invariants: a newer entry is never replaced by an older one; what is damaged gives way, but that is no reason to
// acknowledge anything; what is too old for its slot does not enter; an entry is dropped only while this member has
// given its slot up, or when it is garbage.
// Source: rules 5 and 13 of lib/views/README.md.
import { asBuffer, type Bytes } from '../bytes.js'
import { checkEnvelope, compareVersions, versionOf } from '../entry/envelope.js'
import { DATA_KEY_OVERHEAD, dataKey, slotOfDataKey } from '../entry/keys.js'
import { highestBefore, isBefore, isGoneBefore, type PurgeFences } from '../entry/purge-fences.js'
import type { Version } from '../entry/version.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import { slotOf } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { GroupPlan } from './group-plan.js'

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
  readonly isRetired: (slot: number) => boolean
  /** This member has held all that is to have of the slot. */
  readonly isComplete: (slot: number) => boolean
  readonly fences: PurgeFences
  /** The slot is being closed: what is so old may come later. */
  readonly isSealed: (slot: number, version: Version) => boolean
}

export class EntryWriter {
  readonly #deps: EntryWriterDeps

  constructor(deps: EntryWriterDeps) {
    this.#deps = deps
  }

  /**
   * Plans the entry unless a newer one is there, whose version it returns then; or the version that it would have to
   * exceed, when it is too old for the slot. What is damaged gives way, but the answer is BAD_ENTRY: it may have been
   * newer.
   */
  apply(plan: GroupPlan, stored: Bytes, envelope: Bytes, origin: Origin): Version | RingdError | undefined {
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
    if (origin === 'client' && this.#deps.fences.isTooOldToWrite(slot, versionOf(envelope))) {
      return highestBefore(this.#deps.fences.closing[slot]!)
    }
    const isHeld = origin === 'owner' || origin === 'repair'
    if (isHeld && this.#deps.isSealed(slot, versionOf(envelope))) {
      return new RingdError('OVERLOADED', 'the slot is being closed')
    }
    // Also of a pull: a block may be late, and this member complete by then.
    if (origin !== 'client' && this.isKnown(slot, versionOf(envelope))) {
      // That something was deleted need not be known any more where nothing is stored.
      const isNews = before !== undefined || !isGoneBefore(envelope, this.#deps.fences.closed[slot]!)
      return isNews ? highestBefore(this.#deps.fences.closed[slot]!) : undefined
    }
    plan.put(name, stored, before, envelope)
    return before === undefined || sound !== undefined ? undefined : new RingdError('BAD_ENTRY')
  }

  /** So old that this member has all that is to have of it, stored or gone. */
  isKnown(slot: number, version: Version): boolean {
    const { fences, isComplete } = this.#deps
    return fences.isClosed(slot, version) && isComplete(slot)
  }

  /** What the other owners hold takes the place of a damaged entry; nothing, when they hold nothing. */
  heal(plan: GroupPlan, key: Bytes, envelope: Bytes | undefined): void {
    const stored = dataKey(slotOf(key), key)
    const name = nameOf(stored)
    const before = plan.planned(name) === undefined ? this.#deps.store.get(stored) : undefined
    if (before === undefined || checkEnvelope(key, before)) return
    if (envelope === undefined) plan.drop(name, stored, before)
    else plan.put(name, stored, before, envelope)
    this.#deps.log.info({ slot: slotOf(key), isGone: envelope === undefined }, 'damaged entry healed')
  }

  /** What is stored once the batch so far is written. */
  #before(plan: GroupPlan, name: string, stored: Bytes): Bytes | undefined {
    const planned = plan.planned(name)
    return planned === undefined ? this.#deps.store.get(stored) : planned.after
  }

  dropGarbage(plan: GroupPlan, stored: Bytes): void {
    const { fences } = this.#deps
    this.#dropIf(plan, stored, (envelope) => fences.isGarbage(slotOfDataKey(stored), envelope))
  }

  /** Whatever is older than that bound. */
  dropBefore(plan: GroupPlan, stored: Bytes, beforeS: number): void {
    this.#dropIf(plan, stored, (envelope) => isBefore(versionOf(envelope), beforeS))
  }

  #dropIf(plan: GroupPlan, stored: Bytes, mayDrop: (envelope: Bytes) => boolean): void {
    const name = nameOf(stored)
    const before = this.#before(plan, name, stored)
    if (before !== undefined && mayDrop(before)) plan.drop(name, stored, before)
  }

  /** Unless this member owns the slot again: then the entry is what it owns. */
  dropRetired(plan: GroupPlan, stored: Bytes): void {
    if (!this.#deps.isRetired(slotOf(stored.subarray(DATA_KEY_OVERHEAD)))) return
    const before = this.#deps.store.get(stored)
    if (before !== undefined) plan.drop(nameOf(stored), stored, before)
  }
}

function nameOf(stored: Bytes): string {
  return asBuffer(stored).toString('latin1')
}
