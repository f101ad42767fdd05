// Converts the types of this folder to messages of the wire and back, and makes the bytes that are signed. Pure.
// Decoding checks every bound and throws BAD_MESSAGE.
import { type Bytes, EMPTY_BYTES, fromHex, fromText, toHex } from '../bytes.js'
import { RingdError } from '../errors.js'
import { MEMBERS_MAX, MiB } from '../limits.js'
import { MEMBER_ID_PATTERN, type Member, type MemberId } from '../member.js'
import * as wire from '../network/wire.js'
import { checkRuns, fromRuns, toRuns } from '../ring/runs.js'
import { type Ballot, ROUND_MAX, type Signatures } from './ballot.js'
import { checkMember, type ViewChange, type Votes } from './chain.js'
import type { Departure } from './departure.js'
import type { JoinRequest, MemberRecord } from './join.js'
import type { Digest, Knowledge } from './knowledge.js'
import { limitFromWire, limitToWire } from './move-limit.js'
import type { Acceptance, Proof, Vote } from './paxos.js'
import { checkSnapshot, type Snapshot } from './snapshot.js'

/** Addresses that one peer may announce at most. */
export const ADDRESSES_MAX = 16
const ADDRESS_LENGTH_MAX = 512
/** An ed25519 signature has 64 bytes, an RSA signature of 4096 bits has 512. */
const SIGNATURE_BYTES_MAX = 512
/** Knowledge in one message at most; a packet of the control stream holds a little more. */
const KNOWLEDGE_BYTES_MAX = 3 * MiB
/** An item of a list costs this much more for its tag and length. */
const ITEM_BYTES = 8

export function idFromWire(bytes: Uint8Array): MemberId {
  const id = toHex(bytes)
  if (!MEMBER_ID_PATTERN.test(id)) throw new RingdError('BAD_MESSAGE', `an id has 16 bytes, not ${bytes.length}`)
  return id
}

export function memberToWire(member: Member): wire.Member {
  return { ...member, storeId: fromHex(member.storeId), tokens: [...member.tokens] }
}

export function memberFromWire(message: wire.Member | undefined): Member {
  const { storeId, peerId, tokens, zone, weight } = present(message, 'member')
  const member = { storeId: idFromWire(storeId), peerId, tokens, zone, weight }
  checkMember(member)
  return member
}

export function changeToWire(change: ViewChange): wire.ViewChange {
  return {
    number: change.number,
    joins: change.joins.map(memberToWire),
    removals: change.removals.map(fromHex),
    lost: (change.lost ?? []).map(fromHex),
    votes: change.votes === undefined ? [] : signaturesToWire(change.votes.signatures),
    ...(change.votes && { votesBallot: ballotToWire(change.votes.ballot) }),
    ...(change.founding && { ringId: fromHex(change.founding.ringId), replicas: change.founding.replicas })
  }
}

export function changeFromWire(message: wire.ViewChange | undefined): ViewChange {
  const { number, joins, removals, lost, ringId, replicas, votes, votesBallot } = present(message, 'view change')
  const change: ViewChange = {
    number,
    joins: joins.map(memberFromWire),
    removals: removals.map(idFromWire),
    ...(lost.length > 0 && { lost: lost.map(idFromWire) }),
    ...(votesBallot && { votes: votesFromWire(votes, votesBallot) })
  }
  if (ringId === undefined || replicas === undefined) return change
  return { ...change, founding: { ringId: idFromWire(ringId), replicas } }
}

function votesFromWire(votes: readonly wire.Vote[], ballot: wire.Ballot): Votes {
  return { ballot: ballotFromWire(ballot), signatures: signaturesFromWire(votes) }
}

function signaturesToWire(signatures: Signatures): wire.Vote[] {
  return Array.from(signatures, ([id, signature]) => ({ storeId: fromHex(id), signature }))
}

function signaturesFromWire(votes: readonly wire.Vote[]): Signatures {
  return new Map(votes.map(({ storeId, signature }) => [idFromWire(storeId), checkSignature(signature)]))
}

function checkSignature(signature: Uint8Array): Uint8Array {
  if (signature.length <= SIGNATURE_BYTES_MAX) return signature
  throw new RingdError('BAD_MESSAGE', `a signature has at most ${SIGNATURE_BYTES_MAX} bytes`)
}

export function ballotToWire(ballot: Ballot): wire.Ballot {
  return { round: ballot.round, storeId: fromHex(ballot.storeId) }
}

export function ballotFromWire(message: wire.Ballot | undefined): Ballot {
  const { round, storeId } = present(message, 'ballot')
  if (round > ROUND_MAX) throw new RingdError('BAD_MESSAGE', `the round of a ballot is above ${ROUND_MAX}: ${round}`)
  return { round, storeId: idFromWire(storeId) }
}

export function promisedToWire(vote: Vote): wire.Promised {
  const { accepted } = vote
  return {
    granted: vote.granted,
    promised: ballotToWire(vote.promised),
    signature: vote.signature ?? EMPTY_BYTES,
    ...(accepted && {
      acceptedBallot: ballotToWire(accepted.ballot),
      acceptedChange: changeToWire(accepted.change),
      ...(accepted.proof && { acceptedProof: proofToWire(accepted.proof) })
    })
  }
}

