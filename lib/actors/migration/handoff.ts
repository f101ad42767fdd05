// The handoff actor: releases slots that this member stores and others own, once the owners provably hold them.
// Owns the handoff under way. The replica does the releasing: it refuses the slots first, durably, then deletes them.
// Invariants: a slot is released only when its newest config is the only one in its window, and when every owner has
// been compared with this member. An owner that has been away for long may be left out when a quorum was compared.
// Source: rule 9 of lib/views/README.md.

import assert from 'node:assert/strict'
import type { Clock, Timer } from '../../clock.js'
import type { BlockLimits } from '../../entry/block.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { isMemberLinked } from '../../network/member-link.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import { type Config, newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import type { MembershipMessage } from '../membership/membership-messages.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { SkewWarning } from '../skew-warning.js'
import { runHandoffSession } from './handoff-session.js'
import type { Paced } from './pace.js'

export type HandoffMessage =
  | { readonly type: 'view'; readonly view: RingView }
  /** It is time to look for slots that others own. */
  | { readonly type: 'look' }
  /** The replica found entries in these slots, which others own. */
  | { readonly type: 'surplus'; readonly slots: readonly number[]; readonly view: RingView }
  /** The look or the handoff under way has ended. */
  | { readonly type: 'ended'; readonly hasReleased: boolean }

export interface HandoffDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly membership: Ref<MembershipMessage>
  /** Passes on to membership what a refusal told about the ring. */
  readonly learned: (knowledge: WireKnowledge) => void
  /** Whether data moves to or from this peer. Left out: never. */
  readonly isMoving?: (() => boolean) | undefined
  /** See HandoffSessionDeps. */
  readonly withinLimit?: Paced | undefined
  readonly self: Ref<HandoffMessage>
}

export interface HandoffOptions {
  readonly limits: BlockLimits
  /** An owner that was away for this long may be left out (default 30 000). A longer time keeps copies longer. */
  readonly holdDownMs?: number | undefined
}

const HOLD_DOWN_MS = 30_000
/** Delay after a change of the ring, so that pulls begin first. */
const LOOK_SOON_MS = 500
/** Delay of the regular look. It finds entries that came late, such as a write of a router that was behind. */
const LOOK_MS = 5000
/** While data moves, slots are released this late: to delete them takes the disk and the processor from the move. */
const MOVE_PATIENCE_MS = 60_000
/** Slots that are compared and released together. */
const JOB_SLOTS_MAX = 256
/** Deleting many entries takes long. The replica goes on deleting when this time is over. */
const RELEASE_TIMEOUT_MS = 600_000

export class Handoff implements Actor<HandoffMessage> {
  readonly #deps: HandoffDeps
  readonly #options: HandoffOptions
  readonly #surplus: Gauge
  readonly #skew: SkewWarning
  readonly #released: Counter
  readonly #handed: Counter
  #view: RingView | undefined
  /** idle: waits for the next look. looking: asks the replica. handing-off: compares with owners, then releases. */
  #state: 'idle' | 'looking' | 'handing-off' | 'stopped' = 'idle'
  /** The next look, and when it is due; monotonic ms. */
  #timer: Timer | undefined
  #lookAt = 0
  /** Whether the last handoff released its slots, and how many slots there were to release before it. */
  #hasReleased = false
  #lastSurplus = 0
  /** Since when there are slots to release while data moves; monotonic ms. */
  #moveSince: number | undefined
  /** Since when each owner has been away; monotonic ms. */
  readonly #awaySince = new Map<MemberId, number>()

  constructor(deps: HandoffDeps, options: HandoffOptions) {
    this.#deps = deps
    this.#options = options
    const { metrics } = deps
    this.#skew = new SkewWarning(deps)
    this.#surplus = metrics.gauge('ringd_retirement_surplus_slots', 'slots stored here that others own')
    this.#released = metrics.counter('ringd_retirement_slots', 'slots that were released')
    this.#handed = metrics.counter('ringd_retirement_sent_entries', 'entries that owners lacked and were sent')
  }

