// The one rule for everything that is written to an owner (blind writes, writes of a round, write-backs, repair, hints,
// handoffs and pulls), and the rule for what it promises. Pure.
//
// An owner has for each key the entry that it holds and the ballot that it has promised; where it has none, that counts
// as below every version. A promise matters only while it is above the entry. An entry that comes
//
//   with the version of the entry   is here already
//   below the entry                 is refused: a newer entry is here
//   below the promise               is refused: a round has been promised that nothing below its ballot enters
//   otherwise                       takes the place of the entry, and ends a promise that is not above it
//
// Invariant: no entry below a standing promise enters, whoever brings it. Otherwise a round, which has read before,
// could overwrite an acknowledged write that it does not know.
// Source: rules A3 and A4 of lib/views/README.md.
import { compareBytes } from '../bytes.js'
import { compareVersions, type Envelope, orderTo } from './envelope.js'
import type { Version } from './version.js'

/** What happens to an entry that is to be written. */
export type WriteVerdict = 'here' | 'newer' | 'promised' | 'enters'

/** Refused: the owner holds a newer entry. `had`: it has held the written one before, in this version. */
export interface NewerHeld {
  readonly newer: Version
  readonly had: boolean
}

/** Refused: the owner has promised that nothing below this ballot enters. */
export interface PromisedAbove {
  readonly promised: Version
}

/** Why an owner did not take a sound entry. */
export type WriteRefusal = NewerHeld | PromisedAbove

/** The rule for `entry`. `held` and `promised`: of this owner; undefined: none. Allocates nothing. */
export function judgeWrite(entry: Envelope, held: Envelope | undefined, promised: Version | undefined): WriteVerdict {
  if (held !== undefined) {
    const order = compareVersions(entry, held)
    if (order === 0) return 'here'
    if (order < 0) return 'newer'
  }
  return promised !== undefined && orderTo(entry, promised) < 0 ? 'promised' : 'enters'
}

/**
 * What is in the way of promising the ballot; undefined: nothing is. `bound`: the highest version that the purge of the
 * slot keeps out. A promise may be given again for the same ballot.
 */
export function barOf(
  ballot: Version,
  held: Version | undefined,
  promised: Version | undefined,
  bound: Version | undefined
): Version | undefined {
  let bar: Version | undefined
  for (const version of [held, promised, bound]) {
    if (version !== undefined && (bar === undefined || compareBytes(version, bar) > 0)) bar = version
  }
  if (bar === undefined || compareBytes(ballot, bar) > 0) return undefined
  const isAgain = bar === promised && compareBytes(ballot, bar) === 0
  return isAgain && (held === undefined || compareBytes(held, bar) < 0) ? undefined : bar
}

export function isPromisedAbove(refusal: WriteRefusal): refusal is PromisedAbove {
  return 'promised' in refusal
}
