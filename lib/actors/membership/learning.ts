// Takes in what other peers tell of the ring: drops what the sender may not tell, verifies requests, and hands the rest
// to the durable ring. Part of the membership actor.
// Invariant: a member takes views, bases and records from members only. Any peer may dial, so a stranger may tell
// nothing but join requests, which their joiner has signed.

import type { Bytes } from '../../bytes.js'
import { toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import type { DepartureRequests } from './departure-requests.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { JoinRequests } from './join-requests.js'

export interface LearningDeps {
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly joinRequests: JoinRequests
  readonly departureRequests: DepartureRequests
  /** The peers that this one was told to join by, when all of them are named. Undefined: any peer may introduce it. */
  readonly introducers?: ReadonlySet<PeerId> | undefined
}

export class Learning {
  readonly #deps: LearningDeps
  /** The contents of the rumors of this batch. They are learned together, because each learning looks at every slot. */
  #rumored: Knowledge[] = []

  constructor(deps: LearningDeps) {
    this.#deps = deps
  }

  /** Learns what `from` pushed. Join requests that are new here are passed on by gossip. Throws BAD_MESSAGE. */
  async learnPushed(knowledge: Knowledge, from: PeerId): Promise<void> {
    await this.#learn(knowledge, from, true)
  }

  /**
   * Learns the contents of an answer: of `from`, or of a member that was asked as such. Nonsense is logged
   * and dropped: an answer cannot be refused.
   */
  async learnAnswer(knowledge: Knowledge, from: PeerId | undefined): Promise<void> {
    try {
      await this.#learn(knowledge, from, false)
    } catch {}
  }

  /** Puts a rumor aside for `learnRumors`. */
  addRumor(from: PeerId, rumor: Bytes): void {
    const { gossip, log } = this.#deps
    try {
      const knowledge = gossip.readRumor(from, rumor)
      this.#rumored.push(this.#believes(from) ? knowledge : { ...NO_KNOWLEDGE, joins: knowledge.joins })
    } catch (thrown) {
      log.debug({ peer: from, err: thrown }, 'rumor cannot be read; ignored')
    }
  }

  async learnRumors(): Promise<void> {
    const rumored = this.#rumored
    if (rumored.length === 0) return
    this.#rumored = []
    const records = rumored.flatMap((knowledge) => knowledge.records)
    const joins = rumored.flatMap((knowledge) => knowledge.joins)
    const departures = rumored.flatMap((knowledge) => knowledge.departures)
    await this.learnAnswer({ ...NO_KNOWLEDGE, records, joins, departures }, undefined)
  }

  async #learn(knowledge: Knowledge, from: PeerId | undefined, passOn: boolean): Promise<void> {
    const { durableRing, joinRequests, departureRequests, gossip, log } = this.#deps
    const believed = this.#believes(from) ? knowledge : NO_KNOWLEDGE
    const joins = await joinRequests.verify(knowledge.joins)
    const unheard = joins.filter(({ member }) => !durableRing.ring.joins.has(member.storeId))
    const departures = await departureRequests.verify(believed.departures)
    try {
      durableRing.learn({ ...believed, joins, departures })
    } catch (thrown) {
      log.warn({ peer: from, err: thrown }, 'ring knowledge that does not follow from what is known; ignored')
      throw toRingdError(thrown)
    }
    if (passOn && unheard.length > 0) durableRing.after(() => gossip.rumor({ joins: unheard }))
  }

  /**
   * A peer that is not a member yet has no members to believe. It hears of its ring from the peers that it was told to
   * join by, if they are named, else from any. After that it believes everyone.
   */
  #believes(from: PeerId | undefined): boolean {
    const { durableRing, introducers } = this.#deps
    if (durableRing.standing === 'outside' && introducers !== undefined)
      return from !== undefined && introducers.has(from)
    if (from === undefined || !durableRing.isMember) return true
    return peersOf(durableRing.ring.view!.peerIds).has(from)
  }
}

const peersOfViews = new WeakMap<ReadonlyMap<MemberId, PeerId>, ReadonlySet<PeerId>>()

/** The peers of all members that ever were: collected once for each view. */
function peersOf(peerIds: ReadonlyMap<MemberId, PeerId>): ReadonlySet<PeerId> {
  let peers = peersOfViews.get(peerIds)
  if (peers === undefined) {
    peers = new Set(peerIds.values())
    peersOfViews.set(peerIds, peers)
  }
  return peers
}
