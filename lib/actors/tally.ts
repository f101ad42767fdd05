// How much a store holds: live entries, and the bytes of keys and envelopes. Counts itself: no walk over the store per
// question.
// Invariant: what the store held when it was opened, plus every change since; a snapshot and changes may be added in
// any order.
import type { Bytes } from '../bytes.js'
import { isTombstone } from '../entry/envelope.js'
import { slotScan } from '../entry/keys.js'
import { MiB } from '../limits.js'
import { SLOTS } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'

export interface Totals {
  /** Without tombstones. */
  readonly entries: number
  readonly bytes: number
}

export class Tally {
  #entries = 0
  #bytes = 0

  get totals(): Totals {
    return { entries: this.#entries, bytes: this.#bytes }
  }

  /** `before` has given way to `after` under the stored key. */
  change(stored: Bytes, before: Bytes | undefined, after: Bytes): void {
    this.#entries += (isTombstone(after) ? 0 : 1) - (before === undefined || isTombstone(before) ? 0 : 1)
    this.#bytes += after.length - (before === undefined ? -stored.length : before.length)
  }

  /** Counts what is there now, in the background. Call it before the first change. */
  async countAll(store: GuardedStore): Promise<void> {
    const scan = store.scan(slotScan(0, SLOTS - 1))
    try {
      for (;;) {
        const found = await scan.next(MiB)
        if (found.length === 0) return
        for (const [stored, envelope] of found) this.change(stored, undefined, envelope)
      }
    } finally {
      await scan.close()
    }
  }
}
