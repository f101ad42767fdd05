// Ties a libp2p stream to a link: events in, calls out. Knows how libp2p's streams behave; the link does not.
import type { Stream } from '@libp2p/interface'
import { toRingdError } from '../errors.js'
import type { ByteStream, StreamLink } from './stream-link.js'

/** `attach` makes the link. When it throws, the stream is aborted and nothing else happens. */
export function tie(stream: Stream, attach: (bytes: ByteStream) => StreamLink): void {
  const bytes: ByteStream = {
    send: (packet) => stream.send(packet),
    // Both throw on a stream that is ending, about which the link hears soon.
    pause: () => void (stream.readStatus === 'readable' && stream.pause()),
    resume: () => void (stream.readStatus === 'paused' && stream.resume()),
    close: () => void stream.close().catch((thrown) => stream.abort(toRingdError(thrown))),
    abort: (error) => stream.abort(error)
  }
  let link: StreamLink
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
}
