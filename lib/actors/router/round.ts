// What a round concludes from the answers to its prepare: whether an earlier attempt of the operation has taken effect,
// and what the operation may build on. Pure: sends nothing, knows no clock. Part of the router.
// Invariants: nothing is built on an entry that is not on a quorum of every config (`isChosen`); an attempt counts as
// done only when one single version of it is on a quorum; it counts as without effect only when enough owners of every
// config say that they never showed it to anybody.
// Source: rules A8a to A8f of lib/views/README.md.

import { sameBytes } from '../../bytes.js'
import { compareVersions, type Envelope, originOf, versionOf } from '../../entry/envelope.js'
import { isAbsentBefore, isBefore } from '../../entry/purge-bounds.js'
import type { OwnerAnswer, Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { Config, Window } from '../../views/configs.js'
import type { Telling, ToldVersion } from '../replica/replica-messages.js'

/** What one owner answered to the prepare of a round: it promised. */
export interface Promised extends OwnerAnswer {
  readonly member: string
  /** For each attempt of the operation, in order: the versions of it that this owner knows. */
  readonly tellings: readonly Telling[]
}

export type RoundState =
  /** This attempt has taken effect: it was on a quorum. Its result stands (A8a). */
  | { readonly type: 'done'; readonly attempt: number }
  /** The newest entry is this attempt: it takes effect when it is written again under the ballot (A8b). */
  | { readonly type: 'own'; readonly attempt: number }
  /** Some attempt may have taken effect, or may not: more owners have to be heard (A8c). */
  | { readonly type: 'undecided' }
  /** No attempt has taken effect. `isChosen`: quorums of all configs hold the newest entry, exactly (A8d to A8f). */
  | { readonly type: 'free'; readonly isChosen: boolean }

/**
 * The state of a round that owners of a quorum of every config have promised. `attempts`: the origins of what the
 * operation has written so far. `found`: the resolution of these answers. `prefersOwn`: write an attempt again, also
 * when it is done: for operations that all owners must have on disk.
 */
export function judgeRound(
  window: Window,
  promised: readonly Promised[],
  attempts: readonly Version[],
  found: Resolution,
  prefersOwn = false
): RoundState {
  const own = attemptOf(attempts, found.envelope)
  if (own !== -1 && prefersOwn) return { type: 'own', attempt: own }
  const done = attempts.findIndex((_, at) => isDone(window, promised, at))
  if (done !== -1) return { type: 'done', attempt: done }
  if (own !== -1) return { type: 'own', attempt: own }
  for (let at = 0; at < attempts.length; at++) if (!hadNoEffect(window, promised, at)) return { type: 'undecided' }
  return { type: 'free', isChosen: found.deniedBelow === 0 && isChosen(window, promised, found.envelope) }
}

/** The attempt whose entry this is; -1 when it is of somebody else. */
function attemptOf(attempts: readonly Version[], envelope: Envelope | undefined): number {
  if (envelope === undefined || attempts.length === 0) return -1
  const origin = originOf(envelope)
  return attempts.findIndex((attempt) => sameBytes(attempt, origin))
}

/** One single version of the attempt is held, or was once, by a quorum of every config. */
function isDone(window: Window, promised: readonly Promised[], at: number): boolean {
  return versionsOf(promised, at).some((version) => {
    const knows = ({ tellings }: Promised) => tellings[at]!.versions.some((told) => sameBytes(told.version, version))
    return window.every((config) => count(config, promised, knows) >= config.quorum)
  })
}

/**
 * No version of the attempt has been on a quorum and was seen there: of every config, the owners that can deny this
 * leave no quorum of others. A version that no answer names is denied by every owner that knows.
 */
function hadNoEffect(window: Window, promised: readonly Promised[], at: number): boolean {
  const denies = ({ tellings }: Promised, version: Version | undefined) => {
    const { versions, isUnknown } = tellings[at]!
    const hasShown = (told: ToldVersion) => told.isShown && sameBytes(told.version, version!)
    return !isUnknown && (version === undefined || !versions.some(hasShown))
  }
  return [undefined, ...versionsOf(promised, at)].every((version) =>
    window.every((config) => {
      const denying = count(config, promised, (answer) => denies(answer, version))
      return denying > config.owners.length - config.quorum
    })
  )
}

/** Every version of the attempt that some answer names, once or more often. */
function versionsOf(promised: readonly Promised[], at: number): Version[] {
  return promised.flatMap(({ tellings }) => tellings[at]!.versions.map(({ version }) => version))
}

/** Quorums of all configs hold exactly this entry; or exactly nothing. */
function isChosen(window: Window, promised: readonly Promised[], envelope: Envelope | undefined): boolean {
  return window.every((config) => count(config, promised, (answer) => holds(answer, envelope)) >= config.quorum)
}

/**
 * Whether the owner holds exactly this entry. Where it has closed the slot above it and holds nothing, it may have
 * purged it, if the entry was absent by then.
 */
export function holds({ envelope: held, closed }: OwnerAnswer, envelope: Envelope | undefined): boolean {
  if (envelope === undefined || held !== undefined) return isSame(held, envelope)
  return closed > 0 && isBefore(versionOf(envelope), closed) && isAbsentBefore(envelope, closed)
}

function isSame(held: Envelope | undefined, envelope: Envelope | undefined): boolean {
  if (held === undefined || envelope === undefined) return held === envelope
  return compareVersions(held, envelope) === 0
}

function count(config: Config, promised: readonly Promised[], counts: (answer: Promised) => boolean): number {
  let found = 0
  for (const answer of promised) if (config.owners.includes(answer.member) && counts(answer)) found += 1
  return found
}
