// Releases slots that this member no longer owns, and then deletes their entries batch by batch.
// Invariants: a slot is released only when every owner of its only config has what it needs (Handoff makes sure of it).
// The release is on disk before the first entry is deleted: otherwise a restart in between would serve a slot of which
// entries are missing. An entry is deleted only while the slot is released.
// Source: rule 9 of lib/views/README.md.

import { slotOfDataKey, slotScan } from '../../entry/keys.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import { rangesOf, SLOTS } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { MetaWrite } from '../../storage/meta.js'
import { newestConfig } from '../../views/configs.js'
import type { EntryMemory } from './entry-memory.js'
import type { EntryWriter } from './entry-writer.js'
import type { Fence } from './fence.js'
import type { Promises } from './promises.js'
import { writeReleased } from './replica-records.js'
import { notCounted, type SlotStats } from './slot-stats.js'
import { entryChunks } from './stored-entries.js'
import type { WriteQueue } from './write-queue.js'

export interface SlotReleaseDeps {
  readonly store: Pick<GuardedStore, 'scan'>
  readonly slotStats: SlotStats
  readonly fence: Pick<Fence<never>, 'release' | 'released' | 'isReleased' | 'view'>
  readonly writer: Pick<EntryWriter, 'dropReleased' | 'plannedName'>
  readonly queue: Pick<WriteQueue, 'step'>
  readonly promises: Pick<Promises, 'slots' | 'inSlots' | 'end'>
  readonly memory: Pick<EntryMemory, 'forgetSlots'>
  /** Replies when the records are on disk. */
  readonly persist: (writes: readonly MetaWrite[], reply: Reply<undefined>) => void
}

/** Entries deleted in one batch: a client's write waits for no more than this. */
const DROP_BYTES = 256 * KiB
const DROP_PROMISES = 1024

/** Serves the `surplus` and `release` messages of the replica. */
export class SlotRelease {
  readonly #deps: SlotReleaseDeps

  constructor(deps: SlotReleaseDeps) {
    this.#deps = deps
  }

  /**
   * Slots that hold entries or promises here and that only other members own. NOT_SERVING while the store is being
   * counted.
   */
  surplus(): readonly number[] | RingdError {
    const { fence, slotStats } = this.#deps
    const { view } = fence
    if (view === undefined || !slotStats.isComplete) return notCounted()
    const slots: number[] = []
    const promised = this.#deps.promises.slots()
    for (let slot = 0; slot < SLOTS; slot++) {
      if (slotStats.sums.count(slot) === 0 && !promised.has(slot)) continue
      if (!newestConfig(view.configs.windows[slot]!).owners.includes(view.self)) slots.push(slot)
    }
    return slots
  }

  /** Replies when nothing of the slots is left on disk. STALE_VIEW when one of them has another config, or owners. */
  release(config: number, slots: readonly number[], reply: Reply<undefined>): void {
    const { fence, persist, memory } = this.#deps
    if (!fence.release(config, slots)) return reply(new RingdError('STALE_VIEW', 'the slots have moved again'))
    // When it owns them again, what it had before says nothing.
    memory.forgetSlots(slots)
    const writes = [writeReleased(fence.released)]
    const persisted: Reply<undefined> = (result) => {
      if (result instanceof RingdError) reply(result)
      else
        void this.#dropAll(slots).then(
          () => reply(undefined),
          (thrown) => reply(toRingdError(thrown))
        )
    }
    persist(writes, persisted)
  }

  async #dropAll(slots: readonly number[]): Promise<void> {
    const { store, queue, writer } = this.#deps
    for (const { first, last } of rangesOf(slots)) {
      for await (const chunk of entryChunks(store.scan(slotScan(first, last)), DROP_BYTES)) {
        await queue.step((batch) => {
          for (const [storedKey] of chunk) writer.dropReleased(batch, storedKey)
        })
      }
    }
    await this.#dropPromises(slots)
  }

  /** A promise of a former owner binds nobody: each owner of the newest config has seen it when it became ready. */
  async #dropPromises(slots: readonly number[]): Promise<void> {
    const { promises, queue, fence, writer } = this.#deps
    for (const some of chunksOf(promises.inSlots(slots), DROP_PROMISES)) {
      await queue.step((batch) => {
        for (const { storedKey } of some) {
          if (fence.isReleased(slotOfDataKey(storedKey))) promises.end(batch, writer.plannedName(storedKey), storedKey)
        }
      })
    }
  }
}

function* chunksOf<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size)
}
