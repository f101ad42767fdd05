// Paces reads of large entries: in one turn of the event loop at most some bytes of them are read, and the other
// reads wait for the next turn. The memory of an entry is freed between turns only, so a thousand reads of one turn
// would need memory for a thousand entries. Turns of large work can be longer apart: then small reads of other pacers
// find room between them. Part of the replica.
// Invariant: each read is answered once, in the order of arrival; the number of reads that wait is bounded.

import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { LargeWork } from '../../large-work.js'
import { KiB } from '../../limits.js'
import type { ReadMessage } from './replica-messages.js'

/** A smaller entry costs less than what it would cost to count it. */
const COUNTED_BYTES_MIN = 64 * KiB
const WAITING_MAX = 16_384

export interface ReadPacerOptions {
  /** Bytes that are read in one turn. The last entry may exceed it. */
  readonly turnBytesMax: number
  /** Left out: each turn of the event loop is one. */
  readonly largeWork?: LargeWork | undefined
}

/** Lets reads of a replica pass. */
export class ReadPacer {
  readonly #clock: Clock
  readonly #options: ReadPacerOptions
  readonly #read: (message: ReadMessage) => number
  #waiting: ReadMessage[] = []
  #spent = 0
  #isDue = false

  /** `read` answers a message and returns the size of the entry. */
  constructor(clock: Clock, options: ReadPacerOptions, read: (message: ReadMessage) => number) {
    this.#clock = clock
    this.#options = options
    this.#read = read
  }

  /** Answers the message, now or in a later turn. */
  take(message: ReadMessage): void {
    if (this.#waiting.length === 0 && this.#spent < this.#options.turnBytesMax) this.#serve(message)
    else if (this.#waiting.length < WAITING_MAX) this.#waiting.push(message)
    else message.reply(new RingdError('OVERLOADED', 'too many reads wait for this replica'))
  }

  /** Answers the reads that wait with STOPPED. */
  end(): void {
    for (const { reply } of this.#waiting.splice(0)) reply(new RingdError('STOPPED'))
  }

  #serve(message: ReadMessage): void {
    const bytes = this.#read(message)
    if (bytes < COUNTED_BYTES_MIN) return
    this.#spent += bytes
    if (this.#isDue) return
    this.#isDue = true
    const { largeWork } = this.#options
    const next = (): boolean => this.#nextTurn()
    this.#clock.defer(largeWork === undefined ? next : () => largeWork.begin(next))
  }

  /** False when no read waits for the turn. */
  #nextTurn(): boolean {
    this.#isDue = false
    this.#spent = 0
    const messages = this.#waiting
    this.#waiting = []
    let at = 0
    while (at < messages.length && this.#spent < this.#options.turnBytesMax) {
      const message = messages[at++]!
      if (message.isWanted?.() === false) message.reply(new RingdError('OVERLOADED'))
      else this.#serve(message)
    }
    this.#waiting = messages.slice(at).concat(this.#waiting)
    return at > 0
  }
}
