// When a member proposes a view, and which one. Part of the membership actor. Any member may propose; rank and jitter
// make it rare that two do at once. Owns the attempt under way. Sends nothing: it returns what voting.ts is to send.
// Source: rules 0 and 8 of lib/views/README.md.
import { crc32 } from 'node:zlib'
import { assert } from '../../errors.js'
import { MEMBERS_MAX } from '../../limits.js'
import type { MemberId } from '../../member.js'
import type { Random } from '../../random.js'
import type { Ballot } from '../../views/ballot.js'
import type { View, ViewChange } from '../../views/chain.js'
import { type Departure, grantable } from '../../views/departure.js'
import type { JoinRequest } from '../../views/join.js'
import { countVote, isEnough, NO_PROOF, type Proof, type Proposal, propose, type Vote } from '../../views/paxos.js'
import { longestWindow } from '../../views/readiness.js'
import type { RingState } from '../../views/ring-state.js'
import type { DueEviction } from './evictor.js'
import type { VotePhase } from './membership-messages.js'

export interface ProposerOptions {
  /** Quiet time after the newest request, so that joiners of one moment share a view (default 900). */
  readonly gatherMs: number
  /** Longest time that a request waits for others (default 3000). */
  readonly gatherMaxMs: number
  /**
   * How long a ring of one member waits for a second joiner (default 1500). From one member to three in one view is
   * safer than from one to two: a ring of two stands still when either is down.
   */
  readonly growMs: number
  /** Head start of each rank over the next (default 150). */
  readonly rankMs: number
  /** An attempt without a majority is given up after this (default 2000). */
  readonly attemptMs: number
  /** A joiner counts as alive for this long after an answer (default 3000). */
  readonly answeredMs: number
}

export const PROPOSER_DEFAULTS: ProposerOptions = {
  gatherMs: 900,
  gatherMaxMs: 3000,
  growMs: 1500,
  rankMs: 150,
  attemptMs: 2000,
  answeredMs: 3000
}

/** Everything by which the proposer decides whether to propose. Times are monotonic ms. */
export interface ProposerInput {
  readonly self: MemberId
  readonly ring: RingState
  readonly now: number
  /** When a join or departure request was first heard here. */
  readonly heardAt: ReadonlyMap<MemberId, number>
  /** When a joiner answered a ping last. */
  readonly answeredAt: ReadonlyMap<MemberId, number>
  /** Members and joiners with an open link, self included. */
  readonly isUp: (id: MemberId) => boolean
  /** A member that has been down for long: it is evicted when nothing else waits. */
  readonly eviction?: DueEviction | undefined
}

/** Told when an attempt to evict a member is given up. */
export type OnRefused = (member: MemberId, now: number) => void

/** An attempt to have one view chosen, under one ballot. */
interface Proposing {
  readonly type: 'proposing'
  readonly proposal: Proposal
  /** Monotonic ms: then the attempt is given up. */
  readonly deadline: number
  /** The member that the view would evict. */
  readonly evicting: MemberId | undefined
  /** Acceptors that will not promise, because they hear a member to remove; and those members themselves. */
  readonly objectors: Set<MemberId>
}

/** A change, and why others may accept it. */
interface Draft {
  readonly change: ViewChange
  readonly proof: Proof
}

interface Resting {
  readonly type: 'resting'
  readonly notBefore: number
}

const RESTED: Resting = { type: 'resting', notBefore: 0 }
/** Rest after a lost or stuck attempt: at random, so that two proposers do not meet again. */
const REST_MS_MIN = 200
const REST_SPREAD_MS = 1000
/** A removal that was objected to is left out for this long, so that it does not hold up joins and leaves. */
const OBJECTED_MS = 2000
/** Members that one view removes without their asking, at most: a ballot names each of them. */
const EVICTIONS_MAX = 16

export class Proposer {
  readonly #random: Random
  readonly #options: ProposerOptions
  readonly #onRefused: OnRefused
  #state: Proposing | Resting = RESTED
  /** The highest round that was seen anywhere: the next attempt goes above it. */
  #round = 0
  /** Until when the removal of each member is left out; monotonic ms. */
  readonly #objectedUntil = new Map<MemberId, number>()

