// Decides for each operation of one connection whether it runs at once or in turn: an operation on a value that is large,
// or may be, waits in a lane of the door. Learns the sizes of values from what was read and written.
// Lies below the order of keys (key-order.ts), so an operation that waits here keeps its place.
// Invariant: a size is only expected, never known. A read that brings more than there is room for is dropped, and made
// again in its turn; so a wrong guess costs time and no memory.
import type { Bytes } from '../../../lib/bytes.js'
import { RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue } from '../../../lib/key-value.js'
import { KiB, MiB } from '../../../lib/limits.js'
import type { Lane, LaneUser } from './lane.js'
import type { ValueSizes } from './value-sizes.js'

/** Values up to this size never wait for a turn. */
export const SMALL_BYTES_MAX = 64 * KiB
/** What is reserved for a read of a connection that has read nothing yet: one of them runs at a time. */
export const FIRST_BYTES = MiB
/** The least that the second read is expected to bring, so that the number of reads at once grows step by step. */
const SECOND_BYTES = 16 * KiB
/** The least that a read is expected to bring. */
const VALUE_BYTES_LEAST = 512
/** Memory of one operation while it runs: owners answer with copies of the value. */
const COPIES = 2

export interface PacedRingDeps {
  readonly ring: KeyValue
  readonly user: LaneUser
  readonly lanes: Lanes
}

/** The turns and the memory that all connections of the door share. */
export interface Lanes {
  /** The first read of each connection, whose size nobody can guess. */
  readonly firsts: Lane
  /** Operations that read values which are large. */
  readonly reads: Lane
  /** Operations that only write such values. They wait for no read, since their clients hold memory already. */
  readonly writes: Lane
  readonly sizes: ValueSizes
  /** Whether replies of all clients may take `bytes` more. */
  hasRoom(bytes: number): boolean
}

type FindReply = (result: Found | undefined | RingdError) => void

export class PacedRing implements KeyValue {
  readonly #ring: KeyValue
  readonly #user: LaneUser
  readonly #lanes: Lanes
  /** What the next read of an unknown key is expected to bring. It falls by an eighth with each reply. */
  #valueBytes = FIRST_BYTES
  #isFirst = true

  constructor({ ring, user, lanes }: PacedRingDeps) {
    this.#ring = ring
    this.#user = user
    this.#lanes = lanes
  }

  /** The expected size of the next value that this connection reads. */
  get valueBytes(): number {
    return this.#valueBytes
  }

  get(key: Bytes, consistency: Consistency, reply: (result: Bytes | undefined | RingdError) => void): void {
    const ask = (done: typeof reply): void => this.#ring.get(key, consistency, done)
    this.#pace({ key, ask, sizeOf: sizeOfBytes, reply, isRepeatable: true })
  }

  find(key: Bytes, consistency: Consistency, reply: FindReply): void {
    const ask = (done: FindReply): void => this.#ring.find(key, consistency, done)
    this.#pace({ key, ask, sizeOf: sizeOfFound, reply, isRepeatable: true })
  }

  put(
    key: Bytes,
    value: Bytes,
    consistency: Consistency,
    reply: (result: undefined | RingdError) => void,
    expiresAtMs?: number
  ): void {
    const { sizes, writes } = this.#lanes
    sizes.set(key, value.length)
    if (value.length <= SMALL_BYTES_MAX) {
      this.#ring.put(key, value, consistency, reply, expiresAtMs)
      return
    }
    const start = (ended: () => void): void => {
      const done = (result: undefined | RingdError): void => {
        reply(result)
        ended()
      }
      this.#ring.put(key, value, consistency, done, expiresAtMs)
    }
    writes.run(this.#user, COPIES * value.length, start, reply)
  }

  /** The owners answer with the value before they delete it, but it does not come here. */
  delete(key: Bytes, consistency: Consistency, reply: (existed: boolean | RingdError) => void): void {
    const { sizes, writes } = this.#lanes
    const expected = sizes.get(key)
    if (expected === 0) {
      this.#ring.delete(key, consistency, reply)
      return
    }
    const start = (ended: () => void): void => {
      this.#ring.delete(key, consistency, (result) => {
        if (!(result instanceof RingdError)) sizes.set(key, 0)
        reply(result)
        ended()
      })
    }
    writes.run(this.#user, COPIES * expected, start, reply)
  }

  /** Is never made again, since it writes. */
  update(key: Bytes, consistency: Consistency, decide: Decide, reply: FindReply): void {
    const ask = (done: FindReply): void => this.#ring.update(key, consistency, decide, done)
    this.#pace({ key, ask, sizeOf: sizeOfFound, reply, isRepeatable: false })
  }

  #pace<T>(operation: Operation<T>): void {
    const { sizes, firsts, reads } = this.#lanes
    const known = sizes.get(operation.key)
    if (known > 0) this.#inTurn(reads, known, operation)
    else if (this.#isFirst) this.#inTurn(firsts, FIRST_BYTES, operation)
    else if (this.#valueBytes > SMALL_BYTES_MAX) this.#inTurn(reads, this.#valueBytes, operation)
    else operation.ask((result) => this.#settle(SMALL_BYTES_MAX, operation, result))
  }

  #inTurn<T>(lane: Lane, bytes: number, operation: Operation<T>): void {
    const start = (ended: () => void): void =>
      operation.ask((result) => {
        this.#settle(bytes, operation, result)
        ended()
      })
    lane.run(this.#user, COPIES * bytes, start, operation.reply)
  }

  /** Replies; or makes the operation again in its turn, when it brought more than was expected and there is no room. */
  #settle<T>(expected: number, operation: Operation<T>, result: T | undefined | RingdError): void {
    const { key, sizeOf, reply, isRepeatable } = operation
    const bytes = result === undefined || result instanceof RingdError ? 0 : sizeOf(result)
    if (!(result instanceof RingdError)) this.#learn(key, bytes)
    if (bytes <= Math.max(expected, SMALL_BYTES_MAX) || !isRepeatable || this.#lanes.hasRoom(bytes)) reply(result)
    else this.#inTurn(this.#lanes.reads, bytes, { ...operation, isRepeatable: false })
  }

  #learn(key: Bytes, bytes: number): void {
    const before = this.#isFirst ? SECOND_BYTES : this.#valueBytes - (this.#valueBytes >> 3)
    this.#valueBytes = Math.max(bytes, VALUE_BYTES_LEAST, before)
    this.#isFirst = false
    this.#lanes.sizes.set(key, bytes)
  }
}

type Answer<T> = (result: T | undefined | RingdError) => void

interface Operation<T> {
  readonly key: Bytes
  readonly ask: (done: Answer<T>) => void
  readonly sizeOf: (value: T) => number
  readonly reply: Answer<T>
  /** It only reads. */
  readonly isRepeatable: boolean
}

function sizeOfBytes(value: Bytes): number {
  return value.length
}

function sizeOfFound({ value }: Found): number {
  return value.length
}
