// The router: serves one client request each by asking the owners of the key's slot, also while they change.
// Owns the operations under way and the making of versions. Keeps no data.
// Invariants: an operation is answered once; a phase counts only answers of its own window; a retried write keeps its
// version, and gets a new one only when so many owners hold a newer one that a quorum cannot apply it.
// Source: rules 3 and 4 of lib/views/README.md.

import { type Bytes, EMPTY_BYTES } from '../../bytes.js'
import { type Clock, every, type Timer } from '../../clock.js'
import { encodeEnvelope, isAbsent } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { isBefore } from '../../entry/purge-bounds.js'
import { isOwnerAnswer, type Resolution } from '../../entry/read-resolution.js'
import type { Version } from '../../entry/version.js'
import { type ErrorCode, RingdError } from '../../errors.js'
import type { Change } from '../../key-value.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Histogram, Metrics } from '../../metrics.js'
import { isMemberLinked } from '../../network/member-link.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { MetaWrite } from '../../storage/meta.js'
import { newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import type { HintsMessage } from '../hints/hints.js'
import type { ReadResult, ReplicaMessage } from '../replica/replica-messages.js'
import { MissedWrites } from './missed-writes.js'
import {
  changeAt,
  type Kind,
  liveEntry,
  liveValue,
  newOperation,
  type Operation,
  type Result,
  type Step
} from './operation.js'
import { readAnswer, writeAnswer } from './peer-answers.js'
import { HEDGE_MS_MAX, HEDGE_MS_MIN, PeerLatency } from './peer-latency.js'
import { QuorumPhase, type Target } from './quorum-phase.js'
import { writeCeiling } from './version-minter.js'

export type RouterMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'operation'; readonly operation: Operation }
  /** Replies with what a quorum of the owners says of the entry; all of them, when they contradict each other. */
  | { readonly type: 'entry'; readonly key: Bytes; readonly reply: Reply<Resolution> }
  /** Replies when no operation is under way any more. */
  | { readonly type: 'drain'; readonly reply: Reply<undefined> }

export interface RouterDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly hints: Ref<HintsMessage>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Hands what a refusal taught to membership. */
  readonly learned: (knowledge: WireKnowledge) => void
}

export interface RouterOptions {
  /** An operation without its quorum fails after this (default 10 000). */
  readonly timeoutMs?: number
  /** Bytes; see lib/limits.ts. */
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

const TIMEOUT_MS = 10_000
const OPERATIONS_MAX = 20_000
const OPERATION_BYTES_MAX = 256 * MiB
/** How often late answers are looked after: hedges, retries and deadlines have this grain. */
const SWEEP_MS = 10
const RETRY_MS = 50
/** A read of a key that is written all the time takes what it found, after so many attempts to have it on a quorum. */
const REREADS_MAX = 8

/** Refusals that asking again does not change. */
const LASTING: ReadonlySet<ErrorCode> = new Set(['DISK_FULL', 'CLOCK_SKEW', 'BAD_ENTRY', 'BAD_REQUEST', 'BAD_MESSAGE'])

export class Router implements Actor<RouterMessage> {
  readonly #deps: RouterDeps
  readonly #timeoutMs: number
  readonly #maxValueBytes: number
  readonly #operations = new Set<Operation>()
  readonly #latency = new PeerLatency()
  readonly #missedWrites: MissedWrites
  readonly #took: Record<Kind, Histogram>
  readonly #failed: Counter
  readonly #hedged: Counter
  readonly #restarted: Counter
  /** Runs while operations are under way: an idle peer has nothing to look after a hundred times a second. */
  #sweep: Timer | undefined
  #view: RingView | undefined
  #bytes = 0
  #raising = false
  /** The newest view that a refusal has told of. */
  #taught = 0
  /** Bases are taught again and again while many operations meet one that gave a slot up: once in a while is enough. */
  #nextLesson = 0
  #drained: Reply<undefined>[] = []

