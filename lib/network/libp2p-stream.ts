// Connects a libp2p stream to a link, of requests or of blocks: events of the stream become calls of the link, and
// calls of the link become calls of the stream. All knowledge about libp2p's streams is here.
import type { Stream } from '@libp2p/interface'
import { toRingdError } from '../errors.js'
import type { ByteStream, ByteStreamUser } from './link-options.js'

/** `attach` makes the link. When it throws, the stream is aborted. */
export function tie(stream: Stream, attach: (bytes: ByteStream) => ByteStreamUser): void {
  const bytes: ByteStream = {
    send: (packet) => stream.send(packet),
    // `pause` and `resume` throw on a stream that is ending; the link gets the end as an event.
    pause: () => void (stream.readStatus === 'readable' && stream.pause()),
    resume: () => void (stream.readStatus === 'paused' && stream.resume()),
    close: () => void stream.close().catch((thrown) => stream.abort(toRingdError(thrown))),
    abort: (error) => stream.abort(error),
    unsent: () => stream.writeBufferLength
  }
  let link: ByteStreamUser
  try {
    link = attach(bytes)
  } catch (thrown) {
    stream.abort(toRingdError(thrown))
    return
  }
  stream.addEventListener('message', ({ data }) => link.received(data))
  stream.addEventListener('drain', () => link.drained())
  stream.addEventListener('close', ({ error }) => link.ended(error?.message ?? 'the stream was closed'))
  stream.addEventListener('remoteCloseWrite', () => link.ended('the stream was closed by the peer'))
  // The other end may have refused the stream while it was still being opened. Then there is no event any more.
  if (stream.status !== 'open' || stream.remoteWriteStatus === 'closed') link.ended('the stream was closed by the peer')
}
