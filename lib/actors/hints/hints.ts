// The hints actor: keeps writes for owners that did not take them, and replays them when those owners are back.
// Owns what is kept, as a queue on disk for each member; in memory there are counts only, and what waits for the disk.
// Invariants: what is kept is bounded, in bytes and in age, and what is beyond is dropped and counted; a hint leaves
// the disk after its owner has answered; nobody waits for this actor, and nothing it does counts towards a quorum.
// Source: hinted handoff, as in DeCandia et al. 2007, without sloppy quorums.

import type { Bytes } from '../../bytes.js'
import { type Clock, every, type Timer } from '../../clock.js'
import { allHints, decodeHint, encodeHint, type Hint, hintBytes, hintKey, parseHintKey } from '../../entry/hint.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { isMemberLinked } from '../../network/member-link.js'
import type { Answer, Network } from '../../network/network.js'
import { slotOf } from '../../ring/slots.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { Scan, ScanRange, StoreWrite } from '../../storage/store.js'
import { windowOwners } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { DROP_REASONS, type DropReason, hintsDropped } from './hint-metrics.js'
import { Pace, type RoundReport, replayRound } from './hint-replay.js'

export type HintsMessage =
  | { readonly type: 'view'; readonly view: RingView }
  /** The member owns the key and did not take this write, which is acknowledged. */
  | { readonly type: 'keep'; readonly member: MemberId; readonly key: Bytes; readonly envelope: Bytes }
  /** The member has a link again. */
  | { readonly type: 'linked'; readonly member: MemberId }
  | { readonly type: 'tick' }
  /** What the disk said of hints that were to be kept. */
  | { readonly type: 'written'; readonly group: readonly Waiting[]; readonly error: RingdError | undefined }
  | { readonly type: 'ended'; readonly member: MemberId; readonly report: RoundReport | RingdError }
  /** The hints of a former life have been counted, or could not be. */
  | { readonly type: 'counted'; readonly error: RingdError | undefined }

export interface HintsDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly scan: (range: ScanRange) => Scan
  readonly self: Ref<HintsMessage>
}

export interface HintsOptions {
  /** What hints may take on the disk (default 1 GiB; 0 keeps none). Less loses hints of long absences. */
  readonly bytesMax?: number | undefined
  /** How long one is kept (default 3 h). */
  readonly ageMs?: number | undefined
}

export interface HintTotals {
  readonly entries: number
  readonly bytes: number
}

/** A hint that waits for the disk. */
interface Waiting extends Hint {
  readonly member: MemberId
  readonly sequence: number
}

/** What is kept for one member. */
interface Queue {
  entries: number
  bytes: number
  /** Nothing lies before this number. */
  head: number
  /** Numbers below are on the disk, or never will be. */
  written: number
  /** The number of the next hint. */
  next: number
  /** Wall clock: nothing was kept before. */
  oldestAtMs: number
  readonly pace: Pace
  isRunning: boolean
  /** Monotonic ms: it is left alone until then. */
  restsUntil: number
  restMs: number
}

export const HINT_BYTES_MAX = 1024 * MiB
const HOUR_MS = 3_600_000
export const HINT_AGE_MS = 3 * HOUR_MS
/** Hints that wait for the disk: the slower it is, the more of them there are. */
const WAITING_BYTES_MAX = 16 * MiB
/** Written at once: clients wait for the same batch. */
const GROUP_BYTES = 512 * 1024
/** Members that are sent hints at once, each a batch of them. */
const ROUNDS_MAX = 4
const TICK_MS = 1000
/** A member that takes no hints is asked again after this, and twice as long each time. */
const REST_MS_MIN = 500
const REST_MS_MAX = 16_000
const SEND_TIMEOUT_MS = 10_000
/** One line for all that was dropped meanwhile. */
const LOG_MS = 10_000
const COUNT_BYTES = MiB
/** Dropping these is what should happen to them. */
const SILENT: ReadonlySet<DropReason> = new Set(['moved', 'gone'])

