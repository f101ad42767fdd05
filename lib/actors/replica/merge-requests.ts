// Takes the entries that other peers send in blocks: pulls, handoffs and repair. Part of the replica.
// Invariants: no entry of a block is stored when one of them has a fault. An entry that a promise keeps out counts as
// taken nowhere: a pull is told of it, a handoff is refused, and repair finds it again in its next round.
// Source: rules 5, A11 and A12 of lib/views/README.md.
import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import type { StoredEntry } from '../../entry/block.js'
import { type AheadOfClock, faultOfAll, faultOfVersions, versionFault, withoutAhead } from '../../entry/entry-format.js'
import { isAbsent, orderTo } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, slotOfDataKey } from '../../entry/keys.js'
import type { Version } from '../../entry/version.js'
import { isPromisedAbove } from '../../entry/write-rule.js'
import { RingdError } from '../../errors.js'
import type { MemberId } from '../../member.js'
import type { Counter } from '../../metrics.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { SkewWarning } from '../skew-warning.js'
import type { EntryMemory } from './entry-memory.js'
import type { EntryReader } from './entry-reader.js'
import type { EntryWriter, Origin } from './entry-writer.js'
import type { Fence } from './fence.js'
import type { FreeSpace } from './free-space.js'
import type { FreshSlots } from './fresh-slots.js'
import {
  type FreshPull,
  LACKING_MAX,
  type OfferMessage,
  type PulledMessage,
  type StandingPromise
} from './replica-messages.js'
import type { WriteBatch } from './write-batch.js'
import type { WriteQueue } from './write-queue.js'

export interface MergeRequestsDeps {
  readonly clock: Clock
  readonly hlc: AheadOfClock
  readonly space: Pick<FreeSpace, 'admit'>
  readonly queue: Pick<WriteQueue, 'add' | 'addBehind'>
  readonly fence: Pick<Fence<OfferMessage>, 'isReleased' | 'knows' | 'refusesOwner'>
  readonly writer: Pick<EntryWriter, 'apply' | 'take' | 'isKnown' | 'plannedName' | 'planned'>
  readonly reader: Pick<EntryReader, 'missing' | 'sound'>
  readonly memory: Pick<EntryMemory, 'forgetSlots'>
  /** See PullSourceDeps. */
  readonly guard: <T>(read: () => T) => T | RingdError
  readonly fresh: Pick<FreshSlots, 'watch'>
  readonly skew: Pick<SkewWarning, 'failed'>
  /** Counts the entries of the future. */
  readonly leftOut: Counter
  /** Entries that repair brought from this owner are on disk. */
  readonly onRepaired: (source: MemberId, entries: readonly StoredEntry[]) => void
}

/** Most blocks meet no promise. */
const NONE: StandingPromise[] = []

export class MergeRequests {
  readonly #deps: MergeRequestsDeps

  constructor(deps: MergeRequestsDeps) {
    this.#deps = deps
  }

  /** These slots are going to be pulled: from now on it is known which of them hold nothing. */
  watch(slots: readonly number[], reply: Reply<undefined>): void {
    const addTo = (batch: WriteBatch) => {
      this.#deps.fresh.watch(slots, batch)
      return () => reply(undefined)
    }
    this.#deps.queue.add({ bytes: 0, addTo, fail: reply })
  }

  /**
   * Stores the entries, whoever asked for them. On a full disk it stores only the absent ones, because the owners must
   * agree on them before they can be purged; then the reply is DISK_FULL.
   */
  take(
    entries: readonly StoredEntry[],
    origin: Origin,
    reply: Reply<readonly StandingPromise[]>,
    pull?: FreshPull
  ): void {
    const { clock, hlc, space } = this.#deps
    const fault = faultOfAll(entries, hlc)
    if (fault !== undefined) return reply(fault)
    const full = space.admit('value', bytesOf(entries))
    if (full === undefined) return this.#add(entries, origin, reply, pull)
    const absent = entries.filter(({ envelope }) => isAbsent(envelope, clock.now()))
    if (absent.length === 0) return reply(full)
    const refusal = space.admit('mending', bytesOf(absent))
    if (refusal !== undefined) return reply(refusal)
    const rest = absent.length < entries.length ? full : undefined
    this.#add(absent, origin, (result) => reply(result instanceof RingdError ? result : (rest ?? result)))
  }

