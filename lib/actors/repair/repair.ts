// The repair actor: lets the owners of the same slots find and heal their differences by themselves.
// Owns when this member is compared with which other one, and the round under way: one at a time. Of two members the
// one with the lower id begins the regular rounds. A member that was started again begins a round with every other
// one: the side that begins sends the version lists, so the others are not asked to list what it missed.
// Invariants: only settled slots that both members own are compared. A store that comes back compares itself before it
// answers rounds of others, for a minute at most.
// Source: DeCandia et al., "Dynamo", 2007, 4.7; the tree is that of lib/anti-entropy/sum-tree.ts.

import { ALL_SLOTS, sharedSlots } from '../../anti-entropy/shared-slots.js'
import type { RepairReport } from '../../client/reports.js'
import type { Clock, Timer } from '../../clock.js'
import type { BlockLimits } from '../../entry/block.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Metrics } from '../../metrics.js'
import { type Body, InformedRefusal, type Link, type Network, type Respond } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import type { Random } from '../../random.js'
import type { SlotRange } from '../../ring/slots.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { RingView } from '../../views/ring-view.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { SkewWarning } from '../skew-warning.js'
import { ManualRepair } from './manual-repair.js'
import { RepairMetrics } from './repair-metrics.js'
import { repairMessage } from './repair-requests.js'
import { noCount, type RepairCount, runRepairSession } from './repair-session.js'

export type RepairMessage =
  | { readonly type: 'view'; readonly view: RingView }
  /** The member's peer is linked, for the first time or again. */
  | { readonly type: 'linked'; readonly member: MemberId }
  /** A round may be due. */
  | { readonly type: 'due' }
  | { readonly type: 'ended'; readonly round: Round; readonly error: RingdError | undefined }
  /** A message of a round that another owner began. */
  | { readonly type: 'request'; readonly from: Link; readonly body: Body; readonly respond: Respond }
  /** An operator asks to compare with all owners now. Replies with the report; OVERLOADED while one is under way. */
  | { readonly type: 'start'; readonly range: SlotRange; readonly reply: Reply<RepairReport> }
  | { readonly type: 'report'; readonly reply: Reply<RepairReport> }

export interface RepairDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  /** Passes on to membership what a refusal told about the ring. */
  readonly learned: (knowledge: WireKnowledge) => void
  /** See RepairSessionDeps. */
  readonly withinLimit?: ((bytes: number) => Promise<void>) | undefined
  readonly self: Ref<RepairMessage>
}

export interface RepairOptions {
  readonly limits: BlockLimits
  /** Time between two rounds with a member (default 10 000; 0: only by hand). Less time finds differences sooner. */
  readonly everyMs?: number | undefined
  /** The store was started before: it may have missed writes. */
  readonly isReturning: boolean
}

const EVERY_MS = 10_000
/** Rounds come up to this share earlier, at random, so that members do not all begin at once. */
const JITTER_SHARE = 0.2
/** Delay after a link is up: hints for a member that was away are replayed first. */
const RETURN_MS = 2000
const RETURN_JITTER_MS = 1000
/** A member that was not restarted waits longer, so that the restarted one begins the round. */
const WAIT_FOR_RETURNER_MS = 5000
const RETRY_MS = 1000
/** For this long a restarted store refuses the rounds of others. */
const RETURNING_MS_MAX = 60_000

/** Another member, and when it is compared. */
interface Pair {
  /** When the next round is due, monotonic ms. */
  dueAt: number
  last: { readonly at: number; readonly differing: number; readonly error: RingdError | undefined } | undefined
}

interface Round {
  readonly member: MemberId
  readonly range: SlotRange
  readonly count: RepairCount
  readonly digest: number
  readonly startedAt: number
  readonly isByHand: boolean
  /** superseded: the slots that both share have changed; the session notices at its next message. */
  state: 'running' | 'superseded'
}

/** Whether the message belongs to a repair round: this actor answers it. */
export function isRepairRequest({ repairSums, repairVersions, repairEntries }: Body): boolean {
  return (repairSums ?? repairVersions ?? repairEntries) !== undefined
}