export class Hints implements Actor<HintsMessage> {
  readonly #deps: HintsDeps
  readonly #bytesMax: number
  readonly #ageMs: number
  readonly #queues = new Map<MemberId, Queue>()
  readonly #kept: Counter
  readonly #replayed: Counter
  readonly #dropped: Readonly<Record<DropReason, Counter>>
  readonly #gauges: { readonly entries: Gauge; readonly bytes: Gauge; readonly age: Gauge }
  /** Dropped since the last line of the log that told of it. */
  readonly #untold = new Map<DropReason, number>()
  readonly #rounds = new Set<Promise<void>>()
  #nextLine = 0
  #entries = 0
  #bytes = 0
  #waiting: Omit<Waiting, 'sequence'>[] = []
  /** Of those that wait, and of those that are being written. */
  #waitingBytes = 0
  #isWriting = false
  #isCounted = false
  #isOver = false
  #view: RingView | undefined
  /** Runs while anything is kept. */
  #ticks: Timer | undefined

  constructor(deps: HintsDeps, options: HintsOptions = {}) {
    this.#deps = deps
    this.#bytesMax = options.bytesMax ?? HINT_BYTES_MAX
    this.#ageMs = options.ageMs ?? HINT_AGE_MS
    const { metrics } = deps
    this.#kept = metrics.counter('ringd_hints_kept', 'writes kept for owners that did not take them')
    this.#replayed = metrics.counter('ringd_hints_replayed', 'hints that their owners have answered')
    this.#dropped = Object.fromEntries(DROP_REASONS.map((reason) => [reason, hintsDropped(metrics, reason)])) as Record<
      DropReason,
      Counter
    >
    this.#gauges = {
      entries: metrics.gauge('ringd_hints_entries', 'hints on the disk'),
      bytes: metrics.gauge('ringd_hints_bytes', 'bytes of hints on the disk'),
      age: metrics.gauge('ringd_hints_oldest_age_ms', 'how long the oldest hint has been kept')
    }
    this.#run(this.#count())
  }

  get totals(): HintTotals {
    return { entries: this.#entries, bytes: this.#bytes }
  }

  receive(batch: readonly HintsMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#write()
    this.#startRounds()
    this.#measure()
  }

  /** Hands storage what waits; resolves when nothing of this actor reads the disk any more. */
  async ended(): Promise<void> {
    this.#isOver = true
    this.#ticks?.cancel()
    if (this.#isCounted) while (this.#waiting.length > 0) this.#writeGroup()
    await Promise.all(this.#rounds)
  }

  #handle(message: HintsMessage): void {
    switch (message.type) {
      case 'view':
        this.#view = message.view
        return
      case 'keep':
        return this.#handleKeep(message)
      case 'linked':
        return this.#handleLinked(message.member)
      case 'tick':
        return
      case 'written':
        return this.#handleWritten(message.group, message.error)
      case 'ended':
        return this.#handleEnded(message.member, message.report)
      case 'counted':
        if (message.error !== undefined)
          this.#deps.log.warn({ err: message.error }, 'hints of a former life are not all counted')
        this.#isCounted = true
        return
      default:
        message satisfies never
    }
  }

  #handleKeep({ member, key, envelope }: Extract<HintsMessage, { type: 'keep' }>): void {
    const bytes = hintBytes(key, envelope)
    if (this.#bytes + this.#waitingBytes + bytes > this.#bytesMax) return this.#drop('full')
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) return this.#drop('overload')
    this.#waitingBytes += bytes
    this.#waiting.push({ member, key, envelope, keptAtMs: this.#deps.clock.now() })
  }

  #handleLinked(member: MemberId): void {
    const queue = this.#queues.get(member)
    if (queue === undefined) return
    queue.restsUntil = 0
    queue.restMs = REST_MS_MIN
  }

  // ---- keeping ----

  /** One group at a time: what comes meanwhile shares the next. */
  #write(): void {
    if (!this.#isWriting && this.#isCounted && this.#waiting.length > 0) this.#writeGroup()
  }

  #writeGroup(): void {
    const group: Waiting[] = []
    const writes: StoreWrite[] = []
    let bytes = 0
    for (const waiting of this.#waiting) {
      if (bytes >= GROUP_BYTES) break
      bytes += hintBytes(waiting.key, waiting.envelope)
      const hint = { ...waiting, sequence: this.#queue(waiting.member).next++ }
      group.push(hint)
      writes.push({ type: 'put', key: hintKey(hint), value: encodeHint(hint) })
    }
    this.#waiting = this.#waiting.slice(group.length)
    this.#isWriting = true
    const reply: Reply<undefined> = (result) =>
      this.#deps.self.signal({ type: 'written', group, error: result instanceof RingdError ? result : undefined })
    if (!this.#deps.replica.tell({ type: 'keep', writes, reply })) reply(new RingdError('OVERLOADED'))
  }

  #handleWritten(group: readonly Waiting[], error: RingdError | undefined): void {
    this.#isWriting = false
    for (const { member, sequence, key, envelope, keptAtMs } of group) {
      const bytes = hintBytes(key, envelope)
      this.#waitingBytes -= bytes
      const queue = this.#queue(member)
      queue.written = sequence + 1
      if (error === undefined) this.#add(queue, bytes, keptAtMs)
    }
    if (error === undefined) this.#kept.add(group.length)
    else this.#drop(error.code === 'OVERLOADED' ? 'overload' : 'disk', group.length)
  }

  #add(queue: Queue, bytes: number, keptAtMs: number): void {
    if (queue.entries === 0) queue.oldestAtMs = keptAtMs
    queue.entries += 1
    queue.bytes += bytes
    this.#entries += 1
    this.#bytes += bytes
    this.#ticks ??= every(this.#deps.clock, TICK_MS, () => void this.#deps.self.tell({ type: 'tick' }))
  }

  #queue(member: MemberId): Queue {
    let queue = this.#queues.get(member)
    if (queue === undefined) {
      const numbers = { entries: 0, bytes: 0, head: 0, written: 0, next: 0, oldestAtMs: 0 }
      queue = { ...numbers, pace: new Pace(), isRunning: false, restsUntil: 0, restMs: REST_MS_MIN }
      this.#queues.set(member, queue)
    }
    return queue
  }

  /** What a former life has kept. Nothing new is written meanwhile, since it is not known under which number. */
  async #count(): Promise<void> {
    let error: RingdError | undefined
    try {
      const scan = this.#deps.scan(allHints())
      try {
        while (!this.#isOver) {
          const found = await scan.next(COUNT_BYTES)
          if (found.length === 0) break
          for (const [stored, value] of found) this.#found(stored, value)
        }
      } finally {
        await scan.close()
      }
    } catch (thrown) {
      error = toRingdError(thrown)
    }
    this.#deps.self.signal({ type: 'counted', error })
  }

  #found(stored: Bytes, value: Bytes): void {
    const key = parseHintKey(stored)
    if (key === undefined) return
    const queue = this.#queue(key.member)
    if (queue.entries === 0) queue.head = key.sequence
    queue.next = queue.written = key.sequence + 1
    // A damaged one is found out when it is read again.
    this.#add(queue, stored.length + value.length, decodeHint(value)?.keptAtMs ?? this.#deps.clock.now())
  }

  // ---- replaying ----

  #startRounds(): void {
    const view = this.#view
    if (view === undefined || !this.#isCounted || this.#isOver) return
    let running = 0
    for (const { isRunning } of this.#queues.values()) if (isRunning) running += 1
    for (const [member, queue] of this.#queues) {
      if (running >= ROUNDS_MAX) return
      if (queue.isRunning || !this.#isDue(member, queue, view)) continue
      running += 1
      queue.isRunning = true
      this.#run(this.#round(member, queue))
    }
  }

  /** There is something to send or to drop, and the member has rested. */
  #isDue(member: MemberId, queue: Queue, view: RingView): boolean {
    if (queue.entries === 0 || queue.head >= queue.written) return false
    if (this.#deps.clock.elapsed() < queue.restsUntil) return false
    return this.#isOld(queue.oldestAtMs) || !isNeeded(member, view) || this.#isLinked(member, view)
  }

  async #round(member: MemberId, { head, written, pace }: Queue): Promise<void> {
    const { clock, scan, self } = this.#deps
    const deps = {
      clock,
      scan,
      remove: (keys: readonly Bytes[]) => this.#remove(keys),
      dropReason: (hint: Hint) => this.#dropReason(member, hint),
      send: (hint: Hint, done: (error: RingdError | undefined) => void) => this.#send(member, hint, done)
    }
    const report = await replayRound(deps, { member, from: head, to: written, pace }).catch(toRingdError)
    self.signal({ type: 'ended', member, report })
  }

  #handleEnded(member: MemberId, report: RoundReport | RingdError): void {
    const queue = this.#queue(member)
    queue.isRunning = false
    if (report instanceof RingdError) {
      this.#deps.log.warn({ member, err: report }, 'hints cannot be replayed yet')
      return this.#rest(queue)
    }
    for (const [fate, count] of report.fates) {
      this.#take(queue, count, 0)
      if (fate === 'replayed') this.#replayed.add(count)
      else this.#drop(fate, count)
    }
    this.#take(queue, 0, report.bytes)
    queue.head = report.next
    if (report.oldestAtMs !== undefined) queue.oldestAtMs = report.oldestAtMs
    // Of a write that failed nobody knows whether it is on the disk: here is where the count is right again.
    if (queue.head >= queue.next) this.#take(queue, queue.entries, queue.bytes)
    if (report.fates.size > 0) queue.restMs = REST_MS_MIN
    if (report.isOver) this.#rest(queue)
    else if (queue.entries === 0) this.#deps.log.info({ member }, 'every hint for a member is replayed or dropped')
  }

  #take(queue: Queue, entries: number, bytes: number): void {
    const fewer = Math.min(entries, queue.entries)
    const less = Math.min(bytes, queue.bytes)
    queue.entries -= fewer
    queue.bytes -= less
    this.#entries -= fewer
    this.#bytes -= less
    if (this.#entries === 0) this.#ticks = void this.#ticks?.cancel()
  }

  #rest(queue: Queue): void {
    queue.restsUntil = this.#deps.clock.elapsed() + queue.restMs
    queue.restMs = Math.min(2 * queue.restMs, REST_MS_MAX)
  }

  #dropReason(member: MemberId, { key, keptAtMs }: Hint): DropReason | undefined {
    const view = this.#view!
    if (!isNeeded(member, view)) return 'gone'
    if (this.#isOld(keptAtMs)) return 'old'
    const window = view.configs.windows[slotOf(key)]!
    return window.some(({ owners }) => owners.includes(member)) ? undefined : 'moved'
  }

  #send(member: MemberId, { key, envelope }: Hint, done: (error: RingdError | undefined) => void): boolean {
    const { replica, network } = this.#deps
    const { number: view, self, peerIds } = this.#view!
    if (this.#isOver || !this.#isLinked(member, this.#view!)) return false
    if (member === self) {
      const reply = (result: unknown) => done(result instanceof RingdError ? result : undefined)
      return replica.tell({ type: 'write', view, from: undefined, key, envelope, reply })
    }
    const body = { write: { view, key, envelope } }
    network.request(peerIds.get(member)!, 'operations', body, SEND_TIMEOUT_MS, (answer) => done(errorOf(answer)))
    return true
  }

  async #remove(keys: readonly Bytes[]): Promise<void> {
    const writes = keys.map((key): StoreWrite => ({ type: 'del', key }))
    const { clock, replica } = this.#deps
    await askReplica<undefined>({ clock, replica }, (reply) => ({
      type: 'keep',
      writes,
      reply
    }))
  }

  /** The member answers at its peer's link: not another life of the same peer. */
  #isLinked(member: MemberId, { self, peerIds }: RingView): boolean {
    return member === self || isMemberLinked(this.#deps.network, peerIds, member)
  }

  #isOld(keptAtMs: number): boolean {
    return this.#deps.clock.now() - keptAtMs > this.#ageMs
  }

  // ---- counting ----

  #drop(reason: DropReason, count = 1): void {
    this.#dropped[reason].add(count)
    if (!SILENT.has(reason)) this.#untold.set(reason, (this.#untold.get(reason) ?? 0) + count)
    this.#tell()
  }

  #tell(): void {
    const now = this.#deps.clock.elapsed()
    if (this.#untold.size === 0 || now < this.#nextLine) return
    this.#nextLine = now + LOG_MS
    this.#deps.log.warn(
      { dropped: Object.fromEntries(this.#untold) },
      'hints dropped: repair or reads must make it good'
    )
    this.#untold.clear()
  }

  #measure(): void {
    const { entries, bytes, age } = this.#gauges
    entries.set(this.#entries)
    bytes.set(this.#bytes)
    let oldest = this.#deps.clock.now()
    for (const queue of this.#queues.values()) if (queue.entries > 0) oldest = Math.min(oldest, queue.oldestAtMs)
    age.set(this.#deps.clock.now() - oldest)
    this.#tell()
  }

  /** Waited for at the end. Never rejects. */
  #run(work: Promise<void>): void {
    const running = work.finally(() => this.#rounds.delete(running))
    this.#rounds.add(running)
  }
}

/** A member of the ring, or a former one that operations still honour. */
function isNeeded(member: MemberId, view: RingView): boolean {
  return view.members.has(member) || windowOwners(view.configs).has(member)
}

function errorOf(answer: Answer): RingdError | undefined {
  if (answer instanceof RingdError) return answer
  return answer.written === undefined ? new RingdError('BAD_MESSAGE', 'not an answer to a write') : undefined
}
