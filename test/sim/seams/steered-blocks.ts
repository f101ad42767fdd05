// Block streams whose frames pass the filter of the hub. A frame that is held keeps those after it waiting, so the
// frames of a stream stay in order.
import type { Bytes } from '../../../lib/bytes.js'
import { RingdError } from '../../../lib/errors.js'
import type { PeerId } from '../../../lib/member.js'
import type { BlockFrame, BlockStream } from '../../../lib/network/network.js'

export interface FrameFilter {
  /**
   * Called before each frame of a block stream is sent, once the frames before it have passed. Calls `send` at once,
   * later or never; or `lose`, which ends the stream as a broken connection does. Left out: frames pass.
   */
  frame?(sent: SentFrame, send: () => void, lose: () => void): void
  /** What is sent in place of the frame. Left out: the frame itself. */
  alter?(sent: SentFrame, frame: BlockFrame): BlockFrame
}

export interface SentFrame {
  readonly from: PeerId
  readonly to: PeerId
  readonly head: Bytes
}

/** The stream of the peer `from`: each frame that it sends passes the filter that the hub has then. */
export function steered(
  hub: { readonly filter: FrameFilter | undefined },
  from: PeerId,
  stream: BlockStream
): BlockStream {
  const to = stream.from.peerId
  const pass = (frame: BlockFrame): Promise<BlockFrame> =>
    new Promise((resolve) => {
      const sent = { from, to, head: frame.head }
      const altered = hub.filter?.alter?.(sent, frame) ?? frame
      const lose = () => stream.abort(new RingdError('UNREACHABLE', 'the connection broke'))
      if (hub.filter?.frame === undefined) resolve(altered)
      else hub.filter.frame(sent, () => resolve(altered), lose)
    })
  return {
    from: stream.from,
    source: stream.source,
    sink: (frames) => stream.sink({ [Symbol.asyncIterator]: () => passing(frames[Symbol.asyncIterator](), pass) }),
    abort: (error) => stream.abort(error)
  }
}

/** The same frames, each when it has passed. `return` is never kept waiting by a frame that is held. */
function passing(
  frames: AsyncIterator<BlockFrame>,
  pass: (frame: BlockFrame) => Promise<BlockFrame>
): AsyncIterator<BlockFrame> {
  return {
    async next() {
      const result = await frames.next()
      return result.done === true ? result : { done: false, value: await pass(result.value) }
    },
    async return() {
      await frames.return?.()
      return { done: true, value: undefined }
    }
  }
}
