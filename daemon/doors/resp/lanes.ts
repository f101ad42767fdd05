// The turns and the memory that all connections of the door share for values that are large, or may be.
// Owns the lanes, what is known about sizes, and how many bytes of replies may wait for clients to read them.
import type { Bytes } from '../../../lib/bytes.js'
import type { Clock } from '../../../lib/clock.js'
import { KiB, MiB } from '../../../lib/limits.js'
import { Lane } from './lane.js'
import { ValueSizes } from './value-sizes.js'

/** Values up to this size never wait for a turn. */
export const SMALL_BYTES_MAX = 64 * KiB
/** What is reserved for a read of a connection that has read nothing yet, while such reads bring small values. */
export const FIRST_BYTES = MiB
/** Memory of one operation while it runs: owners answer with copies of the value. */
const COPIES = 2
/**
 * The bytes of large operations that run at once: one of the largest values. Two at once would bring no more bytes in a
 * second, and make everybody else wait twice as long.
 */
const LARGE_BYTES_MAX = COPIES * 8 * MiB
/** The same of the first reads of connections. */
const FIRSTS_BYTES_MAX = COPIES * 4 * FIRST_BYTES

/** A read that was expected to bring a small value, and brought this much, makes the door suspicious. */
const SURPRISE_BYTES_MIN = MiB / 2
const SUSPICION_MS = 60_000
/** Reads at once of values that are expected to be small and may be large; and while the door is suspicious. */
const UNPROVEN_MAX = 64
const SUSPICIOUS_MAX = 16

export interface LanesOptions {
  /** The bytes of all replies that large reads may make wait. A client that holds a part may go on up to twice this. */
  readonly repliesMax: number
  /** The bytes of replies that wait now. */
  readonly replies: () => number
  /** No value near the key is larger. Infinity when it is unknown. */
  readonly largestNear: (key: Bytes) => number
}

export class Lanes {
  /** The first read of each connection, whose size nobody can guess. */
  readonly firsts: Lane
  /** Operations that read values which are large. */
  readonly reads: Lane
  /** Operations that only write such values. They wait for no read, since their clients hold memory already. */
  readonly writes: Lane
  /** Reads that are expected to bring small values and may bring large ones. */
  readonly unproven: Lane
  readonly sizes = new ValueSizes(SMALL_BYTES_MAX)
  readonly #options: LanesOptions
  readonly #clock: Clock
  #firstBytes = FIRST_BYTES
  #suspiciousUntilMs = 0

  constructor(clock: Clock, options: LanesOptions) {
    this.#clock = clock
    this.#options = options
    const always = () => true
    const hasRoom = (bytes: number, isPart: boolean) => this.#hasRoom(bytes, isPart ? 2 : 1)
    this.firsts = new Lane(clock, { bytesMax: FIRSTS_BYTES_MAX, copies: COPIES, hasRoom: always })
    this.unproven = new Lane(clock, { bytesMax: () => this.#unprovenMax(), copies: 1, hasRoom: always })
    this.reads = new Lane(clock, { bytesMax: LARGE_BYTES_MAX, copies: COPIES, hasRoom })
    this.writes = new Lane(clock, { bytesMax: LARGE_BYTES_MAX, copies: COPIES, hasRoom: always })
  }

  /** What the first read of a connection is expected to bring. After a large one they run one at a time for a while. */
  get firstBytes(): number {
    return this.#firstBytes
  }

  /** The first read of some connection has brought `bytes`. */
  learnFirst(bytes: number): void {
    this.#firstBytes = Math.max(bytes, FIRST_BYTES, this.#firstBytes - (this.#firstBytes >> 3))
  }

  /** A read that was expected to bring a small value has brought `bytes`. */
  surprised(bytes: number): void {
    if (bytes >= SURPRISE_BYTES_MIN) this.#suspiciousUntilMs = this.#clock.elapsed() + SUSPICION_MS
  }

  /** A read brought a large value lately where a small one was expected: clients may want to fill the memory. */
  get isSuspicious(): boolean {
    return this.#suspiciousUntilMs > 0 && this.#clock.elapsed() < this.#suspiciousUntilMs
  }

  mayBeLarge(key: Bytes): boolean {
    return this.#options.largestNear(key) > SMALL_BYTES_MAX
  }

  get waiting(): number {
    return this.firsts.waiting + this.unproven.waiting + this.reads.waiting + this.writes.waiting
  }

  /** Whether replies may take `bytes` more. */
  hasRoom(bytes: number): boolean {
    return this.#hasRoom(bytes, 1)
  }

  /** Refuses the operations that have waited too long. Returns how many. */
  expire(nowMs: number): number {
    const lanes = [this.firsts, this.unproven, this.reads, this.writes]
    return lanes.reduce((sum, lane) => sum + lane.expire(nowMs), 0)
  }

  #unprovenMax(): number {
    return this.isSuspicious ? SUSPICIOUS_MAX : UNPROVEN_MAX
  }

  /** Beside the replies that wait there are those that large reads will bring. A single one may always be made. */
  #hasRoom(bytes: number, times: number): boolean {
    const taken = this.#options.replies() + this.reads.runningBytes
    return taken === 0 || taken + bytes <= times * this.#options.repliesMax
  }
}
