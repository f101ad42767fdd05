// Runs the operations of the router: begins their steps and phases, asks owners, counts answers, and decides what
// follows. Part of the router, which admits operations and ends them.
// Invariants: a phase counts only answers of its own window; a write keeps its version over retries, also under a newer
// window; whatever is made under a new version after a refusal is made by a round, which knows the attempts before it.
// Source: rules 3 and 4, and A5 to A10, of lib/views/README.md; write.md, read.md and round.md.

import type { Clock } from '../../clock.js'
import { versionOf } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import type { RingTime } from '../../entry/ring-time.js'
import { assert, LASTING_REFUSALS, RingdError, ValueLarger } from '../../errors.js'
import { InformedRefusal } from '../../network/network.js'
import type { Random } from '../../random.js'
import { newestConfig } from '../../views/configs.js'
import type { RingView } from '../../views/ring-view.js'
import type { PrepareResult, ReadResult, WriteResult } from '../replica/replica-messages.js'
import type { AnswerBytes } from './answer-bytes.js'
import type { KnowledgeRelay } from './knowledge-relay.js'
import type { MissedWrites } from './missed-writes.js'
import { levelOf, type Operation, type OwnerReply, type Step, sendsEffect } from './operation.js'
import { decisionOf, hasExpired, isCertainRefusal, isOvertaken, readResult } from './operation-outcome.js'
import { OwnerAsker } from './owner-asker.js'
import type { OwnerRequests, OwnerRequestsDeps } from './owner-requests.js'
import { takePrepareResult, takeReadResult, takeWriteResult } from './peer-answers.js'
import { HEDGE_MS_MAX } from './peer-latency.js'
import { QuorumPhase, type Target } from './quorum-phase.js'
import { afterPrepare, changed } from './round-steps.js'
import type { RouterMetrics } from './router-metrics.js'
import type { ShortOwners } from './short-owners.js'
import type { VersionMinter } from './version-minter.js'

export interface OperationRunnerDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly ringTime?: Pick<RingTime, 'now'> | undefined
  readonly random: Random
  readonly owners: OwnerRequests
  readonly minter: VersionMinter
  readonly answers: AnswerBytes
  readonly shortOwners: ShortOwners
  readonly knowledgeRelay: KnowledgeRelay
  readonly missedWrites: MissedWrites
  readonly metrics: RouterMetrics
  /** The operation has its result. */
  readonly ended: (operation: Operation, result: unknown) => void
  /** The operation has failed. Whether its entry may be stored somewhere is not looked at yet. */
  readonly failed: (operation: Operation, error: RingdError) => void
}

export interface OperationRunnerOptions {
  readonly timeoutMs: number
  readonly maxValueBytes: number
}

/** An owner that refused is asked again after this. */
export const RETRY_MS = 50
/** A key that is written all the time may change before each repair. After this many rereads a round is run. */
const REREADS_MAX = 8
/** A promise that is in the way of a repair is often that of a round under way. After this many a round is run. */
const PROMISED_REREADS_MAX = 2
/** When an owner has refused, owners that are silent for longer are not awaited any more. */
const SILENCE_MS = 250
/** The pause after a conflict is drawn below this, doubled with each further conflict, up to the second. */
const PAUSE_MS_FIRST = 10
const PAUSE_MS_MAX = 320
/** For so long owners are awaited that may know whether an earlier attempt of the operation has taken effect. */
const UNDECIDED_MS = 2000
const TOO_MANY_ANSWERS = new RingdError('OVERLOADED', 'reads of large values hold too much memory; try again later')
const UNDECIDED = new RingdError(
  'UNKNOWN_OUTCOME',
  'the operation may or may not have taken effect: owners that could tell are away'
)
const AHEAD = 'owners hold a version that lies too far ahead of this clock; check the clocks of all peers'

export class OperationRunner {
  readonly #deps: OperationRunnerDeps
  readonly #asker: OwnerAsker
  readonly #timeoutMs: number
  readonly #maxValueBytes: number
  #view: RingView | undefined

  constructor(deps: OperationRunnerDeps, { timeoutMs, maxValueBytes }: OperationRunnerOptions) {
    this.#deps = deps
    this.#asker = new OwnerAsker(deps)
    this.#timeoutMs = timeoutMs
    this.#maxValueBytes = maxValueBytes
  }

  /** The view of all phases that begin from now on. */
  useView(view: RingView): void {
    this.#view = view
    this.#deps.owners.useView(view)
  }

