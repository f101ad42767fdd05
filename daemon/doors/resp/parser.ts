// Turns the bytes of one connection into requests: multibulk (`*2\r\n$3\r\nGET\r\n...`) and inline (`GET key\r\n`).
// Owns every bound on incoming bytes, and checks each bound before it allocates. Does not decode arguments or reply.
// Invariants: each received byte is read and copied a bounded number of times, however the stream is cut into chunks;
// the memory of an unfinished request is at most about twice its received bytes.
// Source: https://redis.io/docs/latest/develop/reference/protocol-spec/ and the error texts of Redis 7 (networking.c).
import { RingdError } from '../../../lib/errors.js'
import { KiB } from '../../../lib/limits.js'
import { splitInline } from './inline.js'

/** Longest inline request and longest header line. As in Redis (PROTO_INLINE_MAX_SIZE). */
export const LINE_BYTES_MAX = 64 * KiB
/** Most arguments of one request. Redis takes eight times as many; the objects of so many would take 100 MiB. */
export const ARGUMENTS_MAX = 128 * 1024
/**
 * Memory of an argument besides its bytes: its object. Without it, a million empty arguments would count as nothing.
 */
export const ARGUMENT_OVERHEAD_BYTES = 128
/** The bounds of a client before it has authenticated. As in Redis, but for the sum of its arguments. */
const UNTRUSTED_ARGUMENTS_MAX = 10
const UNTRUSTED_BULK_BYTES_MAX = 16 * KiB
const UNTRUSTED_REQUEST_BYTES_MAX = 64 * KiB

const CR = 13
const LF = 10
const STAR = 42
const DOLLAR = 36
const MINUS = 45
const ZERO = 48
const NINE = 57

const NOTHING = Buffer.alloc(0)

export interface ParserOptions {
  /** The longest argument, bytes. */
  readonly bulkBytesMax: number
  /** The most bytes of all arguments of one request, plus ARGUMENT_OVERHEAD_BYTES for each. */
  readonly requestBytesMax: number
}

/**
 * One for each connection: `push` a chunk, call `next` until it returns undefined, then push the next chunk.
 * An argument that lies in one chunk is a view of the chunk: it is not copied, and keeps the chunk in memory until its
 * command is done. No part behind the door keeps an argument longer, since values are stored as encoded envelopes. The
 * arguments of an incomplete request are copied when they are the smaller part of their chunk.
 */
export class RequestParser {
  /** False until the client has authenticated. Then only small requests are accepted. */
  trusted = true
  /** The size of the request that `next` gave last: its bytes and the overhead of its arguments. */
  requestBytes = 0

  readonly #options: ParserOptions
  #chunk: Buffer = NOTHING
  #at = 0
  /** The open request: its arguments so far, how many of them need no chunk any more, and how many are missing. */
  #args: Buffer[] = []
  #argsSafe = 0
  #argsMissing = 0
  #argsBytes = 0
  /** Length of the bulk whose header was read last, or -1. */
  #bulk = -1
  /** The beginning of a line or bulk that the end of the chunk cut off. */
  #part: Buffer = NOTHING
  #partLength = 0

  constructor(options: ParserOptions) {
    this.#options = options
  }

  /** Bytes of memory held now: the unread rest of the chunk, and the incomplete request. */
  get heldBytes(): number {
    return this.#chunk.length - this.#at + this.#argsBytes + this.#part.length
  }

  /** Takes the next bytes. Call it only after `next` returned undefined. The parser keeps views of `chunk`. */
  push(chunk: Buffer): void {
    this.#chunk = this.#at < this.#chunk.length ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk
    this.#at = 0
  }

