// One node: the actors, wired on the seams that it is given. The daemon gives it real ones, the simulator simulated
// ones.
// Owns the order in which things start and stop. Builds no adapters and knows no configuration file.

import { DETECTOR_TICK_MS, Detector, type DetectorMessage, type Health } from '../actors/detector.js'
import { EntryHealer } from '../actors/entry-healer.js'
import { Hints, type HintsMessage, type HintTotals } from '../actors/hints/hints.js'
import { DurableRing } from '../actors/membership/durable-ring.js'
import type { Membership } from '../actors/membership/membership.js'
import type { DepartureOrder } from '../actors/membership/membership-messages.js'
import { MEMBERSHIP_TICK_MS, type MembershipMessage } from '../actors/membership/membership-messages.js'
import { writeStarts } from '../actors/membership/membership-records.js'
import { Handoff, type HandoffMessage } from '../actors/migration/handoff.js'
import { Migration, type MigrationMessage } from '../actors/migration/migration.js'
import { servePeerRequests } from '../actors/peer-requests.js'
import { PURGE_AFTER_MS } from '../actors/purge.js'
import { Replica } from '../actors/replica/replica.js'
import type { ReplicaMessage } from '../actors/replica/replica-messages.js'
import { SlotStats, type Totals } from '../actors/replica/slot-stats.js'
import { Router, type RouterMessage } from '../actors/router/router.js'
import { routerClient } from '../actors/router/router-client.js'
import type { Bytes } from '../bytes.js'
import type { RepairReport, Reports } from '../client/reports.js'
import { every, type Timer } from '../clock.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { PurgeBounds } from '../entry/purge-bounds.js'
import { RingdError, toRingdError } from '../errors.js'
import type { KeyValue } from '../key-value.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.js'
import type { MemberId } from '../member.js'
import { isMemberLinked } from '../network/member-link.js'
import type { Link, PeerEvent } from '../network/network.js'
import type { Pong, Knowledge as WireKnowledge } from '../network/wire.js'
import type { SlotRange } from '../ring/slots.js'
import { type Actor, ask, type Ref, type Spawned, spawn } from '../runtime/actor.js'
import { GuardedStore } from '../storage/guarded-store.js'
import type { MetaWrite } from '../storage/meta.js'
import type { ScanRange } from '../storage/store.js'
import type { RingView } from '../views/ring-view.js'
import { knowledgeFromWire } from '../views/wire-codec.js'
import { buildMembership } from './build-membership.js'
import { persist } from './durable-writes.js'
import { Maintenance } from './maintenance.js'
import type { NodeDeps, NodeOptions, NodeTopic } from './node-options.js'
import { RecoveryTrend } from './recovery-trend.js'
import { digestOfView, type ReportInput, ringReport, statusReport, whereReport } from './reports.js'
import { RollbackGuard } from './rollback-guard.js'
import { renounce } from './store-identity.js'

const REPORT_TIMEOUT_MS = 5000
const DRAIN_TIMEOUT_MS = 10_000
const MEET_TIMEOUT_MS = 3000
const DEPART_TIMEOUT_MS = 10_000
/** Blocks are bounded by the format, not by this peer's own options: owners must hold what others have accepted. */
const BLOCK_LIMITS = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }

export class RingNode {
  readonly keyValue: KeyValue
  /** Resolves, if ever, with the reason why this node cannot go on. */
  readonly failed: Promise<RingdError>
  /** Resolves when this node has left its ring as it was told to: it may be stopped for good. */
  readonly left: Promise<void>
  readonly #deps: NodeDeps
  readonly #options: NodeOptions
  readonly #durableRing: DurableRing
  readonly #store: GuardedStore
  readonly #rollbackGuard: RollbackGuard
  readonly #replica: Spawned<ReplicaMessage>
  readonly #hints: Spawned<HintsMessage>
  readonly #router: Spawned<RouterMessage>
  readonly #migration: Spawned<MigrationMessage>
  readonly #handoff: Spawned<HandoffMessage>
  readonly #detector: Spawned<DetectorMessage>
  readonly #membership: Spawned<MembershipMessage>
  readonly #slotStats = new SlotStats()
  readonly #serving = Promise.withResolvers<void>()
  readonly #fail: (error: RingdError) => void
  readonly #leave: () => void
  #timers: Timer[] = []
  #view: RingView | undefined
  #stopping = false
  #isGone = false
  readonly #healer: EntryHealer
  readonly #recovery: RecoveryTrend
  #hearing: Hearing | undefined
  readonly #maintenance: Maintenance
  #surplusSlots: () => number | null = () => null
  #hintTotals: () => HintTotals = () => ({ entries: 0, bytes: 0 })

