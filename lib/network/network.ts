// The seam between actors and other peers: send a request to one peer, publish a rumor, know which peers are up.
// Owns the types that both adapters share (libp2p.ts and the network in memory of the simulator). Each implementation
// passes test/conformance/network.ts.
//
// Callers may rely on this: requests to one peer in one class are sent in order. The callback of a request is called
// exactly once, with an answer or an error, at the latest after the timeout. No request is ever sent twice.
import type { Bytes } from '../bytes.js'
import type { ErrorCode } from '../errors.js'
import { RingdError } from '../errors.js'
import type { PeerId } from '../member.js'
import type { Instance } from './instances.js'
import type { Right } from './secrets.js'
import type { Frame, Knowledge } from './wire.js'

/** Raised with each change of wire.proto that an older peer would misread. Peers of two versions refuse each other. */
export const WIRE_VERSION = 7

/** One long-lived stream per pair of peers and class, so that a bulk transfer never delays a ping or a small read. */
export type StreamClass = 'control' | 'operations' | 'bulk'
export const STREAM_CLASSES: readonly StreamClass[] = ['control', 'operations', 'bulk']

/** One message: exactly one field is set. */
export type Body = Omit<Frame, 'id' | 'answer'>

/** An answer, or an error: UNREACHABLE (no link), TIMEOUT, OVERLOADED (the queue is full), or the peer's refusal. */
export type Answer = Body | RingdError

/** A refusal with the knowledge that the asker lacks: with STALE_VIEW, BEHIND and NOT_OWNER. It is sent as it is. */
export class InformedRefusal extends RingdError {
  readonly knowledge: Knowledge

  constructor(code: ErrorCode, message: string, knowledge: Knowledge) {
    super(code, message)
    this.knowledge = knowledge
  }
}

/** Answers one request, at most once. An error is sent as a refusal: code and message, never a stack. */
export type Respond = (answer: Answer) => void

/** Serves the requests of one class. Must call `respond` once, also for a message that it does not know. */
export type RequestHandler = (from: Link, body: Body, respond: Respond) => void

/** Serves the requests of clients, which belong to no ring. `right` is what the secret of the client allows. */
export type ClientHandler = (right: Right, body: Body, respond: Respond) => void

/** The other end, from its hello. */
export interface Link {
  readonly peerId: PeerId
  /** Hex; '' while it belongs to no ring. */
  readonly ringId: string
  /** Hex; the member id: it names one life of the data directory of this peer. */
  readonly storeId: string
  /** The process that said this hello; left out where there is no wire between the two ends. */
  readonly instance?: Instance
  /** While it belongs to no ring: how many empty peers it waits for before one of them founds a ring. */
  readonly expects?: number
}

export type PeerEvent =
  /**
   * All three streams are open and have a hello. Also sent after a reconnect, perhaps with another storeId, and when
   * the peer introduces itself with another identity. While one end has an empty ring id, only control requests are
   * served; others get NOT_SERVING.
   */
  | { readonly type: 'up'; readonly link: Link }
  | { readonly type: 'down'; readonly peerId: PeerId; readonly reason: string }
  /**
   * The peer was reached, and one of the two refuses the other for good: WRONG_RING or WRONG_VERSION; or two processes
   * answer under its id: IDENTITY_TWICE.
   */
  | { readonly type: 'refused'; readonly peerId: PeerId; readonly error: RingdError }

/** One message of a block stream: a small head, and bytes that no encoder copies. Either may be empty. */
export interface BlockFrame {
  /** At most BLOCK_HEAD_BYTES_MAX. */
  readonly head: Bytes
  /** At most BLOCK_BODY_BYTES_MAX. Must not change once it was given to `sink`. */
  readonly body: Bytes
}

