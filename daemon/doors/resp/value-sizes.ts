// Remembers which keys held a large value when this door last read or wrote them. Only a hint: another peer may have
// written the key since. A fixed number of places, found by a hash of the key; a newer key takes the place of an older.
import type { Bytes } from '../../../lib/bytes.js'

/** Places. 64 Ki large values are more than 4 GiB of data. */
const PLACES = 1 << 16

export class ValueSizes {
  readonly #hashes = new Uint32Array(PLACES)
  readonly #sizes = new Uint32Array(PLACES)
  readonly #smallMax: number
  #count = 0

  /** A value of at most `smallMax` bytes is not remembered. */
  constructor(smallMax: number) {
    this.#smallMax = smallMax
  }

  /** The last known size of a large value; 0: it was small, or nothing is known. */
  get(key: Bytes): number {
    if (this.#count === 0) return 0
    const hash = hashOf(key)
    const place = hash & (PLACES - 1)
    return this.#hashes[place] === hash ? this.#sizes[place]! : 0
  }

  /** The key holds a value of `bytes`. Costs nothing while no value was ever large. */
  set(key: Bytes, bytes: number): void {
    const isLarge = bytes > this.#smallMax
    if (!isLarge && this.#count === 0) return
    const hash = hashOf(key)
    const place = hash & (PLACES - 1)
    if (!isLarge && this.#hashes[place] !== hash) return
    const before = this.#sizes[place]!
    this.#hashes[place] = hash
    this.#sizes[place] = isLarge ? bytes : 0
    this.#count += (isLarge ? 1 : 0) - (before > 0 ? 1 : 0)
  }
}

/** 32 bits of FNV-1a. Two keys with one hash share their place, which only makes an estimate wrong. */
function hashOf(key: Bytes): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193)
  return hash >>> 0
}
