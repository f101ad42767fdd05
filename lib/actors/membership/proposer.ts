// When and what a member proposes: part of the membership actor. Anyone may propose; rank and jitter make duels rare.
// Owns the attempt under way. Does not talk to anyone itself: it says what to ask, and the actor asks.
// Source: rules 0 and 8 of lib/views/README.md.
import { crc32 } from 'node:zlib'
import type { MemberId } from '../../member.js'
import type { Random } from '../../random.js'
import { quorum, type View, type ViewChange } from '../../views/chain.js'
import { type Departure, grantable } from '../../views/departure.js'
import type { JoinRequest } from '../../views/join.js'
import { type Ballot, countVote, type Proposal, propose, type Vote } from '../../views/paxos.js'
import { longestWindow } from '../../views/readiness.js'
import type { RingState } from '../../views/ring-state.js'
import type { DueEviction } from './evictor.js'

export interface ProposerOptions {
  /** Quiet time after the newest wish before proposing, so that joiners of one moment share a view (default 900). */
  readonly gatherMs: number
  /** Longest time that a wish waits for others (default 3000). */
  readonly gatherMaxMs: number
  /**
   * How long a ring of one waits for a second joiner: 1 to 3 members in one view is safer than 1 to 2 (default 1500).
   */
  readonly growMs: number
  /** Head start of each rank over the next (default 150). */
  readonly rankMs: number
  /** An attempt without a majority is given up after this (default 2000). */
  readonly attemptMs: number
  /** A joiner counts as alive for so long after an answer (default 3000). */
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

/** What the actor knows when it asks whether to propose. Times are monotonic ms. */
export interface ProposerInput {
  readonly self: MemberId
  readonly ring: RingState
  readonly now: number
  /** When a wish to join or to go was first heard here, and when its joiner answered last. */
  readonly heardAt: ReadonlyMap<MemberId, number>
  readonly answeredAt: ReadonlyMap<MemberId, number>
  /** Members and joiners with an open link, self included. */
  readonly isUp: (id: MemberId) => boolean
  /** A member that is down for so long that the ring goes on without it, when nothing else waits. */
  readonly eviction?: DueEviction | undefined
}

/** Told when an attempt to evict a member is given up. */
export type OnRefused = (member: MemberId, now: number) => void

export class Proposer {
  readonly #random: Random
  readonly #options: ProposerOptions
  readonly #onRefused: OnRefused
  #attempt: Proposal | undefined
  /** Whom the attempt under way is to evict, and who cannot be won for that. */
  #evicting: MemberId | undefined
  readonly #objectors = new Set<MemberId>()
  #deadline = 0
  #notBefore = 0
  #round = 0

  constructor(random: Random, options: ProposerOptions, onRefused: OnRefused = () => {}) {
    this.#random = random
    this.#options = options
    this.#onRefused = onRefused
  }

  get attempt(): Proposal | undefined {
    return this.#attempt
  }

  /** Whom the attempt under way is to evict. */
  get evicting(): MemberId | undefined {
    return this.#attempt && this.#evicting
  }

  /** Ballots seen elsewhere: the next attempt goes above them. */
  outbid(ballot: Ballot | undefined): void {
    if (ballot !== undefined) this.#round = Math.max(this.#round, ballot.round)
  }

