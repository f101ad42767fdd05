// The purge actor drives purges: it lets the owners of slots agree on a moment below which tombstones and expired
// values may leave their disks. Owns nothing that lasts: each owner keeps on its own disk what it agreed to
// (lib/actors/replica/purge-participant.ts). The steps are those of a two-phase commit; lib/actors/replica/purge.md.
// Invariants: a slot is closed below a moment only when every owner of its only config is linked, took part, and held
// the same entries below it. One job is under way at a time, and after it the actor rests in proportion to its time.
// Source: rule 13 of lib/views/README.md.

import assert from 'node:assert/strict'
import { SLOT_SUM_BYTES } from '../anti-entropy/slot-sums.js'
import { asBuffer } from '../bytes.js'
import type { Clock } from '../clock.js'
import { readU32 } from '../entry/integers.js'
import type { RingTime } from '../entry/ring-time.js'
import { RingdError, toRingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'
import type { Counter, Gauge, Metrics } from '../metrics.js'
import { isMemberLinked, requestMember } from '../network/member-link.js'
import { InformedRefusal, type Network } from '../network/network.js'
import type { Close, Knowledge as WireKnowledge } from '../network/wire.js'
import { rangesOf } from '../ring/slots.js'
import type { Actor, Ref } from '../runtime/actor.js'
import { type Config, newestConfig } from '../views/configs.js'
import { awaitsHandOver } from '../views/rescued-ring.js'
import type { RingView } from '../views/ring-view.js'
import { askReplica } from './replica/replica-client.js'
import { type ClosedSlots, PURGE_STEPS, type PurgeStep, type ReplicaMessage } from './replica/replica-messages.js'

export type PurgeMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'look' }
  /** The look under way has ended. */
  | { readonly type: 'ended' }

export interface PurgeDeps {
  readonly clock: Clock
  /** By the wall clock, and only while it is right: a hybrid clock may run ahead, and would end values too early. */
  readonly ringTime: Pick<RingTime, 'verdict' | 'now'>
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  /** Passes on to membership what a refusal told about the ring. */
  readonly learned: (knowledge: WireKnowledge) => void
  readonly self: Ref<PurgeMessage>
}

export interface PurgeOptions {
  /** An entry is purged this long after it became absent (default 60 000). Less time tolerates fewer late messages. */
  readonly afterMs?: number | undefined
  /** How often to look (default 30 000). */
  readonly everyMs?: number | undefined
}

export const PURGE_AFTER_MS = 60_000
const EVERY_MS = 30_000
/** After a look that closed slots the next one comes sooner, by this share of the usual time. */
const SOON_SHARE = 1 / 3
/** Slots that are closed together. */
const JOB_SLOTS_MAX = 256
/** The rest after a job, in multiples of its time. A job reads every entry of its slots, which the disk feels. */
const REST_FACTOR = 2
const REST_MS_MIN = 20
const REQUEST_TIMEOUT_MS = 10_000

interface Job {
  readonly config: Config
  readonly slots: readonly number[]
}

export class Purge implements Actor<PurgeMessage> {
  readonly #deps: PurgeDeps
  readonly #afterMs: number
  readonly #everyMs: number
  readonly #closed: Counter
  readonly #differed: Counter
  readonly #waiting: Gauge
  #view: RingView | undefined
  /** idle: waits for the next look. purging: a look is under way. */
  #state: 'idle' | 'purging' | 'stopped' = 'idle'
  /** The look under way, or the last one, has closed slots. */
  #hasClosed = false
  /** Slots in a job: halved when an owner took too long, doubled after a success. */
  #jobSlots = JOB_SLOTS_MAX
  /** Slots that can be purged, and since when this member has known; monotonic ms. */
  #dueSince = new Map<number, number>()

