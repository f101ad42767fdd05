// What the promises and the memory of the replica learn of its batches. Part of the replica.
import type { EntryMemory } from './entry-memory.js'
import type { Promises } from './promises.js'
import type { SlotStats } from './slot-stats.js'
import type { BatchListener } from './write-queue.js'

/**
 * The promises follow the disk. Of a failed batch it is unknown whether its entries have been here, so the memory
 * forgets their keys.
 */
export function batchListener(promises: Promises, memory: EntryMemory, slotStats: SlotStats): BatchListener {
  return {
    stored: (batch) => promises.stored(batch),
    failed: (batch) => {
      for (const { storedKey } of batch.changes()) memory.forget(storedKey)
    },
    counted: () => memory.counted(slotStats.newestMs)
  }
}
