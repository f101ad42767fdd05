// Builds the actors of one node and wires them to each other. Part of the node.
// Each actor gets only the members that it uses. Actors reach each other through mailboxes. What concerns the node
// itself (a new view, a pong, a lost store) goes to `NodeEvents`. The order of start and stop belongs to node.ts.

import type { Admission } from '../actors/admission.js'
import { Detector, type DetectorMessage, type Reach } from '../actors/detector.js'
import { EntryHealer } from '../actors/entry-healer.js'
import { Hints, type HintTotals } from '../actors/hints/hints.js'
import type { HintsMessage } from '../actors/hints/hints-messages.js'
import { DurableRing } from '../actors/membership/durable-ring.js'
import type { Leaving } from '../actors/membership/leaving.js'
import type { Membership } from '../actors/membership/membership.js'
import type { MembershipMessage } from '../actors/membership/membership-messages.js'
import { ClientPulse } from '../actors/migration/client-pulse.js'
import { Handoff, type HandoffMessage } from '../actors/migration/handoff.js'
import { Migration, type MigrationMessage } from '../actors/migration/migration.js'
import { Pace, type Paced } from '../actors/migration/pace.js'
import { ASKS_BYTES_MAX } from '../actors/migration/pull-frames.js'
import { servePull } from '../actors/migration/source-stream.js'
import { Transfers } from '../actors/migration/transfers.js'
import { PURGE_AFTER_MS } from '../actors/purge.js'
import { AgreedMoment } from '../actors/replica/agreed-moment.js'
import { DiskSpeed } from '../actors/replica/disk-speed.js'
import { Replica } from '../actors/replica/replica.js'
import type { ReplicaMessage, Totals } from '../actors/replica/replica-messages.js'
import { SlotStats } from '../actors/replica/slot-stats.js'
import { Router } from '../actors/router/router.js'
import { settleKey } from '../actors/router/router-client.js'
import type { RouterMessage } from '../actors/router/router-messages.js'
import type { Bytes } from '../bytes.js'
import { Conditions } from '../conditions.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { FORMAT_LIMITS, type StoredEntry, tallyOf } from '../entry/block.js'
import { slotOfDataKey } from '../entry/keys.js'
import { PurgeBounds } from '../entry/purge-bounds.js'
import type { RingdError } from '../errors.js'
import type { MemberId } from '../member.js'
import type { Link } from '../network/network.js'
import type { AskTransfers, Pong, ToldTransfers, Knowledge as WireKnowledge } from '../network/wire.js'
import { type Actor, type Ref, type Spawned, spawn } from '../runtime/actor.js'
import { GuardedStore } from '../storage/guarded-store.js'
import type { MetaWrite } from '../storage/meta.js'
import { type MoveLimit, rateOf } from '../views/move-limit.js'
import type { RingView } from '../views/ring-view.js'
import { knowledgeFromWire } from '../views/wire-codec.js'
import { buildMembership } from './build-membership.js'
import { ClockWatch } from './clock-watch.js'
import { DurableWrites } from './durable-writes.js'
import { Maintenance } from './maintenance.js'
import type { NodeDeps, NodeOptions } from './node-options.js'
import { toldToWire } from './ring-transfers.js'
import { RollbackGuard } from './rollback-guard.js'
import { gatherSourceSizes } from './source-sizes.js'

/** Events that the actors report to the node itself. */
export interface NodeEvents {
  /** A newer view, configs or readiness; it is on disk. */
  readonly onView: (view: RingView) => void
  /** A member has answered a ping that was sent at this moment; monotonic ms. */
  readonly onPong: (member: MemberId, pong: Pong, askedAt: number) => void
  /** The detector tells which members are heard and which are down. */
  readonly onHearing: (hearing: Hearing) => void
  /** The detector tells which members cannot talk with this peer on their own link. */
  readonly onReach: (reach: Reach) => void
  /** This member is out of the ring, and no other member needs it any more. */
  readonly onDeparted: () => void
  /** The store lost writes that it had acknowledged. */
  readonly onLost: (error: RingdError) => void
  /** The node cannot go on: an actor crashed, the ring refused this peer, or a file of the store is damaged. */
  readonly onFailed: (error: RingdError) => void
}

