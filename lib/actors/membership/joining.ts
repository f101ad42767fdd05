// How this peer becomes a member: it finds the ring, chooses its tokens, and asks to join until a view takes it in; or
// it founds a ring. Part of the membership actor. The requests of other joiners are in join-requests.ts.

import { type ErrorCode, RingdError, toRingdError } from '../../errors.js'
import type { Logger } from '../../logger.js'
import type { Member, PeerId } from '../../member.js'
import type { Network } from '../../network/network.js'
import { pick, type Random, sample } from '../../random.js'
import type { Founding } from '../../views/chain.js'
import type { Signer } from '../../views/join.js'
import { NO_KNOWLEDGE } from '../../views/knowledge.js'
import { signedPart } from '../../views/wire-codec.js'
import type { DurableRing } from './durable-ring.js'
import type { Gossip } from './gossip.js'

export interface JoiningDeps {
  readonly random: Random
  readonly log: Logger
  readonly network: Network
  readonly signer: Signer
  readonly durableRing: DurableRing
  readonly gossip: Gossip
  /** Asked before each request to join. False for some seconds at most. */
  readonly mayJoin: () => boolean
  /** The time of the members. By a wrong clock of its own, later requests of this peer would look older. */
  readonly now: () => number
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
  /** The id of the only ring that this peer may join. */
  readonly ring?: string | undefined
  /** The ring to found, when there is none to join. */
  readonly founding: Founding
  /** False for a store that was a member once: alone it would be a ring of its own with half the data. */
  readonly mayFound: boolean
  /**
   * A peer that is to join founds a ring only when this many empty peers, itself included, have met, and it has the
   * lowest peer id of them. 0: never.
   */
  readonly expects: number
  /** The ring that this store is to found whatever it is told to join: an operator rescued it. */
  readonly rescue: Founding | undefined
}

/** All addresses are tried one after the other, then again after this. */
const DIAL_REPEAT_MS = 1000
/** A peer that was reached and knows no ring itself costs no more than this. */
const DIAL_NEXT_MS = 100
const DIAL_TIMEOUT_MS = 5000
/** Failures of a dial that say nothing about the address: INTERNAL is an error of the connection as it closes. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['UNREACHABLE', 'TIMEOUT', 'INTERNAL'])
const ONLY_OWN =
  'is an address of this peer itself: it cannot join by it; name another peer, or leave --join out to found a ring'
/** Members that a joiner dials at once, and how soon it dials the same one again. */
const MEETINGS_MAX = 8
const MEET_REPEAT_MS = 5000
const ASK_REPEAT_MS = 1000
/** Members that get the request each time. Each of them passes a new request on, so a few are enough. */
const ASKED_AT_ONCE = 3
/** Joiners of one moment choose their tokens one after the other, so that each sees what the others chose. */
const CHOOSE_SPREAD_MS = 800

export class Joining {
  readonly #deps: JoiningDeps
  readonly #options: JoiningOptions
  #isDialling = false
  #nextDial = 0
  /** The first ask comes after a random time, drawn when this peer first knows the ring. */
  #nextAsk: number | undefined
  /** This peer knew a view at an earlier tick. */
  #hasMetRing = false
  /** The addresses to find the ring by, without those that are this peer's own. */
  #addresses: readonly string[]
  /** Addresses that were not tried in this round. */
  #untried: readonly string[] = []
  /** Dials of members under way, and when each member may be dialled again; monotonic ms. */
  #meeting = 0
  readonly #nextMeeting = new Map<PeerId, number>()
  /** Other empty peers that were linked when this peer looked last. */
  #met: number | undefined
  /** Addresses to join by that were dialled, and have answered or not. */
  readonly #tried = new Set<string>()
  /** The peers at the addresses to join by. */
  readonly #seeds = new Set<PeerId>()

  constructor(deps: JoiningDeps, options: JoiningOptions) {
    this.#deps = deps
    this.#options = options
    this.#addresses = options.join
  }

  /** Whether this peer dialled that one to join the ring by it. */
  isSeed(peerId: PeerId): boolean {
    return this.#seeds.has(peerId)
  }

  /** A new store that has no address to join by founds a ring of its own. */
  start(): void {
    const { durableRing, onRefused } = this.#deps
    const { rescue } = this.#options
    if (durableRing.standing !== 'outside') return
    if (rescue !== undefined) return this.#foundRescued(rescue)
    if (this.#options.join.length > 0) return
    if (this.#options.ring !== undefined) {
      onRefused(new RingdError('BAD_CONFIG', `to join ring ${this.#options.ring}, name a peer to join it by`))
      return
    }
    if (!this.#options.mayFound) {
      onRefused(new RingdError('BAD_CONFIG', 'this store was a member of a ring once: name a peer to join it by'))
      return
    }
    this.#found(this.#options.founding)
  }

  #foundRescued(rescue: Founding): void {
    const { ring } = this.#options
    if (ring === undefined || ring === rescue.ringId) return this.#found(rescue)
    const text = `this directory was rescued as ring ${rescue.ringId}, and the setting ring names ${ring}; change it`
    this.#deps.onRefused(new RingdError('WRONG_RING', text))
  }