export function promisedFromWire(message: wire.Promised): Vote {
  const { granted, promised, signature, acceptedBallot, acceptedChange, acceptedProof } = message
  const vote = { granted, promised: ballotFromWire(promised), signature: checkSignature(signature) }
  if (acceptedBallot === undefined) return vote
  const proof = acceptedProof && proofFromWire(acceptedProof)
  const accepted = { ballot: ballotFromWire(acceptedBallot), change: unchosenFromWire(acceptedChange), proof }
  return { ...vote, accepted }
}

export function acceptanceToWire({ ballot, change, proof }: Acceptance): wire.Accept {
  return {
    instance: change.number,
    ballot: ballotToWire(ballot),
    change: changeToWire(change),
    ...(proof && { proof: proofToWire(proof) })
  }
}

export function acceptanceFromWire(message: wire.Accept): Required<Acceptance> {
  return {
    ballot: ballotFromWire(message.ballot),
    change: unchosenFromWire(message.change),
    proof: proofFromWire(present(message.proof, 'proof'))
  }
}

/** A change that is voted on: it has no votes yet, whatever the sender says. */
function unchosenFromWire(message: wire.ViewChange | undefined): ViewChange {
  const { votes: _votes, ...change } = changeFromWire(message)
  return change
}

export function proofToWire({ joins, leaves, evictions, ballot, promises }: Proof): wire.Proof {
  return {
    joins: joins.map(joinRequestToWire),
    leaves: leaves.map(departureToWire),
    evictions: evictions.map(fromHex),
    promises: signaturesToWire(promises),
    ...(ballot && { ballot: ballotToWire(ballot) })
  }
}

export function proofFromWire(message: wire.Proof): Proof {
  const { joins, leaves, evictions, ballot, promises } = message
  return {
    joins: joins.map(joinRequestFromWire),
    leaves: leaves.map(departureFromWire),
    evictions: evictions.map(idFromWire),
    promises: signaturesFromWire(promises),
    ...(ballot && { ballot: ballotFromWire(ballot) })
  }
}

export function joinRequestToWire(request: JoinRequest): wire.JoinRequest {
  return {
    ...request,
    ringId: fromHex(request.ringId),
    member: memberToWire(request.member),
    addresses: [...request.addresses]
  }
}

export function joinRequestFromWire(message: wire.JoinRequest): JoinRequest {
  const { ringId, member, addresses, issuedAtMs, signature } = message
  return {
    ringId: idFromWire(ringId),
    member: memberFromWire(member),
    addresses: checkAddresses(addresses),
    issuedAtMs,
    signature
  }
}

/** The bytes that a joiner signs: its request without the signature. */
export function signedPart(request: Omit<JoinRequest, 'signature'>): Bytes {
  return wire.JoinRequest.encode(joinRequestToWire({ ...request, signature: new Uint8Array(0) }))
}

export function departureToWire(request: Departure): wire.Departure {
  return { ...request, ringId: fromHex(request.ringId), storeId: fromHex(request.storeId) }
}

export function departureFromWire(message: wire.Departure): Departure {
  return { ...message, ringId: idFromWire(message.ringId), storeId: idFromWire(message.storeId) }
}

/** The bytes that the peer that asks signs: the departure without its signature. */
export function signedDeparture(request: Omit<Departure, 'signature'>): Bytes {
  return wire.Departure.encode(departureToWire({ ...request, signature: new Uint8Array(0) }))
}

export function snapshotToWire({ number, founding, members, former, begins }: Snapshot): wire.Snapshot {
  return {
    number,
    ringId: fromHex(founding.ringId),
    replicas: founding.replicas,
    members: members.map(memberToWire),
    former: former.map((member) => ({ ...member, storeId: fromHex(member.storeId) })),
    begins: toRuns(begins)
  }
}

export function snapshotFromWire(message: wire.Snapshot): Snapshot {
  const snapshot = {
    number: message.number,
    founding: { ringId: idFromWire(message.ringId), replicas: message.replicas },
    members: message.members.map(memberFromWire),
    former: message.former.map((member) => ({ ...member, storeId: idFromWire(member.storeId) })),
    begins: fromRuns(message.begins)
  }
  checkSnapshot(snapshot)
  return snapshot
}

/** The form in which each received record came: it is passed on and verified without making its table. */
const receivedForms = new WeakMap<MemberRecord, wire.MemberRecord>()

export function recordToWire(record: MemberRecord): wire.MemberRecord {
  const received = receivedForms.get(record)
  if (received !== undefined) return received
  return {
    storeId: fromHex(record.storeId),
    peerId: record.peerId,
    sequence: record.sequence,
    addresses: [...record.addresses],
    ready: toRuns(record.ready),
    signature: record.signature
  }
}

/**
 * The table of the record is made when it is first read: a message may hold many records, and most are not news. A
 * record of a disk may lack its signature.
 */
