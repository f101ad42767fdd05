// Reads the numbers and strings of LevelDB's files one after the other. Pure.
// Invariant: never reads past the end. After the first read that fails, `isGood` is false, and all reads give 0 or
// nothing.
import { type Bytes, EMPTY_BYTES } from '../bytes.js'

/** Ten bytes hold 64 bits. Numbers in these files stay below 2^53. */
const VARINT_BYTES_MAX = 10
const SEVEN_BITS = 128

export class VarintReader {
  readonly #bytes: Bytes
  readonly #end: number
  at: number
  isGood = true

  constructor(bytes: Bytes, from = 0, end = bytes.length) {
    this.#bytes = bytes
    this.at = from
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.at >= this.#end
  }

  number(): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < VARINT_BYTES_MAX && this.at < this.#end; count++) {
      const byte = this.#bytes[this.at++]!
      value += (byte % SEVEN_BITS) * scale
      if (byte < SEVEN_BITS) {
        if (!Number.isSafeInteger(value)) this.isGood = false
        return this.isGood ? value : 0
      }
      scale *= SEVEN_BITS
    }
    this.isGood = false
    return 0
  }

  /** A view of the next `length` bytes. */
  bytes(length: number): Bytes {
    if (!this.isGood || length > this.#end - this.at) {
      this.isGood = false
      return EMPTY_BYTES
    }
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  /** A string: its length as a number, then its bytes. */
  string(): Bytes {
    return this.bytes(this.number())
  }
}
