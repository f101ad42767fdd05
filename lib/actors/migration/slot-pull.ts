// One attempt to pull some slots from the sources of a plan: the entries from the first, and from the others what it
// lacked. Part of the migration actor.
// Invariants: what a source sends is checked before it is merged, and on disk before credit is given back for it; the
// purge bounds of a source are taken over before anything of it; an entry that is here is never fetched again, but for
// a part of a slot of which little is here. At the end the sums of each source, of one moment after its fence, were
// equal to the sums here, or each of its versions was compared. The promises of a source are read before its entries:
// one that is read is due here, and one that has ended meanwhile has ended by an entry that comes.
// Source: rules 5, 13 and A11 of lib/views/README.md.
import { SLOT_SUM_BYTES } from '../../anti-entropy/slot-sums.js'
import { asBuffer, type Bytes, EMPTY_BYTES } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { type BlockEntry, type BlockLimits, BlockWriter, readBlock, readVersions } from '../../entry/block.js'
import { versionOf } from '../../entry/envelope.js'
import { readU32 } from '../../entry/integers.js'
import { asStoredKey } from '../../entry/keys.js'
import { isBefore } from '../../entry/purge-bounds.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import { KiB, MiB } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { PullBegin } from '../../network/wire.js'
import { fromRuns } from '../../ring/runs.js'
import { rangesOf, slotOf } from '../../ring/slots.js'
import type { Ref } from '../../runtime/actor.js'
import { askReplica } from '../replica/replica-client.js'
import type { FreshPull, ReplicaMessage, StandingPromise } from '../replica/replica-messages.js'
import { Due, Order, Tally } from './pull-checks.js'
import type { Answered, Ask, PullerStream } from './puller-stream.js'

export interface SlotPullDeps {
  readonly clock: Clock
  readonly replica: Ref<ReplicaMessage>
  /** The open stream to a source. Throws UNREACHABLE, TIMEOUT, OVERLOADED. */
  readonly streamTo: (source: MemberId) => Promise<Pick<PullerStream, 'ask'>>
}

export interface SlotPullOptions {
  /** The first sends entries. At least one. */
  readonly sources: readonly MemberId[]
  /** The newest view of this peer, and the config that it pulls for. */
  readonly view: number
  readonly config: number
  /** Ascending. */
  readonly slots: readonly number[]
  /** Each source must say that it is ready for the config. */
  readonly mustBeReady: boolean
  readonly limits: BlockLimits
  /** Asked between parts; true ends the pull with STOPPED. */
  readonly isCancelled: () => boolean
  /** Told of what happens, for reports and receipts. */
  readonly progress?: PullProgress | undefined
}

/** What a pull tells of itself while it goes on. */
export interface PullProgress {
  /** A part of this source waits for the disk of this member; and does not any more. */
  merging(source: MemberId): void
  merged(source: MemberId): void
  /** Entries of this source are on disk. */
  came(source: MemberId, entries: number, bytes: number): void
  /** An ask has ended: both ends have counted the same entries, with the same checksum. These of them are on disk. */
  compared(source: MemberId, entries: number, checksum: number): void
}

export interface SlotPullReport {
  /** Entries that the sources sent, and their bytes; keys and versions that they listed. */
  readonly entries: number
  readonly bytes: number
  readonly listed: number
  /** Entries that are longer than the format allows: they are left out. */
  readonly oversized: number
  /** For each key the ballot that this member must hold, or a newer version, before it counts as ready. */
  readonly due: readonly StandingPromise[]
}

/** Keys that are asked for at once. */
const FETCH_KEYS_MAX = 1024
const FETCH_BYTES_MAX = 256 * KiB
/** Where less than this share of a slot is here, all of its entries are asked for instead of a list. */
const LITTLE_SHARE = 0.25

/** Throws UNREACHABLE, TIMEOUT, BEHIND, NOT_OWNER, BAD_ENTRY, BAD_MESSAGE, DISK_FULL, CLOCK_SKEW, STOPPED, ... */
export async function pullSlots(deps: SlotPullDeps, options: SlotPullOptions): Promise<SlotPullReport> {
  const { slots } = options
  const fresh = await askReplica<FreshPull>(deps, (reply) => ({ type: 'begin-pull', slots, reply }))
  try {
    return await new SlotPull(deps, options, fresh).run()
  } finally {
    deps.replica.tell({ type: 'end-pull', pull: fresh })
  }
}

class SlotPull {
  readonly #deps: SlotPullDeps
  readonly #options: SlotPullOptions
  readonly #fresh: FreshPull
  readonly #due = new Due()
  #entries = 0
  #bytes = 0
  #listed = 0
  #oversized = 0

  constructor(deps: SlotPullDeps, options: SlotPullOptions, fresh: FreshPull) {
    this.#deps = deps
    this.#options = options
    this.#fresh = fresh
  }

