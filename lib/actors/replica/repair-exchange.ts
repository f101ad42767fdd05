// The replica's part in repair: answers with sums of nodes, version lists and entries, and takes entries. Serves this
// peer's own repair actor and that of other owners.
// Invariants: nothing is compared before the store has been counted; another owner is answered only while both know the
// same shared slots; a damaged entry is not sent, does not count as missing, and is not replaced by what repair brings:
// only healing replaces it, after it asked a quorum.

import { hasSlot, type SharedSlots, sharedSlots } from '../../anti-entropy/shared-slots.js'
import { decodeNodeSums, encodeNodeSums, slotsUnder } from '../../anti-entropy/sum-tree.js'
import {
  debtAt,
  type ListedSlot,
  type Position,
  positionAfter,
  positionOf,
  slotOfPosition,
  slotStart,
  VersionListWriter
} from '../../anti-entropy/version-list.js'
import { type Bytes, compareBytes } from '../../bytes.js'
import { BlockWriter, type FetchedBlock, type StoredEntry } from '../../entry/block.js'
import { type Envelope, versionOf } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, entriesFrom, type StoredKey, slotOfDataKey } from '../../entry/keys.js'
import type { PurgeBounds } from '../../entry/purge-bounds.js'
import type { Version } from '../../entry/version.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { Counter, Metrics } from '../../metrics.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { EntryReader } from './entry-reader.js'
import type { EntryWriter } from './entry-writer.js'
import type { Fence } from './fence.js'
import type {
  RepairCompareMessage,
  RepairEntriesMessage,
  RepairFinding,
  RepairReplicaMessage,
  RepairRequest,
  RepairVersionsMessage,
  VersionList
} from './repair-messages.js'
import { notCounted, type SlotStats } from './slot-stats.js'
import { entryChunks } from './stored-entries.js'

type FromOthers = RepairCompareMessage | RepairVersionsMessage | RepairEntriesMessage

export interface RepairExchangeDeps {
  readonly store: GuardedStore
  readonly slotStats: SlotStats
  readonly metrics: Metrics
  readonly bounds: Pick<PurgeBounds, 'isGarbage'>
  readonly fence: Pick<Fence<FromOthers>, 'knows' | 'view'>
  readonly reader: Pick<EntryReader, 'isSound'>
  readonly writer: Pick<EntryWriter, 'isKnown'>
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Owners disagree about an entry of the key, although they had agreed on it: lets all of them be asked. */
  readonly onDisputed: (key: Bytes) => void
  /** Answers when every write that was taken before is on disk. */
  readonly afterAll: <T>(reply: Reply<T>, answer: () => T | RingdError) => void
  /** Queues a merge behind operations, or refuses it. Replies with the number of entries that were taken. */
  readonly merge: (entries: readonly StoredEntry[], member: MemberId, reply: Reply<number>) => void
}

/** About 1300 versions. When an answer has no room for all that they call for, the rest is listed again. */
const LIST_BYTES_MAX = 32 * KiB
/** The receiver merges it in one batch, which must delay clients by less than a block of a transfer does. */
const BLOCK_BYTES_MAX = 128 * KiB
const SCAN_BYTES = 64 * KiB
/** Lists of other owners that are compared at once. */
const ANSWERS_MAX = 4
/** Disputed entries reported for one message; the next round finds the others. */
const DISPUTED_MAX = 32
/** Slots counted anew at once; the next round finds the others. */
const RECOUNTED_MAX = 64

/** The versions that another owner holds at one position. */
interface Listed {
  readonly position: Position
  readonly versions: readonly Version[]
}

/** The entries at one position: one entry, except for keys of equal hashes. */
interface Group {
  readonly position: Position
  readonly entries: (readonly [storedKey: StoredKey, envelope: Envelope])[]
  /** None of them is damaged. */
  isSound: boolean
}

/** Serves the `repair-...` messages of the replica. */
export class RepairExchange {
  readonly #deps: RepairExchangeDeps
  readonly #sent: Counter
  readonly #received: Counter
  #answers = 0
  #isRecounting = false

  constructor(deps: RepairExchangeDeps) {
    this.#deps = deps
    this.#sent = deps.metrics.counter('ringd_repair_sent_entries', 'entries that repair sent to other owners')
    this.#received = deps.metrics.counter('ringd_repair_received_entries', 'entries that repair brought')
  }

  handle(message: RepairReplicaMessage): void {
    switch (message.type) {
      case 'repair-sums': {
        const { level, nodes, slots, reply } = message
        return this.#deps.afterAll(reply, () => this.#sums(level, nodes, slots))
      }
      case 'repair-list':
        return void this.#list(message.slots, message.from).catch(toRingdError).then(message.reply)
      case 'repair-take':
        return void this.#take(message.positions).catch(toRingdError).then(message.reply)
      case 'repair-merge':
        return this.#merge(message.entries, message.member, message.reply)
      case 'repair-recount':
        return this.#recount(message.slots)
      case 'repair-compare':
        return this.#handleCompare(message)
      case 'repair-versions':
        return this.#handleVersions(message)
      case 'repair-entries':
        return this.#handleEntries(message)
      default:
        message satisfies never
    }
  }