  #found(founding: Founding): void {
    const { durableRing, log } = this.#deps
    this.#chooseTokens([], founding.replicas)
    durableRing.found(founding)
    log.info({ ringId: founding.ringId, replicas: founding.replicas }, 'ring founded')
  }

  async tick(now: number): Promise<void> {
    const { durableRing, gossip } = this.#deps
    const { standing } = durableRing
    // While this peer is outside, its links may lead to other joiners only, which know no more of the ring.
    if (gossip.links.size === 0 || standing === 'outside') this.#dial(now)
    if (standing === 'outside' && this.#isChosenToFound()) return this.#found(this.#options.founding)
    if (standing !== 'outside') this.#hasMetRing = true
    if (standing !== 'joining') return
    this.#meetMembers(now)
    await this.#ask(now)
  }

  /**
   * Whether this peer is the one that founds the ring of the expected number of empty peers. All addresses to join by
   * were tried before, and no peer that is linked belongs to a ring. When just the expected number of peers is started,
   * only one of them can see this: each must be linked with all others, and compares the same ids.
   */
  #isChosenToFound(): boolean {
    const { expects, mayFound, join } = this.#options
    if (expects === 0 || !mayFound || this.#tried.size < new Set(join).size) return false
    const { durableRing, gossip, log } = this.#deps
    const links = [...gossip.links.values()]
    if (links.some(({ ringId }) => ringId !== '')) return false
    const empty = links.filter((link) => link.expects === expects)
    if (empty.length !== this.#met)
      log.info({ expects, met: empty.length + 1 }, 'waiting for peers to found a ring with')
    this.#met = empty.length
    return empty.length + 1 >= expects && empty.every(({ peerId }) => durableRing.peerId < peerId)
  }

  /**
   * Dials the members that are not linked. They do not dial this peer: they know only what it says of itself, and no
   * peer chooses what a member dials. Any of them may be the next to propose a view, and it proposes linked joiners.
   */
  #meetMembers(now: number): void {
    const { durableRing, network } = this.#deps
    const { view, records } = durableRing.ring
    for (const { storeId, peerId } of view!.members.values()) {
      if (this.#meeting >= MEETINGS_MAX) return
      const address = records.get(storeId)?.addresses[0]
      if (address === undefined || network.link(peerId) !== undefined) continue
      if (now < (this.#nextMeeting.get(peerId) ?? 0)) continue
      this.#nextMeeting.set(peerId, now + MEET_REPEAT_MS)
      this.#meeting += 1
      // One that cannot be reached is dialled again: here, and by the network, which keeps all members.
      const done = () => {
        this.#meeting -= 1
      }
      network.dial(address, DIAL_TIMEOUT_MS).then(done, done)
    }
  }

  #dial(now: number): void {
    const { network, random } = this.#deps
    if (this.#isDialling || now < this.#nextDial) return
    const left = this.#untried.length > 0 ? this.#untried : this.#addresses
    const address = pick(random, left)
    if (address === undefined) return
    this.#untried = left.filter((one) => one !== address)
    this.#isDialling = true
    this.#nextDial = now + (this.#untried.length > 0 ? DIAL_NEXT_MS : DIAL_REPEAT_MS)
    network
      .dial(address, DIAL_TIMEOUT_MS)
      .then((peerId) => void this.#seeds.add(peerId))
      .catch((thrown) => this.#failed(address, toRingdError(thrown)))
      .finally(() => {
        this.#isDialling = false
        this.#tried.add(address)
      })
  }

  /** The addresses of all machines may be one list for all of them: an own address in it is skipped. */
  #failed(address: string, error: RingdError): void {
    const { log, onRefused } = this.#deps
    if (error.code === 'OWN_ADDRESS') {
      this.#addresses = this.#addresses.filter((one) => one !== address)
      const isAlone = this.#addresses.length === 0 && !this.#hasMetRing
      if (isAlone) onRefused(new RingdError('OWN_ADDRESS', `${address} ${ONLY_OWN}`, { cause: error }))
      return
    }
    // Once this peer has met its ring, another peer at an old address is no reason to end.
    const isFatal = !PASSING.has(error.code) && !this.#hasMetRing
    if (isFatal) onRefused(error)
    else log.warn({ address, err: error.message }, 'join address unreachable; trying again')
  }

  /** Signs a new request, and sends it to a few peers and as a rumor. */
  async #ask(now: number): Promise<void> {
    const { durableRing, gossip, signer, network, random, mayJoin, now: ringNow } = this.#deps
    this.#nextAsk ??= now + (durableRing.member === undefined ? random.next() * CHOOSE_SPREAD_MS : 0)
    if (now < this.#nextAsk || gossip.links.size === 0 || !mayJoin()) return
    this.#nextAsk = now + ASK_REPEAT_MS
    const { view, joins } = durableRing.ring
    const others = Array.from(joins.values(), (join) => join.member).filter((m) => m.storeId !== durableRing.storeId)
    const member =
      durableRing.member ?? this.#chooseTokens([...view!.members.values(), ...others], view!.founding.replicas)
    const request = {
      ringId: view!.founding.ringId,
      member,
      addresses: network.addresses(),
      issuedAtMs: ringNow()
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
}
