// Holds what membership knows and has promised, and makes it durable before anything is said. Part of the membership
// actor.
// Invariant: `commit` writes every change since the last one and only then runs the effects that were put off until
// then.
import { assert } from '../../errors.js'
import type { Member, MemberId, PeerId } from '../../member.js'
import { InformedRefusal } from '../../network/network.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { Founding } from '../../views/chain.js'
import type { MemberRecord } from '../../views/join.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import type { AcceptorState } from '../../views/paxos.js'
import { compact, forgetWishes, learn, type RingState, readinessOf, since } from '../../views/ring-state.js'
import type { RingView } from '../../views/ring-view.js'
import { knowledgeToWire } from '../../views/wire-codec.js'
import {
  type DurableMembership,
  dropRecord,
  dropView,
  type Leave,
  writeAcceptor,
  writeBases,
  writeLeaving,
  writeMember,
  writeReady,
  writeRecord,
  writeSnapshot,
  writeView
} from './membership-records.js'

export interface DurableRingDeps {
  /** Resolves when the writes are on disk; keeps trying for as long as it takes. */
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Told of every change of view, configs or readiness, after it is on disk. */
  readonly onView: (view: RingView) => void
  /** Where this peer listens now. */
  readonly addresses: () => readonly string[]
  /** Whether this store may speak for its member: see witness.ts. */
  readonly isTrusted: () => boolean
}

/**
 * Records of one start are usually fewer than this, so that a restart counts on above even what it does not know of.
 */
const RECORDS_PER_START = 2 ** 20
/** Views that are kept one by one: a peer that missed fewer learns just those, one that missed more a snapshot. */
const CHANGES_MAX = 64

const REFUSALS = {
  STALE_VIEW: 'the ring has changed',
  NOT_OWNER: 'this member has given the slot up: others have settled it'
} as const

export class DurableRing {
  readonly storeId: MemberId
  readonly peerId: PeerId
  readonly #deps: DurableRingDeps
  #ring: RingState
  #durable: RingState
  #acceptor: AcceptorState
  #member: Member | undefined
  #ready: Uint32Array
  #sequence: number
  #writes: MetaWrite[] = []
  #effects: (() => void)[] = []
  #refusal: { readonly ring: RingState; readonly view: number; readonly refusal: InformedRefusal } | undefined

  readonly #changesMax: number
  #leaving: Leave | undefined

  constructor(
    deps: DurableRingDeps,
    storeId: MemberId,
    peerId: PeerId,
    durable: DurableMembership,
    options: { readonly changesMax?: number | undefined } = {}
  ) {
    this.#deps = deps
    this.#changesMax = options.changesMax ?? CHANGES_MAX
    this.#leaving = durable.leaving
    this.storeId = storeId
    this.peerId = peerId
    this.#ring = durable.ring
    this.#durable = durable.ring
    this.#acceptor = durable.acceptor
    this.#member = durable.member
    this.#ready = durable.ready
    const last = durable.ring.records.get(storeId)?.sequence ?? 0
    this.#sequence = Math.max(last, durable.starts * RECORDS_PER_START)
  }

  /** What is known, perhaps not on disk yet: only effects may speak of it. */
  get ring(): RingState {
    return this.#ring
  }

  get acceptor(): AcceptorState {
    return this.#acceptor
  }

  /** This peer as a member, once it has chosen its tokens. */
  get member(): Member | undefined {
    return this.#member
  }

  get isMember(): boolean {
    return this.#ring.view?.members.has(this.storeId) ?? false
  }

  get isTrusted(): boolean {
    return this.#deps.isTrusted()
  }

