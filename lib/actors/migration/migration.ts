// The migration actor: makes this member ready for every config that it owns slots of, by pulling what it may lack.
// Owns the jobs under way. Decides when to pull; what and from whom is planned in lib/views/pull-plan.ts.
// Invariants: a job whose slots have another window now is dropped, what it brought stays; ready is announced only when
// everything that the plan asks for is merged and on disk (rules 5 and 7 of lib/views/README.md).

import type { Clock } from '../../clock.js'
import type { BlockLimits } from '../../entry/block.js'
import { type RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import type { Counter, Gauge, Metrics } from '../../metrics.js'
import { isMemberAt } from '../../network/member-link.js'
import { InformedRefusal, type Network } from '../../network/network.js'
import type { Knowledge as WireKnowledge } from '../../network/wire.js'
import { below, type Random } from '../../random.js'

import { rangesOf, SLOTS } from '../../ring/slots.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'

import type { ConfigTable } from '../../views/configs.js'
import { isCurrent, narrowed, type PullJob, type PullPlan, planPull, pullJobs } from '../../views/pull-plan.js'
import type { RingView } from '../../views/ring-view.js'
import type { MembershipMessage } from '../membership/membership-messages.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'
import { runTransfer, type TransferReport } from './transfer.js'

export type MigrationMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'ended'; readonly job: RunningJob; readonly error: RingdError | undefined }
  | { readonly type: 'retry' }
  /** It is time to tell membership what has become ready. */
  | { readonly type: 'announce' }

export interface MigrationDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  readonly membership: Ref<MembershipMessage>
  /** Hands what a refusal taught to membership. */
  readonly learned: (knowledge: WireKnowledge) => void
  readonly self: Ref<MigrationMessage>
}

export interface MigrationOptions {
  readonly limits: BlockLimits
  /** Jobs at once (default 4). More use more sources in parallel and take more from clients. */
  readonly jobsMax?: number
}

const JOBS_MAX = 4
/** More slots in a job cost more when it must begin anew; fewer cost more round trips. */
const JOB_SLOTS_MAX = 1024
const RETRY_MS = 300
/** Jobs that end within this share one announcement: each costs every peer a look at all slots. */
const ANNOUNCE_MS = 50

interface RunningJob {
  readonly job: PullJob
  cancelled: boolean
}

export class Migration implements Actor<MigrationMessage> {
  readonly #deps: MigrationDeps
  readonly #options: MigrationOptions
  readonly #running = new Set<RunningJob>()
  /** Failed, and not tried again before the next retry. */
  readonly #resting = new Set<RunningJob>()
  /** Ready as this actor knows: ahead of what membership has announced. */
  readonly #ready = new Uint32Array(SLOTS)
  readonly #unready: Gauge
  readonly #bytes: Counter
  readonly #entries: Counter
  readonly #failures: Counter
  readonly #atRisk: Counter
  #view: RingView | undefined
  #announced: Uint32Array | undefined
  /** The table in which this member was found to be ready for everything that it owns. */
  #whole: ConfigTable | undefined
  #retryDue = false
  /** By config: slots that are ready and not announced yet. */
  readonly #unannounced = new Map<number, number[]>()
  #announceDue = false
  #stopped = false

  constructor(deps: MigrationDeps, options: MigrationOptions) {
    this.#deps = deps
    this.#options = options
    this.#unready = deps.metrics.gauge('ringd_migration_unready_slots', 'owned slots that this member is not ready for')
    this.#bytes = deps.metrics.counter('ringd_migration_received_bytes', 'bytes that transfers brought')
    this.#entries = deps.metrics.counter('ringd_migration_received_entries', 'entries that transfers brought')
    this.#atRisk = deps.metrics.counter('ringd_migration_at_risk_slots', 'slots pulled from too few of their owners')
    this.#failures = deps.metrics.counter('ringd_migration_failures', 'jobs that ended before they were done')
  }

  receive(batch: readonly MigrationMessage[]): void {
    for (const message of batch) {
      if (message.type === 'view') this.#handleView(message.view)
      else if (message.type === 'ended') this.#handleEnded(message.job, message.error)
      else if (message.type === 'announce') this.#announce()
      else this.#handleRetry()
    }
    this.#startJobs()
  }

  /** Drops what is under way; nothing is lost by it. */
  ended(): void {
    this.#stopped = true
    for (const running of this.#running) running.cancelled = true
  }

  #handleView(view: RingView): void {
    this.#view = view
    const announced = view.readiness.get(view.self)
    if (announced !== undefined && announced !== this.#announced) {
      this.#announced = announced
      for (let slot = 0; slot < SLOTS; slot++) this.#ready[slot] = Math.max(this.#ready[slot]!, announced[slot]!)
    }
    for (const running of this.#unfinished()) running.cancelled ||= !isCurrent(running.job, view.configs)
  }

  #handleRetry(): void {
    this.#retryDue = false
    this.#resting.clear()
  }

  #unfinished(): RunningJob[] {
    return [...this.#running, ...this.#resting]
  }

