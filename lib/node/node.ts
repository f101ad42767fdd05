// One node: its actors on the seams that it is given. The daemon gives it real seams, the simulator simulated ones.
// Owns the order in which the actors start, learn of a new view, and stop; and how a membership of this store ends.
// Builds no adapters and knows no configuration file. build-actors.ts builds the actors.

import { Admission } from '../actors/admission.js'
import { DETECTOR_TICK_MS } from '../actors/detector.js'
import {
  type DepartureOrder,
  MEMBERSHIP_TICK_MS,
  type MembershipMessage
} from '../actors/membership/membership-messages.js'
import { writeStarts } from '../actors/membership/membership-records.js'
import { servePeerRequests } from '../actors/peer-requests.js'
import type { Totals } from '../actors/replica/replica-messages.js'
import { routerClient } from '../actors/router/router-client.js'
import type { Bytes } from '../bytes.js'
import type { LimitReport, RepairReport, Reports, VerifyReport } from '../client/reports.js'
import { every, type Timer } from '../clock.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { RingdError } from '../errors.js'
import type { KeyValue } from '../key-value.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import type { MemberId, PeerId } from '../member.js'
import type { Link, PeerEvent } from '../network/network.js'
import { isRumor } from '../network/packet-reader.js'
import type { Pong } from '../network/wire.js'
import { type SlotRange, slotOf } from '../ring/slots.js'
import { ask } from '../runtime/actor.js'
import type { RingView } from '../views/ring-view.js'
import { NodeActors } from './build-actors.js'
import { orderLimit } from './limit-order.js'
import { meetRing } from './meet-ring.js'
import { NodeIdentity } from './node-identity.js'
import type { NodeDeps, NodeOptions, NodeTopic } from './node-options.js'
import { NodeReports } from './node-reports.js'
import { OtherRing } from './other-ring.js'
import { digestOfView } from './reports.js'
import { renounce } from './store-identity.js'
import type { VerifyOrder } from './verification.js'

const DRAIN_TIMEOUT_MS = 10_000
const DEPART_TIMEOUT_MS = 10_000

export class RingNode {
  readonly keyValue: KeyValue
  /** Resolves, if ever, with the reason why this node cannot go on. */
  readonly failed: Promise<RingdError>
  /** Resolves when this node has left its ring as it was told to: it may be stopped for good. */
  readonly left: Promise<void>
  readonly #deps: NodeDeps
  readonly #options: NodeOptions
  readonly #actors: NodeActors
  readonly #admission: Admission
  readonly #reports: NodeReports
  readonly #identity: NodeIdentity
  readonly #otherRing: OtherRing
  readonly #serving = Promise.withResolvers<void>()
  readonly #fail: (error: RingdError) => void
  readonly #leave: () => void
  #timers: Timer[] = []
  #view: RingView | undefined
  /** The peers of all members of the view, and of former ones that it still names. */
  #ringPeers: ReadonlySet<PeerId> = new Set()
  #isStopping = false
  /** This membership is over: `stop` gives the store a new id, so that its next start joins as a new member. */
  #isMembershipOver = false

