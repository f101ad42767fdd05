// Turns the bytes of one connection into requests: multibulk (`*2\r\n$3\r\nGET\r\n...`) and inline (`GET key\r\n`).
// Owns every bound on incoming bytes and checks each before it allocates. Never decodes arguments, never answers.
// Invariant: each received byte is looked at, and copied, a bounded number of times however the stream is cut, and
// memory kept for an unfinished request is at most about twice what was received of it.
// Spec: https://redis.io/docs/latest/develop/reference/protocol-spec/ and the error texts of Redis 7 (networking.c).
import { RingdError } from '../../../lib/errors.js'
import { KiB } from '../../../lib/limits.js'
import { splitInline } from './inline.js'

/** Longest inline request and longest header line. As in Redis (PROTO_INLINE_MAX_SIZE). */
export const LINE_BYTES_MAX = 64 * KiB
/** Most arguments of one request. As in Redis. */
export const ARGUMENTS_MAX = 1024 * 1024
/**
 * Memory of an argument besides its bytes: its object. Without it, a million empty arguments would count as nothing.
 */
export const ARGUMENT_OVERHEAD_BYTES = 128
/** The bounds of a client before it has authenticated. As in Redis. */
const UNTRUSTED_ARGUMENTS_MAX = 10
const UNTRUSTED_BULK_BYTES_MAX = 16 * KiB

const CR = 13
const LF = 10
const STAR = 42
const DOLLAR = 36
const MINUS = 45
const ZERO = 48
const NINE = 57

const NOTHING = Buffer.alloc(0)

export interface ParserOptions {
  /** Longest single argument, bytes. */
  readonly bulkBytesMax: number
  /** Most bytes of all arguments of one request, each with ARGUMENT_OVERHEAD_BYTES on top. */
  readonly requestBytesMax: number
}

/**
 * One per connection: `push` a chunk, then call `next` until it gives undefined, then push the next chunk.
 * Arguments are views of the chunk where they lay in it whole, which costs nothing and holds the chunk while the
 * request is worked on; nothing behind the door keeps them longer (values are stored as encoded envelopes, replies are
 * written). Arguments of a request that is not complete yet are copied out of a chunk that they would hold for little.
 */
export class RequestParser {
  /** False until the client has authenticated: then only small requests are taken. */
  trusted = true
  /** The size of the request that `next` gave last: its bytes and the overhead of its arguments. */
  requestBytes = 0

  readonly #options: ParserOptions
  #chunk: Buffer = NOTHING
  #at = 0
  /** The open request: what it has so far, how many of these no longer depend on a chunk, how many are to come. */
  #args: Buffer[] = []
  #argsSafe = 0
  #argsMissing = 0
  #argsBytes = 0
  /** Length of the bulk whose header was read, or -1. */
  #bulk = -1
  /** The beginning of a line or bulk that is cut off at the end of the chunk. */
  #part: Buffer = NOTHING
  #partLength = 0

  constructor(options: ParserOptions) {
    this.#options = options
  }

  /** Bytes of memory held now: the unread rest of the chunk, and the request that is not complete. */
  get heldBytes(): number {
    return this.#chunk.length - this.#at + this.#argsBytes + this.#part.length
  }

  /** Takes the next bytes. Only when `next` has given undefined; the parser keeps views of `chunk`. */
  push(chunk: Buffer): void {
    this.#chunk = this.#at < this.#chunk.length ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk
    this.#at = 0
  }

  /**
   * The next whole request, at least one argument, or undefined when more bytes are needed. Throws BAD_REQUEST with
   * Redis' own words (`Protocol error: ...`); after that the stream cannot be read any further.
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

  /** Reads `*count`; a count of zero or less is an empty request and skipped, as in Redis. */
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

  /** Reads `$length` and checks it, before anything is allocated for it. */
  #beginBulk(): boolean {
    const length = this.#header(DOLLAR, 'too big bulk count string', 'invalid bulk length')
    if (length === undefined) return false
    if (length < 0 || length > this.#options.bulkBytesMax) throw protocolError('invalid bulk length')
    if (!this.trusted && length > UNTRUSTED_BULK_BYTES_MAX) throw protocolError('unauthenticated bulk length')
    if (this.#argsBytes + length + ARGUMENT_OVERHEAD_BYTES > this.#options.requestBytesMax) {
      throw protocolError('too big multibulk request')
    }
    this.#bulk = length
    return true
  }

  /** The number after `marker`. Quick when the line lies whole in the chunk and is a plain number. */
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

  /** The bulk and its CRLF. */
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

  /** Moves `length` bytes of the chunk to the part, which grows by doubling, never beyond `bytesMax`. */
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

  /** The chunk is used up: lets go of it, unless most of it belongs to the open request. */
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

/** A whole decimal number as Redis' string2ll takes it: no plus, no leading zeros, no spaces; at most 10 digits. */
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
