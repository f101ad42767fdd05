// The turns and the memory that all connections of the door share for values that are large, or may be.
// Owns the lanes, what is known about sizes, and how many bytes of replies may wait for clients to read them.
import type { Bytes } from '../../../lib/bytes.js'
import type { Clock } from '../../../lib/clock.js'
import type { LargeWork } from '../../../lib/large-work.js'
import { KiB, MiB } from '../../../lib/limits.js'
import { Lane } from './lane.js'
import { ValueSizes } from './value-sizes.js'

/** Values up to this size never wait for a turn. */
export const SMALL_BYTES_MAX = 64 * KiB
/** Memory of one operation while it runs: owners answer with copies of the value. */
const COPIES = 2
/**
 * The bytes of large operations that run at once: one of the largest values. Two at once would bring no more bytes in a
 * second, and make everybody else wait twice as long.
 */
const LARGE_BYTES_MAX = COPIES * 8 * MiB
/** An operation without reserved memory that met a value of this size makes the door suspicious. */
const SURPRISE_BYTES_MIN = MiB / 2
const SUSPICION_MS = 60_000
/**
 * Operations at once whose values may be large, and while the door is suspicious. It bounds the time that owners spend
 * on reading values that they do not send.
 */
const UNPROVEN_MAX = 64
const SUSPICIOUS_MAX = 16

export interface LanesOptions {
  /** The bytes of all replies that large reads may make wait. A client that holds a part may go on up to twice this. */
  readonly repliesMax: number
  /** The bytes of replies that wait now. */
  readonly replies: () => number
  /** No value near the key is larger. Infinity when it is unknown. */
  readonly largestNear: (key: Bytes) => number
  readonly largeWork: LargeWork
}

export class Lanes {
  /** Operations that read values which are large. */
  readonly reads: Lane
  /** Operations that only write such values. They wait for no read, since their clients hold memory already. */
  readonly writes: Lane
  /** Reads that are expected to bring small values and may bring large ones. */
  readonly unproven: Lane
  readonly sizes = new ValueSizes(SMALL_BYTES_MAX)
  readonly #options: LanesOptions
  readonly #clock: Clock
  #suspiciousUntilMs = 0

  constructor(clock: Clock, options: LanesOptions) {
    this.#clock = clock
    this.#options = options
    const { largeWork } = options
    const always = () => true
    const hasRoom = (bytes: number, isPart: boolean) => this.#hasRoom(bytes, isPart ? 2 : 1)
    this.unproven = new Lane(clock, { bytesMax: () => this.#unprovenMax(), copies: 1, hasRoom: always })
    this.reads = new Lane(clock, { bytesMax: LARGE_BYTES_MAX, copies: COPIES, hasRoom, largeWork })
    this.writes = new Lane(clock, { bytesMax: LARGE_BYTES_MAX, copies: COPIES, hasRoom: always, largeWork })
  }

  /** An operation has met a value of `bytes`, more than the memory reserved for it. */
  surprised(bytes: number): void {
    if (bytes >= SURPRISE_BYTES_MIN) this.#suspiciousUntilMs = this.#clock.elapsed() + SUSPICION_MS
  }

  /** Clients asked for large values lately that nobody knew: owners read those and send nothing, which takes time. */
  get isSuspicious(): boolean {
    return this.#suspiciousUntilMs > 0 && this.#clock.elapsed() < this.#suspiciousUntilMs
  }

  mayBeLarge(key: Bytes): boolean {
    return this.#options.largestNear(key) > SMALL_BYTES_MAX
  }

  get waiting(): number {
    return this.unproven.waiting + this.reads.waiting + this.writes.waiting
  }

  /** Refuses the operations that have waited too long. Returns how many. */
  expire(nowMs: number): number {
    const lanes = [this.unproven, this.reads, this.writes]
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
