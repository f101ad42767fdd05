// Every setting of the libp2p stack, and why it is not the default.
// All peers must share the yamux windows: they are not negotiated.
import { type GossipSub, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Libp2pOptions } from 'libp2p'
import { KiB, MiB } from '../limits.js'
import type { PrivateKey } from './identity.js'
import type { StreamClass } from './network.js'

export interface Services extends Record<string, unknown> {
  readonly identify: Identify
  readonly gossip: GossipSub
}

export const PROTOCOLS: Readonly<Record<StreamClass, string>> = {
  control: '/ringd/control/1.0.0',
  operations: '/ringd/operations/1.0.0',
  bulk: '/ringd/bulk/1.0.0'
}
export const CLIENT_PROTOCOL = '/ringd/client/1.0.0'

/** Rumors of one ring. */
export function rumorTopic(ringId: string): string {
  return `/ringd/rumors/1/${ringId}`
}

export const RUMOR_BYTES_MAX = 64 * KiB

/** Large enough that a block of a transfer does not wait for window updates half way. */
const WINDOW_BYTES = MiB
/** At most half of the read buffer: a paused reader receives up to a window; beyond the buffer the stream is reset. */
const WINDOW_BYTES_MAX = 4 * MiB
const READ_BUFFER_BYTES = 8 * MiB
/** Peers, and clients over libp2p. */
const CONNECTIONS_MAX = 4096

/** What daemons and clients have in common: TCP, noise, yamux. */
export function transportOptions(privateKey: PrivateKey): Libp2pOptions {
  return {
    privateKey,
    start: false,
    // A quiet link is no dead link: the failure detector decides that.
    transports: [
      tcp({
        inboundSocketInactivityTimeout: 0,
        outboundSocketInactivityTimeout: 0,
        dialOpts: { noDelay: true, keepAlive: true },
        listenOpts: { noDelay: true, keepAlive: true }
      })
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        streamOptions: {
          initialStreamWindowSize: WINDOW_BYTES,
          maxStreamWindowSize: WINDOW_BYTES_MAX,
          maxReadBufferLength: READ_BUFFER_BYTES,
          inactivityTimeout: 0
        }
      })
    ],
    // Its ping aborts a connection after one failure. The failure detector looks further.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: CONNECTIONS_MAX,
      // Whoever redials is the dialer, with addresses of its own.
      reconnectRetries: 0,
      // Many peers share one address on a test machine or behind one gateway.
      inboundConnectionThreshold: 1000,
      maxIncomingPendingConnections: 1000
    }
  }
}

/** A member's stack: it listens, says who it is, and takes part in gossip. */
export function peerOptions(
  privateKey: PrivateKey,
  listen: readonly string[],
  announce: readonly string[]
): Libp2pOptions<Services> {
  return {
    ...transportOptions(privateKey),
    addresses: { listen: [...listen], ...(announce.length > 0 ? { announce: [...announce] } : {}) },
    services: {
      // gossipsub learns from it what a peer speaks.
      identify: identify(),
      gossip: gossipsub({
        // A peer that is alone publishes, too.
        allowPublishToZeroTopicPeers: true,
        ignoreDuplicatePublishError: true,
        // Every rumor goes to every connected peer at once: rings are small and fully connected.
        floodPublish: true,
        doPX: false,
        fallbackToFloodsub: false,
        emitSelf: false,
        // Peers of one machine share an address; by default a dozen of them would score below zero and be cut off.
        scoreParams: { IPColocationFactorWeight: 0 },
        maxInboundDataLength: 256 * KiB,
        maxOutboundBufferSize: 8 * MiB,
        // One topic is enough for anybody; the ring's is not known yet, so they are bounded by number.
        maxTopicBytesPerPeer: 16 * KiB,
        decodeRpcLimits: {
          maxSubscriptions: 64,
          maxMessages: 256,
          maxIhaveMessageIDs: 1024,
          maxIwantMessageIDs: 1024,
          maxIdontwantMessageIDs: 512,
          maxControlMessages: 1024,
          maxPeerInfos: 16
        }
      })
    }
  }
}