  async run(): Promise<SlotPullReport> {
    const { slots, sources } = this.#options
    const held = slots.filter((slot) => !this.#fresh.slots.has(slot))
    const [first, ...others] = sources
    if (first !== undefined) {
      const source = new SourcePull(this, first)
      await source.takePromises(slots)
      await source.takeAll(slots.filter((slot) => this.#fresh.slots.has(slot)))
      await source.compare(held)
    }
    for (const other of others) {
      const source = new SourcePull(this, other)
      await source.takePromises(slots)
      await source.compare(slots)
    }
    const counts = { entries: this.#entries, bytes: this.#bytes, listed: this.#listed, oversized: this.#oversized }
    return { ...counts, due: this.#due.all() }
  }

  get deps(): SlotPullDeps {
    return this.#deps
  }

  get options(): SlotPullOptions {
    return this.#options
  }

  listed(count: number): void {
    this.#listed += count
  }

  /** These promises stand at a source, above the entries that it sends; or here, above entries that came. */
  due(promises: readonly StandingPromise[]): void {
    for (const { storedKey, ballot } of promises) this.#due.raise(storedKey, ballot)
  }

  /** Stores entries. */
  async merge(source: MemberId, entries: readonly BlockEntry[], bytes: number, oversized: number): Promise<void> {
    this.#entries += entries.length
    this.#bytes += bytes
    this.#oversized += oversized
    if (entries.length === 0) return
    const pull = this.#fresh
    const { progress } = this.#options
    progress?.merging(source)
    try {
      this.due(
        await askReplica<readonly StandingPromise[]>(this.#deps, (reply) => ({ type: 'merge', entries, pull, reply }))
      )
    } finally {
      progress?.merged(source)
    }
    progress?.came(source, entries.length, bytes)
  }

  checkCancelled(): void {
    if (this.#options.isCancelled()) throw new RingdError('STOPPED', 'the slots have moved on; the pull ends')
  }
}

/** What is pulled from one source. */
class SourcePull {
  readonly #pull: SlotPull
  readonly #source: MemberId
  readonly #slots: ReadonlySet<number>
  /** Per slot, s since the epoch: older entries of this source are not taken (rule 13). */
  #distrusted: ReadonlyMap<number, number> = new Map()

  constructor(pull: SlotPull, source: MemberId) {
    this.#pull = pull
    this.#source = source
    this.#slots = new Set(pull.options.slots)
  }

  /** Takes the promises for keys of the slots, before anything else of this source. */
  async takePromises(slots: readonly number[]): Promise<void> {
    const order = new Order()
    const total = new Tally()
    const end = await this.#ask('promises', slots, EMPTY_BYTES, async (block, count) => {
      const { entries, ...tally } = readVersions(block, undefined, this.#limits.maxKeyBytes)
      total.add(tally, count)
      this.#checkPlaces(entries, order)
      this.#pull.due(entries.map(({ dataKey, version }) => ({ storedKey: dataKey, ballot: version })))
    })
    total.check(end)
  }

  /** Takes all entries of the slots. */
  async takeAll(slots: readonly number[]): Promise<void> {
    if (slots.length === 0) return
    const order = new Order()
    const total = new Tally()
    const end = await this.#ask('entries', slots, EMPTY_BYTES, (block, count) => this.#take(block, count, order, total))
    this.#compareCounts(total, end)
  }

  /** Takes what is missing here, and nothing where the sums are equal. */
  async compare(slots: readonly number[]): Promise<void> {
    if (slots.length === 0) return
    const { little, other } = await this.#differing(slots)
    await this.takeAll(little)
    await this.#takeMissing(other)
  }

  /** The slots whose sums differ. `little`: of which little is here. */
  async #differing(slots: readonly number[]): Promise<{ little: readonly number[]; other: readonly number[] }> {
    let end: Answered
    let mine: Bytes
    try {
      end = await this.#ask('sums', slots, EMPTY_BYTES, noPart)
      mine = await askReplica<Bytes>(this.#pull.deps, (reply) => ({ type: 'sums', slots, reply }))
    } catch (thrown) {
      // One of the two counts its store.
      if (thrown instanceof RingdError && thrown.code === 'NOT_SERVING') return { little: [], other: slots }
      throw thrown
    }
    const theirs = asBuffer(end.body)
    if (theirs.length !== mine.length) throw new RingdError('BAD_MESSAGE', 'not the sums that were asked for')
    const sumOf = (sums: Bytes, index: number) =>
      asBuffer(sums).subarray(index * SLOT_SUM_BYTES, (index + 1) * SLOT_SUM_BYTES)
    const countOf = (sums: Bytes, index: number) => readU32(sums, index * SLOT_SUM_BYTES)
    const little: number[] = []
    const other: number[] = []
    slots.forEach((slot, index) => {
      if (sumOf(theirs, index).equals(sumOf(mine, index))) return
      const isLittle = countOf(mine, index) < countOf(theirs, index) * LITTLE_SHARE
      if (isLittle) little.push(slot)
      else other.push(slot)
    })
    return { little, other }
  }

  async #takeMissing(slots: readonly number[]): Promise<void> {
    const order = new Order()
    for (let after: Bytes = EMPTY_BYTES, last = slots.length === 0; !last; ) {
      const total = new Tally()
      let lacked: readonly Bytes[] = []
      const end = await this.#ask('versions', slots, after, async (block, count) => {
        const { entries, lastKey, oversized, ...tally } = readVersions(block, undefined, this.#limits.maxKeyBytes)
        total.add(tally, count)
        this.#checkPlaces(entries, order)
        if (entries.some(({ slot, key }) => slotOf(key) !== slot)) {
          throw new RingdError('BAD_MESSAGE', 'a version lies in another slot than its key')
        }
        this.#pull.listed(entries.length)
        await this.#pull.merge(this.#source, [], 0, oversized)
        after = lastKey ?? after
        lacked = await askReplica<readonly Bytes[]>(this.#pull.deps, (reply) => ({
          type: 'missing',
          versions: entries.filter(({ slot, version }) => this.#believes(slot, version)),
          reply
        }))
      })
      total.check(end)
      await this.#fetch(lacked)
      last = end.last
      if (!last && end.entries === 0) throw new RingdError('BAD_MESSAGE', 'an empty block is the last one')
    }
  }

  async #fetch(keys: readonly Bytes[]): Promise<void> {
    for (let at = 0; at < keys.length; ) {
      const { block, count: asked } = firstKeys(keys, at)
      const order = new Order()
      const total = new Tally()
      const end = await this.#ask('keys', [], block, (part, count) => this.#take(part, count, order, total))
      this.#compareCounts(total, end)
      if (end.taken < 1 || end.taken > asked) throw new RingdError('BAD_MESSAGE', 'not an answer to a list of keys')
      at += end.taken
    }
  }

  /** Both ends have counted the same entries: what has come counts in the receipt of the transfer. */
  #compareCounts(total: Tally, end: Answered): void {
    total.check(end)
    this.#pull.options.progress?.compared(this.#source, total.stored.count, total.stored.checksum)
  }

  async #take(block: Bytes, count: number, order: Order, total: Tally): Promise<void> {
    this.#pull.checkCancelled()
    const { entries, damaged, oversized, ...tally } = readBlock(block, undefined, this.#limits)
    total.add(tally, count)
    if (damaged > 0) throw new RingdError('BAD_ENTRY', `a source has sent ${damaged} damaged entries`)
    this.#checkPlaces(entries, order)
    const believed =
      this.#distrusted.size === 0
        ? entries
        : entries.filter(({ slot, envelope }) => this.#believes(slot, versionOf(envelope)))
    await this.#pull.merge(this.#source, believed, block.length, oversized)
    total.store(believed)
  }

  #believes(slot: number, version: Version): boolean {
    return !isBefore(version, this.#distrusted.get(slot) ?? 0)
  }

  /** A source may only send what was asked for, each entry once. The replica checks the slot of each key. */
  #checkPlaces(entries: ReadonlyArray<{ readonly slot: number; readonly dataKey: Bytes }>, order: Order): void {
    for (const { slot, dataKey } of entries) {
      if (!this.#slots.has(slot)) {
        throw new RingdError('BAD_MESSAGE', 'an entry lies in a slot that was not asked for')
      }
      order.next(dataKey)
    }
  }

  async #ask(
    what: Ask['what'],
    slots: readonly number[],
    body: Bytes,
    part: (block: Bytes, entries: number) => Promise<void>
  ): Promise<Answered> {
    this.#pull.checkCancelled()
    const { view, config } = this.#pull.options
    const stream = await this.#pull.deps.streamTo(this.#source)
    const begin = async (begun: PullBegin) => {
      if (what === 'keys') return
      this.#checkReady(begun)
      // With promises comes nothing that a purge bound could keep out.
      if (what !== 'promises') await this.#begin(begun, slots)
    }
    return stream.ask({ what, view, config, ranges: rangesOf(slots), body }, { begin, part })
  }

