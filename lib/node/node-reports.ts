// Gathers what a report of this node needs from its actors, and follows how complete the copies of the ring are. The
// shapes of the reports, and how they follow from what is gathered, are in reports.ts. Part of the node.
import type { DetectorMessage, Health } from '../actors/detector.js'
import type { Bytes } from '../bytes.js'
import type { Reports } from '../client/reports.js'
import type { Clock } from '../clock.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { Metrics } from '../metrics.js'
import { isMemberLinked } from '../network/member-link.js'
import type { Network } from '../network/network.js'
import { ask } from '../runtime/actor.js'
import type { RingView } from '../views/ring-view.js'
import type { NodeActors } from './build-actors.js'
import type { NodeTopic } from './node-options.js'
import { RecoveryTrend } from './recovery-trend.js'
import { type ReportInput, ringReport, statusReport, whereReport } from './reports.js'

export interface NodeReportsDeps {
  readonly clock: Clock
  readonly network: Network
  readonly metrics: Metrics
  readonly actors: Pick<NodeActors, 'durableRing' | 'detector' | 'totals' | 'hintTotals' | 'surplusSlots'>
  /** The newest view; undefined while this peer knows no ring. */
  readonly view: () => RingView | undefined
}

export interface NodeReportsOptions {
  /** Of the program, for `id`. */
  readonly version: string
}

const HEALTH_TIMEOUT_MS = 5000

export class NodeReports {
  readonly #deps: NodeReportsDeps
  readonly #version: string
  readonly #recovery: RecoveryTrend
  #hearing: Hearing | undefined

  constructor(deps: NodeReportsDeps, { version }: NodeReportsOptions) {
    this.#deps = deps
    this.#version = version
    this.#recovery = new RecoveryTrend(deps.metrics)
  }

  /** Which members are heard and which are down: a down member holds no copies that count. */
  learnHearing(hearing: Hearing): void {
    this.#hearing = hearing
    this.observe()
  }

  /**
   * Follows how many slots are short of copies. Called on every change of view or hearing, and also now and then:
   * a sample is taken once a second at most, so the last change may come too soon for one.
   */
  observe(): void {
    const view = this.#deps.view()
    if (view !== undefined) this.#recovery.observe(view, this.#hearing, this.#deps.clock.elapsed())
  }

  /** The documented report on `topic`; `argument` is the key for `where`. Throws NOT_SERVING before there is a ring. */
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
    const input = await this.#gather(view)
    return topic === 'where' ? whereReport(input, argument) : statusReport(input)
  }

  async #gather(view: RingView): Promise<ReportInput> {
    const { clock, network, actors } = this.#deps
    const { durableRing, detector } = actors
    const health = await ask<DetectorMessage, Health>(clock, detector, HEALTH_TIMEOUT_MS, (reply) => ({
      type: 'health',
      reply
    }))
    return {
      view,
      health,
      totals: actors.totals,
      addresses: (member: MemberId) => durableRing.ring.records.get(member)?.addresses ?? [],
      isLinked: (member: MemberId) => isMemberLinked(network, view.peerIds, member),
      leaving: durableRing.leaving !== undefined,
      surplusSlots: actors.surplusSlots,
      hints: actors.hintTotals,
      recovery: this.#recovery.report(view, this.#hearing, clock.elapsed())
    }
  }
}