  #handleEnded(running: RunningJob, error: RingdError | undefined): void {
    this.#running.delete(running)
    if (running.cancelled) return
    if (error !== undefined) {
      this.#failures.add()
      this.#deps.log.debug({ err: error, slots: running.job.slots.length }, 'pull failed; trying again')
      if (error instanceof InformedRefusal) this.#deps.learned(error.knowledge)
      this.#resting.add(running)
      this.#retryLater()
      return
    }
    this.#becomeReady(running.job)
  }

  #becomeReady({ config, slots }: PullJob): void {
    for (const slot of slots) this.#ready[slot] = config.begin
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
      // What nobody honours any more may have been given up meanwhile.
      const slots = all.filter((slot) => windows[slot]!.some(({ begin }) => begin === config))
      if (slots.length > 0) this.#deps.membership.signal({ type: 'ready', config, slots })
    }
    this.#unannounced.clear()
  }

  #startJobs(): void {
    const view = this.#view
    if (view === undefined || !view.isMember || this.#stopped) return
    if (this.#running.size >= (this.#options.jobsMax ?? JOBS_MAX) || view.configs === this.#whole) return
    const jobs = pullJobs(view.configs, view.self, this.#ready, JOB_SLOTS_MAX)
    if (jobs.length === 0) this.#whole = view.configs
    this.#unready.set(jobs.reduce((sum, job) => sum + job.slots.length, 0))
    const busy = new Set<number>()
    for (const { job, cancelled } of this.#unfinished()) if (!cancelled) for (const slot of job.slots) busy.add(slot)
    for (const job of jobs) {
      if (this.#running.size >= (this.#options.jobsMax ?? JOBS_MAX)) return
      const slots = job.slots.filter((slot) => !busy.has(slot))
      if (slots.length > 0) this.#startJob({ ...job, slots }, view)
    }
  }

  #startJob(whole: PullJob, view: RingView): void {
    const { self, readiness, lost } = view
    const asker = { self, preferred: this.#reachable(view), readiness, lost }
    const wholePlan = planPull(whole, asker)
    const job = wholePlan === undefined ? narrowed(whole, asker) : whole
    const plan = wholePlan ?? (job && planPull(job, asker))
    if (job === undefined || job.slots.length < whole.slots.length) this.#retryLater()
    if (job === undefined || plan === undefined) return
    if (plan.isAtRisk) this.#warnOfLoss(job)
    if (plan.sources.length === 0) return this.#becomeReady(job)
    const running: RunningJob = { job, cancelled: false }
    this.#running.add(running)
    const end = (error: RingdError | undefined) => this.#deps.self.signal({ type: 'ended', job: running, error })
    this.#pull(running, plan, view).then(
      () => end(undefined),
      (thrown) => end(toRingdError(thrown))
    )
  }

  /** Too many owners are dead for good: what is left is all that there is, and somebody must know. */
  #warnOfLoss({ config, slots }: PullJob): void {
    this.#atRisk.add(slots.length)
    const fields = { config: config.begin, slots: slots.length, first: slots[0] }
    this.#deps.log.error(fields, 'too many owners are lost: taking what is left; acknowledged writes may be missing')
  }

  async #pull(running: RunningJob, plan: PullPlan, view: RingView): Promise<void> {
    const { clock, log } = this.#deps
    const { slots, config, window } = running.job
    const ranges = rangesOf(slots)
    let versionsFirst = await this.#askStorage<boolean>((reply) => ({ type: 'holds', ranges, reply }))
    // This member counts as a source where it owned: what is damaged here is as good as lost.
    const isSource = plan.kind === 'merge' && window.slice(0, -1).some(({ owners }) => owners.includes(view.self))
    if (versionsFirst && isSource) await this.#askStorage<undefined>((reply) => ({ type: 'verify', ranges, reply }))
    for (const source of plan.sources) {
      const started = clock.elapsed()
      const report = await runTransfer(this.#deps, {
        source: view.peerIds.get(source)!,
        member: source,
        view: view.number,
        config: config.begin,
        ranges,
        mustBeReady: plan.kind === 'copy',
        versionsFirst,
        limits: this.#options.limits,
        isCancelled: () => running.cancelled
      })
      this.#count(report)
      // The next source of a merge holds mostly the same.
      versionsFirst = true
      const ms = Math.round(clock.elapsed() - started)
      const fields = { source, plan: plan.kind, config: config.begin, slots: slots.length, ...report, ms }
      if (report.seen > 0) log.info(fields, 'transfer done')
      else log.debug(fields, 'transfer done')
    }
  }

  #askStorage<T>(make: (reply: Reply<T>) => ReplicaMessage): Promise<T> {
    return askReplica<T>(this.#deps, make)
  }

  #count(report: TransferReport): void {
    this.#bytes.add(report.bytes)
    this.#entries.add(report.entries)
  }

  /** Who can be asked, in an order of its own each time, so that sources share the work. */
  #reachable(view: RingView): MemberId[] {
    const { network, random } = this.#deps
    const up: MemberId[] = []
    for (const [member, peerId] of view.peerIds) {
      if (member !== view.self && isMemberAt(network, peerId, member))
        up.splice(below(random, up.length + 1), 0, member)
    }
    return up
  }

  #retryLater(): void {
    if (this.#retryDue) return
    this.#retryDue = true
    this.#deps.clock.after(RETRY_MS, () => this.#deps.self.signal({ type: 'retry' }))
  }
}
