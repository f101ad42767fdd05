// One client: takes its requests, runs them at once, and sends the replies in the order of the requests.
// Owns the socket, the parser, the queue of calls, and every bound on the memory that this client can use. It does not
// read from the socket while too many bytes are unanswered, unread by the client, or held by all clients together.
// A client that has not logged in yet has bounds of its own, which are small.
// Replies that are ready in the same turn of the event loop leave in one write.
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../../lib/clock.js'
import { toRingdError } from '../../../lib/errors.js'
import type { KeyValue } from '../../../lib/key-value.js'
import type { LargeWork } from '../../../lib/large-work.js'
import { KiB, MiB } from '../../../lib/limits.js'
import type { Budget, Holder } from './budget.js'
import { Call, type CommandSettings, type Session } from './command.js'
import { runCommand } from './commands.js'
import { ErrorReply, type Protocol, type Reply, type ReplyWriter } from './encoder.js'
import { KeyOrder } from './key-order.js'
import type { LaneUser } from './lane.js'
import { type Lanes, SMALL_BYTES_MAX } from './lanes.js'
import { WRONG_PASSWORDS_MAX } from './login.js'
import { Output } from './output.js'
import { PacedRing } from './paced-ring.js'
import { type ParserOptions, RequestParser } from './parser.js'
import type { UploadTurns } from './upload-turns.js'

/** Unanswered commands of one client. Allows deep pipelines, and bounds the load on the ring. */
const CALLS_MAX = 1024
/** Bytes of one client: its unanswered requests, its replies not written yet, and the expected replies of its reads. */
const CLIENT_BYTES_MAX = MiB
/** The same of a client that has not logged in, and its unanswered commands. */
const STRANGER_BYTES_MAX = 64 * KiB
const STRANGER_CALLS_MAX = 16
/** Replies that the door itself makes for one client in one turn of the event loop, so that others get their turn. */
const MADE_BYTES_MAX = 16 * KiB
/** Commands of one client that begin in one turn of the event loop. */
const TAKEN_MAX = 256
const KEYS_AT_ONCE_MAX = 64
/** Memory of one queued call, apart from its arguments. */
const CALL_OVERHEAD_BYTES = 256
/** A result of at least this size is counted at once; smaller ones when they are written. */
const NOTABLE_BYTES = 16 * KiB
/** Bytes of a large request that are read in one turn of large work. */
const PIECE_BYTES = 256 * KiB
/** The same of requests with many arguments: how many arguments, and from how many on a request has many. */
const PIECE_ARGUMENTS = 4096
const MANY_ARGUMENTS = 64
/** How long a client may take to read its last replies when the connection closes. */
const LINGER_MS = 10_000
/** The same of a client that is sent away. */
const REFUSED_LINGER_MS = 1000
/** How long a client may take to log in. */
export const LOGIN_MS_MAX = 10_000
/** A client that neither takes nor sends a byte for this long is closed, if others wait for memory that it holds. */
export const STALL_MS_MAX = 5000
/** A client that holds less than this is in nobody's way. */
const STALLED_BYTES_MIN = SMALL_BYTES_MAX

export interface ConnectionDeps {
  readonly socket: Socket
  readonly keyValue: KeyValue
  readonly clock: Clock
  /** The budget of clients that have logged in, and of those that have not. */
  readonly budget: Budget
  readonly strangersBudget: Budget
  readonly lanes: Lanes
  readonly largeWork: LargeWork
  readonly uploads: UploadTurns<Connection>
  /** All connections share it. */
  readonly writer: ReplyWriter
  readonly settings: CommandSettings
  /** Calls `flush` at the end of the current turn of the event loop. */
  flushLater(connection: Connection): void
  /** A command was taken. */
  counted(): void
  /** The client has logged in, or out again. */
  loginChanged(connection: Connection): void
  /** The socket is closed, and all memory of the connection is released. */
  closed(connection: Connection): void
}

export interface ConnectionOptions extends ParserOptions {
  readonly id: number
}

/** Why the door closes a connection by itself. */
export type Overdue = 'login' | 'stalled' | 'idle'

export class Connection implements Session, Holder, LaneUser {
  readonly id: number
  readonly settings: CommandSettings
  readonly keyValue: KeyValue
  protocol: Protocol = 2
  name = ''
  budgeted = 0
  budgetedReplies = 0

