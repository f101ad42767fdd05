// Who may ask what of this member: one table for every request of wire.proto, checked before any actor hears of it.
// Owns what each linked peer is by the newest view. network/messages.md has the same table for readers; a test compares
// the two.
// Invariants: a claim of a store id counts only when the view gives that id to the peer. A peer that no known view
// names is not served, however new the view is that it names: this member learns newer views from members.
// Source: rules 4, 9 and 10 of lib/views/README.md.

import type { Clock } from '../clock.js'
import { RingdError } from '../errors.js'
import type { MemberId, PeerId } from '../member.js'
import { isMemberAt } from '../network/member-link.js'
import type { Body, Link, Network, StreamClass } from '../network/network.js'
import { pick, type Random } from '../random.js'
import { windowOwners } from '../views/configs.js'
import type { RingView } from '../views/ring-view.js'
import { type Standing, standingOf } from '../views/standing.js'

/**
 * A peer as the table knows it. A leaver is a former member that clients may still use: it owns in a window, or has
 * left by its own request a short while ago and hands over. A stranger may ask nothing, so no row names it.
 */
export type Asker = Standing | 'leaver'

type AnswerKind =
  | 'value'
  | 'written'
  | 'preparedKey'
  | 'pong'
  | 'exchanged'
  | 'promised'
  | 'accepted'
  | 'compared'
  | 'wanted'
  | 'repairDiffering'
  | 'repairFound'
  | 'closed'
  | 'tallied'
  | 'toldTransfers'
  | 'done'
  | 'me'
type LinkKind = 'hello' | 'refusal'
type ClientKind = Extract<keyof Body, `client${string}`>

/** Every message of wire.proto that one peer asks of another. A new one has no row yet, and does not compile. */
export type RequestKind = Exclude<keyof Body, AnswerKind | LinkKind | ClientKind>

interface Rule {
  readonly streams: readonly StreamClass[]
  readonly who: readonly Asker[]
}

const MEMBERS: readonly Asker[] = ['member']
const WITH_LEAVERS: readonly Asker[] = ['member', 'leaver']
const WITH_FORMER: readonly Asker[] = ['member', 'leaver', 'former']
const WITH_JOINERS: readonly Asker[] = ['member', 'leaver', 'former', 'joiner']

/** Who may ask. The actors check further: whether the asker owns the slots, and whether it is heard on that view. */
export const ADMISSION: Readonly<Record<RequestKind, Rule>> = {
  read: { streams: ['operations', 'bulk'], who: WITH_LEAVERS },
  write: { streams: ['operations', 'bulk'], who: WITH_LEAVERS },
  prepareKey: { streams: ['operations', 'bulk'], who: WITH_LEAVERS },
  ping: { streams: ['control'], who: WITH_JOINERS },
  who: { streams: ['control'], who: WITH_JOINERS },
  twin: { streams: ['control'], who: WITH_JOINERS },
  pingThrough: { streams: ['control'], who: MEMBERS },
  exchange: { streams: ['control'], who: WITH_JOINERS },
  learn: { streams: ['control'], who: WITH_JOINERS },
  prepare: { streams: ['control'], who: MEMBERS },
  accept: { streams: ['control'], who: MEMBERS },
  compare: { streams: ['bulk'], who: WITH_FORMER },
  offer: { streams: ['bulk'], who: WITH_FORMER },
  close: { streams: ['bulk'], who: MEMBERS },
  tally: { streams: ['bulk'], who: MEMBERS },
  askTransfers: { streams: ['bulk'], who: MEMBERS },
  repairSums: { streams: ['bulk'], who: MEMBERS },
  repairVersions: { streams: ['bulk'], who: MEMBERS },
  repairEntries: { streams: ['bulk'], who: MEMBERS }
}

/** Who may ask on a pull stream. */
export const MAY_PULL: readonly Asker[] = MEMBERS

const ASKERS: Readonly<Record<Asker, string>> = {
  member: 'a member',
  leaver: 'a member that is leaving',
  former: 'a former member',
  joiner: 'a peer that is no member yet',
  stranger: 'a peer that claims the id of another one'
}

/** How long clients may use a member that has left and owns nothing any more. A handover takes about this long. */
const LEAVER_MS = 600_000
/** Pause between two exchanges that peers of a newer view have caused. */
const CATCH_UP_MS = 100

export interface AdmissionDeps {
  readonly clock: Clock
  readonly random: Random
  readonly network: Pick<Network, 'link'>
  /** A refusal that carries what this peer knows of the ring. */
  readonly refuse: (code: 'STALE_VIEW', theirView: number) => RingdError
  /** Lets membership exchange knowledge with the peer. */
  readonly catchUp: (peerId: PeerId) => void
}

/** Decides for each request whether its sender may ask it. */
export class Admission {
  readonly #deps: AdmissionDeps
  #view: RingView | undefined
  /** What each link was found to be by the view. Links are immutable: each hello makes another one. */
  #askers = new WeakMap<Link, Asker>()
  /** Since when a former member owns in no window; monotonic ms. */
  readonly #leftAt = new Map<MemberId, number>()
  #nextCatchUp = 0

