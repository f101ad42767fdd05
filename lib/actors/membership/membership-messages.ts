// The messages that the membership actor gets. Shapes only.

import type { Bytes } from '../../bytes.js'
import type { Hearing } from '../../detector/eviction-rule.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Body, Link, PeerEvent, Respond } from '../../network/network.js'
import type { Reply } from '../../runtime/actor.js'
import type { Ballot } from '../../views/ballot.js'
import type { Digest, Knowledge } from '../../views/knowledge.js'
import type { Vote } from '../../views/paxos.js'

/** How often the owner sends `tick`. */
export const MEMBERSHIP_TICK_MS = 100

/** An operator's order: this member leaves (`target` is itself), or asks the others to remove `target`. */
export interface DepartureOrder {
  readonly target: MemberId
  /** Also when fewer members would remain than there are copies, or when `target` is up. */
  readonly force: boolean
}

/** Paxos: in phase 1 acceptors are asked to promise, in phase 2 to accept. */
export type VotePhase = 'preparing' | 'accepting'

export type MembershipMessage =
  /** The first message of all: the network listens. */
  | { readonly type: 'start' }
  /** A request of another peer on its control stream. */
  | { readonly type: 'request'; readonly from: Link; readonly body: Body; readonly respond: Respond }
  /** Knowledge that came in an answer: of `from`, or without it of a member that was asked as a member. */
  | { readonly type: 'learned'; readonly knowledge: Knowledge; readonly from?: PeerId }
  /** The digest of the other side of an exchange. Unless it was sent a whole digest, it may have more to tell. */
  | { readonly type: 'give'; readonly peerId: PeerId; readonly digest: Digest; readonly wasWhole: boolean }
  /** `peerId` knows a newer view. */
  | { readonly type: 'catch-up'; readonly peerId: PeerId }
  /** This member has become ready for `config` in these slots: everything is on disk. */
  | { readonly type: 'ready'; readonly config: number; readonly slots: readonly number[] }
  /** A link came up, went down, or was refused. */
  | { readonly type: 'peer'; readonly event: PeerEvent }
  | { readonly type: 'rumor'; readonly from: PeerId; readonly rumor: Bytes }
  /** The vote of an acceptor, this member's own included. */
  | {
      readonly type: 'vote'
      readonly ballot: Ballot
      readonly from: MemberId
      readonly phase: VotePhase
      readonly vote: Vote
    }
  /** An acceptor refuses to promise: it hears the member that the ballot is to evict. */
  | { readonly type: 'objection'; readonly ballot: Ballot; readonly from: MemberId }
  /** A joiner has answered a ping. */
  | { readonly type: 'answered'; readonly joiner: MemberId }
  /** An order of an operator. Replies when the request is on disk and on its way. */
  | { readonly type: 'depart'; readonly order: DepartureOrder; readonly reply: Reply<undefined> }
  /** An order of an operator: the limit for moving data, bytes in a second; 0: none. Replies when it is on disk. */
  | { readonly type: 'limit'; readonly bytesPerS: number; readonly reply: Reply<undefined> }
  /** Which members are heard, and which are down. */
  | { readonly type: 'hearing'; readonly hearing: Hearing }
  /** The handoff has counted the slots that are stored here and owned by others, under that view. */
  | { readonly type: 'surplus'; readonly slots: number; readonly view: number }
  | { readonly type: 'tick' }