  constructor(deps: RouterDeps, options: RouterOptions) {
    this.#deps = deps
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.#missedWrites = new MissedWrites(deps)
    this.#maxValueBytes = options.maxValueBytes
    const took = (kind: Kind) => deps.metrics.histogram('ringd_operation_ms', 'time to serve an operation', { kind })
    const [get, put, find, update] = [took('get'), took('put'), took('find'), took('update')]
    this.#took = { get, put, delete: took('delete'), entry: took('entry'), find, update }
    this.#failed = deps.metrics.counter('ringd_operation_failures', 'operations that failed')
    this.#hedged = deps.metrics.counter('ringd_operation_hedges', 'reads that asked another owner')
    this.#restarted = deps.metrics.counter('ringd_operation_restarts', 'phases begun anew because the ring changed')
  }

  receive(batch: readonly RouterMessage[]): void {
    for (const message of batch) {
      if (message.type === 'operation') this.#begin(message.operation)
      else if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'entry') this.#begin(newOperation('entry', message))
      else this.#handleDrain(message.reply)
    }
  }

  /** Fails what is under way. */
  ended(): void {
    this.#sweep?.cancel()
    for (const operation of this.#operations) this.#end(operation, new RingdError('STOPPED'))
  }

  #handleDrain(reply: Reply<undefined>): void {
    if (this.#operations.size === 0) reply(undefined)
    else this.#drained.push(reply)
  }

  #handleView(view: RingView): void {
    this.#view = view
    for (const operation of this.#operations) {
      const { phase } = operation
      const isOutdated = phase !== undefined && newestConfig(view.configs.windows[operation.slot]!).begin > phase.view
      if (operation.waits || isOutdated) this.#enter(operation)
    }
  }

