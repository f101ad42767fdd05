// The router actor: serves client operations. It asks the owners of the key's slot, also while the slot moves. Owns
// the operations under way, and keeps no data of the ring.
// Invariants: an operation is answered once; a phase counts only answers of its own window; a retried write keeps its
// version, and gets a new one only when owners hold a newer version and a quorum cannot apply the write any more.
// Source: rules 3 and 4 of lib/views/README.md.

import { type Clock, every, type Timer } from '../../clock.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { isBefore } from '../../entry/purge-bounds.js'
import type { RingTime } from '../../entry/ring-time.js'
import type { Version } from '../../entry/version.js'
import { assert, LASTING_REFUSALS, RingdError, ValueLarger } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { Metrics } from '../../metrics.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { MetaWrite } from '../../storage/meta.js'
import { newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import { HintsClient } from '../hints/hints-client.js'
import type { HintsMessage } from '../hints/hints-messages.js'
import type { ReadResult, ReplicaMessage, WriteResult } from '../replica/replica-messages.js'
import { AnswerBytes } from './answer-bytes.js'
import { KnowledgeRelay } from './knowledge-relay.js'
import { MissedWrites } from './missed-writes.js'
import { newOperation, type Operation, type Result, type Step } from './operation.js'
import { decideChange, outcomeOf, timedOut } from './operation-outcome.js'
import { OwnerRequests, type OwnerRequestsDeps } from './owner-requests.js'
import { isPromised, newerOf, takeReadResult } from './peer-answers.js'
import { HEDGE_MS_MAX, HEDGE_MS_MIN } from './peer-latency.js'
import { QuorumPhase, type Target } from './quorum-phase.js'
import type { RouterMessage } from './router-messages.js'
import { RouterMetrics } from './router-metrics.js'
import { ShortOwners } from './short-owners.js'
import { VersionMinter } from './version-minter.js'

export interface RouterDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  /** Left out: the clock of this peer is always right. */
  readonly ringTime?: Pick<RingTime, 'verdict' | 'now'> | undefined
  /** Left out: the disk takes no time. */
  readonly diskSpeed?: { readonly syncMs: number } | undefined
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly hints: Ref<HintsMessage>
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Passes knowledge of the ring that came with a refusal to membership. */
  readonly learned: (knowledge: WireKnowledge) => void
  /** Told how long each operation took, ms. */
  readonly felt?: ((tookMs: number) => void) | undefined
}

export interface RouterOptions {
  /** An operation that has no quorum after this fails with NO_QUORUM (default 10 000). */
  readonly timeoutMs?: number
  /** Bytes; see lib/limits.ts. */
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

const TIMEOUT_MS = 10_000
const OPERATIONS_MAX = 20_000
const OPERATION_BYTES_MAX = 256 * MiB
/** How often operations under way are checked for hedges, retries and deadlines; these have no finer timing. */
const SWEEP_MS = 10
/** An owner that refused is asked again after this. */
const RETRY_MS = 50
/** A key that is written all the time may change before each repair. After this many rereads the repair stands. */
const REREADS_MAX = 8
const TOO_MANY_ANSWERS = new RingdError('OVERLOADED', 'reads of large values hold too much memory; try again later')

/** Takes client operations, asks the owners of their slots, and answers when a quorum of every config has answered. */
export class Router implements Actor<RouterMessage> {
  readonly #deps: RouterDeps
  readonly #timeoutMs: number
  readonly #maxValueBytes: number
  readonly #operations = new Set<Operation>()
  readonly #owners: OwnerRequests
  readonly #minter: VersionMinter
  readonly #knowledgeRelay: KnowledgeRelay
  readonly #missedWrites: MissedWrites
  readonly #metrics: RouterMetrics
  /** Runs only while operations are under way, so that an idle peer uses no CPU. */
  #sweepTimer: Timer | undefined
  #view: RingView | undefined
  /** Of the operations under way. */
  #bytes = 0
  readonly #answers = new AnswerBytes()
  readonly #shortOwners = new ShortOwners()
  #drained: Reply<undefined>[] = []

