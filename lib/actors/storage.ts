// The storage actor: this peer's replica of its slots. Admits operations by the fence, groups all waiting writes into
// one synced batch, and is the only one that touches the store.
// Invariants: nothing is acknowledged before it is on disk; an operation of an older config than the newest known one
// of its slot is refused; a snapshot for a pull is taken after the puller's view is known here and all admitted writes
// are applied.
// Source: rules 3 to 5 of lib/views/README.md.
import type { Actor, Reply } from '../actor/actor.js'
import { asBuffer, type Bytes } from '../bytes.js'
import type { Clock, Timer } from '../clock.js'
import type { Block, BlockVersion } from '../entry/block.js'
import { checkEnvelope, compareVersions, versionOf } from '../entry/envelope.js'
import type { HybridClock } from '../entry/hybrid-clock.js'
import { DATA_KEY_OVERHEAD, dataKey, metaKey } from '../entry/keys.js'
import type { Version } from '../entry/version.js'
import { RingdError, toRingdError } from '../errors.js'
import { MiB } from '../limits.js'
import type { Logger } from '../logger.js'
import type { PeerId } from '../member.js'
import type { Histogram, Metrics } from '../metrics.js'
import { type SlotRange, slotOf } from '../ring/slots.js'
import type { GuardedStore } from '../storage/guarded-store.js'
import { newestConfig } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'
import { EntryReader, type FetchedBlock } from './entry-reader.js'
import { GroupPlan } from './group-plan.js'
import type { MetaWrite } from './membership-disk.js'
import { SpaceWatch } from './space-watch.js'
import type { Tally } from './tally.js'

export type StorageMessage =
  /** A newer picture of the ring: the fence from now on. */
  | { readonly type: 'view'; readonly view: RingView }
  | ReadMessage
  | WriteMessage
  | PullMessage
  | FetchMessage
  /** Facts of other actors; on disk when it replies. */
  | { readonly type: 'persist'; readonly writes: readonly MetaWrite[]; readonly reply: Reply<undefined> }
  /** Entries that a transfer brought: merged by version, on disk when it replies. No fence: versions make it safe. */
  | { readonly type: 'merge'; readonly entries: readonly StoredEntry[]; readonly reply: Reply<undefined> }
  /** Which of these versions are newer than what is stored here; replies with their stored keys. */
  | { readonly type: 'missing'; readonly versions: readonly BlockVersion[]; readonly reply: Reply<readonly Bytes[]> }
  /** Whether anything is stored in these slots. */
  | { readonly type: 'holds'; readonly ranges: readonly SlotRange[]; readonly reply: Reply<boolean> }

interface ReadMessage {
  readonly type: 'read'
  /** The view of the router, and who can tell more of it; undefined for this peer's own router. */
  readonly view: number
  readonly from: PeerId | undefined
  readonly key: Bytes
  readonly reply: Reply<Bytes | undefined>
}

interface WriteMessage {
  readonly type: 'write'
  readonly view: number
  readonly from: PeerId | undefined
  readonly key: Bytes
  readonly envelope: Bytes
  /** The stored version when that is newer, so that nothing was written. */
  readonly reply: Reply<Version | undefined>
}

interface PullMessage {
  readonly type: 'pull'
  readonly view: number
  readonly from: PeerId
  readonly config: number
  readonly ranges: readonly SlotRange[]
  readonly after: Bytes | undefined
  readonly versionsOnly: boolean
  readonly reply: Reply<PulledBlock>
}

interface FetchMessage {
  readonly type: 'fetch'
  readonly view: number
  readonly from: PeerId
  /** Stored keys. */
  readonly keys: readonly Bytes[]
  readonly reply: Reply<FetchedBlock>
}

export interface StoredEntry {
  readonly dataKey: Bytes
  readonly envelope: Bytes
}

export interface PulledBlock extends Block {
  readonly last: boolean
  readonly ready: boolean
}

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
  /** What a router that is behind lacks, as a refusal. */
  readonly staleView: (theirView: number) => RingdError
  /** Free bytes below the store; left out where space has no end. */
  readonly freeBytes?: (() => Promise<number>) | undefined
  /** The store lost what it had acknowledged: this member must not speak again. */
  readonly onLost: (error: RingdError) => void
}

