// The ways out of the ring: wishes that this member or a dead one goes, and when a member that is out of it may stop
// for good. Part of the membership actor.
// Invariant: a former member ends only after its data is handed over, every slot has settled, and a majority of the
// members and a quorum of the owners of every slot hold the newest view and bases: facts must not leave with it.
// Source: rules 10 and 11 of lib/views/README.md.

import { EMPTY_BYTES } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import { quorum, type View } from '../../views/chain.js'
import { newestConfig } from '../../views/configs.js'
import { type Departure, grantable, isOpen, slotsLeftShort } from '../../views/departure.js'
import type { Signer } from '../../views/join.js'
import { type Digest, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { longestWindow } from '../../views/readiness.js'
import { crcOfBases } from '../../views/ring-state.js'
import { signedDeparture } from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { DepartureOrder } from './membership-messages.js'

export interface LeavingDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly signer: Signer
  readonly gossip: Gossip
  /** This member is out of the ring, and nobody needs it any more. */
  readonly onGone: () => void
}

const RENEW_MS = 1000
/** A removal that was asked for and could not be agreed on is not wished for any longer. */
const REMOVE_MS = 60_000
/** A wish that nobody renews any more is forgotten. */
const FORGET_MS = 30_000

export class Leaving {
  readonly #deps: LeavingDeps
  /** Wishes of this peer's own making, and until when it goes on wishing; monotonic ms. */
  readonly #orders = new Map<MemberId, { readonly order: DepartureOrder; readonly until: number }>()
  readonly #heardAt = new Map<MemberId, number>()
  readonly #renewedAt = new Map<MemberId, number>()
  /** What each member holds, as it told in its last exchange. */
  readonly #heldBy = new Map<MemberId, { readonly view: number; readonly basesCrc: number }>()
  #nextWish = 0
  /** The view under which this member holds nothing that belongs to others. */
  #emptySince: number | undefined
  #surplus: number | null = null
  #isGone = false

  constructor(deps: LeavingDeps) {
    this.#deps = deps
  }

  /** When each wish that somebody goes was first heard here; monotonic ms. */
  get heardAt(): ReadonlyMap<MemberId, number> {
    return this.#heardAt
  }

  /** Slots that are stored here and belong to others; null while that is not known. */
  get surplusSlots(): number | null {
    return this.#surplus
  }

