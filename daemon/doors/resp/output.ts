// The replies of one connection on their way into its socket. Owns their order. Gives the socket a little at a time: so
// it shows whether the client reads, and a large value is not one write that either is done or is not.
import type { Socket } from 'node:net'
import type { Bytes } from '../../../lib/bytes.js'
import { KiB } from '../../../lib/limits.js'

/** The most that one write hands over, and that the socket holds besides the last one. */
const PIECE_BYTES_MAX = 256 * KiB

export class Output {
  readonly #socket: Socket
  #pieces: Bytes[] = []
  #at = 0
  #waitingBytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Bytes that the system has not taken yet. */
  get bytes(): number {
    return this.#waitingBytes + this.#socket.writableLength
  }

  /** Takes `pieces`, in order, without copying them. */
  send(pieces: readonly Bytes[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece)
      this.#waitingBytes += piece.length
    }
    this.pump()
  }

  /** Gives the socket as much as it should hold. Call it when the socket has drained. */
  pump(): void {
    const socket = this.#socket
    const isSeveral = this.#pieces.length - this.#at > 1
    if (isSeveral) socket.cork()
    while (this.#at < this.#pieces.length && socket.writableLength < PIECE_BYTES_MAX) {
      const piece = this.#pieces[this.#at]!
      const isLast = piece.length <= PIECE_BYTES_MAX
      if (isLast) this.#at++
      else this.#pieces[this.#at] = piece.subarray(PIECE_BYTES_MAX)
      const given = isLast ? piece : piece.subarray(0, PIECE_BYTES_MAX)
      this.#waitingBytes -= given.length
      socket.write(given)
    }
    if (isSeveral) socket.uncork()
    this.#pieces.splice(0, this.#at)
    this.#at = 0
  }

  /** Forgets what was not given to the socket. */
  drop(): void {
    this.#pieces = []
    this.#at = 0
    this.#waitingBytes = 0
  }
}
