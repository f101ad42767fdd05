// The knowledge of a member about its ring, its promises, and the disk form of both. Part of the membership actor.
// Invariant: `commit` writes every change since the last commit, and only when it is on disk runs the effects that were
// put off with `after`: answers, requests, rumors, new views for other actors.
// etcd/raft calls this the rule of the HardState: term, vote and commit are stored before any message is sent. Here:
//
// | on disk first                                     | before                                                       |
// | ------------------------------------------------- | ------------------------------------------------------------ |
// | promise or acceptance, own ones included (`vote`) | the answer to the proposer; the own vote is counted          |
// | view, snapshot, bases, records (`learn`)          | a peer, the network or another actor is told of them         |
// | this peer as a member: its tokens (`become`)      | the join request that names them                             |
// | readiness (`markReady`)                           | the record that tells of it                                  |
// | the order to leave (`leave`)                      | the reply to the operator, and the leave request             |
// | the limit for moves (`learn`)                     | the reply to the operator; a peer is told; moves follow it   |
//
// A crash between the two only repeats work. The other order would break a word given: an acceptor would vote twice, or
// a member would count as ready without its data.
import { EMPTY_BYTES } from '../../bytes.js'
import { assert, RingdError } from '../../errors.js'
import { MiB } from '../../limits.js'
import type { Member, MemberId, PeerId } from '../../member.js'
import { InformedRefusal } from '../../network/network.js'
import type { MetaWrite } from '../../storage/meta.js'
import type { Founding } from '../../views/chain.js'
import type { MemberRecord, Signer } from '../../views/join.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../views/knowledge.js'
import { causeOf, type MoveCause } from '../../views/move-cause.js'
import type { MoveLimit } from '../../views/move-limit.js'
import type { AcceptorState } from '../../views/paxos.js'
import {
  type ChainLimits,
  compact,
  forgetRequests,
  learn,
  type RingState,
  readinessOf,
  since
} from '../../views/ring-state.js'
import type { RingView } from '../../views/ring-view.js'
import { knowledgeToWire, signedRecord } from '../../views/wire-codec.js'
import {
  type DurableMembership,
  dropRecord,
  dropRescue,
  dropView,
  type LeaveOrder,
  writeAcceptor,
  writeBases,
  writeLeaving,
  writeLimit,
  writeMember,
  writeReady,
  writeRecord,
  writeSnapshot,
  writeView
} from './membership-records.js'

export interface DurableRingDeps {
  /** Resolves when the writes are on disk. Repeats them until then, or until the node stops. */
  readonly persist: (writes: readonly MetaWrite[]) => Promise<void>
  /** Told of every change of view, configs or readiness, after it is on disk. */
  readonly onView: (view: RingView) => void
  /** Told of another limit for moving data, after it is on disk. */
  readonly onLimit?: ((limit: MoveLimit) => void) | undefined
  /** Where this peer listens now. */
  readonly addresses: () => readonly string[]
  /** Signs the records of this member. */
  readonly signer: Pick<Signer, 'sign'>
  /** Whether this store may speak for its member: see lib/node/rollback-guard.ts. */
  readonly isTrusted: () => boolean
}

/**
 * The records of one start begin at a multiple of this. One start makes fewer records, so those of the next start are
 * newer than all of them, also than records that did not reach the disk.
 */
const RECORDS_PER_START = 2 ** 20
/**
 * Views that are kept one by one, with their votes. A peer that missed fewer verifies just those. One that missed more
 * gets a snapshot, and needs the word of a majority of the members that it knows (chain-trust.ts).
 */
const CHANGES_MAX = 1024
/** In a ring of 1000 members the votes of one view have 50 KB. */
const CHAIN_BYTES_MAX = 2 * MiB
const REQUESTED_MAX = 64

const REFUSALS = {
  STALE_VIEW: 'the ring has changed',
  NOT_OWNER: 'this member has given the slot up: others have settled it'
} as const

/**
 * Where this store stands. outside: it knows no ring; joining: it knows the ring, and asks to join; member: it is in
 * the newest view; leaving: it still is, and was told to leave; departed: it was a member, and is none any more.
 */
export type Standing = 'outside' | 'joining' | 'member' | 'leaving' | 'departed'

/** The last refusal, which carries what the asker lacks, and the state and view that it was made for. */
interface Refusal {
  readonly ring: RingState
  readonly view: number
  readonly refusal: InformedRefusal
}

