// Gathers what a report of this node needs from its actors, and follows how complete the copies of the ring are. The
// shapes of the reports, and how they follow from what is gathered, are in reports.ts. Part of the node.
import type { DetectorMessage, Health, Reach } from '../actors/detector.js'
import { type Bytes, toText } from '../bytes.js'
import type { LoadReport, Reports, TransfersReport } from '../client/reports.js'
import type { Clock } from '../clock.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { Gauge, Metrics } from '../metrics.js'
import { isMemberLinked } from '../network/member-link.js'
import type { Network } from '../network/network.js'
import { type Trouble, troubleToWire } from '../network/trouble.js'
import type { Trouble as WireTrouble } from '../network/wire.js'
import { ask } from '../runtime/actor.js'
import { countSlots } from '../views/readiness.js'
import type { RingView } from '../views/ring-view.js'
import type { NodeActors } from './build-actors.js'
import type { NodeOptions, NodeTopic } from './node-options.js'
import { RecoveryTrend } from './recovery-trend.js'
import { limitReport, type ReportInput, ringReport, statusReport, whereReport } from './reports.js'
import { gatherSlotLoads, loadReport } from './ring-load.js'
import { RingTransfers } from './ring-transfers.js'
import { type MembersInput, reasonsNotReady, servingOf } from './serving.js'

export interface NodeReportsDeps {
  readonly clock: Clock
  readonly network: Network
  readonly metrics: Metrics
  readonly actors: Pick<
    NodeActors,
    | 'durableRing'
    | 'detector'
    | 'maintenance'
    | 'totals'
    | 'hintTotals'
    | 'surplusSlots'
    | 'conditions'
    | 'rollbackGuard'
    | 'pullPace'
    | 'transfers'
  >
  /** The newest view; undefined while this peer knows no ring. */
  readonly view: () => RingView | undefined
}

export interface NodeReportsOptions {
  /** Of the program, for `id`. */
  readonly version: string
  /** See NodeOptions. */
  readonly advice?: NodeOptions['advice']
}

const HEALTH_TIMEOUT_MS = 5000
/** A peer that was away is not heard by all members at the same moment. */
const UNREACHABLE_AFTER_MS = 5000
/** A count of all slots costs up to some ms. */
const COUNT_EVERY_MS = 5000
/** How many members a condition names. */
const NAMED_MAX = 3
/** The argument of the report `transfers` that leaves out those that have ended. */
const RUNNING = 'running'
const NOBODY_DOWN: ReadonlyMap<MemberId, number> = new Map()
const NO_REACH: Reach = { unreached: [], unreachedBy: [] }

export class NodeReports {
  readonly #deps: NodeReportsDeps
  readonly #version: string
  readonly #advice: NodeOptions['advice']
  readonly #recovery: RecoveryTrend
  readonly #transfers: RingTransfers
  readonly #ready: Gauge
  readonly #atRisk: Gauge
  readonly #unwritable: Gauge
  /** When slots were counted last; monotonic ms. */
  #countedAt = Number.NEGATIVE_INFINITY
  #hearing: Hearing | undefined
  #gathering: Promise<LoadReport> | undefined
  /** The reports `transfers` under way: of the running ones alone, and of all. */
  readonly #gatheringTransfers = new Map<boolean, Promise<TransfersReport>>()
  #reach: Reach = NO_REACH
  /** Since when some member does not reach this peer; monotonic ms. */
  #unreachableSince: number | undefined

  constructor(deps: NodeReportsDeps, { version, advice }: NodeReportsOptions) {
    this.#deps = deps
    this.#version = version
    this.#advice = advice
    this.#recovery = new RecoveryTrend(deps.metrics)
    const { metrics, clock, network, actors } = deps
    this.#transfers = new RingTransfers({ clock, network, transfers: actors.transfers })
    this.#ready = metrics.gauge('ringd_ready', '1 while this peer serves clients; see "When things go wrong"')
    this.#atRisk = metrics.gauge('ringd_ring_at_risk_slots', 'slots that too few owners can read for a quorum')
    this.#unwritable = metrics.gauge('ringd_ring_unwritable_slots', 'slots of which too few owners take writes')
  }

  /** Which members are heard and which are down: a down member holds no copies that count. */
  learnHearing(hearing: Hearing): void {
    this.#hearing = hearing
    this.observe()
  }