  constructor(deps: NodeDeps, given: NodeOptions) {
    this.#deps = deps
    const ring = given.ring ?? deps.identity.membership.wantedRing
    const options = { ...given, ring }
    this.#options = options
    const failure = Promise.withResolvers<RingdError>()
    this.failed = failure.promise
    this.#fail = failure.resolve
    const leaving = Promise.withResolvers<void>()
    this.left = leaving.promise
    this.#leave = leaving.resolve
    const limits = {
      maxKeyBytes: options.maxKeyBytes ?? KEY_BYTES_MAX,
      maxValueBytes: options.maxValueBytes ?? VALUE_BYTES_MAX
    }
    const actors = new NodeActors(deps, options, limits, {
      onView: (view) => this.#handleView(view),
      onPong: (member, pong, askedAt) => void this.#handlePong(member, pong, askedAt),
      onHearing: (hearing) => this.#handleHearing(hearing),
      onReach: (reach) => this.#reports.learnReach(reach),
      onDeparted: () => this.#handleDeparted(),
      onLost: (error) => void this.#handleLost(error),
      onFailed: (error) => this.#fail(error)
    })
    this.#actors = actors
    const { clock, network, metrics, random, identity } = deps
    this.#admission = new Admission({
      clock,
      random,
      network,
      refuse: (code, theirView) => actors.durableRing.refuse(code, theirView),
      catchUp: (peerId) => actors.membership.signal({ type: 'catch-up', peerId })
    })
    identity.peerClock.followOnly((from) => this.#admission.standing(from) === 'member')
    this.#reports = new NodeReports(
      { clock, network, metrics, actors, view: () => this.#view },
      { version: options.version, advice: options.advice }
    )
    const { conditions } = actors
    this.#identity = new NodeIdentity({ ...deps, conditions, onLater: (error) => this.#handleTwin(error) })
    this.#otherRing = new OtherRing({
      ...deps,
      conditions,
      view: () => this.#view,
      addressesOf: (member) => actors.durableRing.ring.records.get(member)?.addresses ?? []
    })
    this.keyValue = routerClient(actors.router, limits, () => identity.ringTime.now())
  }

  /** Starts the network, then finds or founds the ring. Resolves when this peer listens; see `serving`. */
  async start(): Promise<void> {
    const { network, clock, identity } = this.#deps
    const { replica, membership, detector, maintenance, durableWrites, clockWatch } = this.#actors
    // On disk before any record of this member is sent: sequence numbers of a start begin above those of earlier ones.
    await durableWrites.persist([writeStarts(identity.membership.starts + 1)])
    const { repair } = maintenance
    const admission = this.#admission
    const pong = (from: Link) => this.#pong(from)
    const answers = { pong, transfers: this.#actors.tellTransfers, identity: this.#identity }
    servePeerRequests({ admission, network, replica, membership, detector, repair, ...answers })
    this.#actors.servePulls(admission)
    network.onPeer((event) => this.#handlePeer(event))
    network.admitRumors((from, rumor) => this.#admitsRumor(from, rumor))
    network.onRumor((from, rumor) => void membership.tell({ type: 'rumor', from, rumor }))
    await network.start()
    const refusal = await meetRing({ ...this.#deps, otherRing: this.#otherRing }, this.#options)
    if (refusal !== undefined) return this.#fail(refusal)
    membership.signal({ type: 'start' })
    this.#otherRing.start()
    this.#timers = [
      every(clock, MEMBERSHIP_TICK_MS, () => {
        membership.tell({ type: 'tick' })
        this.#reports.observe()
      }),
      every(clock, DETECTOR_TICK_MS, () => {
        detector.tell({ type: 'tick' })
        clockWatch.look()
      })
    ]
  }

  /** Members, former members that the view still names, and peers that are up, such as joiners, may publish rumors. */
  #admitsRumor(from: PeerId, rumor: Bytes): boolean {
    const { network } = this.#deps
    const isKnown = this.#view === undefined || this.#ringPeers.has(from) || network.link(from) !== undefined
    return isKnown && isRumor(rumor)
  }

  /** Resolves when this peer is a member and its doors may open. */
  serving(): Promise<void> {
    return this.#serving.promise
  }

  /** The newest view of the ring; undefined while this peer knows no ring. */
  get view(): RingView | undefined {
    return this.#view
  }

  /** The highest batch of the member's store that this peer has heard of. */
  highestBatchHeard(member: MemberId): number {
    return this.#actors.rollbackGuard.heardOf(member).batch
  }

  /** How much this peer stores. */
  get totals(): Totals {
    return this.#actors.totals
  }

  /** No entry that this peer stores in the slot of the key is larger. Infinity when it is no owner, or cannot tell. */
  largestNear(key: Bytes): number {
    const slot = slotOf(key)
    const config = this.#view?.configs.windows[slot]?.at(-1)
    if (config?.owners.includes(this.storeId) !== true) return Number.POSITIVE_INFINITY
    return this.#actors.slotStats.largestIn(slot)
  }

  get storeId(): MemberId {
    return this.#actors.durableRing.storeId
  }

  /**
   * Has this peer leave its ring: it hands over what it holds, then `left` resolves. `force`: also when fewer members
   * remain than there are copies. Resolves when the leave request is on disk. Throws TOO_FEW_MEMBERS, NOT_SERVING.
   */
  leave(options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ target: this.storeId, ...options })
  }

  /**
   * Has the ring remove a member that is dead for good. `force`: also when it is up, when too few members remain, or
   * when data that it alone holds is lost. Resolves when the removal request is on its way. Throws BAD_REQUEST,
   * TOO_FEW_MEMBERS, TOO_FEW_OWNERS, NOT_SERVING.
   */
  remove(member: MemberId, options: { readonly force: boolean }): Promise<void> {
    return member === this.storeId ? this.leave(options) : this.#depart({ target: member, ...options })
  }

  /**
   * Sets the limit for moving data of the ring, bytes in a second; 0: none. Resolves when it is on the disk of this
   * peer, and on its way to the others. Throws BAD_REQUEST, NOT_SERVING, CLOCK_SKEW.
   */
  limit(bytesPerS: number): Promise<LimitReport> {
    return orderLimit(this.#deps.clock, this.#actors, bytesPerS)
  }

  /** Compares this peer with all owners of the range, and heals. Without a range it tells how far that has come. */
  repair(range?: SlotRange): Promise<RepairReport> {
    return this.#actors.maintenance.report(range)
  }

  /** Compares all owners of the range, and changes nothing. Without an order it tells how far that has come. */
  verify(order?: VerifyOrder): VerifyReport {
    return this.#actors.maintenance.verification.report(order)
  }

  async #depart(order: DepartureOrder): Promise<void> {
    await ask<MembershipMessage, undefined>(this.#deps.clock, this.#actors.membership, DEPART_TIMEOUT_MS, (reply) => ({
      type: 'depart',
      order,
      reply
    }))
  }

  /**
   * Finishes the operations under way, then stops every actor. Doors must be closed before. A store whose membership is
   * over has a new id afterwards.
   */
  async stop(): Promise<void> {
    if (this.#isStopping) return
    this.#isStopping = true
    const { clock, network, store, random } = this.#deps
    const { router, hints, replica, migration, handoff, maintenance, detector, membership } = this.#actors
    this.#actors.durableWrites.stop()
    for (const timer of this.#timers) timer.cancel()
    this.#actors.diskSpeed.stop()
    this.#actors.pace.stop()
    this.#otherRing.stop()
    this.#identity.stop()
    this.#actors.healer.stop()
    const drain = (reply: (result: undefined | RingdError) => void) => ({ type: 'drain' as const, reply })
    await ask(clock, router, DRAIN_TIMEOUT_MS, drain).catch(() => {})
    await router.stop()
    await migration.stop()
    await handoff.stop()
    await maintenance.stop()
    await detector.stop()
    await membership.stop()
    await network.stop()
    // Hints come after the network: only then no more answers of owners can come, and each missing one makes a hint.
    await hints.stop()
    await replica.stop()
    if (this.#isMembershipOver) {
      await renounce(store, random, { mayReturn: this.#actors.durableRing.leaving === undefined })
    }
    await store.close()
  }

  /** Settings of this peer that have no effect in its ring, one sentence each; none while it knows no ring. */
  get settingsWithoutEffect(): readonly string[] {
    return this.#reports.settings()
  }

  /** The documented report on `topic`; `argument` is the key for `where`. Throws NOT_SERVING before there is a ring. */
  report(topic: NodeTopic, argument: Bytes): Promise<Reports[NodeTopic]> {
    return this.#reports.report(topic, argument)
  }

  /**
   * Tells the actors of a new view. Each works by it from its next batch on. The actors that own data get it only once
   * the rollback guard trusts this store: an old copy must serve nothing and pull nothing.
   */
  #handleView(view: RingView): void {
    this.#view = view
    this.#deps.identity.ringTime.useMembers(view)
    this.#ringPeers = new Set(view.peerIds.values())
    this.#admission.useView(view)
    this.#reports.observe()
    const { rollbackGuard, router, detector, replica, hints, migration, handoff, maintenance, healer } = this.#actors
    const message = { type: 'view' as const, view }
    rollbackGuard.count(view)
    router.signal(message)
    detector.signal(message)
    if (rollbackGuard.isTrusted) {
      // The replica comes first: without a view it serves nobody, and the others send it requests of this view.
      replica.signal(message)
      hints.signal(message)
      migration.signal(message)
      handoff.signal(message)
      maintenance.view(view)
      healer.begin()
    }
    if (view.isMember) this.#serving.resolve()
  }

  /** A link to another peer came up, went down, or was refused. */
  #handlePeer(event: PeerEvent): void {
    const { membership, detector, hints, maintenance } = this.#actors
    membership.signal({ type: 'peer', event })
    if (event.type === 'refused') {
      if (event.error.code === 'IDENTITY_TWICE') this.#identity.sawTwins(event.peerId)
      else if (event.error.code === 'WRONG_RING') this.#otherRing.refused()
    }
    if (event.type !== 'up') return
    // A hello only claims a store id. The claim of a stranger or a joiner must not move the work of a member.
    const standing = this.#admission.standing(event.link)
    if (standing !== 'member' && standing !== 'former') return
    const member = event.link.storeId
    detector.signal({ type: 'linked', member })
    hints.signal({ type: 'linked', member })
    maintenance.linked(member)
  }

  #handleHearing(hearing: Hearing): void {
    this.#actors.membership.signal({ type: 'hearing', hearing })
    this.#reports.learnHearing(hearing)
  }

  /** A pong may tell that this store is an old copy, or be the last that the rollback guard waited for. */
  async #handlePong(member: MemberId, pong: Pong, askedAt: number): Promise<void> {
    const { rollbackGuard, clockWatch } = this.#actors
    clockWatch.hear(member, pong, askedAt)
    const isCurrent = await rollbackGuard.hear(member, pong)
    if (this.#isStopping) return
    if (!isCurrent) return this.#handleOutdated()
    this.#actors.router.signal({ type: 'room', member, isShort: pong.lowSpace === true })
    if (!rollbackGuard.isTrusted && this.#view !== undefined) this.#handleView(this.#view)
  }

  /** The answer of this peer to a ping. */
  async #pong(from: Link): Promise<Pong> {
    const { store, rollbackGuard, clockWatch, totals, hasLowSpace: lowSpace } = this.#actors
    const view = this.#view
    const ring =
      view === undefined ? { view: 0, ringDigest: '' } : { view: view.number, ringDigest: digestOfView(view) }
    const own = await rollbackGuard.statement(store.batch)
    const heard = rollbackGuard.heardOf(from.storeId)
    // After the signature, which takes its time.
    const moments = clockWatch.moments()
    return {
      ...ring,
      ...totals,
      ...moments,
      batch: own.batch,
      signature: own.signature,
      highestBatchHeard: heard.batch,
      heardSignature: heard.signature,
      lowSpace,
      trouble: this.#reports.trouble()
    }
  }

  /** This member was told to leave, and has left; or it was removed, and comes back as a new member. */
  #handleDeparted(): void {
    this.#isMembershipOver = true
    if (this.#actors.durableRing.leaving === undefined) this.#fail(new RingdError('REMOVED'))
    else this.#leave()
  }

  /** Another process has this identity, and was started before: this one gives it up, and can come back. */
  #handleTwin(error: RingdError): void {
    if (this.#isMembershipOver) return
    this.#isMembershipOver = true
    this.#deps.log.error({ storeId: this.storeId }, error.message)
    this.#fail(error)
  }

  /** This store is an old copy of a data directory: it comes back as a new member. */
  #handleOutdated(): void {
    if (this.#isMembershipOver) return
    this.#isMembershipOver = true
    this.#deps.log.error(
      { storeId: this.storeId },
      'the store is an old copy; start it again to rejoin as a new member'
    )
    this.#fail(new RingdError('DATA_DAMAGED', 'others know a later state of this store: it went backwards'))
  }

  /** The store lost acknowledged writes. It gets its new id at once: it must never speak for this member again. */
  async #handleLost(error: RingdError): Promise<void> {
    const { store, random, log } = this.#deps
    try {
      await renounce(store, random, { mayReturn: true })
      log.error(
        { err: error },
        'the store lost acknowledged writes and gave up its membership; start it again to rejoin'
      )
    } catch (thrown) {
      log.error({ err: thrown }, 'the store lost acknowledged writes; wipe this data directory before it is used again')
    }
    this.#fail(error)
  }
}
