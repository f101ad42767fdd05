// Every setting of the libp2p stack that is not the default, with its reason.
// All peers must have the same yamux windows, since these are not negotiated.
import { type GossipSub, gossipsub } from '@chainsafe/libp2p-gossipsub'
import { type Identify, identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Libp2pOptions } from 'libp2p'
import { KiB, MiB } from '../limits.js'
import type { PrivateKey } from './identity.js'
import { membersOnly } from './member-services.js'
import { guardMuxer } from './muxer-guard.js'
import type { StreamClass } from './network.js'
import { type PendingConnections, pendingGater } from './pending-connections.js'
import { ROLES, type Role } from './secrets.js'
import { type SecuredNoiseDeps, securedNoise } from './secured-noise.js'

export interface Services extends Record<string, unknown> {
  readonly identify: Identify
  readonly gossip: GossipSub
}

export const PROTOCOLS: Readonly<Record<StreamClass, string>> = {
  control: '/ringd/control/1.0.0',
  operations: '/ringd/operations/1.0.0',
  bulk: '/ringd/bulk/1.0.0'
}
/** Block streams: see libp2p-blocks.ts. */
export const PULL_PROTOCOL = '/ringd/pull/1.0.0'
export const CLIENT_PROTOCOL = '/ringd/client/1.0.0'

/** The topic for the rumors of one ring. */
export function rumorTopic(ringId: string): string {
  return `/ringd/rumors/1/${ringId}`
}

export const RUMOR_BYTES_MAX = 64 * KiB

/**
 * The window of a new stream: what the other end sends before it hears that bytes were read. It grows while bytes are
 * read quickly. Small operations wait behind what the windows of large values let through on the same connection, and
 * nothing paces what many new connections send at once. A join is no slower than with 4 MiB.
 */
const WINDOW_BYTES = 256 * KiB
/**
 * The largest window. At most half of the read buffer: a paused reader still receives up to one window, and libp2p
 * resets the stream when the buffer is full.
 */
const WINDOW_BYTES_MAX = MiB
const READ_BUFFER_BYTES = 2 * MiB
/**
 * Streams of one connection that the other end opened. A member opens three for requests, two for blocks, and some for
 * gossip and identification.
 */
const INBOUND_STREAMS_MAX = 16
/** A stranger has so long for its handshake. */
const HANDSHAKE_TIMEOUT_MS = 5000
/**
 * libp2p's own limits refuse the newest, whoever that is. They are out of reach; see pending-connections.ts and
 * connection-watch.ts for those that count.
 */
const NEVER = 1_000_000

/** What a node presents at its connections. */
export interface Admission extends SecuredNoiseDeps {
  /** The role of the connections that it dials. */
  readonly speaks: Role
  /** The roles of the connections that it accepts. A client accepts none. */
  readonly accepts: readonly Role[]
}

/** The part that daemons and clients share: TCP, noise with secrets, yamux. */
export function transportOptions(privateKey: PrivateKey, admission: Admission): Libp2pOptions {
  const { speaks, accepts } = admission
  // The role that this node speaks comes first: a dial proposes the encrypters in this order.
  const roles = [speaks, ...accepts.filter((role) => role !== speaks)]
  return {
    privateKey,
    start: false,
    // No timeout for a quiet link: the failure detector decides which members are down.
    transports: [
      tcp({
        inboundSocketInactivityTimeout: 0,
        outboundSocketInactivityTimeout: 0,
        dialOpts: { noDelay: true, keepAlive: true },
        listenOpts: { noDelay: true, keepAlive: true }
      })
    ],
    connectionEncrypters: roles.map((role) => securedNoise(admission, { role, initiates: role === speaks })),
    streamMuxers: [() => guardMuxer(muxer(), admission.clock, MUXER_LIMITS)],
    // libp2p's monitor aborts a connection after one failed ping. The failure detector also asks through other members.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: NEVER,
      inboundUpgradeTimeout: HANDSHAKE_TIMEOUT_MS,
      // Only Dialer dials again, because it knows the newest addresses.
      reconnectRetries: 0,
      inboundConnectionThreshold: NEVER,
      maxIncomingPendingConnections: NEVER
    }
  }
}

const MUXER_LIMITS = { frameBytesMax: WINDOW_BYTES_MAX, windowBytes: WINDOW_BYTES }

const muxer = yamux({
  maxInboundStreams: INBOUND_STREAMS_MAX,
  streamOptions: {
    initialStreamWindowSize: WINDOW_BYTES,
    maxStreamWindowSize: WINDOW_BYTES_MAX,
    maxReadBufferLength: READ_BUFFER_BYTES,
    inactivityTimeout: 0
  }
})

/** The options of a member: it listens, identifies itself and takes part in gossip. */
export function peerOptions(
  privateKey: PrivateKey,
  admission: SecuredNoiseDeps,
  pending: PendingConnections,
  listen: readonly string[],
  announce: readonly string[]
): Libp2pOptions<Services> {
  return {
    ...transportOptions(privateKey, { ...admission, speaks: 'member', accepts: ROLES }),
    connectionGater: pendingGater(pending, admission.clock),
    addresses: { listen: [...listen], ...(announce.length > 0 ? { announce: [...announce] } : {}) },
    services: {
      // gossipsub needs it to learn which protocols a peer supports. Libp2pNetwork runs it on connections of members.
      identify: membersOnly(identify({ runOnConnectionOpen: false })),
      gossip: membersOnly(
        gossipsub({
          // A peer that is alone may publish too.
          allowPublishToZeroTopicPeers: true,
          ignoreDuplicatePublishError: true,
          // A rumor is sent to every connected peer at once: rings are small and fully connected.
          floodPublish: true,
          doPX: false,
          fallbackToFloodsub: false,
          emitSelf: false,
          // One at a time for each peer: the checks of signatures would otherwise pile up without a bound.
          awaitRpcHandler: true,
          awaitRpcMessageHandler: true,
          // Peers on one machine have one address. By default about twelve of them would score below zero, and end.
          scoreParams: { IPColocationFactorWeight: 0 },
          maxInboundDataLength: 256 * KiB,
          maxOutboundBufferSize: 8 * MiB,
          // A peer needs one topic only. Its name depends on the ring id, which is not known yet, so bytes are limited.
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
      )
    }
  }
}
