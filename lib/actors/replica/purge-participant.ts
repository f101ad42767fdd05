// Closes slots below a moment, so that what is gone can leave the disks of all owners. Part of the storage actor.
//
// A driver (lib/actors/purge.ts) takes every owner of a slot through two steps:
//   seal     takes no new write below the moment, durably; takes nothing at all below it for a while; tells the sums
//            of what lies below it
//   finish   all owners told the same: nothing below the moment is taken from strangers any more, durably; then what
//            is gone below it is deleted
//   release  the owners differ: what lies below the moment may be brought again, until the next try
//   follow   instead of both, for one that was sealed there and did not hear of the end, when another has finished
// Invariants: what is below a sealed moment does not grow between the sums and the end; nothing is deleted before the
// bound is on disk; whoever takes a slot over takes over its bounds before its entries (`inherit`).
// Source: rule 13 of lib/views/README.md.

import { SlotSums } from '../../anti-entropy/slot-sums.js'
import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { versionOf, type Envelope } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { writeU32 } from '../../entry/integers.js'
import { DATA_KEY_OVERHEAD, metaKey, slotScan } from '../../entry/keys.js'
import { absentSinceMs, isBefore, type PurgeBounds, trustBetween } from '../../entry/purge-bounds.js'
import { RingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import { SLOTS } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { EntryWriter } from './entry-writer.js'
import type { Fence } from './fence.js'
import type { ClosedSlots, CloseMessage, InheritMessage } from './replica-messages.js'
import { writeClosed, writeClosing, writeIncomplete } from './replica-records.js'
import type { SlotStats } from './slot-stats.js'
import type { WriteBatch } from './write-batch.js'

export interface PurgeParticipantDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly store: GuardedStore
  readonly slotStats: SlotStats
  readonly bounds: PurgeBounds
  readonly fence: Pick<Fence<never>, 'refusesOwner' | 'isWhole' | 'isComplete' | 'forget'>
  readonly reader: EntryReader
  readonly writer: () => EntryWriter
  /** Nothing younger than this is ever closed, by this member's own clock; ms. */
  readonly youngestMs: number
  /** Runs `step` in its turn among the writes; resolves when what it planned is on disk. */
  readonly enqueue: (step: (plan: WriteBatch) => void) => Promise<void>
}

/** A driver that takes longer begins anew. */
const SEAL_MS = 10_000
const SCAN_BYTES = 64 * KiB
/** Deleted in one batch at least, but for the last. */
const DROP_KEYS = 256
const NOTHING: ClosedSlots = { sums: new Uint8Array(0), closed: new Uint8Array(0) }

export class PurgeParticipant {
  readonly #deps: PurgeParticipantDeps
  readonly #sealedBefore = new Uint32Array(SLOTS)
  readonly #sealedUntil = new Float64Array(SLOTS)
  /** How often bounds were raised, and how many of these are on disk. */
  #raised = 0
  #kept = 0

  constructor(deps: PurgeParticipantDeps) {
    this.#deps = deps
  }

  /** Nobody may bring what is older now, s since the epoch; a little later it is clear whether it may come. */
  sealedBefore(slot: number): number {
    return this.#deps.clock.elapsed() < this.#sealedUntil[slot]! ? this.#sealedBefore[slot]! : 0
  }

  /** Throws STALE_VIEW, NOT_OWNER, BEHIND, CLOCK_SKEW, BAD_ENTRY, BAD_REQUEST, or what a write throws. */
  close(message: CloseMessage): Promise<ClosedSlots> {
    const { config, slots, view } = message
    for (const slot of slots) {
      const refusal = this.#deps.fence.refusesOwner(config, slot, view)
      if (refusal !== undefined) throw refusal
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

  async #prepare({ slots, before }: CloseMessage): Promise<ClosedSlots> {
    const { hlc, bounds, clock, youngestMs } = this.#deps
    if (before * 1000 > hlc.stamp().ms - youngestMs) {
      throw new RingdError('CLOCK_SKEW', 'what is to be closed is too young here')
    }
    await this.#raise(() => {
      for (const slot of slots) {
        this.#sealedBefore[slot] = before
        this.#sealedUntil[slot] = Number.POSITIVE_INFINITY
      }
      return bounds.raise('closing', slots, before)
    })
    let until = 0
    try {
      const sums = await this.#sumsBelow(slots, before)
      until = clock.elapsed() + SEAL_MS
      return { sums: sums.encode(slots), closed: this.#closedOf(slots) }
    } finally {
      for (const slot of slots) if (this.#sealedBefore[slot] === before) this.#sealedUntil[slot] = until
    }
  }

  #closedOf(slots: readonly number[]): Bytes {
    const { bounds } = this.#deps
    const closed = new Uint8Array(slots.length * 4)
    for (const [index, slot] of slots.entries()) writeU32(closed, index * 4, bounds.closed[slot]!)
    return closed
  }