export interface KeyValueLimits {
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

const NO_HINTS: HintTotals = { entries: 0, bytes: 0 }

/**
 * All actors of one node, running. An actor may hold on to another one that is built after it: nothing is sent before
 * the constructor has returned.
 *
 * Two actors have other names in metrics and logs than in the code: 'storage' is the replica, 'retirement' is the
 * handoff. Those names are the label `actor` of the mailbox metrics, and dashboards rely on them.
 */
export class NodeActors {
  readonly store: GuardedStore
  /** What is wrong with this peer itself. */
  readonly conditions: Conditions
  readonly slotStats = new SlotStats()
  readonly diskSpeed: DiskSpeed
  readonly clockWatch: ClockWatch
  readonly rollbackGuard: RollbackGuard
  readonly durableRing: DurableRing
  readonly durableWrites: DurableWrites
  readonly replica: Spawned<ReplicaMessage>
  readonly hints: Spawned<HintsMessage>
  readonly router: Spawned<RouterMessage>
  readonly healer: EntryHealer
  readonly membership: Spawned<MembershipMessage>
  readonly migration: Spawned<MigrationMessage>
  readonly handoff: Spawned<HandoffMessage>
  readonly maintenance: Maintenance
  readonly detector: Spawned<DetectorMessage>
  /** How quickly data moves from and to this peer. */
  readonly pace: Pace
  /** By which this peer takes data. */
  readonly transfers: Transfers
  readonly #pulse: ClientPulse
  readonly #deps: NodeDeps
  readonly #options: NodeOptions
  readonly #events: NodeEvents
  readonly #agreedMoment: AgreedMoment
  #hasLowSpace = false
  #hintTotals: () => HintTotals = () => NO_HINTS
  #leaving: Leaving | undefined

