// The types of a command, of the session that it may touch, and of one call of it. No command itself is here.
import type { Bytes } from '../../../lib/bytes.js'
import type { RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue } from '../../../lib/key-value.js'
import type { Protocol, Reply } from './encoder.js'

/** One row of the command table. */
export interface Command {
  /** Lower case. */
  readonly name: string
  /** Arguments with the name: a positive number is exact, a negative one a minimum. As in Redis. */
  readonly arity: number
  /** Redis' flags. `no_auth` = allowed before the client has authenticated. */
  readonly flags: readonly string[]
  /** Positions of the keys: first, last (negative counts from the end), step; 0 0 0 when it has none. */
  readonly keys: readonly [first: number, last: number, step: number]
  readonly group: 'string' | 'generic' | 'connection' | 'server'
  readonly since: string
  readonly summary: string
  readonly subcommands?: readonly Command[]
  /** The reply; or undefined when the command finishes `call` itself, exactly once, later or by then. */
  run(call: Call): Reply | undefined
}

/** Facts of the process that INFO and DBSIZE report. The composition root supplies them. */
export interface DoorInfo {
  readonly version: string
  /** 40 hex characters, another one for each start. */
  readonly runId: string
  readonly processId: number
  /** Keys that this peer stores, about. */
  keys(): number
  /** Resident memory of the process, bytes. */
  memoryBytes(): number
}

/** The counts of the door, for INFO and for metrics. */
export interface DoorStats {
  readonly connections: number
  readonly connectionsReceived: number
  readonly connectionsRejected: number
  readonly connectionsEvicted: number
  readonly commands: number
  /** Bytes that requests and replies in flight hold. */
  readonly bytesHeld: number
  readonly uptimeMs: number
}

/** The settings that commands look at. */
export interface CommandSettings {
  readonly host: string
  readonly port: number
  readonly password: string | undefined
  readonly read: Consistency
  readonly write: Consistency
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  readonly replyBytesMax: number
  readonly connectionsMax: number
  readonly info: DoorInfo
  /** Wall clock, ms since 1970. */
  now(): number
  stats(): DoorStats
}

/** One client, as commands see it. */
export interface Session {
  readonly id: number
  readonly settings: CommandSettings
  /** Keeps the order of this client's commands on one key. */
  readonly keyValue: KeyValue
  protocol: Protocol
  name: string
  authenticated: boolean
  /** How many keys of one command may be worked on at once: fewer where values are large. At least 1. */
  readonly keysAtOnce: number
  /** No command of this client starts until `resume`. For a command that cannot start all its work at once. */
  pause(): void
  resume(): void
  /** Takes no further command, and closes when all are answered. */
  closeWhenAnswered(): void
  /** The rest is called by Call only: a reply is there, bytes were added to one, a read has begun and ended. */
  answered(call: Call): void
  held(call: Call, bytes: number): void
  readBegan(): void
  readEnded(valueBytes: number): void
}

/** One command of one client: what was asked, and the place in line for the reply. */
export class Call {
  /** The call after it on the same connection. */
  next: Call | undefined
  /** The protocol of the reply: as it is when the command has started, whatever a later HELLO says. */
  protocol: Protocol = 2
  reply: Reply = null
  done = false
  /** Bytes of values read for the reply so far. */
  heldBytes = 0
  args: readonly Buffer[]

  constructor(
    args: readonly Buffer[],
    /** Bytes of the request, with overhead. */
    readonly requestBytes: number,
    readonly session: Session
  ) {
    this.args = args
  }

  /** Reads `key` from the ring at the door's consistency, in this client's order. */
  read(key: Bytes, reply: (result: Bytes | undefined | RingdError) => void): void {
    const { session } = this
    session.readBegan()
    session.keyValue.get(key, session.settings.read, (result) => {
      session.readEnded(result instanceof Uint8Array ? result.length : 0)
      reply(result)
    })
  }

  /** As `read`, with the expiry. */
  find(key: Bytes, reply: (result: Found | undefined | RingdError) => void): void {
    const { session } = this
    session.readBegan()
    session.keyValue.find(key, session.settings.read, (result) => this.#ended(result, reply))
  }

  /** Reads `key` and writes what `decide` makes of it at the door's consistency for writes, in this client's order. */
  update(key: Bytes, decide: Decide, reply: (result: Found | undefined | RingdError) => void): void {
    const { session } = this
    session.readBegan()
    session.keyValue.update(key, session.settings.write, decide, (result) => this.#ended(result, reply))
  }

  #ended(result: Found | undefined | RingdError, reply: (result: Found | undefined | RingdError) => void): void {
    this.session.readEnded(result === undefined || result instanceof Error ? 0 : result.value.length)
    reply(result)
  }

  /** The first reply counts. */
  finish(reply: Reply): void {
    if (this.done) return
    this.done = true
    this.reply = reply
    this.args = []
    this.session.answered(this)
  }

  /** Counts `bytes` that the reply will have, until it is written. */
  hold(bytes: number): void {
    this.heldBytes += bytes
    this.session.held(this, bytes)
  }
}
