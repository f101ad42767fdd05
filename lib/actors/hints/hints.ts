// The hints actor: keeps writes on disk for owners that did not take them, and replays them when the owners are back.
// Owns the queues of hints on the disk, one for each member; memory holds counts, and hints that wait for the disk.
// Invariants: hints are bounded in bytes and in age, and a hint beyond the bounds is dropped and counted; a hint leaves
// the disk after its owner has answered; no client waits for this actor, and a hint never counts towards a quorum.
// Source: hinted handoff, as in DeCandia et al. 2007, without sloppy quorums.

import type { Bytes } from '../../bytes.js'
import { type Clock, every, type Timer } from '../../clock.js'
import { allHints, type Hint } from '../../entry/hint.js'
import type { RingTime } from '../../entry/ring-time.js'
import { isPromisedAbove } from '../../entry/write-rule.js'
import { assert, RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Metrics } from '../../metrics.js'
import { isMemberLinked } from '../../network/member-link.js'
import type { Answer, Network } from '../../network/network.js'
import { slotOf } from '../../ring/slots.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import { chunks } from '../../storage/chunks.js'
import type { Scan, ScanRange, StoreWrite } from '../../storage/store.js'
import { windowOwners } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import { streamOf } from '../large-requests.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage, WriteResult } from '../replica/replica-messages.js'
import { type DropReason, HintMetrics } from './hint-metrics.js'
import { type HintQueue, HintQueues, type NumberedHint } from './hint-queue.js'
import { type RoundReport, replayRound, type SendOutcome } from './hint-replay.js'
import type { HintsMessage, KeepMessage } from './hints-messages.js'
import { MemberReplay } from './member-replay.js'

export interface HintsDeps {
  readonly clock: Clock
  /** Hints are dated by it, and not by the wall clock of this peer, which may jump. */
  readonly ringTime: Pick<RingTime, 'now'>
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly scan: (range: ScanRange) => Scan
  readonly self: Ref<HintsMessage>
}

export interface HintsOptions {
  /** Bound of the hints on the disk (default 1 GiB; 0 keeps none). A lower bound loses hints of long absences. */
  readonly bytesMax?: number | undefined
  /** How long a hint is kept (default 3 h). */
  readonly ageMs?: number | undefined
}

/** Hints on the disk, for all members. */
export interface HintTotals {
  readonly entries: number
  readonly bytes: number
}

export const HINT_BYTES_MAX = 1024 * MiB
const HOUR_MS = 3_600_000
export const HINT_AGE_MS = 3 * HOUR_MS
/** Members that are sent hints at the same time, each one batch. */
const ROUNDS_MAX = 4
const TICK_MS = 1000
const SEND_TIMEOUT_MS = 10_000
const COUNT_BYTES = MiB

/**
 * counting: hints on the disk are counted, and their numbers are not known yet. failed: the disk could not be read; the
 * next tick counts on.
 */
type State = 'counting' | 'failed' | 'open' | 'over'

/** Keeps hints, decides whose turn it is, sends hints as ordinary writes, and counts what happened to them. */
export class Hints implements Actor<HintsMessage> {
  readonly #deps: HintsDeps
  readonly #ageMs: number
  readonly #queues: HintQueues
  readonly #replays = new Map<MemberId, MemberReplay>()
  readonly #metrics: HintMetrics
  /** Work that reads the disk. */
  readonly #work = new Set<Promise<void>>()
  #state: State = 'counting'
  #isWriting = false
  #view: RingView | undefined
  /** The next hint to count. A count that failed goes on here. */
  #countFrom: Bytes = allHints().from
  /** Runs while hints are on the disk, and while a failed count rests. */
  #ticks: Timer | undefined

  constructor(deps: HintsDeps, options: HintsOptions = {}) {
    this.#deps = deps
    this.#ageMs = options.ageMs ?? HINT_AGE_MS
    this.#queues = new HintQueues(options.bytesMax ?? HINT_BYTES_MAX)
    this.#metrics = new HintMetrics(deps)
    this.#run(this.#count())
  }