  readonly #deps: ConnectionDeps
  readonly #socket: Socket
  readonly #parser: RequestParser
  readonly #output: Output
  readonly #paced: PacedRing
  readonly #address: string
  #authenticated: boolean
  #wrongPasswords = 0
  /** Monotonic ms: when it had to begin to log in; when the socket last took or brought bytes. */
  #strangerSinceMs: number
  #activeMs: number
  /** The calls whose replies are not written yet, oldest first. */
  #first: Call | undefined
  #last: Call | undefined
  #calls = 0
  #requestBytes = 0
  #replyBytes = 0
  #reads = 0
  #madeBytes = 0
  #taken = 0
  #flushPlanned = false
  #advancing = false
  #paused = false
  /**
   * Bytes of large requests that were read since the last turn; all bytes since the last request began; arguments of
   * large requests; whether the client waits for a turn.
   */
  #pieceBytes = 0
  #arrivedBytes = 0
  #pieceArguments = 0
  #turnDue = false
  /** open -> closing (takes no command, answers the open ones) -> ended (all written) -> closed (holds nothing). */
  #state: 'open' | 'closing' | 'ended' | 'closed' = 'open'
  /** The parser may have a complete request that was not taken yet. */
  #unparsed = false
  #clientDone = false
  #linger: Timer | undefined
  #delay: Timer | undefined

