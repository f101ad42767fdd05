// The seam to compression. The system compresses off the main thread; the simulator at once, so that a run repeats.
import type { Bytes } from './bytes.js'

export interface Compression {
  /** May be longer than what it is given. */
  compress(bytes: Bytes): Promise<Bytes>
  /**
   * Throws BAD_MESSAGE unless the bytes are whole and make exactly `length` bytes. Allocates no more than about that,
   * whatever they would make.
   */
  decompress(bytes: Bytes, length: number): Promise<Bytes>
}