  constructor(random: Random, options: ProposerOptions, onRefused: OnRefused = () => {}) {
    this.#random = random
    this.#options = options
    this.#onRefused = onRefused
  }

  get attempt(): Proposal | undefined {
    return this.#state.type === 'proposing' ? this.#state.proposal : undefined
  }

  /** The member that the attempt under way would evict. */
  get evicting(): MemberId | undefined {
    return this.#state.type === 'proposing' ? this.#state.evicting : undefined
  }

  /** Another proposer's ballot was seen: the next attempt goes above it. */
  outbid(ballot: Ballot | undefined): void {
    if (ballot !== undefined) this.#round = Math.max(this.#round, ballot.round)
  }

  /** resting -> proposing, when it is time. Returns the attempt, for which promises are to be asked (phase 1). */
  consider(input: ProposerInput): Proposal | undefined {
    this.#giveUpWhenLate(input.now)
    const { view } = input.ring
    if (this.#state.type === 'proposing' || view === undefined || !view.members.has(input.self)) return undefined
    const asked = this.#asked(view, input)
    const draft = asked ?? this.#eviction(view, input)
    if (draft === undefined || input.now < this.#state.notBefore) return undefined
    const evicting = asked === undefined ? input.eviction?.member : undefined
    this.#round += 1
    const ballot = { round: this.#round, storeId: input.self }
    const proposal = propose([...view.members.keys()], ballot, draft.change, draft.proof, view.elder)
    this.#state = {
      type: 'proposing',
      proposal,
      deadline: input.now + this.#options.attemptMs,
      evicting,
      objectors: new Set(draft.proof.evictions.filter((id) => view.members.has(id)))
    }
    return proposal
  }

  /** Counts a vote. Returns the attempt when it entered a new phase: accepting (phase 2 is to be asked) or chosen. */
  vote(ballot: Ballot, from: MemberId, phase: VotePhase, vote: Vote, now: number): Proposal | undefined {
    const state = this.#state
    if (state.type !== 'proposing' || state.proposal.ballot.round !== ballot.round) return undefined
    const proposal = countVote(state.proposal, from, phase, vote)
    switch (proposal.phase) {
      case 'lost':
        this.outbid(proposal.outbid)
        this.#rest(now)
        return undefined
      case 'chosen':
        this.#state = RESTED
        return proposal
      default:
        this.#state = { ...state, proposal }
        return proposal.phase === state.proposal.phase ? undefined : proposal
    }
  }

  /** An acceptor hears a member to remove. When too few are left for a majority, the attempt is given up. */
  objected(ballot: Ballot, from: MemberId, now: number): void {
    const state = this.#state
    if (state.type !== 'proposing') return
    const { acceptors, phase } = state.proposal
    if (state.proposal.ballot.round !== ballot.round || phase !== 'preparing') return
    if (!acceptors.includes(from)) return
    state.objectors.add(from)
    const left = new Set(acceptors.filter((id) => !state.objectors.has(id)))
    if (!isEnough(state.proposal, left)) this.#giveUp(now)
  }

  /** The chain has grown: an attempt for a view that exists is over, and the next one need not wait. */
  chainGrew(number: number): void {
    if (this.#state.type === 'resting' || this.#state.proposal.instance <= number) this.#state = RESTED
  }

  #giveUpWhenLate(now: number): void {
    if (this.#state.type === 'proposing' && now >= this.#state.deadline) this.#giveUp(now)
  }

  #giveUp(now: number): void {
    const { evicting } = this
    if (evicting !== undefined) this.#onRefused(evicting, now)
    if (this.#state.type === 'proposing' && this.#state.proposal.phase === 'preparing') {
      for (const id of this.#state.proposal.evictions) this.#objectedUntil.set(id, now + OBJECTED_MS)
    }
    this.#rest(now)
  }

  /** proposing -> resting */
  #rest(now: number): void {
    assert(this.#state.type === 'proposing', 'only an attempt ends in a rest')
    this.#state = { type: 'resting', notBefore: now + REST_MS_MIN + this.#random.next() * REST_SPREAD_MS }
  }

  /**
   * The change that requests ask for, when it is time: joiners that have just answered, and members that leave. They
   * wait until every slot has settled. Removals of dead members do not: a dead member may be what keeps a slot from
   * settling.
   */
  #asked(view: View, input: ProposerInput): Draft | undefined {
    const { gatherMs, gatherMaxMs, growMs, rankMs } = this.#options
    const hasSettled = longestWindow(input.ring.configs!) === 1
    // More would make a change that no member accepts.
    const joins = hasSettled ? this.#joiners(input).slice(0, MEMBERS_MAX - view.members.size) : []
    const requests = Array.from(input.ring.departures.values()).filter(({ dead, storeId }) =>
      dead ? !this.#isObjected(storeId, input.now) : hasSettled
    )
    const departures = withFewEvictions(grantable(view, requests, joins.length))
    if (joins.length + departures.length === 0) return undefined
    const ids = [...joins.map(({ member }) => member.storeId), ...departures.map(({ storeId }) => storeId)]
    const heard = ids.map((id) => input.heardAt.get(id) ?? input.now)
    const oldest = Math.min(...heard)
    const newest = Math.max(...heard)
    if (view.members.size === 1 && joins.length === 1 && input.now < oldest + growMs) return undefined
    const rank = rankOf(input.self, view, input.isUp)
    if (input.now < Math.min(newest + gatherMs, oldest + gatherMaxMs) + rank * rankMs) return undefined
    return draftOf(view, joins, departures)
  }

  /**
   * The removal of one member that is down, when there is no request. Slots that move do not hold it up here: the rule
   * of evictions (lib/detector/eviction-rule.ts) takes them into account.
   */
  #eviction(view: View, { self, isUp, now, eviction }: ProposerInput): Draft | undefined {
    if (eviction === undefined || now < eviction.from + rankOf(self, view, isUp) * this.#options.rankMs)
      return undefined
    const { member } = eviction
    const change = { number: view.number + 1, joins: [], removals: [member], lost: [member] }
    return { change, proof: { ...NO_PROOF, evictions: [member] } }
  }

  #isObjected(member: MemberId, now: number): boolean {
    const until = this.#objectedUntil.get(member)
    if (until !== undefined && now >= until) this.#objectedUntil.delete(member)
    return until !== undefined && now < until
  }

  #joiners({ ring, now, isUp, answeredAt }: ProposerInput): JoinRequest[] {
    return Array.from(ring.joins.values()).filter(
      ({ member: { storeId } }) =>
        isUp(storeId) && now - (answeredAt.get(storeId) ?? -Infinity) <= this.#options.answeredMs
    )
  }
}