  /** Begins to wish that a member goes. Throws BAD_REQUEST, NOT_SERVING, TOO_FEW_MEMBERS, TOO_FEW_OWNERS. */
  order(order: DepartureOrder): void {
    const { durableRing, gossip, clock } = this.#deps
    const { target, force } = order
    const { view, departures, configs } = durableRing.ring
    if (view === undefined || configs === undefined || !durableRing.isMember)
      throw new RingdError('NOT_SERVING', 'this peer is not a member')
    const isSelf = target === durableRing.storeId
    const request = this.#draft(view, order)
    if (!isOpen(view, request)) throw new RingdError('BAD_REQUEST', 'there is no such member in the ring')
    if (!isSelf && !force && gossip.isUp(target)) {
      throw new RingdError('BAD_REQUEST', 'the member is up: have it leave, so that it hands over its data')
    }
    const others = Array.from(departures.values()).filter(({ storeId }) => storeId !== target)
    if (!grantable(view, [...others, request], 0).includes(request)) {
      const { replicas } = view.founding
      const left = view.members.size - others.length - 1
      throw new RingdError(
        'TOO_FEW_MEMBERS',
        `${left} members would remain, too few for ${replicas} copies of an entry`
      )
    }
    if (!isSelf && !force) {
      const wished = others.filter((request) => request.dead).map(({ storeId }) => storeId)
      const ordered = [...this.#orders.keys()].filter((id) => id !== durableRing.storeId)
      const short = slotsLeftShort(configs, target, new Set([...view.lost, ...wished, ...ordered]))
      if (short > 0) {
        throw new RingdError(
          'TOO_FEW_OWNERS',
          `what was acknowledged for ${short} slots may be on this member and others that are lost: bring it back`
        )
      }
    }
    if (isSelf) durableRing.leave(force)
    this.#orders.set(target, { order, until: isSelf ? Number.POSITIVE_INFINITY : clock.elapsed() + REMOVE_MS })
    this.#nextWish = 0
  }

  /** Those wishes that really come from whom they say, and who may wish. */
  async verify(requests: readonly Departure[]): Promise<readonly Departure[]> {
    const { durableRing, signer, log, clock } = this.#deps
    const genuine: Departure[] = []
    for (const request of requests) {
      const known = durableRing.ring.departures.get(request.storeId)
      if (known !== undefined && known.issuedAtMs >= request.issuedAtMs) continue
      // Granted already: whoever asked has not heard of it yet.
      const { view } = durableRing.ring
      if (view === undefined || !isOpen(view, request)) continue
      const mayRequest = this.#mayRequest(request)
      if (mayRequest && (await signer.verify(request.peerId, signedDeparture(request), request.signature)))
        genuine.push(request)
      else log.warn({ peer: request.peerId, member: request.storeId }, 'a wish to go that nobody may have made')
    }
    const now = clock.elapsed()
    for (const { storeId } of genuine) {
      if (!this.#heardAt.has(storeId)) this.#heardAt.set(storeId, now)
      this.#renewedAt.set(storeId, now)
    }
    return genuine
  }

  async tick(now: number): Promise<void> {
    const { durableRing } = this.#deps
    if (durableRing.leaving !== undefined && durableRing.isMember && !this.#orders.has(durableRing.storeId)) {
      // Told to leave in a former life of this process.
      const order = { target: durableRing.storeId, force: durableRing.leaving.force }
      this.#orders.set(durableRing.storeId, { order, until: Number.POSITIVE_INFINITY })
    }
    await this.#request(now)
    this.#forget(now)
    if (durableRing.wasRemoved && !this.#isGone && this.#mayEnd()) {
      this.#isGone = true
      this.#deps.log.info(
        { view: durableRing.ring.view!.number, leaving: durableRing.leaving !== undefined },
        'out of the ring'
      )
      this.#deps.onGone()
    }
  }

  /** What a peer holds, as it has just told. */
  heard(peerId: PeerId, { view, basesCrc }: Digest): void {
    const member = this.#deps.gossip.links.get(peerId)?.storeId
    if (this.#deps.durableRing.wasRemoved && member !== undefined) this.#heldBy.set(member, { view, basesCrc })
  }

  /** So many slots are stored here that belong to others, under that view. */
  surplus(slots: number, view: number): void {
    this.#surplus = slots
    this.#emptySince = slots === 0 ? view : undefined
  }

  /** A member wishes for itself; the removal of one that is dead is wished by another member. */
  #mayRequest({ storeId, peerId, dead }: Departure): boolean {
    const { view } = this.#deps.durableRing.ring
    if (view === undefined) return false
    if (!dead) return view.members.get(storeId)?.peerId === peerId
    for (const member of view.members.values()) if (member.peerId === peerId && member.storeId !== storeId) return true
    return false
  }

  async #request(now: number): Promise<void> {
    if (now < this.#nextWish || this.#orders.size === 0) return
    this.#nextWish = now + RENEW_MS
    const { durableRing, gossip, signer } = this.#deps
    const requests: Departure[] = []
    for (const [storeId, { order, until }] of this.#orders) {
      const view = durableRing.ring.view!
      const request = this.#draft(view, order)
      if (now >= until || !isOpen(view, request)) this.#orders.delete(storeId)
      else requests.push({ ...request, signature: await signer.sign(signedDeparture(request)) })
    }
    durableRing.learn({ ...NO_KNOWLEDGE, departures: await this.verify(requests) })
    durableRing.after(() => {
      for (const peerId of gossip.links.keys()) gossip.push(peerId, { ...NO_KNOWLEDGE, departures: requests })
      gossip.rumor({ departures: requests })
    })
  }

  /** Not signed yet. */
  #draft({ founding }: View, { target, force }: DepartureOrder): Departure {
    const { durableRing, clock } = this.#deps
    const dead = target !== durableRing.storeId
    const { ringId } = founding
    const issuedAtMs = clock.now()
    return { ringId, storeId: target, dead, peerId: durableRing.peerId, force, issuedAtMs, signature: EMPTY_BYTES }
  }

  #forget(now: number): void {
    const { durableRing } = this.#deps
    const late: MemberId[] = []
    for (const [id, renewed] of this.#renewedAt) {
      const isOpen = durableRing.ring.departures.has(id)
      if (isOpen && now - renewed <= FORGET_MS) continue
      if (isOpen) late.push(id)
      this.#renewedAt.delete(id)
      this.#heardAt.delete(id)
    }
    durableRing.forgetWishes(late)
  }

  #mayEnd(): boolean {
    const { view, configs, bases } = this.#deps.durableRing.ring
    if (view === undefined || configs === undefined) return false
    if (this.#emptySince !== view.number || longestWindow(configs) > 1) return false
    const basesCrc = crcOfBases(bases)
    const holds = (id: MemberId) => {
      const held = this.#heldBy.get(id)
      return held?.view === view.number && held.basesCrc === basesCrc
    }
    const members = [...view.members.keys()]
    if (members.filter(holds).length < quorum(members.length)) return false
    const newest = new Set(configs.windows.map(newestConfig))
    return Array.from(newest).every((config) => config.owners.filter(holds).length >= config.quorum)
  }
}
