// What members sign when they vote, and which signatures make a change of the ring believable. Pure: it says what must
// be verified (claims), and the membership actor verifies it.
// Invariant: a claim names the key of a member as the view before the change knows it, never as a message says.
// Source: rules 0 and 11 of lib/views/README.md.
import { createHash } from 'node:crypto'
import { type Bytes, fromText } from '../bytes.js'
import type { Member, MemberId, PeerId } from '../member.js'
import type { Ballot, Signatures } from './ballot.js'
import { compareBallots } from './ballot.js'
import { applyChange, chooses, require, type View, type ViewChange } from './chain.js'
import type { Proof } from './paxos.js'
import { signedDeparture, signedPart } from './wire-codec.js'

/** That this peer has signed these bytes. */
export interface Claim {
  readonly peerId: PeerId
  readonly statement: Bytes
  readonly signature: Bytes
}

/** What an acceptor signs when it accepts `change`, which follows view `before`. Throws BAD_MESSAGE. */
export function voteStatement(before: View, ballot: Ballot, change: ViewChange): Bytes {
  const after = viewDigest(applyChange(before, change))
  return statement('vote', before.founding.ringId, change.number, ballot, [changeDigest(change), after])
}

/** What an acceptor signs when it promises `ballot`, knowing whom the change removes without their asking. */
export function promiseStatement(
  ringId: string,
  instance: number,
  ballot: Ballot,
  evictions: readonly MemberId[]
): Bytes {
  return statement('promise', ringId, instance, ballot, evictions)
}

/** What must hold for the votes of `change` to be those of a majority. Throws BAD_MESSAGE when they cannot be. */
export function claimsOfVotes(before: View, change: ViewChange): readonly Claim[] {
  require(change.votes !== undefined, `view ${change.number} comes without votes`)
  const { ballot, signatures } = change.votes
  const bytes = voteStatement(before, ballot, change)
  return claimsOfMajority(before, signatures, bytes, `view ${change.number}`)
}

/**
 * What must hold for an acceptor to accept `change` at `ballot`. Throws BAD_MESSAGE when the proof does not cover it:
 * each joiner has asked to join as just this member; each removed member has asked to leave, or it is among the
 * evictions, as is each member that is taken for dead; and a majority has promised the ballot at which the change was
 * first proposed, knowing the evictions.
 */
export function claimsOfProof(before: View, ballot: Ballot, change: ViewChange, proof: Proof): readonly Claim[] {
  const claims = [...joinClaims(before, change, proof), ...leaveClaims(before, change, proof)]
  const asked = new Set(proof.leaves.map(({ storeId }) => storeId))
  const evicted = [...change.removals.filter((id) => !asked.has(id)), ...(change.lost ?? [])]
  if (evicted.length === 0) return claims
  const evictions = new Set(proof.evictions)
  for (const id of evicted) require(evictions.has(id), `no member was asked whether it hears ${id}`)
  require(proof.ballot !== undefined &&
    compareBallots(proof.ballot, ballot) <= 0, 'promises for removals name a ballot up to that of the change')
  const { founding } = before
  const bytes = promiseStatement(founding.ringId, change.number, proof.ballot, proof.evictions)
  return [...claims, ...claimsOfMajority(before, proof.promises, bytes, 'a removal')]
}

/** The claim that a member of `before` promised. Undefined for a peer that is no member. */
export function claimOfMember(before: View, member: MemberId, bytes: Bytes, signature: Bytes): Claim | undefined {
  const peerId = before.members.get(member)?.peerId
  return peerId === undefined ? undefined : { peerId, statement: bytes, signature }
}

function joinClaims({ founding }: View, change: ViewChange, proof: Proof): Claim[] {
  const requests = new Map(proof.joins.map((request) => [request.member.storeId, request]))
  return change.joins.map((member) => {
    const request = requests.get(member.storeId)
    const isAsked = request?.ringId === founding.ringId && memberDigest(request.member) === memberDigest(member)
    require(request !== undefined && isAsked, `${member.storeId} has not asked to join like this`)
    return { peerId: member.peerId, statement: signedPart(request), signature: request.signature }
  })
}

function leaveClaims({ founding, members }: View, change: ViewChange, proof: Proof): Claim[] {
  const removals = new Set(change.removals)
  return proof.leaves.map((request) => {
    const { storeId, dead, ringId, peerId, signature } = request
    const isOwn = !dead && ringId === founding.ringId && members.get(storeId)?.peerId === peerId
    require(isOwn && removals.has(storeId), `the request of ${storeId} to leave does not fit the change`)
    return { peerId, statement: signedDeparture(request), signature }
  })
}

function claimsOfMajority(before: View, signatures: Signatures, bytes: Bytes, what: string): Claim[] {
  require(chooses(before, signatures), `${what} lacks the votes of a majority`)
  return Array.from(signatures, ([id, signature]) => {
    const claim = claimOfMember(before, id, bytes, signature)
    require(claim !== undefined, `${what} has the vote of ${id}, which is no member`)
    return claim
  })
}

function statement(
  kind: string,
  ringId: string,
  instance: number,
  { round, storeId }: Ballot,
  parts: readonly string[]
): Bytes {
  return fromText(['ringd', kind, ringId, instance, round, storeId, ...parts].join('\n'))
}

const memberDigests = new WeakMap<Member, string>()

function memberDigest(member: Member): string {
  let digest = memberDigests.get(member)
  if (digest === undefined) {
    const { storeId, peerId, tokens, zone, weight } = member
    digest = sha256(JSON.stringify([storeId, peerId, tokens, zone, weight]))
    memberDigests.set(member, digest)
  }
  return digest
}

const viewDigests = new WeakMap<View, string>()

/** Equal for two peers exactly when their views have the same number, ring and members. */
export function viewDigest(view: View): string {
  let digest = viewDigests.get(view)
  if (digest === undefined) {
    const { number, founding, members } = view
    const ids = [...members.keys()].sort()
    const list = ids.map((id) => memberDigest(members.get(id)!))
    digest = sha256(JSON.stringify([founding.ringId, founding.replicas, number, list]))
    viewDigests.set(view, digest)
  }
  return digest
}

/** Without the votes: they are what is signed for. */
export function changeDigest({ number, joins, removals, lost = [] }: ViewChange): string {
  return sha256(JSON.stringify([number, joins.map(memberDigest), removals, lost]))
}

export function sha256(data: string | Bytes): string {
  return createHash('sha256').update(data).digest('hex')
}
