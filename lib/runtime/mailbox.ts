// A bounded queue that is emptied in one go. Owns the bound, nothing else: no scheduling, no clock.

export class Mailbox<M> {
  readonly #capacity: number
  #waiting: M[] = []

  /** `capacity`: messages that may wait at once, at least 1. */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#waiting.length
  }

  /** False when it is full; the message was not taken. */
  push(message: M): boolean {
    if (this.#waiting.length >= this.#capacity) return false
    this.#waiting.push(message)
    return true
  }

  /** Takes the message even when full. Only for senders whose number of messages is bounded by themselves. */
  force(message: M): void {
    this.#waiting.push(message)
  }

  /** Everything that waits, oldest first; the mailbox is empty afterwards. */
  takeAll(): M[] {
    const batch = this.#waiting
    this.#waiting = []
    return batch
  }
}
