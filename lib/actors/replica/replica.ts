// The storage actor: this peer's replica of its slots. Admits operations by the fence, hands writes to its queue
// (write-queue.ts), and is the only one that touches the store.
// Invariants: nothing is acknowledged before it is on disk; a snapshot for a pull is taken after the puller's view is
// known here and all admitted writes are applied, from a slot that was not given up; what is deleted was given up
// before, on disk.
// Source: rules 3 to 5 and 9 of lib/views/README.md.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import type { BlockVersion, StoredEntry } from '../../entry/block.js'
import { checkEnvelope, compareVersions, versionOf, type Envelope } from '../../entry/envelope.js'
import type { HybridClock } from '../../entry/hybrid-clock.js'
import { DATA_KEY_OVERHEAD, dataKey, metaKey, slotOfDataKey, slotScan } from '../../entry/keys.js'
import { isBefore, type PurgeBounds } from '../../entry/purge-bounds.js'
import type { Version } from '../../entry/version.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { PeerId } from '../../member.js'
import type { Metrics } from '../../metrics.js'
import { type Run, runsWithin } from '../../ring/runs.js'
import { SLOTS, type SlotRange, slotOf } from '../../ring/slots.js'
import type { Actor, Reply } from '../../runtime/actor.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { StoreWrite } from '../../storage/store.js'
import { newestConfig } from '../../views/configs.js'
import { EntryReader } from './entry-reader.js'
import { EntryWriter, type Origin } from './entry-writer.js'
import { Fence } from './fence.js'
import { FreeSpace } from './free-space.js'
import { PurgeParticipant } from './purge-participant.js'
import { RepairExchange } from './repair-exchange.js'
import type { RepairCompareMessage, RepairEntriesMessage, RepairVersionsMessage } from './repair-messages.js'
import type {
  CloseMessage,
  CompareMessage,
  FetchMessage,
  OfferMessage,
  PullMessage,
  ReadMessage,
  ReadResult,
  ReplicaMessage,
  WriteMessage
} from './replica-messages.js'
import { writeReleased } from './replica-records.js'
import type { SlotStats } from './slot-stats.js'
import type { WriteBatch } from './write-batch.js'
import { WriteQueue } from './write-queue.js'

export interface ReplicaDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: GuardedStore
  /** Kept up with every write. */
  readonly slotStats: SlotStats
  /** Has membership learn the newer view that this peer knows. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that teaches whoever is behind. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Per slot the config at which this member gave it up. */
  readonly released: Uint32Array
  readonly incomplete: Uint32Array
  readonly bounds: PurgeBounds
  /** Nothing younger is ever closed (default 30 000). */
  readonly youngestMs?: number | undefined
  /** Free bytes below the store; left out where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
  /** Has the other owners asked for the entry of a key that is damaged here; `heal` brings their answer. */
  readonly onDamaged: (key: Bytes) => void
  /** The same for a key on whose entry the owners had agreed and do not any more. */
  readonly onDisputed: (key: Bytes) => void
  /** The store lost what it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

/** Blocks being read for pulls at once: each costs up to two blocks of memory and one iterator. */
const PULLS_MAX = 32
/** Entries deleted in one batch: deleting delays nobody by more than this. */
const DROP_BYTES = 64 * KiB
const BEING_COUNTED = 'the store is being counted'
/** What is gone is remembered for so long at least: late messages come within it. */
const YOUNGEST_MS = 30_000

type Guarded =
  | ReadMessage
  | WriteMessage
  | PullMessage
  | FetchMessage
  | CompareMessage
  | OfferMessage
  | CloseMessage
  | RepairCompareMessage
  | RepairVersionsMessage
  | RepairEntriesMessage

export class Replica implements Actor<ReplicaMessage> {
  readonly #deps: ReplicaDeps
  readonly #reader: EntryReader
  readonly #writer: EntryWriter
  readonly #space: FreeSpace
  readonly #fence: Fence<Guarded>
  readonly #closing: PurgeParticipant
  readonly #queue: WriteQueue
  readonly #repairs: RepairExchange
  #pulls = 0