  constructor(deps: AdmissionDeps) {
    this.#deps = deps
  }

  useView(view: RingView): void {
    this.#noteLeavers(view)
    this.#view = view
    this.#askers = new WeakMap()
  }

  /** What the peer is by the newest view; a joiner while none is known. */
  standing(from: Link): Standing {
    const asker = this.#askerOf(from)
    return asker === 'leaver' ? 'former' : asker
  }

  /** Why the request is not served; undefined: it is passed to its actor. O(1). */
  refusal(from: Link, stream: StreamClass, body: Body): RingdError | undefined {
    const kind = kindOf(body)
    if (kind === undefined || !ADMISSION[kind].streams.includes(stream)) {
      return new RingdError('BAD_REQUEST', `not a request of the stream ${stream}`)
    }
    return this.refusalOf(from, kind, viewNamedBy(body))
  }

  /** The same for a request of this kind, wherever it came. `theirs`: the view that it names, if it names one. */
  refusalOf(from: Link, kind: RequestKind | 'pull', theirs: number | undefined): RingdError | undefined {
    const who = kind === 'pull' ? MAY_PULL : ADMISSION[kind].who
    const asker = this.#askerOf(from)
    if (who.includes(asker)) return undefined
    const view = this.#view
    if (view === undefined) return new RingdError('NOT_SERVING', 'this peer knows no ring yet')
    if (asker === 'joiner' && theirs !== undefined && theirs > view.number) {
      this.#catchUp(view)
      return new RingdError('BEHIND', `view ${view.number} is the newest known here`)
    }
    const isFormer = asker === 'former' || asker === 'leaver'
    if (isFormer && theirs !== undefined && theirs < view.number) return this.#deps.refuse('STALE_VIEW', theirs)
    // Its clients hear of it, until it joins again as a new member.
    if (isFormer && (kind === 'read' || kind === 'write' || kind === 'prepareKey')) return new RingdError('REMOVED')
    return new RingdError('BAD_REQUEST', `a request ${kind} is not served: it comes from ${ASKERS[asker]}`)
  }

  #askerOf(from: Link): Asker {
    const view = this.#view
    if (view === undefined) return 'joiner'
    let asker = this.#askers.get(from)
    if (asker === undefined) {
      asker = standingOf(view, from)
      this.#askers.set(from, asker)
    }
    return asker === 'former' && this.#isLeaver(from.storeId, view) ? 'leaver' : asker
  }

  #isLeaver(member: MemberId, view: RingView): boolean {
    if (windowOwners(view.configs).has(member)) return true
    const leftAt = this.#leftAt.get(member) ?? Number.NEGATIVE_INFINITY
    return !view.lost.has(member) && this.#deps.clock.elapsed() - leftAt < LEAVER_MS
  }

  /** Notes the members that need not be asked any more by this view, and were by the one before. */
  #noteLeavers({ members, configs, peerIds }: RingView): void {
    const before = this.#view
    if (before === undefined || (before.configs === configs && before.members === members)) return
    const now = this.#deps.clock.elapsed()
    const isNeeded = (id: MemberId, ring: Pick<RingView, 'members' | 'configs'>) =>
      ring.members.has(id) || windowOwners(ring.configs).has(id)
    for (const id of before.peerIds.keys()) {
      if (isNeeded(id, before) && !isNeeded(id, { members, configs })) this.#leftAt.set(id, now)
    }
    for (const id of this.#leftAt.keys()) if (!peerIds.has(id)) this.#leftAt.delete(id)
  }

  /** Asks a member, and not the sender: anybody may name a newer view. */
  #catchUp(view: RingView): void {
    const { clock, random, network, catchUp } = this.#deps
    const now = clock.elapsed()
    if (now < this.#nextCatchUp) return
    this.#nextCatchUp = now + CATCH_UP_MS
    const linked = Array.from(view.members.values()).filter(({ peerId, storeId }) =>
      isMemberAt(network, peerId, storeId)
    )
    const member = pick(random, linked)
    if (member !== undefined) catchUp(member.peerId)
  }
}

/** The kind of the request; undefined for an answer, a client's message, or a kind that is not known. */
function kindOf(body: Body): RequestKind | undefined {
  if (body.read !== undefined) return 'read'
  if (body.write !== undefined) return 'write'
  const kind = Object.keys(body)[0]
  return kind !== undefined && Object.hasOwn(ADMISSION, kind) ? (kind as RequestKind) : undefined
}

/** The newest view that the sender names; undefined when the request names none. */
function viewNamedBy(body: Body): number | undefined {
  const { read, write, prepareKey, compare, offer, close, tally, repairSums, repairVersions, repairEntries } = body
  const { ping, prepare, accept, askTransfers } = body
  const instance = (prepare ?? accept)?.instance
  if (instance !== undefined) return instance - 1
  const scoped = read ?? write ?? prepareKey ?? compare ?? offer ?? close ?? tally ?? askTransfers
  return (scoped ?? repairSums ?? repairVersions ?? repairEntries ?? ping)?.view
}
