// The migration actor: makes this member ready for every config in which it owns slots, by pulling what it may lack.
// Owns the pull jobs. Decides when to pull; lib/views/pull-plan.ts plans what and from whom; slot-pull.ts pulls.
// Invariants: a job ends when the window of its slots changes, and the entries that it brought stay. A member says that
// it is ready only when everything that the plan asks for is merged and on disk. Else a quorum of owners that call
// themselves ready could miss an acknowledged write.
// Source: rules 5 and 7 of lib/views/README.md.

import assert from 'node:assert/strict'
import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import type { Compression } from '../../compression.js'
import type { BlockLimits } from '../../entry/block.js'
import { RingdError, toRingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { isMemberAt } from '../../network/member-link.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import { below, type Random } from '../../random.js'
import { SLOTS } from '../../ring/slots.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import type { ConfigTable } from '../../views/configs.js'
import { isCurrent, narrowed, type PullJob, type PullPlan, planPull, pullJobs } from '../../views/pull-plan.js'
import type { RingView } from '../../views/ring-view.js'
import type { MembershipMessage } from '../membership/membership-messages.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { SkewWarning } from '../skew-warning.js'
import type { Paced } from './pace.js'
import { endPull } from './pull-end.js'
import { PullStreams } from './pull-streams.js'
import { pullSlots, type SlotPullReport } from './slot-pull.js'
import type { JobProgress, Transfers } from './transfers.js'

export type MigrationMessage =
  | { readonly type: 'view'; readonly view: RingView }
  /** The transfers of a job have ended: without an error the member holds everything of it. */
  | { readonly type: 'ended'; readonly pull: Pull; readonly error: RingdError | undefined }
  /** Jobs that failed may be planned again. */
  | { readonly type: 'retry' }
  /** Membership is to be told which slots have become ready. */
  | { readonly type: 'announce' }

export interface MigrationDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly compression: Compression
  readonly replica: Ref<ReplicaMessage>
  readonly membership: Ref<MembershipMessage>
  /** Told of every job, for reports and receipts. */
  readonly transfers: Pick<Transfers, 'look' | 'begin' | 'stop'>
  /** Passes on to membership what a refusal told about the ring. */
  readonly learned: (knowledge: WireKnowledge) => void
  /** See PullStreamsDeps. */
  readonly pace?: Paced | undefined
  /** Runs a round on the key, so that its promises end. May fail. Left out: the owners that promised do it. */
  readonly settle?: ((key: Bytes) => Promise<void>) | undefined
  readonly self: Ref<MigrationMessage>
}

export interface MigrationOptions {
  readonly limits: BlockLimits
  /** Jobs at once (default 6). More jobs use more sources in parallel, and slow clients down more. */
  readonly jobsMax?: number
}

/** Two for each of three sources: while one waits for an answer, the other one moves. */
const JOBS_MAX = 6
/**
 * A larger job is spread less evenly over the sources; a smaller one costs more round trips for each entry. So jobs
 * have as many slots as bring about JOB_BYTES, by what the last one brought.
 */
export const JOB_SLOTS_FIRST = 512
const JOB_SLOTS_MIN = 64
const JOB_SLOTS_MAX = 1024
const JOB_BYTES = 2 * MiB
const RETRY_MS = 300
/** Jobs that end within this time share one announcement, because each makes every peer look at all slots. */
const ANNOUNCE_MS = 200

/**
 * A job, and where it stands:
 *   pulling     transfers are under way
 *   superseded  the window of its slots has changed; its transfer has not noticed yet, and still counts as one of the
 *               jobs at once
 *   resting     it failed, and its slots are not planned again before the next retry
 * A job that is done, or that is planned again, is not kept.
 */
interface Pull {
  readonly job: PullJob
  /** The member that sends the entries. */
  readonly source: MemberId
  state: 'pulling' | 'superseded' | 'resting'
}

interface Planned {
  readonly table: ConfigTable
  readonly jobSlots: number
  readonly jobs: readonly PullJob[]
}

const NO_SLOTS = new Uint8Array(SLOTS)

