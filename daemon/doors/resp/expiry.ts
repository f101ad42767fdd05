// When values expire, as Redis words it: the times and options that clients write, and the times they are told. Pure.
// Error texts and their order are those of Redis 7 (t_string.c, expire.c), but for one bound: an expiry lies below
// 2^48 ms since 1970, some 9000 years ahead, and what lies beyond is an invalid expire time.
import { EXPIRES_AT_MS_MAX } from '../../../lib/entry/envelope.js'
import { ErrorReply } from './encoder.js'

/** EX and PX count from now, EXAT and PXAT from 1970; P is for milliseconds. */
export type Unit = 'EX' | 'PX' | 'EXAT' | 'PXAT'

const SYNTAX_ERROR = new ErrorReply('ERR syntax error')
const NO_INTEGER = new ErrorReply('ERR value is not an integer or out of range')
const INTEGER = /^(0|-?[1-9]\d{0,18})$/
const INT64_MAX = 2n ** 63n - 1n
const MS = 1000n

/** The options of SET and GETEX about expiry, beside their key and value. */
export interface ExpiryOptions {
  unit?: Unit
  amount?: Buffer
  keepsExpiry: boolean
  persists: boolean
  /** NX, XX or GET. */
  isConditional: boolean
}

/** The options from `args[from]` on, or a syntax error. */
export function parseOptions(
  args: readonly Buffer[],
  from: number,
  command: 'set' | 'getex'
): ExpiryOptions | ErrorReply {
  const options: ExpiryOptions = { keepsExpiry: false, persists: false, isConditional: false }
  const seen = new Set<string>()
  for (let at = from; at < args.length; at++) {
    const word = args[at]!.toString('latin1').toUpperCase()
    const { unit, keepsExpiry, persists } = options
    const isFree = (unit === undefined || unit === word) && !keepsExpiry && !persists
    if (isUnit(word) && isFree && at + 1 < args.length) {
      options.unit = word
      options.amount = args[++at]!
    } else if (command === 'set' && word === 'KEEPTTL' && unit === undefined) options.keepsExpiry = true
    else if (command === 'getex' && word === 'PERSIST' && unit === undefined) options.persists = true
    else if (command === 'set' && isCondition(word, seen)) options.isConditional = true
    else return SYNTAX_ERROR
    seen.add(word)
  }
  return options
}

function isUnit(word: string): word is Unit {
  return word === 'EX' || word === 'PX' || word === 'EXAT' || word === 'PXAT'
}

function isCondition(word: string, seen: ReadonlySet<string>): boolean {
  return word === 'GET' || (word === 'NX' && !seen.has('XX')) || (word === 'XX' && !seen.has('NX'))
}

/**
 * The moment that a client wrote, in ms since 1970; an error that names `command` when it cannot be one. Moments that
 * are over are allowed, amounts below 1 only where `mayBePast`, as with EXPIRE.
 */
export function momentOf(
  text: Buffer,
  unit: Unit,
  nowMs: number,
  command: string,
  mayBePast = false
): number | ErrorReply {
  const amount = integerOf(text)
  if (amount === undefined) return NO_INTEGER
  const ms = unit === 'EX' || unit === 'EXAT' ? amount * MS : amount
  const moment = unit === 'EX' || unit === 'PX' ? Number(ms) + nowMs : Number(ms)
  const isInvalid = !fits(ms) || moment > EXPIRES_AT_MS_MAX || (amount <= 0n && !mayBePast)
  return isInvalid ? new ErrorReply(`ERR invalid expire time in '${command}' command`) : moment
}

function integerOf(text: Buffer): bigint | undefined {
  // Longer ones are none; and text of a client may be very long.
  const digits = text.length > 20 ? '' : text.toString('latin1')
  if (!INTEGER.test(digits)) return undefined
  const integer = BigInt(digits)
  return fits(integer) ? integer : undefined
}

/** In 64 bits with a sign. */
function fits(integer: bigint): boolean {
  return integer <= INT64_MAX && integer >= -INT64_MAX - 1n
}

/** Conditions that EXPIRE checks before it changes anything. */
export interface Conditions {
  /** Only when there is no expiry, when there is one, when the new one is later, when it is earlier. */
  readonly nx: boolean
  readonly xx: boolean
  readonly gt: boolean
  readonly lt: boolean
}

export function parseConditions(args: readonly Buffer[], from: number): Conditions | ErrorReply {
  const words = new Set<string>()
  for (const arg of args.slice(from)) {
    const word = arg.toString('latin1').toLowerCase()
    if (!['nx', 'xx', 'gt', 'lt'].includes(word)) {
      return new ErrorReply(`ERR Unsupported option ${arg.subarray(0, 128).toString('utf8')}`)
    }
    words.add(word)
  }
  const [nx, xx, gt, lt] = ['nx', 'xx', 'gt', 'lt'].map((word) => words.has(word)) as [
    boolean,
    boolean,
    boolean,
    boolean
  ]
  if (nx && (xx || gt || lt)) {
    return new ErrorReply('ERR NX and XX, GT or LT options at the same time are not compatible')
  }
  if (gt && lt) return new ErrorReply('ERR GT and LT options at the same time are not compatible')
  return { nx, xx, gt, lt }
}

/** Whether the expiry may change from `current` to `next`; no expiry is later than any. */
export function isAllowed({ nx, xx, gt, lt }: Conditions, current: number | undefined, next: number): boolean {
  if ((nx && current !== undefined) || (xx && current === undefined)) return false
  if (gt && (current === undefined || next <= current)) return false
  return !(lt && current !== undefined && next >= current)
}

/** Redis rounds to the nearest second. */
export function roundedSeconds(ms: number): number {
  return Math.floor((ms + 500) / 1000)
}
