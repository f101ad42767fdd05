// Voting on the next view, as acceptor and as proposer: Paxos, one instance for each view. Part of the membership
// actor. As proposer: `#sendPrepare` asks for promises (phase 1), `count` counts votes, `#sendAccept` asks for
// acceptance (phase 2), `#chosen` tells of the view. As acceptor: `prepare` and `accept` answer. See agreement.md.
// Invariant: a promise or an acceptance, this member's own included, is on disk before any peer is told of it.

import { type Bytes, EMPTY_BYTES, fromHex } from '../../bytes.js'
import type { Clock } from '../../clock.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId } from '../../member.js'
import { type Body, InformedRefusal, type Link, type Respond } from '../../network/network.js'
import type { Accept, Prepare } from '../../network/wire.js'
import type { Random } from '../../random.js'
import type { Ref } from '../../runtime/actor.js'
import { type Ballot, compareBallots } from '../../views/ballot.js'
import { applyChange, type View, type ViewChange } from '../../views/chain.js'
import type { Signer } from '../../views/join.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { type Acceptance, accept, type Proposal, promise, type Vote } from '../../views/paxos.js'
import { claimOfMember, claimsOfProof, promiseStatement, voteStatement } from '../../views/votes.js'
import * as forms from '../../views/wire-codec.js'
import type { DepartureRequests } from './departure-requests.js'
import type { DurableRing } from './durable-ring.js'
import type { Evictor } from './evictor.js'
import type { Gossip } from './gossip.js'
import type { JoinRequests } from './join-requests.js'
import type { MembershipMessage, VotePhase } from './membership-messages.js'
import { PROPOSER_DEFAULTS, Proposer, type ProposerInput, type ProposerOptions } from './proposer.js'
import type { Verifier } from './verifier.js'

export interface VotingDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly signer: Pick<Signer, 'sign'>
  readonly verifier: Verifier
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly evictor: Evictor
  readonly joinRequests: Pick<JoinRequests, 'heardAt' | 'answeredAt'>
  readonly departureRequests: Pick<DepartureRequests, 'heardAt'>
  readonly self: Ref<MembershipMessage>
}