  #merge(entries: readonly StoredEntry[], member: MemberId, reply: Reply<number>): void {
    this.#deps.merge(entries, member, (result) => {
      if (!(result instanceof RingdError)) this.#received.add(result)
      reply(result)
    })
  }

  #handleCompare(message: RepairCompareMessage): void {
    const shared = this.#shared(message)
    if (shared === undefined) return
    const { level, sums, reply } = message
    this.#deps.afterAll(reply, () => {
      const mine = this.#sums(
        level,
        sums.map(({ node }) => node),
        shared.slots
      )
      if (mine instanceof RingdError) return mine
      const others = decodeNodeSums(level, mine)
      return sums.filter(({ sum }, at) => compareBytes(sum, others[at]!.sum) !== 0).map(({ node }) => node)
    })
  }

  #handleVersions(message: RepairVersionsMessage): void {
    const shared = this.#shared(message)
    if (shared === undefined) return
    const { listed, start, end, reply } = message
    if (!listed.every(({ slot }) => hasSlot(shared, slot))) return reply(notShared())
    if (this.#answers >= ANSWERS_MAX) return reply(new RingdError('OVERLOADED', 'too many repairs at once'))
    this.#answers += 1
    void this.#find(listed, start, end)
      .catch(toRingdError)
      .then((finding) => {
        this.#answers -= 1
        reply(finding)
        if (finding instanceof RingdError) return
        this.#sent.add(finding.entries)
        if (finding.entries + finding.wanted.length === 0) this.#recount(listed.map(({ slot }) => slot))
      })
  }

  #handleEntries(message: RepairEntriesMessage): void {
    const shared = this.#shared(message)
    if (shared === undefined) return
    const { entries, from, reply } = message
    const isOurs = ({ dataKey }: StoredEntry) => hasSlot(shared, slotOf(dataKey.subarray(DATA_KEY_OVERHEAD)))
    if (!entries.every(isOurs)) return reply(notShared())
    this.#merge(entries, from.storeId, (result) => reply(result instanceof RingdError ? result : undefined))
  }

  /** The slots that both share; undefined when the message was answered, or is held until a newer view is known. */
  #shared(message: FromOthers): SharedSlots | undefined {
    if (!this.#deps.fence.knows(message)) return undefined
    const view = this.#deps.fence.view!
    const { first, last, from, digest }: RepairRequest = message
    const shared = sharedSlots(view, view.self, from.storeId, { first, last })
    if (shared.digest === digest) return shared
    const isBehind = message.view < view.number
    message.reply(isBehind ? this.#deps.refuse('STALE_VIEW', message.view) : new RingdError('NOT_SERVING', MOVING))
    return undefined
  }

  #sums(level: number, nodes: readonly number[], slots: readonly number[]): Bytes | RingdError {
    const { slotStats } = this.#deps
    if (!slotStats.isComplete) return notCounted()
    return encodeNodeSums(slotStats.sums, level, nodes, slotsUnder(level, nodes, slots))
  }

  /** In the background, between two batches. */
  #recount(slots: readonly number[]): void {
    const { store, slotStats, afterAll } = this.#deps
    if (this.#isRecounting || !slotStats.isComplete) return
    this.#isRecounting = true
    const end = () => {
      this.#isRecounting = false
    }
    const begin = () => void slotStats.recount(store, slots.slice(0, RECOUNTED_MAX)).then(end, end)
    afterAll(
      (result) => void (result instanceof RingdError && end()),
      () => begin()
    )
  }

  /** Leaves damaged entries out. The other owner then sends its own, which `EntryWriter.apply` does not take. */
  async #list(slots: readonly number[], from: Position | undefined): Promise<VersionList> {
    const writer = new VersionListWriter(LIST_BYTES_MAX)
    for (const slot of slots) {
      if (!writer.begin(slot)) return { ...writer.finish(), end: slotStart(slot) }
      for await (const { position, entries, isSound } of this.#groups(...within(slot, from, undefined))) {
        if (!isSound) continue
        for (const [, envelope] of entries) {
          if (!writer.add(position, versionOf(envelope))) return { ...writer.finish(), end: position }
        }
      }
    }
    return { ...writer.finish(), end: undefined }
  }

  /** Compares a list of another owner with the entries here. */
  async #find(
    listed: readonly ListedSlot[],
    start: Position | undefined,
    end: Position | undefined
  ): Promise<RepairFinding> {
    const writer = new BlockWriter(BLOCK_BYTES_MAX)
    const wanted: Position[] = []
    const disputes = { left: DISPUTED_MAX }
    let entries = 0
    const take = (slot: number, { position, versions }: Listed) => {
      const isKnown = versions.every((version) => this.#deps.writer.isKnown(slot, version))
      if (!isKnown || disputes.left-- > 0) wanted.push(position)
    }
    for (const { slot, versions } of listed) {
      const theirs = groupsOf(versions)
      for await (const { position, entries: mine, isSound } of this.#groups(...within(slot, start, end))) {
        while (theirs[0] !== undefined && compareBytes(theirs[0].position, position) < 0) {
          take(slot, theirs.shift()!)
        }
        const isTheirs = theirs[0] !== undefined && compareBytes(theirs[0].position, position) === 0
        const others = isTheirs ? theirs.shift()!.versions : []
        if (!isSound) continue
        const versionsHere = mine.map(([, envelope]) => versionOf(envelope))
        const { give, want } = debtAt(versionsHere, others)
        for (const index of give) {
          this.#reportIfDisputed(mine[index]!, disputes)
          if (!writer.add(...mine[index]!)) return { ...writer.finish(), entries, wanted, reached: position }
          entries += 1
        }
        if (want) take(slot, { position, versions: others })
      }
      for (const their of theirs) take(slot, their)
    }
    return { ...writer.finish(), entries, wanted, reached: undefined }
  }

  /**
   * For an entry that the other owner lacks. If all owners had agreed on it, one of the two is wrong, and they alone
   * cannot decide which: a quorum is asked.
   */
  #reportIfDisputed([storedKey, envelope]: Group['entries'][number], disputes: { left: number }): void {
    const isKnown = this.#deps.writer.isKnown(slotOfDataKey(storedKey), versionOf(envelope))
    if (isKnown && disputes.left-- > 0) this.#deps.onDisputed(storedKey.subarray(DATA_KEY_OVERHEAD))
  }

  async #take(positions: readonly Position[]): Promise<FetchedBlock> {
    const writer = new BlockWriter(BLOCK_BYTES_MAX)
    const disputes = { left: DISPUTED_MAX }
    let taken = 0
    for (const position of positions) {
      for await (const { entries, isSound } of this.#groups(position, positionAfter(position))) {
        if (isSound) for (const entry of entries) this.#reportIfDisputed(entry, disputes)
        const isFull = isSound && !entries.every(([storedKey, envelope]) => writer.add(storedKey, envelope))
        // Another entry at the position of one that fills a block by itself is found by the next comparison.
        if (isFull && taken > 0) return { ...writer.finish(), taken }
      }
      taken += 1
    }
    return { ...writer.finish(), taken }
  }

  /** The entries from one position, inclusive, to another, exclusive, without garbage, from a snapshot taken now. */
  async *#groups(from: Position, to: Position): AsyncGenerator<Group> {
    if (compareBytes(from, to) >= 0) return
    const { store, reader, bounds } = this.#deps
    const scan = store.scan({ from: entriesFrom(from), to: entriesFrom(to) })
    let group: Group | undefined
    for await (const chunk of entryChunks(scan, SCAN_BYTES)) {
      for (const [storedKey, envelope] of chunk) {
        if (bounds.isGarbage(slotOfDataKey(storedKey), envelope)) continue
        const position = positionOf(storedKey)
        if (group === undefined || compareBytes(group.position, position) !== 0) {
          if (group !== undefined) yield group
          group = { position, entries: [], isSound: true }
        }
        if (!reader.isSound(storedKey.subarray(DATA_KEY_OVERHEAD), envelope)) group.isSound = false
        group.entries.push([storedKey, envelope])
      }
    }
    if (group !== undefined) yield group
  }
}

const MOVING = 'the slots that both own are not the same to both'

function notShared(): RingdError {
  return new RingdError('BAD_MESSAGE', 'repair of a slot that is not shared')
}

/** The part of a slot between two positions. A position in another slot stands for the slot's own end. */
function within(slot: number, from: Position | undefined, to: Position | undefined): [Position, Position] {
  const [first, next] = [slotStart(slot), slotStart(slot + 1)]
  const start = from !== undefined && slotOfPosition(from) === slot ? from : first
  return [start, to !== undefined && slotOfPosition(to) === slot ? to : next]
}

function groupsOf(versions: ListedSlot['versions']): Listed[] {
  const groups: { readonly position: Position; readonly versions: Version[] }[] = []
  for (const { position, version } of versions) {
    const last = groups[groups.length - 1]
    if (last !== undefined && compareBytes(last.position, position) === 0) last.versions.push(version)
    else groups.push({ position, versions: [version] })
  }
  return groups
}
