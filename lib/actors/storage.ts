// The storage actor: this peer's replica of its slots. Admits operations by the fence, groups all waiting writes into
// one synced batch, and is the only one that touches the store.
// Invariants: nothing is acknowledged before it is on disk; a snapshot for a pull is taken after the puller's view is
// known here and all admitted writes are applied, from a slot that was not given up; what is deleted was given up
// before, on disk.
// Source: rules 3 to 5 and 9 of lib/views/README.md.
import type { Actor, Reply } from '../actor/actor.js'
import type { Bytes } from '../bytes.js'
import type { Clock } from '../clock.js'
import { checkEnvelope, versionOf } from '../entry/envelope.js'
import type { HybridClock } from '../entry/hybrid-clock.js'
import { DATA_KEY_OVERHEAD, dataKey, metaKey, slotScan } from '../entry/keys.js'
import { RingdError, toRingdError } from '../errors.js'
import { KiB, MiB } from '../limits.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Histogram, Metrics } from '../metrics.js'
import { SLOTS, type SlotRange, slotOf } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'
import { newestConfig } from '../views/configs.js'
import { EntryReader } from './entry-reader.js'
import { EntryWriter } from './entry-writer.js'
import { Fence } from './fence.js'
import { GroupPlan } from './group-plan.js'
import { type MetaWrite, writeRetired } from './membership-disk.js'
import { RepairDesk } from './repair-desk.js'
import type { RepairCompareMessage, RepairEntriesMessage, RepairVersionsMessage } from './repair-messages.js'
import { SpaceWatch } from './space-watch.js'
import type {
  CompareMessage,
  FetchMessage,
  OfferMessage,
  PullMessage,
  ReadMessage,
  StorageMessage,
  StoredEntry,
  WriteMessage
} from './storage-messages.js'
import type { Tally } from './tally.js'

export interface StorageDeps {
  readonly clock: Clock
  readonly hlc: HybridClock
  readonly log: Logger
  readonly metrics: Metrics
  readonly store: GuardedStore
  /** Kept up with every write. */
  readonly tally: Tally
  /** Has membership learn the newer view that this peer knows. */
  readonly catchUp: (peerId: PeerId) => void
  /** A refusal that teaches whoever is behind. */
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Per slot the config at which this member gave it up. */
  readonly retired: Uint32Array
  /** Free bytes below the store; left out where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
  /** Has the other owners asked for the entry of a key that is damaged here; `heal` brings their answer. */
  readonly onDamaged: (key: Bytes) => void
  /** The store lost what it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

/** One synced batch holds at most this: more lengthens every wait, less costs fsyncs. */
const GROUP_BYTES_MAX = 4 * MiB
/** Values waiting for their fsync. Beyond, writes are refused. */
const PENDING_BYTES_MAX = 128 * MiB
/** Blocks being read for pulls at once: each costs up to two blocks of memory and one iterator. */
const PULLS_MAX = 32
/** Entries deleted in one batch: deleting delays nobody by more than this. */
const DROP_BYTES = 64 * KiB
const RECOVER_REPEAT_MS = 1000

type Guarded =
  | ReadMessage
  | WriteMessage
  | PullMessage
  | FetchMessage
  | CompareMessage
  | OfferMessage
  | RepairCompareMessage
  | RepairVersionsMessage
  | RepairEntriesMessage
interface Merge {
  readonly kind: 'merge'
  readonly entries: readonly StoredEntry[]
  /** Brought by repair, not by a transfer or a hand-over. */
  readonly isRepair?: boolean
  readonly reply: Reply<undefined>
}

type Pending =
  | { readonly kind: 'write'; readonly stored: Bytes; readonly message: WriteMessage }
  | Merge
  | {
      readonly kind: 'heal'
      readonly key: Bytes
      readonly envelope: Bytes | undefined
      readonly reply: Reply<undefined>
    }
  | { readonly kind: 'persist'; readonly writes: readonly MetaWrite[]; readonly reply: Reply<undefined> }
  /** Deletes what is stored under these keys, in slots that were given up. */
  | { readonly kind: 'drop'; readonly keys: readonly Bytes[]; readonly reply: Reply<undefined> }
  /** Replies when everything before it is applied. */
  | { readonly kind: 'barrier'; readonly reply: Reply<undefined> }

export class Storage implements Actor<StorageMessage> {
  readonly #deps: StorageDeps
  readonly #groupSize: Histogram
  readonly #reader: EntryReader
  readonly #writer: EntryWriter
  readonly #space: SpaceWatch
  readonly #fence: Fence<Guarded>
  readonly #repairs: RepairDesk
  #pending: Pending[] = []
  /** Wait behind operations: one in each batch at most, so that a transfer delays nobody by more than a block. */
  readonly #merges: Merge[] = []
  #pendingBytes = 0
  #flushing = false
  #flushed = Promise.resolve()
  #hasEnded = false
  #recovering = false
  #pulls = 0

