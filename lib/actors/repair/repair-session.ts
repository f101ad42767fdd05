// One round of repair with one other owner: finds the slots that differ, and makes both owners hold the newer versions.
// Part of the repair actor. The other owner's end is RepairExchange of the replica.
// Invariants: one block is under way at a time, and between blocks the session rests as long as the last one took, so
// that clients do not feel it. Entries that come are on disk before the next are asked for. Slots that move are left
// alone.

import type { SharedSlots } from '../../anti-entropy/shared-slots.js'
import { decodeNodeSums, decodeNodes, LEAF_LEVEL, nodesOf, slotsUnder } from '../../anti-entropy/sum-tree.js'
import { decodePositions, POSITION_BYTES, type Position, slotOfPosition } from '../../anti-entropy/version-list.js'
import { type Bytes, compareBytes } from '../../bytes.js'
import { type Clock, sleep } from '../../clock.js'
import type { FetchedBlock } from '../../entry/block.js'
import { type BlockLimits, readBlock } from '../../entry/block.js'
import { RingdError } from '../../errors.js'
import type { MemberId, PeerId } from '../../member.js'
import { requestMember } from '../../network/member-link.js'
import type { Body, Network } from '../../network/network.js'
import { slotOf } from '../../ring/slots.js'
import type { Ref, Reply } from '../../runtime/actor.js'
import type { RepairScope, VersionList } from '../replica/repair-messages.js'
import { askReplica } from '../replica/replica-client.js'
import type { ReplicaMessage } from '../replica/replica-messages.js'

export interface RepairSessionDeps {
  readonly clock: Clock
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  /** Resolves when the limit of the operator allows so many bytes more. Left out: at once. */
  readonly withinLimit?: ((bytes: number) => Promise<void>) | undefined
}

export interface RepairSessionOptions {
  /** The other owner's peer, and the member that must answer there: another life of that peer holds other data. */
  readonly peer: PeerId
  readonly member: MemberId
  readonly scope: RepairScope
  readonly shared: SharedSlots
  readonly limits: BlockLimits
  /** Asked between messages; true ends the session with STOPPED. */
  readonly isCancelled: () => boolean
}

/** Counts of one session. Bytes are those of sums, lists and entries. */
export interface RepairCount {
  slots: number
  differing: number
  sentEntries: number
  sentBytes: number
  receivedEntries: number
  receivedBytes: number
}

export function noCount(): RepairCount {
  return { slots: 0, differing: 0, sentEntries: 0, sentBytes: 0, receivedEntries: 0, receivedBytes: 0 }
}

/** Writes on their way to one of the owners arrive within this time. Slots that differ after it are repaired. */
const CONFIRM_MS = 500
const PAUSE_MS_MIN = 5
const PAUSE_MS_MAX = 1000

/**
 * Throws UNREACHABLE, TIMEOUT, NOT_SERVING (one of the stores is being counted, or the slots move), STALE_VIEW,
 * OVERLOADED, DISK_FULL, BAD_MESSAGE, STOPPED. `count` is updated as the session goes on, also when it throws.
 */
export async function runRepairSession(
  deps: RepairSessionDeps,
  options: RepairSessionOptions,
  count: RepairCount
): Promise<void> {
  return new RepairSession(deps, options, count).run()
}

class RepairSession {
  readonly #deps: RepairSessionDeps
  readonly #options: RepairSessionOptions
  readonly #count: RepairCount

  constructor(deps: RepairSessionDeps, options: RepairSessionOptions, count: RepairCount) {
    this.#deps = deps
    this.#options = options
    this.#count = count
  }

  async run(): Promise<void> {
    const { slots } = this.#options.shared
    const suspected = await this.#descend(slots)
    this.#count.slots = slots.length
    if (suspected.length === 0) return
    await sleep(this.#deps.clock, CONFIRM_MS)
    const differing = await this.#compare(LEAF_LEVEL, suspected)
    this.#count.differing = differing.length
    await this.#exchange(differing)
    const { sentEntries, receivedEntries } = this.#count
    if (differing.length === 0 || sentEntries + receivedEntries > 0) return
    this.#deps.replica.tell({ type: 'repair-recount', slots: differing })
  }

  /** The slots whose sums differ, found level by level. */
  async #descend(slots: readonly number[]): Promise<readonly number[]> {
    let suspected = slots
    for (let level = 0; level <= LEAF_LEVEL && suspected.length > 0; level++) {
      suspected = await this.#compare(level, suspected)
    }
    return suspected
  }