  constructor(deps: NodeDeps, options: NodeOptions) {
    this.#deps = deps
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<RingdError>()
    this.failed = promise
    this.#fail = resolve
    const leaving = Promise.withResolvers<void>()
    this.left = leaving.promise
    this.#leave = leaving.resolve
    const limits = {
      maxKeyBytes: options.maxKeyBytes ?? KEY_BYTES_MAX,
      maxValueBytes: options.maxValueBytes ?? VALUE_BYTES_MAX
    }
    this.#store = new GuardedStore(deps.store)
    this.#rollbackGuard = new RollbackGuard(this.#store.batch, deps.identity.membership.starts === 0)
    this.#durableRing = this.#buildKeeper()
    this.#replica = this.#spawn('storage', () => this.#buildStorage())
    this.#hints = this.#spawn('hints', (self) => this.#buildHints(self))
    this.#router = this.#spawn('router', () => this.#buildRouter(limits))
    this.#recovery = new RecoveryTrend(deps.metrics)
    this.#healer = new EntryHealer({ ...deps, router: this.#router, replica: this.#replica })
    this.#membership = this.#spawn('membership', (self) => this.#buildMembership(self))
    this.#migration = this.#spawn('migration', (self) => this.#buildMigration(self))
    this.#handoff = this.#spawn('retirement', (self) => this.#buildRetirement(self))
    this.#maintenance = this.#buildUpkeep()
    this.#detector = this.#spawn('detector', (self) => this.#buildDetector(self))
    this.keyValue = routerClient(this.#router, limits, () => deps.clock.now())
  }

  /** Starts the network, then finds or founds the ring. Resolves when this peer listens; see `serving`. */
  async start(): Promise<void> {
    const { network, clock, identity } = this.#deps
    const { starts } = identity.membership
    await this.#persist([writeStarts(starts + 1)])
    servePeerRequests({
      network,
      replica: this.#replica,
      membership: this.#membership,
      detector: this.#detector,
      repair: this.#maintenance.repair,
      pong: (from) => this.#pong(from)
    })
    network.onPeer((event) => this.#handlePeer(event))
    network.onRumor((from, rumor) => void this.#membership.tell({ type: 'rumor', from, rumor }))
    await network.start()
    if (!(await this.#meetsItsRing())) return
    this.#membership.signal({ type: 'start' })
    this.#timers = [
      every(clock, MEMBERSHIP_TICK_MS, () => {
        this.#membership.tell({ type: 'tick' })
        this.#observe()
      }),
      every(clock, DETECTOR_TICK_MS, () => void this.#detector.tell({ type: 'tick' }))
    ]
  }

  /** Fails the node when it has a ring and is told to join another one. Who does not answer is dialled again later. */
  async #meetsItsRing(): Promise<boolean> {
    const { network, identity, log } = this.#deps
    const address = this.#options.join[0]
    const { view } = identity.membership.ring
    if (view === undefined || address === undefined) return true
    const { ringId } = view.founding
    network.introduce(ringId, identity.storeId)
    try {
      await network.dial(address, MEET_TIMEOUT_MS)
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (error.code === 'WRONG_RING') {
        const mine = `this store belongs to ring ${ringId.slice(0, 8)}`
        this.#fail(new RingdError('WRONG_RING', `${mine}, and the peer at ${address} to another`, { cause: error }))
        return false
      }
      log.warn({ address, err: error }, 'nobody answers at the address to join by; trying again later')
    }
    return true
  }

  /** Resolves when this peer is a member and its doors may open. */
  serving(): Promise<void> {
    return this.#serving.promise
  }

  /** The newest picture of the ring; undefined before there is one. */
  get view(): RingView | undefined {
    return this.#view
  }

  /** The highest batch of the member's store that this peer has heard of. */
  highestBatchHeard(member: MemberId): number {
    return this.#rollbackGuard.of(member)
  }

  /** How much this peer stores. */
  get totals(): Totals {
    return this.#slotStats.totals
  }

  get storeId(): MemberId {
    return this.#durableRing.storeId
  }

  /**
   * Has this peer leave its ring: it hands over what it holds, then `left` resolves. `force`: also when fewer members
   * remain than there are copies. Resolves when the wish is on disk. Throws TOO_FEW_MEMBERS, NOT_SERVING.
   */
  leave(options: { readonly force: boolean }): Promise<void> {
    return this.#depart({ target: this.storeId, ...options })
  }

  /**
   * Has the ring go on without a member that is dead for good. `force`: also when it is up, too few remain, or what
   * only it holds is lost. Resolves when the wish is on its way. Throws BAD_REQUEST, TOO_FEW_MEMBERS, TOO_FEW_OWNERS,
   * NOT_SERVING.
   */
  remove(member: MemberId, options: { readonly force: boolean }): Promise<void> {
    return member === this.storeId ? this.leave(options) : this.#depart({ target: member, ...options })
  }

  /** Compares this peer with all owners of the range, and heals; without a range, tells how far that is. */
  repair(range?: SlotRange): Promise<RepairReport> {
    return this.#maintenance.report(range)
  }

  async #depart(order: DepartureOrder): Promise<void> {
    await ask<MembershipMessage, undefined>(this.#deps.clock, this.#membership, DEPART_TIMEOUT_MS, (reply) => ({
      type: 'depart',
      order,
      reply
    }))
  }

  /**
   * Answers what was asked, then lets go of everything. Doors must be closed before. The store of one that is out of
   * its ring is a stranger from then on.
   */
  async stop(): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const { clock, network, store, random } = this.#deps
    for (const timer of this.#timers) timer.cancel()
    this.#healer.stop()
    const drain = (reply: (result: undefined | RingdError) => void) => ({ type: 'drain' as const, reply })
    await ask(clock, this.#router, DRAIN_TIMEOUT_MS, drain).catch(() => {})
    await this.#router.stop()
    await this.#migration.stop()
    await this.#handoff.stop()
    await this.#maintenance.stop()
    await this.#detector.stop()
    await this.#membership.stop()
    await network.stop()
    // Now the last answers that somebody waited for are there, or will never be.
    await this.#hints.stop()
    await this.#replica.stop()
    if (this.#isGone) await renounce(store, random, { mayReturn: this.#durableRing.leaving === undefined })
    await store.close()
  }

  /** The documented report on `topic`; `argument` is the key for `where`. Throws NOT_SERVING before there is a ring. */
  async report(topic: NodeTopic, argument: Bytes): Promise<Reports[NodeTopic]> {
    const view = this.#view
    const { network } = this.#deps
    if (topic === 'id') {
      const { storeId, peerId } = this.#durableRing
      const ringId = view?.founding.ringId ?? ''
      return { peerId, storeId, ringId, addresses: network.addresses(), version: this.#options.version }
    }
    if (view === undefined) throw new RingdError('NOT_SERVING')
    if (topic === 'ring') return ringReport(view)
    const input = await this.#reportInput(view)
    return topic === 'where' ? whereReport(input, argument) : statusReport(input)
  }

  async #reportInput(view: RingView): Promise<ReportInput> {
    const { clock, network } = this.#deps
    const health = await ask<DetectorMessage, Health>(clock, this.#detector, REPORT_TIMEOUT_MS, (reply) => ({
      type: 'health',
      reply
    }))
    const addresses = (member: MemberId) => this.#durableRing.ring.records.get(member)?.addresses ?? []
    const isLinked = (member: MemberId) => isMemberLinked(network, view.peerIds, member)
    const leaving = this.#durableRing.leaving !== undefined
    const recovery = this.#recovery.report(view, this.#hearing, clock.elapsed())
    const parts = { totals: this.totals, hints: this.#hintTotals(), surplusSlots: this.#surplusSlots(), recovery }
    return { view, health, addresses, isLinked, leaving, ...parts }
  }

  #spawn<M>(name: string, make: (self: Ref<M>) => Actor<M>): Spawned<M> {
    return spawn(this.#deps, name, make, { onCrash: (error) => this.#fail(error) })
  }

  #buildKeeper(): DurableRing {
    const { identity, network } = this.#deps
    const deps = {
      persist: (writes: readonly MetaWrite[]) => this.#persist(writes),
      onView: (view: RingView) => this.#handleView(view),
      addresses: () => network.addresses(),
      isTrusted: () => this.#rollbackGuard.isTrusted
    }
    const { changesMax } = this.#options
    return new DurableRing(deps, identity.storeId, network.peerId, identity.membership, { changesMax })
  }

  #buildDetector(self: Ref<DetectorMessage>): Detector {
    const onPong = (member: MemberId, pong: Pong) => this.#handlePong(member, pong)
    const onHearing = (hearing: Hearing) => this.#handleHearing(hearing)
    return new Detector({ ...this.#deps, self, onPong, onHearing })
  }

  #buildStorage(): Replica {
    const { replica: records } = this.#deps.identity
    return new Replica({
      ...this.#deps,
      hlc: this.#deps.identity.hlc,
      store: this.#store,
      slotStats: this.#slotStats,
      catchUp: (peerId) => this.#membership.signal({ type: 'catch-up', peerId }),
      refuse: (code, theirView) => this.#durableRing.refuse(code, theirView),
      released: records.released,
      incomplete: records.incomplete,
      bounds: new PurgeBounds(records),
      youngestMs: (this.#options.purgeAfterMs ?? PURGE_AFTER_MS) / 2,
      onDamaged: (key) => void this.#healer.heal(key),
      onDisputed: (key) => this.#healer.resolveDispute(key),
      onLost: (error) => void this.#handleLost(error)
    })
  }

  #buildHints(self: Ref<HintsMessage>): Hints {
    const { hintBytesMax: bytesMax, hintAgeMs: ageMs } = this.#options
    const scan = (range: ScanRange) => this.#store.scan(range)
    const hints = new Hints({ ...this.#deps, replica: this.#replica, scan, self }, { bytesMax, ageMs })
    this.#hintTotals = () => hints.totals
    return hints
  }

  #buildRouter(limits: { readonly maxKeyBytes: number; readonly maxValueBytes: number }): Router {
    const deps = {
      ...this.#deps,
      hlc: this.#deps.identity.hlc,
      replica: this.#replica,
      hints: this.#hints,
      persist: (writes: readonly MetaWrite[]) => this.#persist(writes),
      learned: (knowledge: WireKnowledge) => this.#learned(knowledge)
    }
    return new Router(deps, limits)
  }

  #buildMigration(self: Ref<MigrationMessage>): Migration {
    return new Migration({ ...this.#deps, ...this.#shared(), self }, { limits: BLOCK_LIMITS })
  }

  #buildRetirement(self: Ref<HandoffMessage>): Handoff {
    const { holdDownMs } = this.#options
    return new Handoff({ ...this.#deps, ...this.#shared(), self }, { limits: BLOCK_LIMITS, holdDownMs })
  }

  #buildUpkeep(): Maintenance {
    const { identity } = this.#deps
    const deps = {
      ...this.#deps,
      ...this.#shared(),
      hlc: identity.hlc,
      persist: (writes: readonly MetaWrite[]) => this.#persist(writes),
      totals: () => this.totals,
      onCrash: (error: RingdError) => this.#fail(error)
    }
    const { repairEveryMs: everyMs, scrubMs, purgeAfterMs, purgeEveryMs } = this.#options
    const isReturning = identity.membership.starts > 0
    const repair = { limits: BLOCK_LIMITS, everyMs, isReturning }
    const purge = { afterMs: purgeAfterMs, everyMs: purgeEveryMs }
    return new Maintenance(deps, { repair, purge, scrubMs, scrubProgress: identity.scrub })
  }

  /** What those who move data need of the others. */
  #shared() {
    const learned = (knowledge: WireKnowledge) => this.#learned(knowledge)
    return { replica: this.#replica, membership: this.#membership, learned }
  }

  #buildMembership(self: Ref<MembershipMessage>): Membership {
    const { formerPeers } = this.#deps.identity.membership
    const { membership, leaving } = buildMembership(
      {
        ...this.#deps,
        durableRing: this.#durableRing,
        self,
        onRefused: (error) => this.#fail(error),
        onGone: () => this.#handleGone()
      },
      { ...this.#options, formerPeers }
    )
    this.#surplusSlots = () => leaving.surplusSlots
    return membership
  }

  /** Everyone works by the new picture from its next batch on. */
  #handleView(view: RingView): void {
    this.#view = view
    this.#observe()
    const message = { type: 'view' as const, view }
    this.#rollbackGuard.count(view)
    this.#router.signal(message)
    this.#detector.signal(message)
    if (this.#rollbackGuard.isTrusted) {
      // Storage first: without a view it serves nobody, and the others work by what it takes.
      this.#replica.signal(message)
      this.#hints.signal(message)
      this.#migration.signal(message)
      this.#handoff.signal(message)
      this.#maintenance.view(view)
      this.#healer.begin()
    }
    if (view.isMember) this.#serving.resolve()
  }

  #handlePeer(event: PeerEvent): void {
    this.#membership.signal({ type: 'peer', event })
    if (event.type !== 'up') return
    const member = event.link.storeId
    this.#detector.signal({ type: 'linked', member })
    this.#hints.signal({ type: 'linked', member })
    this.#maintenance.linked(member)
  }

  #handleHearing(hearing: Hearing): void {
    this.#hearing = hearing
    this.#membership.signal({ type: 'hearing', hearing })
    this.#observe()
  }