/** One end of a stream of frames with one member. It lives as long as the link of that peer at most. */
export interface BlockStream {
  /** The other end, as its link was when the stream was opened. */
  readonly from: Link
  /**
   * The frames of the other end, in order; to be read once. Throws UNREACHABLE when the stream or the link ends,
   * BAD_MESSAGE after malformed or too many bytes, OVERLOADED when this peer has no room for them, STOPPED, or the
   * error given to `abort`. The end comes at once: frames that were not read by then are lost.
   */
  readonly source: AsyncIterable<BlockFrame>
  /**
   * Sends the frames one after the other, each when the stream has room. Resolves at the end of `frames` when all is
   * handed to the stream; rejects like `source`. The stream stays open. It ends with BAD_REQUEST for a frame above the
   * limits, and when `frames` throws. One call at a time.
   */
  readonly sink: (frames: AsyncIterable<BlockFrame>) => Promise<void>
  /** Ends both directions at once; the other end sees UNREACHABLE. Idempotent, never throws. */
  abort(error: RingdError): void
}

export interface Network {
  readonly peerId: PeerId
  /** This start of this peer, as its hellos name it. */
  readonly instance: Instance
  /** The multiaddrs by which other peers reach this one, with /p2p/: announced ones, or those where it listens. */
  addresses(): readonly string[]

  /** Sets the identity in this peer's hellos, and sends it on open links too. Links to another ring are closed. */
  introduce(ringId: string, storeId: string): void

  /**
   * Sends `body`, which is copied at once. `done` is called exactly once, never before `request` returns. A refusal of
   * the peer is an error; with knowledge in it, it is an InformedRefusal.
   */
  request(to: PeerId, stream: StreamClass, body: Body, timeoutMs: number, done: (answer: Answer) => void): void
  /** Sets the handler of a class. Call it before `start`. */
  serve(stream: StreamClass, handler: RequestHandler): void

  /**
   * Opens a block stream to a peer that is up. `heldBytesMax`: bytes of frames that have arrived and were not read
   * from `source` yet (unfinished ones count); more ends the stream with BAD_MESSAGE, except that one frame is always
   * allowed when nothing else is held. So do more than 16384 frames. Throws UNREACHABLE, also while one of the two
   * belongs to no ring; OVERLOADED (two streams to this peer are open), STOPPED, TIMEOUT.
   */
  openBlocks(to: PeerId, heldBytesMax: number, timeoutMs: number): Promise<BlockStream>
  /**
   * Serves the block streams that other peers open: two of each connection, 64 of all peers. Call it before `start`. A
   * handler must not throw.
   */
  serveBlocks(heldBytesMax: number, handler: (stream: BlockStream) => void): void

  /** Sends a rumor of at most 64 KiB to all peers of the ring. It may be lost. Never throws. */
  publish(rumor: Uint8Array): void
  onRumor(listener: (from: PeerId, rumor: Uint8Array) => void): void
  /**
   * Sets which rumors are delivered and passed on. `from` has published and signed it; it is not always linked with
   * this peer. `admits` must be quick, and must not throw. Default: all.
   */
  admitRumors(admits: (from: PeerId, rumor: Uint8Array) => boolean): void

  onPeer(listener: (event: PeerEvent) => void): void
  /** The link to the peer; undefined when it is not up. */
  link(peerId: PeerId): Link | undefined

  /** Sets the peers to stay connected with, and their addresses. They are dialled for ever, with growing pauses. */
  keep(peers: ReadonlyMap<PeerId, readonly string[]>): void
  /**
   * Dials a kept peer that has an open link but is silent. The new connection replaces the old one when the peer says
   * hello on it. After a network cut, TCP waits as long as the cut has lasted before it sends again on an old
   * connection, up to two minutes. A new connection works within seconds.
   */
  redial(peerId: PeerId): void
  /**
   * Dials one multiaddr once. Resolves with the id of the peer when it is up.
   * Throws BAD_ADDRESS, OWN_ADDRESS (this peer itself answers there), UNREACHABLE, WRONG_RING, WRONG_VERSION,
   * WRONG_SECRET.
   */
  dial(address: string, timeoutMs: number): Promise<PeerId>

  start(): Promise<void>
  /** Refuses new requests, closes every link, and fails all pending requests with STOPPED. */
  stop(): Promise<void>
}