  /** A newer view is known: the step of the operation begins anew if it needs to. */
  viewChanged(operation: Operation): void {
    const { phase, state } = operation
    if (state === 'awaitsVersion') return this.beginPhase(operation)
    if (state !== 'asking' || phase === undefined) return
    const hasMoved = newestConfig(this.#view!.configs.windows[operation.slot]!).begin > phase.view
    const isBehind = this.#view!.number > phase.view && phase.isRefusedAsStale()
    if (hasMoved || isBehind) this.#beginAgain(operation)
  }

  // ---- steps and phases ----

  /** any step -> `step`, with a phase of its own */
  #beginStep(operation: Operation, step: Step): void {
    operation.step = step
    operation.phase = undefined
    this.beginPhase(operation)
  }

  /**
   * The same step under the newest window. A write keeps its entry, a prepare asks under a new ballot, and a repair
   * becomes a new read (A9).
   */
  #beginAgain(operation: Operation): void {
    if (operation.step === 'repairing') return this.#beginStep(operation, 'reading')
    this.beginPhase(operation)
  }

  /** new, queued, asking, awaitsVersion, pauses -> asking; or awaitsVersion when there can be no version yet */
  beginPhase(operation: Operation): void {
    assert(operation.state !== 'ended', 'an operation that has ended begins no phase')
    const { metrics, answers } = this.#deps
    const { slot, step } = operation
    if (!this.#makeVersion(operation)) return
    if (operation.phase !== undefined) metrics.restarted.add()
    if (step === 'reading' || step === 'preparing') answers.forget(operation)
    operation.state = 'asking'
    const level = levelOf(operation)
    operation.phase = new QuorumPhase(
      this.#view!.configs.windows[slot]!,
      this.#view!.number,
      level,
      sendsEffect(operation)
    )
    this.#asker.ask(operation)
  }

  /** A new ballot for each prepare, one version for a blind write. False when the step cannot begin now. */
  #makeVersion(operation: Operation): boolean {
    const { step, key, change, envelope } = operation
    if (step !== 'preparing' && (step !== 'writing' || envelope !== undefined)) return true
    const minted = this.#deps.minter.mint()
    if (minted instanceof RingdError) this.#deps.failed(operation, minted)
    else if (minted === undefined) operation.state = 'awaitsVersion'
    else if (step === 'preparing') {
      operation.ballot = minted
      return true
    } else {
      operation.envelope = changed(key, minted, change)
      return true
    }
    return false
  }

  #end(operation: Operation, result: unknown): void {
    this.#deps.ended(operation, result)
  }

  readonly isWanted: OwnerRequestsDeps['isWanted'] = (operation, phase) =>
    operation.phase === phase && !this.#deps.answers.isScarce

  // ---- counting answers ----

  /** An answer, or the error in its place. One closure for all requests. */
  readonly answered: OwnerRequestsDeps['answered'] = (operation, phase, target, result) => {
    if (target.isAwaited) this.#deps.missedWrites.answered(operation, target, result)
    if (phase.isOwn && isCertainRefusal(result)) operation.loose -= 1
    if (operation.phase !== phase) return
    if (result instanceof ValueLarger) return this.#larger(operation, result)
    const fault = result instanceof RingdError ? result : this.#take(operation, target, result)
    if (fault !== undefined) return this.#refused(operation, phase, target, fault)
    target.standing = 'answered'
    if (phase.lostBy !== undefined) return this.#lost(operation, phase)
    if (!this.#deps.answers.take(operation, target.envelope?.length ?? 0)) {
      return this.#deps.failed(operation, TOO_MANY_ANSWERS)
    }
    if (operation.step === 'repairing' && isOvertaken(operation, target)) this.#obstructed(operation, phase)
    else if (phase.isComplete()) this.#completed(operation, phase)
    else if (phase.isSuperseded()) this.#obstructed(operation, phase)
    // Owners with little room were asked first, and have stored the write; or one did not promise, and others may.
    else if (operation.step !== 'reading') this.#asker.ask(operation)
  }

  /** Notes the answer. The step tells which kind of reply an owner has sent. Returns what is wrong with it. */
  #take({ step, ballot }: Operation, target: Target, result: Exclude<OwnerReply, RingdError>): RingdError | undefined {
    const { hlc } = this.#deps
    if (step === 'reading') return takeReadResult(target, result as ReadResult, hlc)
    if (step === 'preparing') return takePrepareResult(target, result as PrepareResult, ballot!, hlc)
    return takeWriteResult(target, result as WriteResult, step === 'writing')
  }

  /** The key holds more than was asked for: asks again without a limit, or ends when the caller set the limit. */
  #larger(operation: Operation, result: ValueLarger): void {
    const { bytesMax, answerMax, attempts } = operation
    const isLimited = bytesMax !== undefined && attempts.length === 0
    if (isLimited || answerMax === undefined) return this.#deps.failed(operation, result)
    operation.answerMax = undefined
    this.beginPhase(operation)
  }

  #refused(operation: Operation, phase: QuorumPhase, target: Target, error: RingdError): void {
    const { shortOwners, knowledgeRelay } = this.#deps
    target.standing = LASTING_REFUSALS.has(error.code) ? 'failed' : 'refused'
    target.refusal = error.code
    if (error.code === 'DISK_FULL') shortOwners.tell(target.member, true)
    if (phase.isLost()) phase.lostBy ??= error
    if (phase.lostBy !== undefined) return this.#lost(operation, phase)
    if (error instanceof InformedRefusal) knowledgeRelay.refused(error, this.#view!.number)
    // The quorums are complete; this owner was asked only because the answers of the others do not suffice.
    if (phase.hearsUntil !== undefined) return this.#completed(operation, phase)
    // This peer may have learned of the new owners while the request was under way.
    const hasMoved = this.#view!.configs.windows[operation.slot] !== phase.window
    const isBehind = error.code === 'STALE_VIEW' && this.#view!.number > phase.view
    if (isBehind || (error.code === 'NOT_OWNER' && hasMoved)) this.#beginAgain(operation)
    // The other owners can complete the phase, so that nobody waits for a view that one owner has made up.
    else if (operation.step === 'reading' || operation.step === 'preparing') this.#asker.ask(operation)
  }

  /**
   * The phase has failed. The answers of owners that were asked to store the entry are awaited for a moment: when all
   * of them refuse, the operation has certainly had no effect.
   */
  #lost(operation: Operation, phase: QuorumPhase): void {
    const since = this.#deps.clock.elapsed() - SILENCE_MS
    const isAwaited = ({ standing, askedAt }: Target) => standing === 'asked' && askedAt >= since
    if (!phase.isOwn || !phase.targets.some(isAwaited)) this.#deps.failed(operation, phase.lostBy!)
  }

  #completed(operation: Operation, phase: QuorumPhase): void {
    const now = this.#deps.ringTime?.now() ?? this.#deps.clock.now()
    switch (operation.step) {
      case 'reading':
        return this.#haveRead(operation, phase, now)
      case 'repairing':
        return this.#end(operation, operation.result)
      case 'preparing':
        return this.#havePromised(operation, phase, now)
      case 'writing':
        return this.#haveWritten(operation, phase)
    }
  }

  /** reading -> repairing, preparing or ended */
  #haveRead(operation: Operation, phase: QuorumPhase, now: number): void {
    const { kind, consistency, decide } = operation
    operation.found = phase.resolution()
    const { found } = operation
    if (found.deniedBelow > 0 && this.#hearAll(operation, phase)) return
    if (kind === 'entry') return this.#end(operation, found)
    if (decide === undefined) operation.result = readResult(operation, now)
    else {
      const { change, result } = decisionOf(operation, now, this.#maxValueBytes)
      // The ballot must pass what was found, or its owners refuse it.
      if (found.envelope !== undefined) this.#deps.minter.moveBeyond(versionOf(found.envelope))
      // What has expired by this clock must be absent for all later operations: a round writes so.
      const isExpired = hasExpired(found.envelope, now)
      if (change !== undefined || isExpired) return this.#beginStep(operation, 'preparing')
      operation.result = result
    }
    if (consistency === 'one' || phase.isAgreed(found)) this.#end(operation, operation.result)
    // Tombstones and expired values too: an older value would come back in the next read otherwise.
    else this.#beginStep(operation, 'repairing')
  }

  /** preparing -> writing or ended */
  #havePromised(operation: Operation, phase: QuorumPhase, now: number): void {
    operation.found = phase.resolution()
    if (operation.found.deniedBelow > 0 && this.#hearAll(operation, phase)) return
    const step = afterPrepare(operation, phase, now, this.#maxValueBytes)
    switch (step.type) {
      case 'end':
        return this.#end(operation, step.result)
      case 'hear':
        return this.#undecided(operation, phase)
      case 'gives up':
        return this.#deps.failed(operation, UNDECIDED)
      case 'write': {
        const { envelope, isNew, after, result } = step
        if (isNew) operation.attempts = [...operation.attempts, { origin: versionOf(envelope), result }]
        operation.envelope = envelope
        operation.sendsOwn = step.isOwn
        operation.afterWriting = after
        operation.result = result
        return this.#beginStep(operation, 'writing')
      }
    }
  }

  /** writing -> preparing or ended */
  #haveWritten(operation: Operation, phase: QuorumPhase): void {
    // Owners that were left for last get the write, or a hint of it.
    this.#asker.askAll(operation, phase)
    if (operation.afterWriting === 'prepares') return this.#beginStep(operation, 'preparing')
    this.#end(operation, operation.result)
    this.#deps.missedWrites.acknowledged(operation, phase)
  }

  /** An owner denies an entry that another one holds: asks all owners. False when no answer is awaited any more. */
  #hearAll(operation: Operation, phase: QuorumPhase): boolean {
    const now = this.#deps.clock.elapsed()
    // No client waits for the kind `entry`, so it may take longer.
    phase.hearsUntil ??= now + (operation.kind === 'entry' ? this.#timeoutMs / 2 : HEDGE_MS_MAX)
    if (now >= phase.hearsUntil) return false
    this.#asker.askAll(operation, phase)
    return phase.targets.some(({ standing }) => standing === 'asked')
  }

  /**
   * The owners that have promised do not know whether an attempt has taken effect. The others are asked under the same
   * ballot: a new one would only end the rounds of others (A8c).
   */
  #undecided(operation: Operation, phase: QuorumPhase): void {
    const now = this.#deps.clock.elapsed()
    phase.hearsUntil ??= now + UNDECIDED_MS
    if (phase.haveAllPromised() || now >= phase.hearsUntil) this.#deps.failed(operation, UNDECIDED)
    else if (phase.haveAllAnswered()) this.#obstructed(operation, phase)
    else this.#asker.askAll(operation, phase)
  }

  // ---- conflicts ----

  /** What was asked cannot be had: owners hold something newer, or have promised a higher ballot to another round. */
  #obstructed(operation: Operation, phase: QuorumPhase): void {
    const { minter, metrics } = this.#deps
    metrics.conflicts.add()
    if (operation.step === 'repairing') return this.#repairObstructed(operation, phase)
    const newer = phase.newerVersion()
    if (newer !== undefined && !minter.moveBeyond(newer)) {
      return this.#deps.failed(operation, new RingdError('CLOCK_SKEW', AHEAD))
    }
    const { conflicts, attempts, envelope, step } = operation
    const isBlind = step === 'writing' && attempts.length === 0 && operation.sendsOwn
    if (isBlind) operation.attempts = [{ origin: versionOf(envelope!), result: undefined }]
    operation.conflicts += 1
    if (isBlind) this.#beginStep(operation, 'preparing')
    else this.#pause(operation, 'preparing', Math.min(PAUSE_MS_FIRST * 2 ** conflicts, PAUSE_MS_MAX))
  }

  /** The read begins again; after some times a round settles what the key holds. */
  #repairObstructed(operation: Operation, phase: QuorumPhase): void {
    operation.rereads += 1
    const isPromised = phase.targets.some((target) => target.isPromised)
    if (operation.rereads > (isPromised ? PROMISED_REREADS_MAX : REREADS_MAX)) this.#beginStep(operation, 'preparing')
    else if (isPromised) this.#pause(operation, 'reading', PAUSE_MS_FIRST)
    else this.#beginStep(operation, 'reading')
  }

  /** any -> pauses */
  #pause(operation: Operation, step: Step, maxMs: number): void {
    const { clock, random } = this.#deps
    operation.state = 'pauses'
    operation.phase = undefined
    operation.afterPause = step
    operation.pausesUntil = clock.elapsed() + random.next() * maxMs
  }

  // ---- retries and hedges ----

  /** Called every few milliseconds for an operation that is under way. */
  tick(operation: Operation, now: number): void {
    if (operation.state === 'asking') this.#retryOrHedge(operation, operation.phase!, now)
    else if (operation.state === 'awaitsVersion') this.beginPhase(operation)
    else if (operation.state === 'pauses' && now >= operation.pausesUntil)
      this.#beginStep(operation, operation.afterPause)
  }

  #retryOrHedge(operation: Operation, phase: QuorumPhase, now: number): void {
    const { metrics, owners } = this.#deps
    if (phase.lostBy !== undefined) return this.#lost(operation, phase)
    const isRead = operation.step === 'reading' || operation.step === 'preparing'
    if (operation.step !== 'reading' && phase.isStranded(now - SILENCE_MS)) return this.#obstructed(operation, phase)
    if (phase.hearsUntil !== undefined && now >= phase.hearsUntil) return this.#completed(operation, phase)
    let retry = false
    let late = false
    for (const target of phase.targets) {
      if (target.standing === 'refused' && now - target.askedAt >= RETRY_MS) {
        target.standing = 'idle'
        retry = true
      } else if (target.standing === 'asked' && isRead) {
        late ||= now - target.askedAt >= owners.hedgeAfterMs(operation, target.member)
      }
    }
    // The window may have narrowed since: a retry uses the current one, which needs fewer owners.
    if (retry && this.#view!.configs.windows[operation.slot] !== phase.window) return this.#beginAgain(operation)
    if (retry && phase.hearsUntil !== undefined) this.#asker.askAll(operation, phase)
    else if (retry) this.#asker.ask(operation)
    if (!late) return
    for (const target of phase.targets) {
      if (target.standing !== 'idle') continue
      metrics.hedged.add()
      this.#asker.askOne(operation, phase, target)
    }
  }
}
