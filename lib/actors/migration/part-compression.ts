// Whether the parts of a pull stream are compressed: where that pays, and the puller can read it.
// Invariant: credit counts what a part holds, and not what it takes on the wire. So compressed parts take no more
// memory of the puller than others.
import type { Bytes } from '../../bytes.js'
import type { Compression } from '../../compression.js'

/** A compressed part must be shorter by this share, or it is sent as it is. */
const WORTH_SHARE = 0.9
/** Shorter parts are sent as they are. */
const LEAST_BYTES = 1024
/** After a part that was not worth it, so many are sent as they are; each time twice as many, up to the most. */
const SKIPPED_FIRST = 4
const SKIPPED_MAX = 64

export interface Packed {
  readonly body: Bytes
  /** The length of the part before it was compressed; 0: it is not compressed. */
  readonly holds: number
}

/** Of one stream. */
export class PartCompressor {
  readonly #compression: Compression
  #toSkip = 0
  #skips = SKIPPED_FIRST

  constructor(compression: Compression) {
    this.#compression = compression
  }

  async pack(part: Bytes): Promise<Packed> {
    const asItIs = { body: part, holds: 0 }
    if (part.length < LEAST_BYTES) return asItIs
    if (this.#toSkip > 0) {
      this.#toSkip -= 1
      return asItIs
    }
    const body = await this.#compression.compress(part)
    if (body.length <= part.length * WORTH_SHARE) {
      this.#skips = SKIPPED_FIRST
      return { body, holds: part.length }
    }
    this.#toSkip = this.#skips
    this.#skips = Math.min(SKIPPED_MAX, this.#skips * 2)
    return asItIs
  }
}
