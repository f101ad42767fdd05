// A bounded queue of messages that is emptied as a whole. Owns the bound only: no scheduling, no clock.

export class Mailbox<M> {
  readonly #capacity: number
  #waiting: M[] = []

  /** `capacity` is the number of messages that may wait, at least 1. */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#waiting.length
  }

  /** Takes the message, or returns false when the mailbox is full. */
  push(message: M): boolean {
    if (this.#waiting.length >= this.#capacity) return false
    this.#waiting.push(message)
    return true
  }

  /** Takes the message even when the mailbox is full. Only for senders that limit their messages themselves. */
  force(message: M): void {
    this.#waiting.push(message)
  }

  /** All waiting messages, the oldest first. The mailbox is empty afterwards. */
  takeAll(): M[] {
    const batch = this.#waiting
    this.#waiting = []
    return batch
  }
}