  constructor(deps: StorageDeps) {
    this.#deps = deps
    this.#groupSize = deps.metrics.histogram('ringd_storage_group_writes', 'writes in one synced batch')
    const damaged = deps.metrics.counter('ringd_storage_damaged_entries', 'entries whose checksum failed')
    this.#reader = new EntryReader({ ...deps, damaged })
    this.#space = new SpaceWatch(deps)
    this.#fence = new Fence<Guarded>(deps, deps.retired, (message) => this.#handle(message))
    const isRetired = (slot: number) => this.#fence.isRetired(slot)
    this.#writer = new EntryWriter({ ...deps, reader: this.#reader, isRetired })
    this.#repairs = new RepairDesk({
      ...deps,
      reader: this.#reader,
      knows: (message) => this.#fence.knows(message),
      view: () => this.#fence.view,
      afterAll: (reply, answer) => this.#afterAll(reply, answer),
      merge: (entries, reply) => this.#mergeRepaired(entries, reply)
    })
    this.#count()
  }

  /** While no batch is being written. Until it is done nothing is said of what the slots hold. */
  #count(): void {
    const { tally, store, log } = this.#deps
    tally.countAll(store).catch((thrown) => log.warn({ err: thrown }, 'entries could not be counted'))
  }

  receive(batch: readonly StorageMessage[]): void {
    for (const message of batch) this.#handle(message)
    this.#urge()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#hasEnded = true
    this.#fence.end()
    this.#space.stop()
    return this.#flushed
  }

  #handle(message: StorageMessage): void {
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
        return this.#queue({ kind: 'persist', writes: message.writes, reply: message.reply }, 0)
      case 'merge':
        if (this.#space.refusal !== undefined) return message.reply(this.#space.refusal)
        return void this.#merges.push({ kind: 'merge', entries: message.entries, reply: message.reply })
      case 'missing':
        return message.reply(this.#guard(() => this.#reader.missing(message.versions)))
      case 'compare':
        return this.#handleCompare(message)
      case 'offer':
        return this.#handleOffer(message)
      case 'sums':
        return this.#afterAll(message.reply, () => this.#sums(message.slots))
      case 'surplus':
        return message.reply(this.#surplus())
      case 'retire':
        return this.#handleRetire(message.config, message.slots, message.reply)
      case 'heal':
        return this.#queue({ kind: 'heal', key: message.key, envelope: message.envelope, reply: message.reply }, 0)
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
    this.#merges.push({ kind: 'merge', entries, isRepair: true, reply })
  }

  #handleRead(message: ReadMessage): void {
    const { key, reply } = message
    const slot = slotOf(key)
    if (!this.#fence.admits(message, slot)) return
    reply(this.#guard(() => this.#reader.get(key, dataKey(slot, key))))
  }

  #handleWrite(message: WriteMessage): void {
    const { key, envelope, from, reply } = message
    const slot = slotOf(key)
    if (!this.#fence.admits(message, slot)) return
    if (from !== undefined && !checkEnvelope(key, envelope)) return reply(new RingdError('BAD_ENTRY'))
    if (this.#deps.hlc.isTooFarAhead(versionOf(envelope))) return reply(new RingdError('CLOCK_SKEW'))
    this.#deps.hlc.observeVersion(versionOf(envelope))
    if (this.#space.refusal !== undefined) return reply(this.#space.refusal)
    if (this.#pendingBytes > PENDING_BYTES_MAX) return reply(new RingdError('OVERLOADED', 'the disk is behind'))
    this.#queue({ kind: 'write', stored: dataKey(slot, key), message }, key.length + envelope.length)
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
        .then((read) => refusal() ?? { ...read, ready }, toRingdError)
        .then((answer) => {
          this.#pulls -= 1
          message.reply(answer)
        })
    }
    this.#queue({ kind: 'barrier', reply: applied }, 0)
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
      reply(result instanceof RingdError ? result : this.#guard(() => this.#reader.missing(versions)))
    this.#merges.push({ kind: 'merge', entries, reply: merged })
  }

  #handleRetire(config: number, slots: readonly number[], reply: Reply<undefined>): void {
    if (!this.#fence.retire(config, slots)) return reply(new RingdError('STALE_VIEW', 'the slots have moved again'))
    const writes = [writeRetired(this.#fence.retired)]
    const persisted: Reply<undefined> = (result) => {
      if (result instanceof RingdError) reply(result)
      else
        void this.#dropAll(slots).then(
          () => reply(undefined),
          (thrown) => reply(toRingdError(thrown))
        )
    }
    this.#queue({ kind: 'persist', writes, reply: persisted }, 0)
  }

  /** Deletes everything in the slots, batch by batch. */
  async #dropAll(slots: readonly number[]): Promise<void> {
    for (const slot of slots) {
      const scan = this.#deps.store.scan(slotScan(slot, slot))
      try {
        for (;;) {
          const found = await scan.next(DROP_BYTES)
          if (found.length === 0) break
          await new Promise<void>((resolve, reject) => {
            const reply: Reply<undefined> = (result) => (result instanceof RingdError ? reject(result) : resolve())
            this.#queue({ kind: 'drop', keys: found.map(([stored]) => stored), reply }, 0)
            this.#urge()
          })
        }
      } finally {
        await scan.close()
      }
    }
  }

  #sums(slots: readonly number[]): Bytes | RingdError {
    const { tally } = this.#deps
    return tally.isComplete ? tally.sums.encode(slots) : new RingdError('NOT_SERVING', 'the store is being counted')
  }

  #surplus(): readonly number[] | RingdError {
    const { view } = this.#fence
    const { tally } = this.#deps
    if (view === undefined || !tally.isComplete) return new RingdError('NOT_SERVING', 'the store is being counted')
    const slots: number[] = []
    for (let slot = 0; slot < SLOTS; slot++) {
      if (tally.sums.count(slot) === 0) continue
      if (!newestConfig(view.configs.windows[slot]!).owners.includes(view.self)) slots.push(slot)
    }
    return slots
  }

  /** Replies when everything that was taken before is applied. */
  #afterAll<T>(reply: Reply<T>, answer: () => T | RingdError): void {
    const applied: Reply<undefined> = (result) => reply(result instanceof RingdError ? result : answer())
    this.#queue({ kind: 'barrier', reply: applied }, 0)
  }

  #isReady(config: number, ranges: readonly SlotRange[]): boolean {
    const { view } = this.#fence
    const ready = view?.readiness.get(view.self)
    if (ready === undefined) return false
    return ranges.every(({ first, last }) => ready.subarray(first, last + 1).every((begin) => begin === config))
  }

  #guard<T>(read: () => T): T | RingdError {
    if (this.#recovering) return new RingdError('STORE_FAILED')
    try {
      return read()
    } catch (thrown) {
      return toRingdError(thrown)
    }
  }

  #queue(pending: Pending, bytes: number): void {
    this.#pendingBytes += bytes
    this.#pending.push(pending)
  }

  #urge(): void {
    if (this.#pending.length + this.#merges.length > 0 && !this.#flushing) this.#flushed = this.#flush()
  }

  /** Turns everything that waits into synced batches, one after the other, until nothing waits. */
  async #flush(): Promise<void> {
    this.#flushing = true
    while (this.#pending.length + this.#merges.length > 0) {
      const group = this.#takeGroup()
      for (const answer of await this.#writeGroup(group)) answer()
    }
    this.#flushing = false
  }

  /** Writes the group as one batch; returns how to answer each. Never throws: a failed write is answered, too. */
  async #writeGroup(group: readonly Pending[]): Promise<readonly (() => void)[]> {
    const plan = new GroupPlan()
    try {
      if (this.#recovering) throw this.#deps.store.failure ?? new RingdError('STORE_FAILED')
      const answers = group.map((pending) => this.#plan(plan, pending))
      if (plan.writes.length > 0) await this.#deps.store.write(plan.writes)
      this.#groupSize.observe(plan.writes.length)
      for (const { stored, before, after } of plan.changes()) this.#deps.tally.change(stored, before, after)
      return answers
    } catch (thrown) {
      const error = toRingdError(thrown)
      if (!this.#recovering) void this.#recover(error)
      return group.map((pending) => () => replyOf(pending)(error))
    }
  }

  #takeGroup(): Pending[] {
    const { length } = this.#pending
    let taken = 0
    let bytes = 0
    while (taken < length && bytes < GROUP_BYTES_MAX) bytes += sizeOf(this.#pending[taken++]!)
    const group = taken === length ? this.#pending : this.#pending.slice(0, taken)
    this.#pending = taken === length ? [] : this.#pending.slice(taken)
    for (const pending of group) this.#pendingBytes -= sizeOf(pending)
    const merge = this.#merges.shift()
    return merge === undefined ? group : [...group, merge]
  }

  /** Adds to the batch what must be written; returns how to answer once it is on disk. */
  #plan(plan: GroupPlan, pending: Pending): () => void {
    switch (pending.kind) {
      case 'write': {
        const { key, envelope, reply } = pending.message
        const newer = this.#writer.apply(plan, key, pending.stored, envelope)
        return () => reply(newer instanceof RingdError ? newer : newer && versionOf(newer))
      }
      case 'merge':
        // A transfer that came too late for its slot: nobody may believe that it arrived.
        if (pending.entries.some((entry) => this.#fence.isRetired(slotOf(entry.dataKey.subarray(DATA_KEY_OVERHEAD))))) {
          return () => pending.reply(new RingdError('NOT_OWNER'))
        }
        for (const { dataKey: stored, envelope } of pending.entries) {
          const key = stored.subarray(DATA_KEY_OVERHEAD)
          if (pending.isRepair) this.#writer.repair(plan, key, stored, envelope)
          else this.#writer.apply(plan, key, stored, envelope)
        }
        return () => pending.reply(undefined)
      case 'persist':
        for (const { name, value } of pending.writes) plan.fact(metaKey(name), value)
        return () => pending.reply(undefined)
      case 'heal':
        this.#writer.heal(plan, pending.key, pending.envelope)
        return () => pending.reply(undefined)
      case 'drop':
        for (const stored of pending.keys) this.#writer.dropRetired(plan, stored)
        return () => pending.reply(undefined)
      case 'barrier':
        return () => pending.reply(undefined)
    }
  }

  /** After a failed write: reopens until the store is what was acknowledged, or is lost. */
  async #recover(error: RingdError): Promise<void> {
    const { store, log, clock, onLost } = this.#deps
    this.#recovering = true
    log.error({ err: error }, 'the disk refused a write; reopening the store')
    while (!this.#hasEnded) {
      try {
        await store.recover()
        this.#count()
        this.#recovering = false
        log.info({}, 'the store is whole and takes writes again')
        return
      } catch (thrown) {
        const cause = toRingdError(thrown)
        if (cause.code === 'DATA_DAMAGED') return onLost(cause)
        log.warn({ err: cause }, 'the store cannot be reopened yet')
      }
      await new Promise<void>((resolve) => void clock.after(RECOVER_REPEAT_MS, resolve))
    }
  }
}

function sizeOf(pending: Pending): number {
  return pending.kind === 'write' ? pending.message.key.length + pending.message.envelope.length : 0
}

function replyOf(pending: Pending): (error: RingdError) => void {
  return pending.kind === 'write' ? pending.message.reply : pending.reply
}