const VOTE_TIMEOUT_MS = 2000
const OBJECTION = 'the member to remove is up here'

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
  async tick(now: number): Promise<void> {
    const { durableRing, gossip, evictor, joinRequests, departureRequests } = this.#deps
    await this.consider({
      self: durableRing.storeId,
      ring: durableRing.ring,
      now,
      heardAt: new Map([...joinRequests.heardAt, ...departureRequests.heardAt]),
      answeredAt: joinRequests.answeredAt,
      isUp: (id: MemberId) => gossip.isUp(id),
      eviction: evictor.due(durableRing.ring, now)
    })
  }

  async consider(input: ProposerInput): Promise<void> {
    if (!this.#deps.durableRing.isTrusted) return
    const proposal = this.#proposer.consider(input)
    if (proposal !== undefined) await this.#sendPrepare(proposal)
  }

  /** Phase 1: asks every acceptor to promise. */
  async #sendPrepare(proposal: Proposal): Promise<void> {
    const { instance, ballot } = proposal
    this.#deps.log.debug({ view: instance, round: ballot.round }, 'proposing a view')
    const { evicting } = this.#proposer
    if (evicting !== undefined) this.#deps.evictor.proposed(evicting)
    const evictions = proposal.evictions.map(fromHex)
    const body: Body = { prepare: { instance, ballot: forms.ballotToWire(ballot), evictions } }
    this.#askAll(proposal, 'preparing', body, await this.#promiseSelf(ballot, proposal.evictions))
  }

  /** The ring has a newer view. */
  chainGrew(): void {
    this.#proposer.chainGrew(this.#deps.durableRing.ring.view?.number ?? 0)
  }

  /** Counts a vote: a majority of promises leads to phase 2, a majority of acceptances to the view. */
  async count(ballot: Ballot, from: MemberId, phase: VotePhase, vote: Vote): Promise<void> {
    const attempt = this.#proposer.attempt
    if (attempt?.phase !== phase || compareBallots(attempt.ballot, ballot) !== 0) return
    const counted = await this.#verified(attempt, from, vote)
    if (counted === undefined) return
    const { evicting } = this.#proposer
    const proposal = this.#proposer.vote(ballot, from, phase, counted, this.#deps.clock.elapsed())
    if (proposal?.phase === 'accepting') await this.#sendAccept(proposal)
    else if (proposal?.phase === 'chosen') this.#chosen(proposal.change, evicting)
  }

  /**
   * The vote as it counts; undefined when it does not count. An acceptance that comes without a valid proof was never
   * made by a correct member, so it binds nobody and is left out.
   */
  async #verified(attempt: Proposal, from: MemberId, vote: Vote): Promise<Vote | undefined> {
    const { verifier, durableRing } = this.#deps
    const { view } = durableRing.ring
    if (view === undefined || attempt.instance !== view.number + 1) return undefined
    const { accepted, ...bare } = vote
    if (accepted !== undefined && !this.#follows(accepted.change)) return undefined
    const statement = vote.granted ? statementOf(view, attempt) : undefined
    if (statement !== undefined) {
      const claim = claimOfMember(view, from, statement, vote.signature ?? EMPTY_BYTES)
      if (claim === undefined || !(await verifier.holds('votes', [claim], from))) return undefined
    }
    return accepted !== undefined && (await this.#isProven(view, accepted)) ? vote : bare
  }

  async #isProven(view: View, { ballot, change, proof }: Acceptance): Promise<boolean> {
    if (proof === undefined) return false
    try {
      return await this.#deps.verifier.holds('proof', claimsOfProof(view, ballot, change, proof))
    } catch (thrown) {
      this.#deps.log.debug({ err: thrown }, 'a promise tells of an acceptance whose proof does not cover it; ignored')
      return false
    }
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
  async prepare(from: Link, message: Prepare, respond: Respond): Promise<void> {
    const { instance } = message
    if (!this.#admits(from, instance, respond)) return
    const evictions = message.evictions.map(forms.idFromWire)
    if (this.#objects(from, evictions, respond)) return
    const vote = await this.#promiseSelf(forms.ballotFromWire(message.ballot), evictions)
    this.#deps.durableRing.after(() => respond({ promised: forms.promisedToWire(vote) }))
  }

  /**
   * Refuses to promise when this member hears one that the ballot would remove without its asking. It may refuse here
   * only, never in `accept`: a change that another acceptor has accepted must stay acceptable, or the ring would never
   * have a next view.
   */
  #objects({ storeId }: Link, evictions: readonly MemberId[], respond: Respond): boolean {
    const { evictor, gossip, durableRing } = this.#deps
    const self = evictions.find((id) => id === durableRing.storeId)
    const heard = self ?? evictor.heardOf(evictions, (id) => gossip.isUp(id))
    if (heard === undefined) return false
    evictor.objected(heard, storeId)
    respond(new RingdError('BAD_REQUEST', OBJECTION))
    return true
  }

  /** Phase 2 at the acceptor: accepts a change with a valid proof, unless a higher ballot was promised. */
  async accept(from: Link, message: Accept, respond: Respond): Promise<void> {
    const { durableRing, verifier } = this.#deps
    if (!this.#admits(from, message.instance, respond)) return
    const acceptance = forms.acceptanceFromWire(message)
    const { ballot, change, proof } = acceptance
    const claims = claimsOfProof(durableRing.ring.view!, ballot, change, proof!)
    applyChange(durableRing.ring.view, change)
    if (!(await verifier.holds('proof', claims, from.peerId))) {
      return respond(new RingdError('BAD_MESSAGE', 'the proof of the change has a wrong signature'))
    }
    const { granted, promised, signature } = await this.#acceptSelf(acceptance)
    const accepted = { granted, promised: forms.ballotToWire(promised), signature: signature ?? EMPTY_BYTES }
    durableRing.after(() => respond({ accepted }))
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

  /** Signs the promise when the ballot names evictions: a majority of such promises is their proof. */
  async #promiseSelf(ballot: Ballot, evictions: readonly MemberId[]): Promise<Vote> {
    const { durableRing, signer } = this.#deps
    const { instance } = durableRing.acceptor
    const [state, vote] = promise(durableRing.acceptor, ballot)
    durableRing.vote(state)
    this.#proposer.outbid(vote.promised)
    if (!vote.granted || evictions.length === 0) return vote
    const { ringId } = durableRing.ring.view!.founding
    return { ...vote, signature: await signer.sign(promiseStatement(ringId, instance, ballot, evictions)) }
  }

  async #acceptSelf(acceptance: Acceptance): Promise<Vote> {
    const { durableRing, signer } = this.#deps
    const { view } = durableRing.ring
    const [state, vote] = accept(durableRing.acceptor, acceptance)
    durableRing.vote(state)
    if (!vote.granted) return vote
    return { ...vote, signature: await signer.sign(voteStatement(view!, acceptance.ballot, acceptance.change)) }
  }

  /** Phase 2: asks every acceptor to accept. */
  async #sendAccept(proposal: Proposal): Promise<void> {
    if (proposal.instance !== this.#deps.durableRing.acceptor.instance) return
    const body: Body = { accept: forms.acceptanceToWire(proposal) }
    this.#askAll(proposal, 'accepting', body, await this.#acceptSelf(proposal))
  }

  /** Asks for votes. Its own vote is on disk before the others are asked: so no ballot is used twice after a crash. */
  #askAll(proposal: Proposal, phase: VotePhase, body: Body, mine: Vote): void {
    const { durableRing, self } = this.#deps
    const { ballot } = proposal
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
  if (accepted === undefined) return undefined
  const { granted, promised, signature } = accepted
  return { granted, promised: forms.ballotFromWire(promised), signature }
}

/** What a granted vote of the attempt's phase must have signed; undefined for a promise without evictions. */
function statementOf(view: View, { phase, instance, ballot, change, evictions }: Proposal): Bytes | undefined {
  if (phase === 'accepting') return voteStatement(view, ballot, change)
  return evictions.length === 0 ? undefined : promiseStatement(view.founding.ringId, instance, ballot, evictions)
}