  /** Those of the slots that lie in nodes of the level whose sums differ. */
  async #compare(level: number, slots: readonly number[]): Promise<readonly number[]> {
    if (slots.length === 0) return slots
    const nodes = nodesOf(level, slots)
    const shared = this.#options.shared.slots
    const sums = await this.#ask<Bytes>((reply) => ({ type: 'repair-sums', level, nodes, slots: shared, reply }))
    const { repairDiffering } = await this.#request({ repairSums: { ...this.#options.scope, level, sums } })
    if (repairDiffering === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to sums')
    this.#count.sentBytes += sums.length
    this.#count.receivedBytes += repairDiffering.nodes.length
    const asked = new Set(decodeNodeSums(level, sums).map(({ node }) => node))
    const differing = decodeNodes(level, repairDiffering.nodes)
    if (!differing.every((node) => asked.has(node))) throw new RingdError('BAD_MESSAGE', 'a node was not asked for')
    return slotsUnder(level, differing, slots)
  }

  async #exchange(slots: readonly number[]): Promise<void> {
    const { clock } = this.#deps
    let rest = slots
    let from: Position | undefined
    while (rest.length > 0) {
      const started = clock.elapsed()
      const list = await this.#listed(rest, from)
      const reached = await this.#swap(list, rest, from)
      if (reached === undefined) return
      rest = rest.filter((slot) => slot >= slotOfPosition(reached))
      from = reached
      await sleep(clock, Math.min(PAUSE_MS_MAX, Math.max(PAUSE_MS_MIN, clock.elapsed() - started)))
    }
  }

  #listed(slots: readonly number[], from: Position | undefined): Promise<VersionList> {
    return this.#ask<VersionList>((reply) => ({ type: 'repair-list', slots, from, reply }))
  }

  /** Takes the entries that are newer there, and sends those that it lacks. Returns the position to go on from. */
  async #swap(
    { list, crc, end }: VersionList,
    slots: readonly number[],
    from: Position | undefined
  ): Promise<Position | undefined> {
    const { scope, limits, member } = this.#options
    const { repairFound } = await this.#request({ repairVersions: { ...scope, list, crc, from, to: end } })
    if (repairFound === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to a list')
    const { block, wanted, reached } = repairFound
    this.#count.sentBytes += list.length
    this.#count.receivedBytes += block.length + wanted.length
    const { entries } = readBlock(block, repairFound.crc, limits)
    const expected = new Set(slots)
    if (!entries.every(({ slot, key }) => slotOf(key) === slot && expected.has(slot))) {
      throw new RingdError('BAD_MESSAGE', 'an entry lies in a slot that was not asked for')
    }
    if (entries.length > 0) {
      const taken = await this.#ask<number>((reply) => ({ type: 'repair-merge', entries, member, reply }))
      this.#count.receivedEntries += taken
    }
    const positions = decodePositions(wanted)
    if (!positions.every((position) => expected.has(slotOfPosition(position)))) {
      throw new RingdError('BAD_MESSAGE', 'an owner wants an entry of a slot that was not listed')
    }
    // What came was not asked for byte by byte. The next block waits until the limit has made up for this one.
    if (block.length > 0) await this.#deps.withinLimit?.(block.length)
    await this.#give(positions)
    const isOnward = reached === undefined || isAfter(reached, from) || (entries.length > 0 && !isAfter(from, reached))
    if (!isOnward || (reached !== undefined && reached.length !== POSITION_BYTES)) {
      throw new RingdError('BAD_MESSAGE', 'an answer to a list makes no progress')
    }
    return reached ?? end
  }

  async #give(positions: readonly Position[]): Promise<void> {
    for (let at = 0; at < positions.length; ) {
      const wanted = positions.slice(at)
      const { block, crc, taken } = await this.#ask<FetchedBlock>((reply) => ({
        type: 'repair-take',
        positions: wanted,
        reply
      }))
      at += taken
      if (block.length === 0) continue
      await this.#deps.withinLimit?.(block.length)
      const { done } = await this.#request({ repairEntries: { ...this.#options.scope, block, crc } })
      if (done === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to entries')
      this.#count.sentEntries += readBlock(block, crc, this.#options.limits).entries.length
      this.#count.sentBytes += block.length
    }
  }

  #ask<T>(make: (reply: Reply<T>) => ReplicaMessage): Promise<T> {
    this.#checkCancelled()
    return askReplica<T>(this.#deps, make)
  }

  #request(body: Body): Promise<Body> {
    const { peer, member } = this.#options
    const to = { peerId: peer, member, stream: 'bulk' as const }
    return requestMember(this.#deps.network, { ...to, body })
  }

  #checkCancelled(): void {
    if (this.#options.isCancelled()) throw new RingdError('STOPPED', 'the slots have moved meanwhile')
  }
}

/** `undefined` lies before every position. */
function isAfter(position: Position | undefined, other: Position | undefined): boolean {
  if (position === undefined) return false
  return other === undefined || compareBytes(position, other) > 0
}