  constructor(deps: RouterDeps, options: RouterOptions) {
    const { clock, hlc, ringTime, diskSpeed, log, metrics, network, replica, hints, persist } = deps
    this.#deps = deps
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    this.#maxValueBytes = options.maxValueBytes
    const { isWanted, answered } = { isWanted: this.#isWanted, answered: this.#answered }
    this.#owners = new OwnerRequests({ clock, network, replica, isWanted, answered }, this.#timeoutMs)
    const onRaised = () => this.#awaitedVersions()
    this.#minter = new VersionMinter({ hlc, ringTime, diskSpeed, log, persist, onRaised })
    this.#knowledgeRelay = new KnowledgeRelay(clock, deps.learned)
    this.#missedWrites = new MissedWrites(new HintsClient({ metrics, hints }))
    this.#metrics = new RouterMetrics(metrics, deps.felt)
  }

  receive(batch: readonly RouterMessage[]): void {
    for (const message of batch) this.#handle(message)
  }

  /** Ends all operations under way with STOPPED. */
  ended(): void {
    this.#sweepTimer?.cancel()
    for (const operation of this.#operations) this.#end(operation, new RingdError('STOPPED'))
  }

  #handle(message: RouterMessage): void {
    switch (message.type) {
      case 'operation':
        return this.#handleOperation(message.operation)
      case 'entry':
        return this.#handleOperation(newOperation('entry', message))
      case 'view':
        return this.#handleView(message.view)
      case 'room':
        return this.#shortOwners.tell(message.member, message.isShort)
      case 'drain':
        return this.#handleDrain(message.reply)
      default:
        message satisfies never
    }
  }

  #handleDrain(reply: Reply<undefined>): void {
    if (this.#operations.size === 0) reply(undefined)
    else this.#drained.push(reply)
  }

  #handleView(view: RingView): void {
    this.#view = view
    this.#owners.useView(view)
    for (const operation of this.#operations) {
      const { phase, state } = operation
      const hasMoved = phase !== undefined && newestConfig(view.configs.windows[operation.slot]!).begin > phase.view
      const isBehind = phase !== undefined && view.number > phase.view && phase.isRefusedAsStale()
      if (state !== 'asking' || hasMoved || isBehind) this.#beginPhase(operation)
    }
  }

  #handleOperation(operation: Operation): void {
    const { bytes } = operation
    const refusal = operation.kind === 'entry' ? undefined : this.#minter.refusal
    if (this.#view === undefined) {
      operation.reply(new RingdError('NOT_SERVING'))
    } else if (refusal !== undefined) {
      operation.reply(refusal)
    } else if (this.#operations.size >= OPERATIONS_MAX || this.#bytes + bytes > OPERATION_BYTES_MAX) {
      operation.reply(new RingdError('OVERLOADED'))
    } else {
      this.#operations.add(operation)
      this.#sweepTimer ??= every(this.#deps.clock, SWEEP_MS, () => this.#sweep())
      this.#bytes += bytes
      operation.startedAt = this.#deps.clock.elapsed()
      this.#beginPhase(operation)
    }
  }

  // ---- steps and phases ----