  constructor(deps: NodeDeps, options: NodeOptions, limits: KeyValueLimits, events: NodeEvents) {
    this.#deps = deps
    this.#options = options
    this.#events = events
    const { clock, log, metrics, damaged } = deps
    this.store = new GuardedStore(deps.store)
    this.conditions = deps.conditions ?? new Conditions({ log, metrics })
    const { identity, network, signer } = deps
    const { conditions } = this
    this.diskSpeed = new DiskSpeed({ clock, metrics, conditions })
    const { ringTime, hlc } = identity
    this.#agreedMoment = new AgreedMoment(ringTime, () => clock.elapsed())
    const clocks = { clock, ringTime, hlc, agreedMoment: this.#agreedMoment }
    this.clockWatch = new ClockWatch({ ...clocks, log, metrics, conditions, persist: this.#persist })
    this.rollbackGuard = new RollbackGuard(
      { signer, log, peerId: network.peerId, storeId: identity.storeId },
      { openedWith: this.store.batch, isNew: identity.membership.starts === 0 }
    )
    this.durableRing = this.#buildDurableRing()
    this.#pulse = new ClientPulse(clock)
    this.pace = new Pace({ clock, pulse: this.#pulse })
    this.pace.limit = rateOf(identity.membership.ring.limit)
    this.transfers = this.#buildTransfers()
    this.replica = this.#spawn('storage', () => this.#buildReplica())
    this.durableWrites = new DurableWrites({ clock, log, replica: this.replica })
    this.hints = this.#spawn('hints', (self) => this.#buildHints(self))
    this.router = this.#spawn('router', () => this.#buildRouter(limits))
    const toHeal = damaged === undefined ? {} : { damaged }
    this.healer = new EntryHealer({ clock, log, metrics, router: this.router, replica: this.replica, ...toHeal })
    this.membership = this.#spawn('membership', (self) => this.#buildMembership(self))
    this.migration = this.#spawn('migration', (self) => this.#buildMigration(self))
    this.handoff = this.#spawn('retirement', (self) => this.#buildHandoff(self))
    this.maintenance = this.#buildMaintenance()
    this.detector = this.#spawn('detector', (self) => this.#buildDetector(self))
  }

  /** How much this peer stores. */
  get totals(): Totals {
    return this.slotStats.totals
  }

  get hintTotals(): HintTotals {
    return this.#hintTotals()
  }

  /** Bytes that came in a second in the present or last move; undefined when nothing came. */
  get pullPace(): number | undefined {
    return this.transfers.bytesPerSecond
  }

  /** Room on the disk of this peer is running out. */
  get hasLowSpace(): boolean {
    return this.#hasLowSpace
  }

  /** Slots that are stored here and belong to others; null while that is not known. */
  get surplusSlots(): number | null {
    return this.#leaving?.surplusSlots ?? null
  }

  #spawn<M>(name: string, make: (self: Ref<M>) => Actor<M>): Spawned<M> {
    return spawn(this.#deps, name, make, { onCrash: this.#events.onFailed })
  }

  #buildDurableRing(): DurableRing {
    const { identity, network, signer } = this.#deps
    const deps = {
      signer,
      persist: this.#persist,
      onView: this.#events.onView,
      onLimit: (limit: MoveLimit) => {
        this.pace.limit = rateOf(limit)
      },
      addresses: () => network.addresses(),
      isTrusted: () => this.rollbackGuard.isTrusted
    }
    const { changesMax, ring } = this.#options
    return new DurableRing(deps, identity.storeId, network.peerId, identity.membership, { changesMax, ring })
  }

  #buildReplica(): Replica {
    const { clock, log, metrics, freeBytes, ballast, largeWork, identity } = this.#deps
    const records = identity.replica
    return new Replica({
      clock,
      hlc: identity.hlc,
      log,
      metrics,
      freeBytes,
      ballast,
      onShort: (isShort) => this.#handleShort(isShort),
      conditions: this.conditions,
      largeWork,
      agreedMoment: this.#agreedMoment,
      diskSpeed: this.diskSpeed,
      store: this.store,
      slotStats: this.slotStats,
      catchUp: (peerId) => this.membership.signal({ type: 'catch-up', peerId }),
      refuse: (code, theirView) => this.durableRing.refuse(code, theirView),
      released: records.released,
      promises: identity.promises,
      incomplete: records.incomplete,
      bounds: new PurgeBounds(records),
      youngestMs: (this.#options.purgeAfterMs ?? PURGE_AFTER_MS) / 2,
      onDamaged: (key) => void this.healer.heal(key),
      onDisputed: (key) => this.healer.resolveDispute(key),
      onRepaired: (source, entries) => this.#noteRepaired(source, entries),
      onLost: this.#events.onLost
    })
  }

  #handleShort(isShort: boolean): void {
    this.#hasLowSpace = isShort
    this.router.signal({ type: 'room', member: this.durableRing.storeId, isShort })
  }

  #buildHints(self: Ref<HintsMessage>): Hints {
    const { clock, log, metrics, network, identity } = this.#deps
    const { hintBytesMax: bytesMax, hintAgeMs: ageMs } = this.#options
    const { replica } = this
    const { ringTime } = identity
    const scan: GuardedStore['scan'] = (range) => this.store.scan(range)
    const deps = { clock, ringTime, log, metrics, network, replica, scan, self }
    const hints = new Hints(deps, { bytesMax, ageMs })
    this.#hintTotals = () => hints.totals
    return hints
  }

  #buildRouter(limits: KeyValueLimits): Router {
    const { clock, random, log, metrics, network, identity } = this.#deps
    const { replica, hints, diskSpeed } = this
    const { hlc, ringTime } = identity
    const clocks = { clock, random, hlc, ringTime, diskSpeed }
    const felt = (tookMs: number) => this.#pulse.ended(tookMs)
    const rest = { log, metrics, network, replica, hints, persist: this.#persist, learned: this.#learned, felt }
    const deps = { ...clocks, ...rest }
    return new Router(deps, limits)
  }

  #buildMembership(self: Ref<MembershipMessage>): Membership {
    const { clock, random, log, metrics, network, signer, identity } = this.#deps
    const { onFailed: onRefused, onDeparted } = this.#events
    const { durableRing } = this
    const { formerPeers, rescue } = identity.membership
    const { ringTime, hlc } = identity
    const time = { mayJoin: () => this.clockWatch.isInformed, now: () => ringTime.now() }
    const limitTime = {
      now: () => ringTime.agreedMs(),
      isAhead: (ms: number) => hlc.isAhead(ms),
      get isKnown() {
        return ringTime.isInformed && ringTime.verdict.state !== 'doubtful'
      }
    }
    const { membership, leaving } = buildMembership(
      { clock, random, log, metrics, network, signer, durableRing, self, ...time, limitTime, onRefused, onDeparted },
      { ...this.#options, formerPeers, rescue }
    )
    this.#leaving = leaving
    return membership
  }

  #buildMigration(self: Ref<MigrationMessage>): Migration {
    const { clock, random, log, metrics, network, compression } = this.#deps
    const { replica, membership, router } = this
    const settles = this.#options.settleAfterMs !== 0
    const settle = settles ? (key: Bytes) => settleKey(clock, router, key) : undefined
    const pace: Paced = (bytes, ended) => this.pace.take(bytes, ended)
    const { transfers } = this
    const rest = { replica, membership, transfers, learned: this.#learned, pace, settle, self }
    const deps = { clock, random, log, metrics, network, compression, ...rest }
    return new Migration(deps, { limits: FORMAT_LIMITS })
  }

  #buildTransfers(): Transfers {
    const { clock, log, metrics, identity } = this.#deps
    const { slotStats } = this
    const seams = { clock, log, metrics, self: identity.storeId, persist: this.#persist }
    return new Transfers(
      {
        ...seams,
        causeOf: (config) => this.durableRing.causeOf(config),
        paceHeldBy: () => this.pace.heldBy,
        sizesOf: (view, slots) => gatherSourceSizes(this.maintenance.tallies, view, slots),
        bytesHere: (slot) => (slotStats.isComplete ? slotStats.room.liveIn(slot) : 0)
      },
      identity.transfers
    )
  }

  #noteRepaired(source: MemberId, entries: readonly StoredEntry[]): void {
    const { count, checksum } = tallyOf(entries)
    const bytes = entries.reduce((sum, { dataKey, envelope }) => sum + dataKey.length + envelope.length, 0)
    const slots = new Set(entries.map(({ dataKey }) => slotOfDataKey(dataKey)))
    this.transfers.repaired({ source, slots, entries: count, bytes, checksum })
  }

  /** Serves the pull streams of other members. Call it before the network starts. */
  servePulls(admission: Pick<Admission, 'refusalOf'>): void {
    const { clock, network, compression, metrics } = this.#deps
    const refusal = (from: Link, view: number) => admission.refusalOf(from, 'pull', view)
    const pace: Paced = (bytes, ended) => this.pace.take(bytes, ended)
    const bytes = metrics.counter('ringd_migration_sent_bytes', 'bytes of entries and versions for others that copy')
    const entries = metrics.counter('ringd_migration_sent_entries', 'entries for others that copy')
    const sent = (count: number, size: number): void => {
      entries.add(count)
      bytes.add(size)
    }
    const source = { clock, replica: this.replica, compression, refusal, pace, sent }
    network.serveBlocks(ASKS_BYTES_MAX, (stream) => servePull(source, stream))
  }

  #buildHandoff(self: Ref<HandoffMessage>): Handoff {
    const { clock, log, metrics, network } = this.#deps
    const { replica, membership } = this
    const { holdDownMs } = this.#options
    const isMoving = () => this.pace.isMoving
    const rest = { learned: this.#learned, isMoving, withinLimit: this.#withinLimit, self }
    return new Handoff(
      { clock, log, metrics, network, replica, membership, ...rest },
      { limits: FORMAT_LIMITS, holdDownMs }
    )
  }

  #buildMaintenance(): Maintenance {
    const { clock, random, log, metrics, network, store, identity } = this.#deps
    const { repairEveryMs: everyMs, scrubMs, settleAfterMs, purgeAfterMs, purgeEveryMs } = this.#options
    const deps = {
      clock,
      random,
      ringTime: identity.ringTime,
      log,
      metrics,
      network,
      store,
      replica: this.replica,
      router: this.router,
      learned: this.#learned,
      persist: this.#persist,
      withinLimit: this.#withinLimit,
      totals: () => this.totals,
      onCrash: this.#events.onFailed
    }
    const isReturning = identity.membership.starts > 0
    const repair = { limits: FORMAT_LIMITS, everyMs, isReturning }
    const purge = { afterMs: purgeAfterMs, everyMs: purgeEveryMs }
    return new Maintenance(deps, { repair, purge, scrubMs, settleAfterMs, scrubProgress: identity.scrub })
  }

  #buildDetector(self: Ref<DetectorMessage>): Detector {
    const { clock, random, log, metrics, network } = this.#deps
    const { onPong, onHearing, onReach } = this.#events
    return new Detector({ clock, random, log, metrics, network, onPong, onHearing, onReach, self })
  }

  /** Hands the knowledge that came with a refusal to membership. A peer that sends nonsense stops no actor. */
  readonly #learned = (message: WireKnowledge): void => {
    try {
      this.membership.signal({ type: 'learned', knowledge: knowledgeFromWire(message) })
    } catch (thrown) {
      this.#deps.log.warn({ err: thrown }, 'a refusal carried ring knowledge that cannot be read; ignored')
    }
  }

  readonly tellTransfers = (ask: AskTransfers): ToldTransfers => toldToWire(this.transfers, ask)

  /** For what moves entries and is no pull. */
  readonly #withinLimit: Paced = (bytes, ended) => this.pace.takeWithinLimit(bytes, ended)

  readonly #persist = (writes: readonly MetaWrite[]): Promise<void> => this.durableWrites.persist(writes)
}
