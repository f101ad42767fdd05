// How this peer asks that a member leaves the ring (itself, or one that is dead), and when a former member may stop for
// good. Part of the membership actor.
// Invariant: a former member stops for good only after three things: its data is handed over, every slot has settled,
// and a majority of the members and a quorum of the owners of every slot hold the newest view and bases. Else the last
// copy of that knowledge could leave with it.
// Source: rules 10 and 11 of lib/views/README.md.

import { EMPTY_BYTES } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import { chooses, quorum, type View } from '../../views/chain.js'
import { type ConfigTable, newestConfig } from '../../views/configs.js'
import { type Departure, grantable, isOpen, slotsLeftShort } from '../../views/departure.js'
import type { Signer } from '../../views/join.js'
import { type Digest, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { longestWindow } from '../../views/readiness.js'
import { crcOfBases } from '../../views/ring-state.js'
import { standingOf } from '../../views/standing.js'
import { signedDeparture } from '../../views/wire-codec.js'
import type { DepartureRequests } from './departure-requests.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { DepartureOrder } from './membership-messages.js'

export interface LeavingDeps {
  readonly clock: Clock
  /** The wall clock, or what the other members show while that is wrong: requests are dated by it. */
  readonly now: () => number
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly signer: Signer
  readonly gossip: Gossip
  readonly departureRequests: DepartureRequests
  /** This member is out of the ring, and no other member needs it any more. */
  readonly onDeparted: () => void
}

const RENEW_MS = 1000
/** A removal that was not agreed on within this is not asked for any longer. */
const REMOVE_MS = 60_000
const NOT_AGREED =
  'the members did not agree to remove the member: most of them hear it, or too few answer; stop it, then ask again'

/** A request of this peer, which it renews until then; monotonic ms. */
interface Renewed {
  readonly order: DepartureOrder
  readonly until: number
}

/** How many slots are stored here and owned by others, and under which view that was counted. */
interface Surplus {
  readonly slots: number
  readonly view: number
}

/** The view and bases that a member holds, as its last exchange told. */
interface Held {
  readonly view: number
  readonly basesCrc: number
}

export class Leaving {
  readonly #deps: LeavingDeps
  /** By the member that is to leave. */
  readonly #renewed = new Map<MemberId, Renewed>()
  readonly #heldBy = new Map<MemberId, Held>()
  #nextRenewal = 0
  #surplus: Surplus | undefined
  #hasDeparted = false

  constructor(deps: LeavingDeps) {
    this.#deps = deps
  }

  /** Slots that are stored here and belong to others; null while that is not known. */
  get surplusSlots(): number | null {
    return this.#surplus?.slots ?? null
  }

  /**
   * Begins to ask that a member leaves. Throws BAD_REQUEST, NOT_SERVING, TOO_FEW_MEMBERS, TOO_FEW_OWNERS, and NO_QUORUM
   * when too few members answer to agree on a removal.
   */
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
      // With `force` the others are asked all the same. They refuse as long as they hear it.
      throw new RingdError('BAD_REQUEST', 'the member is up: have it leave, or stop it first')
    }
    const others = Array.from(departures.values()).filter(({ storeId }) => storeId !== target)
    if (!grantable(view, [...others, request], 0).includes(request)) {
      const { replicas } = view.founding
      const left = view.members.size - others.length - 1
      throw new RingdError(
        'TOO_FEW_MEMBERS',
        `${left} members would remain, too few for ${replicas} copies of an entry; --force does it all the same`
      )
    }
    if (!isSelf && !force) this.#checkOwnersLeft(view, configs, target, others)
    if (!isSelf) this.#checkVotersLeft(view, target)
    if (isSelf) durableRing.leave(force)
    this.#renewed.set(target, { order, until: isSelf ? Number.POSITIVE_INFINITY : clock.elapsed() + REMOVE_MS })
    this.#nextRenewal = 0
  }

  async tick(now: number): Promise<void> {
    const { durableRing, departureRequests, onDeparted, log } = this.#deps
    const { storeId, leaving } = durableRing
    if (durableRing.standing === 'leaving' && !this.#renewed.has(storeId)) {
      // The order came in an earlier start of this process.
      const order = { target: storeId, force: leaving!.force }
      this.#renewed.set(storeId, { order, until: Number.POSITIVE_INFINITY })
    }
    await this.#renew(now)
    departureRequests.forgetLate(now)
    if (durableRing.standing === 'departed' && !this.#hasDeparted && this.#mayStop()) {
      this.#hasDeparted = true
      log.info({ view: durableRing.ring.view!.number, leaving: leaving !== undefined }, 'out of the ring')
      onDeparted()
    }
  }

  /** Remembers what a peer holds, as its exchange has just told. */
  heldBy(peerId: PeerId, { view, basesCrc }: Digest): void {
    const { gossip, durableRing } = this.#deps
    const link = gossip.links.get(peerId)
    const known = durableRing.ring.view
    if (durableRing.standing !== 'departed' || link === undefined || known === undefined) return
    // A peer that claims the id of a member could end this one too early.
    if (standingOf(known, link) === 'member') this.#heldBy.set(link.storeId, { view, basesCrc })
  }

  /** The handoff has counted the slots that are stored here and owned by others. */
  surplus(slots: number, view: number): void {
    this.#surplus = { slots, view }
  }

  /** Throws TOO_FEW_OWNERS when a slot would be left with too few owners to know all that was acknowledged. */
  #checkOwnersLeft(view: View, configs: ConfigTable, target: MemberId, others: readonly Departure[]): void {
    const asked = others.filter((request) => request.dead).map(({ storeId }) => storeId)
    const ordered = [...this.#renewed.keys()].filter((id) => id !== this.#deps.durableRing.storeId)
    const short = slotsLeftShort(configs, target, new Set([...view.lost, ...asked, ...ordered]))
    if (short === 0) return
    throw new RingdError(
      'TOO_FEW_OWNERS',
      `acknowledged writes of ${short} slots may be on this member and on lost ones alone: bring it back`
    )
  }

  /** Throws NO_QUORUM when the members that answer are too few to agree: the request would wait in vain. */
  #checkVotersLeft(view: View, target: MemberId): void {
    const { durableRing, gossip } = this.#deps
    const answering = [...view.members.keys()].filter((id) => gossip.isUp(id))
    const voters = new Set(answering.filter((id) => id !== target))
    if (durableRing.isTrusted && chooses(view, voters)) return
    const of = view.members.size
    throw new RingdError(
      'NO_QUORUM',
      `${of - answering.length} of ${of} members do not answer, so the others cannot agree on it; bring some back, ` +
        'or if they are lost for good, stop this daemon and run ringd rescue --data DIR'
    )
  }

  /** Signs every request of this peer anew and sends it to all: others forget a request that is not renewed. */
  async #renew(now: number): Promise<void> {
    if (now < this.#nextRenewal || this.#renewed.size === 0) return
    this.#nextRenewal = now + RENEW_MS
    const { durableRing, gossip, signer, departureRequests, log } = this.#deps
    const requests: Departure[] = []
    for (const [storeId, { order, until }] of this.#renewed) {
      const view = durableRing.ring.view!
      const request = this.#draft(view, order)
      if (now >= until || !isOpen(view, request)) {
        this.#renewed.delete(storeId)
        if (isOpen(view, request)) log.warn({ member: storeId }, NOT_AGREED)
      } else requests.push({ ...request, signature: await signer.sign(signedDeparture(request)) })
    }
    durableRing.learn({ ...NO_KNOWLEDGE, departures: await departureRequests.verify(requests) })
    durableRing.after(() => {
      for (const peerId of gossip.links.keys()) gossip.push(peerId, { ...NO_KNOWLEDGE, departures: requests })
      gossip.rumor({ departures: requests })
    })
  }

  /** Not signed yet. */
  #draft({ founding }: View, { target, force }: DepartureOrder): Departure {
    const { durableRing, now } = this.#deps
    const dead = target !== durableRing.storeId
    const { ringId } = founding
    const issuedAtMs = now()
    return { ringId, storeId: target, dead, peerId: durableRing.peerId, force, issuedAtMs, signature: EMPTY_BYTES }
  }

  /** Whether the invariant of this file holds. */
  #mayStop(): boolean {
    const { view, configs, bases } = this.#deps.durableRing.ring
    if (view === undefined || configs === undefined) return false
    const isHandedOver = this.#surplus?.slots === 0 && this.#surplus.view === view.number
    if (!isHandedOver || longestWindow(configs) > 1) return false
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
