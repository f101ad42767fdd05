// One phase of one client request: asks the owners of every config in the slot's window and counts until each has its
// quorum. Part of the router. Pure bookkeeping: sends nothing, knows no clock.
// Invariant: the window is fixed when the phase begins; answers of another phase never count.
// Source: rule 3 of lib/views/README.md.
import type { Bytes } from '../../bytes.js'
import { compareVersions } from '../../entry/envelope.js'
import { type OwnerAnswer, type Resolution, resolve } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import type { ErrorCode } from '../../errors.js'
import type { Consistency } from '../../key-value.js'
import type { MemberId } from '../../member.js'
import type { Config, Window } from '../../views/configs.js'

/** Where a target stands in this phase. */
type Standing =
  | 'idle'
  | 'asked'
  | 'answered'
  /** It may answer when asked again. */
  | 'refused'
  /** Asking again will not help. */
  | 'failed'

export interface Target extends OwnerAnswer {
  readonly member: MemberId
  standing: Standing
  /** Monotonic ms of the last request to it. */
  askedAt: number
  /** What it holds (a read), or nothing. */
  envelope: Bytes | undefined
  /** It has closed the slot below this, s since the epoch; 0: it does not say. */
  closed: number
  /** A write that it did not apply because it holds this newer version. */
  newer: Version | undefined
  /** Why it refused, when it was asked and did. */
  refusal: ErrorCode | undefined
  /** The operation is over, and what it answers is still waited for: it may need a hint. */
  isAwaited: boolean
}

/** Owners of `config` that must answer. */
export function needed(config: Config, consistency: Consistency): number {
  if (consistency === 'one') return 1
  return consistency === 'all' ? config.owners.length : config.quorum
}

export class QuorumPhase {
  readonly window: Window
  readonly view: number
  readonly targets: readonly Target[]
  /** Owners contradict each other, and the others are heard until then, monotonic ms. */
  hearsUntil: number | undefined
  readonly #consistency: Consistency

  constructor(window: Window, view: number, consistency: Consistency) {
    this.window = window
    this.view = view
    this.#consistency = consistency
    this.targets = targetsOf(window)
  }

  target(member: MemberId): Target | undefined {
    for (const target of this.targets) if (target.member === member) return target
    return undefined
  }

  /** Every config has as many answers as it needs. Answers of writes count only when they were applied. */
  isComplete(): boolean {
    for (const config of this.window)
      if (this.#count(config, isCounted) < needed(config, this.#consistency)) return false
    return true
  }

  /** So many owners of some config hold a newer version that its quorum can never apply the write. */
  isSuperseded(): boolean {
    return this.window.some((config) => {
      const outdated = this.#count(config, (target) => target.newer !== undefined)
      return outdated > config.owners.length - needed(config, this.#consistency)
    })
  }

  /** As superseded, counting the owners that could not be asked: one that is dead applies nothing either. */
  isStranded(): boolean {
    return this.window.some((config) => {
      const outdated = this.#count(config, (target) => target.newer !== undefined)
      const away = this.#count(config, ({ standing }) => standing === 'refused' || standing === 'failed')
      return outdated > 0 && outdated + away > config.owners.length - needed(config, this.#consistency)
    })
  }

  /** So many owners of some config cannot serve that its quorum cannot be had. */
  isLost(): boolean {
    return this.window.some((config) => {
      const failed = this.#count(config, (target) => target.standing === 'failed')
      return failed > config.owners.length - needed(config, this.#consistency)
    })
  }

  /**
   * Targets to ask next so that every config can complete, in the order of `preferred`, counting those already asked.
   * Empty when enough are under way.
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

  /** What the owners that have answered hold, together. */
  resolution(): Resolution {
    return resolve(this.targets, this.targets.every(hasAnswered))
  }

  /**
   * Whether nothing is to be written back: quorums of all configs hold it, so that no later read finds anything else,
   * and nobody speaks against it; or it is not clear yet whether it stands.
   */
  isAgreed({ envelope: newest, deniedBelow, isTie }: Resolution): boolean {
    if (newest === undefined || isTie) return true
    if (deniedBelow > 0) return false
    const holds = (target: Target) => target.envelope !== undefined && compareVersions(target.envelope, newest) === 0
    return this.window.every((config) => this.#count(config, holds) >= needed(config, this.#consistency))
  }

  /** The newest version that made a write obsolete. */
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

function hasAnswered({ standing }: Target): boolean {
  return standing === 'answered'
}

function isUnderWay(target: Target): boolean {
  return target.standing === 'asked' || target.standing === 'answered'
}

const owners = new WeakMap<Window, readonly MemberId[]>()

/** One target for each owner of the window; who owns in several configs counts in each. */
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