export class Migration implements Actor<MigrationMessage> {
  readonly #deps: MigrationDeps
  readonly #options: MigrationOptions
  readonly #pulls = new Set<Pull>()
  readonly #streams: PullStreams
  /** For each slot the config that this member is ready for; ahead of what membership has announced. */
  readonly #ready = new Uint32Array(SLOTS)
  readonly #unready: Gauge
  readonly #failures: Counter
  readonly #atRisk: Counter
  readonly #oversized: Counter
  readonly #skew: SkewWarning
  #view: RingView | undefined
  #announced: Uint32Array | undefined
  /** The table for which this member is known to be ready in every slot that it owns: no job is looked for. */
  #whole: ConfigTable | undefined
  #jobSlots = JOB_SLOTS_FIRST
  /** What is left to pull, for as long as the table, `#ready` and `#jobSlots` stay the same. */
  #planned: Planned | undefined
  /** Per slot: 1 when the replica was told that it is to be pulled. */
  #watched: Uint8Array = NO_SLOTS
  #retryDue = false
  /** By config: slots that are ready and not yet announced. */
  readonly #unannounced = new Map<number, number[]>()
  #announceDue = false
  #stopped = false

  constructor(deps: MigrationDeps, options: MigrationOptions) {
    this.#deps = deps
    this.#options = options
    this.#streams = new PullStreams(deps)
    this.#unready = deps.metrics.gauge('ringd_migration_unready_slots', 'owned slots that this member is not ready for')
    this.#atRisk = deps.metrics.counter('ringd_migration_at_risk_slots', 'slots pulled from too few of their owners')
    this.#oversized = deps.metrics.counter(
      'ringd_migration_oversized_entries',
      'entries longer than allowed, which transfers left out'
    )
    this.#skew = new SkewWarning(deps)
    this.#failures = deps.metrics.counter('ringd_migration_failures', 'jobs that ended before they were done')
  }

  receive(batch: readonly MigrationMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'ended') this.#handleEnded(message.pull, message.error)
      else if (message.type === 'announce') this.#announce()
      else if (message.type === 'retry') this.#handleRetry()
      else message satisfies never
    }
    this.#startJobs()
  }

  /** Ends all jobs. Nothing is lost: the next start compares versions and goes on. */
  ended(): void {
    this.#stopped = true
    for (const pull of this.#pulls) this.#supersede(pull)
    this.#streams.end(new RingdError('STOPPED'))
    this.#deps.transfers.stop()
  }

  #handleView(view: RingView): void {
    this.#view = view
    const announced = view.readiness.get(view.self)
    if (announced !== undefined && announced !== this.#announced) {
      this.#announced = announced
      this.#planned = undefined
      for (let slot = 0; slot < SLOTS; slot++) this.#ready[slot] = Math.max(this.#ready[slot]!, announced[slot]!)
    }
    for (const pull of this.#pulls) if (!isCurrent(pull.job, view.configs)) this.#supersede(pull)
  }

  /** resting -> forgotten: the next look at the slots plans a new job for them. */
  #handleRetry(): void {
    this.#retryDue = false
    for (const pull of this.#pulls) if (pull.state === 'resting') this.#pulls.delete(pull)
  }

  /** pulling -> superseded, resting -> forgotten */
  #supersede(pull: Pull): void {
    if (pull.state === 'resting') this.#pulls.delete(pull)
    else pull.state = 'superseded'
  }

  /** pulling -> done, pulling -> resting, superseded -> forgotten */
  #handleEnded(pull: Pull, error: RingdError | undefined): void {
    assert(pull.state !== 'resting', 'a resting job has no transfer')
    if (pull.state === 'pulling' && error !== undefined) return this.#rest(pull, error)
    this.#pulls.delete(pull)
    if (pull.state === 'pulling') this.#becomeReady(pull.job)
  }

  /** pulling -> resting */
  #rest(pull: Pull, error: RingdError): void {
    assert(pull.state === 'pulling', 'only a job that pulls can fail')
    pull.state = 'resting'
    this.#failures.add()
    this.#deps.log.debug({ err: error, slots: pull.job.slots.length }, 'pull failed; trying again')
    if (error instanceof InformedRefusal) this.#deps.learned(error.knowledge)
    this.#retryLater()
  }

  #becomeReady({ config, slots }: PullJob): void {
    for (const slot of slots) this.#ready[slot] = config.begin
    this.#planned = undefined
    const waiting = this.#unannounced.get(config.begin)
    if (waiting === undefined) this.#unannounced.set(config.begin, [...slots])
    else waiting.push(...slots)
    if (this.#announceDue) return
    this.#announceDue = true
    this.#deps.clock.after(ANNOUNCE_MS, () => this.#deps.self.signal({ type: 'announce' }))
  }

  #announce(): void {
    this.#announceDue = false
    const windows = this.#view!.configs.windows
    for (const [config, all] of this.#unannounced) {
      // A slot whose window does not hold this config any more may have been released meanwhile.
      const slots = all.filter((slot) => windows[slot]!.some(({ begin }) => begin === config))
      if (slots.length > 0) this.#deps.membership.signal({ type: 'ready', config, slots })
    }
    this.#unannounced.clear()
  }

  #startJobs(): void {
    const view = this.#view
    if (view === undefined || !view.isMember || this.#stopped) return
    if (this.#isFull() || view.configs === this.#whole) return
    const jobs = this.#plan(view)
    this.#deps.transfers.look(view, jobs)
    const busy = new Uint8Array(SLOTS)
    for (const { job, state } of this.#pulls) if (state !== 'superseded') for (const slot of job.slots) busy[slot] = 1
    for (const job of jobs) {
      if (this.#isFull()) return
      const slots = job.slots.filter((slot) => busy[slot] === 0)
      if (slots.length > 0) this.#startJob({ ...job, slots }, view)
    }
  }

  /** All jobs that are left, those under way included. O(slots) only when something has changed. */
  #plan(view: RingView): readonly PullJob[] {
    const table = view.configs
    const jobSlots = this.#jobSlots
    if (this.#planned?.table === table && this.#planned.jobSlots === jobSlots) return this.#planned.jobs
    const jobs = pullJobs(table, view.self, this.#ready, jobSlots)
    this.#planned = { table, jobSlots, jobs }
    if (jobs.length === 0) this.#becomeWhole(view)
    this.#watch(jobs)
    this.#unready.set(jobs.reduce((sum, job) => sum + job.slots.length, 0))
    return jobs
  }

  /** Nothing is left to pull. */
  #becomeWhole(view: RingView): void {
    this.#whole = view.configs
    // A job that still pulls was overtaken: its slots need no pull any more.
    this.#streams.end(new RingdError('STOPPED', 'nothing is left to pull'))
  }

  /** Lets the replica note what is stored of slots from when this member learns that it must pull them. */
  #watch(jobs: readonly PullJob[]): void {
    const watched = this.#watched
    const isNews =
      jobs.length === 0 ? watched !== NO_SLOTS : jobs.some(({ slots }) => slots.some((slot) => watched[slot] === 0))
    if (!isNews) return
    const slots = jobs.flatMap((job) => job.slots)
    this.#watched = slots.length === 0 ? NO_SLOTS : new Uint8Array(SLOTS)
    for (const slot of slots) this.#watched[slot] = 1
    this.#askReplica<undefined>((reply) => ({ type: 'watch', slots, reply })).catch((thrown) => {
      this.#deps.log.debug({ err: thrown }, 'slots to pull are not watched; their entries are looked for')
    })
  }

  #isFull(): boolean {
    let running = 0
    for (const { state } of this.#pulls) if (state !== 'resting') running += 1
    return running >= (this.#options.jobsMax ?? JOBS_MAX)
  }

  /** planned -> pulling; or -> done, when every entry is known to be here already */
  #startJob(whole: PullJob, view: RingView): void {
    const { self, readiness, lost } = view
    const asker = { self, preferred: this.#reachable(view), readiness, lost }
    const wholePlan = planPull(whole, asker)
    const job = wholePlan === undefined ? narrowed(whole, asker) : whole
    const plan = wholePlan ?? (job && planPull(job, asker))
    if (job === undefined || job.slots.length < whole.slots.length) this.#retryLater()
    if (job === undefined || plan === undefined) return
    if (plan.isAtRisk) this.#warnOfLoss(job)
    const [source] = plan.sources
    const pull: Pull = { job, source: source ?? self, state: 'pulling' }
    this.#pulls.add(pull)
    const progress = this.#deps.transfers.begin(job, plan.sources)
    const end = (error: RingdError | undefined) => {
      progress.end(error === undefined)
      this.#deps.self.signal({ type: 'ended', pull, error })
    }
    this.#pull(pull, plan, view, progress).then(
      () => end(undefined),
      (thrown) => end(toRingdError(thrown))
    )
  }

  /** Too many owners of these slots are dead for good: the pull may lack acknowledged writes. An operator must know. */
  #warnOfLoss({ config, slots }: PullJob): void {
    this.#atRisk.add(slots.length)
    const fields = { config: config.begin, slots: slots.length, first: slots[0] }
    this.#deps.log.error(fields, 'too many owners are lost: taking what is left; acknowledged writes may be missing')
  }

  async #pull(pull: Pull, plan: PullPlan, view: RingView, progress: JobProgress): Promise<void> {
    const { clock, log, replica } = this.#deps
    const { slots, config } = pull.job
    const isCancelled = () => pull.state === 'superseded'
    if (plan.sources.length === 0) return endPull(this.#deps, { slots, due: [], isCancelled })
    const started = clock.elapsed()
    const streamTo = (source: MemberId) => this.#streams.to(source, view.peerIds)
    const report = await pullSlots(
      { clock, replica, streamTo },
      {
        sources: plan.sources,
        view: view.number,
        config: config.begin,
        slots,
        mustBeReady: plan.kind === 'copy',
        limits: this.#options.limits,
        isCancelled,
        progress
      }
    ).catch((thrown) => {
      this.#skew.failed(toRingdError(thrown), pull.source)
      throw thrown
    })
    this.#count(report, pull.source)
    const wanted = Math.floor(JOB_BYTES / Math.max(1, report.bytes / slots.length))
    this.#jobSlots = Math.max(JOB_SLOTS_MIN, Math.min(JOB_SLOTS_MAX, wanted))
    const ms = Math.round(clock.elapsed() - started)
    const { due, ...counts } = report
    const fields = { sources: plan.sources, plan: plan.kind, config: config.begin, slots: slots.length, ...counts, ms }
    log.debug({ ...fields, due: due.length }, 'slots pulled')
    await endPull(this.#deps, { slots, due, isCancelled })
  }

  #askReplica<T>(make: (reply: Reply<T>) => ReplicaMessage): Promise<T> {
    return askReplica<T>(this.#deps, make)
  }

  #count({ oversized }: SlotPullReport, source: MemberId): void {
    this.#oversized.add(oversized)
    if (oversized === 0) return
    this.#deps.log.warn(
      { source, oversized },
      'a source holds entries that are longer than allowed; they were not taken'
    )
  }

  /** The members that are linked: those first that send the entries of the fewest jobs, otherwise in a random order. */
  #reachable(view: RingView): MemberId[] {
    const { network, random } = this.#deps
    const jobs = new Map<MemberId, number>()
    for (const { source, state } of this.#pulls) if (state !== 'resting') jobs.set(source, (jobs.get(source) ?? 0) + 1)
    const up: MemberId[] = []
    for (const [member, peerId] of view.peerIds) {
      if (member !== view.self && isMemberAt(network, peerId, member))
        up.splice(below(random, up.length + 1), 0, member)
    }
    return up.sort((one, other) => (jobs.get(one) ?? 0) - (jobs.get(other) ?? 0))
  }

  #retryLater(): void {
    if (this.#retryDue) return
    this.#retryDue = true
    this.#deps.clock.after(RETRY_MS, () => this.#deps.self.signal({ type: 'retry' }))
  }
}
