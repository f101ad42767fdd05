// Becoming a member: finding the ring, choosing tokens, asking to join until it is done; and at members, hearing such
// wishes. Part of the membership actor.

import type { Clock } from '../../clock.js'
import { RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { Member, MemberId } from '../../member.js'
import type { Network } from '../../network/network.js'
import { pick, type Random, sample } from '../../random.js'
import type { Ref } from '../../runtime/actor.js'
import type { Founding } from '../../views/chain.js'
import type { JoinRequest, Signer } from '../../views/join.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { signedPart } from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'
import type { MembershipMessage } from './membership-messages.js'

export interface JoiningDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly network: Network
  readonly signer: Signer
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  readonly self: Ref<MembershipMessage>
  /** How this peer picks the tokens of a new member beside `members`. */
  readonly chooseTokens: (members: readonly Member[], replicas: number) => readonly number[]
  /** This peer can never serve the ring that it was told to join. */
  readonly onRefused: (error: RingdError) => void
}

export interface JoiningOptions {
  readonly zone: string
  readonly weight: number
  /** Multiaddrs to find the ring by. */
  readonly join: readonly string[]
  /** The ring to found, when there is none to join. */
  readonly founding: Founding
  /** False for a store that was a member once: alone it would be a ring of its own with half the data. */
  readonly mayFound: boolean
}

const DIAL_REPEAT_MS = 1000
const DIAL_TIMEOUT_MS = 5000
const ASK_REPEAT_MS = 1000
/** Members told of a wish each time: those to whom it is new pass it on, so all of them would each tell everyone. */
const ASKED_AT_ONCE = 3
/** Joiners of one moment choose their tokens one after the other, so that each sees what the others chose. */
const CHOOSE_SPREAD_MS = 800
const PING_REPEAT_MS = 1000
const PING_TIMEOUT_MS = 2000
/** A wish whose joiner did not answer for so long is forgotten. */
const FORGET_MS = 30_000
/** So long, and so many, forgotten wishes are remembered as such, lest those who still know them bring them back. */
const FORGOTTEN_MS = 300_000
const FORGOTTEN_MAX = 1024

export class Joining {
  readonly #deps: JoiningDeps
  readonly #options: JoiningOptions
  readonly #heardAt = new Map<MemberId, number>()
  readonly #answeredAt = new Map<MemberId, number>()
  /** When the forgotten wish of each joiner was issued: only a later one is heard. Oldest first. */
  readonly #forgotten = new Map<MemberId, { readonly issuedAtMs: number; readonly at: number }>()
  #dialling = false
  #hasMet = false
  #nextDial = 0
  #nextAsk: number | undefined
  #nextPing = 0

  constructor(deps: JoiningDeps, options: JoiningOptions) {
    this.#deps = deps
    this.#options = options
  }

  /** When each wish was heard last as new, and when its joiner answered last; monotonic ms. */
  get heardAt(): ReadonlyMap<MemberId, number> {
    return this.#heardAt
  }

  get answeredAt(): ReadonlyMap<MemberId, number> {
    return this.#answeredAt
  }

