// Reads entries of the store, checks each one, and puts them into bounded blocks.
// Invariant: a damaged entry is never passed on, and no answer lets another member believe that nothing is stored in
// its place. A question that touches it is refused with BAD_ENTRY until the entry is healed from its other owners.

import type { Bytes } from '../../bytes.js'
import { type Block, type BlockVersion, BlockWriter, type FetchedBlock } from '../../entry/block.js'
import { checkEnvelope, type Envelope, versionOf } from '../../entry/envelope.js'
import { asStoredKey, DATA_KEY_OVERHEAD, parseDataKey, type StoredKey, slotScan } from '../../entry/keys.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Counter } from '../../metrics.js'
import { SLOTS, type SlotRange, slotOf } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { Scan } from '../../storage/store.js'
import type { ScrubbedStretch, TakenBlock } from './replica-messages.js'
import { type EntryChunk, entryChunks, storedEnvelope } from './stored-entries.js'

export interface EntryReaderDeps {
  readonly store: Pick<GuardedStore, 'get' | 'scan'>
  readonly log: Logger
  /** Counts entries whose checksum failed. */
  readonly damaged: Counter
  /** Lets the entry of the key be healed. */
  readonly onDamaged: (key: Bytes) => void
}

export interface BlockRequest {
  readonly ranges: readonly SlotRange[]
  /** The last stored key of the block before; undefined: from the beginning. */
  readonly after: Bytes | undefined
  readonly versionsOnly: boolean
}

const BLOCK_BYTES_MAX = 1 * MiB
/** About 2000 versions: the member that compares them looks each up, all in one turn of its event loop. */
const VERSIONS_BYTES_MAX = MiB / 8
const SCAN_BYTES = BLOCK_BYTES_MAX / 4

/** Reads entries, and verifies the checksum of each. */
export class EntryReader {
  readonly #deps: EntryReaderDeps

  constructor(deps: EntryReaderDeps) {
    this.#deps = deps
  }

