// The messages that the fence holds until a newer view is known. Part of the fence. Bounded in messages and in bytes,
// for each peer and for all, so that peers which name views that do not exist fill only their own share.

import { MiB } from '../../limits.js'
import type { PeerId } from '../../member.js'

/** What is held at once. One message of a peer always fits its share. */
const HELD_OF_PEER = { messages: 4096, bytes: 16 * MiB }
const HELD_OF_ALL = { messages: 10_000, bytes: 64 * MiB }

interface Held<M> {
  readonly message: M
  /** Undefined for this peer's own actors. */
  readonly peer: PeerId | undefined
  readonly bytes: number
  /** Monotonic ms. */
  readonly deadline: number
}

interface Sum {
  messages: number
  bytes: number
}

export class HeldMessages<M> {
  #held: Held<M>[] = []
  readonly #ofAll: Sum = { messages: 0, bytes: 0 }
  readonly #ofPeer = new Map<PeerId | undefined, Sum>()

  get size(): number {
    return this.#held.length
  }

  /** Whether a message of this peer is held. */
  holds(peer: PeerId | undefined): boolean {
    return this.#ofPeer.has(peer)
  }

  /** When the first message must be answered; undefined when none is held. Deadlines never fall. */
  get firstDeadline(): number | undefined {
    return this.#held[0]?.deadline
  }

  /** False, and nothing held, when there is no room for it. */
  add(held: Held<M>): boolean {
    const sum = this.#ofPeer.get(held.peer) ?? { messages: 0, bytes: 0 }
    const isFirst = sum.messages === 0 && this.#ofAll.messages < HELD_OF_ALL.messages
    if (!isFirst && !(hasRoom(sum, held.bytes, HELD_OF_PEER) && hasRoom(this.#ofAll, held.bytes, HELD_OF_ALL))) {
      return false
    }
    this.#ofPeer.set(held.peer, sum)
    this.#count(sum, held.bytes, 1)
    this.#held.push(held)
    return true
  }

  /** Takes the messages for which `isDue` holds, in their order. */
  take(isDue: (message: M, deadline: number) => boolean): readonly M[] {
    const due = this.#held.filter(({ message, deadline }) => isDue(message, deadline))
    if (due.length === 0) return []
    const taken = new Set(due)
    this.#held = this.#held.filter((held) => !taken.has(held))
    for (const { peer, bytes } of due) {
      const sum = this.#ofPeer.get(peer)!
      this.#count(sum, -bytes, -1)
      if (sum.messages === 0) this.#ofPeer.delete(peer)
    }
    return due.map(({ message }) => message)
  }

  #count(sum: Sum, bytes: number, messages: number): void {
    for (const each of [sum, this.#ofAll]) {
      each.bytes += bytes
      each.messages += messages
    }
  }
}

function hasRoom(sum: Sum, bytes: number, limit: Sum): boolean {
  return sum.messages < limit.messages && sum.bytes + bytes <= limit.bytes
}
