// Voting on the next view, as acceptor and as proposer: Paxos, one instance for each view. Part of the membership
// actor. As proposer: `#sendPrepare` asks for promises (phase 1), `count` counts votes, `#sendAccept` asks for
// acceptance (phase 2), `#chosen` tells of the view. As acceptor: `prepare` and `accept` answer. See agreement.md.
// Invariant: a promise or an acceptance, this member's own included, is on disk before any peer is told of it.

import { fromHex } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import { type Body, InformedRefusal, type Link, type Respond } from '../../network/network.js'
import type { Accept, Prepare } from '../../network/wire.js'
import type { Random } from '../../random.js'
import type { Ref } from '../../runtime/actor.js'
import { applyChange, type ViewChange } from '../../views/chain.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { accept, type Ballot, type Proposal, promise, type Vote } from '../../views/paxos.js'
import * as forms from '../../views/wire-codec.js'
import type { DepartureRequests } from './departure-requests.js'
import type { DurableRing } from './durable-ring.js'
import type { Evictor } from './evictor.js'
import type { Gossip } from './gossip.js'
import type { JoinRequests } from './join-requests.js'
import type { MembershipMessage, VotePhase } from './membership-messages.js'
import { PROPOSER_DEFAULTS, Proposer, type ProposerInput, type ProposerOptions } from './proposer.js'

export interface VotingDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly evictor: Evictor
  readonly joinRequests: Pick<JoinRequests, 'heardAt' | 'answeredAt'>
  readonly departureRequests: Pick<DepartureRequests, 'heardAt'>
  readonly self: Ref<MembershipMessage>
}

const VOTE_TIMEOUT_MS = 2000
const OBJECTION = 'the member to evict is up here'

export class Voting {
  readonly #deps: VotingDeps
  readonly #proposer: Proposer

  constructor(deps: VotingDeps, options: Partial<ProposerOptions> = {}) {
    this.#deps = deps
    const onRefused = (member: MemberId, now: number) => deps.evictor.refused(member, now)
    this.#proposer = new Proposer(deps.random, { ...PROPOSER_DEFAULTS, ...options }, onRefused)
    this.#proposer.outbid(deps.durableRing.acceptor.promised)
  }

  /** Proposes the next view when it is time. */
  tick(now: number): void {
    const { durableRing, gossip, evictor, joinRequests, departureRequests } = this.#deps
    this.consider({
      self: durableRing.storeId,
      ring: durableRing.ring,
      now,
      heardAt: new Map([...joinRequests.heardAt, ...departureRequests.heardAt]),
      answeredAt: joinRequests.answeredAt,
      isUp: (id: MemberId) => gossip.isUp(id),
      eviction: evictor.due(durableRing.ring, now)
    })
  }

  consider(input: ProposerInput): void {
    if (!this.#deps.durableRing.isTrusted) return
    const proposal = this.#proposer.consider(input)
    if (proposal !== undefined) this.#sendPrepare(proposal)
  }

  /** Phase 1: asks every acceptor to promise. */
  #sendPrepare(proposal: Proposal): void {
    const { instance, ballot } = proposal
    this.#deps.log.debug({ view: instance, round: ballot.round }, 'proposing a view')
    const { evicting } = this.#proposer
    if (evicting !== undefined) this.#deps.evictor.proposed(evicting)
    const evictions = evicting === undefined ? [] : [fromHex(evicting)]
    const body: Body = { prepare: { instance, ballot: forms.ballotToWire(ballot), evictions } }
    this.#askAll(proposal, 'preparing', body, () => this.#promiseSelf(ballot))
  }

  /** The ring has a newer view. */
  chainGrew(): void {
    this.#proposer.chainGrew(this.#deps.durableRing.ring.view?.number ?? 0)
  }

  /** Counts a vote: a majority of promises leads to phase 2, a majority of acceptances to the view. */
  count(ballot: Ballot, from: MemberId, phase: VotePhase, vote: Vote): void {
    if (vote.accepted !== undefined && !this.#follows(vote.accepted.change)) return
    const { evicting } = this.#proposer
    const proposal = this.#proposer.vote(ballot, from, phase, vote, this.#deps.clock.elapsed())
    if (proposal?.phase === 'accepting') this.#sendAccept(proposal)
    else if (proposal?.phase === 'chosen') this.#chosen(proposal.change, evicting)
  }

  /** An acceptor refuses to promise, because it hears the member that the ballot would evict. */
  objected(ballot: Ballot, from: MemberId): void {
    this.#proposer.objected(ballot, from, this.#deps.clock.elapsed())
  }

  /** Whether the change follows the newest view. Else this attempt is over, or the acceptor is wrong. */
  #follows(change: ViewChange): boolean {
    try {
      applyChange(this.#deps.durableRing.ring.view, change)
      return true
    } catch (thrown) {
      this.#deps.log.debug(
        { err: thrown },
        'a promise tells of an acceptance that does not follow the newest view; vote ignored'
      )
      return false
    }
  }

