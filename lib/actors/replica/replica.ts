// The replica actor: this member's entries, and the answers for them. Admits operations by the fence, hands writes to
// its queue (write-queue.ts), and is the only actor that touches the store.
// Invariant: nothing is acknowledged before it is on disk. README.md lists the orders that must never change.
// Source: rules 3 to 5 and 9 of lib/views/README.md.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import type { Conditions } from '../../conditions.js'
import type { StoredEntry } from '../../entry/block.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import type { PurgeBounds } from '../../entry/purge-bounds.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { LargeWork } from '../../large-work.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Metrics } from '../../metrics.js'
import type { Actor, Reply } from '../../runtime/actor.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { StoreWrite } from '../../storage/store.js'
import { SkewWarning } from '../skew-warning.js'
import type { AgreedMoment } from './agreed-moment.js'
import { batchListener } from './batch-listener.js'
import type { DiskSpeed } from './disk-speed.js'
import { EntryMemory } from './entry-memory.js'
import { EntryReader } from './entry-reader.js'
import { EntryWriter } from './entry-writer.js'
import { Fence } from './fence.js'
import { type FencedMessage, sizeOf } from './fenced-message.js'
import { type Ballast, FreeSpace } from './free-space.js'
import { FreshSlots } from './fresh-slots.js'
import { MergeRequests } from './merge-requests.js'
import { Promises } from './promises.js'
import { PullSource } from './pull-source.js'
import { PurgeParticipant } from './purge-participant.js'
import { ReadRequests } from './read-requests.js'
import { Reclaim } from './reclaim.js'
import { RepairExchange } from './repair-exchange.js'
import type { CloseMessage, CompareMessage, ReplicaMessage, StandingPromise } from './replica-messages.js'
import { SlotRelease, type SlotReleaseDeps } from './slot-release.js'
import { SlotSeals } from './slot-seals.js'
import { notCounted, type SlotStats } from './slot-stats.js'
import { TallyRequests, type TallyRequestsDeps } from './tally-requests.js'
import type { WriteBatch } from './write-batch.js'
import { WriteQueue } from './write-queue.js'
import { WriteRequests } from './write-requests.js'

export interface ReplicaDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: GuardedStore
  /** Kept up with every write. */
  readonly slotStats: SlotStats
  /** Lets membership learn a newer view from the peer that knows it. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that carries what this peer knows of the ring, for a sender that is behind. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Per slot: the config at which this member released it. */
  readonly released: Uint32Array
  /** Per slot, 1: entries were dropped for a pull that may not have ended. */
  readonly incomplete: Uint32Array
  /** The promises on disk; left out: none. */
  readonly promises?: readonly StandingPromise[] | undefined
  readonly bounds: PurgeBounds
  /** No moment younger than this is ever closed; ms (default 30 000). */
  readonly youngestMs?: number | undefined
  /** Free bytes on the disk of the store; left out where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
  /** The room that is kept beside the store; left out: none. */
  readonly ballast?: Ballast | undefined
  /** Told whether room on the disk is running out, each time that this changes. */
  readonly onShort?: ((isShort: boolean) => void) | undefined
  readonly conditions?: Conditions | undefined
  /** The turns of large reads. Left out: each turn of the event loop is one. */
  readonly largeWork?: LargeWork | undefined
  /** Carried by each batch, and told of it. Left out: nothing is. */
  readonly agreedMoment?: AgreedMoment | undefined
  readonly diskSpeed?: DiskSpeed | undefined
  /** Lets the other owners be asked for the entry of a key that is damaged here. A `heal` message brings the answer. */
  readonly onDamaged: (key: Bytes) => void
  /** The same for a key on which owners contradict each other below a bound where they had agreed. */
  readonly onDisputed: (key: Bytes) => void
  /** See MergeRequestsDeps. Left out: nobody is told. */
  readonly onRepaired?: ((source: MemberId, entries: readonly StoredEntry[]) => void) | undefined
  /** The store lost a write that it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

/** Tombstones and expired values are kept at least this long: late messages are expected to come within it. */
const YOUNGEST_MS = 30_000

/** This member's entries. Decides what may be served, and passes each message to the part that serves it. */
export class Replica implements Actor<ReplicaMessage> {
  readonly #deps: ReplicaDeps
  readonly #reader: EntryReader
  readonly #reads: ReadRequests
  readonly #promises: Promises
  readonly #memory: EntryMemory
  readonly #writer: EntryWriter
  readonly #writes: WriteRequests
  readonly #space: FreeSpace
  readonly #fence: Fence<FencedMessage>
  readonly #purge: PurgeParticipant
  readonly #pulls: PullSource
  readonly #release: SlotRelease
  readonly #queue: WriteQueue
  readonly #fresh: FreshSlots
  readonly #merges: MergeRequests
  readonly #repair: RepairExchange
  readonly #reclaim: Reclaim
  readonly #tallies: TallyRequests