/** What a replica answers with the fence in its way waits so long for the newer view. */
const BEHIND_TIMEOUT_MS = 2000
const HELD_MAX = 10_000
/** One synced batch holds at most this: more lengthens every wait, less costs fsyncs. */
const GROUP_BYTES_MAX = 4 * MiB
/** Values waiting for their fsync. Beyond, writes are refused. */
const PENDING_BYTES_MAX = 128 * MiB
/** Blocks being read for pulls at once: each costs up to two blocks of memory and one iterator. */
const PULLS_MAX = 32
const RECOVER_REPEAT_MS = 1000

type Fenced = ReadMessage | WriteMessage | PullMessage | FetchMessage
interface Merge {
  readonly kind: 'merge'
  readonly entries: readonly StoredEntry[]
  readonly reply: Reply<undefined>
}

type Pending =
  | { readonly kind: 'write'; readonly stored: Bytes; readonly message: WriteMessage }
  | Merge
  | { readonly kind: 'persist'; readonly writes: readonly MetaWrite[]; readonly reply: Reply<undefined> }
  /** Replies when everything before it is applied. */
  | { readonly kind: 'barrier'; readonly reply: Reply<undefined> }

export class Storage implements Actor<StorageMessage> {
  readonly #deps: StorageDeps
  readonly #groupSize: Histogram
  readonly #reader: EntryReader
  readonly #space: SpaceWatch
  #view: RingView | undefined
  #held: { readonly message: Fenced; readonly deadline: number }[] = []
  #heldTimer: Timer | undefined
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
    deps.tally.countAll(deps.store).catch((thrown) => deps.log.warn({ err: thrown }, 'entries could not be counted'))
  }

  receive(batch: readonly StorageMessage[]): void {
    for (const message of batch) this.#handle(message)
    if (this.#pending.length + this.#merges.length > 0 && !this.#flushing) this.#flushed = this.#flush()
  }

  /** Resolves when everything taken is answered: only then may the store be closed. */
  ended(): Promise<void> {
    this.#hasEnded = true
    this.#heldTimer?.cancel()
    this.#space.stop()
    for (const { message } of this.#held.splice(0)) message.reply(new RingdError('STOPPED'))
    return this.#flushed
  }

  #handle(message: StorageMessage): void {
    switch (message.type) {
      case 'view':
        return this.#handleView(message.view)
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
      case 'holds':
        return void this.#reader.holds(message.ranges).catch(toRingdError).then(message.reply)
      default:
        message satisfies never
    }
  }

  #handleView(view: RingView): void {
    this.#view = view
    const held = this.#held
    this.#held = []
    for (const waiting of held) {
      if (waiting.message.view > view.number) this.#held.push(waiting)
      else this.#handle(waiting.message)
    }
  }

  #handleRead(message: ReadMessage): void {
    const { key, reply } = message
    const slot = slotOf(key)
    if (!this.#admits(message, slot)) return
    reply(this.#guard(() => this.#reader.get(key, dataKey(slot, key))))
  }

  #handleWrite(message: WriteMessage): void {
    const { key, envelope, from, reply } = message
    const slot = slotOf(key)
    if (!this.#admits(message, slot)) return
    if (from !== undefined && !checkEnvelope(key, envelope)) return reply(new RingdError('BAD_ENTRY'))
    if (this.#deps.hlc.isTooFarAhead(versionOf(envelope))) return reply(new RingdError('CLOCK_SKEW'))
    this.#deps.hlc.observeVersion(versionOf(envelope))
    if (this.#space.refusal !== undefined) return reply(this.#space.refusal)
    if (this.#pendingBytes > PENDING_BYTES_MAX) return reply(new RingdError('OVERLOADED', 'the disk is behind'))
    this.#queue({ kind: 'write', stored: dataKey(slot, key), message }, key.length + envelope.length)
  }

  #handlePull(message: PullMessage): void {
    if (!this.#knows(message)) return
    if (this.#pulls >= PULLS_MAX) return message.reply(new RingdError('OVERLOADED', 'too many pulls at once'))
    this.#pulls += 1
    // What this peer was ready for when the snapshot is taken: asked before it, readiness only grows.
    const ready = this.#isReady(message.config, message.ranges)
    const applied: Reply<undefined> = (result) => {
      const block = result instanceof RingdError ? Promise.reject(result) : this.#reader.block(message)
      void block
        .then((read) => ({ ...read, ready }), toRingdError)
        .then((answer) => {
          this.#pulls -= 1
          message.reply(answer)
        })
    }
    this.#queue({ kind: 'barrier', reply: applied }, 0)
  }

  #handleFetch(message: FetchMessage): void {
    if (!this.#knows(message)) return
    message.reply(this.#guard(() => this.#reader.fetch(message.keys)))
  }

  /** The fence for one slot: serves now, refuses, or holds the message until the newer view is known. */
  #admits(message: Fenced, slot: number): boolean {
    if (!this.#knows(message)) return false
    if (newestConfig(this.#view!.configs.windows[slot]!).begin <= message.view) return true
    message.reply(this.#deps.staleView(message.view))
    return false
  }

  /** Whether the view of the message is known here; otherwise it is held, and membership catches up. */
  #knows(message: Fenced): boolean {
    if (this.#view === undefined) {
      message.reply(new RingdError('NOT_SERVING'))
      return false
    }
    if (message.view <= this.#view.number) return true
    if (this.#held.length >= HELD_MAX) {
      message.reply(new RingdError('OVERLOADED', 'too many requests wait for a newer view'))
      return false
    }
    if (message.from !== undefined && this.#held.length === 0) this.#deps.catchUp(message.from)
    this.#held.push({ message, deadline: this.#deps.clock.elapsed() + BEHIND_TIMEOUT_MS })
    this.#heldTimer ??= this.#deps.clock.after(BEHIND_TIMEOUT_MS, () => this.#refuseHeld())
    return false
  }

  #refuseHeld(): void {
    const now = this.#deps.clock.elapsed()
    const late = this.#held.filter(({ deadline }) => deadline <= now)
    this.#held = this.#held.filter(({ deadline }) => deadline > now)
    this.#heldTimer = undefined
    const next = this.#held[0]
    if (next !== undefined) this.#heldTimer = this.#deps.clock.after(next.deadline - now, () => this.#refuseHeld())
    for (const { message } of late) message.reply(new RingdError('BEHIND'))
  }

  #isReady(config: number, ranges: readonly SlotRange[]): boolean {
    const ready = this.#view?.readiness.get(this.#view.self)
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
        const newer = this.#apply(plan, key, pending.stored, envelope)
        return () => reply(newer && versionOf(newer))
      }
      case 'merge':
        for (const { dataKey: stored, envelope } of pending.entries) {
          this.#apply(plan, stored.subarray(DATA_KEY_OVERHEAD), stored, envelope)
        }
        return () => pending.reply(undefined)
      case 'persist':
        for (const { name, value } of pending.writes) plan.fact(metaKey(name), value)
        return () => pending.reply(undefined)
      case 'barrier':
        return () => pending.reply(undefined)
    }
  }

  /** Plans the entry unless a newer one is there, which it returns then. */
  #apply(plan: GroupPlan, key: Bytes, stored: Bytes, envelope: Bytes): Bytes | undefined {
    const name = asBuffer(stored).toString('latin1')
    const before = plan.planned(name) ?? this.#reader.get(key, stored)
    if (before !== undefined) {
      const order = compareVersions(before, envelope)
      if (order > 0) return before
      if (order === 0) return undefined
    }
    plan.put(name, stored, before, envelope)
    return undefined
  }

  /** After a failed write: reopens until the store is what was acknowledged, or is lost. */
  async #recover(error: RingdError): Promise<void> {
    const { store, log, clock, onLost } = this.#deps
    this.#recovering = true
    log.error({ err: error }, 'the disk refused a write; reopening the store')
    while (!this.#hasEnded) {
      try {
        await store.recover()
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
