// The serving end of a pull: reads blocks of entries, or of versions, for a member that takes slots over. The other end
// is lib/actors/migration/source-stream.ts; the whole mechanism is in lib/actors/migration/pull.md.
// Invariants, in this order: this member knows the view of the puller; every write that it admitted before is on disk;
// then the snapshot is taken. Otherwise a write that was acknowledged under the older config may miss the snapshot.
// Nothing is served of a slot that this member has released. A puller asks for the promises before it asks for entries:
// a promise that has ended in between has ended by an entry that is served.
// Source: rules 4, 5, 9 and A11 of lib/views/README.md.

import { type Bytes, EMPTY_BYTES } from '../../bytes.js'
import { DATA_KEY_OVERHEAD } from '../../entry/keys.js'
import type { SlotBounds } from '../../entry/purge-bounds.js'
import { RingdError, toRingdError } from '../../errors.js'
import { type Run, runsWithin } from '../../ring/runs.js'
import { type SlotRange, slotOf, slotsOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { EntryMemory } from './entry-memory.js'
import type { EntryReader } from './entry-reader.js'
import type { Fence } from './fence.js'
import type { Promises } from './promises.js'
import type { FetchMessage, PullMessage, SnapshotMessage, SourceSnapshot } from './replica-messages.js'

export interface PullSourceDeps {
  readonly fence: Pick<Fence<PullMessage | SnapshotMessage | FetchMessage>, 'knows' | 'refusesPull' | 'view'>
  readonly reader: Pick<EntryReader, 'block' | 'blocks' | 'versions' | 'fetch'>
  readonly bounds: SlotBounds
  readonly promises: Pick<Promises, 'inSlots'>
  readonly memory: Pick<EntryMemory, 'showSlots'>
  /** Replies when every write that was admitted before is on disk. */
  readonly barrier: (reply: Reply<undefined>) => void
  /** The sums of these slots, when everything is counted. */
  readonly sums: (slots: readonly number[]) => Bytes | RingdError
  /** Runs a read; what it throws is returned, and STORE_FAILED while the store is being reopened. */
  readonly guard: <T>(read: () => T) => T | RingdError
}

/** Blocks that are read at once. Each costs up to two blocks of memory and one iterator. */
const PULLS_MAX = 32

/** Serves the `pull`, `snapshot` and `fetch` messages of the replica. */
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

  /** Replies with what one ask of a pull stream is served from. */
  snapshot(message: SnapshotMessage): void {
    const { fence, reader, barrier, sums } = this.#deps
    if (!fence.knows(message)) return
    const { config, ranges, view, from, withSums, withPromises, reply } = message
    // Readiness only grows. So this answer, taken before the snapshot, is true of the snapshot as well.
    const ready = this.#isReady(config, ranges)
    const refusal = () => fence.refusesPull(config, ranges, view, from.storeId)
    const snapshot = (sumsOfSlots: Bytes): SourceSnapshot => ({
      ready,
      ...this.#boundsOf(ranges),
      sums: sumsOfSlots,
      promises: withPromises === true ? this.#deps.promises.inSlots(slotsOf(ranges)) : [],
      entries: (after, bytesMax) => reader.blocks({ ranges, after }, bytesMax, refusal, (range) => this.#show([range])),
      versions: (after) => this.#versions(ranges, after, refusal)
    })
    const applied: Reply<undefined> = (result) => {
      const error = result instanceof RingdError ? result : refusal()
      const found = error ?? (withSums ? sums(slotsOf(ranges)) : EMPTY_BYTES)
      this.#show(ranges)
      reply(found instanceof RingdError ? found : snapshot(found))
    }
    barrier(applied)
  }

  /** The puller may tell of all that the slots hold, as soon as it is ready. */
  #show(ranges: readonly SlotRange[]): void {
    for (const { first, last } of ranges) this.#deps.memory.showSlots(first, last)
  }

  /** A slot may be released while the block is read: then the block may lack deleted entries. */
  async #versions(ranges: readonly SlotRange[], after: Bytes | undefined, refusal: () => RingdError | undefined) {
    const block = await this.#deps.reader.versions({ ranges, after })
    const refused = refusal()
    if (refused !== undefined) throw refused
    return block
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
    if (from !== undefined) this.#show(ranges)
    message.reply(refusal ?? guard(() => reader.fetch(keys)))
  }

  /** The purge bounds go with the first block: a puller takes them over before it takes any entry. */
  #boundsFor({ after, ranges }: PullMessage): { closing: readonly Run[]; closed: readonly Run[] } {
    return after !== undefined ? { closing: [], closed: [] } : this.#boundsOf(ranges)
  }

  #boundsOf(ranges: readonly SlotRange[]): { closing: readonly Run[]; closed: readonly Run[] } {
    const { closing, closed } = this.#deps.bounds
    return { closing: runsWithin(closing, ranges), closed: runsWithin(closed, ranges) }
  }

  #isReady(config: number, ranges: readonly SlotRange[]): boolean {
    const { view } = this.#deps.fence
    const ready = view?.readiness.get(view.self)
    if (ready === undefined) return false
    return ranges.every(({ first, last }) => ready.subarray(first, last + 1).every((begin) => begin === config))
  }
}