  get totals(): HintTotals {
    return { entries: this.#queues.entries, bytes: this.#queues.bytes }
  }

  receive(batch: readonly HintsMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#write()
    this.#startRounds()
    this.#measure()
  }

  /** counting, open -> over. Hands the waiting hints to the replica; resolves when no work reads the disk any more. */
  async ended(): Promise<void> {
    const isCounted = this.#state === 'open'
    this.#state = 'over'
    this.#ticks?.cancel()
    if (isCounted) while (this.#queues.hasWaiting) this.#writeGroup()
    await Promise.all(this.#work)
  }

  #handle(message: HintsMessage): void {
    switch (message.type) {
      case 'view':
        this.#view = message.view
        return
      case 'keep':
        return this.#handleKeep(message)
      case 'linked':
        this.#replays.get(message.member)?.wake()
        return
      case 'tick':
        return this.#handleTick()
      case 'written':
        return this.#handleWritten(message.group, message.error)
      case 'ended':
        return this.#handleEnded(message.member, message.report)
      case 'counted':
        return this.#handleCounted(message.error)
      default:
        message satisfies never
    }
  }

  // ---- keeping ----

  #handleKeep({ member, key, envelope }: KeepMessage): void {
    const reason = this.#queues.offer({ member, key, envelope, keptAtMs: this.#now() })
    if (reason !== undefined) this.#metrics.dropped(reason, 1)
  }

  /** One group at a time; hints that come meanwhile share the next. */
  #write(): void {
    if (!this.#isWriting && this.#state === 'open' && this.#queues.hasWaiting) this.#writeGroup()
  }

  #writeGroup(): void {
    const { hints: group, writes } = this.#queues.takeGroup()
    this.#isWriting = true
    const reply: Reply<undefined> = (result) =>
      this.#deps.self.signal({ type: 'written', group, error: result instanceof RingdError ? result : undefined })
    if (!this.#deps.replica.tell({ type: 'keep', writes, reply })) reply(new RingdError('OVERLOADED'))
  }

  #handleWritten(group: readonly NumberedHint[], error: RingdError | undefined): void {
    this.#isWriting = false
    this.#queues.written(group, error === undefined)
    if (error === undefined) {
      this.#metrics.kept(group.length)
      this.#startTicks()
    } else this.#metrics.dropped(error.code === 'OVERLOADED' ? 'overload' : 'disk', group.length)
  }

  #startTicks(): void {
    if (this.#state === 'over') return
    this.#ticks ??= every(this.#deps.clock, TICK_MS, () => void this.#deps.self.tell({ type: 'tick' }))
  }

