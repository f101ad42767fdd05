// The join requests of others, as a member hears them: verified, kept while their joiner answers, then forgotten.
// Part of the membership actor. The request of this peer itself is in joining.ts.

import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Ref } from '../../runtime/actor.js'
import type { JoinRequest } from '../../views/join.js'
import { JOINS_MAX } from '../../views/ring-state.js'
import { signedPart } from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { MembershipMessage } from './membership-messages.js'
import type { Verifier } from './verifier.js'

export interface JoinRequestsDeps {
  readonly clock: Clock
  readonly verifier: Verifier
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly self: Ref<MembershipMessage>
}

/** Of all requests that are kept, one peer may bring this many: else it could keep all other joiners out. */
const BROUGHT_MAX = JOINS_MAX / 4
const PING_REPEAT_MS = 1000
const PING_TIMEOUT_MS = 2000
/** A request is forgotten when its joiner has not answered for this long. */
const FORGET_MS = 30_000
/**
 * A forgotten request is remembered as forgotten, for this long and at most this many. Otherwise peers that still know
 * it would bring it back.
 */
const FORGOTTEN_MS = 300_000
const FORGOTTEN_MAX = 1024

export class JoinRequests {
  readonly #deps: JoinRequestsDeps
  readonly #heardAt = new Map<MemberId, number>()
  readonly #answeredAt = new Map<MemberId, number>()
  /** When the forgotten request of each joiner was issued: only a later one is heard. Oldest first. */
  readonly #forgotten = new Map<MemberId, { readonly issuedAtMs: number; readonly at: number }>()
  /** The peer that told of each joiner first. */
  readonly #bringers = new Map<MemberId, PeerId>()
  /** When to ping all joiners again; monotonic ms. One that was not pinged yet is pinged at once. */
  #nextPing = 0
  readonly #pinged = new Set<MemberId>()

  constructor(deps: JoinRequestsDeps) {
    this.#deps = deps
  }

  /** When the request of each joiner was first heard here; monotonic ms. */
  get heardAt(): ReadonlyMap<MemberId, number> {
    return this.#heardAt
  }

  /** When each joiner answered a ping last; monotonic ms. */
  get answeredAt(): ReadonlyMap<MemberId, number> {
    return this.#answeredAt
  }

  answered(joiner: MemberId): void {
    if (this.#heardAt.has(joiner)) this.#answeredAt.set(joiner, this.#deps.clock.elapsed())
  }

  /**
   * Of these requests, which `from` brought, those that are newer than what is known here and that their joiner has
   * signed. After one with a wrong signature the rest is ignored.
   */
  async verify(joins: readonly JoinRequest[], from?: PeerId): Promise<readonly JoinRequest[]> {
    const { durableRing, verifier } = this.#deps
    const genuine: JoinRequest[] = []
    for (const join of joins) {
      const { storeId, peerId } = join.member
      const heard = durableRing.ring.joins.get(storeId)?.issuedAtMs ?? this.#forgotten.get(storeId)?.issuedAtMs
      if (heard !== undefined && heard >= join.issuedAtMs) continue
      if (!this.#mayBring(storeId, from)) continue
      const claim = { peerId, statement: signedPart(join), signature: join.signature }
      if (!(await verifier.holds('join request', [claim], from))) break
      genuine.push(join)
      if (from !== undefined && !this.#bringers.has(storeId)) this.#bringers.set(storeId, from)
    }
    const now = this.#deps.clock.elapsed()
    for (const { member } of genuine) if (!this.#heardAt.has(member.storeId)) this.#heardAt.set(member.storeId, now)
    return genuine
  }

  /** A known joiner may be told of by anybody. */
  #mayBring(joiner: MemberId, from: PeerId | undefined): boolean {
    if (from === undefined || this.#bringers.has(joiner)) return true
    let brought = 0
    for (const bringer of this.#bringers.values()) if (bringer === from) brought += 1
    return brought < BROUGHT_MAX
  }

  tick(now: number): void {
    if (this.#deps.durableRing.isMember) this.#pingJoiners(now)
    this.#forgetLate(now)
  }

  /** A joiner must have just answered before it is proposed: a view with a dead member costs every member. */
  #pingJoiners(now: number): void {
    const { durableRing, gossip, self } = this.#deps
    const view = durableRing.ring.view?.number ?? 0
    const isTime = now >= this.#nextPing
    if (isTime) this.#nextPing = now + PING_REPEAT_MS
    for (const joiner of durableRing.ring.joins.keys()) {
      if (!isTime && this.#pinged.has(joiner)) continue
      this.#pinged.add(joiner)
      gossip.request(joiner, { ping: { view } }, PING_TIMEOUT_MS, (answer) => {
        if (!(answer instanceof RingdError)) self.signal({ type: 'answered', joiner })
      })
    }
  }

  #forgetLate(now: number): void {
    const { durableRing } = this.#deps
    const late: MemberId[] = []
    for (const [id, heard] of this.#heardAt) {
      const join = durableRing.ring.joins.get(id)
      if (join !== undefined && now - Math.max(heard, this.#answeredAt.get(id) ?? 0) <= FORGET_MS) continue
      this.#heardAt.delete(id)
      this.#answeredAt.delete(id)
      this.#bringers.delete(id)
      this.#pinged.delete(id)
      if (join === undefined) continue
      late.push(id)
      this.#forgotten.delete(id)
      this.#forgotten.set(id, { issuedAtMs: join.issuedAtMs, at: now })
    }
    durableRing.forgetRequests(late)
    for (const [id, { at }] of this.#forgotten) {
      if (this.#forgotten.size <= FORGOTTEN_MAX && now - at <= FORGOTTEN_MS) break
      this.#forgotten.delete(id)
    }
  }
}
