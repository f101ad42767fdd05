// The seam between actors and other peers: ask one peer something, spread a rumor, know who is up.
// Owns the words that both adapters (libp2p.ts and the in-memory twin) share. Implementations pass test/conformance.
//
// What callers may rely on: requests to one peer in one class leave in order; a request's answer callback is called
// exactly once, with an answer or an error, at the latest when its time is over; nothing is ever resent by itself.
import type { ErrorCode } from '../errors.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Frame, Knowledge } from './wire.js'

/** Raised by any change of wire.proto that an older peer would misread. Peers of two versions refuse each other. */
export const WIRE_VERSION = 4

/** One long-lived stream per pair of peers and class, so that a bulk transfer never delays a ping or a small read. */
export type StreamClass = 'control' | 'operations' | 'bulk'
export const STREAM_CLASSES: readonly StreamClass[] = ['control', 'operations', 'bulk']

/** One message: exactly one field is set. */
export type Body = Omit<Frame, 'id' | 'answer'>

/** An answer, or why there is none: UNREACHABLE (no link), TIMEOUT, OVERLOADED (queue is full), or its refusal. */
export type Answer = Body | RingdError

/** A refusal that brings what the asker lacks: with STALE_VIEW, BEHIND and NOT_OWNER. Travels both ways as it is. */
export class InformedRefusal extends RingdError {
  readonly knowledge: Knowledge

  constructor(code: ErrorCode, message: string, knowledge: Knowledge) {
    super(code, message)
    this.knowledge = knowledge
  }
}

/** Answers one request, at most once. Errors travel as refusals: code and message, never a stack. */
export type Respond = (answer: Answer) => void

/** Serves the requests of one class. Must call `respond` once, also for messages that it does not understand. */
export type RequestHandler = (from: Link, body: Body, respond: Respond) => void

/** The other end, as its hello described it. */
export interface Link {
  readonly peerId: PeerId
  /** Hex; '' while it belongs to no ring. */
  readonly ringId: string
  /** Hex; the one life of the data directory that answers here. */
  readonly storeId: string
}

export type PeerEvent =
  /**
   * All classes are open and greeted. Again after a reconnect, perhaps with another storeId, and when the peer
   * introduces itself anew. While either end has an empty ring id only control requests are served, others get
   * NOT_SERVING.
   */
  | { readonly type: 'up'; readonly link: Link }
  | { readonly type: 'down'; readonly peerId: PeerId; readonly reason: string }
  /** The peer was reached, and refused or is refused for good: WRONG_RING or WRONG_VERSION. */
  | { readonly type: 'refused'; readonly peerId: PeerId; readonly error: RingdError }

export interface Network {
  readonly peerId: PeerId
  /** Multiaddrs under which this peer listens, with /p2p/. Empty before start. */
  addresses(): readonly string[]

  /** What this peer says in every hello from now on, also on open links; those whose ring differs are closed. */
  introduce(ringId: string, storeId: string): void

  /**
   * Sends `body`; `done` is called exactly once, never before `request` returns. `body` is copied at once.
   * The answer is an error also when the peer refused; it is an InformedRefusal when the refusal brought knowledge.
   */
  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void
  /** One handler per class; set before `start`. */
  serve(stream: StreamClass, handler: RequestHandler): void

  /** Tells everyone who listens, perhaps. At most 64 KiB. Never throws. */
  publish(rumor: Uint8Array): void
  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void

  onPeer(listener: (event: PeerEvent) => void): void
  /** The link to a peer that is up. */
  link(peerId: PeerId): Link | undefined

  /** Peers to stay connected with, by address: dialled for ever, with backoff. Replaces the former set. */
  keep(peers: ReadonlyMap<PeerId, readonly string[]>): void
  /**
   * A kept peer is linked and silent: dials it anew, with backoff, and lets the new connection take the place of the
   * old one when the peer greets on it. The old one stays until then. After a cut a connection waits for TCP, which
   * tries again after as long as the cut has lasted, up to two minutes; a new one is through in seconds.
   */
  redial(peerId: PeerId): void
  /**
   * Dials one multiaddr once. Resolves with the peer's id when it is up.
   * Throws BAD_ADDRESS, UNREACHABLE, WRONG_RING, WRONG_VERSION.
   */
  dial(address: string, timeoutMs: number): Promise<PeerId>

  start(): Promise<void>
  /** Answers nothing new, closes every link, fails what is pending with STOPPED. */
  stop(): Promise<void>
}
