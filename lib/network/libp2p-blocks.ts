// The part of the libp2p adapter between connections and PeerTable: a connection as the table knows it, and the
// protocol of block streams. Owns no state.
import type { Libp2p, Connection as Libp2pConnection } from '@libp2p/interface'
import type { Clock } from '../clock.js'
import { BLOCK_STREAMS_MAX } from './block-table.js'
import { PULL_PROTOCOL } from './libp2p-options.js'
import { tie } from './libp2p-stream.js'
import type { ByteStream, ByteStreamUser } from './link-options.js'
import { requireMember } from './member-services.js'
import type { Connection } from './peer-table.js'

export function connectionEnd(connection: Libp2pConnection, clock: Clock): Connection {
  return {
    peerId: connection.remotePeer.toString(),
    outgoing: connection.direction === 'outbound',
    // Not now: the connection may be telling its streams that it ends. Aborted within that, it would throw.
    abort: (error) => clock.defer(() => connection.abort(error)),
    async openBlocks(attach, signal) {
      tie(await connection.newStream(PULL_PROTOCOL, { signal }), attach)
    }
  }
}

/** Serves block streams to members. Call it before the node starts. */
export async function handleBlocks(
  node: Libp2p,
  attach: (connection: Libp2pConnection, bytes: ByteStream) => ByteStreamUser
): Promise<void> {
  await node.handle(
    PULL_PROTOCOL,
    (stream, connection) => {
      requireMember(connection)
      tie(stream, (bytes) => attach(connection, bytes))
    },
    { maxInboundStreams: BLOCK_STREAMS_MAX, maxOutboundStreams: BLOCK_STREAMS_MAX }
  )
}
