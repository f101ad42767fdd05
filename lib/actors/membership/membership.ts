// The membership actor: keeps what this peer knows of the ring, votes on its views, spreads it, and sends pictures of
// it to whoever works by it. Its parts: DurableRing (state and disk), Voting, Gossip, Joining, Leaving, Eviction.
// Invariant: a batch of messages changes memory, then the disk, and only then is anything said.

import type { Bytes } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Body, Link, Network, PeerEvent, Respond } from '../../network/network.js'
import type { Actor, Ref, Reply } from '../../runtime/actor.js'
import { windowOwners } from '../../views/configs.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import type { RingState } from '../../views/ring-state.js'
import * as forms from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Evictor } from './evictor.js'
import type { Gossip } from './gossip.js'
import type { Joining } from './joining.js'
import type { Leaving } from './leaving.js'
import type { DepartureOrder, MembershipMessage } from './membership-messages.js'
import type { Voting } from './voting.js'

export interface MembershipDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly network: Network
  readonly self: Ref<MembershipMessage>
  readonly durableRing: DurableRing
  readonly voting: Voting
  readonly gossip: Gossip
  readonly joining: Joining
  readonly leaving: Leaving
  readonly evictor: Evictor
}

const EXCHANGE_MS = 2000
/** A peer that is not a member yet asks more often. */
const EXCHANGE_JOINING_MS = 200

export class Membership implements Actor<MembershipMessage> {
  readonly #deps: MembershipDeps
  #nextExchange = 0
  #introduced = false
  #kept: ReadonlyMap<PeerId, readonly string[]> = new Map()
  #told: RingState | undefined
  /** What the rumors of this batch tell: learned together, since each learning looks at every slot. */
  #rumored: Knowledge[] = []

  constructor(deps: MembershipDeps) {
    this.#deps = deps
  }

  async receive(batch: readonly MembershipMessage[]): Promise<void> {
    const { durableRing, voting } = this.#deps
    const view = durableRing.ring.view
    for (const message of batch) await this.#handle(message)
    await this.#learnRumored()
    if (durableRing.ring.view !== view) voting.chainGrew()
    durableRing.after(() => this.#tellNetwork())
    await durableRing.commit()
  }

  async #handle(message: MembershipMessage): Promise<void> {
    const { gossip, voting, joining, leaving, evictor } = this.#deps
    switch (message.type) {
      case 'start':
        return this.#handleStart()
      case 'request':
        return this.#handleRequest(message.from, message.body, message.respond)
      case 'learned':
        return this.#handleLearned(message.knowledge, message.from)
      case 'give':
        leaving.heard(message.peerId, message.digest)
        return gossip.give(message.peerId, message.digest, message.wasWhole)
      case 'catch-up':
        return gossip.exchangeWith(message.peerId)
      case 'ready':
        return this.#handleReady(message.config, message.slots)
      case 'peer':
        return this.#handlePeer(message.event)
      case 'rumor':
        return this.#handleRumor(message.from, message.rumor)
      case 'vote':
        return voting.count(message.ballot, message.from, message.phase, message.vote)
      case 'objection':
        return voting.objected(message.ballot, message.from)
      case 'answered':
        return joining.answered(message.joiner)
      case 'depart':
        return this.#handleDepart(message.order, message.reply)
      case 'hearing':
        return evictor.hear(message.hearing)
      case 'surplus':
        return leaving.surplus(message.slots, message.view)
      case 'tick':
        return this.#handleTick()
      default:
        message satisfies never
    }
  }

