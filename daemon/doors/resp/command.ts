// The types of a command, of the session that it may touch, and of one call of it. No command itself is here.
import type { Bytes } from '../../../lib/bytes.js'
import type { RingdError } from '../../../lib/errors.js'
import type { Consistency, Decide, Found, KeyValue } from '../../../lib/key-value.js'
import type { Protocol, Reply } from './encoder.js'
import type { Login } from './login.js'

/** One row of the command table. */
export interface Command {
  /** Lower case. */
  readonly name: string
  /** Arguments with the name: a positive number is exact, a negative one a minimum. As in Redis. */
  readonly arity: number
  /** Flags as in Redis. `no_auth`: allowed before the client has authenticated. */
  readonly flags: readonly string[]
  /** Positions of the keys: first, last (negative: from the end), step. 0 0 0: the command has no keys. */
  readonly keys: readonly [first: number, last: number, step: number]
  readonly group: 'string' | 'generic' | 'connection' | 'server'
  readonly since: string
  readonly summary: string
  readonly subcommands?: readonly Command[]
  /** Returns the reply; or undefined when the command calls `call.finish` itself, exactly once, now or later. */
  run(call: Call): Reply | undefined
}

/** Facts of the process that INFO and DBSIZE report. The composition root supplies them. */
export interface DoorInfo {
  readonly version: string
  /** 40 hex digits, new at each start. */
  readonly runId: string
  readonly processId: number
  /** The approximate number of keys that this peer stores. */
  keys(): number
  /** No value that this peer stores in the slot of the key is larger, bytes. Infinity when it cannot tell. */
  largestNear(key: Bytes): number
  /** Resident memory of the process, bytes. */
  memoryBytes(): number
}

/** The counts of the door, for INFO and for metrics. */
export interface DoorStats {
  readonly connections: number
  readonly connectionsReceived: number
  readonly connectionsRejected: number
  readonly connectionsEvicted: number
  /** Of all connections, those that have not logged in. */
  readonly strangers: number
  readonly commands: number
  /** Bytes of all requests and replies in flight. */
  readonly bytesHeld: number
  readonly uptimeMs: number
}

/** The settings that commands read. */
export interface CommandSettings {
  readonly host: string
  readonly port: number
  readonly login: Login
  readonly read: Consistency
  readonly write: Consistency
  readonly keyBytesMax: number
  readonly valueBytesMax: number
  readonly replyBytesMax: number
  readonly connectionsMax: number
  /** Seconds after which a silent client is closed; 0: never. */
  readonly idleSeconds: number
  readonly info: DoorInfo
  /** Wall clock, ms since 1970. */
  now(): number
  stats(): DoorStats
}

/** One client, as commands see it. */
export interface Session {
  readonly id: number
  readonly settings: CommandSettings
  /** The ring, through the order of this client's commands on one key. */
  readonly keyValue: KeyValue
  protocol: Protocol
  name: string
  authenticated: boolean
  /** How many keys of one command may run at once, at least 1. Large values lower it. */
  readonly keysAtOnce: number
  /** Starts no command of this client until `resume`. For a command that cannot start all its keys at once. */
  pause(): void
  resume(): void
  /** Takes no further command, and closes the connection when all commands are answered. */
  closeWhenAnswered(): void
  /** Answers a wrong password with `reply`: later each time, and the last time the connection closes. */
  refuseLogin(call: Call, reply: Reply): undefined
  /** The door has made a reply of about `bytes` for a command. Many of them end the turn of this client. */
  made(bytes: number): void
  /** Only `Call` calls the following: a reply is ready; a reply has grown; a read has begun; a read has ended. */
  answered(call: Call): void
  held(call: Call, bytes: number): void
  readBegan(): void
  readEnded(): void
}

/** One command of one client: its arguments, and its place in the queue of replies. */
export class Call {
  /** The next call on the same connection. */
  next: Call | undefined
  /** The protocol of the reply: the one of the moment when the command started. A later HELLO does not change it. */
  protocol: Protocol = 2
  reply: Reply = null
  done = false
  /** Bytes of the values read for the reply so far. */
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
      session.readEnded()
      reply(result)
    })
  }

  /** Like `read`, but with the expiry. */
  find(key: Bytes, reply: (result: Found | undefined | RingdError) => void): void {
    const { session } = this
    session.readBegan()
    session.keyValue.find(key, session.settings.read, (result) => {
      session.readEnded()
      reply(result)
    })
  }

  /**
   * Reads `key` and writes the change of `decide`, as one step, at the door's consistency for writes, in this client's
   * order. `isConditional`: it often writes nothing.
   */
  update<T>(key: Bytes, decide: Decide<T>, reply: (result: T | RingdError) => void, isConditional = false): void {
    const { session } = this
    session.readBegan()
    const done = (result: T | RingdError): void => {
      session.readEnded()
      reply(result)
    }
    session.keyValue.update(key, session.settings.write, decide, done, { isConditional })
  }

  /** Sets the reply. Later calls do nothing. */
  finish(reply: Reply): void {
    if (this.done) return
    this.done = true
    this.reply = reply
    this.args = []
    this.session.answered(this)
  }

  /** Counts `bytes` of the reply as held until the reply is written. */
  hold(bytes: number): void {
    this.heldBytes += bytes
    this.session.held(this, bytes)
  }
}
