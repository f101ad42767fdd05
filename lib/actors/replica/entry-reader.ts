// Reads entries of the store for others: checked one by one, in bounded blocks. Part of the storage actor.
// Invariant: a damaged entry is never passed on, nor is anything said that would have others believe that nothing is
// stored in its place: whoever asks is refused with BAD_ENTRY, until the entry is healed from its other owners.

import type { Bytes } from '../../bytes.js'
import type { FetchedBlock } from '../../entry/block.js'
import { type Block, type BlockVersion, BlockWriter } from '../../entry/block.js'
import { checkEnvelope, versionOf, type Envelope } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, parseDataKey, slotScan } from '../../entry/keys.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Counter } from '../../metrics.js'
import { SLOTS, type SlotRange, slotOf } from '../../ring/slots.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { ScrubbedStretch } from './replica-messages.js'

export interface EntryReaderDeps {
  readonly store: GuardedStore
  readonly log: Logger
  /** Counts entries whose checksum failed. */
  readonly damaged: Counter
  /** Has the entry of the key healed. */
  readonly onDamaged: (key: Bytes) => void
}

export interface BlockRequest {
  readonly ranges: readonly SlotRange[]
  /** Go on after this stored key. */
  readonly after: Bytes | undefined
  readonly versionsOnly: boolean
}

const BLOCK_BYTES_MAX = 1 * MiB
/** Some 2000 versions: whoever compares them looks each up in one turn of its event loop. */
const VERSIONS_BYTES_MAX = MiB / 8
const SCAN_BYTES = BLOCK_BYTES_MAX / 4

export class EntryReader {
  readonly #deps: EntryReaderDeps

  constructor(deps: EntryReaderDeps) {
    this.#deps = deps
  }

  /** The envelope stored under `stored`, the stored form of `key`. Throws BAD_ENTRY. */
  get(key: Bytes, stored: Bytes): Bytes | undefined {
    const envelope = this.#deps.store.get(stored)
    if (envelope !== undefined && this.sound(key, envelope) === undefined) throw new RingdError('BAD_ENTRY')
    return envelope
  }

  /**
   * The next block after `after`, from a snapshot taken now. At most a block in memory, beside what the scan holds.
   * Throws BAD_ENTRY.
   */
  async block(request: BlockRequest): Promise<Block & { readonly last: boolean }> {
    const { ranges, after, versionsOnly } = request
    const writer = new BlockWriter(versionsOnly ? VERSIONS_BYTES_MAX : BLOCK_BYTES_MAX)
    for (const { first, last } of ranges) {
      const { from, to } = slotScan(first, last)
      const begin = after === undefined || Buffer.compare(after, from) < 0 ? from : successor(after)
      if (Buffer.compare(begin, to) >= 0) continue
      if (!(await this.#fill(writer, begin, to, versionsOnly))) return { ...writer.finish(), last: false }
    }
    return { ...writer.finish(), last: true }
  }

  /** Adds a stretch of the store to the block; false when the block is full before its end. */
  async #fill(writer: BlockWriter, from: Bytes, to: Bytes, versionsOnly: boolean): Promise<boolean> {
    const scan = this.#deps.store.scan({ from, to })
    try {
      for (;;) {
        const found = await scan.next(SCAN_BYTES)
        if (found.length === 0) return true
        for (const [stored, envelope] of found) {
          const key = stored.subarray(DATA_KEY_OVERHEAD)
          if (this.sound(key, envelope) === undefined) throw new RingdError('BAD_ENTRY')
          if (!writer.add(stored, versionsOnly ? versionOf(envelope) : envelope)) return false
        }
      }
    } finally {
      await scan.close()
    }
  }

  /**
   * The stored keys of those versions that are newer than what is here; damaged is older than anything. `isKnown`:
   * whether a version is so old that nothing of it can be missing.
   */
  missing(versions: readonly BlockVersion[], isKnown: (slot: number, version: Version) => boolean): readonly Bytes[] {
    const lacked: Bytes[] = []
    for (const { slot, key, dataKey: stored, version } of versions) {
      if (isKnown(slot, version)) continue
      const mine = this.sound(key, this.#deps.store.get(stored))
      if (mine === undefined || Buffer.compare(versionOf(mine), version) < 0) lacked.push(stored)
    }
    return lacked
  }

  /** Entries of the keys, in their order, as many as fit a block. Throws BAD_ENTRY; BAD_REQUEST for no stored key. */
  fetch(keys: readonly Bytes[]): FetchedBlock {
    const writer = new BlockWriter(BLOCK_BYTES_MAX)
    let taken = 0
    for (const stored of keys) {
      const parsed = parseDataKey(stored)
      if (parsed === undefined) throw new RingdError('BAD_REQUEST', 'not a stored key')
      const envelope = this.get(parsed.key, stored)
      if (envelope !== undefined && !writer.add(stored, envelope)) break
      taken += 1
    }
    return { ...writer.finish(), taken }
  }

  /** Looks at every entry of these slots. Throws BAD_ENTRY when one is damaged, after having all of them healed. */
  async verify(ranges: readonly SlotRange[]): Promise<undefined> {
    let damaged = 0
    for (const { first, last } of ranges) {
      const scan = this.#deps.store.scan(slotScan(first, last))
      try {
        for (let found = await scan.next(SCAN_BYTES); found.length > 0; found = await scan.next(SCAN_BYTES)) {
          for (const [stored, envelope] of found) {
            if (this.sound(stored.subarray(DATA_KEY_OVERHEAD), envelope) === undefined) damaged += 1
          }
        }
      } finally {
        await scan.close()
      }
    }
    if (damaged > 0) throw new RingdError('BAD_ENTRY', `${damaged} entries are damaged here`)
    return undefined
  }

  /** Looks at some `bytes` of entries behind a stored key, and has the damaged ones healed. */
  async scrub(after: Bytes | undefined, bytes: number): Promise<ScrubbedStretch> {
    const { from, to } = slotScan(0, SLOTS - 1)
    const scan = this.#deps.store.scan({ from: after === undefined ? from : successor(after), to })
    try {
      const found = await scan.next(bytes)
      const isDamaged = ([stored, envelope]: readonly [Bytes, Bytes]) =>
        this.sound(stored.subarray(DATA_KEY_OVERHEAD), envelope) === undefined
      return {
        entries: found.length,
        bytes: found.reduce((sum, [stored, envelope]) => sum + stored.length + envelope.length, 0),
        damaged: found.filter(isDamaged).length,
        reached: found.at(-1)?.[0]
      }
    } finally {
      await scan.close()
    }
  }

  /** Whether anything is stored in these slots. */
  async holds(ranges: readonly SlotRange[]): Promise<boolean> {
    for (const { first, last } of ranges) {
      const scan = this.#deps.store.scan(slotScan(first, last))
      try {
        if ((await scan.next(1)).length > 0) return true
      } finally {
        await scan.close()
      }
    }
    return false
  }

  /** The envelope, unless it is damaged: that is counted and logged. */
  sound(key: Bytes, envelope: Envelope | undefined): Bytes | undefined {
    if (envelope === undefined || checkEnvelope(key, envelope)) return envelope
    this.#deps.damaged.add()
    this.#deps.log.warn({ slot: slotOf(key) }, 'damaged entry')
    this.#deps.onDamaged(key)
    return undefined
  }
}

/** The smallest key above `key`. */
function successor(key: Bytes): Bytes {
  return Buffer.concat([key, Uint8Array.of(0)])
}
