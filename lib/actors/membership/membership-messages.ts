// What the membership actor is told and asked. Shapes only.

import type { Bytes } from '../../bytes.js'
import type { Hearing } from '../../detector/eviction-rule.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Body, Link, PeerEvent, Respond } from '../../network/network.js'
import type { Reply } from '../../runtime/actor.js'
import type { Digest, Knowledge } from '../../views/knowledge.js'
import type { Ballot, Vote } from '../../views/paxos.js'

/** How often the owner sends `tick`. */
export const MEMBERSHIP_TICK_MS = 100

/** What is asked of a member: that `target` goes. */
export interface DepartureOrder {
  readonly target: MemberId
  readonly force: boolean
}

export type VotePhase = 'preparing' | 'accepting'

export type MembershipMessage =
  /** The first message of all: the network listens. */
  | { readonly type: 'start' }
  /** A request of another peer on its control stream. */
  | { readonly type: 'request'; readonly from: Link; readonly body: Body; readonly respond: Respond }
  /** Something learned in an answer: of a member that was asked as such, or else of `from`. */
  | { readonly type: 'learned'; readonly knowledge: Knowledge; readonly from?: PeerId }
  /** The other side of an exchange may lack something, and have more to tell unless it was sent the whole digest. */
  | { readonly type: 'give'; readonly peerId: PeerId; readonly digest: Digest; readonly wasWhole: boolean }
  /** `peerId` knows a newer view. */
  | { readonly type: 'catch-up'; readonly peerId: PeerId }
  /** This member has become ready for `config` in these slots: everything is on disk. */
  | { readonly type: 'ready'; readonly config: number; readonly slots: readonly number[] }
  | { readonly type: 'peer'; readonly event: PeerEvent }
  | { readonly type: 'rumor'; readonly from: PeerId; readonly rumor: Bytes }
  | {
      readonly type: 'vote'
      readonly ballot: Ballot
      readonly from: MemberId
      readonly phase: VotePhase
      readonly vote: Vote
    }
  /** An acceptor hears the member that the ballot is to evict. */
  | { readonly type: 'objection'; readonly ballot: Ballot; readonly from: MemberId }
  /** A joiner has answered a ping. */
  | { readonly type: 'answered'; readonly joiner: MemberId }
  /** Somebody is to go; replies when the wish is on disk and on its way. */
  | { readonly type: 'depart'; readonly order: DepartureOrder; readonly reply: Reply<undefined> }
  /** Which members are heard, and which are down. */
  | { readonly type: 'hearing'; readonly hearing: Hearing }
  /** So many slots are stored here that belong to others, under that view. */
  | { readonly type: 'surplus'; readonly slots: number; readonly view: number }
  | { readonly type: 'tick' }
