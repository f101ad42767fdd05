// What the store says and takes in repair: sums of nodes, lists of versions, and entries, for this peer's own repair
// and for that of other owners. Part of the storage actor.
// Invariants: nothing is compared before the store has been counted; another owner is answered only while both know
// the same shared slots; a damaged entry is neither passed on, nor taken for nothing, nor replaced by what repair
// brings: healing asks a quorum for it.

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
import type { FetchedBlock, StoredEntry } from '../../entry/block.js'
import { BlockWriter } from '../../entry/block.js'
import { versionOf, type Envelope } from '../../entry/envelope.js'
import { DATA_KEY_OVERHEAD, entriesFrom, slotOfDataKey } from '../../entry/keys.js'
import type { Version } from '../../entry/version.js'
import { RingdError, toRingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { Counter, Metrics } from '../../metrics.js'
import { slotOf } from '../../ring/slots.js'
import type { Reply } from '../../runtime/actor.js'
import type { GuardedStore } from '../../storage/guarded-store.js'
import type { RingView } from '../../views/ring-view.js'
import type { EntryReader } from './entry-reader.js'
import type {
  RepairCompareMessage,
  RepairEntriesMessage,
  RepairFinding,
  RepairReplicaMessage,
  RepairRequest,
  RepairVersionsMessage,
  VersionList
} from './repair-messages.js'
import type { SlotStats } from './slot-stats.js'

type FromOthers = RepairCompareMessage | RepairVersionsMessage | RepairEntriesMessage

export interface RepairExchangeDeps {
  readonly store: GuardedStore
  readonly reader: EntryReader
  /** So old that all owners have agreed on it. */
  readonly isKnown: (slot: number, version: Version) => boolean
  readonly isGarbage: (slot: number, envelope: Envelope) => boolean
  /** Has all owners asked for an entry on which they do not agree any more. */
  readonly onDisputed: (key: Bytes) => void
  readonly slotStats: SlotStats
  readonly metrics: Metrics
  /** Whether the view of the message is known here; otherwise it is held, and comes again. */
  readonly knows: (message: FromOthers) => boolean
  readonly view: () => RingView | undefined
  readonly refuse: (code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number) => RingdError
  /** Replies when everything that was taken before is applied. */
  readonly afterAll: <T>(reply: Reply<T>, answer: () => T | RingdError) => void
  /** Queues a merge behind operations, or refuses it. */
  readonly merge: (entries: readonly StoredEntry[], reply: Reply<undefined>) => void
}

/** Some 1300 versions: they are listed again from where an answer had no room for more. */
const LIST_BYTES_MAX = 32 * KiB
/** Merged in one batch, which delays clients by less than a block of a transfer. */
const BLOCK_BYTES_MAX = 128 * KiB
const SCAN_BYTES = 64 * KiB
/** Lists being compared for others at once. */
const ANSWERS_MAX = 4
/** Disputed entries at once; the next round finds the others. */
const DISPUTED_MAX = 32
/** Slots counted anew at once; the next round finds the others. */
const RECOUNTED_MAX = 64

/** What another owner holds at one position. */
interface Listed {
  readonly position: Position
  readonly versions: readonly Version[]
}

/** Entries at one position: one, but for keys of equal hashes. */
interface Group {
  readonly position: Position
  readonly entries: (readonly [stored: Bytes, envelope: Envelope])[]
  /** None of them is damaged. */
  isSound: boolean
}

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
        this.#received.add(message.entries.length)
        return this.#deps.merge(message.entries, message.reply)
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
    const { entries, reply } = message
    const isOurs = ({ dataKey }: StoredEntry) => hasSlot(shared, slotOf(dataKey.subarray(DATA_KEY_OVERHEAD)))
    if (!entries.every(isOurs)) return reply(notShared())
    this.#received.add(entries.length)
    this.#deps.merge(entries, reply)
  }

  /** What both speak of; undefined when the message was answered, or held until a newer view is known. */
  #shared(message: FromOthers): SharedSlots | undefined {
    if (!this.#deps.knows(message)) return undefined
    const view = this.#deps.view()!
    const { first, last, member, digest }: RepairRequest = message
    const shared = sharedSlots(view, view.self, member, { first, last })
    if (shared.digest === digest) return shared
    const isBehind = message.view < view.number
    message.reply(isBehind ? this.#deps.refuse('STALE_VIEW', message.view) : new RingdError('NOT_SERVING', MOVING))
    return undefined
  }

  #sums(level: number, nodes: readonly number[], slots: readonly number[]): Bytes | RingdError {
    const { slotStats } = this.#deps
    if (!slotStats.isComplete) return new RingdError('NOT_SERVING', 'the store is being counted')
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

  /** What is damaged is left out: it counts for nothing here, and what comes in its place is not taken. */
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

  /** Compares a list with what is here. */
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
      const isKnown = versions.every((version) => this.#deps.isKnown(slot, version))
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
          this.#settle(mine[index]!, disputes)
          if (!writer.add(...mine[index]!)) return { ...writer.finish(), entries, wanted, reached: position }
          entries += 1
        }
        if (want) take(slot, { position, versions: others })
      }
      for (const their of theirs) take(slot, their)
    }
    return { ...writer.finish(), entries, wanted, reached: undefined }
  }

  /** The other owner lacks it. When all had agreed on it, somebody is wrong: not for the two alone to say who. */
  #settle([stored, envelope]: Group['entries'][number], disputes: { left: number }): void {
    const isKnown = this.#deps.isKnown(slotOfDataKey(stored), versionOf(envelope))
    if (isKnown && disputes.left-- > 0) this.#deps.onDisputed(stored.subarray(DATA_KEY_OVERHEAD))
  }

  async #take(positions: readonly Position[]): Promise<FetchedBlock> {
    const writer = new BlockWriter(BLOCK_BYTES_MAX)
    const disputes = { left: DISPUTED_MAX }
    let taken = 0
    for (const position of positions) {
      for await (const { entries, isSound } of this.#groups(position, positionAfter(position))) {
        if (isSound) for (const entry of entries) this.#settle(entry, disputes)
        const isFull = isSound && !entries.every(([stored, envelope]) => writer.add(stored, envelope))
        // What shares its position with what fills a block by itself is found again by the next comparison.
        if (isFull && taken > 0) return { ...writer.finish(), taken }
      }
      taken += 1
    }
    return { ...writer.finish(), taken }
  }

  /** What is stored from one position, included, to another, excluded, and is to stay, from a snapshot taken now. */
  async *#groups(from: Position, to: Position): AsyncGenerator<Group> {
    if (compareBytes(from, to) >= 0) return
    const { store, reader } = this.#deps
    const scan = store.scan({ from: entriesFrom(from), to: entriesFrom(to) })
    let group: Group | undefined
    try {
      for (let found = await scan.next(SCAN_BYTES); found.length > 0; found = await scan.next(SCAN_BYTES)) {
        for (const [stored, envelope] of found) {
          if (this.#deps.isGarbage(slotOfDataKey(stored), envelope)) continue
          const position = positionOf(stored)
          if (group === undefined || compareBytes(group.position, position) !== 0) {
            if (group !== undefined) yield group
            group = { position, entries: [], isSound: true }
          }
          if (reader.sound(stored.subarray(DATA_KEY_OVERHEAD), envelope) === undefined) group.isSound = false
          group.entries.push([stored, envelope])
        }
      }
      if (group !== undefined) yield group
    } finally {
      await scan.close()
    }
  }
}

const MOVING = 'the slots that both own are not the same to both'

function notShared(): RingdError {
  return new RingdError('BAD_MESSAGE', 'repair of a slot that is not shared')
}

/** The part of a slot between two positions, wherever those lie. */
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