function withFewEvictions(departures: readonly Departure[]): readonly Departure[] {
  let evictions = 0
  return departures.filter(({ dead }) => !dead || ++evictions <= EVICTIONS_MAX)
}

function draftOf(view: View, joins: readonly JoinRequest[], departures: readonly Departure[]): Draft {
  const lost = departures.filter(({ dead }) => dead).map(({ storeId }) => storeId)
  const removals = departures.map(({ storeId }) => storeId).filter((id) => view.members.has(id))
  const change = { number: view.number + 1, joins: inOrder(joins), removals, ...(lost.length > 0 && { lost }) }
  return { change, proof: { ...NO_PROOF, joins, leaves: departures.filter(({ dead }) => !dead), evictions: lost } }
}

function inOrder(joins: readonly JoinRequest[]): JoinRequest['member'][] {
  return joins.map((join) => join.member).sort((a, b) => (a.storeId < b.storeId ? -1 : 1))
}

/**
 * How many reachable members go first. Each view has another order; members that see the same others up agree on it.
 */
function rankOf(self: MemberId, view: View, isUp: (id: MemberId) => boolean): number {
  const score = (id: MemberId) => crc32(`${view.number}/${id}`)
  const mine = score(self)
  let rank = 0
  for (const id of view.members.keys()) if (id !== self && isUp(id) && score(id) < mine) rank += 1
  return rank
}
