// How knowledge of the ring spreads. Exchanges make two peers equal for certain; rumors are fast, and may be lost.
// Part of the membership actor. Owns the links to other peers as membership sees them.
// Source: Demers et al., "Epidemic algorithms for replicated database maintenance", 1987 (push-pull anti-entropy).

import type { Bytes } from '../../bytes.js'
import { fromHex } from '../../bytes.js'
import { RingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import { isMemberAt } from '../../network/member-link.js'
import type { Answer, Body, Link, Network, Respond } from '../../network/network.js'
import { decodeRumor } from '../../network/packet-reader.js'
import { type Exchange, Rumor } from '../../network/wire.js'
import { pick, type Random } from '../../random.js'
import type { Ref } from '../../runtime/actor.js'
import type { ViewChange } from '../../views/chain.js'
import type { Departure } from '../../views/departure.js'
import type { JoinRequest, MemberRecord } from '../../views/join.js'
import { type Digest, isEmpty, type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { digestOf, lacking, lags, shortDigestOf } from '../../views/ring-state.js'
import * as forms from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { MembershipMessage } from './membership-messages.js'

export interface GossipDeps {
  readonly random: Random
  readonly log: Logger
  readonly network: Network
  readonly durableRing: DurableRing
  readonly self: Ref<MembershipMessage>
}

/** The contents of a rumor. */
export interface News {
  readonly records?: readonly MemberRecord[]
  readonly joins?: readonly JoinRequest[]
  readonly departures?: readonly Departure[]
}

const EXCHANGE_TIMEOUT_MS = 5000
const TELL_TIMEOUT_MS = 2000
const RUMOR_BYTES_MAX = 60_000
const EXCHANGE_MS = 2000
/** A peer that is not a member yet exchanges more often: it waits for the view that takes it in. */
const EXCHANGE_JOINING_MS = 200

export class Gossip {
  readonly #deps: GossipDeps
  readonly #links = new Map<PeerId, Link>()
  #nextExchange = 0

  constructor(deps: GossipDeps) {
    this.#deps = deps
  }

  get links(): ReadonlyMap<PeerId, Link> {
    return this.#links
  }

  linkUp(link: Link): void {
    this.#links.set(link.peerId, link)
    this.exchangeWith(link.peerId)
  }

  linkDown(peerId: PeerId): void {
    this.#links.delete(peerId)
  }

  /** Whether the member can be asked now: a link to its peer is up, and the peer's hello named this member. */
  isUp(member: MemberId): boolean {
    const { durableRing } = this.#deps
    if (member === durableRing.storeId) return true
    return this.#peerOf(member) !== undefined
  }

  /** Asks the peer of a member or joiner. Calls back with UNREACHABLE when it has no link. */
  request(member: MemberId, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    const peerId = this.#peerOf(member)
    if (peerId === undefined) done(new RingdError('UNREACHABLE', 'no link to the member'))
    else this.#deps.network.request(peerId, 'control', body, timeoutMs, done)
  }

  /**
   * Begins an exchange: sends a digest, learns the knowledge that comes back, and sends what the other side lacks. In a
   * large ring the first digest is short. When the other side has newer records, an exchange with a whole one follows.
   */
  exchangeWith(peerId: PeerId, isWhole = false): void {
    const { durableRing, network } = this.#deps
    durableRing.after(() => {
      const digest = isWhole ? digestOf(durableRing.ring) : shortDigestOf(durableRing.ring)
      const body: Body = { exchange: { digest: forms.digestToWire(digest) } }
      network.request(peerId, 'control', body, EXCHANGE_TIMEOUT_MS, (answer) =>
        this.#exchanged(peerId, answer, digest.records !== undefined)
      )
    })
  }

  /** Begins an exchange with a random peer, now and then. */
  tick(now: number): void {
    if (now < this.#nextExchange) return
    this.#nextExchange = now + (this.#deps.durableRing.isMember ? EXCHANGE_MS : EXCHANGE_JOINING_MS)
    const peer = pick(this.#deps.random, [...this.#links.keys()])
    if (peer !== undefined) this.exchangeWith(peer)
  }

  /** Answers an exchange with what the other side lacks, and with a digest of what is known here. */
  exchange(message: Exchange, respond: Respond): void {
    const { durableRing } = this.#deps
    const digest = forms.digestFromWire(message.digest)
    durableRing.after(() => {
      const knowledge = forms.knowledgeToWire(lacking(durableRing.ring, digest))
      const mine = shortDigestOf(durableRing.ring)
      // One of the two digests must list the records: otherwise neither side can tell what the other lacks.
      const isEnough = digest.records !== undefined || digest.recordsCrc === mine.recordsCrc
      respond({ exchanged: { digest: forms.digestToWire(isEnough ? mine : digestOf(durableRing.ring)), knowledge } })
    })
  }

  /** Tells these members of a new view at once. A member that is not reached learns it by exchange. */
  tellAll(members: readonly MemberId[], change: ViewChange): void {
    const { durableRing } = this.#deps
    const body: Body = { learn: forms.knowledgeToWire({ ...NO_KNOWLEDGE, changes: [change] }) }
    for (const member of new Set(members)) {
      if (member !== durableRing.storeId) this.request(member, body, TELL_TIMEOUT_MS, () => {})
    }
    this.rumor({})
  }

  /** Sends knowledge to a linked peer. It may get lost: requests are renewed, and exchanges repeat the rest. */
  push(peerId: PeerId, knowledge: Knowledge): void {
    if (isEmpty(knowledge)) return
    const body: Body = { learn: forms.knowledgeToWire(knowledge) }
    this.#deps.network.request(peerId, 'control', body, TELL_TIMEOUT_MS, () => {})
  }

  /** Publishes the number of the newest view and the given news. News too long for a rumor travels by exchange. */
  rumor({ records = [], joins = [], departures = [] }: News): void {
    const { durableRing, network } = this.#deps
    const bare = {
      storeId: fromHex(durableRing.storeId),
      view: durableRing.ring.view?.number ?? 0,
      records: [],
      joins: [],
      departures: []
    }
    const full = Rumor.encode({
      ...bare,
      records: records.map(forms.recordToWire),
      joins: joins.map(forms.joinRequestToWire),
      departures: departures.map(forms.departureToWire)
    })
    network.publish(full.length <= RUMOR_BYTES_MAX ? full : Rumor.encode(bare))
  }

  /**
   * The contents of a rumor; its requests are not verified yet. Asks the sender when it knows a newer view. Throws
   * BAD_MESSAGE.
   */
  readRumor(from: PeerId, bytes: Bytes): Knowledge {
    const rumor = decodeRumor(bytes)
    if (rumor.view > (this.#deps.durableRing.ring.view?.number ?? 0) && this.#links.has(from)) this.exchangeWith(from)
    return {
      ...NO_KNOWLEDGE,
      records: rumor.records.map(forms.recordFromWire),
      joins: rumor.joins.map(forms.joinRequestFromWire),
      departures: rumor.departures.map(forms.departureFromWire)
    }
  }

  #exchanged(peerId: PeerId, answer: Answer, wasWhole: boolean): void {
    const { self, log } = this.#deps
    if (answer instanceof RingdError || answer.exchanged === undefined) return
    try {
      const { knowledge, digest } = answer.exchanged
      if (knowledge !== undefined) {
        self.signal({ type: 'learned', knowledge: forms.knowledgeFromWire(knowledge), from: peerId })
      }
      const theirs = forms.digestFromWire(digest)
      self.signal({ type: 'give', peerId, digest: theirs, wasWhole })
    } catch (thrown) {
      log.warn({ peer: peerId, err: thrown }, 'answer to an exchange cannot be read; ignored')
    }
  }

  /**
   * Ends an exchange: sends the other side what it lacks. When it had only a short digest and lists records that are
   * newer than those here, it is asked again with a whole one.
   */
  give(peerId: PeerId, digest: Digest, wasWhole: boolean): void {
    const { durableRing } = this.#deps
    durableRing.after(() => this.push(peerId, lacking(durableRing.ring, digest)))
    if (!wasWhole && lags(durableRing.ring, digest)) this.exchangeWith(peerId, true)
  }

  #peerOf(member: MemberId): PeerId | undefined {
    const { network, durableRing } = this.#deps
    const { ring } = durableRing
    const peerId = ring.view?.peerIds.get(member) ?? ring.joins.get(member)?.member.peerId
    if (peerId === undefined) return undefined
    // Asks the network, not the links here: the event that the peer is another member now may still be in the mailbox.
    return isMemberAt(network, peerId, member) ? peerId : undefined
  }
}
