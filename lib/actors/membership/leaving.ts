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
import { type Departure, grantable, isOpen, signedDeparture, slotsLeftShort } from '../../views/departure.js'
import { longestWindow } from '../../views/facts.js'
import type { Signer } from '../../views/join.js'
import { type Digest, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { crcOfBases } from '../../views/ring-state.js'
import type { RingKeeper } from './ring-keeper.js'
import type { Spreading } from './spreading.js'

export interface LeavingDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly keeper: RingKeeper
  readonly signer: Signer
  readonly spreading: Spreading
  /** This member is out of the ring, and nobody needs it any more. */
  readonly onGone: () => void
}

/** What is asked of a member: that `target` goes. */
export interface DepartureOrder {
  readonly target: MemberId
  readonly force: boolean
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
    const { keeper, spreading, clock } = this.#deps
    const { target, force } = order
    const { view, departures, configs } = keeper.ring
    if (view === undefined || configs === undefined || !keeper.isMember)
      throw new RingdError('NOT_SERVING', 'this peer is not a member')
    const isSelf = target === keeper.storeId
    const wish = this.#draft(view, order)
    if (!isOpen(view, wish)) throw new RingdError('BAD_REQUEST', 'there is no such member in the ring')
    if (!isSelf && !force && spreading.isUp(target)) {
      throw new RingdError('BAD_REQUEST', 'the member is up: have it leave, so that it hands over its data')
    }
    const others = Array.from(departures.values()).filter(({ storeId }) => storeId !== target)
    if (!grantable(view, [...others, wish], 0).includes(wish)) {
      const { replicas } = view.founding
      const left = view.members.size - others.length - 1
      throw new RingdError(
        'TOO_FEW_MEMBERS',
        `${left} members would remain, too few for ${replicas} copies of an entry`
      )
    }
    if (!isSelf && !force) {
      const wished = others.filter((wish) => wish.dead).map(({ storeId }) => storeId)
      const ordered = [...this.#orders.keys()].filter((id) => id !== keeper.storeId)
      const short = slotsLeftShort(configs, target, new Set([...view.lost, ...wished, ...ordered]))
      if (short > 0) {
        throw new RingdError(
          'TOO_FEW_OWNERS',
          `what was acknowledged for ${short} slots may be on this member and others that are lost: bring it back`
        )
      }
    }
    if (isSelf) keeper.leave(force)
    this.#orders.set(target, { order, until: isSelf ? Number.POSITIVE_INFINITY : clock.elapsed() + REMOVE_MS })
    this.#nextWish = 0
  }

  /** Those wishes that really come from whom they say, and who may wish. */
  async verify(wishes: readonly Departure[]): Promise<readonly Departure[]> {
    const { keeper, signer, log, clock } = this.#deps
    const genuine: Departure[] = []
    for (const wish of wishes) {
      const known = keeper.ring.departures.get(wish.storeId)
      if (known !== undefined && known.issuedAtMs >= wish.issuedAtMs) continue
      // Granted already: whoever asked has not heard of it yet.
      const { view } = keeper.ring
      if (view === undefined || !isOpen(view, wish)) continue
      const mayWish = this.#mayWish(wish)
      if (mayWish && (await signer.verify(wish.peerId, signedDeparture(wish), wish.signature))) genuine.push(wish)
      else log.warn({ peer: wish.peerId, member: wish.storeId }, 'a wish to go that nobody may have made')
    }
    const now = clock.elapsed()
    for (const { storeId } of genuine) {
      if (!this.#heardAt.has(storeId)) this.#heardAt.set(storeId, now)
      this.#renewedAt.set(storeId, now)
    }
    return genuine
  }

  async tick(now: number): Promise<void> {
    const { keeper } = this.#deps
    if (keeper.leaving !== undefined && keeper.isMember && !this.#orders.has(keeper.storeId)) {
      // Told to leave in a former life of this process.
      const order = { target: keeper.storeId, force: keeper.leaving.force }
      this.#orders.set(keeper.storeId, { order, until: Number.POSITIVE_INFINITY })
    }
    await this.#wish(now)
    this.#forget(now)
    if (keeper.wasRemoved && !this.#isGone && this.#mayEnd()) {
      this.#isGone = true
      this.#deps.log.info({ view: keeper.ring.view!.number, leaving: keeper.leaving !== undefined }, 'out of the ring')
      this.#deps.onGone()
    }
  }

  /** What a peer holds, as it has just told. */
  heard(peerId: PeerId, { view, basesCrc }: Digest): void {
    const member = this.#deps.spreading.links.get(peerId)?.storeId
    if (this.#deps.keeper.wasRemoved && member !== undefined) this.#heldBy.set(member, { view, basesCrc })
  }

  /** So many slots are stored here that belong to others, under that view. */
  surplus(slots: number, view: number): void {
    this.#surplus = slots
    this.#emptySince = slots === 0 ? view : undefined
  }

  /** A member wishes for itself; the removal of one that is dead is wished by another member. */
  #mayWish({ storeId, peerId, dead }: Departure): boolean {
    const { view } = this.#deps.keeper.ring
    if (view === undefined) return false
    if (!dead) return view.members.get(storeId)?.peerId === peerId
    for (const member of view.members.values()) if (member.peerId === peerId && member.storeId !== storeId) return true
    return false
  }

  async #wish(now: number): Promise<void> {
    if (now < this.#nextWish || this.#orders.size === 0) return
    this.#nextWish = now + RENEW_MS
    const { keeper, spreading, signer } = this.#deps
    const wishes: Departure[] = []
    for (const [storeId, { order, until }] of this.#orders) {
      const view = keeper.ring.view!
      const wish = this.#draft(view, order)
      if (now >= until || !isOpen(view, wish)) this.#orders.delete(storeId)
      else wishes.push({ ...wish, signature: await signer.sign(signedDeparture(wish)) })
    }
    keeper.learn({ ...NO_KNOWLEDGE, departures: await this.verify(wishes) })
    keeper.after(() => {
      for (const peerId of spreading.links.keys()) spreading.push(peerId, { ...NO_KNOWLEDGE, departures: wishes })
      spreading.rumor({ departures: wishes })
    })
  }

  /** Not signed yet. */
  #draft({ founding }: View, { target, force }: DepartureOrder): Departure {
    const { keeper, clock } = this.#deps
    const dead = target !== keeper.storeId
    const { ringId } = founding
    const issuedAtMs = clock.now()
    return { ringId, storeId: target, dead, peerId: keeper.peerId, force, issuedAtMs, signature: EMPTY_BYTES }
  }

  #forget(now: number): void {
    const { keeper } = this.#deps
    const late: MemberId[] = []
    for (const [id, renewed] of this.#renewedAt) {
      const isOpen = keeper.ring.departures.has(id)
      if (isOpen && now - renewed <= FORGET_MS) continue
      if (isOpen) late.push(id)
      this.#renewedAt.delete(id)
      this.#heardAt.delete(id)
    }
    keeper.forgetWishes(late)
  }

  #mayEnd(): boolean {
    const { view, configs, bases } = this.#deps.keeper.ring
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
