// A libp2p node of an attacker, and its connections. It uses the same stack as a daemon but none of its limits, and it
// can send bytes below yamux. Every node ends with the attack.
import { generateKeyPair } from '@libp2p/crypto/keys'
import type { Connection, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { KiB, MiB } from '../../../lib/limits.js'
import type { PrivateKey } from '../../../lib/network/identity.js'
import type { Context, Victim } from '../attack.js'
import { within } from '../attack.js'
import { type Access, encryptersOf } from './access.js'

const DIAL_MS_MAX = 4000
const WINDOW_BYTES = 256 * KiB

/** A connection that has passed admission. */
export interface Wire {
  readonly connection: Connection
  /** Sends bytes inside of noise and below yamux. */
  raw(bytes: Uint8Array): void
  open(protocol: string): Promise<Stream>
}

export class AttackNode {
  readonly #node: Libp2p
  readonly #context: Context

  private constructor(context: Context, node: Libp2p) {
    this.#context = context
    this.#node = node
  }

  /** A node with a key of its own, or with the given one. */
  static async start(context: Context, access: Access, key?: PrivateKey): Promise<AttackNode> {
    const node = await createLibp2p({
      privateKey: key ?? (await generateKeyPair('Ed25519')),
      start: false,
      transports: [tcp({ inboundSocketInactivityTimeout: 0, outboundSocketInactivityTimeout: 0 })],
      connectionEncrypters: encryptersOf(access),
      streamMuxers: [
        yamux({
          enableKeepAlive: false,
          maxOutboundStreams: 100_000,
          maxInboundStreams: 100_000,
          streamOptions: { initialStreamWindowSize: WINDOW_BYTES, maxStreamWindowSize: 4 * MiB, inactivityTimeout: 0 }
        })
      ],
      connectionMonitor: { enabled: false },
      connectionManager: { maxConnections: 100_000, maxParallelDials: 1000, maxDialQueueLength: 100_000 }
    })
    await node.start()
    context.signal.addEventListener('abort', () => void Promise.resolve(node.stop()).catch(() => {}), { once: true })
    return new AttackNode(context, node)
  }

  get peerId(): string {
    return this.#node.peerId.toString()
  }

  /** A new connection, also when there is one already. Rejects when the victim does not admit this node. */
  async dial(victim: Victim): Promise<Wire> {
    const id = victim.peerId === '' ? '' : `/p2p/${victim.peerId}`
    const address = multiaddr(`/ip4/${victim.host}/tcp/${victim.port}${id}`)
    const options = { force: true, signal: AbortSignal.any([this.#context.signal, AbortSignal.timeout(DIAL_MS_MAX)]) }
    const connection = await within(this.#context, DIAL_MS_MAX, this.#node.dial(address, options))
    return {
      connection,
      raw: (bytes) => rawOf(connection).send(bytes),
      open: (protocol) => {
        return within(
          this.#context,
          DIAL_MS_MAX,
          connection.newStream(protocol, { maxOutboundStreams: 100_000, signal: options.signal })
        )
      }
    }
  }

  /** Answers streams of this protocol that others open. */
  async handle(protocol: string, handler: (stream: Stream) => void): Promise<void> {
    await this.#node.handle(protocol, handler, { maxInboundStreams: 1000 })
  }

  async stop(): Promise<void> {
    await this.#node.stop()
  }
}

/** libp2p does not export the secured connection below the muxer. */
function rawOf(connection: Connection): { send(bytes: Uint8Array): boolean } {
  const { muxer } = connection as unknown as { muxer?: { maConn: { send(bytes: Uint8Array): boolean } } }
  if (muxer === undefined) throw new Error('the connection has no muxer')
  return muxer.maConn
}

/** Opens a connection to each victim and ends it: counts who admits this node. */
export async function admittedBy(context: Context, access: Access): Promise<number> {
  const node = await AttackNode.start(context, access)
  let admitted = 0
  for (const victim of context.target.victims) {
    try {
      const { connection } = await node.dial(victim)
      admitted += 1
      await connection.close()
    } catch {
      context.did('not admitted')
    }
  }
  await node.stop()
  return admitted
}
