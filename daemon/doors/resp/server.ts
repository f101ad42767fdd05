// The RESP door: accepts Redis clients. Owns the listening socket and the set of connections. Knows no command.
// Without a password it refuses to listen on an address that other machines can reach.
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { Consistency, KeyValue } from '../../../lib/key-value.js'
import { KEY_BYTES_MAX, KiB, MiB, VALUE_BYTES_MAX } from '../../../lib/limits.js'
import type { Logger } from '../../../lib/logger.js'
import { isLoopback } from '../../address.js'
import { Budget, type Holder } from './budget.js'
import type { CommandSettings, DoorInfo, DoorStats } from './command.js'
import { Connection, type ConnectionOptions } from './connection.js'
import { ReplyWriter } from './encoder.js'

export interface RespDoorDeps {
  readonly keyValue: KeyValue
  readonly clock: Clock
  readonly log: Logger
  readonly info: DoorInfo
}

export interface RespDoorOptions {
  /** Address to listen on. Any address but loopback needs a password. Default 127.0.0.1. */
  readonly host?: string
  /** 0: the system chooses a free port. */
  readonly port: number
  /** If set, clients must AUTH first (user `default`). At least one character. */
  readonly password?: string
  /** How many owners must answer. Default: quorum for both. */
  readonly consistency?: { readonly read: Consistency; readonly write: Consistency }
  readonly maxKeyBytes?: number
  readonly maxValueBytes?: number
  /** The most clients at once. A further one gets an error. Each may use about 2 MiB and one value. Default 4096. */
  readonly maxConnections?: number
  /**
   * The bytes that requests and replies of all clients may hold. Above it, each client gets one command at a time.
   * Above twice this, the client that holds most is closed. Default 256 MiB.
   */
  readonly maxHeldBytes?: number
  /** How long `stop` waits for open commands, ms. Default 5000. */
  readonly drainMs?: number
}

/** An argument that exceeds a value by up to this much gets a clear refusal instead of a closed connection. */
const BULK_SLACK_BYTES = 64 * KiB
/** The bound of one request and of one reply, unless twice the largest value is more. */
const COMMAND_BYTES_MAX = 64 * MiB
/** How long a refused client may take to read the reason. */
const REJECT_LINGER_MS = 1000
const KEEP_ALIVE_MS = 300_000
const BACKLOG = 511

/** Call `start` once and `stop` once. */
export class RespDoor {
  readonly #deps: RespDoorDeps
  readonly #options: Required<Omit<RespDoorOptions, 'password'>> & { readonly password: string | undefined }
  readonly #connections = new Set<Connection>()
  readonly #budget: Budget
  readonly #writer = new ReplyWriter()
  readonly #server: Server
  #flushing: Connection[] = []
  #settings: CommandSettings | undefined
  #startedMs = 0
  #received = 0
  #rejected = 0
  #evicted = 0
  #commands = 0
  #stopping = false
  #whenEmpty: (() => void) | undefined

