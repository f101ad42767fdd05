// One phase of an operation: the owners of every config in the slot's window, and what each has answered, until every
// config has its quorum. Part of the router. Pure: sends nothing and knows no clock.
// Invariant: the window is fixed when the phase begins; answers to another phase never count.
// Source: rule 3 of lib/views/README.md.
import type { Envelope } from '../../entry/envelope.js'
import { type OwnerAnswer, type Resolution, resolve } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { ErrorCode, RingdError } from '../../errors.js'
import type { Consistency } from '../../key-value.js'
import type { MemberId } from '../../member.js'
import type { Config, Window } from '../../views/configs.js'
import type { Telling } from '../replica/replica-messages.js'
import { holds, type Promised } from './round.js'

/** How far one owner is in this phase. */
type Standing =
  /** Not asked, or to be asked again. */
  | 'idle'
  | 'asked'
  | 'answered'
  /** It refused or could not be reached, and may answer when it is asked again. */
  | 'refused'
  /** It refused, and would refuse again. */
  | 'failed'

/** One owner of the window, and its answer. */
export interface Target extends OwnerAnswer {
  readonly member: MemberId
  standing: Standing
  /** Monotonic ms of the last request to it. */
  askedAt: number
  /** Its answer to a read, or its promise: what it holds, or nothing. */
  envelope: Envelope | undefined
  /** In the same answer: it has closed the slot below this, s since the epoch; 0: it did not say. */
  closed: number
  /** It did not do what was asked, because of this version: of the newer entry that it holds, or of its promise. */
  newer: Version | undefined
  /** With `newer`, of a write: it held the written entry before the newer one. So the write is on its disk. */
  had: boolean
  /** `newer` is a ballot that it has promised. */
  isPromised: boolean
  /** In its promise: what it knows of each earlier attempt of the operation. */
  tellings: readonly Telling[]
  /** Why it refused the last request; undefined when it was not asked, or has not refused. */
  refusal: ErrorCode | undefined
  /** The write was acknowledged without it. Its late answer is awaited, because an error means that it needs a hint. */
  isAwaited: boolean
}

/** How many owners of `config` must answer. */
export function needed(config: Config, consistency: Consistency): number {
  if (consistency === 'one') return 1
  return consistency === 'all' ? config.owners.length : config.quorum
}

/** The owners of one window and their answers, counted config by config. */
export class QuorumPhase {
  readonly window: Window
  /** The newest view when the phase began; requests name it. */
  readonly view: number
  readonly targets: readonly Target[]
  /** It sends an entry that is the effect of its operation. */
  readonly isOwn: boolean
  /** The answers do not suffice yet: those of all other owners are awaited until then, monotonic ms. */
  hearsUntil: number | undefined
  /** A quorum of some config can never be had, because of this refusal; owners that were asked may still answer. */
  lostBy: RingdError | undefined
  readonly #consistency: Consistency

  constructor(window: Window, view: number, consistency: Consistency, isOwn = false) {
    this.window = window
    this.view = view
    this.#consistency = consistency
    this.isOwn = isOwn
    this.targets = targetsOf(window)
  }