  /** Serves an offer of a former owner: replies with the keys that are missing here. */
  offer(message: OfferMessage): void {
    const { fence, hlc, reader, writer, guard } = this.#deps
    if (!fence.knows(message)) return
    const { config, versions, entries, view, reply } = message
    const fault = faultOfVersions(versions, hlc)
    if (fault !== undefined) return reply(fault)
    for (const { dataKey: storedKey } of [...versions, ...entries]) {
      const refusal = fence.refusesOwner(config, slotOf(storedKey.subarray(DATA_KEY_OVERHEAD)), view)
      if (refusal !== undefined) return reply(refusal)
    }
    const isKnown = (slot: number, version: Version) => writer.isKnown(slot, version)
    const merged: Reply<readonly StandingPromise[]> = (result) => {
      if (result instanceof RingdError) reply(result)
      else if (result.length > 0) reply(new RingdError('OVERLOADED', 'a round is promised for a key of the block'))
      else reply(guard(() => reader.missing(versions, isKnown)))
    }
    this.take(entries, 'owner', merged)
  }

  /**
   * Replies with the number of entries that are here now. Entries from the future are left out: a few of them must not
   * keep two owners from healing the rest.
   */
  takeRepaired(entries: readonly StoredEntry[], member: MemberId, reply: Reply<number>): void {
    const { hlc, leftOut, skew, onRepaired } = this.#deps
    const { taken, fault } = withoutAhead(entries, hlc)
    leftOut.add(entries.length - taken.length)
    if (fault !== undefined) skew.failed(fault, member, entries.length - taken.length)
    this.take(taken, 'repair', (result) => {
      if (result instanceof RingdError) return reply(result)
      const here = result.length === 0 ? taken : withoutPromised(taken, result)
      onRepaired(member, here)
      reply(here.length)
    })
  }

  /** Serves the end of a pull, in its turn among the writes. */
  pulled({ slots, due, reply }: PulledMessage): void {
    const { queue, writer, reader, memory, hlc } = this.#deps
    // No owner promises such a ballot, and no entry could ever reach it here.
    for (const { ballot } of due) {
      const fault = versionFault(ballot, hlc)
      if (fault !== undefined) return reply(fault)
    }
    const addTo = (batch: WriteBatch) => {
      const lacking: Bytes[] = []
      for (const { storedKey, ballot } of due) {
        const key = storedKey.subarray(DATA_KEY_OVERHEAD)
        const held = reader.sound(key, writer.planned(batch, writer.plannedName(storedKey), storedKey))
        if (held === undefined || orderTo(held, ballot) < 0) lacking.push(key)
        if (lacking.length === LACKING_MAX) break
      }
      if (lacking.length === 0) memory.forgetSlots(slots)
      return () => reply(lacking)
    }
    queue.add({ bytes: 0, addTo, fail: reply })
  }

  #add(
    entries: readonly StoredEntry[],
    origin: Origin,
    reply: Reply<readonly StandingPromise[]>,
    pull?: FreshPull
  ): void {
    const addTo = (batch: WriteBatch) => this.#merge(batch, entries, origin, reply, pull)
    this.#deps.queue.addBehind({ bytes: bytesOf(entries), isLast: pull !== undefined, addTo, fail: reply })
  }

  #merge(
    batch: WriteBatch,
    entries: readonly StoredEntry[],
    origin: Origin,
    reply: Reply<readonly StandingPromise[]>,
    pull: FreshPull | undefined
  ): () => void {
    const { fence, writer } = this.#deps
    // The slot was released while the entries were on their way: its entries are being deleted, so refuse them.
    if (entries.some((entry) => fence.isReleased(slotOfDataKey(entry.dataKey)))) {
      return () => reply(new RingdError('NOT_OWNER'))
    }
    let sealed: RingdError | undefined
    let promised = NONE
    for (const { dataKey: storedKey, envelope } of entries) {
      const result =
        pull === undefined
          ? writer.apply(batch, storedKey, envelope, origin)
          : writer.take(batch, storedKey, envelope, pull)
      if (result instanceof RingdError) {
        if (result.code === 'OVERLOADED') sealed = result
      } else if (result !== undefined && isPromisedAbove(result)) {
        if (promised === NONE) promised = []
        promised.push({ storedKey, ballot: result.promised })
      }
    }
    return () => reply(sealed ?? promised)
  }
}

function bytesOf(entries: readonly StoredEntry[]): number {
  return entries.reduce((bytes, { dataKey, envelope }) => bytes + dataKey.length + envelope.length, 0)
}

function withoutPromised(
  entries: readonly StoredEntry[],
  promised: readonly StandingPromise[]
): readonly StoredEntry[] {
  const kept = new Set(promised.map(({ storedKey }) => storedKey))
  return entries.filter(({ dataKey }) => !kept.has(dataKey))
}
