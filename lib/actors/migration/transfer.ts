// One transfer: the pull of one job's ranges from one source, block by block. Part of the migration actor.
// Invariants: one block is under way at a time, so memory is bounded. A block is merged and on disk before the next one
// is asked for. An entry that is here already is never fetched again, because versions are compared first.
// Source: rule 5 of lib/views/README.md.

import { type Bytes, compareBytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { type BlockEntry, type BlockLimits, readBlock, readVersions } from '../../entry/block.js'
import { versionOf } from '../../entry/envelope.js'
import { isBefore } from '../../entry/purge-bounds.js'
import type { Version } from '../../entry/version.js'
import { RingdError } from '../../errors.js'
import { KiB } from '../../limits.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import { requestMember } from '../../network/member-link.js'
import type { Body, Network } from '../../network/network.js'
import type { PullBlock } from '../../network/wire.js'
import { fromRuns } from '../../ring/runs.js'
import { type SlotRange, slotOf, slotsOf } from '../../ring/slots.js'
import type { Ref } from '../../runtime/actor.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'

export interface TransferDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
}

export interface TransferOptions {
  readonly source: PeerId
  /**
   * The member that must answer there. Another life of that peer holds other data: this member would call itself
   * ready without the entries that it needs.
   */
  readonly member: MemberId
  /** The newest view of this peer, and the config that it pulls for. */
  readonly view: number
  readonly config: number
  readonly ranges: readonly SlotRange[]
  /** Every block must say that the source is ready for the config. */
  readonly mustBeReady: boolean
  /** Compare versions before fetching entries: cheaper when most entries are here already. */
  readonly versionsFirst: boolean
  readonly limits: BlockLimits
  /** Asked between blocks; true ends the transfer with STOPPED. */
  readonly isCancelled: () => boolean
}

export interface TransferReport {
  /** Entries that the source listed, and entries that it sent. */
  readonly seen: number
  readonly entries: number
  readonly bytes: number
  readonly damaged: number
  /** Entries that are longer than the format allows: they are left out. */
  readonly oversized: number
}

/** Keys asked for in one fetch. */
const FETCH_KEYS_MAX = 1024
const FETCH_BYTES_MAX = 256 * KiB

/**
 * Pulls until the source has nothing more. Throws UNREACHABLE, TIMEOUT, BEHIND, NOT_OWNER, BAD_ENTRY, BAD_MESSAGE,
 * STOPPED, ...
 */
export async function runTransfer(deps: TransferDeps, options: TransferOptions): Promise<TransferReport> {
  const transfer = new Transfer(deps, options)
  return transfer.run()
}

class Transfer {
  readonly #deps: TransferDeps
  readonly #options: TransferOptions
  #seen = 0
  #entries = 0
  #bytes = 0
  #damaged = 0
  #oversized = 0
  /** Per slot, s since the epoch: older entries of this source are not taken (rule 13). */
  #distrusted: ReadonlyMap<number, number> = new Map()

  constructor(deps: TransferDeps, options: TransferOptions) {
    this.#deps = deps
    this.#options = options
  }

