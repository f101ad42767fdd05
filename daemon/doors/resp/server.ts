// The RESP door: accepts Redis clients. Owns the listening socket and the set of connections. Knows no command.
// Without a password it refuses to listen on an address that other machines can reach. With a password, clients that
// have not logged in have a share of the connections and of the memory, apart from those that have.
import { createServer, type Server, type Socket } from 'node:net'
import { type Clock, every, type Timer } from '../../../lib/clock.js'
import { RingdError } from '../../../lib/errors.js'
import type { Consistency, KeyValue } from '../../../lib/key-value.js'
import { LargeWork } from '../../../lib/large-work.js'
import { KEY_BYTES_MAX, KiB, MiB, VALUE_BYTES_MAX } from '../../../lib/limits.js'
import type { Logger } from '../../../lib/logger.js'
import { type Metrics, noMetrics } from '../../../lib/metrics.js'
import { hostPort, isLoopback } from '../../address.js'
import { Budget, type Holder } from './budget.js'
import type { CommandSettings, DoorInfo, DoorStats } from './command.js'
import { Connection, type ConnectionOptions, LOGIN_MS_MAX, type Overdue } from './connection.js'
import { ErrorReply, ReplyWriter } from './encoder.js'
import { Lanes } from './lanes.js'
import { Login } from './login.js'
import { RareLog } from './rare-log.js'
import { RespMetrics } from './resp-metrics.js'
import { UploadTurns } from './upload-turns.js'

export interface RespDoorDeps {
  readonly keyValue: KeyValue
  readonly clock: Clock
  /** The time from which a time to live counts, ms since the epoch. Left out: the wall clock. */
  readonly now?: () => number
  readonly log: Logger
  readonly info: DoorInfo
  /** Default: nothing is counted. */
  readonly metrics?: Metrics | undefined
  /** The turns of large values and requests. Default: they never wait. */
  readonly largeWork?: LargeWork | undefined
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
  /**
   * The most clients at once. A further one gets an error. With a password, a quarter of them may be clients that have
   * not logged in. Default 4096.
   */
  readonly maxConnections?: number
  /**
   * The bytes that requests and replies of all clients may hold. Above it, each client gets one command at a time.
   * Above twice this, the client that holds most is closed. Half of it is for large replies. Default 128 MiB.
   */
  readonly maxHeldBytes?: number
  /** A client that is silent for this long is closed, s. Default 0: never. */
  readonly idleSeconds?: number
  /** How long `stop` waits for open commands, ms. Default 5000. */
  readonly drainMs?: number
}

/** An argument that exceeds a value by up to this much gets a clear refusal instead of a closed connection. */
const BULK_SLACK_BYTES = 64 * KiB
/** The bounds of one request and of the values in one reply, unless twice the largest value is more. */
const COMMAND_BYTES_MAX = 64 * MiB
const REPLY_BYTES_MAX = 16 * MiB
/** How long a refused client may take to read the reason, and how many of them may take it at once. */
const REJECT_LINGER_MS = 1000
const REJECTED_MAX = 64
/** The share of the connections for clients that have not logged in, and the memory of all of them together. */
const STRANGERS_SHARE = 1 / 4
const STRANGERS_BYTES_MAX = 8 * MiB
/** The share of `maxHeldBytes` for replies to large reads. */
const REPLIES_SHARE = 1 / 2
/** How often deadlines of connections and of waiting operations are checked. */
const TICK_MS = 500
const TOO_MANY_CLIENTS = 'ERR max number of clients reached'
const TOO_MANY_STRANGERS = new ErrorReply('ERR too many clients that have not logged in')
const KEEP_ALIVE_MS = 300_000
const BACKLOG = 511

const FAREWELLS: Readonly<Record<Overdue, ErrorReply>> = {
  login: new ErrorReply(`NOAUTH no AUTH within ${LOGIN_MS_MAX / 1000} s`),
  stalled: new ErrorReply('ERR the client did not read its replies, or did not end its request, while others waited'),
  idle: new ErrorReply('ERR the client was idle for too long')
}

