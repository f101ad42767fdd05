// Serves reads of one entry, for this peer's router and for other peers. Part of the replica.
// Reads of large entries are paced: see read-pacer.ts.

import { asBuffer, type Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { type Envelope, versionOf } from '../../entry/envelope.js'
import { dataKey, type StoredKey } from '../../entry/keys.js'
import { isBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import { isOwnerAnswer } from '../../entry/read-resolution.js'
import { RingdError, toRingdError, ValueLarger } from '../../errors.js'
import type { LargeWork } from '../../large-work.js'
import { KEY_BYTES_MAX, MiB } from '../../limits.js'
import { slotOf } from '../../ring/slots.js'
import { SMALL_ENVELOPE_MAX } from '../large-requests.js'
import type { EntryMemory } from './entry-memory.js'
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
  readonly memory: Pick<EntryMemory, 'show'>
  /** False while the store is opened again. */
  readonly isReadable: () => boolean
  readonly largeWork?: LargeWork | undefined
}

/** A small read waits for no large one. An entry above its limit is read all the same, to learn the size. */
const SMALL_TURN_BYTES_MAX = 16 * MiB
const LARGE_TURN_BYTES_MAX = MiB

/** Sizes that are remembered, and the longest keys whose sizes are. */
const SIZES_MAX = 8192
const SIZED_KEY_BYTES_MAX = 512

export class ReadRequests {
  readonly #deps: ReadRequestsDeps
  readonly #small: ReadPacer
  readonly #large: ReadPacer
  /**
   * The sizes of entries that were too large for a read with a limit, by stored key. The next such read is answered
   * without the entry. A size may be out of date: whoever hears of it reads again with a limit above it.
   */
  readonly #sizes = new Map<string, number>()

  constructor(deps: ReadRequestsDeps) {
    this.#deps = deps
    const { clock, largeWork } = deps
    const read = (message: ReadMessage) => this.#answer(message)
    this.#small = new ReadPacer(clock, { turnBytesMax: SMALL_TURN_BYTES_MAX }, read)
    this.#large = new ReadPacer(clock, { turnBytesMax: LARGE_TURN_BYTES_MAX, largeWork }, read)
  }

  /** Answers the message, now or in a later turn of the event loop. */
  take(message: ReadMessage): void {
    const { bytesMax = Number.POSITIVE_INFINITY } = message
    if (bytesMax <= SMALL_ENVELOPE_MAX) this.#small.take(message)
    else this.#large.take(message)
  }

  /** Answers the reads that wait with STOPPED. */
  end(): void {
    this.#small.end()
    this.#large.end()
  }

  /** Answers the message. Returns the bytes that were read. */
  #answer(message: ReadMessage): number {
    const { key, bytesMax = Number.POSITIVE_INFINITY, reply } = message
    if (key.length > KEY_BYTES_MAX) {
      reply(new RingdError('KEY_TOO_LARGE'))
      return 0
    }
    const slot = slotOf(key)
    if (!this.#deps.fence.admits(message, slot)) return 0
    const stored = dataKey(slot, key)
    const known = this.#knownSize(stored, bytesMax)
    if (known !== undefined) {
      reply(new ValueLarger(known))
      return 0
    }
    const envelope = this.#read(key, stored)
    if (envelope instanceof RingdError) {
      reply(envelope)
      return 0
    }
    if (envelope !== undefined) this.#deps.memory.show(stored, envelope)
    reply(this.#limited(stored, this.withBound(slot, envelope), bytesMax))
    return envelope?.length ?? 0
  }

  #read(key: Bytes, stored: StoredKey): Envelope | undefined | RingdError {
    if (!this.#deps.isReadable()) return new RingdError('STORE_FAILED')
    try {
      return this.#deps.reader.get(key, stored)
    } catch (thrown) {
      return toRingdError(thrown)
    }
  }

  #limited(stored: StoredKey, result: ReadResult, bytesMax: number): ReadResult | ValueLarger {
    const envelope = isOwnerAnswer(result) ? result.envelope : result
    if (envelope === undefined || envelope.length <= bytesMax) return result
    this.#remember(stored, envelope.length)
    return new ValueLarger(envelope.length)
  }

  /** The size that is remembered, when it is above the limit. With a higher limit, the size is read anew. */
  #knownSize(stored: StoredKey, bytesMax: number): number | undefined {
    if (this.#sizes.size === 0 || bytesMax === Number.POSITIVE_INFINITY) return undefined
    const name = nameOf(stored)
    const size = this.#sizes.get(name)
    if (size !== undefined && size > bytesMax) return size
    this.#sizes.delete(name)
    return undefined
  }

  #remember(stored: StoredKey, size: number): void {
    if (stored.length > SIZED_KEY_BYTES_MAX) return
    if (this.#sizes.size >= SIZES_MAX) this.#sizes.clear()
    this.#sizes.set(nameOf(stored), size)
  }

  /**
   * The answer of a read: without garbage, and with the closed bound of the slot when no entry lies above it and this
   * member is complete. Such an answer says that this owner knows all that all owners agreed on below the bound.
   */
  withBound(slot: number, envelope: Envelope | undefined): ReadResult {
    const { bounds } = this.#deps
    const closed = bounds.closed[slot]!
    if (closed === 0 || (envelope !== undefined && !isBefore(versionOf(envelope), closed))) return envelope
    if (!this.#deps.fence.isComplete(slot)) return envelope
    return { envelope: envelope && bounds.isGarbage(slot, envelope) ? undefined : envelope, closed }
  }
}

function nameOf(stored: StoredKey): string {
  return asBuffer(stored).toString('latin1')
}
