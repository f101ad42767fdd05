// Decides for each operation of one connection whether it runs at once or in turn: an operation on a value that is
// large, or may be, waits in a lane of the door. Learns the sizes of values from what was read and written.
// Lies below the order of keys (key-order.ts), so an operation that waits here keeps its place.
// Invariant: no operation brings more than a small value without memory reserved for it. One on a value whose size is
// unknown ends before the value is sent when it is large, and runs again in its turn, with the size that it learned.
import type { Bytes } from '../../../lib/bytes.js'
import { RingdError, ValueLarger } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue, UpdateOptions } from '../../../lib/key-value.js'
import { KiB, MiB, VALUE_BYTES_MAX } from '../../../lib/limits.js'
import type { Lane, LaneUser } from './lane.js'
import { type Lanes, SMALL_BYTES_MAX } from './lanes.js'

/** What reads are expected to bring before the first is answered, and at most after an answer with a small value. */
const FIRST_BYTES = MiB
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

  get(key: Bytes, consistency: Consistency, reply: Answer<Bytes>): void {
    if (!this.#isSmall(key)) return this.#pacedGet(key, consistency, reply)
    const done: Answer<Bytes> = (result) => {
      // Surprises are rare, and then the operation runs in its turn like any other.
      if (result instanceof ValueLarger) return this.#pacedGet(key, consistency, reply, result)
      if (!(result instanceof RingdError)) this.#learn(key, result === undefined ? 0 : result.length)
      reply(result)
    }
    this.#ring.get(key, consistency, done, SMALL_BYTES_MAX)
  }

  #pacedGet(key: Bytes, consistency: Consistency, reply: Answer<Bytes>, larger?: ValueLarger): void {
    const ask: Ask<Bytes> = (bytesMax, done) => this.#ring.get(key, consistency, done, bytesMax)
    const operation = { key, lane: this.#lanes.reads, ask, sizeOf: lengthOf, reply }
    if (larger === undefined) this.#pace(operation)
    else this.#settle(SMALL_BYTES_MAX, operation, larger)
  }

  /** The value is small as far as the door knows. */
  #isSmall(key: Bytes): boolean {
    return this.#lanes.sizes.get(key) === 0 && !this.#lanes.mayBeLarge(key)
  }

  find(key: Bytes, consistency: Consistency, reply: FindReply): void {
    const ask: Ask<Found> = (bytesMax, done) => this.#ring.find(key, consistency, done, bytesMax)
    this.#pace({ key, lane: this.#lanes.reads, ask, sizeOf: ({ value }) => value.length, reply })
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
    const ask: Ask<boolean> = (bytesMax, done) =>
      this.#ring.delete(key, consistency, done as (existed: boolean | RingdError) => void, bytesMax)
    const done = reply as Answer<boolean>
    this.#pace({ key, lane: this.#lanes.writes, ask, sizeOf: () => 0, reply: done })
  }

  /** Its size is that of the value that it finds or stores, whichever is larger: both are held meanwhile. */
  update<T>(
    key: Bytes,
    consistency: Consistency,
    decide: Decide<T>,
    reply: (result: T | RingdError) => void,
    options: UpdateOptions = {}
  ): void {
    let bytes = 0
    const noting: Decide<{ readonly result: T | RingdError }> = (found) => {
      const decision = decide(found)
      const { change } = decision
      const stored = change === undefined || change === 'delete' ? 0 : change.value.length
      bytes = Math.max(found?.value.length ?? 0, stored)
      // In an object: an error of the decision is no error of the ring, and says nothing about the size.
      return { change, result: { result: decision.result } }
    }
    const ask: Ask<{ readonly result: T | RingdError }> = (bytesMax, done) =>
      this.#ring.update(key, consistency, noting, done, { ...options, bytesMax })
    const answer: Answer<{ readonly result: T | RingdError }> = (result) =>
      reply(result === undefined || result instanceof RingdError ? (result as RingdError) : result.result)
    this.#pace({ key, lane: this.#lanes.reads, ask, sizeOf: () => bytes, reply: answer })
  }

  #pace<T>(operation: Operation<T>): void {
    const known = this.#lanes.sizes.get(operation.key)
    if (known > 0) this.#inTurn(known, operation)
    else if (this.#lanes.mayBeLarge(operation.key)) this.#unprovenRead(operation)
    else operation.ask(SMALL_BYTES_MAX, (result) => this.#settle(SMALL_BYTES_MAX, operation, result))
  }

  #unprovenRead<T>(operation: Operation<T>): void {
    this.#unproven++
    const start = (ended: () => void): void => {
      this.#unproven--
      this.#startUnproven(operation, ended)
    }
    const refuse = (error: RingdError): void => {
      this.#unproven--
      operation.reply(error)
    }
    this.#lanes.unproven.run(this.#user, 1, start, refuse)
  }

  /** While the operation waited, another client may have learned that the value is large. */
  #startUnproven<T>(operation: Operation<T>, ended: () => void): void {
    const known = this.#lanes.sizes.get(operation.key)
    if (known > 0) {
      this.#inTurn(known, operation)
      ended()
      return
    }
    operation.ask(SMALL_BYTES_MAX, (result) => {
      this.#settle(SMALL_BYTES_MAX, operation, result)
      ended()
    })
  }

  /** Waits until there is memory for a value of `bytes`. */
  #inTurn<T>(bytes: number, operation: Operation<T>): void {
    const start = (ended: () => void): void =>
      operation.ask(bytes, (result) => {
        this.#settle(bytes, operation, result)
        ended()
      })
    operation.lane.run(this.#user, bytes, start, operation.reply)
  }

  /** Replies; or runs the operation in its turn, when the value is larger than the memory reserved for it. */
  #settle<T>(reserved: number, operation: Operation<T>, result: T | undefined | RingdError): void {
    const { key, sizeOf, reply } = operation
    if (result instanceof ValueLarger && reserved < VALUE_BYTES_MAX) {
      const { size } = result
      this.#learn(key, size)
      this.#lanes.surprised(size)
      // A value that grows between two tries could keep the operation waiting for ever.
      this.#inTurn(reserved === SMALL_BYTES_MAX ? Math.min(size, VALUE_BYTES_MAX) : VALUE_BYTES_MAX, operation)
      return
    }
    if (!(result instanceof RingdError)) this.#learn(key, result === undefined ? 0 : sizeOf(result))
    reply(result)
  }

  #learn(key: Bytes, bytes: number): void {
    const before = Math.min(SECOND_BYTES, this.#valueBytes - (this.#valueBytes >> 3))
    this.#valueBytes = Math.max(bytes, VALUE_BYTES_LEAST, before)
    this.#lanes.sizes.set(key, bytes)
  }
}

function lengthOf(value: Bytes): number {
  return value.length
}

type Answer<T> = (result: T | undefined | RingdError) => void
/** Runs the operation; it brings no value of more than `bytesMax`. */
type Ask<T> = (bytesMax: number, done: Answer<T>) => void

interface Operation<T> {
  readonly key: Bytes
  /** Where it waits for memory when its value is large. */
  readonly lane: Lane
  readonly ask: Ask<T>
  readonly sizeOf: (value: T) => number
  readonly reply: Answer<T>
}
