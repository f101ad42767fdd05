// One handoff session: makes sure that one owner holds every entry that this member holds of some slots, before it
// releases them. Part of the handoff actor. The owner's end is in the replica (`compare` and `offer` messages).
// Invariants: at its end the sums of each slot were equal, or every version was compared and the entries that the owner
// lacked are on its disk. One block is under way at a time, so memory is bounded.
// Source: rule 9 of lib/views/README.md.

import { SLOT_SUM_BYTES } from '../../anti-entropy/slot-sums.js'
import { asBuffer, type Bytes, toHex } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { type Block, type BlockLimits, type BlockVersion, type FetchedBlock, readVersions } from '../../entry/block.js'
import { RingdError } from '../../errors.js'
import type { MemberId, PeerId } from '../../member.js'
import { requestMember } from '../../network/member-link.js'
import type { Body, Network } from '../../network/network.js'
import { rangesOf } from '../../ring/slots.js'
import type { Ref } from '../../runtime/actor.js'
import { askReplica } from '../replica/replica-client.js'
import type { PulledBlock, ReplicaMessage } from '../replica/replica-messages.js'
import type { Paced } from './pace.js'

export interface HandoffSessionDeps {
  readonly clock: Clock
  readonly network: Network
  readonly replica: Ref<ReplicaMessage>
  /** Resolves when the limit of the operator allows so many bytes more. Left out: at once. */
  readonly withinLimit?: Paced | undefined
}

export interface HandoffSessionOptions {
  /** The owner's peer, and the member that must answer there: another life of that peer holds other data. */
  readonly owner: PeerId
  readonly member: MemberId
  /** This peer's newest view, and the config that the slots settled in. */
  readonly view: number
  readonly config: number
  /** Ascending. */
  readonly slots: readonly number[]
  readonly limits: BlockLimits
}

export interface HandoffSessionReport {
  /** Slots whose sums differed, and entries that the owner lacked and was sent. */
  readonly differing: number
  readonly entries: number
}

/** Throws UNREACHABLE, TIMEOUT, STALE_VIEW, NOT_OWNER, DISK_FULL, BAD_MESSAGE, NOT_SERVING, ... */
export async function runHandoffSession(
  deps: HandoffSessionDeps,
  options: HandoffSessionOptions
): Promise<HandoffSessionReport> {
  const handoff = new HandoffSession(deps, options)
  return handoff.run()
}

class HandoffSession {
  readonly #deps: HandoffSessionDeps
  readonly #options: HandoffSessionOptions
  #entries = 0

  constructor(deps: HandoffSessionDeps, options: HandoffSessionOptions) {
    this.#deps = deps
    this.#options = options
  }

  async run(): Promise<HandoffSessionReport> {
    const { view, config, slots } = this.#options
    const mine = await this.#ask<Bytes>((reply) => ({ type: 'sums', slots, reply }))
    const { compared } = await this.#request({ compare: { view, config, ranges: rangesOf(slots) } })
    if (compared?.sums.length !== mine.length) throw new RingdError('BAD_MESSAGE', 'not an answer to a comparison')
    const differing = slots.filter((_, index) => !sameSum(mine, compared.sums, index))
    if (differing.length > 0) await this.#offerAll(differing)
    return { differing: differing.length, entries: this.#entries }
  }

  /** Offers every version that is here. The owner answers which entries it lacks, and is sent those. */
  async #offerAll(slots: readonly number[]): Promise<void> {
    const { view, config, limits } = this.#options
    let after: Bytes | undefined
    for (;;) {
      const from = after
      const pulled = await this.#ask<PulledBlock>((reply) => ({
        type: 'pull',
        view,
        from: undefined,
        config,
        ranges: rangesOf(slots),
        after: from,
        versionsOnly: true,
        reply
      }))
      const { entries, lastKey } = readVersions(pulled.block, pulled.crc, limits.maxKeyBytes)
      if (entries.length > 0) await this.#send(await this.#wantedOf(pulled, entries))
      if (pulled.last) return
      after = lastKey
    }
  }

  /** The stored keys that the owner lacks. It may want only what was offered to it. */
  async #wantedOf(block: Block, offered: readonly BlockVersion[]): Promise<readonly Bytes[]> {
    const keys = await this.#offer(block, true)
    const known = new Set(offered.map(({ dataKey }) => toHex(dataKey)))
    if (keys.every((key) => known.has(toHex(key)))) return keys
    throw new RingdError('BAD_MESSAGE', 'an owner wants an entry that was not offered')
  }

  async #send(keys: readonly Bytes[]): Promise<void> {
    const { view, config } = this.#options
    for (let at = 0; at < keys.length; ) {
      const wanted = keys.slice(at)
      const fetched = await this.#ask<FetchedBlock>((reply) => ({
        type: 'fetch',
        view,
        from: undefined,
        config,
        keys: wanted,
        reply
      }))
      await this.#deps.withinLimit?.(fetched.block.length)
      await this.#offer(fetched, false)
      this.#entries += fetched.taken
      at += fetched.taken
    }
  }

  async #offer({ block, crc }: Block, versionsOnly: boolean): Promise<readonly Bytes[]> {
    const { view, config } = this.#options
    const { wanted } = await this.#request({ offer: { view, config, block, crc, versionsOnly } })
    if (wanted === undefined) throw new RingdError('BAD_MESSAGE', 'not an answer to an offer')
    return wanted.keys
  }

  #ask<T>(make: (reply: (result: T | RingdError) => void) => ReplicaMessage): Promise<T> {
    return askReplica<T>(this.#deps, make)
  }

  #request(body: Body): Promise<Body> {
    const { owner, member } = this.#options
    const to = { peerId: owner, member, stream: 'bulk' as const }
    return requestMember(this.#deps.network, { ...to, body })
  }
}

function sameSum(mine: Bytes, theirs: Bytes, index: number): boolean {
  const at = index * SLOT_SUM_BYTES
  const sum = (bytes: Bytes) => asBuffer(bytes).subarray(at, at + SLOT_SUM_BYTES)
  return sum(mine).equals(sum(theirs))
}