  #begin(operation: Operation): void {
    const { bytes } = operation
    if (this.#view === undefined) {
      operation.reply(new RingdError('NOT_SERVING'))
    } else if (this.#operations.size >= OPERATIONS_MAX || this.#bytes + bytes > OPERATION_BYTES_MAX) {
      operation.reply(new RingdError('OVERLOADED'))
    } else {
      this.#operations.add(operation)
      this.#sweep ??= every(this.#deps.clock, SWEEP_MS, () => this.#lookAfter())
      this.#bytes += bytes
      operation.startedAt = this.#deps.clock.elapsed()
      this.#enter(operation)
    }
  }

  /** Begins the operation's step under the window of now: answers so far are worth nothing. */
  #enter(operation: Operation): void {
    const { slot, step, consistency } = operation
    if (step === 'writing' && operation.envelope === undefined && !this.#mint(operation)) {
      operation.waits = true
      return
    }
    if (operation.phase !== undefined) this.#restarted.add()
    operation.waits = false
    operation.phase = new QuorumPhase(this.#view!.configs.windows[slot]!, this.#view!.number, consistency)
    this.#ask(operation)
  }

  /** Asks as many owners as the step needs: all for a write, the quickest for a read. */
  #ask(operation: Operation): void {
    const phase = operation.phase!
    if (operation.step !== 'reading') {
      for (const target of phase.targets) if (target.standing === 'idle') this.#askOne(operation, phase, target)
      return
    }
    const preferred = phase.targets.length === 1 ? phase.targets : this.#quickestFirst(phase.targets)
    for (const target of phase.next(preferred)) this.#askOne(operation, phase, target)
  }

  #askOne(operation: Operation, phase: QuorumPhase, target: Target): void {
    const { key, step } = operation
    const { self, peerIds } = this.#view!
    target.standing = 'asked'
    target.refusal = undefined
    target.askedAt = this.#deps.clock.elapsed()
    const { view } = phase
    const repair = step === 'repairing'
    const envelope = repair ? operation.found.envelope! : operation.envelope!
    const confirmedBelow = repair && operation.found.confirmedBelow > 0 ? operation.found.confirmedBelow : undefined
    if (target.member === self) {
      const reply = (result: ReadResult | RingdError) => this.#answered(operation, phase, target, result)
      const taken =
        step === 'reading'
          ? this.#deps.replica.tell({ type: 'read', view, from: undefined, key, reply })
          : this.#deps.replica.tell({
              type: 'write',
              view,
              from: undefined,
              key,
              envelope,
              repair,
              confirmedBelow,
              reply
            })
      if (!taken) target.standing = 'refused'
      return
    }
    const peerId = peerIds.get(target.member)!
    if (!this.#isLinked(target.member)) {
      target.standing = 'refused'
      return
    }
    this.#latency.asked(target.member)
    const body =
      step === 'reading' ? { read: { view, key } } : { write: { view, key, envelope, repair, confirmedBelow } }
    this.#deps.network.request(peerId, 'operations', body, this.#timeoutMs, (answer) => {
      this.#latency.answered(target.member, this.#deps.clock.elapsed() - target.askedAt)
      this.#answered(operation, phase, target, step === 'reading' ? readAnswer(answer) : writeAnswer(answer))
    })
  }

  #answered(operation: Operation, phase: QuorumPhase, target: Target, result: ReadResult | RingdError): void {
    if (target.isAwaited) this.#missedWrites.answered(operation, target, result)
    if (operation.phase !== phase) return
    if (result instanceof RingdError) {
      this.#refused(operation, phase, target, result)
      return
    }
    target.standing = 'answered'
    const held = isOwnerAnswer(result) ? result.envelope : result
    if (operation.step === 'reading') {
      target.envelope = held
      target.closed = isOwnerAnswer(result) ? result.closed : 0
    } else if (operation.step === 'writing') target.newer = held
    else if (this.#isNews(operation, held)) {
      // What was found may never be on a quorum: then no later read could see it, and this one must not either.
      operation.rereads += 1
      this.#next(operation, 'reading')
      return
    }
    if (phase.isComplete()) this.#completed(operation, phase)
    else if (phase.isSuperseded()) this.#superseded(operation, phase)
  }

  /** An owner that was to be told what a read found holds something that the read had not judged. */
  #isNews({ found, rereads }: Operation, newer: Version | undefined): boolean {
    return newer !== undefined && !isBefore(newer, found.deniedBelow) && rereads < REREADS_MAX
  }

  #refused(operation: Operation, phase: QuorumPhase, target: Target, error: RingdError): void {
    target.standing = LASTING.has(error.code) ? 'failed' : 'refused'
    target.refusal = error.code
    if (phase.isLost()) {
      this.#end(operation, error)
      return
    }
    if (error instanceof InformedRefusal) this.#learn(error)
    // Enough have answered, it was to be heard as well.
    if (phase.hearsUntil !== undefined) return this.#completed(operation, phase)
    // This peer may have learned of it while the question was under way.
    const hasMoved = this.#view!.configs.windows[operation.slot] !== phase.window
    if (error.code === 'STALE_VIEW') {
      if (this.#view!.number > phase.view) this.#enter(operation)
      else operation.waits = true
    } else if (error.code === 'NOT_OWNER' && hasMoved) {
      this.#enter(operation)
    } else if (operation.step === 'reading') {
      this.#ask(operation)
    }
  }

  /** Hands on what a refusal taught, once: after a change of view every operation under way brings the same. */
  #learn({ code, knowledge }: InformedRefusal): void {
    const { snapshot, changes } = knowledge
    const newest = changes[changes.length - 1]?.number ?? snapshot?.number ?? 0
    if (newest > Math.max(this.#taught, this.#view!.number)) {
      this.#taught = newest
      this.#deps.learned(knowledge)
    } else if (code === 'NOT_OWNER' && this.#deps.clock.elapsed() >= this.#nextLesson) {
      // The ring is known, but not how far it has settled.
      this.#nextLesson = this.#deps.clock.elapsed() + RETRY_MS
      this.#deps.learned(knowledge)
    }
  }

  #completed(operation: Operation, phase: QuorumPhase): void {
    const { kind, consistency } = operation
    if (operation.step !== 'reading') {
      this.#end(operation, this.#outcome(operation))
      if (operation.step === 'writing') this.#missedWrites.begin(operation, phase)
      return
    }
    operation.found = phase.resolution()
    if (operation.found.deniedBelow > 0 && this.#hearAll(operation, phase)) return
    const change = this.#decide(operation)
    if (kind === 'entry') this.#end(operation, operation.found)
    else if (change instanceof RingdError) this.#end(operation, change)
    else if (change !== undefined) {
      operation.change = change
      this.#next(operation, 'writing')
    } else if (consistency === 'one' || phase.isAgreed(operation.found)) {
      this.#end(operation, this.#outcome(operation))
    } else {
      // Also what is gone: it must not come back in the next read.
      this.#next(operation, 'repairing')
    }
  }

  /** Owners speak against something: all are asked. False: nobody is left to wait for. */
  #hearAll(operation: Operation, phase: QuorumPhase): boolean {
    const now = this.#deps.clock.elapsed()
    // Nobody waits for what settles an entry.
    phase.hearsUntil ??= now + (operation.kind === 'entry' ? this.#timeoutMs / 2 : HEDGE_MS_MAX)
    if (now >= phase.hearsUntil) return false
    for (const target of phase.targets) if (target.standing === 'idle') this.#askOne(operation, phase, target)
    return phase.targets.some(({ standing }) => standing === 'asked')
  }

  /** What is to take the place of what was found; undefined: it stays. */
  #decide(operation: Operation): Change | undefined | RingdError {
    const { kind, decide } = operation
    const found = operation.found.envelope
    if (kind === 'get') return undefined
    const now = this.#deps.clock.now()
    if (kind === 'delete') return found === undefined || isAbsent(found, now) ? undefined : 'delete'
    operation.told = liveEntry(found, now)
    const change = decide?.(operation.told)
    return change && changeAt(change, now, this.#maxValueBytes)
  }

  #outcome({ kind, step, found, told }: Operation): Result {
    if (kind === 'get') return liveValue(found.envelope, this.#deps.clock.now())
    if (kind === 'delete') return step === 'writing'
    return kind === 'put' ? undefined : told
  }

  #next(operation: Operation, step: Step): void {
    operation.step = step
    operation.phase = undefined
    this.#enter(operation)
  }

  /** The clock was behind: move it past what the owners hold, and write again under a new version. */
  #superseded(operation: Operation, phase: QuorumPhase): void {
    if (!this.#deps.hlc.observeVersion(phase.newerVersion()!)) {
      this.#end(operation, new RingdError('CLOCK_SKEW', 'the owners hold a version from too far ahead'))
      return
    }
    operation.envelope = undefined
    // What an update has read is outdated.
    if (operation.kind === 'update') this.#next(operation, 'reading')
    else this.#enter(operation)
  }

  /** Gives the write its version. False while the clock waits for a ceiling on disk. */
  #mint(operation: Operation): boolean {
    const { hlc } = this.#deps
    const ceiling = hlc.needsCeiling()
    if (ceiling !== undefined && !this.#raising) void this.#raiseCeiling(ceiling)
    if (!hlc.canMint()) return false
    const { key, change } = operation
    const version = hlc.next()
    if (change === 'delete') operation.envelope = encodeEnvelope(key, { version, tombstone: true, value: EMPTY_BYTES })
    else {
      const { value, expiresAtMs } = change
      operation.envelope = encodeEnvelope(key, { version, tombstone: false, expiresAtMs, value })
    }
    return true
  }

  async #raiseCeiling(ceiling: number): Promise<void> {
    this.#raising = true
    try {
      await this.#deps.persist([writeCeiling(ceiling)])
    } catch (thrown) {
      // Nothing is minted: the writes that wait end with their time, or with this actor.
      this.#deps.log.warn({ err: thrown }, 'the ceiling of the clock cannot be written')
      return
    } finally {
      this.#raising = false
    }
    this.#deps.hlc.raiseCeiling(ceiling)
    for (const operation of this.#operations) {
      if (operation.waits && operation.step === 'writing' && operation.envelope === undefined) this.#enter(operation)
    }
  }

  #end(operation: Operation, result: Result | RingdError): void {
    if (!this.#operations.delete(operation)) return
    operation.phase = undefined
    this.#bytes -= operation.bytes
    if (result instanceof RingdError) this.#failed.add()
    this.#took[operation.kind].observe(this.#deps.clock.elapsed() - operation.startedAt)
    operation.reply(result)
    if (this.#operations.size === 0) for (const reply of this.#drained.splice(0)) reply(undefined)
  }

  /** Hedges reads, retries those who refused, and ends what is over its time. */
  #lookAfter(): void {
    if (this.#operations.size === 0) this.#sweep = void this.#sweep?.cancel()
    const now = this.#deps.clock.elapsed()
    for (const operation of this.#operations) {
      // Nothing of it can be late yet.
      if (now - operation.startedAt < (operation.step === 'reading' ? HEDGE_MS_MIN : RETRY_MS)) continue
      if (now - operation.startedAt >= this.#timeoutMs) {
        this.#end(operation, timedOut(operation))
      } else if (!operation.waits && operation.phase !== undefined) {
        this.#urge(operation, operation.phase, now)
      }
    }
  }

  #urge(operation: Operation, phase: QuorumPhase, now: number): void {
    if (operation.step === 'writing' && phase.isStranded()) return this.#superseded(operation, phase)
    if (phase.hearsUntil !== undefined && now >= phase.hearsUntil) return this.#completed(operation, phase)
    let retry = false
    let late = false
    for (const target of phase.targets) {
      if (target.standing === 'refused' && now - target.askedAt >= RETRY_MS) {
        target.standing = 'idle'
        retry = true
      } else if (target.standing === 'asked' && operation.step === 'reading') {
        late ||= now - target.askedAt >= this.#latency.hedgeAfterMs(target.member)
      }
    }
    // Owners may have changed since: a phase that is not answered goes on under the window of now.
    if (retry && this.#view!.configs.windows[operation.slot] !== phase.window) return this.#enter(operation)
    if (retry) this.#ask(operation)
    if (!late) return
    for (const target of phase.targets) {
      if (target.standing !== 'idle') continue
      this.#hedged.add()
      this.#askOne(operation, phase, target)
    }
  }

  /** By insertion, each cost worked out once: this runs for every read, and owners are few. */
  #quickestFirst(targets: readonly Target[]): Target[] {
    const sorted: Target[] = []
    const costs: number[] = []
    for (const target of targets) {
      const cost = this.#cost(target)
      let at = sorted.length
      for (; at > 0 && costs[at - 1]! > cost; at--) {
        sorted[at] = sorted[at - 1]!
        costs[at] = costs[at - 1]!
      }
      sorted[at] = target
      costs[at] = cost
    }
    return sorted
  }

  /** What asking costs: nothing at home, else the usual time, stretched by what is under way already. */
  #cost(target: Target): number {
    if (target.member === this.#view!.self) return 0
    if (!this.#isLinked(target.member)) return Number.POSITIVE_INFINITY
    return this.#latency.cost(target.member)
  }

  /** The member answers at its peer's link: not another life of the same peer. */
  #isLinked(member: MemberId): boolean {
    return isMemberLinked(this.#deps.network, this.#view!.peerIds, member)
  }
}

function timedOut(operation: Operation): RingdError {
  const targets = operation.phase?.targets ?? []
  const silent = targets.filter(({ standing }) => standing !== 'answered').length
  return new RingdError('NO_QUORUM', `${silent} of ${targets.length} owners did not answer in time`)
}