  /** Which members cannot talk with this peer on their own link, at a tick of the detector. */
  learnReach(reach: Reach): void {
    const { clock, actors } = this.#deps
    this.#reach = reach
    const { unreachedBy } = reach
    if (unreachedBy.length === 0) {
      this.#unreachableSince = undefined
      actors.conditions.clear('unreachable')
      return
    }
    const now = clock.elapsed()
    this.#unreachableSince ??= now
    if (now - this.#unreachableSince < UNREACHABLE_AFTER_MS) return
    const named = unreachedBy.slice(0, NAMED_MAX).map((id) => id.slice(0, 8))
    const more = unreachedBy.length > NAMED_MAX ? ', ...' : ''
    const who = unreachedBy.length === 1 ? '1 member does' : `${unreachedBy.length} members do`
    actors.conditions.set(
      'unreachable',
      `${who} not reach this peer (${named.join(', ')}${more}): check the network between them, and listen or announce`
    )
  }

  /** What this peer tells of itself in its pongs; undefined when nothing is wrong. */
  trouble(): WireTrouble | undefined {
    return troubleToWire(this.#ownTrouble())
  }

  #ownTrouble(): Trouble {
    const { conditions, rollbackGuard } = this.#deps.actors
    const { unreached } = this.#reach
    const untrusted = this.#deps.view() !== undefined && !rollbackGuard.isTrusted
    return { conditions: conditions.present, unreached, unreachedCount: unreached.length, untrusted }
  }

  /**
   * Follows how many slots are short of copies. Called on every change of view or hearing, and also now and then:
   * a sample is taken once a second at most, so the last change may come too soon for one.
   */
  observe(): void {
    const view = this.#deps.view()
    if (view === undefined) return this.#ready.set(0)
    this.#recovery.observe(view, this.#hearing, this.#deps.clock.elapsed())
    const { downSince = NOBODY_DOWN } = this.#hearing ?? {}
    const unreached = new Set(this.#reach.unreached)
    const isHeard = (id: MemberId) => !downSince.has(id) && !unreached.has(id)
    this.#ready.set(reasonsNotReady(view, this.#ownTrouble(), isHeard).length === 0 ? 1 : 0)
    const now = this.#deps.clock.elapsed()
    if (now - this.#countedAt < COUNT_EVERY_MS) return
    this.#countedAt = now
    // It fails when the detector stops.
    this.#countSlots(view).catch(() => {})
  }

  async #countSlots(view: RingView): Promise<void> {
    const { atRisk, unwritable } = countSlots(view.configs, servingOf(await this.#members(view)))
    this.#atRisk.set(atRisk)
    this.#unwritable.set(unwritable)
  }

  /** The documented report on `topic`; ClientQuery of wire.proto has `argument`. NOT_SERVING before there is a ring. */
  async report(topic: NodeTopic, argument: Bytes): Promise<Reports[NodeTopic]> {
    const view = this.#deps.view()
    if (topic === 'id') {
      const { network, actors } = this.#deps
      const { storeId, peerId } = actors.durableRing
      const ringId = view?.founding.ringId ?? ''
      return { peerId, storeId, ringId, addresses: network.addresses(), version: this.#version }
    }
    if (view === undefined) throw new RingdError('NOT_SERVING')
    if (topic === 'ring') return ringReport(view)
    if (topic === 'load') return this.#load(view)
    if (topic === 'limit') return limitReport(this.#deps.actors.durableRing.ring.limit)
    if (topic === 'transfers') return this.#transfersOf(view, toText(argument))
    const input = await this.#gather(view)
    if (topic === 'where') return whereReport(input, argument)
    const { downSince = NOBODY_DOWN } = this.#hearing ?? {}
    return statusReport(input, await this.#transfers.move(view, (id) => !downSince.has(id)))
  }

  /** One report is gathered at a time: whoever asks meanwhile gets the same one. */
  #load(view: RingView): Promise<LoadReport> {
    this.#gathering ??= this.#gatherLoad(view).finally(() => {
      this.#gathering = undefined
    })
    return this.#gathering
  }

  async #gatherLoad(view: RingView): Promise<LoadReport> {
    const { actors } = this.#deps
    const members = await this.#members(view)
    const loads = await gatherSlotLoads(actors.maintenance.tallies, view)
    return loadReport(members, loads, actors.pullPace)
  }

  /** As for `load`. Throws BAD_REQUEST. */
  #transfersOf(view: RingView, argument: string): Promise<TransfersReport> {
    if (argument !== '' && argument !== RUNNING) {
      throw new RingdError('BAD_REQUEST', `transfers are asked for with '' or '${RUNNING}'`)
    }
    const withEnded = argument === ''
    let report = this.#gatheringTransfers.get(withEnded)
    if (report === undefined) {
      report = this.#transfers.report(view, withEnded).finally(() => this.#gatheringTransfers.delete(withEnded))
      this.#gatheringTransfers.set(withEnded, report)
    }
    return report
  }

  /** Settings of this peer that have no effect in its ring, one sentence each; none while it knows no ring. */
  settings(): readonly string[] {
    const view = this.#deps.view()
    if (view === undefined || this.#advice === undefined) return []
    const others = Array.from(view.members.keys()).filter((id) => id !== view.self && this.#addresses(id).length > 0)
    const other = others.find((id) => this.#isLinked(view, id)) ?? others[0]
    return this.#advice(view, other && this.#addresses(other)[0])
  }

  #addresses(member: MemberId): readonly string[] {
    return this.#deps.actors.durableRing.ring.records.get(member)?.addresses ?? []
  }

  #isLinked(view: RingView, member: MemberId): boolean {
    return isMemberLinked(this.#deps.network, view.peerIds, member)
  }

  async #members(view: RingView): Promise<MembersInput> {
    const { clock, actors } = this.#deps
    const health = await ask<DetectorMessage, Health>(clock, actors.detector, HEALTH_TIMEOUT_MS, (reply) => ({
      type: 'health',
      reply
    }))
    return { view, health, isLinked: (member) => this.#isLinked(view, member), own: this.#ownTrouble() }
  }

  async #gather(view: RingView): Promise<ReportInput> {
    const { clock, actors } = this.#deps
    const { durableRing } = actors
    return {
      ...(await this.#members(view)),
      totals: actors.totals,
      addresses: (member) => this.#addresses(member),
      leaving: durableRing.leaving !== undefined,
      surplusSlots: actors.surplusSlots,
      hints: actors.hintTotals,
      recovery: this.#recovery.report(view, this.#hearing, clock.elapsed()),
      moveLimit: durableRing.ring.limit,
      settings: this.settings()
    }
  }
}
