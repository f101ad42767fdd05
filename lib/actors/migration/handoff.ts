// The retirement actor: gives up what this member stores and others own, once the new owners provably hold it.
// Owns the job under way. What is given up is told to storage alone, which refuses it first and deletes it then.
// Invariants: a slot is given up only when its newest config is the only one that operations honour, and every owner
// has been compared with this member; an owner that has been away for long may be missing when a quorum was compared.
// Source: rule 9 of lib/views/README.md.

import type { Clock, Timer } from '../../clock.js'
import type { BlockLimits } from '../../entry/block.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { isMemberLinked } from '../../network/member-link.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import { type Actor, ask, type Ref } from '../../runtime/actor.js'
import { type Config, newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import type { MembershipMessage } from '../membership/membership-messages.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { runHandoffSession } from './handoff-session.js'

export type HandoffMessage =
  | { readonly type: 'view'; readonly view: RingView }
  /** It is time to look for what others own. */
  | { readonly type: 'look' }
  /** What was found: slots with entries that others own. */
  | { readonly type: 'surplus'; readonly slots: readonly number[]; readonly view: RingView }
  | { readonly type: 'ended'; readonly gaveUp: boolean }

export interface HandoffDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly membership: Ref<MembershipMessage>
  /** Hands what a refusal taught to membership. */
  readonly learned: (knowledge: WireKnowledge) => void
  readonly self: Ref<HandoffMessage>
}

export interface HandoffOptions {
  readonly limits: BlockLimits
  /** An owner that has not been reached for so long is done without (default 30 000). Longer keeps copies longer. */
  readonly holdDownMs?: number | undefined
}

const HOLD_DOWN_MS = 30_000
/** After a change of the ring, so that the moves that it asks for come first. */
const LOOK_SOON_MS = 500
/** What comes late (a write of a router that was behind) is found by then. */
const LOOK_MS = 5000
/** Slots that are compared and given up together. */
const JOB_SLOTS_MAX = 256
/** Deleting many entries takes its time; it goes on by itself when this is over. */
const RELEASE_TIMEOUT_MS = 600_000

export class Handoff implements Actor<HandoffMessage> {
  readonly #deps: HandoffDeps
  readonly #options: HandoffOptions
  readonly #surplus: Gauge
  readonly #released: Counter
  readonly #handed: Counter
  #view: RingView | undefined
  #isBusy = false
  #isLooking = false
  /** The next look, and when it is due; monotonic ms. */
  #timer: Timer | undefined
  #lookAt = 0
  #stopped = false
  /** The job before this look succeeded, and what there was to give up then. */
  #gaveUp = false
  #lastSurplus = 0
  /** Since when each owner could not be reached; monotonic ms. */
  readonly #awaySince = new Map<MemberId, number>()

  constructor(deps: HandoffDeps, options: HandoffOptions) {
    this.#deps = deps
    this.#options = options
    const { metrics } = deps
    this.#surplus = metrics.gauge('ringd_retirement_surplus_slots', 'slots stored here that others own')
    this.#released = metrics.counter('ringd_retirement_slots', 'slots that were given up')
    this.#handed = metrics.counter('ringd_retirement_sent_entries', 'entries that owners lacked and were sent')
  }

  receive(batch: readonly HandoffMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'look') this.#handleLook()
      else if (message.type === 'surplus') this.#handleSurplus(message.slots, message.view)
      else this.#handleEnded(message.gaveUp)
    }
  }

  ended(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  #handleView(view: RingView): void {
    const hasMoved = this.#view?.configs !== view.configs
    this.#view = view
    if (hasMoved) this.#lookIn(LOOK_SOON_MS)
  }

  #handleLook(): void {
    const view = this.#view
    if (view === undefined || this.#stopped || this.#isBusy || this.#isLooking) return
    this.#isLooking = true
    const { clock, replica, self } = this.#deps
    askReplica<readonly number[]>({ clock, replica }, (reply) => ({ type: 'surplus', reply }))
      .then((slots) => self.signal({ type: 'surplus', slots, view }))
      .catch(() => self.signal({ type: 'ended', gaveUp: false }))
  }

  #handleSurplus(slots: readonly number[], view: RingView): void {
    this.#isLooking = false
    this.#surplus.set(slots.length)
    this.#deps.membership.signal({ type: 'surplus', slots: slots.length, view: view.number })
    // What does not go away by giving it up is not tried again and again without a pause.
    const isStuck = this.#gaveUp && slots.length >= this.#lastSurplus
    this.#gaveUp = false
    this.#lastSurplus = slots.length
    const job = this.#view === view && !isStuck ? this.#nextJob(slots, view) : undefined
    if (job === undefined) return this.#lookIn(slots.length > 0 ? LOOK_SOON_MS : LOOK_MS)
    this.#isBusy = true
    const { log, self, learned } = this.#deps
    this.#release(job.config, job.slots, view).then(
      () => self.signal({ type: 'ended', gaveUp: true }),
      (thrown) => {
        const error = toRingdError(thrown)
        if (error instanceof InformedRefusal) learned(error.knowledge)
        log.debug({ err: error, slots: job.slots.length }, 'slots cannot be given up yet')
        self.signal({ type: 'ended', gaveUp: false })
      }
    )
  }

  /** Looks again at once after a success: there may be more. */
  #handleEnded(gaveUp: boolean): void {
    this.#isBusy = false
    this.#isLooking = false
    this.#gaveUp = gaveUp
    if (gaveUp) this.#handleLook()
    else this.#lookIn(LOOK_SOON_MS)
  }

  /** Slots of one config that has settled, and whose owners can be compared with. */
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

  /** Every owner is ready and can be asked; or a quorum, when the others have been away for long. */
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

  /** Keeps count of who is away. */
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
      })
      compared += 1
      entries += report.entries
    }
    if (compared < config.quorum) throw new RingdError('UNREACHABLE', 'too few owners could be compared with')
    await ask<ReplicaMessage, undefined>(clock, replica, RELEASE_TIMEOUT_MS, (reply) => ({
      type: 'release',
      config: config.begin,
      slots,
      reply
    }))
    this.#released.add(slots.length)
    this.#handed.add(entries)
    const ms = Math.round(clock.elapsed() - started)
    log.info({ config: config.begin, slots: slots.length, owners: compared, sent: entries, ms }, 'slots given up')
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
