// Single-decree Paxos for one view number: acceptor and proposer as pure functions. Pure: no clock, no messages, no
// disk. The instance k+1 is decided by a majority of the members of V(k). Whoever performs these functions must have
// the acceptor's state on disk before it speaks the answer. Source: Lamport, "Paxos made simple", 2001.
import { assert } from '../errors.js'
import type { MemberId } from '../member.js'
import { quorum, type ViewChange } from './chain.js'

/** Ordered by round, then by id: no two proposers share one. */
export interface Ballot {
  readonly round: number
  readonly storeId: MemberId
}

/** Rounds grow by one per attempt; a higher one than this is a defect or an attack. */
export const ROUND_MAX = 1_000_000_000

export interface Acceptance {
  readonly ballot: Ballot
  readonly change: ViewChange
}

/** What one acceptor remembers of the instance after its newest view. */
export interface AcceptorState {
  readonly instance: number
  readonly promised?: Ballot | undefined
  readonly accepted?: Acceptance | undefined
}

export function compareBallots(a: Ballot | undefined, b: Ballot | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? -1 : 1
  if (a.round !== b.round) return a.round - b.round
  return a.storeId < b.storeId ? -1 : a.storeId > b.storeId ? 1 : 0
}

export interface Vote {
  readonly granted: boolean
  /** The highest ballot that the acceptor promised. */
  readonly promised: Ballot
  /** With a promise: what it accepted before. */
  readonly accepted?: Acceptance | undefined
}

/** Phase 1 at the acceptor. */
export function promise(state: AcceptorState, ballot: Ballot): [AcceptorState, Vote] {
  const { promised } = state
  if (promised !== undefined && compareBallots(ballot, promised) < 0) return [state, { granted: false, promised }]
  return [
    { ...state, promised: ballot },
    { granted: true, promised: ballot, accepted: state.accepted }
  ]
}

/** Phase 2 at the acceptor. */
export function accept(state: AcceptorState, ballot: Ballot, change: ViewChange): [AcceptorState, Vote] {
  const { promised } = state
  if (promised !== undefined && compareBallots(ballot, promised) < 0) return [state, { granted: false, promised }]
  return [
    { ...state, promised: ballot, accepted: { ballot, change } },
    { granted: true, promised: ballot }
  ]
}

/** One attempt of one proposer. */
export interface Proposal {
  readonly phase: 'preparing' | 'accepting' | 'chosen' | 'lost'
  readonly instance: number
  readonly ballot: Ballot
  /** Members of the view before: those who vote. */
  readonly acceptors: readonly MemberId[]
  /** What it wants, or what it must push because somebody may have chosen it already. */
  readonly change: ViewChange
  readonly votes: ReadonlySet<MemberId>
  /** The newest acceptance that the promises told of. */
  readonly bound?: Ballot | undefined
  /** The highest ballot seen in a refusal: the next attempt goes above it. */
  readonly outbid?: Ballot | undefined
}

export function propose(acceptors: readonly MemberId[], ballot: Ballot, change: ViewChange): Proposal {
  return { phase: 'preparing', instance: change.number, ballot, acceptors, change, votes: new Set() }
}

/** A vote of `from` for the phase that `proposal` is in. Votes of strangers and for other phases change nothing. */
export function countVote(proposal: Proposal, from: MemberId, phase: 'preparing' | 'accepting', vote: Vote): Proposal {
  if (proposal.phase !== phase || !proposal.acceptors.includes(from)) return proposal
  if (!vote.granted) return { ...proposal, phase: 'lost', outbid: vote.promised }
  const votes = new Set(proposal.votes).add(from)
  let { change, bound } = proposal
  if (phase === 'preparing' && vote.accepted !== undefined && compareBallots(bound, vote.accepted.ballot) < 0) {
    bound = vote.accepted.ballot
    change = vote.accepted.change
    assert(change.number === proposal.instance, 'an acceptance belongs to its instance')
  }
  if (votes.size < quorum(proposal.acceptors.length)) return { ...proposal, votes, change, bound }
  if (phase === 'preparing') return { ...proposal, phase: 'accepting', votes: new Set(), change, bound }
  return { ...proposal, phase: 'chosen', votes }
}
