// The detector actor pings the other members on their links, and tells which are up, suspect or down.
// In a ring of up to 50 other members each is pinged every second. In a larger ring a random few are, so that the cost
// of a member does not grow with the ring. A silent member is pinged through three helpers before it is suspected. A
// helper that finds it silent too goes on pinging it, so suspicion spreads as fast as help is asked for.
// Owns what each member said last. It tells only this peer's own actors; gossip carries no accusations.
// Source: Das, Gupta and Motivala, "SWIM", 2002. The arithmetic is in lib/detector.

import { fromHex } from '../bytes.js'
import type { Clock } from '../clock.js'
import type { Hearing } from '../detector/eviction-rule.js'
import { type Assessment, assess, LIVENESS_DEFAULTS, type Liveness } from '../detector/liveness.js'
import { forgiven, patienceAfter } from '../detector/own-lag.js'
import { nextProbes } from '../detector/probe-round.js'
import { RingdError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { MemberId } from '../member.js'
import type { Counter, Gauge, Metrics } from '../metrics.js'
import { isMemberAt } from '../network/member-link.js'
import type { Answer, Body, Link, Network, Respond } from '../network/network.js'
import { NO_TROUBLE, type Trouble, troubleFromWire } from '../network/trouble.js'
import type { Pong } from '../network/wire.js'
import { type Random, sample } from '../random.js'
import type { Actor, Ref, Reply } from '../runtime/actor.js'
import type { RingView } from '../views/ring-view.js'

export type DetectorMessage =
  | { readonly type: 'view'; readonly view: RingView }
  | { readonly type: 'tick' }
  /** `isDirect`: the member has answered this peer itself. */
  | { readonly type: 'pong'; readonly member: MemberId; readonly pong: Pong; readonly isDirect: boolean }
  /** The member's peer is linked: it is pinged at once. */
  | { readonly type: 'linked'; readonly member: MemberId }
  /** A member asks this one to ping another member that does not answer it. */
  | { readonly type: 'ping-through'; readonly from: Link; readonly member: MemberId; readonly respond: Respond }
  | { readonly type: 'health'; readonly reply: Reply<Health> }

/** The state of each other member of the newest view, as this peer knows it. */
export type Health = ReadonlyMap<MemberId, MemberHealth>

export interface MemberHealth extends Assessment {
  /** Its last pong, in a large ring perhaps some minutes old; undefined when it has never answered here. */
  readonly pong: Pong | undefined
  /** What that pong told. */
  readonly trouble: Trouble
  /** It has answered this peer itself within the last seconds, not only others. */
  readonly isReached: boolean
}

/** Which members cannot talk with this peer on their own link. Both lists are short or empty. */
export interface Reach {
  /** Members that have not answered this peer itself for some seconds. */
  readonly unreached: readonly MemberId[]
  /** Members that are not down, and tell that they do not reach this peer. */
  readonly unreachedBy: readonly MemberId[]
}

export interface DetectorDeps {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly metrics: Metrics
  readonly network: Network
  /** Told of every answer that a member gives to this peer itself, and when it was asked; monotonic ms. */
  readonly onPong: (member: MemberId, pong: Pong, askedAt: number) => void
  /** Told who is heard and who is down: when that changes, and at every tick while somebody is not up. */
  readonly onHearing: (hearing: Hearing) => void
  /** Told at each tick at which one of its lists is not empty, and at the first one after that. */
  readonly onReach: (reach: Reach) => void
  readonly self: Ref<DetectorMessage>
}

/** How often the owner sends `tick`. */
export const DETECTOR_TICK_MS = 1000
/** Up to this many other members are all pinged at each tick. */
const ASK_ALL_MAX = 50
/** In larger rings this many in turn, and those that owe an answer. More finds silent members sooner and costs more. */
const ASKED_PER_TICK = 10
const PING_TIMEOUT_MS = 3000
/** Members through which a silent one is pinged. */
const HELPERS = 3
/** A helper's answer that takes longer comes too late to matter. */
const HELP_TIMEOUT_MS = 1000
/** Silent members for which help is asked at one tick. When more are silent, the fault is rather in this peer. */
const HELPED_PER_TICK = 20

/** A digest has 16 hex digits, and an Ed25519 signature 64 bytes. */
const PONG_FIELD_MAX = 128

interface Watched {
  /** When it was first pinged since its last answer; undefined when it owes no answer. */
  askedAt: number | undefined
  /** The same for answers to this peer itself, or since when there has been no link. */
  owesSince: number | undefined
  assessment: Assessment
  pong: Pong | undefined
  trouble: Trouble
}

const UNKNOWN: Assessment = { liveness: 'suspect', reason: 'never heard of' }

export class Detector implements Actor<DetectorMessage> {
  readonly #deps: DetectorDeps
  readonly #watched = new Map<MemberId, Watched>()
  readonly #gauges: Readonly<Record<Liveness, Gauge>>
  readonly #patience: Gauge
  readonly #unreached: Gauge
  readonly #helpAsked: Counter
  #view: RingView | undefined
  /** Members whose turn to be asked comes later in this round. */
  #waiting: readonly MemberId[] = []
  #tickedAt: number | undefined
  #patienceMs = 0
  /** Something has changed since the last time that `onHearing` was told. */
  #hasNews = false
  #hasToldReach = false

  constructor(deps: DetectorDeps) {
    this.#deps = deps
    const { metrics } = deps
    this.#gauges = {
      up: metrics.gauge('ringd_detector_up_members', 'other members that this peer takes for up'),
      suspect: metrics.gauge('ringd_detector_suspect_members', 'other members that this peer suspects'),
      down: metrics.gauge('ringd_detector_down_members', 'members that this peer takes for down')
    }
    this.#patience = metrics.gauge('ringd_detector_patience_ms', 'extra time for answers, as this peer itself is slow')
    const unreached = 'members that do not answer this peer itself, though perhaps others'
    this.#unreached = metrics.gauge('ringd_detector_unreached_members', unreached)
    this.#helpAsked = metrics.counter('ringd_detector_help_requests', 'pings that others were asked to do')
  }

  receive(batch: readonly DetectorMessage[]): void {
    for (const message of batch) this.#handle(message)
    if (this.#hasNews) this.#tellHearing()
  }

  #handle(message: DetectorMessage): void {
    switch (message.type) {
      case 'view':
        return this.#handleView(message.view)
      case 'tick':
        return this.#handleTick()
      case 'pong':
        return this.#handlePong(message)
      case 'linked':
        if (this.#watched.has(message.member)) this.#ask(message.member, this.#deps.clock.elapsed())
        return
      case 'ping-through':
        return this.#handlePingThrough(message.from, message.member, message.respond)
      case 'health':
        return this.#handleHealth(message.reply)
      default:
        message satisfies never
    }
  }

  #handleView(view: RingView): void {
    if (view.members === this.#view?.members) return
    this.#view = view
    for (const id of this.#watched.keys()) if (!view.members.has(id)) this.#watched.delete(id)
    for (const id of view.members.keys()) {
      if (id === view.self || this.#watched.has(id)) continue
      const nothing = { askedAt: undefined, owesSince: undefined, pong: undefined, trouble: NO_TROUBLE }
      this.#watched.set(id, { ...nothing, assessment: UNKNOWN })
      // At once: a joiner compares its clock with those of the members before it asks to join.
      if (!view.isMember && this.#watched.size <= ASK_ALL_MAX) this.#ask(id, this.#deps.clock.elapsed())
    }
    this.#hasNews = true
  }

  #handleTick(): void {
    const now = this.#deps.clock.elapsed()
    this.#measureOwnLag(now)
    const owing: MemberId[] = []
    const silent: MemberId[] = []
    for (const [id, watched] of this.#watched) {
      const isLinked = this.#isLinked(id)
      if (!isLinked) watched.owesSince ??= now
      if (watched.owesSince !== undefined) silent.push(id)
      if (watched.askedAt === undefined && isLinked) continue
      watched.askedAt ??= now
      owing.push(id)
    }
    this.#assessAll(now)
    this.#tellReach(now)
    this.#redialSilent()
    for (const id of this.#askedNow([...owing, ...silent])) this.#ask(id, now)
    if (owing.length > 0) this.#askForHelp(sample(this.#deps.random, owing, HELPED_PER_TICK))
  }

  /** A tick that comes late says more about this peer than about those whose answers it waits for. */
  #measureOwnLag(now: number): void {
    const lateMs = this.#tickedAt === undefined ? 0 : now - this.#tickedAt - DETECTOR_TICK_MS
    this.#tickedAt = now
    this.#patienceMs = patienceAfter(this.#patienceMs, lateMs)
    this.#patience.set(this.#patienceMs)
    for (const watched of this.#watched.values()) {
      if (watched.askedAt !== undefined) watched.askedAt = forgiven(watched.askedAt, lateMs, now)
      if (watched.owesSince !== undefined) watched.owesSince = forgiven(watched.owesSince, lateMs, now)
    }
  }

  /** A member that is down and linked may hear again, but not on that connection: a new one is dialled. */
  #redialSilent(): void {
    for (const [member, { assessment }] of this.#watched) {
      if (assessment.liveness !== 'down' || !this.#isLinked(member)) continue
      this.#deps.network.redial(this.#view!.peerIds.get(member)!)
    }
  }

  #askedNow(owing: readonly MemberId[]): Iterable<MemberId> {
    if (this.#watched.size <= ASK_ALL_MAX) return this.#watched.keys()
    const { random } = this.#deps
    const shuffle = (list: readonly MemberId[]) => sample(random, list, list.length)
    const { chosen, waiting } = nextProbes(this.#waiting, this.#watched, ASKED_PER_TICK, shuffle)
    this.#waiting = waiting
    return new Set([...owing, ...chosen])
  }

  #ask(member: MemberId, now: number): void {
    if (!this.#isLinked(member)) return
    const watched = this.#watched.get(member)!
    watched.askedAt ??= now
    watched.owesSince ??= now
    this.#request(member, { ping: { view: this.#view!.number } }, PING_TIMEOUT_MS, (answer) => {
      if (isPong(answer)) this.#deps.onPong(member, answer.pong, now)
      this.#heard(member, answer, true)
    })
  }

  #askForHelp(members: readonly MemberId[]): void {
    const able = [...this.#watched.keys()].filter((id) => this.#watched.get(id)!.assessment.liveness === 'up')
    for (const member of members) {
      const body: Body = { pingThrough: { member: fromHex(member) } }
      // One more than needed, as the member itself may be among them: it counts as up until it is overdue.
      const helpers = sample(this.#deps.random, able, HELPERS + 1).filter((id) => id !== member)
      for (const helper of helpers.slice(0, HELPERS)) {
        this.#helpAsked.add()
        this.#request(helper, body, HELP_TIMEOUT_MS, (answer) => this.#heard(member, answer, false))
      }
    }
  }

  #handlePingThrough(from: Link, member: MemberId, respond: Respond): void {
    const watched = this.#watched.get(member)
    if (this.#view?.members.get(from.storeId)?.peerId !== from.peerId || watched === undefined) {
      return respond(new RingdError('BAD_REQUEST', 'only members are asked about, by members'))
    }
    // A pong that it does not give to the helper's ping, it owes this peer as well.
    watched.askedAt ??= this.#deps.clock.elapsed()
    this.#request(member, { ping: { view: this.#view.number } }, HELP_TIMEOUT_MS, (answer) => {
      this.#heard(member, answer, true)
      if (isPong(answer)) respond(answer)
      else respond(new RingdError('UNREACHABLE', 'the member does not answer here either'))
    })
  }

  /** Called outside of a batch: only sends. */
  #heard(member: MemberId, answer: Answer, isDirect: boolean): void {
    if (!isPong(answer)) return
    this.#deps.self.signal({ type: 'pong', member, pong: answer.pong, isDirect })
  }

  #handlePong({ member, pong, isDirect }: Extract<DetectorMessage, { type: 'pong' }>): void {
    const watched = this.#watched.get(member)
    if (watched === undefined) return
    if (watched.assessment.liveness !== 'up') this.#hasNews = true
    watched.askedAt = undefined
    if (isDirect) watched.owesSince = undefined
    watched.pong = pong
    watched.trouble = troubleFromWire(pong.trouble) ?? NO_TROUBLE
    this.#assess(member, watched, this.#deps.clock.elapsed())
  }

  #handleHealth(reply: Reply<Health>): void {
    const now = this.#deps.clock.elapsed()
    this.#assessAll(now)
    reply(
      new Map(
        Array.from(this.#watched, ([id, watched]) => {
          const { assessment, pong, trouble } = watched
          return [id, { ...assessment, pong, trouble, isReached: !this.#isUnreached(watched, now) }]
        })
      )
    )
  }

  #assessAll(now: number): void {
    const counts = { up: 0, suspect: 0, down: 0 }
    for (const [member, watched] of this.#watched) {
      this.#assess(member, watched, now)
      counts[watched.assessment.liveness] += 1
    }
    this.#gauges.up.set(counts.up)
    this.#gauges.suspect.set(counts.suspect)
    this.#gauges.down.set(counts.down)
    if (counts.suspect + counts.down > 0) this.#hasNews = true
  }

  #isUnreached({ owesSince }: Watched, now: number): boolean {
    return owesSince !== undefined && now - owesSince >= LIVENESS_DEFAULTS.downAfterMs + this.#patienceMs
  }

  #tellReach(now: number): void {
    const unreached: MemberId[] = []
    const unreachedBy: MemberId[] = []
    for (const [member, watched] of this.#watched) {
      if (this.#isUnreached(watched, now)) unreached.push(member)
      const { assessment, trouble } = watched
      if (assessment.liveness !== 'down' && trouble.unreached.includes(this.#view!.self)) unreachedBy.push(member)
    }
    this.#unreached.set(unreached.length)
    const isNews = unreached.length + unreachedBy.length > 0
    if (isNews || this.#hasToldReach) this.#deps.onReach({ unreached, unreachedBy })
    this.#hasToldReach = isNews
  }

  #assess(member: MemberId, watched: Watched, now: number): void {
    const { assessment, askedAt } = watched
    watched.assessment = assess({ isLinked: this.#isLinked(member), askedAt }, now, this.#patienceMs)
    const { liveness, reason } = watched.assessment
    if (liveness !== assessment.liveness) {
      this.#hasNews = true
      this.#deps.log.info({ member, from: assessment.liveness, to: liveness, reason }, 'member state')
    }
  }

  #tellHearing(): void {
    this.#hasNews = false
    // Times count up to the last tick: of what has passed since, this peer may not have been running most.
    const at = this.#tickedAt ?? this.#deps.clock.elapsed()
    const heard = new Set<MemberId>()
    const downSince = new Map<MemberId, number>()
    for (const [member, watched] of this.#watched) {
      const { liveness } = watched.assessment
      // While this peer gives everybody more time, it counts less of it against them.
      if (liveness === 'down') downSince.set(member, (watched.askedAt ?? at) + this.#patienceMs)
      else if (liveness === 'up' || this.#answersOthers(watched, at)) heard.add(member)
    }
    this.#deps.onHearing({ at, heard, downSince })
  }

  /** It has no link to this peer, and answers through helpers. */
  #answersOthers({ pong, askedAt }: Watched, now: number): boolean {
    return pong !== undefined && (askedAt === undefined || now - askedAt < LIVENESS_DEFAULTS.suspectAfterMs)
  }

  #isLinked(member: MemberId): boolean {
    const peerId = this.#view?.peerIds.get(member)
    return peerId !== undefined && isMemberAt(this.#deps.network, peerId, member)
  }

  /** Asks a member on its own link; UNREACHABLE when there is none, or another life answers on it. */
  #request(member: MemberId, body: Body, timeoutMs: number, done: (answer: Answer) => void): void {
    if (!this.#isLinked(member)) return done(new RingdError('UNREACHABLE', 'no link to the member'))
    this.#deps.network.request(this.#view!.peerIds.get(member)!, 'control', body, timeoutMs, done)
  }
}

/**
 * Whether a pong came, with texts, lists and signatures of the lengths that they may have. The last of each member is
 * kept.
 */
function isPong(answer: Answer): answer is Body & { readonly pong: Pong } {
  if (answer instanceof RingdError || answer.pong === undefined) return false
  const { ringDigest, signature, heardSignature, trouble } = answer.pong
  if (troubleFromWire(trouble) === undefined) return false
  return Math.max(ringDigest.length, signature.length, heardSignature.length) <= PONG_FIELD_MAX
}
