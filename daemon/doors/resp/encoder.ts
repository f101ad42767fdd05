// Turns replies into bytes of RESP2 or RESP3. Knows no commands and no sockets.
// Small replies are collected in one scratch buffer that lives as long as the door. Large values are not copied.
// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
import type { Bytes } from '../../../lib/bytes.js'
import { RingdError } from '../../../lib/errors.js'
import { KiB } from '../../../lib/limits.js'

export type Protocol = 2 | 3

/** An error line: the prefix and a message, without the leading `-`. Line breaks in it become spaces. */
export class ErrorReply {
  readonly line: string

  constructor(line: string) {
    this.line = line.replace(/[\r\n\0]/g, ' ')
  }

  static of(error: RingdError): ErrorReply {
    return new ErrorReply(`${error.form.resp} ${error.message}`)
  }
}

export const SYNTAX_ERROR = new ErrorReply('ERR syntax error')
export const NOT_AN_INTEGER = new ErrorReply('ERR value is not an integer or out of range')
/** An error repeats at most this much of what the client sent, bytes. As in Redis. */
export const QUOTED_MAX = 128

/** Text for people: in RESP3 `=` with the format `txt`, in RESP2 a bulk string. */
export class VerbatimText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/**
 * One reply: string = simple string (ASCII, no line breaks), Bytes = bulk string, number and bigint = integer, null,
 * and nested.
 */
export type Reply =
  | string
  | Bytes
  | number
  | bigint
  | null
  | ErrorReply
  | VerbatimText
  | readonly Reply[]
  | ReadonlyMap<Reply, Reply>
  | ReadonlySet<Reply>

/** Makes a reply of an answer of the ring. A RingdError becomes its error line. */
export function toReply(result: Reply | undefined | RingdError): Reply {
  if (result === undefined) return null
  return result instanceof RingdError ? ErrorReply.of(result) : result
}

export function bulk(text: string): Bytes {
  return Buffer.from(text, 'utf8')
}

const SCRATCH_BYTES = 64 * KiB
/** A larger value goes to the socket without a copy: copying it would cost more than one more piece of a writev. */
const COPY_BYTES_MAX = 8 * KiB
/** Space for a type byte, the digits of a safe integer, and two line ends. */
const HEADER_BYTES = 32

const CR = 13
const LF = 10
const BULK = '$'.charCodeAt(0)
const INTEGER = ':'.charCodeAt(0)
const ARRAY = '*'.charCodeAt(0)
const MAP = '%'.charCodeAt(0)
const SET = '~'.charCodeAt(0)

/** Collects replies; `take` returns them. All connections share one writer: call `take` before another one writes. */
export class ReplyWriter {
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  #length = 0
  #pieces: Bytes[] = []

  /** Returns the bytes written since the last call, in order, in few pieces. Empty when none were written. */
  take(): Bytes[] {
    this.#cut()
    const pieces = this.#pieces
    if (pieces.length > 0) this.#pieces = []
    return pieces
  }

  write(reply: Reply, protocol: Protocol): void {
    if (typeof reply === 'string') this.#text(`+${reply}\r\n`)
    else if (typeof reply === 'number') this.#header(INTEGER, reply)
    else if (typeof reply === 'bigint') this.#text(`:${reply}\r\n`)
    else if (reply === null) this.#text(protocol === 3 ? '_\r\n' : '$-1\r\n')
    else if (reply instanceof Uint8Array) this.#bulk(reply)
    else if (reply instanceof ErrorReply) this.#text(`-${reply.line}\r\n`)
    else if (reply instanceof VerbatimText) this.#verbatim(reply.text, protocol)
    else if (reply instanceof Map) {
      this.#header(protocol === 3 ? MAP : ARRAY, protocol === 3 ? reply.size : 2 * reply.size)
      for (const [key, value] of reply) {
        this.write(key, protocol)
        this.write(value, protocol)
      }
    } else if (reply instanceof Set) {
      this.#header(protocol === 3 ? SET : ARRAY, reply.size)
      for (const item of reply) this.write(item, protocol)
    } else {
      const items = reply as readonly Reply[]
      this.#header(ARRAY, items.length)
      for (const item of items) this.write(item, protocol)
    }
  }

  #bulk(bytes: Bytes): void {
    this.#header(BULK, bytes.length)
    this.#bytes(bytes)
    this.#reserve(2)
    this.#lineEnd()
  }

  #verbatim(text: string, protocol: Protocol): void {
    if (protocol === 2) {
      this.#bulk(bulk(text))
      return
    }
    const bytes = bulk(`txt:${text}`)
    this.#text(`=${bytes.length}\r\n`)
    this.#bytes(bytes)
    this.#text('\r\n')
  }

  #bytes(bytes: Bytes): void {
    if (bytes.length > COPY_BYTES_MAX) {
      this.#cut()
      this.#pieces.push(bytes)
      return
    }
    this.#reserve(bytes.length)
    this.#scratch.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** A type byte, a whole number and a line end. */
  #header(type: number, value: number): void {
    this.#reserve(HEADER_BYTES)
    this.#scratch[this.#length++] = type
    if (value < 0 || value > 0x7fffffff) {
      this.#length += this.#scratch.write(String(value), this.#length, 'latin1')
    } else {
      let digits = 1
      for (let bound = 10; value >= bound; bound *= 10) digits++
      let rest = value
      for (let at = this.#length + digits - 1; at >= this.#length; at--) {
        const tenth = Math.trunc(rest / 10)
        this.#scratch[at] = 48 + rest - tenth * 10
        rest = tenth
      }
      this.#length += digits
    }
    this.#lineEnd()
  }

  #lineEnd(): void {
    this.#scratch[this.#length++] = CR
    this.#scratch[this.#length++] = LF
  }

  /** Text that the door itself makes. An error may quote a client, so the text is UTF-8 and may be long. */
  #text(text: string): void {
    const bytesMax = text.length * 3
    if (bytesMax > SCRATCH_BYTES) {
      this.#bytes(bulk(text))
      return
    }
    this.#reserve(bytesMax)
    this.#length += this.#scratch.write(text, this.#length)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes > SCRATCH_BYTES) this.#cut()
  }

  #cut(): void {
    if (this.#length === 0) return
    this.#pieces.push(Buffer.from(this.#scratch.subarray(0, this.#length)))
    this.#length = 0
  }
}
