// Decides what a batch does to entries: the write rule (lib/entry/write-rule.ts), healing, and deleting.
// Invariants: a newer entry is never replaced by an older one. No entry below a standing promise enters. A damaged
// entry gives way to a sound one, but the write is not acknowledged for that, because the damaged entry may have been
// newer. An entry that is too old for its slot does not enter. An entry is dropped only while this member has released
// its slot, when it is garbage, when its owners deny it (`heal`), or when a pull brings the slot from a source that
// closed it without this member (`dropBefore`).
// Source: rules 5, 13 and A4 of lib/views/README.md.

import { asBuffer, type Bytes } from '../../bytes.js'
import { checkEnvelope, compareVersions, type Envelope, isAdopted, orderTo, versionOf } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, dataKey, type StoredKey, slotOfDataKey } from '../../entry/keys.js'
import { highestBefore, isAbsentBefore, isBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import type { Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import { judgeWrite, type WriteRefusal } from '../../entry/write-rule.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import { slotOf } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { EntryMemory } from './entry-memory.js'
import type { EntryReader } from './entry-reader.js'
import type { Fence } from './fence.js'
import type { FreshSlots } from './fresh-slots.js'
import type { Promises } from './promises.js'
import type { FreshPull } from './replica-messages.js'
import type { SlotSeals } from './slot-seals.js'
import { storedEnvelope } from './stored-entries.js'
import type { WriteBatch } from './write-batch.js'

/**
 * Where an entry comes from.
 *   client   a write of a client or of a round, or one that was kept as a hint
 *   owner    a member that holds it: a write-back of a read, handoff
 *   repair   as owner, but a damaged entry here stays: it may have been newer, so a quorum is asked for it
 *   source   a pull, which has decided itself which entries of the source to believe
 */
export type Origin = 'client' | 'owner' | 'repair' | 'source'

export interface EntryWriterDeps {
  readonly store: Pick<GuardedStore, 'get'>
  readonly reader: Pick<EntryReader, 'sound'>
  readonly log: Logger
  readonly fence: Pick<Fence<never>, 'isReleased' | 'isComplete'>
  readonly bounds: PurgeBounds
  readonly seals: Pick<SlotSeals, 'sealedBefore'>
  readonly fresh: Pick<FreshSlots, 'touch' | 'isUntouched'>
  readonly promises: Pick<Promises, 'isAny' | 'of' | 'end'>
  readonly memory: Pick<EntryMemory, 'entered' | 'pulled' | 'show' | 'hasHad' | 'forget'>
  /** Owners contradict each other on the key, below a bound where they had agreed: lets the owners be asked. */
  readonly onDisputed: (key: Bytes) => void
}

const REPLACED = 'this member held another entry than the owners had agreed on: it holds theirs now'

/** Applies the rules of a write to one entry, and adds the result to a batch. */
export class EntryWriter {
  readonly #deps: EntryWriterDeps

  constructor(deps: EntryWriterDeps) {
    this.#deps = deps
  }

  /**
   * Adds the entry to the batch. Returns undefined when it is added or was there. Otherwise returns why the write rule
   * refuses it; `newer` is also the version that a write must exceed when it is too old for the slot. A damaged entry
   * is replaced, but then the answer is BAD_ENTRY, because it may have been newer. OVERLOADED: the slot is sealed, try
   * again. `confirmedBelow`: the furthest bound of the owners that confirm the entry; 0: none does.
   */
  apply(
    batch: WriteBatch,
    storedKey: StoredKey,
    envelope: Envelope,
    origin: Origin,
    confirmedBelow = 0
  ): WriteRefusal | RingdError | undefined {
    const { reader, promises, memory } = this.#deps
    const key = storedKey.subarray(DATA_KEY_OVERHEAD)
    const name = nameOf(storedKey)
    const before = this.planned(batch, name, storedKey)
    const sound = reader.sound(key, before)
    // Whoever sent it may have seen it elsewhere, or tells of it as soon as this owner has it.
    const isShown = origin === 'owner' || origin === 'source' || isAdopted(envelope)
    const verdict = judgeWrite(envelope, sound, promises.of(batch, name))
    if (verdict === 'newer' || verdict === 'here') {
      if (isShown) memory.show(storedKey, envelope)
      if (verdict === 'here') return undefined
      return { newer: versionOf(sound!), had: memory.hasHad(storedKey, envelope) }
    }
    if (sound === undefined && before !== undefined && origin === 'repair') return undefined
    if (verdict === 'promised') return { promised: promises.of(batch, name)! }
    const refusal = this.#refusedBySlot(key, storedKey, before, envelope, origin, confirmedBelow)
    if (refusal !== undefined) return refusal === 'absent' ? undefined : refusal
    this.#put(batch, name, storedKey, { before, sound }, envelope, isShown)
    if (before === undefined || sound !== undefined) return undefined
    memory.forget(storedKey)
    return new RingdError('BAD_ENTRY')
  }

  /** Why the entry is too old for its slot; `absent`: nothing has to be stored. Undefined: it is not. */
  #refusedBySlot(
    key: Bytes,
    storedKey: StoredKey,
    before: Envelope | undefined,
    envelope: Envelope,
    origin: Origin,
    confirmedBelow: number
  ): WriteRefusal | RingdError | 'absent' | undefined {
    const slot = slotOfDataKey(storedKey)
    const version = versionOf(envelope)
    const { closing, closed } = this.#deps.bounds
    const sealed = this.#deps.seals.sealedBefore(slot)
    if (origin === 'client') {
      const floor = Math.max(closing[slot]!, sealed)
      if (isBefore(version, floor)) return this.#tooOld(storedKey, envelope, floor)
    } else if (origin !== 'source' && isBefore(version, sealed)) {
      return new RingdError('OVERLOADED', 'the slot is being closed')
    } else if (this.isKnown(slot, version)) {
      // This holds for a pull as well: a block may come late, when this member is complete already. Where nothing is
      // stored, a tombstone is not needed any more.
      if (before === undefined && isAbsentBefore(envelope, closed[slot]!)) return 'absent'
      if (confirmedBelow < closed[slot]!) {
        if (origin === 'repair') this.#deps.onDisputed(key)
        return this.#tooOld(storedKey, envelope, closed[slot]!)
      }
    }
    return undefined
  }

  #tooOld(storedKey: StoredKey, envelope: Envelope, beforeS: number): WriteRefusal {
    return { newer: highestBefore(beforeS), had: this.#deps.memory.hasHad(storedKey, envelope) }
  }

  /**
   * As `apply`, for an entry that `pull` brings. Where nothing can be stored it is not looked for. It must be the last
   * of its key in the batch.
   */
  take(
    batch: WriteBatch,
    storedKey: StoredKey,
    envelope: Envelope,
    pull: FreshPull
  ): WriteRefusal | RingdError | undefined {
    const slot = slotOfDataKey(storedKey)
    const { fresh, promises, memory } = this.#deps
    if (
      !fresh.isUntouched(pull, slot, storedKey, nameOf) ||
      this.isKnown(slot, versionOf(envelope)) ||
      (promises.isAny(batch) && promises.of(batch, nameOf(storedKey)) !== undefined)
    ) {
      return this.apply(batch, storedKey, envelope, 'source')
    }
    memory.pulled(envelope)
    batch.add(storedKey, envelope)
    return undefined
  }

  /** The caller has asked the write rule: `after` is not below a promise. `sound`: `before`, unless it is damaged. */
  #put(
    batch: WriteBatch,
    name: string,
    storedKey: StoredKey,
    { before, sound }: { readonly before: Envelope | undefined; readonly sound: Envelope | undefined },
    after: Envelope,
    isShown: boolean
  ): void {
    const { fresh, promises, memory } = this.#deps
    fresh.touch(slotOfDataKey(storedKey), name)
    promises.end(batch, name, storedKey)
    memory.entered(storedKey, sound, after, isShown)
    batch.put(name, storedKey, before, after)
  }

  #drop(batch: WriteBatch, name: string, storedKey: StoredKey, before: Envelope): void {
    this.#deps.fresh.touch(slotOfDataKey(storedKey), name)
    batch.drop(name, storedKey, before)
  }

  /** Whether the version is so old that this member cannot lack it: it has stored it, or it was purged. */
  isKnown(slot: number, version: Version): boolean {
    const { bounds, fence } = this.#deps
    return bounds.isClosed(slot, version) && fence.isComplete(slot)
  }

  /** Puts the resolution of the owners in place of an entry that is damaged here, missing here, or denied by them. */
  heal(batch: WriteBatch, key: Bytes, { envelope, confirmedBelow, deniedBelow, isTie }: Resolution): void {
    const slot = slotOf(key)
    if (this.#deps.fence.isReleased(slot)) return
    const storedKey = dataKey(slot, key)
    const name = nameOf(storedKey)
    if (batch.changeOf(name) !== undefined) return
    const before = storedEnvelope(this.#deps.store, storedKey)
    const isSound = before !== undefined && checkEnvelope(key, before)
    const isDamaged = before !== undefined && !isSound
    // A round that was promised has not seen what would come here. The key is healed when the round has been written.
    const promised = this.#deps.promises.of(batch, name)
    if (promised !== undefined && (envelope === undefined || orderTo(envelope, promised) < 0)) return
    // The sums that this member gave out for a sealed slot must stay true.
    if (!isDamaged && (isTie || this.#deps.seals.sealedBefore(slot) > 0)) return
    if (before === undefined) {
      // The owners may have closed the slot further since they were asked, and have purged the entry.
      const closed = this.#deps.bounds.closed[slot]!
      if (envelope === undefined || confirmedBelow === 0 || confirmedBelow < closed || isAbsentBefore(envelope, closed))
        return
    } else if (isSound) {
      const isHere = envelope !== undefined && compareVersions(before, envelope) === 0
      if (isHere || !isBefore(versionOf(before), deniedBelow)) return
    }
    if (envelope !== undefined)
      this.#put(batch, name, storedKey, { before, sound: isSound ? before : undefined }, envelope, true)
    else this.#drop(batch, name, storedKey, before!)
    this.#deps.memory.forget(storedKey)
    this.#deps.log.info({ slot, isAbsent: envelope === undefined }, isDamaged ? 'damaged entry healed' : REPLACED)
  }

  /** The name of the key in a batch. */
  plannedName(storedKey: StoredKey): string {
    return nameOf(storedKey)
  }

  /** The entry once the batch so far is written; its checksum is not verified. */
  planned(batch: WriteBatch, name: string, storedKey: StoredKey): Envelope | undefined {
    const planned = batch.changeOf(name)
    return planned === undefined ? storedEnvelope(this.#deps.store, storedKey) : planned.after
  }

  /** Drops the entry if it is garbage below the closed bound of its slot. */
  dropGarbage(batch: WriteBatch, storedKey: StoredKey): void {
    const { bounds } = this.#deps
    this.#dropIf(batch, storedKey, (envelope) => bounds.isGarbage(slotOfDataKey(storedKey), envelope))
  }

  /** Drops the entry if it is older than that moment, seconds since the epoch. */
  dropBefore(batch: WriteBatch, storedKey: StoredKey, beforeS: number): void {
    this.#dropIf(batch, storedKey, (envelope) => isBefore(versionOf(envelope), beforeS))
  }

  #dropIf(batch: WriteBatch, storedKey: StoredKey, mayDrop: (envelope: Envelope) => boolean): void {
    const name = nameOf(storedKey)
    const before = this.planned(batch, name, storedKey)
    if (before !== undefined && mayDrop(before)) this.#drop(batch, name, storedKey, before)
  }

  /** Drops the entry, unless this member owns the slot again since the release. */
  dropReleased(batch: WriteBatch, storedKey: StoredKey): void {
    if (!this.#deps.fence.isReleased(slotOf(storedKey.subarray(DATA_KEY_OVERHEAD)))) return
    const before = storedEnvelope(this.#deps.store, storedKey)
    if (before !== undefined) this.#drop(batch, nameOf(storedKey), storedKey, before)
  }
}

function nameOf(storedKey: StoredKey): string {
  return asBuffer(storedKey).toString('latin1')
}