  /** A new store without anybody to join founds a ring of its own. */
  start(): void {
    const { durableRing, onRefused } = this.#deps
    if (durableRing.ring.view !== undefined || this.#options.join.length > 0) return
    if (!this.#options.mayFound) {
      onRefused(new RingdError('BAD_CONFIG', 'this store was a member of a ring once: name a peer to join it by'))
      return
    }
    this.#chooseTokens([], this.#options.founding.replicas)
    durableRing.found(this.#options.founding)
  }

  async tick(now: number): Promise<void> {
    const { durableRing, gossip } = this.#deps
    // Others who wait at the door know no more of the ring than this peer does.
    if (gossip.links.size === 0 || durableRing.ring.view === undefined) this.#dial(now)
    if (durableRing.ring.view !== undefined) this.#hasMet = true
    if (durableRing.ring.view !== undefined && !durableRing.isMember && !durableRing.wasRemoved) await this.#ask(now)
    if (durableRing.isMember) this.#pingJoiners(now)
    this.#forget(now)
  }

  answered(joiner: MemberId): void {
    if (this.#heardAt.has(joiner)) this.#answeredAt.set(joiner, this.#deps.clock.elapsed())
  }

  /** Of the wishes heard, those that are new here and really come from their joiner; they are to be passed on. */
  async verify(joins: readonly JoinRequest[]): Promise<readonly JoinRequest[]> {
    const { durableRing, signer, log } = this.#deps
    const genuine: JoinRequest[] = []
    for (const join of joins) {
      const { storeId } = join.member
      const heard = durableRing.ring.joins.get(storeId)?.issuedAtMs ?? this.#forgotten.get(storeId)?.issuedAtMs
      if (heard !== undefined && heard >= join.issuedAtMs) continue
      if (await signer.verify(join.member.peerId, signedPart(join), join.signature)) genuine.push(join)
      else log.warn({ peer: join.member.peerId }, 'join request with a wrong signature')
    }
    const now = this.#deps.clock.elapsed()
    for (const { member } of genuine) if (!this.#heardAt.has(member.storeId)) this.#heardAt.set(member.storeId, now)
    return genuine
  }

  #dial(now: number): void {
    const { network, log, random, onRefused } = this.#deps
    const address = pick(random, this.#options.join)
    if (address === undefined || this.#dialling || now < this.#nextDial) return
    this.#dialling = true
    this.#nextDial = now + DIAL_REPEAT_MS
    network
      .dial(address, DIAL_TIMEOUT_MS)
      .catch((thrown) => {
        const error = toRingdError(thrown)
        // Once it has met its ring, a wrong peer at an old address is no reason to end.
        const isFatal = error.code !== 'UNREACHABLE' && error.code !== 'TIMEOUT' && !this.#hasMet
        if (isFatal) onRefused(error)
        else log.warn({ address, err: error.message }, 'no peer of the ring answers at the address; trying again')
      })
      .finally(() => {
        this.#dialling = false
      })
  }

  async #ask(now: number): Promise<void> {
    const { durableRing, gossip, signer, clock, network, random } = this.#deps
    this.#nextAsk ??= now + (durableRing.member === undefined ? random.next() * CHOOSE_SPREAD_MS : 0)
    if (now < this.#nextAsk || gossip.links.size === 0) return
    this.#nextAsk = now + ASK_REPEAT_MS
    const { view, joins } = durableRing.ring
    const others = Array.from(joins.values(), (join) => join.member).filter((m) => m.storeId !== durableRing.storeId)
    const member =
      durableRing.member ?? this.#chooseTokens([...view!.members.values(), ...others], view!.founding.replicas)
    const request = {
      ringId: view!.founding.ringId,
      member,
      addresses: network.addresses(),
      issuedAtMs: clock.now()
    }
    const join = { ...request, signature: await signer.sign(signedPart(request)) }
    durableRing.after(() => {
      for (const peerId of sample(random, [...gossip.links.keys()], ASKED_AT_ONCE)) {
        gossip.push(peerId, { ...NO_KNOWLEDGE, joins: [join] })
      }
      gossip.rumor({ joins: [join] })
    })
  }

  #chooseTokens(beside: readonly Member[], replicas: number): Member {
    const { durableRing, chooseTokens, log } = this.#deps
    const { zone, weight } = this.#options
    const tokens = chooseTokens(beside, replicas)
    const member = { storeId: durableRing.storeId, peerId: durableRing.peerId, tokens, zone, weight }
    durableRing.become(member)
    log.info({ storeId: member.storeId, tokens: tokens.length, zone, weight }, 'tokens chosen')
    return member
  }

  /** Whoever waits must have just answered before it is proposed: a view with a dead member costs everyone. */
  #pingJoiners(now: number): void {
    const { durableRing, gossip, self } = this.#deps
    if (durableRing.ring.joins.size === 0 || now < this.#nextPing) return
    this.#nextPing = now + PING_REPEAT_MS
    const view = durableRing.ring.view?.number ?? 0
    for (const joiner of durableRing.ring.joins.keys()) {
      gossip.request(joiner, { ping: { view } }, PING_TIMEOUT_MS, (answer) => {
        if (!(answer instanceof RingdError)) self.signal({ type: 'answered', joiner })
      })
    }
  }

  #forget(now: number): void {
    const { durableRing } = this.#deps
    const late: MemberId[] = []
    for (const [id, heard] of this.#heardAt) {
      const join = durableRing.ring.joins.get(id)
      if (join !== undefined && now - Math.max(heard, this.#answeredAt.get(id) ?? 0) <= FORGET_MS) continue
      this.#heardAt.delete(id)
      this.#answeredAt.delete(id)
      if (join === undefined) continue
      late.push(id)
      this.#forgotten.delete(id)
      this.#forgotten.set(id, { issuedAtMs: join.issuedAtMs, at: now })
    }
    durableRing.forgetWishes(late)
    for (const [id, { at }] of this.#forgotten) {
      if (this.#forgotten.size <= FORGOTTEN_MAX && now - at <= FORGOTTEN_MS) break
      this.#forgotten.delete(id)
    }
  }
}
