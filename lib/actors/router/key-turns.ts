// Lets the operations of this router that change a key by what they find there go one after the other, key by key. Part
// of the router. Without it they would refuse each other's ballots. Nothing is unsafe without it: other peers do not
// know these turns.
// Operations that wait for one key become one, which makes all their decisions in a row and writes once. So a counter
// that many clients increment costs two round trips for many increments.
// Invariants: an operation is in one place, current or waiting; the waiting ones of a key are bounded.
// Source: rule A13 of lib/views/README.md.

import { toHex } from '../../bytes.js'
import { KiB } from '../../limits.js'
import { newOperation, type Operation } from './operation.js'

/** Operations that wait for one key. More are refused: each would wait for seconds. */
export const WAITING_MAX = 2048
/** Operations that become one. Each more makes the decision longer, in one turn of the event loop. */
export const TOGETHER_MAX = 256
/** The bytes of what they bring, together. */
const TOGETHER_BYTES_MAX = 256 * KiB

interface Turn {
  readonly name: string
  current: Operation
  waiting: Operation[]
}

export class KeyTurns {
  readonly #turns = new Map<string, Turn>()

  /** Takes the operation in. 'full': too many wait for the key, and this one is not taken. */
  enter(operation: Operation): 'begins' | 'waits' | 'full' {
    const name = toHex(operation.key)
    const turn = this.#turns.get(name)
    if (turn === undefined) {
      this.#turns.set(name, { name, current: operation, waiting: [] })
      return 'begins'
    }
    if (turn.waiting.length >= WAITING_MAX) return 'full'
    turn.waiting.push(operation)
    return 'waits'
  }

  /**
   * The operation has ended. Returns the one that begins now: one that has waited, or a new one in the place of several
   * (`members`), which end with it.
   */
  left(operation: Operation): Operation | undefined {
    const name = toHex(operation.key)
    const turn = this.#turns.get(name)
    if (turn === undefined) return undefined
    if (turn.current !== operation) {
      const at = turn.waiting.indexOf(operation)
      if (at !== -1) turn.waiting.splice(at, 1)
      return undefined
    }
    const next = takeNext(turn.waiting)
    if (next === undefined) this.#turns.delete(name)
    else turn.current = next
    return next
  }
}

function takeNext(waiting: Operation[]): Operation | undefined {
  const [first] = waiting
  if (first === undefined) return undefined
  let count = 1
  let bytes = first.bytes
  while (count < TOGETHER_MAX && waiting[count] !== undefined && isAlike(waiting[count]!, first)) {
    bytes += waiting[count]!.bytes
    if (bytes > TOGETHER_BYTES_MAX) break
    count += 1
  }
  const members = waiting.splice(0, count)
  return count === 1 ? first : together(members)
}

function isAlike(one: Operation, other: Operation): boolean {
  return one.consistency === other.consistency && one.bytesMax === other.bytesMax
}

/** One operation in the place of `members`. Its result is the list of theirs, in their order. */
function together(members: readonly Operation[]): Operation {
  const [{ key, consistency, bytesMax, startedAt }] = members as readonly [Operation]
  const isConditional = members.every((member) => member.isConditional)
  // Its decision is that of its members (`decisionOf`).
  const request = { key, decide: members[0]!.decide, consistency, bytesMax, isConditional, reply: () => {} }
  return { ...newOperation('update', request), members, startedAt }
}