  constructor(deps: ReplicaDeps) {
    this.#deps = deps
    this.#queue = new WriteQueue(deps)
    const damaged = deps.metrics.counter('ringd_storage_damaged_entries', 'entries whose checksum failed')
    this.#reader = new EntryReader({ ...deps, damaged })
    this.#space = new FreeSpace(deps)
    this.#fence = new Fence<Guarded>(deps, deps, (message) => this.#handle(message))
    const isReleased = (slot: number) => this.#fence.isReleased(slot)
    this.#closing = new PurgeParticipant({
      ...deps,
      fence: this.#fence,
      reader: this.#reader,
      writer: () => this.#writer,
      youngestMs: deps.youngestMs ?? YOUNGEST_MS,
      enqueue: (run) => this.#queue.step(run)
    })
    this.#writer = new EntryWriter({
      ...deps,
      reader: this.#reader,
      isReleased,
      isComplete: (slot) => this.#fence.isComplete(slot),
      sealedBefore: (slot) => this.#closing.sealedBefore(slot),
      onDisputed: deps.onDisputed
    })
    this.#repairs = new RepairExchange({
      ...deps,
      reader: this.#reader,
      isKnown: (slot, version) => this.#writer.isKnown(slot, version),
      isGarbage: (slot, envelope) => deps.bounds.isGarbage(slot, envelope),
      onDisputed: deps.onDisputed,
      knows: (message) => this.#fence.knows(message),
      view: () => this.#fence.view,
      afterAll: (reply, answer) => this.#afterAll(reply, answer),
      merge: (entries, reply) => this.#mergeRepaired(entries, reply)
    })
  }

  receive(batch: readonly ReplicaMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#queue.urge()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#fence.end()
    this.#space.stop()
    return this.#queue.ended()
  }

  #handle(message: ReplicaMessage): void {
    switch (message.type) {
      case 'view':
        return this.#fence.moveTo(message.view)
      case 'read':
        return this.#handleRead(message)
      case 'write':
        return this.#handleWrite(message)
      case 'pull':
        return this.#handlePull(message)
      case 'fetch':
        return this.#handleFetch(message)
      case 'persist':
        return this.#persist(message.writes, message.reply)
      case 'keep':
        return this.#handleKeep(message.writes, message.reply)
      case 'merge':
        if (this.#space.refusal !== undefined) return message.reply(this.#space.refusal)
        return this.#queueMerge(message.entries, 'source', message.reply)
      case 'missing':
        // What is being deleted may still seem to be there.
        return this.#afterAll(message.reply, () =>
          this.#guard(() => this.#reader.missing(message.versions, () => false))
        )
      case 'compare':
        return this.#handleCompare(message)
      case 'offer':
        return this.#handleOffer(message)
      case 'close':
        return this.#handleClose(message)
      case 'inherit':
        return void this.#closing.inherit(message).catch(toRingdError).then(message.reply)
      case 'absent':
        return message.reply(this.#absent(message.beforeMs))
      case 'sums':
        return this.#afterAll(message.reply, () => this.#sums(message.slots))
      case 'surplus':
        return message.reply(this.#surplus())
      case 'release':
        return this.#handleRetire(message.config, message.slots, message.reply)
      case 'heal':
        return this.#step((plan) => this.#writer.heal(plan, message.key, message.resolution), message.reply)
      case 'verify':
        return void this.#reader.verify(message.ranges).catch(toRingdError).then(message.reply)
      case 'holds':
        return void this.#reader.holds(message.ranges).catch(toRingdError).then(message.reply)
      case 'scrub':
        return void this.#reader.scrub(message.after, message.bytes).catch(toRingdError).then(message.reply)
      default:
        return this.#repairs.handle(message)
    }
  }

  #mergeRepaired(entries: readonly StoredEntry[], reply: Reply<undefined>): void {
    if (this.#space.refusal !== undefined) return reply(this.#space.refusal)
    this.#queueMerge(entries, 'repair', reply)
  }

  #handleRead(message: ReadMessage): void {
    const { key, reply } = message
    const slot = slotOf(key)
    if (!this.#fence.admits(message, slot)) return
    reply(this.#guard(() => this.#judged(slot, this.#reader.get(key, dataKey(slot, key)))))
  }

  /** With the bound below which all owners held what this one holds, where that says something; without garbage. */
  #judged(slot: number, envelope: Envelope | undefined): ReadResult {
    const { bounds } = this.#deps
    const closed = bounds.closed[slot]!
    if (closed === 0 || (envelope !== undefined && !isBefore(versionOf(envelope), closed))) return envelope
    if (!this.#fence.isComplete(slot)) return envelope
    return { envelope: envelope && bounds.isGarbage(slot, envelope) ? undefined : envelope, closed }
  }

  #handleWrite(message: WriteMessage): void {
    const { key, envelope, from, repair, confirmedBelow, reply } = message
    const slot = slotOf(key)
    if (!this.#fence.admits(message, slot)) return
    if (from !== undefined && !checkEnvelope(key, envelope)) return reply(new RingdError('BAD_ENTRY'))
    if (this.#deps.hlc.isTooFarAhead(versionOf(envelope))) return reply(new RingdError('CLOCK_SKEW'))
    this.#deps.hlc.observeVersion(versionOf(envelope))
    const { refusal } = this.#space
    if (refusal !== undefined) return reply(this.#answerWhenFull(refusal, slot, message))
    if (this.#queue.isFull) return reply(new RingdError('OVERLOADED', 'the disk is behind'))
    const stored = dataKey(slot, key)
    const origin = repair === true ? 'owner' : 'client'
    const plan = (group: WriteBatch) => {
      const newer = this.#writer.apply(group, stored, envelope, origin, confirmedBelow)
      return () => reply(newer)
    }
    this.#queue.add({ bytes: key.length + envelope.length, plan, fail: reply })
  }

  /** What is there already needs no room: else reads that repair would fail, though a quorum holds what they found. */
  #answerWhenFull(
    refusal: RingdError,
    slot: number,
    { key, envelope }: WriteMessage
  ): Version | RingdError | undefined {
    const held = this.#guard(() => this.#reader.get(key, dataKey(slot, key)))
    if (held === undefined || held instanceof RingdError) return refusal
    const order = compareVersions(held, envelope)
    if (order < 0) return refusal
    return order === 0 ? undefined : versionOf(held)
  }

  /** What makes room is taken always. */
  #handleKeep(writes: readonly StoreWrite[], reply: Reply<undefined>): void {
    let bytes = 0
    for (const write of writes) if (write.type === 'put') bytes += write.key.length + write.value.length
    if (bytes > 0 && this.#space.refusal !== undefined) return reply(this.#space.refusal)
    if (bytes > 0 && this.#queue.isFull) return reply(new RingdError('OVERLOADED'))
    this.#step((plan) => void plan.writes.push(...writes), reply, bytes)
  }

  #handlePull(message: PullMessage): void {
    if (!this.#fence.knows(message)) return
    if (this.#pulls >= PULLS_MAX) return message.reply(new RingdError('OVERLOADED', 'too many pulls at once'))
    this.#pulls += 1
    const { config, ranges, view, from } = message
    // What this peer was ready for when the snapshot is taken: asked before it, readiness only grows.
    const ready = this.#isReady(config, ranges)
    const refusal = () => (from === undefined ? undefined : this.#fence.refusesPull(config, ranges, view))
    const applied: Reply<undefined> = (result) => {
      const error = result instanceof RingdError ? result : refusal()
      const block = error === undefined ? this.#reader.block(message) : Promise.reject(error)
      void block
        // Given up while it was read: the block may lack what was deleted meanwhile.
        .then((read) => refusal() ?? { ...read, ready, ...this.#fencesFor(message) })
        .catch(toRingdError)
        .then((answer) => {
          this.#pulls -= 1
          message.reply(answer)
        })
    }
    this.#barrier(applied)
  }

  /** A puller takes the bounds over before it takes anything else. */
  #fencesFor({ after, ranges }: PullMessage): { closing: readonly Run[]; closed: readonly Run[] } {
    const { closing, closed } = this.#deps.bounds
    if (after !== undefined) return { closing: [], closed: [] }
    return { closing: runsWithin(closing, ranges), closed: runsWithin(closed, ranges) }
  }

  #handleClose(message: CloseMessage): void {
    if (!this.#fence.knows(message)) return
    if (this.#space.refusal !== undefined) return message.reply(this.#space.refusal)
    const closed = async () => this.#closing.close(message)
    void closed().catch(toRingdError).then(message.reply)
  }

  #handleFetch(message: FetchMessage): void {
    if (!this.#fence.knows(message)) return
    const { config, view, keys, from } = message
    const slots = keys
      .filter((key) => key.length > DATA_KEY_OVERHEAD)
      .map((key) => slotOf(key.subarray(DATA_KEY_OVERHEAD)))
    const ranges = slots.map((slot) => ({ first: slot, last: slot }))
    const refusal = from === undefined ? undefined : this.#fence.refusesPull(config, ranges, view)
    message.reply(refusal ?? this.#guard(() => this.#reader.fetch(keys)))
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

  #handleOffer(message: OfferMessage): void {
    if (!this.#fence.knows(message)) return
    const { config, versions, entries, view, reply } = message
    for (const { dataKey: stored } of [...versions, ...entries]) {
      const refusal = this.#fence.refusesOwner(config, slotOf(stored.subarray(DATA_KEY_OVERHEAD)), view)
      if (refusal !== undefined) return reply(refusal)
    }
    if (this.#space.refusal !== undefined) return reply(this.#space.refusal)
    const merged: Reply<undefined> = (result) =>
      reply(result instanceof RingdError ? result : this.#guard(() => this.#missing(versions)))
    this.#queueMerge(entries, 'owner', merged)
  }

  #queueMerge(entries: readonly StoredEntry[], origin: Origin, reply: Reply<undefined>): void {
    this.#queue.addBehind({ bytes: 0, plan: (group) => this.#planMerge(group, entries, origin, reply), fail: reply })
  }

  #planMerge(plan: WriteBatch, entries: readonly StoredEntry[], origin: Origin, reply: Reply<undefined>): () => void {
    // A transfer that came too late for its slot: nobody may believe that it arrived.
    if (entries.some((entry) => this.#fence.isReleased(slotOfDataKey(entry.dataKey)))) {
      return () => reply(new RingdError('NOT_OWNER'))
    }
    let sealed: RingdError | undefined
    for (const { dataKey: stored, envelope } of entries) {
      const result = this.#writer.apply(plan, stored, envelope, origin)
      if (result instanceof RingdError && result.code === 'OVERLOADED') sealed = result
    }
    return () => reply(sealed)
  }

  #persist(writes: readonly MetaWrite[], reply: Reply<undefined>): void {
    this.#step((plan) => {
      for (const { name, value } of writes) plan.fact(metaKey(name), value)
    }, reply)
  }

  /** Replies when everything before it is applied. */
  #barrier(reply: Reply<undefined>): void {
    this.#step(() => {}, reply)
  }

  #step(run: (plan: WriteBatch) => void, reply: Reply<undefined>, bytes = 0): void {
    const plan = (group: WriteBatch) => {
      run(group)
      return () => reply(undefined)
    }
    this.#queue.add({ bytes, plan, fail: reply })
  }

  #missing(versions: readonly BlockVersion[]): readonly Bytes[] {
    return this.#reader.missing(versions, (slot, version) => this.#writer.isKnown(slot, version))
  }

  #absent(beforeMs: number): readonly number[] | RingdError {
    const { slotStats } = this.#deps
    return slotStats.isComplete ? slotStats.slotsGoneBefore(beforeMs) : new RingdError('NOT_SERVING', BEING_COUNTED)
  }

  #handleRetire(config: number, slots: readonly number[], reply: Reply<undefined>): void {
    if (!this.#fence.release(config, slots)) return reply(new RingdError('STALE_VIEW', 'the slots have moved again'))
    const writes = [writeReleased(this.#fence.released)]
    const persisted: Reply<undefined> = (result) => {
      if (result instanceof RingdError) reply(result)
      else
        void this.#dropAll(slots).then(
          () => reply(undefined),
          (thrown) => reply(toRingdError(thrown))
        )
    }
    this.#persist(writes, persisted)
  }

  /** Deletes everything in the slots, batch by batch. */
  async #dropAll(slots: readonly number[]): Promise<void> {
    for (const slot of slots) {
      const scan = this.#deps.store.scan(slotScan(slot, slot))
      try {
        for (;;) {
          const found = await scan.next(DROP_BYTES)
          if (found.length === 0) break
          await this.#queue.step((plan) => {
            for (const [stored] of found) this.#writer.dropRetired(plan, stored)
          })
        }
      } finally {
        await scan.close()
      }
    }
  }

  #sums(slots: readonly number[]): Bytes | RingdError {
    const { slotStats } = this.#deps
    return slotStats.isComplete ? slotStats.sums.encode(slots) : new RingdError('NOT_SERVING', BEING_COUNTED)
  }

  #surplus(): readonly number[] | RingdError {
    const { view } = this.#fence
    const { slotStats } = this.#deps
    if (view === undefined || !slotStats.isComplete) return new RingdError('NOT_SERVING', BEING_COUNTED)
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) {
      if (slotStats.sums.count(slot) === 0) continue
      if (!newestConfig(view.configs.windows[slot]!).owners.includes(view.self)) slots.push(slot)
    }
    return slots
  }

  /** Replies when everything that was taken before is applied. */
  #afterAll<T>(reply: Reply<T>, answer: () => T | RingdError): void {
    const applied: Reply<undefined> = (result) => reply(result instanceof RingdError ? result : answer())
    this.#barrier(applied)
  }

  #isReady(config: number, ranges: readonly SlotRange[]): boolean {
    const { view } = this.#fence
    const ready = view?.readiness.get(view.self)
    if (ready === undefined) return false
    return ranges.every(({ first, last }) => ready.subarray(first, last + 1).every((begin) => begin === config))
  }

  #guard<T>(read: () => T): T | RingdError {
    if (this.#queue.isRecovering) return new RingdError('STORE_FAILED')
    try {
      return read()
    } catch (thrown) {
      return toRingdError(thrown)
    }
  }
}