  /** any step -> `step`, with a phase of its own */
  #beginStep(operation: Operation, step: Step): void {
    operation.step = step
    operation.phase = undefined
    this.#beginPhase(operation)
  }

  /** new, asking, awaitsVersion -> asking, or awaitsVersion when a write cannot have its version yet */
  #beginPhase(operation: Operation): void {
    assert(operation.state !== 'ended', 'an operation that has ended begins no phase')
    const { slot, step, consistency } = operation
    if (step === 'writing' && operation.envelope === undefined) {
      const minted = this.#minter.mint(operation.key, operation.change)
      if (minted instanceof RingdError) return this.#end(operation, minted)
      operation.envelope = minted
      if (minted === undefined) {
        operation.state = 'awaitsVersion'
        return
      }
    }
    if (operation.phase !== undefined) this.#metrics.restarted.add()
    if (step === 'reading') this.#answers.forget(operation)
    operation.state = 'asking'
    operation.phase = new QuorumPhase(this.#view!.configs.windows[slot]!, this.#view!.number, consistency)
    this.#ask(operation)
  }

  #awaitedVersions(): void {
    for (const operation of this.#operations) if (operation.state === 'awaitsVersion') this.#beginPhase(operation)
  }

  /** new, asking, awaitsVersion -> ended; nothing when it has ended already */
  #end(operation: Operation, result: Result | RingdError): void {
    if (!this.#operations.delete(operation)) return
    operation.state = 'ended'
    operation.phase = undefined
    this.#bytes -= operation.bytes
    this.#answers.forget(operation)
    this.#metrics.ended(operation.kind, this.#deps.clock.elapsed() - operation.startedAt, result instanceof RingdError)
    operation.reply(result)
    if (this.#operations.size === 0) for (const reply of this.#drained.splice(0)) reply(undefined)
  }

  // ---- asking owners ----

  /**
   * Asks all idle owners for a write or a repair; for a write that needs an owner with little room, only such owners
   * until enough of them have stored it. For a read it asks the quickest, as few as the quorums need.
   */
  #ask(operation: Operation): void {
    const phase = operation.phase!
    const { step } = operation
    if (step === 'writing') return this.#askAll(operation, phase, this.#shortOwners.decisive(phase, this.#owners))
    if (step === 'repairing') return this.#askAll(operation, phase)
    for (const target of phase.next(this.#owners.quickestFirst(phase.targets))) this.#askOne(operation, phase, target)
  }

  #askAll(operation: Operation, phase: QuorumPhase, targets = phase.targets): void {
    for (const target of targets) if (target.standing === 'idle') this.#askOne(operation, phase, target)
  }

  #askOne(operation: Operation, phase: QuorumPhase, target: Target): void {
    target.standing = 'asked'
    target.refusal = undefined
    target.askedAt = this.#deps.clock.elapsed()
    if (!this.#owners.send(operation, phase, target)) target.standing = 'refused'
  }

  // ---- counting answers ----

  /** An answer, or the error in its place. One closure for all requests. */
  readonly #answered: OwnerRequestsDeps['answered'] = (operation, phase, target, result) => {
    if (target.isAwaited) this.#missedWrites.answered(operation, target, result)
    if (operation.phase !== phase) return
    if (result instanceof ValueLarger) return this.#larger(operation, result)
    if (result instanceof RingdError) {
      this.#refused(operation, phase, target, result)
      return
    }
    if (operation.step !== 'reading' && isPromised(result as WriteResult)) {
      const error = new RingdError('OVERLOADED', 'an owner has promised a round of another router')
      return this.#refused(operation, phase, target, error)
    }
    target.standing = 'answered'
    // The step tells which kind of reply an owner has sent: what it holds, or a newer version.
    if (operation.step === 'reading') {
      const fault = takeReadResult(target, result as ReadResult, this.#deps.hlc)
      if (fault !== undefined) return this.#refused(operation, phase, target, fault)
      if (!this.#answers.take(operation, target.envelope?.length ?? 0)) return this.#end(operation, TOO_MANY_ANSWERS)
    } else if (operation.step === 'writing') target.newer = newerOf(result as WriteResult)
    else if (this.#mustReread(operation, newerOf(result as WriteResult))) {
      operation.rereads += 1
      this.#beginStep(operation, 'reading')
      return
    }
    if (phase.isComplete()) this.#completed(operation, phase)
    else if (phase.isSuperseded()) this.#superseded(operation, phase)
    // Owners with little room were asked first, and have stored the write.
    else if (operation.step === 'writing') this.#ask(operation)
  }

  /** The key holds more than was asked for: asks again without a limit, or ends when the caller set the limit. */
  #larger(operation: Operation, result: ValueLarger): void {
    const { bytesMax, answerMax } = operation
    if (bytesMax !== undefined || answerMax === undefined) return this.#end(operation, result)
    operation.answerMax = undefined
    this.#beginPhase(operation)
  }

  readonly #isWanted: OwnerRequestsDeps['isWanted'] = (operation, phase) =>
    operation.phase === phase && !this.#answers.isScarce

  /**
   * In a repair: the owner holds a newer version that the read did not see. The version that was read may never reach a
   * quorum then, so that no later read could find it, and this read must not return it.
   */
  #mustReread({ found, rereads }: Operation, newer: Version | undefined): boolean {
    return newer !== undefined && !isBefore(newer, found.deniedBelow) && rereads < REREADS_MAX
  }

  #refused(operation: Operation, phase: QuorumPhase, target: Target, error: RingdError): void {
    target.standing = LASTING_REFUSALS.has(error.code) ? 'failed' : 'refused'
    target.refusal = error.code
    if (error.code === 'DISK_FULL') this.#shortOwners.tell(target.member, true)
    if (phase.isLost()) {
      this.#end(operation, error)
      return
    }
    if (error instanceof InformedRefusal) this.#knowledgeRelay.refused(error, this.#view!.number)
    // The quorums are complete; this owner was asked only because others contradict each other.
    if (phase.hearsUntil !== undefined) return this.#completed(operation, phase)
    // This peer may have learned of the new owners while the request was under way.
    const hasMoved = this.#view!.configs.windows[operation.slot] !== phase.window
    const isBehind = error.code === 'STALE_VIEW' && this.#view!.number > phase.view
    if (isBehind || (error.code === 'NOT_OWNER' && hasMoved)) this.#beginPhase(operation)
    // The other owners can complete the phase, so that nobody waits for a view that one owner has made up.
    else if (operation.step === 'reading') this.#ask(operation)
  }

  #completed(operation: Operation, phase: QuorumPhase): void {
    const { kind, consistency } = operation
    const now = this.#deps.ringTime?.now() ?? this.#deps.clock.now()
    if (operation.step !== 'reading') {
      // Owners that were left for last get the write, or a hint of it.
      if (operation.step === 'writing') this.#askAll(operation, phase)
      this.#end(operation, outcomeOf(operation, now))
      if (operation.step === 'writing') this.#missedWrites.acknowledged(operation, phase)
      return
    }
    operation.found = phase.resolution()
    if (operation.found.deniedBelow > 0 && this.#hearAll(operation, phase)) return
    const change = decideChange(operation, now, this.#maxValueBytes)
    if (kind === 'entry') this.#end(operation, operation.found)
    else if (change instanceof RingdError) this.#end(operation, change)
    else if (change !== undefined) {
      operation.change = change
      this.#beginStep(operation, 'writing')
    } else if (consistency === 'one' || phase.isAgreed(operation.found)) {
      this.#end(operation, outcomeOf(operation, now))
    } else {
      // Tombstones and expired values too: an older value would come back in the next read otherwise.
      this.#beginStep(operation, 'repairing')
    }
  }

  /** An owner denies an entry that another one holds: asks all owners. False when no answer is awaited any more. */
  #hearAll(operation: Operation, phase: QuorumPhase): boolean {
    const now = this.#deps.clock.elapsed()
    // No client waits for the kind `entry`, so it may take longer.
    phase.hearsUntil ??= now + (operation.kind === 'entry' ? this.#timeoutMs / 2 : HEDGE_MS_MAX)
    if (now >= phase.hearsUntil) return false
    this.#askAll(operation, phase)
    return phase.targets.some(({ standing }) => standing === 'asked')
  }

  /** Owners hold a newer version: the clock is behind. Moves it forward, and writes again under a new version. */
  #superseded(operation: Operation, phase: QuorumPhase): void {
    if (!this.#minter.moveBeyond(phase.newerVersion()!)) {
      const message = 'owners hold a version that lies too far ahead of this clock; check the clocks of all peers'
      this.#end(operation, new RingdError('CLOCK_SKEW', message))
      return
    }
    operation.envelope = undefined
    // An update reads again, because it decided by an older value.
    if (operation.kind === 'update') this.#beginStep(operation, 'reading')
    else this.#beginPhase(operation)
  }

  // ---- retries, hedges and deadlines ----

  #sweep(): void {
    if (this.#operations.size === 0) this.#sweepTimer = void this.#sweepTimer?.cancel()
    const now = this.#deps.clock.elapsed()
    for (const operation of this.#operations) {
      const tookMs = now - operation.startedAt
      // Too young for any retry or hedge.
      if (tookMs < (operation.step === 'reading' ? HEDGE_MS_MIN : RETRY_MS)) continue
      if (tookMs >= this.#timeoutMs) this.#end(operation, timedOut(operation))
      else if (operation.state === 'asking') this.#retryOrHedge(operation, operation.phase!, now)
      else if (operation.state === 'awaitsVersion') this.#beginPhase(operation)
    }
  }

  #retryOrHedge(operation: Operation, phase: QuorumPhase, now: number): void {
    if (operation.step === 'writing' && phase.isStranded()) return this.#superseded(operation, phase)
    if (phase.hearsUntil !== undefined && now >= phase.hearsUntil) return this.#completed(operation, phase)
    let retry = false
    let late = false
    for (const target of phase.targets) {
      if (target.standing === 'refused' && now - target.askedAt >= RETRY_MS) {
        target.standing = 'idle'
        retry = true
      } else if (target.standing === 'asked' && operation.step === 'reading') {
        late ||= now - target.askedAt >= this.#owners.hedgeAfterMs(operation, target.member)
      }
    }
    // The window may have narrowed since: a retry uses the current one, which needs fewer owners.
    if (retry && this.#view!.configs.windows[operation.slot] !== phase.window) return this.#beginPhase(operation)
    if (retry) this.#ask(operation)
    if (!late) return
    for (const target of phase.targets) {
      if (target.standing !== 'idle') continue
      this.#metrics.hedged.add()
      this.#askOne(operation, phase, target)
    }
  }
}