  async #commit({ slots, before }: CloseMessage): Promise<ClosedSlots> {
    const { clock } = this.#deps
    const isSealed = (slot: number) => this.#sealedBefore[slot] === before && clock.elapsed() < this.#sealedUntil[slot]!
    return this.#closeBelow(slots, before, () => slots.every(isSealed))
  }

  async #abort({ slots, before }: CloseMessage): Promise<ClosedSlots> {
    for (const slot of slots) if (this.#sealedBefore[slot] === before) this.#sealedUntil[slot] = 0
    return NOTHING
  }

  async #catchUp({ slots, before }: CloseMessage): Promise<ClosedSlots> {
    const { closing } = this.#deps.bounds
    if (slots.some((slot) => closing[slot]! < before)) {
      throw new RingdError('BAD_REQUEST', 'the slots were never sealed at that moment')
    }
    return this.#closeBelow(slots, before, () => true)
  }

  /** `mayClose` is asked in its turn among the writes: nothing can have come in between. */
  async #closeBelow(slots: readonly number[], before: number, mayClose: () => boolean): Promise<ClosedSlots> {
    let isRefused = false
    await this.#raise(() => {
      isRefused = !mayClose()
      if (isRefused) return false
      for (const slot of slots) this.#sealedUntil[slot] = 0
      return this.#deps.bounds.raise('closed', slots, before)
    })
    if (isRefused) throw new RingdError('BAD_REQUEST', 'the slots are not sealed at that moment')
    for (const slot of slots) {
      // From now on it says so to whoever reads.
      this.#deps.fence.isComplete(slot)
      await this.#dropGarbage(slot)
    }
    return NOTHING
  }

  /**
   * Takes over the bounds of a source before its entries. What this member kept from a time before the source closed
   * the slot is forgotten: the source has all that is left of it. Resolves with the slots below whose bound nothing of
   * the source may be believed, since this member closed without it.
   */
  async inherit({ slots, theirs }: InheritMessage): Promise<ReadonlyMap<number, number>> {
    const { bounds } = this.#deps
    const distrusted = new Map<number, number>()
    const forgetting = new Map<number, number>()
    try {
      for (const slot of slots) {
        const { forget, distrust } = trustBetween(bounds, theirs, slot)
        if (distrust > 0) distrusted.set(slot, distrust)
        if (forget === 0) continue
        // What is so old does not enter again before the bounds are there.
        this.#sealedBefore[slot] = forget
        this.#sealedUntil[slot] = Number.POSITIVE_INFINITY
        forgetting.set(slot, forget)
        await this.#forget(slot, forget)
      }
      await this.#raise(() => bounds.raiseTo(theirs, slots))
    } finally {
      for (const [slot, before] of forgetting) if (this.#sealedBefore[slot] === before) this.#sealedUntil[slot] = 0
    }
    return distrusted
  }

  /** Raises bounds in its turn; they are on disk when it resolves, with those that a failed batch has raised. */
  async #raise(raise: () => boolean): Promise<void> {
    const { bounds, enqueue } = this.#deps
    let mine = 0
    await enqueue((plan) => {
      if (raise()) this.#raised += 1
      mine = this.#raised
      if (mine === this.#kept) return
      for (const { name, value } of [writeClosing(bounds.closing), writeClosed(bounds.closed)]) {
        plan.fact(metaKey(name), value)
      }
    })
    this.#kept = Math.max(this.#kept, mine)
  }

  /** Of everything below the moment that is not garbage yet. Throws BAD_ENTRY when something is damaged. */
  async #sumsBelow(slots: readonly number[], before: number): Promise<SlotSums> {
    const { bounds, reader } = this.#deps
    const sums = new SlotSums()
    for (const slot of slots) {
      await this.#lookAt(slot, (stored, envelope) => {
        const key = stored.subarray(DATA_KEY_OVERHEAD)
        if (reader.sound(key, envelope) === undefined) throw new RingdError('BAD_ENTRY')
        const version = versionOf(envelope)
        if (isBefore(version, before) && !bounds.isGarbage(slot, envelope)) sums.change(stored, version, 1)
      })
    }
    return sums
  }

  async #dropGarbage(slot: number): Promise<void> {
    const { bounds, writer } = this.#deps
    const isGarbage = (envelope: Envelope) => bounds.isGarbage(slot, envelope)
    await this.#dropAll(slot, isGarbage, (plan, stored) => writer().dropGarbage(plan, stored))
  }

  async #forget(slot: number, before: number): Promise<void> {
    const { fence, enqueue, writer } = this.#deps
    const { name, value } = writeIncomplete(fence.forget(slot))
    await enqueue((plan) => plan.fact(metaKey(name), value))
    const isOlder = (envelope: Envelope) => isBefore(versionOf(envelope), before)
    await this.#dropAll(slot, isOlder, (plan, stored) => writer().dropBefore(plan, stored, before))
  }

  /** In batches that delay nobody for long. */
  async #dropAll(
    slot: number,
    isMeant: (envelope: Envelope) => boolean,
    drop: (plan: WriteBatch, stored: Bytes) => void
  ): Promise<void> {
    let found: Bytes[] = []
    const dropFound = async () => {
      const keys = found
      found = []
      await this.#deps.enqueue((plan) => {
        for (const stored of keys) drop(plan, stored)
      })
    }
    const visit = (stored: Bytes, envelope: Envelope) => void (isMeant(envelope) && found.push(stored))
    await this.#lookAt(slot, visit, async () => (found.length >= DROP_KEYS ? dropFound() : undefined))
    if (found.length > 0) await dropFound()
  }

  /** Every entry of the slot; the tally learns when the first of those that stay is gone. */
  async #lookAt(
    slot: number,
    visit: (stored: Bytes, envelope: Envelope) => void,
    pause: () => Promise<void> = async () => {}
  ): Promise<void> {
    const { store, slotStats, bounds } = this.#deps
    let goneAt = Number.POSITIVE_INFINITY
    slotStats.lookAt(slot)
    const scan = store.scan(slotScan(slot, slot))
    try {
      for (let found = await scan.next(SCAN_BYTES); found.length > 0; found = await scan.next(SCAN_BYTES)) {
        for (const [stored, envelope] of found) {
          if (!bounds.isGarbage(slot, envelope)) goneAt = Math.min(goneAt, absentSinceMs(envelope) ?? goneAt)
          visit(stored, envelope)
        }
        await pause()
      }
      slotStats.looked(slot, goneAt)
    } catch (thrown) {
      slotStats.looked(slot, 0)
      throw thrown
    } finally {
      await scan.close()
    }
  }
}
