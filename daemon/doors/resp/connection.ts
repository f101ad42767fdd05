// One client: takes its requests, runs them at once, and sends the replies in the order of the requests.
// Owns the socket, the parser, the queue of calls, and every bound on the memory that this client can use. It does not
// read from the socket while too many bytes are unanswered, unread by the client, or held by all clients together.
// Replies that are ready in the same turn of the event loop leave in one write.
import type { Socket } from 'node:net'
import type { Clock, Timer } from '../../../lib/clock.js'
import { toRingdError } from '../../../lib/errors.js'
import type { KeyValue } from '../../../lib/key-value.js'
import { KiB, MiB } from '../../../lib/limits.js'
import type { Budget, Holder } from './budget.js'
import { Call, type CommandSettings, type Session } from './command.js'
import { runCommand } from './commands.js'
import { ErrorReply, type Protocol, type ReplyWriter } from './encoder.js'
import { KeyOrder } from './key-order.js'
import { type ParserOptions, RequestParser } from './parser.js'

/** Unanswered commands of one client. Allows deep pipelines, and bounds the load on the ring. */
const CALLS_MAX = 1024
/** Bytes of one client: its unanswered requests, its replies not written yet, and the expected replies of its reads. */
const CLIENT_BYTES_MAX = MiB
/**
 * Estimated length of a reply: before the first one came, and the minimum. It falls by an eighth with each reply.
 */
const VALUE_BYTES_FIRST = 64 * KiB
const VALUE_BYTES_LEAST = 512
const KEYS_AT_ONCE_MAX = 64
/** Memory of one queued call, apart from its arguments. */
const CALL_OVERHEAD_BYTES = 256
/** A result of at least this size is counted at once; smaller ones when they are written. */
const NOTABLE_BYTES = 16 * KiB
/** How long a client may take to read its last replies after the door has closed its side. */
const LINGER_MS = 10_000

export interface ConnectionDeps {
  readonly socket: Socket
  readonly keyValue: KeyValue
  readonly clock: Clock
  readonly budget: Budget
  /** All connections share it. */
  readonly writer: ReplyWriter
  readonly settings: CommandSettings
  /** Calls `flush` at the end of the current turn of the event loop. */
  flushLater(connection: Connection): void
  /** A command was taken. */
  counted(): void
  /** The socket is closed, and all memory of the connection is released. */
  closed(connection: Connection): void
}

export interface ConnectionOptions extends ParserOptions {
  readonly id: number
}

export class Connection implements Session, Holder {
  readonly id: number
  readonly settings: CommandSettings
  readonly keyValue: KeyValue
  protocol: Protocol = 2
  name = ''
  authenticated: boolean
  budgeted = 0

  readonly #deps: ConnectionDeps
  readonly #socket: Socket
  readonly #parser: RequestParser
  /** The calls whose replies are not written yet, oldest first. */
  #first: Call | undefined
  #last: Call | undefined
  #calls = 0
  #requestBytes = 0
  #replyBytes = 0
  #reads = 0
  #valueBytes = VALUE_BYTES_FIRST
  #flushPlanned = false
  #advancing = false
  #paused = false
  /** open -> closing (takes no command, answers the open ones) -> ended (all written) -> closed (holds nothing). */
  #state: 'open' | 'closing' | 'ended' | 'closed' = 'open'
  /** The parser may have a complete request that was not taken yet. */
  #unparsed = false
  #clientDone = false
  #linger: Timer | undefined

  constructor(deps: ConnectionDeps, options: ConnectionOptions) {
    this.#deps = deps
    this.#socket = deps.socket
    this.id = options.id
    this.settings = deps.settings
    this.keyValue = new KeyOrder(deps.keyValue)
    this.authenticated = deps.settings.password === undefined
    this.#parser = new RequestParser(options)
    this.#socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#socket.on('drain', () => this.flush())
    this.#socket.on('end', () => this.#clientEnded())
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#release())
  }

  get keysAtOnce(): number {
    return Math.min(KEYS_AT_ONCE_MAX, Math.max(1, Math.floor(CLIENT_BYTES_MAX / this.#valueBytes)))
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

  answered(call: Call): void {
    if (call === this.#first) this.#planFlush()
  }

  held(call: Call, bytes: number): void {
    this.#replyBytes += bytes
    if (bytes >= NOTABLE_BYTES || call === this.#first) this.#planFlush()
  }

  readBegan(): void {
    this.#reads++
  }

  readEnded(valueBytes: number): void {
    this.#reads--
    this.#valueBytes = Math.max(valueBytes, VALUE_BYTES_LEAST, this.#valueBytes - (this.#valueBytes >> 3))
  }

  /** Writes the replies that are ready, and reads from the socket again when there is room. */
  flush(): void {
    this.#flushPlanned = false
    if (this.#state === 'closed') return
    this.#write()
    this.#advance()
  }

  #receive(chunk: Buffer): void {
    if (this.#state !== 'open') return
    this.#parser.push(chunk)
    this.#unparsed = true
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
    if (this.#state === 'open' && this.#clientDone && !this.#unparsed) this.#state = 'closing'
    if (this.#state === 'closing' && this.#first === undefined) this.#end()
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
        return
      }
      this.#deps.counted()
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
    if (this.#state !== 'open' || this.#paused || this.#socket.writableLength >= CLIENT_BYTES_MAX) return false
    if (this.#calls === 0) return true
    return (
      !this.#deps.budget.full &&
      this.#calls < CALLS_MAX &&
      this.#requestBytes + this.#replyBytes < CLIENT_BYTES_MAX &&
      this.#reads * this.#valueBytes < CLIENT_BYTES_MAX
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
    const pieces = writer.take()
    if (pieces.length > 1) this.#socket.cork()
    for (const piece of pieces) this.#socket.write(piece)
    if (pieces.length > 1) this.#socket.uncork()
  }

  /** Reads from the socket exactly while there is room, and reports the held bytes to the budget. */
  #steer(): void {
    if (this.#isClosed()) return
    const held = this.#parser.heldBytes + this.#requestBytes + this.#replyBytes + this.#socket.writableLength
    if (held !== this.budgeted) this.#deps.budget.report(this, held)
    if (this.#isClosed()) return
    const reads = this.#state === 'ended' || (!this.#unparsed && this.#hasRoom())
    if (reads === this.#socket.isPaused()) {
      if (reads) this.#socket.resume()
      else this.#socket.pause()
    }
  }

  #isClosed(): boolean {
    return this.#state === 'closed'
  }

  #planFlush(): void {
    if (this.#flushPlanned || this.#advancing || this.#state === 'closed') return
    this.#flushPlanned = true
    this.#deps.flushLater(this)
  }

  /**
   * closing -> ended: sends the end of the stream after the last reply, then reads and drops the bytes that still come.
   * Closing with unread bytes would reset the connection, and the client could lose the last reply.
   */
  #end(): void {
    this.#state = 'ended'
    this.#socket.end()
    this.#linger = this.#deps.clock.after(LINGER_MS, () => this.#socket.destroy())
  }

  /** -> closed */
  #release(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#linger?.cancel()
    this.#first = undefined
    this.#last = undefined
    this.#deps.budget.report(this, 0)
    this.#deps.closed(this)
  }
}
