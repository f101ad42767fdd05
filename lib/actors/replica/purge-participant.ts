// One owner's part in a purge: closes slots below a moment, so that tombstones and expired values can be deleted. The
// driver is lib/actors/purge.ts; the whole mechanism is in purge.md.
//
// The driver takes every owner of a slot through these steps:
//   prepare    raises the closing bound to the moment, durably: no new write below it enters any more; seals the slot:
//              for a while no other entry below it enters either; answers with the sums of the entries below it
//   commit     from the driver that prepared, when all owners answered with equal sums: raises the closed bound,
//              durably, then deletes the garbage below it
//   abort      the owners differ: ends the seal, so that repair can bring the missing entries before the next try
//   catch-up   for an owner that prepared this moment earlier and missed the commit, which another owner has received
// Invariants: only an owner of the slot has it closed; the set of entries below a sealed moment does not grow between
// the sums and the commit; nothing is deleted before the bound is on disk; a new owner takes over a source's bounds
// before its entries (`inherit`).
// Source: rule 13 of lib/views/README.md.

import { SlotSums } from '../../anti-entropy/slot-sums.js'
import type { Bytes } from '../../bytes.js'
import { boundFault } from '../../entry/entry-format.js'
import { type Envelope, versionOf } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { writeU32 } from '../../entry/integers.js'
import { DATA_KEY_OVERHEAD, type StoredKey, slotOfDataKey, slotScan } from '../../entry/keys.js'
import { absentSinceMs, isBefore, type PurgeBounds, trustBetween } from '../../entry/purge-bounds.js'
import { RingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { Link } from '../../network/network.js'
import { rangesOf, type SlotRange } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { EntryWriter } from './entry-writer.js'
import type { Fence } from './fence.js'
import type { ClosedSlots, CloseMessage, InheritMessage } from './replica-messages.js'
import { writeClosed, writeClosing, writeIncomplete } from './replica-records.js'
import type { Driver, SlotSeals } from './slot-seals.js'
import type { SlotStats } from './slot-stats.js'
import { entryChunks } from './stored-entries.js'
import type { WriteBatch } from './write-batch.js'
import type { WriteQueue } from './write-queue.js'

export interface PurgeParticipantDeps {
  readonly hlc: HybridClock
  readonly store: Pick<GuardedStore, 'scan'>
  readonly slotStats: Pick<SlotStats, 'beginScan' | 'endScan'>
  readonly bounds: PurgeBounds
  readonly seals: SlotSeals
  readonly fence: Pick<Fence<never>, 'refusesOwner' | 'isOwner' | 'isWhole' | 'isComplete' | 'forget'>
  readonly reader: Pick<EntryReader, 'check'>
  readonly writer: Pick<EntryWriter, 'dropGarbage' | 'dropBefore'>
  readonly queue: Pick<WriteQueue, 'step'>
  /** No moment that is younger than this by this member's own clock is ever closed; ms. */
  readonly youngestMs: number
}

const SCAN_BYTES = 64 * KiB
/** Keys deleted in one batch, whatever their slots. Each batch is an fsync, and most slots hold a few keys only. */
const DROP_KEYS = 256
type Visit = (slot: number, storedKey: StoredKey, envelope: Envelope) => void

const NOTHING: ClosedSlots = { sums: new Uint8Array(0), closed: new Uint8Array(0) }

/** The driver of this member's own purges, and of what it inherits. */
const SELF: Driver = ''

function driverOf(from: Link | undefined): Driver {
  return from?.storeId ?? SELF
}

/** Serves the `close` and `inherit` messages of the replica. */
export class PurgeParticipant {
  readonly #deps: PurgeParticipantDeps
  /** How often bounds were raised in memory, and how many of these raises are on disk. */
  #raised = 0
  #persisted = 0

  constructor(deps: PurgeParticipantDeps) {
    this.#deps = deps
  }

  /** Throws STALE_VIEW, NOT_OWNER, BEHIND, CLOCK_SKEW, BAD_ENTRY, BAD_REQUEST, or what a write throws. */
  close(message: CloseMessage): Promise<ClosedSlots> {
    const { config, slots, view, from } = message
    for (const slot of slots) {
      const refusal = this.#deps.fence.refusesOwner(config, slot, view)
      if (refusal !== undefined) throw refusal
      if (from !== undefined && !this.#deps.fence.isOwner(slot, from.storeId)) {
        throw new RingdError('BAD_REQUEST', 'only an owner of a slot has it closed')
      }
      if (!this.#deps.fence.isWhole(slot)) throw new RingdError('BEHIND', 'the slot still moves')
    }
    switch (message.step) {
      case 'prepare':
        return this.#prepare(message)
      case 'commit':
        return this.#commit(message)
      case 'catch-up':
        return this.#catchUp(message)
      case 'abort':
        return this.#abort(message)
    }
  }

  async #prepare({ slots, before, from }: CloseMessage): Promise<ClosedSlots> {
    const { hlc, bounds, seals, youngestMs } = this.#deps
    const driver = driverOf(from)
    if (before * 1000 > hlc.now() - youngestMs) {
      throw new RingdError('CLOCK_SKEW', 'the moment to close at is too young by the clock of this member')
    }
    await this.#raise(() => {
      seals.seal(slots, before, driver)
      return bounds.raise('closing', slots, before)
    })
    try {
      const sums = await this.#sumsBelow(slots, before)
      seals.limit(slots, before, driver)
      return { sums: sums.encode(slots), closed: this.#closedOf(slots) }
    } catch (thrown) {
      seals.release(slots, before, driver)
      throw thrown
    }
  }

  #closedOf(slots: readonly number[]): Bytes {
    const { bounds } = this.#deps
    const closed = new Uint8Array(slots.length * 4)
    for (const [index, slot] of slots.entries()) writeU32(closed, index * 4, bounds.closed[slot]!)
    return closed
  }

  /** Only the owner that sent `prepare` has seen the sums of all owners, so only its commit counts. */
  async #commit({ slots, before, from }: CloseMessage): Promise<ClosedSlots> {
    return this.#closeBelow(slots, before, () => this.#deps.seals.areSealed(slots, before, driverOf(from)))
  }

  async #abort({ slots, before, from }: CloseMessage): Promise<ClosedSlots> {
    this.#deps.seals.release(slots, before, driverOf(from))
    return NOTHING
  }

  async #catchUp({ slots, before }: CloseMessage): Promise<ClosedSlots> {
    const { closing } = this.#deps.bounds
    if (slots.some((slot) => closing[slot]! < before)) {
      throw new RingdError('BAD_REQUEST', 'catch-up of slots that this member did not prepare at that moment')
    }
    return this.#closeBelow(slots, before, () => true)
  }

  /** `mayClose` is asked in its turn among the writes, so no write comes between its answer and the bound. */
  async #closeBelow(slots: readonly number[], before: number, mayClose: () => boolean): Promise<ClosedSlots> {
    const { bounds, seals, fence } = this.#deps
    let isRefused = false
    await this.#raise(() => {
      isRefused = !mayClose()
      if (isRefused) return false
      seals.clear(slots)
      return bounds.raise('closed', slots, before)
    })
    if (isRefused) throw new RingdError('BAD_REQUEST', 'commit of slots that are not sealed at that moment')
    // Called for its effect: the fence remembers that the slot is complete, and reads begin to carry the bound.
    for (const slot of slots) fence.isComplete(slot)
    await this.#dropGarbage(slots)
    return NOTHING
  }

  /**
   * Takes over the bounds of a source before its entries. When the source has closed a slot without this member, this
   * member drops its own entries below that bound: the source holds all of them that still count. Resolves with the
   * moment for each slot below which no entry of the source may be believed, because this member closed the slot
   * without the source. Throws CLOCK_SKEW when a bound lies in the future; nothing is taken over then.
   */
  async inherit({ slots, theirs }: InheritMessage): Promise<ReadonlyMap<number, number>> {
    const { bounds, seals, hlc } = this.#deps
    for (const slot of slots) {
      const fault = boundFault(theirs.closing[slot], hlc) ?? boundFault(theirs.closed[slot], hlc)
      if (fault !== undefined) throw fault
    }
    const distrusted = new Map<number, number>()
    const forgetting = new Map<number, number>()
    try {
      for (const slot of slots) {
        const { forget, distrust } = trustBetween(bounds, theirs, slot)
        if (distrust > 0) distrusted.set(slot, distrust)
        if (forget === 0) continue
        // Until the bounds are on disk the seal keeps out what is dropped here.
        seals.seal([slot], forget, SELF)
        forgetting.set(slot, forget)
        await this.#forget(slot, forget)
      }
      await this.#raise(() => bounds.raiseTo(theirs, slots))
    } finally {
      for (const [slot, before] of forgetting) seals.release([slot], before, SELF)
    }
    return distrusted
  }

  /**
   * Raises bounds in its turn among the writes; they are on disk when it resolves. Also writes the bounds of an earlier
   * raise whose batch failed: they were raised in memory only.
   */
  async #raise(raise: () => boolean): Promise<void> {
    const { bounds, queue } = this.#deps
    let mine = 0
    await queue.step((batch) => {
      if (raise()) this.#raised += 1
      mine = this.#raised
      if (mine === this.#persisted) return
      for (const record of [writeClosing(bounds.closing), writeClosed(bounds.closed)]) batch.record(record)
    })
    this.#persisted = Math.max(this.#persisted, mine)
  }

  /** The sums of the entries below the moment that are not garbage yet. Throws BAD_ENTRY when an entry is damaged. */
  async #sumsBelow(slots: readonly number[], before: number): Promise<SlotSums> {
    const { bounds, reader } = this.#deps
    const sums = new SlotSums()
    await this.#scan(slots, (slot, storedKey, envelope) => {
      reader.check(storedKey.subarray(DATA_KEY_OVERHEAD), envelope)
      const version = versionOf(envelope)
      if (isBefore(version, before) && !bounds.isGarbage(slot, envelope)) sums.change(storedKey, version, 1)
    })
    return sums
  }

  async #dropGarbage(slots: readonly number[]): Promise<void> {
    const { bounds, writer } = this.#deps
    const isGarbage = (slot: number, envelope: Envelope) => bounds.isGarbage(slot, envelope)
    await this.#dropAll(slots, isGarbage, (batch, storedKey) => writer.dropGarbage(batch, storedKey))
  }

  /** Drops the entries of the slot below the moment, after the record that the slot is incomplete is on disk. */
  async #forget(slot: number, before: number): Promise<void> {
    const { fence, queue, writer } = this.#deps
    const record = writeIncomplete(fence.forget(slot))
    await queue.step((batch) => batch.record(record))
    const isOlder = (_slot: number, envelope: Envelope) => isBefore(versionOf(envelope), before)
    await this.#dropAll([slot], isOlder, (batch, storedKey) => writer.dropBefore(batch, storedKey, before))
  }

  /** In small batches, so that a client's write waits for no more than one. */
  async #dropAll(
    slots: readonly number[],
    isMeant: (slot: number, envelope: Envelope) => boolean,
    drop: (batch: WriteBatch, storedKey: StoredKey) => void
  ): Promise<void> {
    let found: StoredKey[] = []
    const dropFound = async () => {
      const storedKeys = found
      found = []
      await this.#deps.queue.step((batch) => {
        for (const storedKey of storedKeys) drop(batch, storedKey)
      })
    }
    const visit: Visit = (slot, storedKey, envelope) => void (isMeant(slot, envelope) && found.push(storedKey))
    await this.#scan(slots, visit, async () => (found.length >= DROP_KEYS ? dropFound() : undefined))
    if (found.length > 0) await dropFound()
  }

  /** Visits every entry of the slots. The statistics learn when the first entry of each that stays becomes absent. */
  async #scan(slots: readonly number[], visit: Visit, afterChunk: () => Promise<void> = async () => {}): Promise<void> {
    for (const run of rangesOf(slots)) await this.#scanRun(run, visit, afterChunk)
  }

  /** One scan for neighbouring slots: most slots hold a few entries only, and a scan for each of them takes longer. */
  async #scanRun({ first, last }: SlotRange, visit: Visit, afterChunk: () => Promise<void>): Promise<void> {
    const { store, slotStats, bounds } = this.#deps
    const absentSince = new Float64Array(last - first + 1).fill(Number.POSITIVE_INFINITY)
    for (let slot = first; slot <= last; slot++) slotStats.beginScan(slot)
    try {
      for await (const chunk of entryChunks(store.scan(slotScan(first, last)), SCAN_BYTES)) {
        for (const [storedKey, envelope] of chunk) {
          const slot = slotOfDataKey(storedKey)
          const since = bounds.isGarbage(slot, envelope) ? undefined : absentSinceMs(envelope)
          if (since !== undefined) absentSince[slot - first] = Math.min(absentSince[slot - first]!, since)
          visit(slot, storedKey, envelope)
        }
        await afterChunk()
      }
    } catch (thrown) {
      absentSince.fill(0)
      throw thrown
    } finally {
      for (let slot = first; slot <= last; slot++) slotStats.endScan(slot, absentSince[slot - first]!)
    }
  }
}
