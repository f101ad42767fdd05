// The client's end of /ringd/client/1.0.0: one connection with one peer for requests and their answers.
// Owns a libp2p node without listeners while the connection lasts. A request is never sent twice: see `request`.
import { createLibp2p } from 'libp2p'
import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import { silent } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Random } from '../random.js'
import { NOBODY } from './hello.js'
import { newPrivateKey, type PrivateKey } from './identity.js'
import { addressOf, dialError } from './libp2p-errors.js'
import { CLIENT_PROTOCOL, transportOptions } from './libp2p-options.js'
import { tie } from './libp2p-stream.js'
import { CLIENT_LINK_OPTIONS } from './link-options.js'
import type { Body, RequestHandler } from './network.js'
import type { Hlc } from './outbox.js'
import { orRedisPort } from './redis-probe.js'
import { type ClientSecrets, clientRoleSecrets, Keyring, OPEN_CLIENT } from './secrets.js'
import { StreamLink } from './stream-link.js'

export interface ClientLinkDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log?: Logger
}

export interface ClientLinkOptions {
  /** Multiaddr of a peer, with or without /p2p/. */
  readonly address: string
  /** The identity of the client. Default: a new key each time. */
  readonly privateKey?: PrivateKey
  /** Default: the open secret, which a daemon without a ring secret accepts. */
  readonly secret?: ClientSecrets
  /** For the whole connect. Default 10 s. */
  readonly timeoutMs?: number
}

export interface ClientLink {
  /** The peer that answers. */
  readonly peerId: PeerId
  /** Hex; '' while the peer belongs to no ring. */
  readonly ringId: string
  readonly closed: boolean
  /** Sends once. Rejects with the peer's refusal, TIMEOUT, OVERLOADED, or UNREACHABLE when the connection ends. */
  request(body: Body, timeoutMs: number): Promise<Body>
  close(): Promise<void>
}

const CONNECT_TIMEOUT_MS = 10_000

/** A client has no hybrid clock: it sends the stamp 0, which moves no clock. */
const noHlc: Hlc = { stamp: () => ({ ms: 0, counter: 0 }), observe() {} }

const refuseAll: RequestHandler = (_from, _body, respond) => respond(new RingdError('NOT_SERVING'))

/** Connects and exchanges hellos. Throws BAD_ADDRESS, UNREACHABLE, WRONG_SECRET or WRONG_VERSION. */
export async function connectClient(deps: ClientLinkDeps, options: ClientLinkOptions): Promise<ClientLink> {
  const { clock, random, log = silent } = deps
  const { address, secret = OPEN_CLIENT, timeoutMs = CONNECT_TIMEOUT_MS } = options
  const target = addressOf(address)
  const keyring = new Keyring(clientRoleSecrets(secret))
  const admission = { clock, keyring, speaks: secret.right, accepts: [] }
  const node = await createLibp2p(transportOptions(options.privateKey ?? (await newPrivateKey(random)), admission))
  const abort = new AbortController()
  const timer = clock.after(timeoutMs, () => abort.abort(new RingdError('UNREACHABLE', `no answer from ${address}`)))
  try {
    await node.start()
    const stream = await node.dialProtocol(target, CLIENT_PROTOCOL, { signal: abort.signal })
    const peerId = (await node.getConnections())[0]!.remotePeer.toString()
    const link = await new Promise<StreamLink>((resolve, reject) => {
      abort.signal.addEventListener('abort', () => reject(abort.signal.reason))
      const owner = { greeted: resolve, closed: (_link: StreamLink, error: RingdError) => reject(error) }
      tie(stream, (bytes) => {
        return new StreamLink({ clock, log, hlc: noHlc }, peerId, NOBODY, bytes, refuseAll, owner, CLIENT_LINK_OPTIONS)
      })
    })
    return {
      peerId,
      get ringId() {
        return link.remote?.ringId ?? ''
      },
      get closed() {
        return link.closed
      },
      request: (body, requestTimeoutMs) =>
        new Promise((resolve, reject) => {
          link.request(body, requestTimeoutMs, (answer) => {
            if (answer instanceof RingdError) reject(answer)
            else resolve(answer)
          })
        }),
      async close() {
        link.close(new RingdError('STOPPED', 'the client was closed'))
        await node.stop()
      }
    }
  } catch (thrown) {
    await node.stop()
    throw await orRedisPort(clock, address, thrown instanceof RingdError ? thrown : dialError(address, thrown))
  } finally {
    timer.cancel()
  }
}
