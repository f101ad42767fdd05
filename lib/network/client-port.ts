// The links of clients over libp2p: who they are, what they may hold, and when they were last used.
import type { Connection, PeerId as Libp2pPeerId } from '@libp2p/interface'
import { RingdError } from '../errors.js'
import { AnswerLanes } from './answer-lanes.js'
import { ByteBudget, CLIENT_BUDGET } from './byte-budget.js'
import type { Identity } from './hello.js'
import { type ByteStream, type LinkDeps, type LinkOptions, servedClientOptions } from './link-options.js'
import type { ClientHandler } from './network.js'
import type { Right } from './secrets.js'
import { roleOf } from './secured-noise.js'
import { StreamLink } from './stream-link.js'

/** A connection of a client, as far as its links depend on it. */
type ClientConnection = Pick<Connection, 'encryption'> & { readonly remotePeer: Libp2pPeerId }

export class ClientPort {
  private readonly deps: LinkDeps
  private readonly budget = new ByteBudget(CLIENT_BUDGET)
  private readonly options: LinkOptions
  /** The links of each open connection. */
  private readonly links = new Map<ClientConnection, Set<StreamLink>>()
  /** Serves the requests of clients; undefined: none are served. */
  handler: ClientHandler | undefined

  constructor(deps: LinkDeps) {
    this.deps = deps
    this.options = servedClientOptions(this.budget, new AnswerLanes(deps.clock))
  }

  /** Bytes that all links of clients hold. */
  get heldBytes(): number {
    return this.budget.bytes
  }

  /** Makes the link of a new stream. Throws NOT_ALLOWED for a member, NOT_SERVING without a handler. */
  welcome(connection: ClientConnection, identity: Identity, bytes: ByteStream): StreamLink {
    const { handler } = this
    const right = clientRight(connection)
    if (handler === undefined) throw new RingdError('NOT_SERVING')
    const links = this.links.get(connection) ?? new Set()
    const link = new StreamLink(
      this.deps,
      connection.remotePeer.toString(),
      identity,
      bytes,
      (_from, body, respond) => handler(right, body, respond),
      { greeted() {}, closed: (closed) => void links.delete(closed) },
      this.options
    )
    links.add(link)
    this.links.set(connection, links)
    return link
  }

  introduce(identity: Identity): void {
    for (const links of this.links.values()) for (const link of links) link.introduce(identity)
  }

  /** When a client last sent a packet on this connection; undefined while it has no greeted link. */
  usedAt(connection: ClientConnection): number | undefined {
    let usedAt: number | undefined
    for (const link of this.links.get(connection) ?? []) {
      if (link.remote !== undefined) usedAt = Math.max(usedAt ?? 0, link.lastPacketAt)
    }
    return usedAt
  }

  /** The connection was closed. */
  disconnected(connection: ClientConnection): void {
    this.links.delete(connection)
  }

  stop(): void {
    this.handler = undefined
    const error = new RingdError('STOPPED')
    for (const links of [...this.links.values()]) for (const link of [...links]) link.close(error)
  }
}

function clientRight(connection: ClientConnection): Right {
  const role = roleOf(connection)
  if (role !== undefined && role !== 'member') return role
  throw new RingdError('NOT_ALLOWED', 'members send no client requests')
}