  /**
   * Counts the hints on the disk from `#countFrom` on. No group is written before all are counted, because its numbers
   * go on behind theirs: with a number that is in use it would replace a hint on the disk.
   */
  async #count(): Promise<void> {
    let error: RingdError | undefined
    try {
      const { to } = allHints()
      for await (const found of chunks(this.#deps.scan({ from: this.#countFrom, to }), COUNT_BYTES)) {
        if (this.#state === 'over') break
        for (const [stored, value] of found) this.#queues.found(stored, value, this.#now())
        this.#countFrom = after(found[found.length - 1]![0])
        if (this.#queues.entries > 0) this.#startTicks()
      }
    } catch (thrown) {
      error = toRingdError(thrown)
    }
    this.#deps.self.signal({ type: 'counted', error })
  }

  /** counting -> open; counting -> failed when the disk was not read to the end. */
  #handleCounted(error: RingdError | undefined): void {
    assert(this.#state === 'counting', 'hints are counted once at a time')
    if (error === undefined) {
      this.#state = 'open'
      if (this.#queues.entries === 0) this.#ticks = void this.#ticks?.cancel()
      return
    }
    this.#deps.log.warn({ err: error }, 'hints on disk not counted; new hints wait in memory until the disk is read')
    this.#state = 'failed'
    this.#startTicks()
  }

  /** failed -> counting */
  #handleTick(): void {
    if (this.#state !== 'failed') return
    this.#state = 'counting'
    this.#run(this.#count())
  }

  // ---- replaying ----

  #startRounds(): void {
    const view = this.#view
    if (view === undefined || this.#state !== 'open') return
    const now = this.#deps.clock.elapsed()
    let running = 0
    for (const { isRunning } of this.#replays.values()) if (isRunning) running += 1
    for (const [member, queue] of this.#queues.members()) {
      if (running >= ROUNDS_MAX) return
      const replay = this.#replay(member)
      if (!replay.mayBegin(now) || !this.#hasWork(member, queue, view)) continue
      running += 1
      replay.begin(now)
      this.#run(this.#round(member, queue, replay))
    }
  }

  /** Whether there is a hint to send or to drop. */
  #hasWork(member: MemberId, queue: HintQueue, view: RingView): boolean {
    if (queue.entries === 0 || queue.head >= queue.written) return false
    return this.#isOld(queue.oldestAtMs) || !isNeeded(member, view) || this.#isLinked(member, view)
  }

  async #round(member: MemberId, { head, written }: HintQueue, { pace }: MemberReplay): Promise<void> {
    const { clock, scan, self } = this.#deps
    const deps = {
      clock,
      scan,
      remove: (keys: readonly Bytes[]) => this.#remove(keys),
      dropReason: (hint: Hint) => this.#dropReason(member, hint),
      send: (hint: Hint, done: (outcome: SendOutcome) => void) => this.#send(member, hint, done)
    }
    const report = await replayRound(deps, { member, from: head, to: written, pace }).catch(toRingdError)
    self.signal({ type: 'ended', member, report })
  }

  #handleEnded(member: MemberId, report: RoundReport | RingdError): void {
    const replay = this.#replay(member)
    const now = this.#deps.clock.elapsed()
    if (report instanceof RingdError) {
      this.#deps.log.warn({ member, err: report }, 'hints not read or not deleted; replay tries again')
      return replay.rest(now)
    }
    const { fates, bytes, next, oldestAtMs, mustRest } = report
    let entries = 0
    for (const [fate, count] of fates) {
      entries += count
      if (fate === 'replayed') this.#metrics.replayed(count)
      else this.#metrics.dropped(fate, count)
    }
    this.#queues.removed(member, { entries, bytes, next, oldestAtMs })
    if (this.#queues.entries === 0) this.#ticks = void this.#ticks?.cancel()
    if (entries > 0) replay.shortenRest()
    if (mustRest) return replay.rest(now)
    replay.end()
    if (this.#queues.of(member).entries === 0) {
      this.#deps.log.info({ member }, 'all hints for a member replayed or dropped')
    }
  }

  #replay(member: MemberId): MemberReplay {
    let replay = this.#replays.get(member)
    if (replay === undefined) {
      replay = new MemberReplay()
      this.#replays.set(member, replay)
    }
    return replay
  }

  #dropReason(member: MemberId, { key, keptAtMs }: Hint): DropReason | undefined {
    const view = this.#view!
    if (!isNeeded(member, view)) return 'gone'
    if (this.#isOld(keptAtMs)) return 'old'
    const window = view.configs.windows[slotOf(key)]!
    return window.some(({ owners }) => owners.includes(member)) ? undefined : 'moved'
  }

  #send(member: MemberId, { key, envelope }: Hint, done: (outcome: SendOutcome) => void): boolean {
    const { replica, network } = this.#deps
    const { number: view, self, peerIds } = this.#view!
    if (this.#state === 'over' || !this.#isLinked(member, this.#view!)) return false
    if (member === self) {
      const reply = (result: WriteResult | RingdError) => done(outcomeOf(result))
      return replica.tell({ type: 'write', view, from: undefined, key, envelope, reply })
    }
    const body = { write: { view, key, envelope } }
    network.request(peerIds.get(member)!, streamOf(body), body, SEND_TIMEOUT_MS, (answer) =>
      done(outcomeOfAnswer(answer))
    )
    return true
  }

  async #remove(keys: readonly Bytes[]): Promise<void> {
    const writes = keys.map((key): StoreWrite => ({ type: 'del', key }))
    const { clock, replica } = this.#deps
    await askReplica<undefined>({ clock, replica }, (reply) => ({ type: 'keep', writes, reply }))
  }

  /** Whether the peer of the member is linked and still holds the data directory of that member. */
  #isLinked(member: MemberId, { self, peerIds }: RingView): boolean {
    return member === self || isMemberLinked(this.#deps.network, peerIds, member)
  }

  #isOld(keptAtMs: number): boolean {
    return this.#now() - keptAtMs > this.#ageMs
  }

  #measure(): void {
    const now = this.#now()
    const { entries, bytes } = this.#queues
    this.#metrics.measure(entries, bytes, Math.max(0, now - this.#queues.oldestAtMs(now)))
  }

  #now(): number {
    return this.#deps.ringTime.now()
  }

  /** `ended` waits for it. Never rejects. */
  #run(work: Promise<void>): void {
    const running = work.finally(() => this.#work.delete(running))
    this.#work.add(running)
  }
}

/** A member of the newest view, or a former one that still owns in a window. */
function isNeeded(member: MemberId, view: RingView): boolean {
  return view.members.has(member) || windowOwners(view.configs).has(member)
}

/** The first stored key behind this one. */
function after(stored: Bytes): Bytes {
  return Buffer.concat([stored, Uint8Array.of(0)])
}

function outcomeOf(result: WriteResult | RingdError): SendOutcome {
  if (result instanceof RingdError) return result
  return result !== undefined && isPromisedAbove(result) ? 'promised' : 'taken'
}

function outcomeOfAnswer(answer: Answer): SendOutcome {
  if (answer instanceof RingdError) return answer
  if (answer.written === undefined) return new RingdError('BAD_MESSAGE', 'a peer answered a hint with something else')
  return answer.written.promised === undefined ? 'taken' : 'promised'
}
