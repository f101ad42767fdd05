// Serves reads of one entry, for this peer's router and for other peers. Part of the replica.
// Reads of large entries are paced: see read-pacer.ts.

import type { Clock } from '../../clock.js'
import { type Envelope, versionOf } from '../../entry/envelope.js'
import { dataKey } from '../../entry/keys.js'
import { isBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import { isOwnerAnswer } from '../../entry/read-resolution.js'
import { RingdError, ValueLarger } from '../../errors.js'
import { KEY_BYTES_MAX } from '../../limits.js'
import { slotOf } from '../../ring/slots.js'
import type { EntryReader } from './entry-reader.js'
import type { Fence } from './fence.js'
import type { FencedMessage } from './fenced-message.js'
import { ReadPacer } from './read-pacer.js'
import type { ReadMessage, ReadResult } from './replica-messages.js'

export interface ReadRequestsDeps {
  readonly clock: Clock
  readonly fence: Fence<FencedMessage>
  readonly reader: EntryReader
  readonly bounds: PurgeBounds
  /** Runs a read of the store, and gives its error as an answer. */
  readonly guard: <T>(read: () => T) => T | RingdError
}

export class ReadRequests {
  readonly #deps: ReadRequestsDeps
  readonly #pacer: ReadPacer

  constructor(deps: ReadRequestsDeps) {
    this.#deps = deps
    this.#pacer = new ReadPacer(deps.clock, (message) => this.#answer(message))
  }

  /** Answers the message, now or in a later turn of the event loop. */
  take(message: ReadMessage): void {
    this.#pacer.take(message)
  }

  /** Answers the reads that wait with STOPPED. */
  end(): void {
    this.#pacer.end()
  }

  /** Returns the size of the entry. */
  #answer(message: ReadMessage): number {
    const { key, bytesMax = Number.POSITIVE_INFINITY, reply } = message
    if (key.length > KEY_BYTES_MAX) {
      reply(new RingdError('KEY_TOO_LARGE'))
      return 0
    }
    const slot = slotOf(key)
    if (!this.#deps.fence.admits(message, slot)) return 0
    let bytes = 0
    const read = (): ReadResult | RingdError => {
      const envelope = this.#deps.reader.get(key, dataKey(slot, key))
      bytes = envelope?.length ?? 0
      const result = this.#withBound(slot, envelope)
      const sent = isOwnerAnswer(result) ? result.envelope : result
      return sent !== undefined && sent.length > bytesMax ? new ValueLarger(sent.length) : result
    }
    reply(this.#deps.guard(read))
    return bytes
  }

  /**
   * The answer of a read: without garbage, and with the closed bound of the slot when no entry lies above it and this
   * member is complete. Such an answer says that this owner knows all that all owners agreed on below the bound.
   */
  #withBound(slot: number, envelope: Envelope | undefined): ReadResult {
    const { bounds } = this.#deps
    const closed = bounds.closed[slot]!
    if (closed === 0 || (envelope !== undefined && !isBefore(versionOf(envelope), closed))) return envelope
    if (!this.#deps.fence.isComplete(slot)) return envelope
    return { envelope: envelope && bounds.isGarbage(slot, envelope) ? undefined : envelope, closed }
  }
}