  /** Begins an attempt when it is time, and returns it for phase 1. */
  consider(input: ProposerInput): Proposal | undefined {
    this.#giveUpWhenLate(input.now)
    const { view } = input.ring
    if (this.#attempt !== undefined || view === undefined || !view.members.has(input.self)) return undefined
    const asked = this.#wanted(view, input)
    const change = asked ?? this.#eviction(view, input)
    if (change === undefined || input.now < this.#notBefore) return undefined
    this.#evicting = asked === undefined ? input.eviction?.member : undefined
    this.#objectors.clear()
    if (this.#evicting !== undefined) this.#objectors.add(this.#evicting)
    this.#round += 1
    this.#deadline = input.now + this.#options.attemptMs
    this.#attempt = propose([...view.members.keys()], { round: this.#round, storeId: input.self }, change)
    return this.#attempt
  }

  /** Counts a vote. Returns the attempt when it entered a new phase: accepting (ask phase 2) or chosen. */
  vote(
    ballot: Ballot,
    from: MemberId,
    phase: 'preparing' | 'accepting',
    vote: Vote,
    now: number
  ): Proposal | undefined {
    const before = this.#attempt
    if (before === undefined || before.ballot.round !== ballot.round) return undefined
    const after = countVote(before, from, phase, vote)
    this.#attempt = after
    if (after.phase === before.phase) return undefined
    if (after.phase === 'lost') {
      this.outbid(after.outbid)
      this.#end(now)
      return undefined
    }
    if (after.phase === 'chosen') this.#attempt = undefined
    return after
  }

  /** An acceptor hears the member to evict: when too few are left for a majority, the attempt is over. */
  objected(ballot: Ballot, from: MemberId, now: number): void {
    const attempt = this.#attempt
    if (attempt === undefined || attempt.ballot.round !== ballot.round || attempt.phase !== 'preparing') return
    if (!attempt.acceptors.includes(from)) return
    this.#objectors.add(from)
    if (attempt.acceptors.length - this.#objectors.size < quorum(attempt.acceptors.length)) this.#giveUp(now)
  }

  /** The chain has grown: an attempt for a view that exists is over. */
  chainGrew(number: number): void {
    if (this.#attempt !== undefined && this.#attempt.instance <= number) this.#attempt = undefined
    this.#notBefore = 0
  }

  #giveUpWhenLate(now: number): void {
    if (this.#attempt !== undefined && now >= this.#deadline) this.#giveUp(now)
  }

  #giveUp(now: number): void {
    if (this.#evicting !== undefined) this.#onRefused(this.#evicting, now)
    this.#end(now)
  }

  /** After a lost or stuck attempt: wait a random while, so that two proposers do not meet again. */
  #end(now: number): void {
    this.#attempt = undefined
    this.#notBefore = now + 200 + this.#random.next() * 1000
  }

  /**
   * The change to propose now, if any: all who wait and have just answered, and those who go. Once moves have settled,
   * but the dead do not wait for that: they may be what keeps a move from settling.
   */
  #wanted(view: View, input: ProposerInput): ViewChange | undefined {
    const { gatherMs, gatherMaxMs, growMs, rankMs } = this.#options
    const hasSettled = longestWindow(input.ring.configs!) === 1
    const joins = hasSettled ? this.#joiners(input) : []
    const requests = Array.from(input.ring.departures.values()).filter(({ dead }) => dead || hasSettled)
    const departures = grantable(view, requests, joins.length)
    if (joins.length + departures.length === 0) return undefined
    const ids = [...joins.map(({ member }) => member.storeId), ...departures.map(({ storeId }) => storeId)]
    const heard = ids.map((id) => input.heardAt.get(id) ?? input.now)
    const oldest = Math.min(...heard)
    const newest = Math.max(...heard)
    if (view.members.size === 1 && joins.length === 1 && input.now < oldest + growMs) return undefined
    const rank = rankOf(input.self, view, input.isUp)
    if (input.now < Math.min(newest + gatherMs, oldest + gatherMaxMs) + rank * rankMs) return undefined
    return changeOf(view, joins, departures)
  }

  /**
   * The removal of one member that is down, when nobody asks for anything else. Not held up by moves here: the rule of
   * evictions decides about those.
   */
  #eviction(view: View, { self, isUp, now, eviction }: ProposerInput): ViewChange | undefined {
    if (eviction === undefined || now < eviction.from + rankOf(self, view, isUp) * this.#options.rankMs)
      return undefined
    const { member } = eviction
    return { number: view.number + 1, joins: [], removals: [member], lost: [member] }
  }

  #joiners({ ring, now, isUp, answeredAt }: ProposerInput): JoinRequest[] {
    return Array.from(ring.joins.values()).filter(
      ({ member: { storeId } }) =>
        isUp(storeId) && now - (answeredAt.get(storeId) ?? -Infinity) <= this.#options.answeredMs
    )
  }
}

function changeOf(view: View, joins: readonly JoinRequest[], departures: readonly Departure[]): ViewChange {
  const lost = departures.filter(({ dead }) => dead).map(({ storeId }) => storeId)
  const removals = departures.map(({ storeId }) => storeId).filter((id) => view.members.has(id))
  return { number: view.number + 1, joins: inOrder(joins), removals, ...(lost.length > 0 && { lost }) }
}

function inOrder(joins: readonly JoinRequest[]): JoinRequest['member'][] {
  return joins.map((join) => join.member).sort((a, b) => (a.storeId < b.storeId ? -1 : 1))
}

/** How many reachable members go first: another order for every view, the same for all who see the same members up. */
function rankOf(self: MemberId, view: View, isUp: (id: MemberId) => boolean): number {
  const score = (id: MemberId) => crc32(`${view.number}/${id}`)
  const mine = score(self)
  let rank = 0
  for (const id of view.members.keys()) if (id !== self && isUp(id) && score(id) < mine) rank += 1
  return rank
}
