// Which part of a chain that another peer tells is believed. Part of the membership actor.
// Invariants: a peer that knows a view believes the next one by the votes of a majority of that view, whoever brings
// them. Where votes are missing (a snapshot took the place of old views, or an older version chose them), a majority of
// the members of its own newest view must tell the same, each on its own link: everything in which honest members agree
// (lib/views/chain-digest.ts). A peer that knows no view believes the peers that it was told to join by, and nobody
// else; and no peer ever changes its ring.
// Source: rules 0 and 12 of lib/views/README.md.
import type { Logger } from '../../logger.js'
import type { MemberId, PeerId } from '../../member.js'
import type { Gauge, Metrics } from '../../metrics.js'
import { applyChange, quorum, type View, type ViewChange } from '../../views/chain.js'
import { beginsDigest, chainDigest, endDigest } from '../../views/chain-digest.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { learn } from '../../views/ring-state.js'
import { viewOfSnapshot } from '../../views/snapshot.js'
import { claimsOfVotes } from '../../views/votes.js'
import type { DurableRing } from './durable-ring.js'
import type { Verifier } from './verifier.js'

export interface ChainTrustDeps {
  readonly log: Logger
  readonly metrics: Metrics
  readonly durableRing: DurableRing
  readonly verifier: Verifier
  /** Whether this peer was told to join its ring by that one. */
  readonly isSeed: (peerId: PeerId) => boolean
  /** The id of the ring that this peer is to join, when it was told. */
  readonly ringId: string | undefined
}

type Chain = Pick<Knowledge, 'snapshot' | 'changes'>

/** What one member told last, as digests (lib/views/chain-digest.ts). */
interface Telling {
  /** The view in which the chain ends. */
  readonly end: string
  /** All that was told. */
  readonly chain: string
  /** The views in which the configs began. Unknown until a majority tells the same end: it takes long to compute. */
  begins?: string | undefined
}

const NOTHING: Chain = NO_KNOWLEDGE
/** So many members must tell views that cannot be verified before an operator is told. */
const ALARM_MEMBERS = 2
const FELL_BEHIND =
  'this peer missed too many views to verify the newest one; it waits for a majority of the members that it knows: ' +
  'when these are gone, remove its data directory and have it join again'

export class ChainTrust {
  readonly #deps: ChainTrustDeps
  readonly #behind: Gauge
  /** What each member told last without votes, while this peer is `#at` that view of its own. */
  readonly #told = new Map<MemberId, Telling>()
  #toldAt: View | undefined
  #isBehind = false