  receive(batch: readonly HandoffMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'look') this.#handleLook()
      else if (message.type === 'surplus') this.#handleSurplus(message.slots, message.view)
      else if (message.type === 'ended') this.#handleEnded(message.hasReleased)
      else message satisfies never
    }
  }

  ended(): void {
    this.#state = 'stopped'
    this.#timer?.cancel()
  }

  #handleView(view: RingView): void {
    const hasMoved = this.#view?.configs !== view.configs
    this.#view = view
    if (hasMoved) this.#lookIn(LOOK_SOON_MS)
  }

  /** idle -> looking */
  #handleLook(): void {
    const view = this.#view
    if (view === undefined || this.#state !== 'idle') return
    this.#state = 'looking'
    const { clock, replica, self } = this.#deps
    askReplica<readonly number[]>({ clock, replica }, (reply) => ({ type: 'surplus', reply }))
      .then((slots) => self.signal({ type: 'surplus', slots, view }))
      .catch(() => self.signal({ type: 'ended', hasReleased: false }))
  }

  /** looking -> handing-off, or looking -> idle when nothing can be released now */
  #handleSurplus(slots: readonly number[], view: RingView): void {
    assert(this.#state === 'looking', 'slots are found by a look')
    this.#state = 'idle'
    this.#surplus.set(slots.length)
    this.#deps.membership.signal({ type: 'surplus', slots: slots.length, view: view.number })
    // A release that left as many slots as before is not repeated without a pause.
    const isStuck = this.#hasReleased && slots.length >= this.#lastSurplus
    this.#hasReleased = false
    this.#lastSurplus = slots.length
    const job = this.#view === view && !isStuck && !this.#waitsForMove(slots) ? this.#nextJob(slots, view) : undefined
    if (job === undefined) return this.#lookIn(slots.length > 0 ? LOOK_SOON_MS : LOOK_MS)
    this.#state = 'handing-off'
    const { log, self, learned } = this.#deps
    this.#release(job.config, job.slots, view).then(
      () => self.signal({ type: 'ended', hasReleased: true }),
      (thrown) => {
        const error = toRingdError(thrown)
        if (error instanceof InformedRefusal) learned(error.knowledge)
        log.debug({ err: error, slots: job.slots.length }, 'slots cannot be released yet; trying again')
        self.signal({ type: 'ended', hasReleased: false })
      }
    )
  }

  #waitsForMove(slots: readonly number[]): boolean {
    const now = this.#deps.clock.elapsed()
    if (slots.length === 0 || this.#deps.isMoving?.() !== true) this.#moveSince = undefined
    else this.#moveSince ??= now
    return this.#moveSince !== undefined && now - this.#moveSince < MOVE_PATIENCE_MS
  }

  /** handing-off -> idle, looking -> idle. After a release it looks again at once: there may be more slots. */
  #handleEnded(hasReleased: boolean): void {
    assert(this.#state === 'handing-off' || this.#state === 'looking', 'only a look or a handoff ends')
    this.#state = 'idle'
    this.#hasReleased = hasReleased
    if (hasReleased) this.#handleLook()
    else this.#lookIn(LOOK_SOON_MS)
  }

  /** Slots of one settled config whose owners can all be compared with now. */
  #nextJob(slots: readonly number[], view: RingView): { config: Config; slots: number[] } | undefined {
    const now = this.#deps.clock.elapsed()
    const usable = new Map<Config, number[]>()
    for (const slot of slots) {
      const window = view.configs.windows[slot]!
      const config = newestConfig(window)
      if (window.length > 1 || !this.#isWhole(config, slot, view, now)) continue
      const found = usable.get(config)
      if (found === undefined) usable.set(config, [slot])
      else if (found.length < JOB_SLOTS_MAX) found.push(slot)
    }
    const [first] = usable
    return first && { config: first[0], slots: first[1] }
  }

  /** Whether every owner is ready and linked; or a quorum, when the others have been away for the hold-down time. */
  #isWhole(config: Config, slot: number, view: RingView, now: number): boolean {
    const patience = this.#options.holdDownMs ?? HOLD_DOWN_MS
    let asked = 0
    for (const owner of config.owners) {
      const isReady = view.readiness.get(owner)?.[slot] === config.begin
      if (isReady && this.#isLinked(owner, view)) asked += 1
      else if (this.#isLinked(owner, view) || now - (this.#awaySince.get(owner) ?? now) < patience) return false
    }
    return asked >= config.quorum
  }

  /** Also notes since when an owner has been away. */
  #isLinked(owner: MemberId, view: RingView): boolean {
    if (isMemberLinked(this.#deps.network, view.peerIds, owner)) {
      this.#awaySince.delete(owner)
      return true
    }
    if (!this.#awaySince.has(owner)) this.#awaySince.set(owner, this.#deps.clock.elapsed())
    return false
  }

  async #release(config: Config, slots: readonly number[], view: RingView): Promise<void> {
    const { clock, replica, log } = this.#deps
    const started = clock.elapsed()
    let entries = 0
    let compared = 0
    for (const member of config.owners) {
      if (!this.#isLinked(member, view)) continue
      const report = await runHandoffSession(this.#deps, {
        owner: view.peerIds.get(member)!,
        member,
        view: view.number,
        config: config.begin,
        slots,
        limits: this.#options.limits
      }).catch((thrown) => {
        this.#skew.failed(toRingdError(thrown), member)
        throw thrown
      })
      compared += 1
      entries += report.entries
    }
    if (compared < config.quorum) throw new RingdError('UNREACHABLE', 'too few owners could be compared with')
    const release = (reply: Reply<undefined>) => ({ type: 'release' as const, config: config.begin, slots, reply })
    await askReplica({ clock, replica }, release, RELEASE_TIMEOUT_MS)
    this.#released.add(slots.length)
    this.#handed.add(entries)
    const ms = Math.round(clock.elapsed() - started)
    log.info({ config: config.begin, slots: slots.length, owners: compared, sent: entries, ms }, 'slots released')
  }

  #lookIn(delayMs: number): void {
    const { clock, self } = this.#deps
    const at = clock.elapsed() + delayMs
    if (this.#timer !== undefined && this.#lookAt <= at) return
    this.#timer?.cancel()
    this.#lookAt = at
    this.#timer = clock.after(delayMs, () => {
      this.#timer = undefined
      self.signal({ type: 'look' })
    })
  }
}