  async run(): Promise<TransferReport> {
    let after: Bytes | undefined
    for (;;) {
      this.#checkCancelled()
      const { view, config, ranges, versionsFirst, mustBeReady } = this.#options
      const pull = { view, config, ranges: [...ranges], versionsOnly: versionsFirst, after }
      const { pullBlock } = await this.#request({ pull })
      this.#checkCancelled()
      if (pullBlock === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to a pull')
      if (mustBeReady && !pullBlock.ready) throw new RingdError('NOT_OWNER', 'the source is not ready itself')
      if (after === undefined) await this.#inherit(pullBlock)
      const { block, crc, last } = pullBlock
      const reached = versionsFirst ? await this.#compare(block, crc) : await this.#take(block, crc)
      if (last) return this.#report()
      if (reached === undefined) throw new RingdError('BAD_MESSAGE', 'an empty block is the last one')
      if (after !== undefined && compareBytes(reached, after) <= 0) {
        throw new RingdError('BAD_MESSAGE', 'a block does not go on behind the one before')
      }
      after = reached
    }
  }

  #report(): TransferReport {
    const [seen, entries, bytes] = [this.#seen, this.#entries, this.#bytes]
    return { seen, entries, bytes, damaged: this.#damaged, oversized: this.#oversized }
  }

  /** Takes over the purge bounds of the source before its entries (rule 13 of lib/views/README.md). */
  async #inherit({ closing, closed }: PullBlock): Promise<void> {
    const { clock, replica } = this.#deps
    const slots = slotsOf(this.#options.ranges)
    const theirs = { closing: fromRuns(closing), closed: fromRuns(closed) }
    this.#distrusted = await askReplica<ReadonlyMap<number, number>>({ clock, replica }, (reply) => ({
      type: 'inherit',
      slots,
      theirs,
      reply
    }))
  }

  #believes(slot: number, version: Version): boolean {
    return !isBefore(version, this.#distrusted.get(slot) ?? 0)
  }

  /** Merges a block of entries; returns the last stored key in it. */
  async #take(block: Bytes, crc: number): Promise<Bytes | undefined> {
    const { entries, damaged, oversized, lastKey } = readBlock(block, crc, this.#options.limits)
    this.#checkPlaces(entries)
    this.#seen += entries.length
    this.#entries += entries.length
    this.#bytes += block.length
    this.#damaged += damaged
    this.#oversized += oversized
    await this.#merge(entries.filter(({ slot, envelope }) => this.#believes(slot, versionOf(envelope))))
    return lastKey
  }

  /** Fetches the entries that are older or missing here; returns the last stored key of the block of versions. */
  async #compare(block: Bytes, crc: number): Promise<Bytes | undefined> {
    const { entries: versions, oversized, lastKey } = readVersions(block, crc, this.#options.limits.maxKeyBytes)
    this.#checkPlaces(versions)
    this.#seen += versions.length
    this.#oversized += oversized
    const lacked = await askReplica<readonly Bytes[]>(this.#deps, (reply) => ({
      type: 'missing',
      versions: versions.filter(({ slot, version }) => this.#believes(slot, version)),
      reply
    }))
    await this.#fetch(lacked)
    return lastKey
  }

  async #fetch(keys: readonly Bytes[]): Promise<void> {
    const { view, config, limits } = this.#options
    for (let at = 0; at < keys.length; ) {
      this.#checkCancelled()
      const asked = firstKeys(keys, at)
      const { fetched } = await this.#request({ fetch: { view, config, keys: asked } })
      this.#checkCancelled()
      if (fetched === undefined || fetched.taken < 1 || fetched.taken > asked.length) {
        throw new RingdError('BAD_MESSAGE', 'not an answer to a fetch')
      }
      const { entries, damaged, oversized } = readBlock(fetched.block, fetched.crc, limits)
      this.#checkPlaces(entries)
      this.#entries += entries.length
      this.#bytes += fetched.block.length
      this.#damaged += damaged
      this.#oversized += oversized
      await this.#merge(entries.filter(({ slot, envelope }) => this.#believes(slot, versionOf(envelope))))
      at += fetched.taken
    }
  }

  async #merge(entries: readonly BlockEntry[]): Promise<void> {
    if (entries.length === 0) return
    await askReplica<undefined>(this.#deps, (reply) => ({ type: 'merge', entries, reply }))
  }

  /** A source may only send what was asked for, each entry in the slot of its key. */
  #checkPlaces(entries: readonly { readonly slot: number; readonly key: Bytes }[]): void {
    const { ranges } = this.#options
    for (const { slot, key } of entries) {
      if (slotOf(key) !== slot || !ranges.some(({ first, last }) => slot >= first && slot <= last)) {
        throw new RingdError('BAD_MESSAGE', 'an entry lies in a slot that was not asked for')
      }
    }
  }

  #checkCancelled(): void {
    if (this.#options.isCancelled()) throw new RingdError('STOPPED', 'the slots have moved on; the transfer ends')
  }

  #request(body: Body): Promise<Body> {
    const { source, member } = this.#options
    const to = { peerId: source, member, stream: 'bulk' as const }
    return requestMember(this.#deps.network, { ...to, body })
  }
}

function firstKeys(keys: readonly Bytes[], from: number): Bytes[] {
  const first: Bytes[] = []
  let bytes = 0
  for (let at = from; at < keys.length && first.length < FETCH_KEYS_MAX && bytes < FETCH_BYTES_MAX; at++) {
    first.push(keys[at]!)
    bytes += keys[at]!.length
  }
  return first
}
