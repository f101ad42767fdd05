// The pull streams of this member: one to each source, opened when it is needed, and closed when nothing is pulled.
// Part of the migration actor.
import type { Clock } from '../../clock.js'
import type { Compression } from '../../compression.js'
import { RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import { isMemberAt, type PeerIds } from '../../network/member-link.js'
import type { Network } from '../../network/network.js'
import type { Paced } from './pace.js'
import { WINDOW_BYTES } from './pull-frames.js'
import { PullerStream } from './puller-stream.js'

export interface PullStreamsDeps {
  readonly clock: Clock
  readonly network: Pick<Network, 'link' | 'openBlocks'>
  readonly compression: Compression
  /** See PullerStreamDeps. */
  readonly pace?: Paced | undefined
}

/** Bytes that have arrived and are not read: a window of parts, and what belongs to them. */
const HELD_BYTES_MAX = WINDOW_BYTES + MiB
const OPEN_TIMEOUT_MS = 5000

export class PullStreams {
  readonly #deps: PullStreamsDeps
  readonly #open = new Map<MemberId, Promise<PullerStream>>()

  constructor(deps: PullStreamsDeps) {
    this.#deps = deps
  }

  /**
   * The stream to the member, which must be the one that answers at its peer: another life of that peer holds other
   * data. Throws UNREACHABLE, TIMEOUT, OVERLOADED.
   */
  to(member: MemberId, peerIds: PeerIds): Promise<PullerStream> {
    const known = this.#open.get(member)
    if (known !== undefined) return known
    const opening = this.#connect(member, peerIds)
    this.#open.set(member, opening)
    opening.catch(() => this.#forget(member, opening))
    return opening
  }

  /** Ends every stream, with the asks under way. */
  end(error: RingdError): void {
    for (const opening of [...this.#open.values()])
      opening.then(
        (stream) => stream.end(error),
        () => {}
      )
  }

  async #connect(member: MemberId, peerIds: PeerIds): Promise<PullerStream> {
    const { clock, network, compression, pace } = this.#deps
    const peerId = peerIds.get(member)
    if (peerId === undefined || !isMemberAt(network, peerId, member)) {
      throw new RingdError('UNREACHABLE', 'no link to the member')
    }
    const blocks = await network.openBlocks(peerId, HELD_BYTES_MAX, OPEN_TIMEOUT_MS)
    if (blocks.from.storeId !== member) {
      const error = new RingdError('UNREACHABLE', 'another member answers at the peer')
      blocks.abort(error)
      throw error
    }
    const stream: PullerStream = new PullerStream(
      { clock, compression, pace, onEnded: () => this.#forget(member, this.#open.get(member)) },
      blocks
    )
    return stream
  }

  #forget(member: MemberId, opening: Promise<PullerStream> | undefined): void {
    if (this.#open.get(member) === opening) this.#open.delete(member)
  }
}