  /** Phase 1 at the acceptor: promises, or refuses. */
  prepare(from: Link, message: Prepare, respond: Respond): void {
    const { instance } = message
    if (!this.#admits(from, instance, respond)) return
    if (this.#objects(from, message, respond)) return
    const vote = this.#promiseSelf(forms.ballotFromWire(message.ballot))
    this.#deps.durableRing.after(() => respond({ promised: forms.promisedToWire(vote) }))
  }

  /**
   * Refuses to promise when this member hears one that the ballot would evict. It may refuse here only, never in
   * `accept`: a change that another acceptor has accepted must stay acceptable, or the ring would never have a next
   * view.
   */
  #objects({ storeId }: Link, { evictions }: Prepare, respond: Respond): boolean {
    const { evictor, durableRing } = this.#deps
    const members = evictions.map(forms.idFromWire)
    const heard = members.includes(durableRing.storeId) ? durableRing.storeId : evictor.heardOf(members)
    if (heard === undefined) return false
    evictor.objected(heard, storeId)
    respond(new RingdError('BAD_REQUEST', OBJECTION))
    return true
  }

  /** Phase 2 at the acceptor: accepts the change, unless a higher ballot was promised. */
  accept(from: Link, message: Accept, respond: Respond): void {
    if (!this.#admits(from, message.instance, respond)) return
    const change = forms.changeFromWire(message.change)
    applyChange(this.#deps.durableRing.ring.view, change)
    const vote = this.#acceptSelf(forms.ballotFromWire(message.ballot), change)
    const promised = forms.ballotToWire(vote.promised)
    this.#deps.durableRing.after(() => respond({ accepted: { granted: vote.granted, promised } }))
  }

  /**
   * Whether this member votes on `instance`; if not, it has responded. Only members vote, and only on the view after
   * their newest. A proposer of an older view is told the newer ones.
   */
  #admits(from: Link, instance: number, respond: Respond): boolean {
    const { durableRing, gossip } = this.#deps
    const known = durableRing.ring.view?.number ?? 0
    if (instance <= known) {
      durableRing.after(() => respond(durableRing.refuse('STALE_VIEW', instance - 1)))
      return false
    }
    if (instance === known + 1 && durableRing.isMember && durableRing.isTrusted)
      return this.#isFromMember(from, respond)
    if (instance > known + 1) gossip.exchangeWith(from.peerId)
    respond(new RingdError('BEHIND', `view ${known} is the newest known here`))
    return false
  }

  /** Refuses strangers: the ballot of one could be so high that no member could ever go above it. */
  #isFromMember({ peerId, storeId }: Link, respond: Respond): boolean {
    if (this.#deps.durableRing.ring.view?.members.get(storeId)?.peerId === peerId) return true
    respond(new RingdError('BAD_REQUEST', 'only members propose views'))
    return false
  }

  #promiseSelf(ballot: Ballot): Vote {
    const [state, vote] = promise(this.#deps.durableRing.acceptor, ballot)
    this.#deps.durableRing.vote(state)
    this.#proposer.outbid(vote.promised)
    return vote
  }

  #acceptSelf(ballot: Ballot, change: ViewChange): Vote {
    const [state, vote] = accept(this.#deps.durableRing.acceptor, ballot, change)
    this.#deps.durableRing.vote(state)
    return vote
  }

  /** Phase 2: asks every acceptor to accept. */
  #sendAccept(proposal: Proposal): void {
    const { instance, ballot, change } = proposal
    if (instance !== this.#deps.durableRing.acceptor.instance) return
    const body: Body = { accept: { instance, ballot: forms.ballotToWire(ballot), change: forms.changeToWire(change) } }
    this.#askAll(proposal, 'accepting', body, () => this.#acceptSelf(ballot, change))
  }

  /** Asks for votes. Its own vote is on disk before the others are asked: so no ballot is used twice after a crash. */
  #askAll(proposal: Proposal, phase: VotePhase, body: Body, voteSelf: () => Vote): void {
    const { durableRing, self } = this.#deps
    const { ballot } = proposal
    const mine = voteSelf()
    durableRing.after(() => {
      self.signal({ type: 'vote', ballot, from: durableRing.storeId, phase, vote: mine })
      for (const member of proposal.acceptors)
        if (member !== durableRing.storeId) this.#askOne(member, ballot, phase, body)
    })
  }

  #askOne(member: MemberId, ballot: Ballot, phase: VotePhase, body: Body): void {
    const { gossip, self, log } = this.#deps
    gossip.request(member, body, VOTE_TIMEOUT_MS, (answer) => {
      try {
        if (answer instanceof InformedRefusal) {
          self.signal({ type: 'learned', knowledge: forms.knowledgeFromWire(answer.knowledge) })
        }
        if (phase === 'preparing' && answer instanceof RingdError && answer.code === 'BAD_REQUEST') {
          self.signal({ type: 'objection', ballot, from: member })
        }
        if (answer instanceof RingdError) return
        const vote = readVote(phase, answer)
        if (vote !== undefined) self.signal({ type: 'vote', ballot, from: member, phase, vote })
      } catch (thrown) {
        log.warn({ member, err: thrown }, 'answer to a ballot cannot be read; ignored')
      }
    })
  }

  /** A majority has accepted: learns the view, and tells the members of both views. */
  #chosen(change: ViewChange, evicting: MemberId | undefined): void {
    const { durableRing, gossip, log } = this.#deps
    if (change.number !== (durableRing.ring.view?.number ?? 0) + 1) return
    const before = durableRing.ring.view
    durableRing.learn({ ...NO_KNOWLEDGE, changes: [change] })
    const { number, joins, removals, lost = [] } = change
    log.info({ view: number, joins: joins.length, removals: removals.length, lost: lost.length }, 'view chosen')
    if (evicting !== undefined && lost.includes(evicting)) this.#deps.evictor.done(evicting, number)
    durableRing.after(() =>
      gossip.tellAll([...(before?.members.keys() ?? []), ...change.joins.map((m) => m.storeId)], change)
    )
  }
}

function readVote(phase: VotePhase, answer: Body): Vote | undefined {
  if (phase === 'preparing') return answer.promised && forms.promisedFromWire(answer.promised)
  const { accepted } = answer
  return accepted && { granted: accepted.granted, promised: forms.ballotFromWire(accepted.promised) }
}