/** Call `start` once and `stop` once. */
export class RespDoor {
  readonly #deps: RespDoorDeps
  readonly #options: Required<Omit<RespDoorOptions, 'password'>>
  readonly #connections = new Set<Connection>()
  /** The connections that have not logged in, oldest first. */
  readonly #strangers = new Set<Connection>()
  readonly #budget: Budget
  readonly #strangersBudget: Budget
  readonly #lanes: Lanes
  readonly #largeWork: LargeWork
  readonly #uploads: UploadTurns<Connection>
  readonly #login: Login
  readonly #metrics: RespMetrics
  readonly #warnings: Readonly<Record<'full' | 'evicted' | 'rejected' | 'closed', RareLog>>
  readonly #writer = new ReplyWriter()
  readonly #server: Server
  #flushing: Connection[] = []
  #settings: CommandSettings | undefined
  #ticking: Timer | undefined
  #startedMs = 0
  #received = 0
  #rejected = 0
  #lingering = 0
  #evicted = 0
  #commands = 0
  readonly #sentAway = new Set<Connection>()
  #stopping = false
  #whenEmpty: (() => void) | undefined

  /** Throws BAD_CONFIG. */
  constructor(deps: RespDoorDeps, options: RespDoorOptions) {
    const { clock, log } = deps
    this.#deps = deps
    this.#options = {
      host: options.host ?? '127.0.0.1',
      port: options.port,
      consistency: options.consistency ?? { read: 'quorum', write: 'quorum' },
      maxKeyBytes: options.maxKeyBytes ?? KEY_BYTES_MAX,
      maxValueBytes: options.maxValueBytes ?? VALUE_BYTES_MAX,
      maxConnections: options.maxConnections ?? 4096,
      maxHeldBytes: options.maxHeldBytes ?? 128 * MiB,
      idleSeconds: options.idleSeconds ?? 0,
      drainMs: options.drainMs ?? 5000
    }
    checkAccess(this.#options.host, options.password)
    this.#metrics = new RespMetrics(deps.metrics ?? noMetrics)
    this.#login = new Login({ clock, log, wrong: this.#metrics.wrongPasswords }, options.password)
    this.#warnings = {
      full: new RareLog(clock, log, 'RESP door holds too many bytes; each client gets one command at a time'),
      evicted: new RareLog(clock, log, 'RESP door holds twice the bytes allowed; closing the client that holds most'),
      rejected: new RareLog(clock, log, 'RESP door refused clients: too many are connected'),
      closed: new RareLog(clock, log, 'RESP door closed clients that kept others waiting')
    }
    this.#budget = this.#newBudget(this.#connections, this.#options.maxHeldBytes)
    this.#strangersBudget = this.#newBudget(this.#strangers, STRANGERS_BYTES_MAX)
    this.#largeWork = deps.largeWork ?? new LargeWork(clock)
    this.#lanes = new Lanes(clock, {
      repliesMax: REPLIES_SHARE * this.#options.maxHeldBytes,
      replies: () => this.#budget.replies,
      largestNear: deps.info.largestNear,
      largeWork: this.#largeWork
    })
    this.#uploads = new UploadTurns(() => this.#wakeAll())
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
        this.#ticking = every(this.#deps.clock, TICK_MS, () => this.#tick())
        this.#deps.log.info({ host, port: boundPort }, 'RESP door is open for Redis clients')
        resolve({ host, port: boundPort })
      })
    })
  }

  /** Accepts no client, answers open commands for at most `drainMs`, closes. Resolves when all sockets are closed. */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#ticking?.cancel()
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
      strangers: this.#strangers.size,
      commands: this.#commands,
      bytesHeld: this.#budget.total + this.#strangersBudget.total,
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
    if (!this.#makeRoom()) {
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
        strangersBudget: this.#strangersBudget,
        lanes: this.#lanes,
        largeWork: this.#largeWork,
        uploads: this.#uploads,
        writer: this.#writer,
        settings,
        flushLater: (each) => this.#flushLater(each),
        counted: () => this.#commands++,
        loginChanged: (each) => this.#loginChanged(each),
        closed: (each) => this.#closed(each)
      },
      this.#connectionOptions()
    )
    this.#connections.add(connection)
    this.#loginChanged(connection)
    this.#deps.log.debug({ connection: connection.id }, 'client connected')
  }

  /**
   * Whether one more client may come. The oldest client that has not logged in leaves for it: a client that means to
   * log in does so at once, so those that wait are in the way.
   */
  #makeRoom(): boolean {
    const { maxConnections } = this.#options
    const strangersMax = Math.max(1, Math.floor(maxConnections * STRANGERS_SHARE))
    const isFull = this.#connections.size >= maxConnections
    if (!isFull && this.#strangers.size < strangersMax) return true
    const [oldest] = this.#strangers
    if (oldest === undefined) return !isFull
    this.#strangers.delete(oldest)
    this.#metrics.closed('strangers').add()
    this.#warnings.rejected.add({ connections: this.#connections.size })
    if (isFull) oldest.evict()
    else this.#sendAway(oldest, TOO_MANY_STRANGERS)
    return true
  }

  #loginChanged(connection: Connection): void {
    if (connection.authenticated) this.#strangers.delete(connection)
    else this.#strangers.add(connection)
  }

  /** Says why, and discards what the client sent: if the socket closed at once, the client could miss the answer. */
  #reject(socket: Socket): void {
    this.#rejected++
    this.#metrics.rejected.add()
    this.#warnings.rejected.add({ connections: this.#connections.size })
    if (this.#lingering >= REJECTED_MAX) {
      socket.destroy()
      return
    }
    this.#lingering++
    const linger = this.#deps.clock.after(REJECT_LINGER_MS, () => socket.destroy())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#lingering--
      linger.cancel()
    })
    socket.resume()
    socket.end(`-${TOO_MANY_CLIENTS}\r\n`)
  }

  /** Closes a connection: with a word why, when not too many are being told already. */
  #sendAway(connection: Connection, reason: ErrorReply): void {
    if (this.#lingering >= REJECTED_MAX) {
      connection.evict()
      return
    }
    this.#lingering++
    this.#sentAway.add(connection)
    connection.refuse(reason)
  }

  #closed(connection: Connection): void {
    this.#connections.delete(connection)
    this.#strangers.delete(connection)
    if (this.#sentAway.delete(connection)) this.#lingering--
    this.#metrics.connections.set(this.#connections.size)
    this.#deps.log.debug({ connection: connection.id }, 'client disconnected')
    if (this.#connections.size === 0) this.#whenEmpty?.()
  }

  /** Closes the clients whose time is over, and refuses the operations that have waited for too long. */
  #tick(): void {
    const now = this.#deps.clock.elapsed()
    const isContended = this.#budget.full || this.#lanes.reads.waiting > 0
    for (const connection of [...this.#connections]) {
      const reason = connection.overdue(now, isContended, this.#options.idleSeconds * 1000)
      if (reason === undefined) continue
      this.#metrics.closed(reason).add()
      if (reason === 'stalled') {
        this.#warnings.closed.add({ connection: connection.id, bytes: connection.budgeted })
        connection.evict()
      } else this.#sendAway(connection, FAREWELLS[reason])
    }
    this.#metrics.refused.add(this.#lanes.expire(now))
    this.#metrics.waiting.set(this.#lanes.waiting)
    this.#metrics.connections.set(this.#connections.size)
    this.#metrics.heldBytes.set(this.#budget.total + this.#strangersBudget.total)
    this.#login.tick()
    for (const warning of Object.values(this.#warnings)) warning.say()
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

  #newBudget(holders: Iterable<Connection>, bytesMax: number): Budget {
    return new Budget(
      {
        holders,
        onFull: () => this.#warnings.full.add({ bytesHeld: this.#budget.total }),
        onFree: () => this.#wakeAll(),
        onRoom: () => this.#lanes.reads.pump(),
        onEvict: (holder) => this.#evicting(holder)
      },
      bytesMax
    )
  }

  #evicting(holder: Holder): void {
    this.#evicted++
    this.#metrics.closed('memory').add()
    this.#warnings.evicted.add({ bytes: holder.budgeted, bytesHeld: this.#budget.total })
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
    const { host, consistency, maxKeyBytes, maxValueBytes, maxConnections, idleSeconds } = this.#options
    return {
      host,
      port,
      login: this.#login,
      read: consistency.read,
      write: consistency.write,
      keyBytesMax: maxKeyBytes,
      valueBytesMax: maxValueBytes,
      replyBytesMax: Math.max(REPLY_BYTES_MAX, 2 * maxValueBytes),
      connectionsMax: maxConnections,
      idleSeconds,
      info: this.#deps.info,
      now: this.#deps.now ?? (() => this.#deps.clock.now()),
      stats: () => this.stats()
    }
  }
}

function checkAccess(host: string, password: string | undefined): void {
  if (password === '') throw new RingdError('BAD_CONFIG', 'the RESP password is empty; set at least one character')
  if (password !== undefined || isLoopback(host)) return
  throw new RingdError(
    'BAD_CONFIG',
    `RESP on ${host} can be reached from other machines and needs a password; set resp-password-file`
  )
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): RingdError {
  const address = hostPort(host, port)
  if (error.code === 'EADDRINUSE') {
    return new RingdError(
      'PORT_IN_USE',
      `RESP cannot listen on ${address}: another process uses it; choose another resp address`,
      { cause: error }
    )
  }
  return new RingdError('BAD_ADDRESS', `RESP cannot listen on ${address}: ${error.message}`, { cause: error })
}
