// Takes in what other peers tell of the ring: drops what the sender may not tell, verifies what must be signed, and
// hands the rest to the durable ring. Part of the membership actor.
// Invariants: views are believed by their votes (chain-trust.ts), records and requests by their signatures, whoever
// brings them. Only bases and the limit for moves are believed by who tells them: members, and former members that own
// a slot in some window.
// A join request is heard from those, and from its joiner itself: else a stranger could fill the list of requests.

import type { Bytes } from '../../bytes.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import type { MemberRecord } from '../../views/join.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { isRecordNews, tellersOf } from '../../views/ring-state.js'
import { signedRecord } from '../../views/wire-codec.js'
import type { ChainTrust } from './chain-trust.js'
import type { DepartureRequests } from './departure-requests.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { JoinRequests } from './join-requests.js'
import type { Limiting } from './limiting.js'
import type { Verifier } from './verifier.js'

export interface LearningDeps {
  readonly log: Logger
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly verifier: Verifier
  readonly chainTrust: ChainTrust
  readonly joinRequests: JoinRequests
  readonly departureRequests: DepartureRequests
  readonly limiting: Pick<Limiting, 'taken'>
}

/** A rumor, and the peer that published it. */
interface Rumored {
  readonly from: PeerId
  readonly knowledge: Knowledge
}

export class Learning {
  readonly #deps: LearningDeps
  /** The rumors of this batch. They are learned together, because each learning looks at every slot. */
  #rumored: Rumored[] = []

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
      this.#rumored.push({ from, knowledge: gossip.readRumor(from, rumor) })
    } catch (thrown) {
      log.debug({ peer: from, err: thrown }, 'rumor cannot be read; ignored')
    }
  }

  async learnRumors(): Promise<void> {
    const rumored = this.#rumored
    if (rumored.length === 0) return
    this.#rumored = []
    const genuine: Knowledge[] = []
    for (const { from, knowledge } of rumored) genuine.push(await this.#genuine(this.#heard(knowledge, from), from))
    this.#deps.durableRing.learn({
      ...NO_KNOWLEDGE,
      records: genuine.flatMap(({ records }) => records),
      joins: genuine.flatMap(({ joins }) => joins),
      departures: genuine.flatMap(({ departures }) => departures)
    })
  }

  async #learn(told: Knowledge, from: PeerId | undefined, passOn: boolean): Promise<void> {
    const { durableRing, chainTrust, gossip, log } = this.#deps
    try {
      const { snapshot, changes } = await chainTrust.believed(told, from)
      // The chain comes first, and alone: it says whose records and bases count.
      durableRing.learn({ ...NO_KNOWLEDGE, snapshot, changes })
      const heard = this.#heard(told, from)
      const genuine = await this.#genuine(heard, from)
      const unheard = genuine.joins.filter(({ member }) => !durableRing.ring.joins.has(member.storeId))
      const limit = this.#deps.limiting.taken(heard.limit)
      durableRing.learn({ ...genuine, bases: heard.bases, limit })
      if (passOn && unheard.length > 0) durableRing.after(() => gossip.rumor({ joins: unheard }))
      if (passOn && genuine.hasBad) throw new RingdError('BAD_MESSAGE', 'a record has a wrong signature')
    } catch (thrown) {
      log.debug(
        { peer: from, err: thrown },
        'ring knowledge that is wrong, or does not follow from what is known; ignored'
      )
      throw toRingdError(thrown)
    }
  }

  /** The part that this peer listens to, beside the chain. */
  #heard(told: Knowledge, from: PeerId | undefined): Knowledge {
    const part = { ...told, snapshot: undefined, changes: [] }
    if (from === undefined || tellersOf(this.#deps.durableRing.ring).has(from)) return part
    return {
      ...NO_KNOWLEDGE,
      records: told.records,
      joins: told.joins.filter(({ member }) => member.peerId === from)
    }
  }

  /** The records and requests that are news and were signed by those that they are about. */
  async #genuine(heard: Knowledge, from: PeerId | undefined): Promise<Knowledge & { readonly hasBad: boolean }> {
    const { joinRequests, departureRequests } = this.#deps
    const news = newestOf(heard.records).filter((record) => isRecordNews(this.#deps.durableRing.ring, record))
    const records = await this.#verified(news, from)
    const joins = await joinRequests.verify(heard.joins, from)
    const departures = await departureRequests.verify(heard.departures)
    return { ...NO_KNOWLEDGE, records, joins, departures, hasBad: records.length < news.length }
  }

  /** The records before the first with a wrong signature: who sends one such is not worth the work on the others. */
  async #verified(records: readonly MemberRecord[], from: PeerId | undefined): Promise<readonly MemberRecord[]> {
    const genuine: MemberRecord[] = []
    for (const record of records) {
      const claim = { peerId: record.peerId, statement: signedRecord(record), signature: record.signature }
      if (!(await this.#deps.verifier.holds('record', [claim], from))) break
      genuine.push(record)
    }
    return genuine
  }
}

/** Of each member its newest record: more than one would only cost more. */
function newestOf(records: readonly MemberRecord[]): readonly MemberRecord[] {
  const newest = new Map<MemberId, MemberRecord>()
  for (const record of records) {
    const other = newest.get(record.storeId)
    if (other === undefined || other.sequence < record.sequence) newest.set(record.storeId, record)
  }
  return [...newest.values()]
}