  /** Also now and then, since what comes last may come too soon to be looked at. */
  #observe(): void {
    if (this.#view !== undefined) this.#recovery.observe(this.#view, this.#hearing, this.#deps.clock.elapsed())
  }

  /** What a member has answered: whether it knows this store by later batches, first of all. */
  #handlePong(member: MemberId, pong: Pong): void {
    if (!this.#rollbackGuard.hear(member, pong)) return this.#handleOutdated()
    if (!this.#rollbackGuard.isTrusted && this.#view !== undefined) this.#handleView(this.#view)
  }

  #pong(from: Link): Pong {
    const view = this.#view
    const ring =
      view === undefined ? { view: 0, ringDigest: '' } : { view: view.number, ringDigest: digestOfView(view) }
    // Before it is trusted it tells no number: what others have heard is to be of its former lives.
    const batch = this.#rollbackGuard.isTrusted ? this.#store.batch : 0
    return { ...ring, ...this.totals, batch, highestBatchHeard: this.#rollbackGuard.of(from.storeId) }
  }

  /** Nobody needs this member any more: it was told to leave, or was removed and comes back as another one. */
  #handleGone(): void {
    this.#isGone = true
    if (this.#durableRing.leaving === undefined) this.#fail(new RingdError('REMOVED'))
    else this.#leave()
  }

  /** An old copy of the data directory: whoever it was, it comes back as somebody new. */
  #handleOutdated(): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#deps.log.error(
      { storeId: this.storeId },
      'the store is an old copy; start it again to rejoin as a new member'
    )
    this.#fail(new RingdError('DATA_DAMAGED', 'others know a later state of this store: it went backwards'))
  }

  /** What it acknowledged is gone: this member ends here, and the store comes back as another one. */
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

  #learned(message: WireKnowledge): void {
    try {
      this.#membership.signal({ type: 'learned', knowledge: knowledgeFromWire(message) })
    } catch (thrown) {
      this.#deps.log.warn({ err: thrown }, 'a refusal taught nonsense')
    }
  }

  #persist(writes: readonly MetaWrite[]): Promise<void> {
    const { clock, log } = this.#deps
    return persist({ clock, log, replica: this.#replica, isStopping: () => this.#stopping }, writes)
  }
}