  constructor(deps: ChainTrustDeps) {
    this.#deps = deps
    this.#behind = deps.metrics.gauge(
      'ringd_membership_too_far_behind',
      '1 while this peer is told views that it cannot verify, since it missed too many'
    )
  }

  /** The part of the chain that may be learned. Throws BAD_MESSAGE for a change that does not follow. */
  async believed(told: Knowledge, from: PeerId | undefined): Promise<Chain> {
    const { view } = this.#deps.durableRing.ring
    if (view === undefined) return this.#isFromSeed(told, from) ? told : NOTHING
    const voted = await this.#voted(view, told.changes, from)
    if (voted.length > 0) this.#caughtUp()
    if (voted.length > 0 || !leadsFurther(view, told)) return { changes: voted }
    return this.#isToldByMajority(view, told, from) ? told : NOTHING
  }

  #isFromSeed({ snapshot, changes }: Knowledge, from: PeerId | undefined): boolean {
    const founding = snapshot?.founding ?? changes[0]?.founding
    if (founding === undefined || from === undefined || !this.#deps.isSeed(from)) return false
    const { ringId, log } = this.#deps
    if (ringId === undefined || founding.ringId === ringId) return true
    log.warn({ peer: from, ring: founding.ringId }, 'the peer at the join address is in another ring; not joined')
    return false
  }

  /** The changes after `view`, as far as each has the votes of a majority of the view before it. */
  async #voted(view: View, changes: readonly ViewChange[], from: PeerId | undefined): Promise<ViewChange[]> {
    const voted: ViewChange[] = []
    let newest = view
    for (const change of changes) {
      if (change.number <= newest.number) continue
      if (change.number > newest.number + 1 || change.votes === undefined) break
      if (!(await this.#deps.verifier.holds('votes', claimsOfVotes(newest, change), from))) break
      newest = applyChange(newest, change)
      voted.push(change)
    }
    return voted
  }

  /** Counts what `from` tells. True when a majority of the members of this peer's newest view tell the same. */
  #isToldByMajority(view: View, told: Knowledge, from: PeerId | undefined): boolean {
    const teller = from && memberOf(view, from)
    if (teller === undefined) return false
    if (this.#toldAt !== view) this.#told.clear()
    this.#toldAt = view
    const telling = this.#note(teller, { end: endDigest(endOf(view, told)), chain: chainDigest(told) })
    if (telling !== undefined && this.#isSameForMajority(view, telling, told)) {
      this.#caughtUp()
      return true
    }
    // One member alone may lie, so it raises no alarm where there are others.
    if (this.#told.size >= Math.min(ALARM_MEMBERS, view.members.size - 1)) this.#fellBehind(view)
    return false
  }

  /**
   * Keeps what a member told. Undefined when it told another chain to this end before, and that was compared: so one
   * member costs one computation for each end.
   */
  #note(teller: MemberId, telling: Telling): Telling | undefined {
    const before = this.#told.get(teller)
    if (before?.end === telling.end) {
      if (before.chain === telling.chain) return before
      if (before.begins !== undefined) return undefined
    }
    this.#told.set(teller, telling)
    return telling
  }

  /** A few liars tell an end of their own as often as they like: it is no majority, and nothing is computed. */
  #isSameForMajority(view: View, telling: Telling, told: Chain): boolean {
    const majority = quorum(view.members.size)
    const alike = Array.from(this.#told.values()).filter(({ end }) => end === telling.end)
    if (alike.length < majority) return false
    telling.begins ??= this.#beginsOf(told)
    // Members that made their snapshots at the same view told the same. The others are compared when they tell again.
    for (const other of alike) if (other.chain === telling.chain) other.begins = telling.begins
    return alike.filter(({ begins }) => begins === telling.begins).length >= majority
  }

  #beginsOf({ snapshot, changes }: Chain): string {
    const { configs } = learn(this.#deps.durableRing.ring, { ...NO_KNOWLEDGE, snapshot, changes })
    return beginsDigest(configs!)
  }

  #fellBehind({ number }: View): void {
    if (this.#isBehind) return
    this.#isBehind = true
    this.#behind.set(1)
    this.#deps.log.error({ view: number }, FELL_BEHIND)
  }

  #caughtUp(): void {
    this.#told.clear()
    if (!this.#isBehind) return
    this.#isBehind = false
    this.#behind.set(0)
    this.#deps.log.info({}, 'this peer knows the newest view again')
  }
}

/** Whether it tells of a view after `view` of the same ring, without a gap. */
function leadsFurther(view: View, { snapshot, changes }: Knowledge): boolean {
  if (snapshot !== undefined) return snapshot.founding.ringId === view.founding.ringId && snapshot.number > view.number
  return changes.some(({ number, votes }) => number === view.number + 1 && votes === undefined)
}

function memberOf({ members }: View, peerId: PeerId): MemberId | undefined {
  for (const member of members.values()) if (member.peerId === peerId) return member.storeId
  return undefined
}

/** The view to which the told chain leads. Throws BAD_MESSAGE when a change does not follow. */
function endOf(view: View, { snapshot, changes }: Knowledge): View {
  let end = snapshot === undefined ? view : viewOfSnapshot(snapshot)
  for (const change of changes) if (change.number > end.number) end = applyChange(end, change)
  return end
}
