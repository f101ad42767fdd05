// What a link needs from outside, and its bounds: see stream-link.ts.
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { RingdError } from '../errors.js'
import type { LargeWork } from '../large-work.js'
import { KiB, MiB } from '../limits.js'
import type { Logger } from '../logger.js'
import type { Counter } from '../metrics.js'
import type { AnswerLanes } from './answer-lanes.js'
import type { ByteBudget } from './byte-budget.js'
import type { Hlc } from './outbox.js'
import { VALUE_PACKET_BYTES_MAX } from './packet-writer.js'
import { STALL_MS } from './stall-watch.js'

/** The part of a stream that a link needs. The adapter calls the methods of ByteStreamUser of the link. */
export interface ByteStream {
  /** False: wait for `drained` before the next send. May throw when the stream has ended. */
  send(bytes: Bytes): boolean
  /** From `pause` until `resume` returns, only bytes arrive that were already under way. */
  pause(): void
  resume(): void
  /** Delivers the bytes that were sent, then ends. */
  close(): void
  abort(error: RingdError): void
  /** Bytes that were sent and that the stream still holds. Left out: the stream holds none. */
  unsent?(): number
}

/** What uses a byte stream: its adapter calls these, and they never throw. */
export interface ByteStreamUser {
  received(chunk: Uint8Array | Uint8ArrayList): void
  /** The stream takes bytes again. */
  drained(): void
  /** The stream ended, though this side did not end it. */
  ended(reason: string): void
}

export interface LinkDeps {
  readonly clock: Clock
  readonly hlc: Hlc
  readonly log: Logger
  /** The turns of large packets and answers, for all links of a process. Left out: they never wait. */
  readonly largeWork?: LargeWork | undefined
}

export interface LinkOptions {
  /** In both directions. */
  readonly packetBytesMax: number
  /** Requests are refused with NOT_SERVING unless both ends belong to the ring. */
  readonly ringRequired: boolean
  /** Bytes that wait to be sent. With more, a request fails with OVERLOADED. */
  readonly queuedBytesMax?: number
  /** Requests that wait for an answer. With more, a request fails with OVERLOADED. */
  readonly pendingMax?: number
  /** Requests of the other end in service, and their bytes. With more, the stream is paused until half are answered. */
  readonly servedMax?: number
  readonly servedBytesMax?: number
  /** Requests of the other end that begin in a second; the others wait. 0: as many as come. */
  readonly requestsPerSecond?: number
  readonly helloTimeoutMs?: number
  /**
   * Bytes of answers that wait to be sent at which the link stops to read. Only for a link on which this side sends no
   * requests: two ends that wait for each other to read would wait for ever. Default: it reads on, and refuses.
   */
  readonly answersQueuedMax?: number
  /** Bytes of a large packet that are read in one turn of large work, unless answers to this end are awaited. */
  readonly pieceBytes?: number
  /** See stall-watch.ts. 0: no limit for the other end to read. A packet that has begun always has one. */
  readonly readStallMs?: number
  /** Counts the bytes that arrive. */
  readonly received?: Counter
  /** The account of all links of a port. */
  readonly budget?: ByteBudget
  /** The turns of reads, for links of clients. */
  readonly lanes?: AnswerLanes
}

/** The largest packet before the hello: for the hello and a few small messages of the same turn. */
export const FIRST_PACKET_BYTES_MAX = 4 * KiB

/** The options of a client's stream, at both ends. */
export const CLIENT_LINK_OPTIONS: LinkOptions = { packetBytesMax: VALUE_PACKET_BYTES_MAX, ringRequired: false }

/** Bytes of answers that a client has not read, at which this peer reads no more of its requests. */
const CLIENT_UNREAD_BYTES_MAX = MiB
/** Bytes of requests of one client in service. The largest request has a little more than 8 MiB. */
const CLIENT_SERVED_BYTES_MAX = 16 * MiB

/** The options of a peer's end of a client's stream. The port has one budget and one set of lanes for all of them. */
export function servedClientOptions(budget: ByteBudget, lanes: AnswerLanes): LinkOptions {
  return {
    ...CLIENT_LINK_OPTIONS,
    servedBytesMax: CLIENT_SERVED_BYTES_MAX,
    answersQueuedMax: CLIENT_UNREAD_BYTES_MAX,
    readStallMs: STALL_MS,
    budget,
    lanes
  }
}

/** A link that holds less goes on, whatever the other links of its peer hold: pings pass by large values. */
export const LITTLE_BYTES = 64 * KiB

/** What is used where an option is left out. */
export const LINK_DEFAULTS = {
  queuedBytesMax: 64 * MiB,
  pendingMax: 16384,
  servedMax: 4096,
  servedBytesMax: 64 * MiB,
  helloTimeoutMs: 5000,
  answersQueuedMax: Number.POSITIVE_INFINITY,
  pieceBytes: 256 * KiB,
  requestsPerSecond: 0,
  readStallMs: 0
}