  constructor(deps: PurgeDeps, options: PurgeOptions) {
    this.#deps = deps
    this.#afterMs = options.afterMs ?? PURGE_AFTER_MS
    this.#everyMs = options.everyMs ?? EVERY_MS
    this.#closed = deps.metrics.counter('ringd_purge_slots', 'slots that this member had their owners close')
    this.#differed = deps.metrics.counter('ringd_purge_differing_slots', 'slots whose owners held different entries')
    this.#waiting = deps.metrics.gauge(
      'ringd_purge_waiting_slots',
      'slots that hold what may be forgotten, when last looked'
    )
    this.#lookIn(this.#everyMs)
  }

  receive(batch: readonly PurgeMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#view = message.view
      else if (message.type === 'look') this.#handleLook()
      else if (message.type === 'ended') this.#handleEnded()
      else message satisfies never
    }
  }

  ended(): void {
    this.#state = 'stopped'
  }

  /** idle -> purging */
  #handleLook(): void {
    const view = this.#view
    const mayLook = this.#state === 'idle' && this.#deps.ringTime.verdict.state === 'right'
    if (view === undefined || !view.isMember || !mayLook) return this.#lookIn(this.#everyMs)
    // Directories of the former ring may still hand over older values of what was deleted since.
    if (awaitsHandOver(view.founding.ringId, this.#deps.ringTime.now())) return this.#lookIn(this.#everyMs)
    this.#state = 'purging'
    const { self, log } = this.#deps
    const end = () => self.signal({ type: 'ended' })
    this.#purge(view).then(end, (thrown) => {
      log.debug({ err: toRingdError(thrown) }, 'nothing can be purged now')
      end()
    })
  }

  /** purging -> idle */
  #handleEnded(): void {
    assert(this.#state === 'purging', 'only a look that is under way ends')
    this.#state = 'idle'
    this.#lookIn(this.#hasClosed ? this.#everyMs * SOON_SHARE : this.#everyMs)
    this.#hasClosed = false
  }

  async #purge(view: RingView): Promise<void> {
    const { clock, replica, log } = this.#deps
    const absent = await askReplica<readonly number[]>({ clock, replica }, (reply) => ({
      type: 'absent',
      beforeMs: this.#moment() * 1000,
      reply
    }))
    this.#waiting.set(absent.length)
    for (const job of this.#jobs(absent, view)) {
      if (this.#isStopped || this.#deps.ringTime.verdict.state !== 'right') return
      const started = clock.elapsed()
      try {
        await this.#close(job, this.#moment(), view)
        this.#jobSlots = Math.min(this.#jobSlots * 2, JOB_SLOTS_MAX)
      } catch (thrown) {
        const error = toRingdError(thrown)
        if (error.code === 'TIMEOUT' || error.code === 'BAD_REQUEST') this.#jobSlots = Math.max(1, this.#jobSlots >> 1)
        if (error instanceof InformedRefusal) this.#deps.learned(error.knowledge)
        log.debug({ err: error, slots: job.slots.length }, 'slots cannot be closed yet')
      }
      await this.#rest(REST_MS_MIN + (clock.elapsed() - started) * REST_FACTOR)
    }
  }

  /** What is absent since then may be forgotten; s since the epoch. */
  #moment(): number {
    return Math.floor((this.#deps.ringTime.now() - this.#afterMs) / 1000)
  }

  /** The slots that this member is to drive, by config. Each further owner waits longer and is a stand-in. */
  #jobs(absent: readonly number[], view: RingView): Job[] {
    const now = this.#deps.clock.elapsed()
    const dueSince = new Map<number, number>()
    const bySet = new Map<Config, number[][]>()
    for (const slot of absent) {
      const window = view.configs.windows[slot]!
      const config = newestConfig(window)
      const rank = rankOf(view.self, config.owners, slot)
      if (window.length > 1 || rank < 0 || !config.owners.every((owner) => this.#isThere(owner, view))) continue
      const since = this.#dueSince.get(slot) ?? now
      dueSince.set(slot, since)
      if (now - since < 2 * rank * this.#everyMs) continue
      const jobs = bySet.get(config) ?? []
      if (jobs.length === 0) bySet.set(config, jobs)
      const last = jobs[jobs.length - 1]
      if (last !== undefined && last.length < this.#jobSlots) last.push(slot)
      else jobs.push([slot])
    }
    this.#dueSince = dueSince
    return [...bySet].flatMap(([config, jobs]) => jobs.map((slots) => ({ config, slots })))
  }

  #isThere(owner: MemberId, view: RingView): boolean {
    return owner === view.self || isMemberLinked(this.#deps.network, view.peerIds, owner)
  }

  /** Throws what an owner refuses with. */
  async #close(job: Job, before: number, view: RingView): Promise<void> {
    const { log } = this.#deps
    const { owners } = job.config
    const step = (slots: readonly number[], moment: number, what: PurgeStep) =>
      Promise.all(owners.map((owner) => this.#ask(owner, { ...job, slots }, moment, what, view)))
    const told = await step(job.slots, before, 'prepare').catch(async (thrown) => {
      await step(job.slots, before, 'abort').catch(() => {})
      throw thrown
    })
    const { equal, behind, differing } = compare(job.slots, told)
    if (differing.length > 0) await step(differing, before, 'abort')
    for (const [moment, slots] of behind) await step(slots, moment, 'catch-up')
    if (equal.length > 0) await step(equal, before, 'commit')
    this.#hasClosed ||= equal.length > 0
    this.#closed.add(equal.length)
    this.#differed.add(differing.length)
    log.debug({ slots: equal.length, differing: differing.length, before }, 'slots closed')
  }

  async #ask(owner: MemberId, job: Job, before: number, step: PurgeStep, view: RingView): Promise<ClosedSlots> {
    const { clock, replica } = this.#deps
    const { config, slots } = job
    const asked = { view: view.number, config: config.begin, before, step }
    if (owner === view.self) {
      return askReplica<ClosedSlots>({ clock, replica }, (reply) => ({
        type: 'close',
        ...asked,
        slots,
        from: undefined,
        reply
      }))
    }
    const closed = await this.#request(
      owner,
      { ...asked, step: PURGE_STEPS.indexOf(step), ranges: rangesOf(slots) },
      view
    )
    if (step === 'prepare' && !isWhole(closed, slots.length))
      throw new RingdError('BAD_MESSAGE', 'not an answer to prepare')
    return closed
  }

  async #request(member: MemberId, close: Close, view: RingView): Promise<ClosedSlots> {
    const to = { peerId: view.peerIds.get(member)!, member, stream: 'bulk' as const, timeoutMs: REQUEST_TIMEOUT_MS }
    const { closed } = await requestMember(this.#deps.network, { ...to, body: { close } })
    if (closed === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to a purge step')
    return closed
  }

  get #isStopped(): boolean {
    return this.#state === 'stopped'
  }

  #rest(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.after(ms, resolve))
  }

  #lookIn(delayMs: number): void {
    const { clock, self } = this.#deps
    if (this.#isStopped) return
    clock.after(delayMs, () => {
      if (!this.#isStopped) self.signal({ type: 'look' })
    })
  }
}

/**
 * How many owners come before this one in driving the slot; -1: it is no owner. Owners of a config take turns, by runs
 * of slots: in a small ring all slots have one config, and one driver would be too slow for all of them.
 */
function rankOf(member: MemberId, owners: readonly MemberId[], slot: number): number {
  const at = owners.indexOf(member)
  const first = Math.floor(slot / JOB_SLOTS_MAX) % owners.length
  return at < 0 ? -1 : (at - first + owners.length) % owners.length
}

interface Comparison {
  /** Slots of which all owners hold the same entries below the moment. */
  readonly equal: readonly number[]
  /** By the furthest purge bound: slots that some owner has closed less far than another. */
  readonly behind: ReadonlyMap<number, readonly number[]>
  readonly differing: readonly number[]
}

function compare(slots: readonly number[], told: readonly ClosedSlots[]): Comparison {
  const equal: number[] = []
  const behind = new Map<number, number[]>()
  const differing: number[] = []
  slots.forEach((slot, index) => {
    const closed = told.map((one) => readU32(one.closed, index * 4))
    const furthest = Math.max(...closed)
    if (closed.some((one) => one < furthest)) behind.set(furthest, [...(behind.get(furthest) ?? []), slot])
    else if (told.every(({ sums }) => sumAt(sums, index).equals(sumAt(told[0]!.sums, index)))) equal.push(slot)
    else differing.push(slot)
  })
  return { equal, behind, differing }
}

function sumAt(sums: Uint8Array, index: number): Buffer {
  return asBuffer(sums).subarray(index * SLOT_SUM_BYTES, (index + 1) * SLOT_SUM_BYTES)
}

function isWhole({ sums, closed }: ClosedSlots, slots: number): boolean {
  return sums.length === slots * SLOT_SUM_BYTES && closed.length === slots * 4
}