export function recordFromWire(message: wire.MemberRecord): MemberRecord {
  const { storeId, peerId, sequence, addresses, ready: runs, signature } = message
  checkRuns(runs)
  let table: Uint32Array | undefined
  const record: MemberRecord = {
    storeId: idFromWire(storeId),
    peerId,
    sequence,
    addresses: checkAddresses(addresses),
    get ready() {
      table ??= fromRuns(runs)
      return table
    },
    signature: checkSignature(signature)
  }
  receivedForms.set(record, message)
  return record
}

/** Sets the signed bytes of a record apart from those of a request. */
const RECORD_DOMAIN = fromText('ringd record\n')

/** The bytes that the peer of a member signs: its record without the signature. */
export function signedRecord(record: MemberRecord): Bytes {
  return Buffer.concat([RECORD_DOMAIN, wire.MemberRecord.encode({ ...recordToWire(record), signature: EMPTY_BYTES })])
}

/**
 * The part of the knowledge that fits into one message: a snapshot always, then the chain, records, and requests. The
 * next exchange brings the rest, since the other peer still lacks it. A long chain or many members take several.
 */
export function knowledgeToWire(knowledge: Knowledge): wire.Knowledge {
  const room = { bytes: KNOWLEDGE_BYTES_MAX }
  const bases = knowledge.bases === undefined ? [] : toRuns(knowledge.bases)
  const snapshot = knowledge.snapshot && snapshotToWire(knowledge.snapshot)
  const limit = knowledge.limit && limitToWire(knowledge.limit)
  room.bytes -= wire.Knowledge.encode({ ...NO_LISTS, bases, snapshot, limit }).length
  return {
    snapshot,
    bases,
    limit,
    changes: fitting(knowledge.changes, changeToWire, wire.ViewChange.encode, room),
    records: fitting(knowledge.records, recordToWire, wire.MemberRecord.encode, room),
    joins: fitting(knowledge.joins, joinRequestToWire, wire.JoinRequest.encode, room),
    departures: fitting(knowledge.departures, departureToWire, wire.Departure.encode, room)
  }
}

const NO_LISTS: wire.Knowledge = { changes: [], bases: [], records: [], joins: [], departures: [] }

/**
 * The first items, as many as fit. After the first item that does not fit, the room is negative for all later lists.
 */
function fitting<T, W>(
  items: readonly T[],
  toWire: (item: T) => W,
  encode: (item: W) => Uint8Array,
  room: { bytes: number }
): W[] {
  const taken: W[] = []
  for (const item of items) {
    const form = toWire(item)
    room.bytes -= encode(form).length + ITEM_BYTES
    if (room.bytes < 0) break
    taken.push(form)
  }
  return taken
}

export function knowledgeFromWire(message: wire.Knowledge): Knowledge {
  return {
    snapshot: message.snapshot && snapshotFromWire(message.snapshot),
    changes: message.changes.map(changeFromWire),
    bases: message.bases.length === 0 ? undefined : fromRuns(message.bases),
    records: message.records.map(recordFromWire),
    joins: message.joins.map(joinRequestFromWire),
    departures: message.departures.map(departureFromWire),
    limit: message.limit && limitFromWire(message.limit)
  }
}

export function digestToWire(digest: Digest): wire.Digest {
  return {
    view: digest.view,
    basesCrc: digest.basesCrc,
    records: Array.from(digest.records ?? [], ([id, sequence]) => ({ storeId: fromHex(id), sequence })),
    joins: Array.from(digest.joins, fromHex),
    departures: Array.from(digest.departures, fromHex),
    recordsCrc: digest.recordsCrc,
    recordsOmitted: digest.records === undefined,
    limit: digest.limit && limitToWire(digest.limit)
  }
}

export function digestFromWire(message: wire.Digest | undefined): Digest {
  const { view, basesCrc, records, joins, departures, recordsCrc, recordsOmitted, limit } = present(message, 'digest')
  if (records.length > 4 * MEMBERS_MAX) {
    throw new RingdError('BAD_MESSAGE', `a digest lists at most ${4 * MEMBERS_MAX} records, not ${records.length}`)
  }
  return {
    view,
    basesCrc,
    recordsCrc,
    records: recordsOmitted
      ? undefined
      : new Map(records.map(({ storeId, sequence }) => [idFromWire(storeId), sequence])),
    joins: new Set(joins.map(idFromWire)),
    departures: new Set(departures.map(idFromWire)),
    limit: limit && limitFromWire(limit)
  }
}

function checkAddresses(addresses: readonly string[]): readonly string[] {
  if (addresses.length > ADDRESSES_MAX || addresses.some((address) => address.length > ADDRESS_LENGTH_MAX)) {
    throw new RingdError(
      'BAD_MESSAGE',
      `a peer announces at most ${ADDRESSES_MAX} addresses of at most ${ADDRESS_LENGTH_MAX} characters`
    )
  }
  return addresses
}

function present<T>(message: T | undefined, name: string): T {
  if (message === undefined) throw new RingdError('BAD_MESSAGE', `a ${name} is missing`)
  return message
}
