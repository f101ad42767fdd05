// Single-decree Paxos for one view number: acceptor and proposer as functions. Pure: no clock, no messages, no disk.
// A majority of the members of view k decides instance k+1. The caller must have the acceptor's state on disk before it
// sends the answer; otherwise a restart could forget a promise.
// Source: Lamport, "Paxos made simple", 2001; rule 0 of lib/views/README.md.
// Members may lie: what a change needs beside the votes is its proof (votes.ts), and votes are signed.
import { type Bytes, EMPTY_BYTES } from '../bytes.js'
import type { MemberId } from '../member.js'
import { type Ballot, compareBallots, type Signatures } from './ballot.js'
import { chooses, type ViewChange } from './chain.js'
import type { Departure } from './departure.js'
import type { JoinRequest } from './join.js'

/** Why acceptors may accept a change: `claimsOfProof` of votes.ts says what must be signed by whom. */
export interface Proof {
  /** The signed requests of the members that join. */
  readonly joins: readonly JoinRequest[]
  /** The signed requests of the members that leave by themselves. */
  readonly leaves: readonly Departure[]
  /** All others that the change removes or takes for dead. */
  readonly evictions: readonly MemberId[]
  /** The ballot at which the change was first proposed: the promises are for it. */
  readonly ballot?: Ballot | undefined
  /** The signed promises of a majority, each for the ballot and the evictions. Empty when there are no evictions. */
  readonly promises: Signatures
}

export const NO_PROOF: Proof = { joins: [], leaves: [], evictions: [], promises: new Map() }

export interface Acceptance {
  readonly ballot: Ballot
  readonly change: ViewChange
  /** Undefined only on a disk of an older version. Other members ignore such an acceptance. */
  readonly proof?: Proof | undefined
}

/** The state of one acceptor. `instance` is the number after its newest view. */
export interface AcceptorState {
  readonly instance: number
  readonly promised?: Ballot | undefined
  readonly accepted?: Acceptance | undefined
}

export interface Vote {
  readonly granted: boolean
  /** The highest ballot that the acceptor promised. */
  readonly promised: Ballot
  /** In a promise: the change that it accepted before, if any. */
  readonly accepted?: Acceptance | undefined
  /** Of a promise: for its ballot and evictions, when there are any. Of an acceptance: for its ballot and change. */
  readonly signature?: Bytes | undefined
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

/** Phase 2 at the acceptor. The caller has verified the proof. */
export function accept(state: AcceptorState, { ballot, change, proof }: Acceptance): [AcceptorState, Vote] {
  const { promised } = state
  if (promised !== undefined && compareBallots(ballot, promised) < 0) return [state, { granted: false, promised }]
  return [
    { ...state, promised: ballot, accepted: { ballot, change, proof } },
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
  /** The acceptor whose vote alone is enough; see View. */
  readonly elder?: MemberId | undefined
  /** The proposer's own change, or an accepted one that it must propose instead because it may be chosen already. */
  readonly change: ViewChange
  /** The members that the proposer's own change removes without their asking: promises are asked for with them. */
  readonly evictions: readonly MemberId[]
  /** Why acceptors may accept `change`; without promises until the first phase is over. */
  readonly proof: Proof
  /** The members that voted for the phase, with their signatures. */
  readonly votes: Signatures
  /** The highest ballot of an acceptance that a promise reported. */
  readonly bound?: Ballot | undefined
  /** The highest ballot seen in a refusal: the next attempt goes above it. */
  readonly outbid?: Ballot | undefined
}

export function propose(
  acceptors: readonly MemberId[],
  ballot: Ballot,
  change: ViewChange,
  proof: Proof = NO_PROOF,
  elder?: MemberId
): Proposal {
  const { evictions } = proof
  const instance = change.number
  return { phase: 'preparing', instance, ballot, acceptors, elder, change, evictions, proof, votes: new Map() }
}

/** Whether the votes of these acceptors are enough for either phase. */
export function isEnough(
  { acceptors, elder }: Pick<Proposal, 'acceptors' | 'elder'>,
  voters: Pick<ReadonlySet<MemberId>, 'has' | 'size'>
): boolean {
  return chooses({ members: { size: acceptors.length }, elder }, voters)
}

/**
 * Counts the vote of `from`. A vote for another phase, of a peer that is no acceptor, or with an acceptance of another
 * instance changes nothing. The caller has verified the signature of the vote and the proof of its acceptance.
 */
export function countVote(proposal: Proposal, from: MemberId, phase: 'preparing' | 'accepting', vote: Vote): Proposal {
  if (proposal.phase !== phase || !proposal.acceptors.includes(from)) return proposal
  if (!vote.granted) return { ...proposal, phase: 'lost', outbid: vote.promised }
  const reported = phase === 'preparing' ? vote.accepted : undefined
  if (reported !== undefined && reported.change.number !== proposal.instance) return proposal
  const votes = new Map(proposal.votes).set(from, vote.signature ?? EMPTY_BYTES)
  let { change, bound, proof } = proposal
  if (reported !== undefined && compareBallots(bound, reported.ballot) < 0) {
    bound = reported.ballot
    change = reported.change
    proof = reported.proof ?? NO_PROOF
  }
  if (!isEnough(proposal, votes)) return { ...proposal, votes, change, bound, proof }
  if (phase === 'preparing') {
    if (bound === undefined && proof.evictions.length > 0) {
      proof = { ...proof, ballot: proposal.ballot, promises: votes }
    }
    return { ...proposal, phase: 'accepting', votes: new Map(), change, bound, proof }
  }
  return {
    ...proposal,
    phase: 'chosen',
    votes,
    change: { ...change, votes: { ballot: proposal.ballot, signatures: votes } }
  }
}
