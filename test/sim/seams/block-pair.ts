// Both ends of a block stream without bytes between them, for tests of what runs over it. Frames arrive in order, each
// after a delay. They are not encoded: network-memory.test.ts tests that.
import { type Pushable, pushable } from 'it-pushable'
import { RingdError } from '../../../lib/errors.js'
import type { BlockFrame, BlockStream, Link } from '../../../lib/network/network.js'

/** Sees each frame of one direction before it arrives. What it throws breaks the stream. */
export type Pass = (frame: BlockFrame) => BlockFrame

export interface BlockPairOptions {
  /** The peer that opens the stream, and the one that serves it. */
  readonly opener: Link
  readonly server: Link
  readonly delay: () => Promise<void>
  readonly toOpener?: Pass
  readonly toServer?: Pass
}

export function blockPair(options: BlockPairOptions): { readonly opened: BlockStream; readonly served: BlockStream } {
  const { opener, server, delay, toOpener = (frame) => frame, toServer = (frame) => frame } = options
  const intoOpener: Pushable<BlockFrame> = pushable({ objectMode: true })
  const intoServer: Pushable<BlockFrame> = pushable({ objectMode: true })
  const breakWith = (error: RingdError) => {
    for (const into of [intoOpener, intoServer]) into.end(error)
  }
  const abort = (_error: RingdError) => breakWith(new RingdError('UNREACHABLE', 'the stream was ended'))
  const sinkOf = (into: Pushable<BlockFrame>, pass: Pass) => async (frames: AsyncIterable<BlockFrame>) => {
    try {
      for await (const frame of frames) {
        await delay()
        into.push(pass(frame))
      }
    } catch (thrown) {
      breakWith(thrown as RingdError)
      throw thrown
    }
  }
  return {
    opened: { from: server, source: intoOpener, abort, sink: sinkOf(intoServer, toServer) },
    served: { from: opener, source: intoServer, abort, sink: sinkOf(intoOpener, toOpener) }
  }
}
