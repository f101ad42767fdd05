// Paces reads of large entries: in one turn of the event loop at most some bytes of them are read, and the other
// reads wait for the next turn. The memory of an entry is freed between turns only, so a thousand reads of one turn
// would need memory for a thousand entries. Part of the replica.
// Invariant: each read is answered once, in the order of arrival; the number of reads that wait is bounded.

import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import { KiB, MiB } from '../../limits.js'
import type { ReadMessage } from './replica-messages.js'

const TURN_BYTES_MAX = 16 * MiB
/** A smaller entry costs less than what it would cost to count it. */
const COUNTED_BYTES_MIN = 64 * KiB
const WAITING_MAX = 16_384

/** Lets the reads of a replica pass. */
export class ReadPacer {
  readonly #clock: Clock
  readonly #read: (message: ReadMessage) => number
  #waiting: ReadMessage[] = []
  #spent = 0
  #isDue = false

  /** `read` answers a message and returns the size of the entry. */
  constructor(clock: Clock, read: (message: ReadMessage) => number) {
    this.#clock = clock
    this.#read = read
  }

  /** Answers the message, now or in a later turn. */
  take(message: ReadMessage): void {
    if (this.#waiting.length === 0 && this.#spent < TURN_BYTES_MAX) this.#serve(message)
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
    this.#clock.defer(() => this.#nextTurn())
  }

  #nextTurn(): void {
    this.#isDue = false
    this.#spent = 0
    const messages = this.#waiting
    this.#waiting = []
    let at = 0
    while (at < messages.length && this.#spent < TURN_BYTES_MAX) {
      const message = messages[at++]!
      if (message.isWanted?.() === false) message.reply(new RingdError('OVERLOADED'))
      else this.#serve(message)
    }
    this.#waiting = messages.slice(at).concat(this.#waiting)
  }
}