  constructor(deps: ReplicaDeps) {
    const { store, log, metrics, slotStats, bounds, onDamaged } = deps
    this.#deps = deps
    this.#space = new FreeSpace({ ...deps, upkeepBytes: () => store.upkeepBytes() })
    this.#promises = new Promises(deps, deps.promises ?? [])
    this.#memory = new EntryMemory(deps.hlc.latestMs)
    const batches = batchListener(this.#promises, this.#memory, slotStats)
    this.#queue = new WriteQueue({ ...deps, batches, onExhausted: () => this.#space.exhausted() })
    const damaged = metrics.counter('ringd_storage_damaged_entries', 'entries whose checksum failed')
    this.#reader = new EntryReader({ store, log, damaged, onDamaged })
    this.#fence = new Fence<FencedMessage>(deps, deps, (message) => this.#handle(message), sizeOf)
    const seals = new SlotSeals(deps.clock)
    this.#fresh = new FreshSlots(slotStats)
    this.#writer = this.#buildWriter(seals)
    this.#reclaim = new Reclaim({ ...deps, space: this.#space })
    this.#merges = this.#buildMerges()
    this.#purge = new PurgeParticipant({
      hlc: deps.hlc,
      store,
      slotStats,
      bounds,
      seals,
      fence: this.#fence,
      reader: this.#reader,
      writer: this.#writer,
      queue: this.#queue,
      youngestMs: deps.youngestMs ?? YOUNGEST_MS
    })
    this.#reads = new ReadRequests({
      clock: deps.clock,
      fence: this.#fence,
      reader: this.#reader,
      bounds,
      memory: this.#memory,
      isReadable: () => this.#queue.isReadable,
      largeWork: deps.largeWork
    })
    this.#writes = this.#buildWrites(seals)
    this.#pulls = new PullSource({
      fence: this.#fence,
      reader: this.#reader,
      bounds,
      promises: this.#promises,
      memory: this.#memory,
      barrier: (reply) => this.#barrier(reply),
      sums: (slots) => this.#sums(slots),
      guard: (read) => this.#guard(read)
    })
    const persist: SlotReleaseDeps['persist'] = (writes, reply) => this.#persist(writes, reply)
    const known = { promises: this.#promises, memory: this.#memory }
    const parts = { fence: this.#fence, writer: this.#writer, queue: this.#queue, ...known }
    this.#release = new SlotRelease({ store, slotStats, ...parts, persist })
    this.#repair = this.#buildRepair()
    const afterAll: TallyRequestsDeps['afterAll'] = (reply, answer) => this.#afterAll(reply, answer)
    this.#tallies = new TallyRequests({ slotStats, fence: this.#fence, refuse: deps.refuse, afterAll })
  }

  #buildWriter(seals: SlotSeals): EntryWriter {
    const { store, log, bounds, onDisputed } = this.#deps
    return new EntryWriter({
      store,
      reader: this.#reader,
      log,
      fence: this.#fence,
      bounds,
      seals,
      fresh: this.#fresh,
      promises: this.#promises,
      memory: this.#memory,
      onDisputed
    })
  }

  #buildMerges(): MergeRequests {
    const deps = this.#deps
    return new MergeRequests({
      clock: deps.clock,
      hlc: deps.hlc,
      space: this.#space,
      queue: this.#queue,
      fence: this.#fence,
      writer: this.#writer,
      fresh: this.#fresh,
      reader: this.#reader,
      memory: this.#memory,
      guard: (read) => this.#guard(read),
      skew: new SkewWarning(deps),
      leftOut: deps.metrics.counter('ringd_repair_ahead_entries', 'entries of the future that repair has left out'),
      onRepaired: deps.onRepaired ?? (() => {})
    })
  }

  #buildWrites(seals: SlotSeals): WriteRequests {
    return new WriteRequests({
      hlc: this.#deps.hlc,
      fence: this.#fence,
      space: this.#space,
      queue: this.#queue,
      writer: this.#writer,
      reader: this.#reader,
      reads: this.#reads,
      bounds: this.#deps.bounds,
      seals,
      promises: this.#promises,
      memory: this.#memory,
      guard: (read) => this.#guard(read)
    })
  }

  #buildRepair(): RepairExchange {
    const { store, metrics, slotStats, bounds, onDisputed, refuse } = this.#deps
    return new RepairExchange({
      store,
      slotStats,
      metrics,
      bounds,
      fence: this.#fence,
      reader: this.#reader,
      writer: this.#writer,
      refuse,
      onDisputed,
      afterAll: (reply, answer) => this.#afterAll(reply, answer),
      merge: (entries, member, reply) => this.#merges.takeRepaired(entries, member, reply)
    })
  }

  receive(batch: readonly ReplicaMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#queue.urge()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#fence.end()
    this.#reads.end()
    this.#reclaim.end()
    this.#space.stop()
    return this.#queue.ended()
  }

  #handle(message: ReplicaMessage): void {
    switch (message.type) {
      case 'view':
        return this.#fence.moveTo(message.view)
      case 'read':
        return this.#reads.take(message)
      case 'write':
        return this.#writes.write(message)
      case 'prepare':
        return this.#writes.prepare(message)
      case 'pull':
        return this.#pulls.pull(message)
      case 'snapshot':
        return this.#pulls.snapshot(message)
      case 'fetch':
        return this.#pulls.fetch(message)
      case 'persist':
        return this.#persist(message.writes, message.reply)
      case 'keep':
        return this.#handleKeep(message.writes, message.reply)
      case 'merge':
        return this.#merges.take(message.entries, 'source', message.reply, message.pull)
      case 'pulled':
        return this.#merges.pulled(message)
      case 'begin-pull':
        return this.#afterAll(message.reply, () => this.#fresh.begin(message.slots))
      case 'end-pull':
        return this.#fresh.end(message.pull)
      case 'watch':
        return this.#merges.watch(message.slots, message.reply)
      case 'missing':
        // After all writes: an entry that is being deleted must not count as held.
        return this.#afterAll(message.reply, () =>
          this.#guard(() => this.#reader.missing(message.versions, () => false))
        )
      case 'compare':
        return this.#handleCompare(message)
      case 'offer':
        return this.#merges.offer(message)
      case 'close':
        return this.#handleClose(message)
      case 'tally':
        return this.#tallies.take(message)
      case 'inherit':
        return void this.#purge.inherit(message).catch(toRingdError).then(message.reply)
      case 'absent':
        return message.reply(this.#absent(message.beforeMs))
      case 'promises':
        return message.reply(
          this.#promises.olderThan(message.olderThanMs, message.limit, (slot) => this.#fence.isAsked(slot))
        )
      case 'sums':
        return this.#afterAll(message.reply, () => this.#sums(message.slots))
      case 'surplus':
        return message.reply(this.#release.surplus())
      case 'release':
        return this.#release.release(message.config, message.slots, message.reply)
      case 'heal':
        return this.#writes.heal(message.key, message.resolution, message.reply)
      case 'holds':
        return void this.#reader.holds(message.ranges).catch(toRingdError).then(message.reply)
      case 'scrub':
        return void this.#reader.scrub(message.after, message.bytes).catch(toRingdError).then(message.reply)
      default:
        return this.#repair.handle(message)
    }
  }

  /** Deletions of hints are always taken, because they make room. */
  #handleKeep(writes: readonly StoreWrite[], reply: Reply<undefined>): void {
    let bytes = 0
    for (const write of writes) if (write.type === 'put') bytes += write.key.length + write.value.length
    const refusal = bytes > 0 ? this.#space.admit('value', bytes) : undefined
    if (refusal !== undefined) return reply(refusal)
    if (bytes > 0 && this.#queue.isFull) return reply(new RingdError('OVERLOADED'))
    this.#step((batch) => void batch.writes.push(...writes), reply, bytes)
  }

  #handleClose(message: CloseMessage): void {
    if (!this.#fence.knows(message)) return
    const closed = async () => this.#purge.close(message)
    void closed().catch(toRingdError).then(message.reply)
  }

  #handleCompare(message: CompareMessage): void {
    if (!this.#fence.knows(message)) return
    const { config, slots, view, reply } = message
    for (const slot of slots) {
      const refusal = this.#fence.refusesOwner(config, slot, view)
      if (refusal !== undefined) return reply(refusal)
    }
    this.#afterAll(reply, () => this.#sums(slots))
  }

  #persist(writes: readonly MetaWrite[], reply: Reply<undefined>): void {
    this.#step((batch) => {
      for (const write of writes) batch.record(write)
    }, reply)
  }

  /** Replies when every write that was taken before is on disk. */
  #barrier(reply: Reply<undefined>): void {
    this.#step(() => {}, reply)
  }

  #step(run: (batch: WriteBatch) => void, reply: Reply<undefined>, bytes = 0): void {
    const addTo = (batch: WriteBatch) => {
      run(batch)
      return () => reply(undefined)
    }
    this.#queue.add({ bytes, addTo, fail: reply })
  }

  #absent(beforeMs: number): readonly number[] | RingdError {
    const { slotStats } = this.#deps
    return slotStats.isComplete ? slotStats.slotsAbsentBefore(beforeMs) : notCounted()
  }

  #sums(slots: readonly number[]): Bytes | RingdError {
    const { slotStats } = this.#deps
    return slotStats.isComplete ? slotStats.sums.encode(slots) : notCounted()
  }

  /** Answers when every write that was taken before is on disk. */
  #afterAll<T>(reply: Reply<T>, answer: () => T | RingdError): void {
    const applied: Reply<undefined> = (result) => reply(result instanceof RingdError ? result : answer())
    this.#barrier(applied)
  }

  /** Runs a read; what it throws is returned. STORE_FAILED while the store is being opened again. */
  #guard<T>(read: () => T): T | RingdError {
    if (!this.#queue.isReadable) return new RingdError('STORE_FAILED')
    try {
      return read()
    } catch (thrown) {
      return toRingdError(thrown)
    }
  }
}