  /** It was a member and is none any more. */
  get wasRemoved(): boolean {
    return !this.isMember && (this.#ring.view?.peerIds.has(this.storeId) ?? false)
  }

  /** Set when it was told to leave: it goes on with that after a restart. */
  get leaving(): Leave | undefined {
    return this.#leaving
  }

  leave(force: boolean): void {
    this.#leaving = { force }
    this.#writes.push(writeLeaving(this.#leaving))
  }

  /** Refuses whoever asked under `theirView`, and teaches what it lacks: only what is on disk is told. */
  refuse(code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number): InformedRefusal {
    const { ring, view, refusal } = this.#refusal ?? {}
    // After a change of view everything under way is refused: the lesson is the same for all of it.
    if (refusal?.code === code && ring === this.#durable && view === theirView) return refusal
    const knowledge = knowledgeToWire(since(this.#durable, theirView))
    const fresh = new InformedRefusal(code, REFUSALS[code], knowledge)
    this.#refusal = { ring: this.#durable, view: theirView, refusal: fresh }
    return fresh
  }

  /** Runs `effect` when everything learned so far is on disk. */
  after(effect: () => void): void {
    this.#effects.push(effect)
  }

  /** Takes in what others know. Join requests must have been verified. Throws BAD_MESSAGE. */
  learn(news: Knowledge): void {
    const wasMember = this.isMember
    this.#ring = learn(this.#ring, news)
    const next = (this.#ring.view?.number ?? 0) + 1
    if (next > this.#acceptor.instance) this.#acceptor = { instance: next }
    if (this.isMember && !wasMember) this.announce()
  }

  forgetWishes(ids: readonly MemberId[]): void {
    this.#ring = forgetWishes(this.#ring, ids)
  }

  vote(state: AcceptorState): void {
    assert(state.instance === this.#acceptor.instance, 'votes belong to the next view')
    if (state === this.#acceptor) return
    this.#acceptor = state
    this.#writes.push(writeAcceptor(state))
  }

  become(member: Member): void {
    assert(member.storeId === this.storeId, 'a peer speaks for its own store')
    this.#member = member
    this.#writes.push(writeMember(member))
  }

  /** Founds a ring of one. */
  found(founding: Founding): void {
    assert(this.#ring.view === undefined && this.#member !== undefined, 'a ring is founded once, by its first member')
    const change = { number: 1, joins: [this.#member], removals: [], founding }
    this.#ready = new Uint32Array(this.#ready.length).fill(1)
    this.#writes.push(writeReady(this.#ready))
    this.learn({ ...NO_KNOWLEDGE, changes: [change] })
  }

  /** This member holds everything for `config` in these slots, on disk. */
  markReady(config: number, slots: readonly number[]): void {
    const ready = this.#ready.slice()
    for (const slot of slots) ready[slot] = Math.max(ready[slot]!, config)
    this.#ready = ready
    this.#writes.push(writeReady(ready))
    this.announce()
  }

  /** Makes a new record of this member: where it listens, and what it is ready for. */
  announce(): void {
    this.#sequence += 1
    this.learn({ ...NO_KNOWLEDGE, records: [this.record()] })
  }

  record(): MemberRecord {
    const { storeId, peerId } = this
    return { storeId, peerId, sequence: this.#sequence, addresses: this.#deps.addresses(), ready: this.#ready }
  }

  /** Writes what changed, publishes it, then runs the effects. */
  async commit(): Promise<void> {
    this.#ring = compact(this.#ring, this.#changesMax)
    const writes = [...changedFacts(this.#durable, this.#ring), ...this.#writes]
    const before = this.#durable
    const effects = this.#effects
    this.#writes = []
    this.#effects = []
    if (writes.length > 0) await this.#deps.persist(writes)
    this.#durable = this.#ring
    if (matters(before, this.#ring)) this.publish()
    for (const effect of effects) effect()
  }

  publish(): void {
    const { view, configs, records } = this.#ring
    if (view === undefined || configs === undefined) return
    const { number, founding, members, peerIds, lost } = view
    const readiness = readinessOf(records)
    this.#deps.onView({
      number,
      founding,
      self: this.storeId,
      isMember: this.isMember,
      members,
      peerIds,
      lost,
      configs,
      readiness
    })
  }
}

/** The writes that bring the disk from one state to another. */
function changedFacts(before: RingState, after: RingState): MetaWrite[] {
  const writes = changedChain(before, after)
  if (after.bases !== before.bases) writes.push(writeBases(after.bases))
  if (after.records === before.records) return writes
  for (const [id, record] of after.records) if (before.records.get(id) !== record) writes.push(writeRecord(record))
  for (const id of before.records.keys()) if (!after.records.has(id)) writes.push(dropRecord(id))
  return writes
}

function changedChain(before: RingState, after: RingState): MetaWrite[] {
  if (after.snapshot === before.snapshot) return after.changes.slice(before.changes.length).map(writeView)
  return [...before.changes.map(dropView), writeSnapshot(after.snapshot!), ...after.changes.map(writeView)]
}

function matters(before: RingState, after: RingState): boolean {
  return before.configs !== after.configs || before.records !== after.records
}
