// The serving end of a pull: reads blocks of entries, or of versions, for a member that takes slots over. The other end
// is lib/actors/migration/transfer.ts; the whole mechanism is in lib/actors/migration/pull.md.
// Invariants, in this order: this member knows the view of the puller; every write that it admitted before is on disk;
// then the snapshot is taken. Otherwise a write that was acknowledged under the older config may miss the snapshot.
// Nothing is served of a slot that this member has released.
// Source: rules 4, 5 and 9 of lib/views/README.md.

import { DATA_KEY_OVERHEAD } from '../../entry/keys.js'
import type { SlotBounds } from '../../entry/purge-bounds.js'
import { RingdError, toRingdError } from '../../errors.js'
import { type Run, runsWithin } from '../../ring/runs.js'
import { type SlotRange, slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { EntryReader } from './entry-reader.js'
import type { Fence } from './fence.js'
import type { FetchMessage, PullMessage } from './replica-messages.js'

export interface PullSourceDeps {
  readonly fence: Pick<Fence<PullMessage | FetchMessage>, 'knows' | 'refusesPull' | 'view'>
  readonly reader: Pick<EntryReader, 'block' | 'fetch'>
  readonly bounds: SlotBounds
  /** Replies when every write that was admitted before is on disk. */
  readonly barrier: (reply: Reply<undefined>) => void
  /** Runs a read; what it throws is returned, and STORE_FAILED while the store is being reopened. */
  readonly guard: <T>(read: () => T) => T | RingdError
}

/** Blocks that are read at once. Each costs up to two blocks of memory and one iterator. */
const PULLS_MAX = 32

/** Serves the `pull` and `fetch` messages of the replica. */
export class PullSource {
  readonly #deps: PullSourceDeps
  #pulls = 0

  constructor(deps: PullSourceDeps) {
    this.#deps = deps
  }

  pull(message: PullMessage): void {
    const { fence, reader } = this.#deps
    if (!fence.knows(message)) return
    if (this.#pulls >= PULLS_MAX) return message.reply(new RingdError('OVERLOADED', 'too many pulls at once'))
    this.#pulls += 1
    const { config, ranges, view, from } = message
    // Readiness only grows. So this answer, taken before the snapshot, is true of the snapshot as well.
    const ready = this.#isReady(config, ranges)
    const refusal = () => (from === undefined ? undefined : fence.refusesPull(config, ranges, view, from.storeId))
    const applied: Reply<undefined> = (result) => {
      const error = result instanceof RingdError ? result : refusal()
      const block = error === undefined ? reader.block(message) : Promise.reject(error)
      void block
        // A slot may have been released while the block was read: then the block may lack deleted entries.
        .then((read) => refusal() ?? { ...read, ready, ...this.#boundsFor(message) })
        .catch(toRingdError)
        .then((answer) => {
          this.#pulls -= 1
          message.reply(answer)
        })
    }
    this.#deps.barrier(applied)
  }

  fetch(message: FetchMessage): void {
    const { fence, reader, guard } = this.#deps
    if (!fence.knows(message)) return
    const { config, view, keys, from } = message
    const slots = keys
      .filter((storedKey) => storedKey.length > DATA_KEY_OVERHEAD)
      .map((storedKey) => slotOf(storedKey.subarray(DATA_KEY_OVERHEAD)))
    const ranges = slots.map((slot) => ({ first: slot, last: slot }))
    const refusal = from === undefined ? undefined : fence.refusesPull(config, ranges, view, from.storeId)
    message.reply(refusal ?? guard(() => reader.fetch(keys)))
  }

  /** The purge bounds go with the first block: a puller takes them over before it takes any entry. */
  #boundsFor({ after, ranges }: PullMessage): { closing: readonly Run[]; closed: readonly Run[] } {
    const { closing, closed } = this.#deps.bounds
    if (after !== undefined) return { closing: [], closed: [] }
    return { closing: runsWithin(closing, ranges), closed: runsWithin(closed, ranges) }
  }

  #isReady(config: number, ranges: readonly SlotRange[]): boolean {
    const { view } = this.#deps.fence
    const ready = view?.readiness.get(view.self)
    if (ready === undefined) return false
    return ranges.every(({ first, last }) => ready.subarray(first, last + 1).every((begin) => begin === config))
  }
}