  #checkReady({ ready }: PullBegin): void {
    if (this.#pull.options.mustBeReady && !ready) throw new RingdError('NOT_OWNER', 'the source is not ready itself')
  }

  /** Takes over the purge bounds of the source before its entries (rule 13 of lib/views/README.md). */
  async #begin({ closing, closed }: PullBegin, slots: readonly number[]): Promise<void> {
    const theirs = { closing: fromRuns(closing), closed: fromRuns(closed) }
    this.#distrusted = await askReplica<ReadonlyMap<number, number>>(this.#pull.deps, (reply) => ({
      type: 'inherit',
      slots,
      theirs,
      reply
    }))
  }

  get #limits(): BlockLimits {
    return this.#pull.options.limits
  }
}

function firstKeys(keys: readonly Bytes[], from: number): { readonly block: Bytes; readonly count: number } {
  const writer = new BlockWriter(MiB)
  let count = 0
  let bytes = 0
  for (let at = from; at < keys.length && count < FETCH_KEYS_MAX && bytes < FETCH_BYTES_MAX; at++) {
    writer.add(asStoredKey(keys[at]!), EMPTY_BYTES)
    bytes += keys[at]!.length
    count += 1
  }
  return { block: writer.take().block, count }
}

async function noPart(): Promise<void> {
  throw new RingdError('BAD_MESSAGE', 'sums come without a part')
}