  /** Throws BAD_CONFIG. */
  constructor(deps: RespDoorDeps, options: RespDoorOptions) {
    this.#deps = deps
    this.#options = {
      host: options.host ?? '127.0.0.1',
      port: options.port,
      password: options.password,
      consistency: options.consistency ?? { read: 'quorum', write: 'quorum' },
      maxKeyBytes: options.maxKeyBytes ?? KEY_BYTES_MAX,
      maxValueBytes: options.maxValueBytes ?? VALUE_BYTES_MAX,
      maxConnections: options.maxConnections ?? 4096,
      maxHeldBytes: options.maxHeldBytes ?? 256 * MiB,
      drainMs: options.drainMs ?? 5000
    }
    checkAccess(this.#options.host, this.#options.password)
    this.#budget = new Budget(
      {
        holders: this.#connections,
        onFull: () => this.#full(),
        onFree: () => this.#wakeAll(),
        onEvict: (holder) => this.#evicting(holder)
      },
      this.#options.maxHeldBytes
    )
    this.#server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS
    })
    this.#server.on('connection', (socket) => this.#accept(socket))
  }

  /** Listens. Resolves with the bound address. Rejects with PORT_IN_USE or BAD_ADDRESS. */
  start(): Promise<{ host: string; port: number }> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      const refuse = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port))
      this.#server.once('error', refuse)
      this.#server.listen({ host, port, backlog: BACKLOG }, () => {
        this.#server.off('error', refuse)
        this.#server.on('error', (error) =>
          this.#deps.log.error({ error: error.message }, 'RESP door could not accept a client; still listening')
        )
        const bound = this.#server.address()
        const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port
        this.#startedMs = this.#deps.clock.elapsed()
        this.#settings = this.#settingsFor(boundPort)
        this.#deps.log.info({ host, port: boundPort }, 'RESP door is open for Redis clients')
        resolve({ host, port: boundPort })
      })
    })
  }

  /** Accepts no client, answers open commands for at most `drainMs`, closes. Resolves when all sockets are closed. */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const empty = new Promise<void>((resolve) => {
      this.#whenEmpty = resolve
    })
    for (const connection of [...this.#connections]) connection.closeWhenAnswered()
    const deadline = this.#deps.clock.after(this.#options.drainMs, () => {
      this.#deps.log.warn(
        { connections: this.#connections.size },
        'RESP door closed clients that had unanswered commands when the drain time ended'
      )
      for (const connection of [...this.#connections]) connection.evict()
    })
    if (this.#connections.size > 0) await empty
    deadline.cancel()
    await closed
  }

  stats(): DoorStats {
    return {
      connections: this.#connections.size,
      connectionsReceived: this.#received,
      connectionsRejected: this.#rejected,
      connectionsEvicted: this.#evicted,
      commands: this.#commands,
      bytesHeld: this.#budget.total,
      uptimeMs: this.#deps.clock.elapsed() - this.#startedMs
    }
  }

  #accept(socket: Socket): void {
    const settings = this.#settings
    if (settings === undefined || this.#stopping) {
      socket.destroy()
      return
    }
    this.#received++
    if (this.#connections.size >= this.#options.maxConnections) {
      this.#reject(socket)
      return
    }
    const { keyValue, clock } = this.#deps
    const connection = new Connection(
      {
        socket,
        keyValue,
        clock,
        budget: this.#budget,
        writer: this.#writer,
        settings,
        flushLater: (each) => this.#flushLater(each),
        counted: () => this.#commands++,
        closed: (each) => this.#closed(each)
      },
      this.#connectionOptions()
    )
    this.#connections.add(connection)
    this.#deps.log.debug({ connection: connection.id }, 'client connected')
  }

  /** Says why, and discards what the client sent: if the socket closed at once, the client could miss the answer. */
  #reject(socket: Socket): void {
    this.#rejected++
    const linger = this.#deps.clock.after(REJECT_LINGER_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => linger.cancel())
    socket.resume()
    socket.end('-ERR max number of clients reached\r\n')
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection)
    this.#deps.log.debug({ connection: connection.id }, 'client disconnected')
    if (this.#connections.size === 0) this.#whenEmpty?.()
  }

  /** One deferred task writes the replies of all connections that have any. */
  #flushLater(connection: Connection): void {
    if (this.#flushing.push(connection) > 1) return
    this.#deps.clock.defer(() => {
      const connections = this.#flushing
      this.#flushing = []
      for (const each of connections) each.flush()
    })
  }

  #full(): void {
    this.#deps.log.warn(
      { bytesHeld: this.#budget.total },
      'RESP door holds too many bytes; each client gets one command at a time'
    )
  }

  #evicting(holder: Holder): void {
    this.#evicted++
    this.#deps.log.warn(
      { bytes: holder.budgeted, bytesHeld: this.#budget.total },
      'RESP door holds twice the bytes allowed; closing the client that holds most'
    )
  }

  /** Lets every connection check again whether it may read. */
  #wakeAll(): void {
    for (const connection of this.#connections) this.#flushLater(connection)
  }

  #connectionOptions(): ConnectionOptions {
    const { maxKeyBytes, maxValueBytes } = this.#options
    const bulkBytesMax = Math.max(maxKeyBytes, maxValueBytes) + BULK_SLACK_BYTES
    return { id: this.#received, bulkBytesMax, requestBytesMax: Math.max(COMMAND_BYTES_MAX, 2 * bulkBytesMax) }
  }

  #settingsFor(port: number): CommandSettings {
    const { host, password, consistency, maxKeyBytes, maxValueBytes, maxConnections } = this.#options
    return {
      host,
      port,
      password,
      read: consistency.read,
      write: consistency.write,
      keyBytesMax: maxKeyBytes,
      valueBytesMax: maxValueBytes,
      replyBytesMax: Math.max(COMMAND_BYTES_MAX, 2 * maxValueBytes),
      connectionsMax: maxConnections,
      info: this.#deps.info,
      now: () => this.#deps.clock.now(),
      stats: () => this.stats()
    }
  }
}

function checkAccess(host: string, password: string | undefined): void {
  if (password === '') throw new RingdError('BAD_CONFIG', 'the RESP password is empty; set at least one character')
  if (password !== undefined || isLoopback(host)) return
  throw new RingdError(
    'BAD_CONFIG',
    `RESP on ${host} can be reached from other machines and needs a password; set resp-password`
  )
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): RingdError {
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  if (error.code === 'EADDRINUSE') {
    return new RingdError(
      'PORT_IN_USE',
      `RESP cannot listen on ${address}: another process uses it; choose another resp address`,
      { cause: error }
    )
  }
  return new RingdError('BAD_ADDRESS', `RESP cannot listen on ${address}: ${error.message}`, { cause: error })
}