  constructor(deps: ConnectionDeps, options: ConnectionOptions) {
    this.#deps = deps
    this.#socket = deps.socket
    this.id = options.id
    this.settings = deps.settings
    this.#paced = new PacedRing({ ring: deps.keyValue, user: this, lanes: deps.lanes })
    this.keyValue = new KeyOrder(this.#paced)
    this.#authenticated = !deps.settings.login.isRequired
    this.#parser = new RequestParser(options)
    this.#output = new Output(deps.socket)
    this.#address = deps.socket.remoteAddress ?? ''
    this.#strangerSinceMs = deps.clock.elapsed()
    this.#activeMs = this.#strangerSinceMs
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#socket.on('drain', () => this.#drained())
    this.#socket.on('end', () => this.#clientEnded())
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#release())
  }

  get keysAtOnce(): number {
    return Math.min(KEYS_AT_ONCE_MAX, Math.max(1, Math.floor(CLIENT_BYTES_MAX / this.#paced.valueBytes)))
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  get holdsPart(): boolean {
    return this.#first !== undefined && !this.#first.done && this.#first.heldBytes > 0
  }

  get authenticated(): boolean {
    return this.#authenticated
  }

  set authenticated(authenticated: boolean) {
    if (authenticated === this.#authenticated) return
    this.#budget.report(this, 0, 0)
    this.#authenticated = authenticated
    this.#strangerSinceMs = this.#deps.clock.elapsed()
    this.#deps.loginChanged(this)
  }

  get #budget(): Budget {
    return this.#authenticated ? this.#deps.budget : this.#deps.strangersBudget
  }

  get #bytesMax(): number {
    return this.#authenticated ? CLIENT_BYTES_MAX : STRANGER_BYTES_MAX
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#planFlush()
  }

  /** open -> closing */
  closeWhenAnswered(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#planFlush()
  }

  /** Closes the connection at once. */
  evict(): void {
    this.#socket.destroy()
    this.#release()
  }

  /** Sends `error` as the last reply, and closes soon, whether or not the client reads it. */
  refuse(error: ErrorReply): void {
    if (this.#state === 'closed' || this.#state === 'ended') return
    this.#state = 'ended'
    this.#first = undefined
    this.#last = undefined
    this.#deps.writer.write(error, this.protocol)
    this.#output.send(this.#deps.writer.take())
    this.#socket.resume()
    this.#socket.end()
    this.#linger?.cancel()
    this.#linger = this.#deps.clock.after(REFUSED_LINGER_MS, () => this.#socket.destroy())
  }

  /** Answers a wrong password: later each time, and the last time the connection closes. */
  refuseLogin(call: Call, reply: Reply): undefined {
    const { login } = this.settings
    this.#wrongPasswords++
    const isLast = this.#wrongPasswords >= WRONG_PASSWORDS_MAX
    this.pause()
    this.#delay = this.#deps.clock.after(login.refused(this.#address, this.#wrongPasswords), () => {
      call.finish(reply)
      if (isLast) this.closeWhenAnswered()
      else this.resume()
    })
    return undefined
  }

  /**
   * Why the client must be closed now, if it must. `isContended`: others wait for memory. `idleMs`: how long a client
   * may be silent; 0: as long as it likes.
   */
  overdue(nowMs: number, isContended: boolean, idleMs: number): Overdue | undefined {
    if (this.#state === 'closed' || this.#state === 'ended') return undefined
    if (!this.#authenticated && nowMs - this.#strangerSinceMs >= LOGIN_MS_MAX) return 'login'
    const silentMs = nowMs - this.#activeMs
    const isWaited = this.#output.bytes > 0 || (this.#calls === 0 && !this.#socket.isPaused())
    if (isContended && isWaited && silentMs >= STALL_MS_MAX && this.budgeted >= STALLED_BYTES_MIN) return 'stalled'
    return idleMs > 0 && this.#calls === 0 && silentMs >= idleMs ? 'idle' : undefined
  }

  answered(call: Call): void {
    if (call === this.#first) this.#planFlush()
  }

  held(call: Call, bytes: number): void {
    this.#replyBytes += bytes
    if (bytes >= NOTABLE_BYTES) this.#report()
    if (bytes >= NOTABLE_BYTES || call === this.#first) this.#planFlush()
  }

  made(bytes: number): void {
    this.#madeBytes += bytes
  }

  readBegan(): void {
    this.#reads++
  }

  readEnded(): void {
    this.#reads--
  }

  /** Writes the replies that are ready, and reads from the socket again when there is room. */
  flush(): void {
    this.#flushPlanned = false
    this.#madeBytes = 0
    this.#taken = 0
    if (this.#state === 'closed') return
    this.#write()
    this.#advance()
  }

  #drained(): void {
    this.#activeMs = this.#deps.clock.elapsed()
    this.#output.pump()
    this.flush()
  }

  #receive(chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#activeMs = this.#deps.clock.elapsed()
    this.#parser.push(chunk)
    this.#unparsed = true
    this.#arrivedBytes += chunk.length
    this.#advance()
  }

  /** The client sends no more, but may still read. Its open commands are answered. */
  #clientEnded(): void {
    this.#clientDone = true
    this.#advance()
  }

  /** Takes requests and writes replies until there is no request or no room. */
  #advance(): void {
    if (this.#advancing) return
    this.#advancing = true
    while (this.#unparsed && this.#hasRoom()) {
      this.#take()
      this.#write()
    }
    this.#advancing = false
    if (this.#madeBytes >= MADE_BYTES_MAX || this.#taken >= TAKEN_MAX) this.#planFlush()
    if (this.#state === 'open' && this.#clientDone && !this.#unparsed) this.#state = 'closing'
    if (this.#state === 'closing' && this.#first === undefined) this.#endWhenSent()
    this.#steer()
  }

  #take(): void {
    while (this.#hasRoom()) {
      let args: Buffer[] | undefined
      try {
        this.#parser.trusted = this.authenticated
        args = this.#parser.next()
      } catch (thrown) {
        this.#state = 'closing'
        this.#enqueue([], 0).finish(ErrorReply.of(toRingdError(thrown)))
        return
      }
      if (args === undefined) {
        this.#unparsed = false
        // Only the parts of a large request count. A pipeline of small ones may be as long as it likes.
        if (this.#parser.heldBytes >= SMALL_BYTES_MAX) this.#pieceBytes += this.#arrivedBytes
        this.#arrivedBytes = 0
        return
      }
      this.#deps.counted()
      this.#taken++
      if (args.length >= MANY_ARGUMENTS) this.#pieceArguments += args.length
      const call = this.#enqueue(args, this.#parser.requestBytes)
      runCommand(call)
      call.protocol = this.protocol
    }
  }

  #enqueue(args: Buffer[], requestBytes: number): Call {
    const call = new Call(args, requestBytes + CALL_OVERHEAD_BYTES, this)
    call.protocol = this.protocol
    if (this.#last === undefined) this.#first = call
    else this.#last.next = call
    this.#last = call
    this.#calls++
    this.#requestBytes += call.requestBytes
    return call
  }

  /**
   * Whether one more command may start. A single command may always start, whatever its size and whatever other clients
   * hold; else a full budget would stop every client for ever.
   */
  #hasRoom(): boolean {
    if (this.#state !== 'open' || this.#paused || this.#output.bytes >= this.#bytesMax) return false
    if (this.#madeBytes >= MADE_BYTES_MAX || this.#taken >= TAKEN_MAX || !this.#hasTurn()) return false
    if (this.#calls === 0) return true
    return (
      !this.#budget.full &&
      !this.#paced.isHeldBack &&
      this.#calls < (this.#authenticated ? CALLS_MAX : STRANGER_CALLS_MAX) &&
      this.#requestBytes + this.#replyBytes < this.#bytesMax &&
      this.#reads * this.#paced.valueBytes < CLIENT_BYTES_MAX
    )
  }

  #write(): void {
    const { writer } = this.#deps
    let call = this.#first
    if (call?.done !== true) return
    while (call?.done === true) {
      writer.write(call.reply, call.protocol)
      this.#calls--
      this.#requestBytes -= call.requestBytes
      this.#replyBytes -= call.heldBytes
      call = call.next
    }
    this.#first = call
    if (call === undefined) this.#last = undefined
    this.#output.send(writer.take())
  }

  /** Reads from the socket exactly while there is room, and reports the held bytes to the budget. */
  #steer(): void {
    this.#report()
    if (this.isClosed) return
    const reads = this.#state === 'ended' || (!this.#unparsed && this.#hasRoom() && this.#mayUpload())
    if (reads === this.#socket.isPaused()) {
      if (reads) this.#socket.resume()
      else this.#socket.pause()
    }
  }

  /** While memory is short, only a few clients at a time send the rest of a large request. */
  #mayUpload(): boolean {
    const { uploads, budget } = this.#deps
    if (this.#parser.heldBytes >= SMALL_BYTES_MAX) return uploads.mayGoOn(this, budget.full)
    uploads.end(this)
    return true
  }

  /** Large requests are read and begun piece by piece, each in its turn. */
  #hasTurn(): boolean {
    if (!this.#turnDue && (this.#pieceBytes >= PIECE_BYTES || this.#pieceArguments >= PIECE_ARGUMENTS)) {
      this.#pieceBytes = 0
      this.#pieceArguments = 0
      this.#turnDue = true
      this.#deps.largeWork.begin(() => {
        this.#turnDue = false
        this.#planFlush()
        return !this.isClosed
      })
    }
    return !this.#turnDue
  }

  /** Tells the budget what the client holds now. Afterwards the connection may be closed. */
  #report(): void {
    if (this.isClosed) return
    const replies = this.#replyBytes + this.#output.bytes
    const expected = this.#reads * Math.min(this.#paced.valueBytes, SMALL_BYTES_MAX)
    const held = this.#parser.heldBytes + this.#requestBytes + replies + expected
    if (held !== this.budgeted || replies !== this.budgetedReplies) this.#budget.report(this, held, replies)
  }

  #planFlush(): void {
    if (this.#flushPlanned || this.#advancing || this.#state === 'closed') return
    this.#flushPlanned = true
    this.#deps.flushLater(this)
  }

  /** The last reply may be long, and the client slow; it has the same time as for the end of the stream. */
  #endWhenSent(): void {
    this.#linger ??= this.#deps.clock.after(LINGER_MS, () => this.#socket.destroy())
    if (this.#output.bytes === this.#socket.writableLength) this.#end()
  }

  /**
   * closing -> ended: sends the end of the stream after the last reply, then reads and drops the bytes that still come.
   * Closing with unread bytes would reset the connection, and the client could lose the last reply.
   */
  #end(): void {
    this.#state = 'ended'
    this.#socket.end()
  }

  /** -> closed */
  #release(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#linger?.cancel()
    this.#delay?.cancel()
    this.#first = undefined
    this.#last = undefined
    this.#output.drop()
    this.#deps.uploads.end(this)
    this.#budget.report(this, 0, 0)
    this.#deps.closed(this)
  }
}