  /** The envelope stored for `key`, whose stored form is `storedKey`. Throws BAD_ENTRY. */
  get(key: Bytes, storedKey: StoredKey): Envelope | undefined {
    const envelope = storedEnvelope(this.#deps.store, storedKey)
    if (envelope !== undefined) this.check(key, envelope)
    return envelope
  }

  /**
   * The next block after `after`, from a snapshot taken now. Keeps at most one block in memory, beside what the scan
   * holds. Throws BAD_ENTRY.
   */
  async block(request: BlockRequest): Promise<Block & { readonly last: boolean }> {
    const writer = new BlockWriter(request.versionsOnly ? VERSIONS_BYTES_MAX : BLOCK_BYTES_MAX)
    const last = await this.#fillTo(writer, request)
    return { ...writer.finish(), last }
  }

  /** As `block`, of versions, with its tally. */
  async versions(request: Omit<BlockRequest, 'versionsOnly'>): Promise<TakenBlock & { readonly last: boolean }> {
    const writer = new BlockWriter(VERSIONS_BYTES_MAX)
    const last = await this.#fillTo(writer, { ...request, versionsOnly: true })
    return { ...writer.take(), last }
  }

  /** Fills the block; true when nothing is left behind it. */
  async #fillTo(writer: BlockWriter, { ranges, after, versionsOnly }: BlockRequest): Promise<boolean> {
    for (const { first, last } of ranges) {
      const { from, to } = slotScan(first, last)
      const begin = after === undefined || Buffer.compare(after, from) < 0 ? from : successor(after)
      if (Buffer.compare(begin, to) >= 0) continue
      if (!(await this.#fill(writer, begin, to, versionsOnly))) return false
    }
    return true
  }

  /**
   * All entries of the ranges behind `after`, in blocks of at most `bytesMax` or of one entry. Each range is read from
   * a snapshot of the moment when it is reached, if `refusal` has nothing against it then; `onScan` is told of it just
   * before. Keeps about two blocks in memory. Throws BAD_ENTRY, and what `refusal` returns.
   */
  async *blocks(
    { ranges, after }: Omit<BlockRequest, 'versionsOnly'>,
    bytesMax: number,
    refusal: () => RingdError | undefined,
    onScan: (range: SlotRange) => void
  ): AsyncGenerator<TakenBlock> {
    const writer = new BlockWriter(bytesMax)
    for (const { first, last } of ranges) {
      const { from, to } = slotScan(first, last)
      const begin = after === undefined || Buffer.compare(after, from) < 0 ? from : successor(after)
      if (Buffer.compare(begin, to) >= 0) continue
      const refused = refusal()
      if (refused !== undefined) throw refused
      onScan({ first, last })
      for await (const chunk of entryChunks(this.#deps.store.scan({ from: begin, to }), SCAN_BYTES)) {
        for (const [storedKey, envelope] of chunk) {
          this.check(storedKey.subarray(DATA_KEY_OVERHEAD), envelope)
          if (writer.add(storedKey, envelope)) continue
          yield writer.take()
          writer.add(storedKey, envelope)
        }
      }
    }
    if (!writer.isEmpty) yield writer.take()
  }

  /** Adds a part of the store to the block; false when the block is full before the end of the part. */
  async #fill(writer: BlockWriter, from: Bytes, to: Bytes, versionsOnly: boolean): Promise<boolean> {
    for await (const chunk of entryChunks(this.#deps.store.scan({ from, to }), SCAN_BYTES)) {
      for (const [storedKey, envelope] of chunk) {
        const key = storedKey.subarray(DATA_KEY_OVERHEAD)
        this.check(key, envelope)
        if (!writer.add(storedKey, versionsOnly ? versionOf(envelope) : envelope)) return false
      }
    }
    return true
  }

  /**
   * The stored keys of those versions that are newer than the entry stored here; a damaged entry counts as older than
   * any. `isKnown`: whether a version is so old that this member cannot lack it.
   */
  missing(versions: readonly BlockVersion[], isKnown: (slot: number, version: Version) => boolean): readonly Bytes[] {
    const lacked: StoredKey[] = []
    for (const { slot, key, dataKey: storedKey, version } of versions) {
      if (isKnown(slot, version)) continue
      const mine = this.sound(key, storedEnvelope(this.#deps.store, storedKey))
      if (mine === undefined || Buffer.compare(versionOf(mine), version) < 0) lacked.push(storedKey)
    }
    return lacked
  }

  /** Entries of the keys, in their order, as many as fit a block. Throws BAD_ENTRY; BAD_REQUEST for no stored key. */
  fetch(keys: readonly Bytes[]): FetchedBlock {
    const writer = new BlockWriter(BLOCK_BYTES_MAX)
    let taken = 0
    for (const bytes of keys) {
      const parsed = parseDataKey(bytes)
      if (parsed === undefined) throw new RingdError('BAD_REQUEST', 'not a stored key')
      const storedKey = asStoredKey(bytes)
      const envelope = this.get(parsed.key, storedKey)
      if (envelope !== undefined && !writer.add(storedKey, envelope)) break
      taken += 1
    }
    return { ...writer.finish(), taken }
  }

  /** Reads about `bytes` of entries behind a stored key, and lets the damaged ones be healed. */
  async scrub(after: Bytes | undefined, bytes: number): Promise<ScrubbedStretch> {
    const { from, to } = slotScan(0, SLOTS - 1)
    const begin = after === undefined ? from : successor(after)
    const found = await firstChunk(this.#deps.store.scan({ from: begin, to }), bytes)
    return {
      entries: found.length,
      bytes: found.reduce((sum, [storedKey, envelope]) => sum + storedKey.length + envelope.length, 0),
      damaged: found.filter(([storedKey, envelope]) => !this.#isStoredSound(storedKey, envelope)).length,
      reached: found.at(-1)?.[0]
    }
  }

  /** Whether any entry is stored in these slots. */
  async holds(ranges: readonly SlotRange[]): Promise<boolean> {
    for (const { first, last } of ranges) {
      const found = await firstChunk(this.#deps.store.scan(slotScan(first, last)), 1)
      if (found.length > 0) return true
    }
    return false
  }

  /** The envelope, unless there is none or it is damaged. */
  sound(key: Bytes, envelope: Envelope | undefined): Envelope | undefined {
    return envelope === undefined || this.isSound(key, envelope) ? envelope : undefined
  }

  /** Throws BAD_ENTRY when the envelope is damaged. */
  check(key: Bytes, envelope: Envelope): void {
    if (!this.isSound(key, envelope)) throw new RingdError('BAD_ENTRY')
  }

  /** False for a damaged envelope, which is counted, logged, and reported for healing. */
  isSound(key: Bytes, envelope: Envelope): boolean {
    if (checkEnvelope(key, envelope)) return true
    this.#deps.damaged.add()
    this.#deps.log.warn({ slot: slotOf(key) }, 'damaged entry')
    this.#deps.onDamaged(key)
    return false
  }

  #isStoredSound(storedKey: StoredKey, envelope: Envelope): boolean {
    return this.isSound(storedKey.subarray(DATA_KEY_OVERHEAD), envelope)
  }
}

/** The first entries of an open scan; none when it is empty. Closes the scan. */
async function firstChunk(scan: Scan, bytesMax: number): Promise<EntryChunk> {
  for await (const chunk of entryChunks(scan, bytesMax)) return chunk
  return []
}

/** The smallest key above `key`. */
function successor(key: Bytes): Bytes {
  return Buffer.concat([key, Uint8Array.of(0)])
}
