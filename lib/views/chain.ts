// The chain of views V1, V2, ...: each is the view before it, plus joins, minus removals. Pure.
// Invariant: view numbers have no gaps, and an id that was removed is never added again.
// Source: rules 0 and 11 of lib/views/README.md.

import { RingdError } from '../errors.js'
import { MEMBERS_MAX, REPLICAS_MAX, WEIGHT_MAX } from '../limits.js'
import { MEMBER_ID_PATTERN, type Member, type MemberId, type PeerId } from '../member.js'
import { SLOTS } from '../ring/slots.js'
import { tokenCount } from '../ring/tokens.js'
import type { Ballot, Signatures } from './ballot.js'

/** The difference between view `number` and the view before it. The change of view 1 also founds the ring. */
export interface ViewChange {
  readonly number: number
  readonly joins: readonly Member[]
  readonly removals: readonly MemberId[]
  /** Former members that were taken for dead: nobody waits for their answers. */
  readonly lost?: readonly MemberId[] | undefined
  readonly founding?: Founding | undefined
  /** Why others believe the change; undefined before it is chosen, and for view 1. */
  readonly votes?: Votes | undefined
}

/** The acceptances by which a majority of the members of the view before chose a change. */
export interface Votes {
  readonly ballot: Ballot
  readonly signatures: Signatures
}

export interface Founding {
  /** 32 hex digits, chosen at random by the founder. Two rings never merge by accident. */
  readonly ringId: string
  /** Copies of every entry, 1..7. */
  readonly replicas: number
}

export interface View {
  readonly number: number
  readonly founding: Founding
  readonly members: ReadonlyMap<MemberId, Member>
  /** Members and former members, the former ones in the order in which they left. A window may still name one. */
  readonly peerIds: ReadonlyMap<MemberId, PeerId>
  /** Former members that were taken for dead. */
  readonly lost: ReadonlySet<MemberId>
  /**
   * In a ring of two that grew from one: the member that was there first. Its vote alone chooses the next view, so that
   * a second member that dies does not stop the first. Undefined where it is not known (after a snapshot).
   */
  readonly elder?: MemberId | undefined
}

const TEXT_MAX = 256

/** Majority of a set of `size`. */
export function quorum(size: number): number {
  return Math.floor(size / 2) + 1
}

/**
 * Whether these members of the view choose the next one: a majority, or the elder. Any two such sets have a member in
 * common, also when only one of the two peers that count knows the elder.
 */
export function chooses(
  { members, elder }: { readonly members: { readonly size: number }; readonly elder?: MemberId | undefined },
  voters: Pick<ReadonlySet<MemberId>, 'has' | 'size'>
): boolean {
  return elder === undefined ? voters.size >= quorum(members.size) : voters.has(elder)
}

/**
 * The view after `before`; `before` is undefined when `change` founds a ring. Throws BAD_MESSAGE for a wrong change.
 */
export function applyChange(before: View | undefined, change: ViewChange): View {
  const founding = before?.founding ?? change.founding
  const newest = before?.number ?? 0
  require(change.number === newest + 1, `view ${change.number} does not follow view ${newest}`)
  require(founding !== undefined &&
    (before === undefined || change.founding === undefined), 'only view 1 founds a ring')
  const { joins, removals, lost: dead = [] } = change
  require(joins.length + removals.length + dead.length > 0, `view ${change.number} changes nothing`)
  const members = new Map(before?.members)
  const peerIds = new Map(before?.peerIds)
  const lost = new Set(before?.lost)
  for (const id of removals) {
    require(members.delete(id), `${id} is not a member and cannot be removed`)
    const peerId = peerIds.get(id)!
    peerIds.delete(id)
    peerIds.set(id, peerId)
  }
  for (const id of dead) {
    require(peerIds.has(id) && !members.has(id), `${id} is not a former member and cannot be lost`)
    lost.add(id)
  }
  for (const member of joins) {
    checkMember(member)
    require(!peerIds.has(member.storeId), `${member.storeId} is or was a member`)
    members.set(member.storeId, member)
    peerIds.set(member.storeId, member.peerId)
  }
  require(members.size > 0 && members.size <= MEMBERS_MAX, `a view has 1..${MEMBERS_MAX} members, not ${members.size}`)
  if (before === undefined) checkFounding(founding)
  return { number: change.number, founding, members, peerIds, lost, elder: elderOf(before, members) }
}

function elderOf(before: View | undefined, members: ReadonlyMap<MemberId, Member>): MemberId | undefined {
  if (before === undefined || members.size !== 2) return undefined
  const [only] = before.members.keys()
  const elder = before.members.size === 1 ? only : before.elder
  return elder !== undefined && members.has(elder) ? elder : undefined
}

/** Throws BAD_MESSAGE unless every field lies within its bounds. */
export function checkMember(member: Member): void {
  require(MEMBER_ID_PATTERN.test(member.storeId), 'a storeId has 32 hex digits')
  require(member.peerId.length > 0 && member.peerId.length <= TEXT_MAX, 'a peerId is a short text')
  require(member.zone.length <= TEXT_MAX, 'a zone is a short text')
  require(member.weight > 0 && member.weight <= WEIGHT_MAX, `a weight lies in (0, ${WEIGHT_MAX}]`)
  const tokensMax = tokenCount(member.weight)
  const { length } = member.tokens
  require(length > 0 && length <= tokensMax, `a member of weight ${member.weight} has 1..${tokensMax} tokens`)
  let last = -1
  for (const token of member.tokens) {
    require(Number.isInteger(token) && token > last && token < SLOTS, 'tokens are ascending slot numbers')
    last = token
  }
}

/** About the bytes of a change on disk and on the wire. */
export function sizeOfChange({ joins, removals, lost = [], votes }: ViewChange): number {
  const signatures = votes?.signatures.size ?? 0
  let bytes = 64 + (removals.length + lost.length) * 18 + signatures * 90
  for (const { peerId, zone, tokens } of joins) bytes += 48 + peerId.length + zone.length + tokens.length * 3
  return bytes
}

export function checkFounding(founding: Founding): void {
  require(MEMBER_ID_PATTERN.test(founding.ringId), 'a ringId has 32 hex digits')
  const { replicas } = founding
  require(Number.isInteger(replicas) && replicas >= 1 && replicas <= REPLICAS_MAX, `replicas lie in 1..${REPLICAS_MAX}`)
}

/** Throws BAD_MESSAGE unless the condition holds. */
export function require(condition: boolean, message: string): asserts condition {
  if (!condition) throw new RingdError('BAD_MESSAGE', message)
}