export class DurableRing {
  readonly storeId: MemberId
  readonly peerId: PeerId
  readonly #deps: DurableRingDeps
  #ring: RingState
  /** The part of `#ring` that is on disk: the state at the last commit. */
  #durable: RingState
  #acceptor: AcceptorState
  #member: Member | undefined
  #ready: Uint32Array
  #sequence: number
  #writes: MetaWrite[] = []
  #effects: (() => void)[] = []
  #refusal: Refusal | undefined
  #leaving: LeaveOrder | undefined
  /** Members that were taken for dead on the request of an operator, the newest ones. Reports use it, nothing else. */
  readonly #requested = new Set<MemberId>()
  readonly #wantedRing: string | undefined
  /** The newest record of this member must be made, signed and learned. */
  #isAnnouncing = false
  readonly #chainLimits: ChainLimits

  constructor(
    deps: DurableRingDeps,
    storeId: MemberId,
    peerId: PeerId,
    durable: DurableMembership,
    options: { readonly changesMax?: number | undefined; readonly ring?: string | undefined } = {}
  ) {
    this.#deps = deps
    this.#wantedRing = options.ring
    this.#chainLimits = { changesMax: options.changesMax ?? CHANGES_MAX, bytesMax: CHAIN_BYTES_MAX }
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

  /** Everything that is known, perhaps not on disk yet: only effects may tell it. */
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

  get standing(): Standing {
    const { view } = this.#ring
    if (view === undefined) return 'outside'
    if (view.members.has(this.storeId)) return this.#leaving === undefined ? 'member' : 'leaving'
    return view.peerIds.has(this.storeId) ? 'departed' : 'joining'
  }

  /** Set when this member was told to leave, also in an earlier start. It stays set once the member has departed. */
  get leaving(): LeaveOrder | undefined {
    return this.#leaving
  }

  /** member -> leaving */
  leave(force: boolean): void {
    this.#leaving = { force }
    this.#writes.push(writeLeaving(this.#leaving))
  }

  /**
   * The refusal for a peer whose newest view is `theirView`. It carries what that peer lacks, as far as it is on disk.
   */
  refuse(code: 'STALE_VIEW' | 'NOT_OWNER', theirView: number): InformedRefusal {
    const { ring, view, refusal } = this.#refusal ?? {}
    // A change of view refuses everything that is under way with the same knowledge: it is encoded once.
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

  /**
   * Takes in what others know. All that is signed in it must have been verified. Throws BAD_MESSAGE, or WRONG_RING when
   * this peer is to join another ring.
   */
  learn(news: Knowledge): void {
    const wasMember = this.isMember
    const learned = learn(this.#ring, news)
    const ringId = learned.view?.founding.ringId
    if (this.#wantedRing !== undefined && ringId !== undefined && ringId !== this.#wantedRing)
      throw new RingdError('WRONG_RING', `this peer is to join ring ${this.#wantedRing}, not ${ringId}`)
    this.#noteRequests(news, learned)
    this.#ring = learned
    const next = (this.#ring.view?.number ?? 0) + 1
    if (next > this.#acceptor.instance) this.#acceptor = { instance: next }
    if (this.isMember && !wasMember) this.announce()
    this.#outdoTwin()
  }

  /** Why the slots of the config that began with this view have moved. */
  causeOf(config: number): MoveCause {
    const change = this.#ring.changes.find(({ number }) => number === config)
    return causeOf(change, (id) => this.#requested.has(id))
  }

  /** A request is dropped when a view grants it. Afterwards nothing tells an eviction from a removal by an operator. */
  #noteRequests(news: Knowledge, { view }: RingState): void {
    for (const { storeId, dead } of [...this.#ring.departures.values(), ...news.departures]) {
      if (dead && view?.lost.has(storeId) === true) this.#requested.add(storeId)
    }
    for (const id of this.#requested) if (this.#requested.size > REQUESTED_MAX) this.#requested.delete(id)
  }

  /**
   * Another process with the key of this peer has published a newer record of this member. This process publishes one
   * that is newer still: otherwise its addresses and its readiness would count for nothing until its next start.
   */
  #outdoTwin(): void {
    const { record } = this
    if (record === undefined || record.sequence <= this.#sequence) return
    this.#sequence = record.sequence
    this.announce()
  }

  /** Forgets the requests of these joiners to join, and the requests for these members to leave. */
  forgetRequests(ids: readonly MemberId[]): void {
    this.#ring = forgetRequests(this.#ring, ids)
  }

  /** The acceptor has promised or accepted. */
  vote(state: AcceptorState): void {
    assert(state.instance === this.#acceptor.instance, 'votes belong to the next view')
    if (state === this.#acceptor) return
    this.#acceptor = state
    this.#writes.push(writeAcceptor(state))
  }

  /** This peer has chosen its tokens. */
  become(member: Member): void {
    assert(member.storeId === this.storeId, 'a peer chooses tokens for its own store')
    this.#member = member
    this.#writes.push(writeMember(member))
  }

  /** outside -> member: founds a ring of one. */
  found(founding: Founding): void {
    assert(this.#ring.view === undefined && this.#member !== undefined, 'a ring is founded once, by its first member')
    const change = { number: 1, joins: [this.#member], removals: [], founding }
    this.#ready = new Uint32Array(this.#ready.length).fill(1)
    this.#writes.push(writeReady(this.#ready), dropRescue())
    this.learn({ ...NO_KNOWLEDGE, changes: [change] })
  }

  /** This member holds on disk everything acknowledged in these slots before `config`. */
  markReady(config: number, slots: readonly number[]): void {
    const ready = this.#ready.slice()
    for (const slot of slots) ready[slot] = Math.max(ready[slot]!, config)
    this.#ready = ready
    this.#writes.push(writeReady(ready))
    this.announce()
  }

  /** Has the next commit make a new record of this member: its addresses, and the configs that it is ready for. */
  announce(): void {
    this.#isAnnouncing = true
  }

  /** The newest record of this member; undefined while it is none. */
  get record(): MemberRecord | undefined {
    return this.#ring.records.get(this.storeId)
  }

  async #learnOwnRecord(): Promise<void> {
    if (!this.#isAnnouncing) return
    this.#isAnnouncing = false
    this.#sequence += 1
    const { storeId, peerId } = this
    const addresses = this.#deps.addresses()
    const draft = { storeId, peerId, sequence: this.#sequence, addresses, ready: this.#ready, signature: EMPTY_BYTES }
    const signature = await this.#deps.signer.sign(signedRecord(draft))
    this.learn({ ...NO_KNOWLEDGE, records: [{ ...draft, signature }] })
  }

  /** Writes what has changed, publishes it, then runs the effects. */
  async commit(): Promise<void> {
    await this.#learnOwnRecord()
    this.#ring = compact(this.#ring, this.#chainLimits)
    const writes = [...changedRecords(this.#durable, this.#ring), ...this.#writes]
    const before = this.#durable
    const effects = this.#effects
    this.#writes = []
    this.#effects = []
    if (writes.length > 0) await this.#deps.persist(writes)
    this.#durable = this.#ring
    if (changesView(before, this.#ring)) this.publish()
    if (this.#ring.limit !== undefined && before.limit !== this.#ring.limit) this.#deps.onLimit?.(this.#ring.limit)
    for (const effect of effects) effect()
  }

  /** Gives the other actors what is known now. */
  publish(): void {
    const { view, configs, records } = this.#ring
    if (view === undefined || configs === undefined) return
    const { number, founding, members, peerIds, lost, elder } = view
    const readiness = readinessOf(records)
    this.#deps.onView({
      number,
      founding,
      self: this.storeId,
      isMember: this.isMember,
      members,
      peerIds,
      lost,
      elder,
      configs,
      readiness
    })
  }
}

/** The writes that bring the disk from one state to another. */
function changedRecords(before: RingState, after: RingState): MetaWrite[] {
  const writes = changedChain(before, after)
  if (after.bases !== before.bases) writes.push(writeBases(after.bases))
  if (after.limit !== undefined && after.limit !== before.limit) writes.push(writeLimit(after.limit))
  if (after.records === before.records) return writes
  for (const [id, record] of after.records) if (before.records.get(id) !== record) writes.push(writeRecord(record))
  for (const id of before.records.keys()) if (!after.records.has(id)) writes.push(dropRecord(id))
  return writes
}

function changedChain(before: RingState, after: RingState): MetaWrite[] {
  if (after.snapshot === before.snapshot) return after.changes.slice(before.changes.length).map(writeView)
  return [...before.changes.map(dropView), writeSnapshot(after.snapshot!), ...after.changes.map(writeView)]
}

/** Whether other actors must see the difference. */
function changesView(before: RingState, after: RingState): boolean {
  return before.configs !== after.configs || before.records !== after.records
}
