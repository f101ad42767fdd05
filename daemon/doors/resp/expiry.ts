// The times and options of expiry in Redis commands: parses them, and rounds the times in replies. Pure.
// One bound differs from Redis: an expiry must lie below 2^48 ms since 1970, about 9000 years ahead. A later one is an
// invalid expire time. Source: error texts and their order in Redis 7 (t_string.c, expire.c).
import { ABSENT, ALWAYS, type Condition, fitsInt64, integerOf, PRESENT } from '../../../lib/decisions.js'
import { EXPIRES_AT_MS_MAX } from '../../../lib/entry/envelope.js'
import { ErrorReply, NOT_AN_INTEGER, QUOTED_MAX, SYNTAX_ERROR } from './encoder.js'

/** EX and PX count from now, EXAT and PXAT from 1970. Units with a P are milliseconds, the others seconds. */
export type Unit = 'EX' | 'PX' | 'EXAT' | 'PXAT'

/** More options than any command has. Without a bound a client could repeat one a million times. */
const OPTIONS_MAX = 16
/** Longer than any option. */
const WORD_BYTES_MAX = 16
const MS = 1000n

/** The options of SET and GETEX about expiry, beside their key and value. */
export interface ExpiryOptions {
  unit?: Unit
  amount?: Buffer
  keepsExpiry: boolean
  persists: boolean
  /** NX, XX. */
  condition: Condition
  /** GET: the reply is the value before. */
  tellsBefore: boolean
}

/** Parses the options from `args[from]` on. Returns a syntax error when one is wrong. */
export function parseOptions(
  args: readonly Buffer[],
  from: number,
  command: 'set' | 'getex'
): ExpiryOptions | ErrorReply {
  const options: ExpiryOptions = { keepsExpiry: false, persists: false, condition: ALWAYS, tellsBefore: false }
  if (args.length - from > OPTIONS_MAX) return SYNTAX_ERROR
  for (let at = from; at < args.length; at++) {
    const word = args[at]!.toString('latin1', 0, WORD_BYTES_MAX).toUpperCase()
    const { unit, keepsExpiry, persists } = options
    const isFree = (unit === undefined || unit === word) && !keepsExpiry && !persists
    if (isUnit(word) && isFree && at + 1 < args.length) {
      options.unit = word
      options.amount = args[++at]!
    } else if (command === 'set' && word === 'KEEPTTL' && unit === undefined) options.keepsExpiry = true
    else if (command === 'getex' && word === 'PERSIST' && unit === undefined) options.persists = true
    else if (command === 'set' && word === 'GET') options.tellsBefore = true
    else if (command === 'set' && word === 'NX' && options.condition !== PRESENT) options.condition = ABSENT
    else if (command === 'set' && word === 'XX' && options.condition !== ABSENT) options.condition = PRESENT
    else return SYNTAX_ERROR
  }
  return options
}

function isUnit(word: string): word is Unit {
  return word === 'EX' || word === 'PX' || word === 'EXAT' || word === 'PXAT'
}

/**
 * Parses a moment that a client sent, in ms since 1970. Returns an error that names `command` when it is invalid. A
 * moment in the past is allowed. An amount below 1 is allowed only with `mayBePast`, as for EXPIRE.
 */
export function momentOf(
  text: Buffer,
  unit: Unit,
  nowMs: number,
  command: string,
  mayBePast = false
): number | ErrorReply {
  const amount = integerOf(text)
  if (amount === undefined) return NOT_AN_INTEGER
  const ms = unit === 'EX' || unit === 'EXAT' ? amount * MS : amount
  const moment = unit === 'EX' || unit === 'PX' ? Number(ms) + nowMs : Number(ms)
  const isInvalid = !fitsInt64(ms) || moment > EXPIRES_AT_MS_MAX || (amount <= 0n && !mayBePast)
  return isInvalid ? new ErrorReply(`ERR invalid expire time in '${command}' command`) : moment
}

/** Conditions that EXPIRE checks before it changes anything. */
export interface Conditions {
  /** Only if there is no expiry (nx), there is one (xx), the new one is later (gt), or it is earlier (lt). */
  readonly nx: boolean
  readonly xx: boolean
  readonly gt: boolean
  readonly lt: boolean
}

export function parseConditions(args: readonly Buffer[], from: number): Conditions | ErrorReply {
  const words = new Set<string>()
  if (args.length - from > OPTIONS_MAX) return SYNTAX_ERROR
  for (const arg of args.slice(from)) {
    const word = arg.toString('latin1', 0, WORD_BYTES_MAX).toLowerCase()
    if (!['nx', 'xx', 'gt', 'lt'].includes(word)) {
      return new ErrorReply(`ERR Unsupported option ${arg.subarray(0, QUOTED_MAX).toString('utf8')}`)
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

/** Whether the expiry may change from `current` to `next`. No expiry counts as later than any expiry. */
export function isAllowed({ nx, xx, gt, lt }: Conditions, current: number | undefined, next: number): boolean {
  if ((nx && current !== undefined) || (xx && current === undefined)) return false
  if (gt && (current === undefined || next <= current)) return false
  return !(lt && current !== undefined && next >= current)
}

/** Rounds to the nearest second, as Redis does. */
export function roundedSeconds(ms: number): number {
  return Math.floor((ms + 500) / 1000)
}