  /**
   * The next complete request, with at least one argument, or undefined when more bytes are needed. Throws BAD_REQUEST
   * with the texts of Redis (`Protocol error: ...`). After an error the stream cannot be read further.
   */
  next(): Buffer[] | undefined {
    while (this.#argsMissing === 0) {
      if (this.#at === this.#chunk.length) return this.#wait()
      if ((this.#partLength > 0 ? this.#part[0] : this.#chunk[this.#at]) !== STAR) {
        const args = this.#inline()
        if (args === undefined) return this.#wait()
        if (args.length > 0) return args
      } else if (!this.#begin()) return this.#wait()
    }
    return this.#arguments()
  }

  /** Reads `*count`. A count of zero or less is an empty request, which is skipped, as in Redis. */
  #begin(): boolean {
    const count = this.#header(STAR, 'too big mbulk count string', 'invalid multibulk length')
    if (count === undefined) return false
    if (count > ARGUMENTS_MAX) throw protocolError('invalid multibulk length')
    if (!this.trusted && count > UNTRUSTED_ARGUMENTS_MAX) throw protocolError('unauthenticated multibulk length')
    this.#argsMissing = Math.max(0, count)
    this.#argsBytes = 0
    this.#argsSafe = 0
    return true
  }

  #arguments(): Buffer[] | undefined {
    while (this.#argsMissing > 0) {
      if (this.#bulk < 0 && !this.#beginBulk()) return this.#wait()
      const arg = this.#payload()
      if (arg === undefined) return this.#wait()
      this.#args.push(arg)
      this.#argsBytes += arg.length + ARGUMENT_OVERHEAD_BYTES
      this.#argsMissing--
      this.#bulk = -1
    }
    const args = this.#args
    this.requestBytes = this.#argsBytes
    this.#args = []
    this.#argsBytes = 0
    return args
  }

  /** Reads `$length` and checks it before any memory is allocated for it. */
  #beginBulk(): boolean {
    const length = this.#header(DOLLAR, 'too big bulk count string', 'invalid bulk length')
    if (length === undefined) return false
    if (length < 0 || length > this.#options.bulkBytesMax) throw protocolError('invalid bulk length')
    if (!this.trusted && length > UNTRUSTED_BULK_BYTES_MAX) throw protocolError('unauthenticated bulk length')
    const needed = this.#argsBytes + length + ARGUMENT_OVERHEAD_BYTES
    if (!this.trusted && needed > UNTRUSTED_REQUEST_BYTES_MAX) throw protocolError('unauthenticated multibulk request')
    if (needed > this.#options.requestBytesMax) throw protocolError('too big multibulk request')
    this.#bulk = length
    return true
  }

  /** The number after `marker`. Has a fast path for a plain number in a line that lies whole in the chunk. */
  #header(marker: number, tooLong: string, invalid: string): number | undefined {
    if (this.#partLength === 0) {
      const chunk = this.#chunk
      const start = this.#at + 1
      let at = start
      let value = 0
      let byte = chunk[at]
      while (byte !== undefined && byte >= ZERO && byte <= NINE && at < start + 9) {
        value = value * 10 + byte - ZERO
        byte = chunk[++at]
      }
      const plain = at > start && (at === start + 1 || chunk[start] !== ZERO) && chunk[start - 1] === marker
      if (plain && byte === CR && chunk[at + 1] === LF) {
        this.#at = at + 2
        return value
      }
    }
    const line = this.#line(tooLong)
    if (line === undefined) return undefined
    if (line[0] !== marker) throw protocolError(`expected '$', got '${String.fromCharCode(line[0] ?? 0)}'`)
    const value = line.at(-1) === CR ? parseInteger(line.subarray(1, -1)) : undefined
    if (value === undefined) throw protocolError(invalid)
    return value
  }

  #inline(): Buffer[] | undefined {
    const line = this.#line('too big inline request')
    if (line === undefined) return undefined
    const args = splitInline(line.at(-1) === CR ? line.subarray(0, -1) : line)
    if (args === undefined) throw protocolError('unbalanced quotes in request')
    if (!this.trusted && args.length > UNTRUSTED_ARGUMENTS_MAX) throw protocolError('unauthenticated multibulk length')
    this.requestBytes = line.length + args.length * ARGUMENT_OVERHEAD_BYTES
    return args
  }

  /** The bytes before the next LF. */
  #line(tooLong: string): Buffer | undefined {
    const end = this.#chunk.indexOf(LF, this.#at)
    const length = (end < 0 ? this.#chunk.length : end) - this.#at
    if (this.#partLength + length > LINE_BYTES_MAX) throw protocolError(tooLong)
    if (end >= 0 && this.#partLength === 0) {
      const line = this.#chunk.subarray(this.#at, end)
      this.#at = end + 1
      return line
    }
    this.#append(length, LINE_BYTES_MAX)
    if (end < 0) return undefined
    this.#at++
    return this.#takePart(this.#partLength)
  }

  /** Reads the bulk and its CRLF. */
  #payload(): Buffer | undefined {
    const length = this.#bulk
    const available = this.#chunk.length - this.#at
    if (this.#partLength === 0 && available >= length + 2) {
      const start = this.#at
      this.#at += length + 2
      if (this.#chunk[start + length] !== CR || this.#chunk[start + length + 1] !== LF) {
        throw protocolError('invalid bulk length')
      }
      return this.#chunk.subarray(start, start + length)
    }
    this.#append(Math.min(available, length + 2 - this.#partLength), length + 2)
    if (this.#partLength < length + 2) return undefined
    if (this.#part[length] !== CR || this.#part[length + 1] !== LF) throw protocolError('invalid bulk length')
    return this.#takePart(length)
  }

  /** Moves `length` bytes of the chunk to the part. The part doubles when it is full, up to `bytesMax`. */
  #append(length: number, bytesMax: number): void {
    const needed = this.#partLength + length
    if (needed > this.#part.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(bytesMax, Math.max(needed, 2 * this.#part.length)))
      this.#part.copy(grown, 0, 0, this.#partLength)
      this.#part = grown
    }
    this.#chunk.copy(this.#part, this.#partLength, this.#at, this.#at + length)
    this.#partLength = needed
    this.#at += length
  }

  #takePart(length: number): Buffer {
    const bytes = this.#part.subarray(0, length)
    this.#part = NOTHING
    this.#partLength = 0
    return bytes
  }

  /** The chunk is read to its end: releases it, unless most of it belongs to the open request. */
  #wait(): undefined {
    let bytes = 0
    for (let i = this.#argsSafe; i < this.#args.length; i++) bytes += this.#args[i]!.length
    if (bytes * 2 < this.#chunk.length) {
      for (let i = this.#argsSafe; i < this.#args.length; i++) this.#args[i] = Buffer.from(this.#args[i]!)
    }
    this.#argsSafe = this.#args.length
    this.#chunk = NOTHING
    this.#at = 0
    return undefined
  }
}

/** A whole decimal number as in string2ll of Redis: no plus, no leading zero, no space; at most 10 digits. */
export function parseInteger(digits: Uint8Array): number | undefined {
  const negative = digits[0] === MINUS
  const from = negative ? 1 : 0
  const length = digits.length - from
  if (length < 1 || length > 10 || (digits[from] === ZERO && digits.length > 1)) return undefined
  let value = 0
  for (let i = from; i < digits.length; i++) {
    const byte = digits[i]!
    if (byte < ZERO || byte > NINE) return undefined
    value = value * 10 + byte - ZERO
  }
  return negative ? -value : value
}

function protocolError(detail: string): RingdError {
  return new RingdError('BAD_REQUEST', `Protocol error: ${detail}`)
}
