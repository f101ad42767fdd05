// One phase of an operation: the owners of every config in the slot's window, and what each has answered, until every
// config has its quorum. Part of the router. Pure: sends nothing and knows no clock.
// Invariant: the window is fixed when the phase begins; answers to another phase never count.
// Source: rule 3 of lib/views/README.md.
import { compareVersions, type Envelope } from '../../entry/envelope.js'
import { type OwnerAnswer, type Resolution, resolve } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { ErrorCode } from '../../errors.js'
import type { Consistency } from '../../key-value.js'
import type { MemberId } from '../../member.js'
import type { Config, Window } from '../../views/configs.js'

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
  /** Its answer to a read: what it holds, or nothing. */
  envelope: Envelope | undefined
  /** Its answer to a read: it has closed the slot below this, s since the epoch; 0: it did not say. */
  closed: number
  /** Its answer to a write: the newer version that it holds, so that it did not apply the write. */
  newer: Version | undefined
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
  /** Owners contradict each other: the answers of all others are awaited until then, monotonic ms. */
  hearsUntil: number | undefined
  readonly #consistency: Consistency

  constructor(window: Window, view: number, consistency: Consistency) {
    this.window = window
    this.view = view
    this.#consistency = consistency
    this.targets = targetsOf(window)
  }

  /** Every config has the answers that it needs. An owner that did not apply a write does not count. */
  isComplete(): boolean {
    for (const config of this.window)
      if (this.#count(config, isCounted) < needed(config, this.#consistency)) return false
    return true
  }

  /** Too many owners of some config hold a newer version: its quorum can never apply the write. */
  isSuperseded(): boolean {
    return this.window.some((config) => {
      const outdated = this.#count(config, (target) => target.newer !== undefined)
      return outdated > config.owners.length - needed(config, this.#consistency)
    })
  }

  /**
   * Like `isSuperseded`, but unreachable owners count as well: while they are away they apply nothing either, so the
   * write could not end before its deadline.
   */
  isStranded(): boolean {
    return this.window.some((config) => {
      const outdated = this.#count(config, (target) => target.newer !== undefined)
      const away = this.#count(config, ({ standing }) => standing === 'refused' || standing === 'failed')
      return outdated > 0 && outdated + away > config.owners.length - needed(config, this.#consistency)
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
    return resolve(this.targets, this.targets.every(hasAnswered))
  }

  /**
   * Whether the read needs no repair. Either quorums of all configs hold the entry and no owner denies it, so every
   * later read finds it. Or nothing was found. Or the resolution is a tie: a repair could spread an entry that an owner
   * which was not heard would deny.
   */
  isAgreed({ envelope: newest, deniedBelow, isTie }: Resolution): boolean {
    if (newest === undefined || isTie) return true
    if (deniedBelow > 0) return false
    const holds = (target: Target) => target.envelope !== undefined && compareVersions(target.envelope, newest) === 0
    return this.window.every((config) => this.#count(config, holds) >= needed(config, this.#consistency))
  }

  /** The newest version that owners hold in place of the write. */
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

function isCounted(target: Target): boolean {
  return target.standing === 'answered' && target.newer === undefined
}

function isOpen({ standing }: Target): boolean {
  return standing !== 'answered' && standing !== 'failed'
}

function hasAnswered({ standing }: Target): boolean {
  return standing === 'answered'
}

function isUnderWay(target: Target): boolean {
  return target.standing === 'asked' || target.standing === 'answered'
}

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
    refusal: undefined,
    isAwaited: false
  }))
}
