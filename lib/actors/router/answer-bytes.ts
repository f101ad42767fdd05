// Counts the bytes of the entries that owners have answered to reads under way. Part of the router.
// Invariant: they are bounded. What is too much is refused when the answer comes, because only then its size is known;
// small entries are never refused, so that reads of them go on.

import { KiB, MiB } from '../../limits.js'
import type { Operation } from './operation.js'

const BYTES_MAX = 128 * MiB
const LARGE_BYTES = 64 * KiB

export class AnswerBytes {
  #bytes = 0

  /** Owners should be asked for no entry that may be large. */
  get isScarce(): boolean {
    return this.#bytes >= BYTES_MAX / 2
  }

  /** Counts an answer for the operation. False when there is no room for it. */
  take(operation: Operation, bytes: number): boolean {
    if (bytes > LARGE_BYTES && this.#bytes + bytes > BYTES_MAX) return false
    operation.answerBytes += bytes
    this.#bytes += bytes
    return true
  }

  /** The operation holds no answers any more. */
  forget(operation: Operation): void {
    this.#bytes -= operation.answerBytes
    operation.answerBytes = 0
  }
}