  /** Every config has the answers that it needs. An owner that did not do what was asked does not count. */
  isComplete(): boolean {
    for (const config of this.window)
      if (this.#count(config, isCounted) < needed(config, this.#consistency)) return false
    return true
  }

  /** So many owners of some config did not do what was asked that its quorum cannot be had any more. */
  isSuperseded(): boolean {
    return this.window.some((config) => {
      const obstructed = this.#count(config, isObstructed)
      return obstructed > config.owners.length - needed(config, this.#consistency)
    })
  }

  /**
   * Like `isSuperseded`, but unreachable owners count as well: while they are away they do nothing either, so the phase
   * could not end before the deadline. So do those that were asked before `askedBefore`, monotonic ms, and are silent.
   */
  isStranded(askedBefore: number): boolean {
    const isAway = ({ standing, askedAt }: Target) =>
      standing === 'refused' || standing === 'failed' || (standing === 'asked' && askedAt < askedBefore)
    return this.window.some((config) => {
      const obstructed = this.#count(config, isObstructed)
      const away = this.#count(config, isAway)
      return obstructed > 0 && obstructed + away > config.owners.length - needed(config, this.#consistency)
    })
  }

  /** An owner refused the phase, because it knows a newer view. */
  isRefusedAsStale(): boolean {
    return this.targets.some(({ refusal }) => refusal === 'STALE_VIEW')
  }

  /** Too many owners of some config have failed: its quorum can never answer. */
  isLost(): boolean {
    return this.window.some((config) => {
      const failed = this.#count(config, (target) => target.standing === 'failed')
      return failed > config.owners.length - needed(config, this.#consistency)
    })
  }

  /**
   * The idle targets to ask next, in the order of `preferred`, so that every config can complete. Empty when enough
   * owners are asked already.
   */
  next(preferred: readonly Target[]): Target[] {
    const chosen: Target[] = []
    for (const config of this.window) {
      let open = needed(config, this.#consistency) - this.#count(config, isUnderWay)
      for (const target of chosen) if (config.owners.includes(target.member)) open -= 1
      for (const target of preferred) {
        if (open <= 0) break
        if (target.standing !== 'idle' || chosen.includes(target) || !config.owners.includes(target.member)) continue
        chosen.push(target)
        open -= 1
      }
    }
    return chosen
  }

  /** Whether every config can still complete when none of the owners that `lacks` names answers any more. */
  canSpare(lacks: (target: Target) => boolean): boolean {
    const mayCount = (target: Target) => isCounted(target) || (isOpen(target) && !lacks(target))
    return this.window.every((config) => this.#count(config, mayCount) >= needed(config, this.#consistency))
  }

  /** The result that the answers give together. */
  resolution(): Resolution {
    return resolve(this.targets, this.targets.every(isCounted))
  }

  /** The owners that have promised, in a prepare. */
  promised(): Promised[] {
    return this.targets.filter(isCounted)
  }

  /** All owners have promised, so that none is left to be heard. */
  haveAllPromised(): boolean {
    return this.targets.every(isCounted)
  }

  /** No owner is left that may answer. */
  haveAllAnswered(): boolean {
    return this.targets.every(({ standing }) => standing === 'answered' || standing === 'failed')
  }

  /**
   * Whether the read needs no repair. Either quorums of all configs hold the entry and no owner denies it, so every
   * later read finds it. Or nothing was found. Or the resolution is a tie: a repair could spread an entry that an owner
   * which was not heard would deny.
   */
  isAgreed({ envelope: newest, deniedBelow, isTie }: Resolution): boolean {
    if (newest === undefined || isTie) return true
    if (deniedBelow > 0) return false
    const agrees = (target: Target) => target.standing === 'answered' && holds(target, newest)
    return this.window.every((config) => this.#count(config, agrees) >= needed(config, this.#consistency))
  }

  /** The newest version that is in the way of what was asked. */
  newerVersion(): Version | undefined {
    let newest: Version | undefined
    for (const { newer } of this.targets) {
      if (newer !== undefined && (newest === undefined || Buffer.compare(newer, newest) > 0)) newest = newer
    }
    return newest
  }

  #count(config: Config, counts: (target: Target) => boolean): number {
    let count = 0
    for (const target of this.targets) if (counts(target) && config.owners.includes(target.member)) count += 1
    return count
  }
}

function isCounted({ standing, newer, had }: Target): boolean {
  return standing === 'answered' && (newer === undefined || had)
}

function isObstructed({ standing, newer, had }: Target): boolean {
  return standing === 'answered' && newer !== undefined && !had
}

function isOpen({ standing }: Target): boolean {
  return standing !== 'answered' && standing !== 'failed'
}

function isUnderWay(target: Target): boolean {
  return target.standing === 'asked' || isCounted(target)
}

const NO_TELLINGS: readonly Telling[] = []

const owners = new WeakMap<Window, readonly MemberId[]>()

/** One target for each owner of the window. An owner of several configs counts in each of them. */
function targetsOf(window: Window): Target[] {
  let members = owners.get(window)
  if (members === undefined) {
    members = [...new Set(window.flatMap((config) => config.owners))]
    owners.set(window, members)
  }
  return members.map((member) => ({
    member,
    standing: 'idle',
    askedAt: 0,
    envelope: undefined,
    closed: 0,
    newer: undefined,
    had: false,
    isPromised: false,
    tellings: NO_TELLINGS,
    refusal: undefined,
    isAwaited: false
  }))
}