  /** Goes on with the ring that was on disk, under the addresses of today; or founds one. */
  #handleStart(): void {
    const { durableRing, joining } = this.#deps
    joining.start()
    if (durableRing.isMember) durableRing.announce()
    durableRing.after(() => durableRing.publish())
  }

  async #handleRequest(from: Link, body: Body, respond: Respond): Promise<void> {
    const { gossip, voting, durableRing } = this.#deps
    try {
      if (body.exchange !== undefined) gossip.exchange(body.exchange, respond)
      else if (body.prepare !== undefined) voting.prepare(from, body.prepare, respond)
      else if (body.accept !== undefined) voting.accept(from, body.accept, respond)
      else if (body.learn !== undefined) {
        await this.#learn(forms.knowledgeFromWire(body.learn), from.peerId, true)
        durableRing.after(() => respond({ done: {} }))
      } else respond(new RingdError('BAD_REQUEST', 'not a message for membership'))
    } catch (thrown) {
      respond(toRingdError(thrown))
    }
  }

  /** Takes in knowledge; wishes to join that were told directly, and are new here, are passed on by gossip. */
  async #learn(knowledge: Knowledge, from: PeerId | undefined, passOn: boolean): Promise<void> {
    const { durableRing, joining, leaving, gossip, log } = this.#deps
    const believed = this.#believes(from) ? knowledge : NO_KNOWLEDGE
    const joins = await joining.verify(knowledge.joins)
    const unheard = joins.filter(({ member }) => !durableRing.ring.joins.has(member.storeId))
    const departures = await leaving.verify(believed.departures)
    try {
      durableRing.learn({ ...believed, joins, departures })
    } catch (thrown) {
      log.warn({ err: thrown }, 'knowledge that makes no sense')
      throw toRingdError(thrown)
    }
    if (passOn && unheard.length > 0) durableRing.after(() => gossip.rumor({ joins: unheard }))
  }

  /**
   * A member takes views, bases and records from members only: anyone may dial, and wishes are all that others may
   * tell.
   */
  #believes(from: PeerId | undefined): boolean {
    const { durableRing } = this.#deps
    if (from === undefined || !durableRing.isMember) return true
    return peersOf(durableRing.ring.view!.peerIds).has(from)
  }

  /** Told in an answer, so there is nobody to refuse: nonsense was logged, and costs no more. */
  async #handleLearned(knowledge: Knowledge, from: PeerId | undefined): Promise<void> {
    try {
      await this.#learn(knowledge, from, false)
    } catch {}
  }

  #handleReady(config: number, slots: readonly number[]): void {
    const { durableRing, gossip } = this.#deps
    durableRing.markReady(config, slots)
    durableRing.after(() => gossip.rumor({ records: [durableRing.record()] }))
  }

  #handleDepart(order: DepartureOrder, reply: Reply<undefined>): void {
    const { leaving, durableRing } = this.#deps
    try {
      leaving.order(order)
      durableRing.after(() => reply(undefined))
    } catch (thrown) {
      reply(toRingdError(thrown))
    }
  }

  #handlePeer(event: PeerEvent): void {
    const { gossip, log } = this.#deps
    if (event.type === 'up') gossip.linkUp(event.link)
    else if (event.type === 'down') gossip.linkDown(event.peerId)
    else log.warn({ peer: event.peerId, code: event.error.code }, event.error.message)
  }

  #handleRumor(from: PeerId, rumor: Bytes): void {
    const { gossip, log } = this.#deps
    try {
      const knowledge = gossip.readRumor(from, rumor)
      this.#rumored.push(this.#believes(from) ? knowledge : { ...NO_KNOWLEDGE, joins: knowledge.joins })
    } catch (thrown) {
      log.debug({ peer: from, err: thrown }, 'bad rumor')
    }
  }

  async #learnRumored(): Promise<void> {
    const rumored = this.#rumored
    if (rumored.length === 0) return
    this.#rumored = []
    const records = rumored.flatMap((knowledge) => knowledge.records)
    const joins = rumored.flatMap((knowledge) => knowledge.joins)
    const departures = rumored.flatMap((knowledge) => knowledge.departures)
    await this.#handleLearned({ ...NO_KNOWLEDGE, records, joins, departures }, undefined)
  }

  async #handleTick(): Promise<void> {
    const { clock, durableRing, gossip, joining, leaving, evictor, voting } = this.#deps
    const now = clock.elapsed()
    await joining.tick(now)
    await leaving.tick(now)
    if (now >= this.#nextExchange) {
      this.#nextExchange = now + (durableRing.isMember ? EXCHANGE_MS : EXCHANGE_JOINING_MS)
      gossip.exchangeWithAnyone()
    }
    const { answeredAt } = joining
    const heardAt = new Map([...joining.heardAt, ...leaving.heardAt])
    const isUp = (id: MemberId) => gossip.isUp(id)
    const due = evictor.due(durableRing.ring, now)
    voting.consider({
      self: durableRing.storeId,
      ring: durableRing.ring,
      now,
      heardAt,
      answeredAt,
      isUp,
      eviction: due
    })
  }

  /** After the disk: says which ring this is, where it listens, and whom to stay connected with. */
  #tellNetwork(): void {
    const { durableRing, network } = this.#deps
    const { view, configs, records, joins } = durableRing.ring
    if (view === undefined || configs === undefined) return
    const told = this.#told
    if (configs === told?.configs && records === told.records && joins === told.joins) return
    this.#told = durableRing.ring
    if (!this.#introduced) {
      this.#introduced = true
      network.introduce(view.founding.ringId, durableRing.storeId)
    }
    const peers = new Map<PeerId, readonly string[]>()
    for (const join of joins.values()) peers.set(join.member.peerId, join.addresses)
    for (const member of view.members.values()) {
      peers.set(member.peerId, records.get(member.storeId)?.addresses ?? peers.get(member.peerId) ?? [])
    }
    // Who left still owns in windows that are open: it answers until it has handed over.
    const owners = view.peerIds.size > view.members.size ? windowOwners(configs) : []
    for (const id of owners) {
      const peerId = view.peerIds.get(id)!
      const addresses = records.get(id)?.addresses
      if (addresses !== undefined && !view.lost.has(id) && !peers.has(peerId)) peers.set(peerId, addresses)
    }
    peers.delete(durableRing.peerId)
    if (!sameAddresses(peers, this.#kept)) network.keep(peers)
    this.#kept = peers
  }
}

const peers = new WeakMap<ReadonlyMap<MemberId, PeerId>, ReadonlySet<PeerId>>()

/** The peers of all members that ever were: collected once for each view. */
function peersOf(peerIds: ReadonlyMap<MemberId, PeerId>): ReadonlySet<PeerId> {
  let known = peers.get(peerIds)
  if (known === undefined) {
    known = new Set(peerIds.values())
    peers.set(peerIds, known)
  }
  return known
}

function sameAddresses(one: ReadonlyMap<PeerId, readonly string[]>, other: ReadonlyMap<PeerId, readonly string[]>) {
  if (one.size !== other.size) return false
  for (const [peerId, addresses] of one) {
    const others = other.get(peerId)
    if (others === addresses) continue
    if (others?.length !== addresses.length || others.some((address, at) => address !== addresses[at])) return false
  }
  return true
}
