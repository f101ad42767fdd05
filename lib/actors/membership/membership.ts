// The membership actor: keeps what this peer knows of the ring, votes on its views, spreads that knowledge, and gives
// the other actors each new view. It sorts messages to its parts; each part owns its own state.
// Invariant: a batch of messages changes memory first, then the disk. Only then is anything sent that rests on it.

import type { Clock } from '../../clock.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { Body, Link, PeerEvent, Respond } from '../../network/network.js'
import type { Actor, Reply } from '../../runtime/actor.js'
import * as forms from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Evictor } from './evictor.js'
import type { Gossip } from './gossip.js'
import type { JoinRequests } from './join-requests.js'
import type { Joining } from './joining.js'
import type { KeptPeers } from './kept-peers.js'
import type { Learning } from './learning.js'
import type { Leaving } from './leaving.js'
import type { Limiting } from './limiting.js'
import type { MembershipMessage } from './membership-messages.js'
import type { Voting } from './voting.js'

export interface MembershipDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly learning: Learning
  readonly joining: Joining
  readonly joinRequests: JoinRequests
  readonly leaving: Leaving
  readonly limiting: Limiting
  readonly evictor: Evictor
  readonly voting: Voting
  readonly keptPeers: KeptPeers
}

export class Membership implements Actor<MembershipMessage> {
  readonly #deps: MembershipDeps

  constructor(deps: MembershipDeps) {
    this.#deps = deps
  }

  async receive(batch: readonly MembershipMessage[]): Promise<void> {
    const { durableRing, learning, voting, keptPeers } = this.#deps
    const { view } = durableRing.ring
    for (const message of batch) await this.#handle(message)
    await learning.learnRumors()
    if (durableRing.ring.view !== view) voting.chainGrew()
    durableRing.after(() => keptPeers.refresh())
    await durableRing.commit()
  }

  async #handle(message: MembershipMessage): Promise<void> {
    const { gossip, learning, voting, joinRequests, leaving, evictor } = this.#deps
    switch (message.type) {
      case 'start':
        return this.#handleStart()
      case 'request':
        return this.#handleRequest(message.from, message.body, message.respond)
      case 'learned':
        return learning.learnAnswer(message.knowledge, message.from)
      case 'give':
        leaving.heldBy(message.peerId, message.digest)
        return gossip.give(message.peerId, message.digest, message.wasWhole)
      case 'catch-up':
        return gossip.exchangeWith(message.peerId)
      case 'ready':
        return this.#handleReady(message.config, message.slots)
      case 'peer':
        return this.#handlePeer(message.event)
      case 'rumor':
        return learning.addRumor(message.from, message.rumor)
      case 'vote':
        return voting.count(message.ballot, message.from, message.phase, message.vote)
      case 'objection':
        return voting.objected(message.ballot, message.from)
      case 'answered':
        return joinRequests.answered(message.joiner)
      case 'depart':
        return this.#handleOrder(message.reply, () => this.#deps.leaving.order(message.order))
      case 'limit':
        return this.#handleOrder(message.reply, () => this.#deps.limiting.order(message.bytesPerS))
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

  /** Goes on with the ring that was on disk, under the addresses of this start; or founds a ring. */
  #handleStart(): void {
    const { durableRing, joining } = this.#deps
    joining.start()
    if (durableRing.isMember) durableRing.announce()
    durableRing.after(() => durableRing.publish())
  }

  async #handleRequest(from: Link, body: Body, respond: Respond): Promise<void> {
    const { gossip, learning, voting, durableRing } = this.#deps
    try {
      if (body.exchange !== undefined) gossip.exchange(body.exchange, respond)
      else if (body.prepare !== undefined) await voting.prepare(from, body.prepare, respond)
      else if (body.accept !== undefined) await voting.accept(from, body.accept, respond)
      else if (body.learn !== undefined) {
        await learning.learnPushed(forms.knowledgeFromWire(body.learn), from.peerId)
        durableRing.after(() => respond({ done: {} }))
      } else respond(new RingdError('BAD_REQUEST', 'not a message for membership'))
    } catch (thrown) {
      respond(toRingdError(thrown))
    }
  }

  #handleReady(config: number, slots: readonly number[]): void {
    const { durableRing, gossip } = this.#deps
    durableRing.markReady(config, slots)
    durableRing.after(() => gossip.rumor({ records: durableRing.record === undefined ? [] : [durableRing.record] }))
  }

  /** Does what an operator has ordered, and replies when it is on disk. */
  #handleOrder(reply: Reply<undefined>, order: () => void): void {
    try {
      order()
      this.#deps.durableRing.after(() => reply(undefined))
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

  /** The order matters: requests that are late are forgotten before anything is proposed. */
  async #handleTick(): Promise<void> {
    const { clock, gossip, joining, joinRequests, leaving, voting } = this.#deps
    const now = clock.elapsed()
    await joining.tick(now)
    joinRequests.tick(now)
    await leaving.tick(now)
    gossip.tick(now)
    await voting.tick(now)
  }
}