export class Repair implements Actor<RepairMessage> {
  readonly #deps: RepairDeps
  readonly #options: RepairOptions
  readonly #everyMs: number
  readonly #metrics: RepairMetrics
  readonly #skew: SkewWarning
  readonly #pairs = new Map<MemberId, Pair>()
  /** Members with which this one has not been compared since it was started. */
  readonly #returning = new Set<MemberId>()
  #manual = new ManualRepair(ALL_SLOTS, [])
  #startedAt = 0
  #view: RingView | undefined
  #round: Round | undefined
  #timer: Timer | undefined
  #stopped = false

  constructor(deps: RepairDeps, options: RepairOptions) {
    this.#deps = deps
    this.#options = options
    this.#everyMs = options.everyMs ?? EVERY_MS
    this.#metrics = new RepairMetrics(deps.metrics)
    this.#skew = new SkewWarning(deps)
  }

  receive(batch: readonly RepairMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#next()
  }

  /** Ends the round under way. Nothing is lost: the next round compares again. */
  ended(): void {
    this.#stopped = true
    this.#timer?.cancel()
    if (this.#round !== undefined) this.#round.state = 'superseded'
  }

  #handle(message: RepairMessage): void {
    switch (message.type) {
      case 'view':
        return this.#handleView(message.view)
      case 'linked':
        return this.#handleLinked(message.member)
      case 'due':
        return
      case 'ended':
        return this.#handleEnded(message.round, message.error)
      case 'request':
        return this.#handleRequest(message.from, message.body, message.respond)
      case 'start':
        return this.#handleStart(message.range, message.reply)
      case 'report':
        return message.reply(this.#report())
      default:
        message satisfies never
    }
  }

  #handleView(view: RingView): void {
    const isFirst = this.#view === undefined
    this.#view = view
    const now = this.#deps.clock.elapsed()
    for (const member of this.#pairs.keys()) if (!view.members.has(member)) this.#forget(member)
    for (const member of view.members.keys()) {
      if (member === view.self || this.#pairs.has(member)) continue
      this.#pairs.set(member, { dueAt: now + this.#period(), last: undefined })
      if (!isFirst || !this.#options.isReturning) continue
      this.#startedAt = now
      this.#returning.add(member)
      this.#handleLinked(member)
    }
    const round = this.#round
    if (round === undefined) return
    if (sharedSlots(view, view.self, round.member, round.range).digest !== round.digest) round.state = 'superseded'
  }

  #forget(member: MemberId): void {
    this.#pairs.delete(member)
    this.#returning.delete(member)
  }

  #handleLinked(member: MemberId): void {
    const pair = this.#pairs.get(member)
    if (pair === undefined || this.#everyMs === 0) return
    const wait = this.#returning.has(member) ? RETURN_MS : WAIT_FOR_RETURNER_MS
    pair.dueAt = this.#deps.clock.elapsed() + wait + this.#deps.random.next() * RETURN_JITTER_MS
  }

  #handleRequest(from: Link, body: Body, respond: Respond): void {
    try {
      const message = repairMessage(from, body, respond)
      if (message.type === 'repair-compare' && message.level === 0) {
        const isFree = !this.#isCatchingUp || (this.#returning.has(from.storeId) && from.storeId < this.#view!.self)
        if (!isFree) throw new RingdError('OVERLOADED', 'this member came back and compares itself first')
        const pair = this.#pairs.get(from.storeId)
        if (pair !== undefined && !this.#returning.has(from.storeId)) {
          pair.dueAt = this.#deps.clock.elapsed() + this.#period()
        }
      }
      if (!this.#deps.replica.tell(message)) respond(new RingdError('OVERLOADED'))
    } catch (thrown) {
      respond(toRingdError(thrown))
    }
  }

  get #isCatchingUp(): boolean {
    const isEarly = this.#deps.clock.elapsed() - this.#startedAt < RETURNING_MS_MAX
    return this.#everyMs > 0 && isEarly && this.#returning.size > 0
  }

  #handleStart(range: SlotRange, reply: Reply<RepairReport>): void {
    const view = this.#view
    if (view === undefined) return reply(new RingdError('NOT_SERVING'))
    if (this.#manual.isRunning) return reply(new RingdError('OVERLOADED', 'a repair is under way'))
    const others = [...this.#pairs.keys()].filter((member) => ownsTogether(view, member, range))
    this.#manual = new ManualRepair(range, others)
    reply(this.#report())
  }

  /** Begins the round that is due, or sets the timer for the next one. Rounds of an operator go first. */
  #next(): void {
    if (this.#stopped || this.#round !== undefined || this.#view === undefined) return
    const { clock, self } = this.#deps
    const now = clock.elapsed()
    const member = this.#manual.next(now)
    if (member !== undefined) return this.#start(member, this.#manual.range, true)
    let earliest = this.#manual.dueAt
    if (this.#everyMs > 0) {
      for (const [each, pair] of this.#pairs) {
        if (!this.#begins(each)) continue
        if (pair.dueAt <= now) return this.#start(each, ALL_SLOTS, false)
        earliest = Math.min(earliest, pair.dueAt)
      }
    }
    this.#timer?.cancel()
    if (earliest === Number.POSITIVE_INFINITY) return
    this.#timer = clock.after(earliest - now, () => self.signal({ type: 'due' }))
  }

  #begins(member: MemberId): boolean {
    return this.#view!.self < member || this.#returning.has(member)
  }

  #start(member: MemberId, range: SlotRange, isByHand: boolean): void {
    const { clock, self } = this.#deps
    const view = this.#view!
    const shared = sharedSlots(view, view.self, member, range)
    const { digest } = shared
    const startedAt = clock.elapsed()
    const round: Round = { member, range, count: noCount(), digest, startedAt, isByHand, state: 'running' }
    this.#round = round
    const end = (error: RingdError | undefined) => self.signal({ type: 'ended', round, error })
    // The two share no settled slot now. A manual repair waits until the moves have settled; a regular round is done.
    const isMoving = isByHand && shared.slots.length === 0
    if (isMoving) return end(new RingdError('NOT_SERVING', 'the slots are moving'))
    if (shared.slots.length === 0) return end(undefined)
    const scope = { view: view.number, first: range.first, last: range.last, digest }
    const isCancelled = () => round.state === 'superseded'
    const peer = view.peerIds.get(member)!
    const { limits } = this.#options
    runRepairSession(this.#deps, { peer, member, scope, shared, limits, isCancelled }, round.count).then(
      () => end(undefined),
      (thrown) => end(toRingdError(thrown))
    )
  }

  #handleEnded(round: Round, error: RingdError | undefined): void {
    const { clock, log, learned } = this.#deps
    const { member, count } = round
    const now = clock.elapsed()
    const ms = Math.round(now - round.startedAt)
    this.#round = undefined
    this.#metrics.add(count, ms, error !== undefined)
    if (error instanceof InformedRefusal) learned(error.knowledge)
    if (count.sentEntries + count.receivedEntries > 0) log.info({ member, ...count, ms }, 'differences healed')
    if (error !== undefined) {
      this.#skew.failed(error, member)
      log.debug({ member, err: error }, 'repair round failed; trying again')
    }
    if (round.isByHand) this.#manual.ended(member, count, error, now)
    const pair = this.#pairs.get(member)
    if (pair === undefined) return
    if (!round.isByHand || error === undefined) pair.last = { at: now, differing: count.differing, error }
    if (error === undefined) this.#returning.delete(member)
    pair.dueAt = now + (error === undefined ? this.#period() : RETRY_MS * (1 + this.#deps.random.next()))
    // A member that is away is compared soon after it is linked again.
    if (error?.code === 'UNREACHABLE') pair.dueAt = now + this.#period()
  }

  #period(): number {
    if (this.#everyMs === 0) return Number.POSITIVE_INFINITY
    return this.#everyMs * (1 - JITTER_SHARE * this.#deps.random.next())
  }

  #report(): RepairReport {
    const now = this.#deps.clock.elapsed()
    const rounds = Array.from(this.#pairs, ([storeId, { last }]) => ({
      storeId,
      agoMs: last === undefined ? null : Math.round(now - last.at),
      differing: last?.error === undefined ? (last?.differing ?? null) : null,
      error: last?.error?.code ?? null
    }))
    return { ...this.#manual.report(), rounds }
  }
}

/** Whether both members own some slot of the range, settled or not. */
function ownsTogether({ configs, self }: RingView, member: MemberId, { first, last }: SlotRange): boolean {
  const windows = new Set(configs.windows.slice(first, last + 1))
  return [...windows].some((window) => {
    const { owners } = window[window.length - 1]!
    return owners.includes(self) && owners.includes(member)
  })
}
