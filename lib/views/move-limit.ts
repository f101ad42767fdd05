// The upper bound for moving data that an operator has set for the whole ring: a register that the last writer wins.
// Pure. Owns the order of writes, their bounds, and their form on the wire and on disk.
// Invariants: of two writes every peer keeps the same one; a write that lies too far ahead of the members' time is not
// taken, so that no peer can set a limit for ever.
import { fromHex, toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import { KiB } from '../limits.js'
import { MEMBER_ID_PATTERN, type MemberId } from '../member.js'
import type { MoveLimit as WireLimit } from '../network/wire.js'

/** One write of the register. */
export interface MoveLimit {
  /** What a peer may receive and send in a second, both together; 0: as much as it can. */
  readonly bytesPerS: number
  /** The moment of the order by the time of the members, ms since the epoch; and the member that was asked. */
  readonly setAtMs: number
  readonly setBy: MemberId
}

/** With less, one entry of 8 MiB takes longer than two minutes, and a join of some GB takes days. */
export const LIMIT_MIN = 64 * KiB
/** More than any disk or network does. */
export const LIMIT_MAX = 2 ** 40
/** As in the versions of entries. */
const MOMENT_MAX = 2 ** 48 - 1

/** Throws BAD_REQUEST unless it is a number of bytes that a limit may have, or 0. */
export function checkLimit(bytesPerS: number): void {
  if (bytesPerS === 0) return
  if (!Number.isSafeInteger(bytesPerS) || bytesPerS < 0) {
    throw new RingdError('BAD_REQUEST', 'a limit is a whole number of bytes in a second')
  }
  if (bytesPerS < LIMIT_MIN) {
    throw new RingdError('BAD_REQUEST', `the limit ${bytesPerS} B/s is too small: the least is ${LIMIT_MIN} (64KiB)`)
  }
  if (bytesPerS > LIMIT_MAX) {
    throw new RingdError('BAD_REQUEST', `the limit ${bytesPerS} B/s is too large: the most is ${LIMIT_MAX} (1TiB)`)
  }
}

/** Whether `one` was written after `other`. A total order: two writes are equal, or one of them is newer. */
export function isNewerLimit(one: MoveLimit, other: MoveLimit | undefined): boolean {
  if (other === undefined || one.setAtMs !== other.setAtMs) return one.setAtMs > (other?.setAtMs ?? 0)
  if (one.setBy !== other.setBy) return one.setBy > other.setBy
  // One member writes each moment once, unless its disk was put back.
  return one.bytesPerS > other.bytesPerS
}

/** The newer one. The known one when they are equal. */
export function newerLimit(known: MoveLimit | undefined, told: MoveLimit | undefined): MoveLimit | undefined {
  return told !== undefined && isNewerLimit(told, known) ? told : known
}

/** The moment of a write that is newer than the known one, made at `nowMs`. */
export function momentAfter(known: MoveLimit | undefined, nowMs: number): number {
  return Math.max(Math.floor(nowMs), (known?.setAtMs ?? 0) + 1)
}

/** What the pace of moves is bound by; Infinity: by nothing. */
export function rateOf(limit: MoveLimit | undefined): number {
  if (limit === undefined || limit.bytesPerS === 0) return Number.POSITIVE_INFINITY
  // A peer of another version may have other bounds.
  return Math.max(LIMIT_MIN, limit.bytesPerS)
}

export function limitToWire({ bytesPerS, setAtMs, setBy }: MoveLimit): WireLimit {
  return { bytesPerS, setAtMs, setBy: fromHex(setBy) }
}

/** Throws BAD_MESSAGE. */
export function limitFromWire({ bytesPerS, setAtMs, setBy }: WireLimit): MoveLimit {
  const member = toHex(setBy)
  const isSound = isWhole(bytesPerS, Number.MAX_SAFE_INTEGER) && isWhole(setAtMs, MOMENT_MAX) && setAtMs > 0
  if (isSound && MEMBER_ID_PATTERN.test(member)) return { bytesPerS, setAtMs, setBy: member }
  throw new RingdError('BAD_MESSAGE', 'a limit of moves makes no sense')
}

function isWhole(value: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= most
}
