// Single-decree Paxos for one view number: acceptor and proposer as functions. Pure: no clock, no messages, no disk.
// A majority of the members of view k decides instance k+1. The caller must have the acceptor's state on disk before it
// sends the answer; otherwise a restart could forget a promise.
// Source: Lamport, "Paxos made simple", 2001; rule 0 of lib/views/README.md.
import { assert } from '../errors.js'
import type { MemberId } from '../member.js'
import { quorum, type ViewChange } from './chain.js'

/** Ordered by round, then by id. Two proposers never have the same ballot, since it holds the proposer's id. */
export interface Ballot {
  readonly round: number
  readonly storeId: MemberId
}

/** A round grows by one with each attempt. A higher round than this is a defect or an attack. */
export const ROUND_MAX = 1_000_000_000

export interface Acceptance {
  readonly ballot: Ballot
  readonly change: ViewChange
}

/** The state of one acceptor. `instance` is the number after its newest view. */
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
  /** In a promise: the change that it accepted before, if any. */
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
  /** The members of the view before. They vote. */
  readonly acceptors: readonly MemberId[]
  /** The proposer's own change, or an accepted one that it must propose instead because it may be chosen already. */
  readonly change: ViewChange
  readonly votes: ReadonlySet<MemberId>
  /** The highest ballot of an acceptance that a promise reported. */
  readonly bound?: Ballot | undefined
  /** The highest ballot seen in a refusal: the next attempt goes above it. */
  readonly outbid?: Ballot | undefined
}

export function propose(acceptors: readonly MemberId[], ballot: Ballot, change: ViewChange): Proposal {
  return { phase: 'preparing', instance: change.number, ballot, acceptors, change, votes: new Set() }
}

/** Counts the vote of `from`. A vote for another phase, or of a peer that is no acceptor, changes nothing. */
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
