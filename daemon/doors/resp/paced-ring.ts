// Decides for each operation of one connection whether it runs at once or in turn: an operation on a value that is
// large, or may be, waits in a lane of the door. Learns the sizes of values from what was read and written.
// Lies below the order of keys (key-order.ts), so an operation that waits here keeps its place.
// Invariant: a size is only expected, never known. A read that brings more than there is room for is dropped, and made
// again in its turn; so a wrong guess costs time and no memory.
import type { Bytes } from '../../../lib/bytes.js'
import { RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue } from '../../../lib/key-value.js'
import { KiB, VALUE_BYTES_MAX } from '../../../lib/limits.js'
import type { Lane, LaneUser } from './lane.js'
import { FIRST_BYTES, type Lanes, SMALL_BYTES_MAX } from './lanes.js'

/** The least that the second read is expected to bring, so that the number of reads at once grows step by step. */
const SECOND_BYTES = 16 * KiB
/** The least that a read is expected to bring. */
const VALUE_BYTES_LEAST = 512

export interface PacedRingDeps {
  readonly ring: KeyValue
  readonly user: LaneUser
  readonly lanes: Lanes
}

type FindReply = (result: Found | undefined | RingdError) => void

export class PacedRing implements KeyValue {
  readonly #ring: KeyValue
  readonly #user: LaneUser
  readonly #lanes: Lanes
  /** What the next read of an unknown key is expected to bring. It falls by an eighth with each reply. */
  #valueBytes = FIRST_BYTES
  #isFirst = true
  #unproven = 0

  constructor({ ring, user, lanes }: PacedRingDeps) {
    this.#ring = ring
    this.#user = user
    this.#lanes = lanes
  }

  /** The expected size of the next value that this connection reads. */
  get valueBytes(): number {
    return this.#valueBytes
  }

  /** A read of it waits because its value may be large, and the door is suspicious: it should begin no further one. */
  get isHeldBack(): boolean {
    return this.#unproven > 0 && this.#lanes.isSuspicious
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
    writes.run(this.#user, value.length, start, reply)
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
    writes.run(this.#user, expected, start, reply)
  }

  /** Is never made again, since it writes. */
  update(key: Bytes, consistency: Consistency, decide: Decide, reply: FindReply): void {
    const ask = (done: FindReply): void => this.#ring.update(key, consistency, decide, done)
    this.#pace({ key, ask, sizeOf: sizeOfFound, reply, isRepeatable: false })
  }

  #pace<T>(operation: Operation<T>): void {
    const { sizes, reads } = this.#lanes
    const known = sizes.get(operation.key)
    if (known > 0) this.#inTurn(reads, known, operation)
    else if (this.#isFirst) this.#first(operation)
    else if (this.#valueBytes > SMALL_BYTES_MAX) this.#inTurn(reads, this.#valueBytes, operation)
    else if (this.#lanes.mayBeLarge(operation.key)) this.#unprovenRead(operation)
    else operation.ask((result) => this.#settle(SMALL_BYTES_MAX, operation, result))
  }

  /** The first read of this connection. The door expects what the first reads of others brought lately. */
  #first<T>(operation: Operation<T>): void {
    const expected = () => this.#lanes.firstBytes
    const start = (ended: () => void): void => this.#startUnknown(expected(), operation, ended)
    this.#lanes.firsts.run(this.#user, expected, start, operation.reply)
  }

  #unprovenRead<T>(operation: Operation<T>): void {
    this.#unproven++
    const start = (ended: () => void): void => {
      this.#unproven--
      this.#startUnknown(SMALL_BYTES_MAX, operation, ended)
    }
    const refuse = (error: RingdError): void => {
      this.#unproven--
      operation.reply(error)
    }
    this.#lanes.unproven.run(this.#user, 1, start, refuse)
  }

  /** While the operation waited, another client may have learned that the value is large. */
  #startUnknown<T>(expected: number, operation: Operation<T>, ended: () => void): void {
    const known = this.#lanes.sizes.get(operation.key)
    if (known > 0) {
      this.#inTurn(this.#lanes.reads, known, operation)
      ended()
      return
    }
    operation.ask((result) => {
      this.#settle(expected, operation, result)
      ended()
    })
  }

  #inTurn<T>(lane: Lane, bytes: number, operation: Operation<T>): void {
    const start = (ended: () => void): void =>
      operation.ask((result) => {
        this.#settle(bytes, operation, result)
        ended()
      })
    lane.run(this.#user, bytes, start, operation.reply)
  }

  /** Replies; or makes the operation again in its turn, when it brought more than was expected and there is no room. */
  #settle<T>(expected: number, operation: Operation<T>, result: T | undefined | RingdError): void {
    const { key, sizeOf, reply, isRepeatable } = operation
    const bytes = result === undefined || result instanceof RingdError ? 0 : sizeOf(result)
    if (bytes > expected) this.#lanes.surprised(bytes)
    if (!(result instanceof RingdError)) this.#learn(key, bytes)
    else if (result.code === 'OVERLOADED') this.#beCareful()
    if (bytes <= Math.max(expected, SMALL_BYTES_MAX) || !isRepeatable || this.#lanes.hasRoom(bytes)) reply(result)
    else this.#inTurn(this.#lanes.reads, bytes, { ...operation, isRepeatable: false })
  }

  /** The ring has no memory for a read: its value may be as large as any. */
  #beCareful(): void {
    this.#valueBytes = VALUE_BYTES_MAX
    this.#isFirst = false
    this.#lanes.surprised(VALUE_BYTES_MAX)
  }

  #learn(key: Bytes, bytes: number): void {
    const before = this.#isFirst ? SECOND_BYTES : this.#valueBytes - (this.#valueBytes >> 3)
    this.#valueBytes = Math.max(bytes, VALUE_BYTES_LEAST, before)
    if (this.#isFirst) this.#lanes.learnFirst(bytes)
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
