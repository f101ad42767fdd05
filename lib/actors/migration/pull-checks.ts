// What one pull notes while entries come: their order, their tally, and which promises are due. Part of the migration
// actor. Pure.
import { asBuffer, type Bytes, compareBytes, EMPTY_BYTES } from '../../bytes.js'
import { type BlockEntry, type BlockTally, tallyOf } from '../../entry/block.js'
import { asStoredKey, type StoredKey } from '../../entry/keys.js'
import { asVersion, type Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import type { StandingPromise } from '../replica/replica-messages.js'
import type { Answered } from './puller-stream.js'

/** The highest ballot that is due for each key. */
export class Due {
  readonly #due = new Map<string, StandingPromise>()

  raise(storedKey: StoredKey, ballot: Version): void {
    const name = asBuffer(storedKey).toString('latin1')
    const before = this.#due.get(name)
    if (before !== undefined && compareBytes(before.ballot, ballot) >= 0) return
    // The bytes of a block would keep all of it in memory.
    this.#due.set(name, {
      storedKey: asStoredKey(new Uint8Array(storedKey)),
      ballot: asVersion(new Uint8Array(ballot))
    })
  }

  all(): readonly StandingPromise[] {
    return [...this.#due.values()]
  }
}

/** Stored keys must ascend: so none comes twice. */
export class Order {
  #last: Bytes = EMPTY_BYTES

  next(key: Bytes): void {
    if (compareBytes(key, this.#last) <= 0) throw new RingdError('BAD_MESSAGE', 'the entries of a source do not ascend')
    this.#last = key
  }
}

/** What has come of one ask, to be compared with what the source says that it has sent. */
export class Tally {
  #count = 0
  #checksum = 0
  /** Of these, what is on disk here. Entries that a purge bound refuses, and oversized ones, are not. */
  #stored: BlockTally = { count: 0, checksum: 0 }

  get stored(): BlockTally {
    return this.#stored
  }

  store(entries: readonly BlockEntry[]): void {
    const { count, checksum } = tallyOf(entries)
    this.#stored = { count: this.#stored.count + count, checksum: (this.#stored.checksum + checksum) >>> 0 }
  }

  /** `announced`: how many entries the source says that the part holds. */
  add({ count, checksum }: BlockTally, announced: number): void {
    if (count !== announced) throw new RingdError('BAD_MESSAGE', `a part of ${announced} entries holds ${count}`)
    this.#count += count
    this.#checksum = (this.#checksum + checksum) >>> 0
  }

  check({ entries, checksum }: Answered): void {
    if (entries === this.#count && checksum === this.#checksum) return
    throw new RingdError('BAD_MESSAGE', `a source has sent ${entries} entries, and ${this.#count} have come`)
  }
}
