// The vote on the next view with one member that lies: it sends anything that it can sign. Random orders of messages,
// with competing proposers, losses and restarts. The search can be trusted because it finds the mistakes that are
// planted. Signatures are entries of a register: only their owner can make one.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fromText, toText } from '../../lib/bytes.js'
import type { MemberId } from '../../lib/member.js'
import type { Ballot, Signatures } from '../../lib/views/ballot.js'
import { compareBallots } from '../../lib/views/ballot.js'
import { applyChange, quorum, type View, type ViewChange } from '../../lib/views/chain.js'
import type { JoinRequest } from '../../lib/views/join.js'
import {
  type Acceptance,
  type AcceptorState,
  accept,
  countVote,
  NO_PROOF,
  type Proof,
  type Proposal,
  promise,
  propose,
  type Vote
} from '../../lib/views/paxos.js'
import {
  type Claim,
  claimOfMember,
  claimsOfProof,
  claimsOfVotes,
  promiseStatement,
  voteStatement
} from '../../lib/views/votes.js'
import { signedDeparture, signedPart } from '../../lib/views/wire-codec.js'
import { seeded } from '../sim/sim-node.js'
import { founding, id, member, RING_ID } from './views-support.js'

const test = suite('views/votes')

type Mistake =
  | 'none'
  | 'votes are not verified'
  | 'proofs are not verified'
  | 'invented acceptances are taken over'
  | 'evictions are refused when they are to be accepted'

type Phase = 'preparing' | 'accepting'

interface Player {
  readonly storeId: MemberId
  acceptor: AcceptorState
  attempt: Proposal | undefined
  round: number
  /** The next view, once it is believed. */
  believed: ViewChange | undefined
}

interface Draft {
  readonly change: ViewChange
  readonly proof: Proof
}

type Message =
  | {
      readonly type: 'prepare'
      readonly from: Player
      readonly to: Player
      readonly ballot: Ballot
      readonly evictions: readonly MemberId[]
    }
  | { readonly type: 'accept'; readonly from: Player; readonly to: Player; readonly acceptance: Acceptance }
  | {
      readonly type: 'vote'
      readonly from: Player
      readonly to: Player
      readonly ballot: Ballot
      readonly phase: Phase
      readonly vote: Vote
    }
  | { readonly type: 'learn'; readonly to: Player; readonly change: ViewChange }

const INSTANCE = 2

class Election {
  readonly #mistake: Mistake
  readonly #next: () => number
  readonly #view: View
  readonly players: readonly Player[]
  readonly liar: Player | undefined
  /** The member that some want to evict, and those that hear it. */
  readonly victim: MemberId
  readonly hearers: ReadonlySet<MemberId>
  readonly #signed = new Set<string>()
  #net: Message[] = []
  /** Nothing is lost or doubled. */
  #isCalm = false
  /** What the liar has seen, and uses again. */
  readonly #seenPromises = new Map<
    string,
    { ballot: Ballot; evictions: readonly MemberId[]; promises: Map<MemberId, Uint8Array> }
  >()
  readonly #seenVotes = new Map<string, { ballot: Ballot; change: ViewChange; signatures: Map<MemberId, Uint8Array> }>()
  readonly #seenAcceptances: Acceptance[] = []

  constructor(seed: number, mistake: Mistake, hasLiar: boolean) {
    this.#mistake = mistake
    this.#next = seeded(seed).next
    const size = 3 + Math.floor(this.#next() * 3)
    const members = Array.from({ length: size }, (_, at) => member(at + 1))
    this.#view = applyChange(undefined, { number: 1, joins: members, removals: [], founding: founding(3) })
    this.players = members.map(({ storeId }) => {
      return { storeId, acceptor: { instance: INSTANCE }, attempt: undefined, round: 0, believed: undefined }
    })
    this.liar = hasLiar ? this.players[size - 1] : undefined
    this.victim = id(1)
    // So many honest members hear the victim that the others and the liar are no majority.
    const hearing = size - quorum(size) + 1
    this.hearers = new Set(this.players.slice(0, hearing).map(({ storeId }) => storeId))
  }

  get honest(): readonly Player[] {
    return this.players.filter((player) => player !== this.liar)
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const dice = this.#next()
      if (dice < 0.06) this.#propose(this.#pick(this.honest))
      else if (dice < 0.16 && this.liar !== undefined) this.#lie(this.liar)
      else if (dice < 0.18) this.#pick(this.players).attempt = undefined
      else if (this.#net.length > 0) this.#deliver(this.#net.splice(Math.floor(this.#next() * this.#net.length), 1)[0]!)
    }
  }

  /**
   * Nothing is lost any more, and the liar only answers, or is silent. Whether one attempt of an honest member leads
   * to a view, whatever was accepted before.
   */
  finish(isLiarSilent: boolean): boolean {
    this.#net = []
    this.#isCalm = true
    const proposer = this.#pick(this.honest)
    proposer.round = Math.max(...this.players.map(({ round }) => round))
    this.#propose(proposer, this.#joining())
    while (this.#net.length > 0) {
      const message = this.#net.splice(Math.floor(this.#next() * this.#net.length), 1)[0]!
      if (message.to !== this.liar || !isLiarSilent) this.#deliver(message)
    }
    return this.honest.every(({ believed }) => believed !== undefined)
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)]!
  }

  #sign(peerId: string, statement: Uint8Array): Uint8Array {
    const text = `${peerId}|${Buffer.from(statement).toString('base64')}`
    this.#signed.add(text)
    return fromText(text)
  }

  #holds(claims: readonly Claim[]): boolean {
    return claims.every(({ peerId, statement, signature }) => {
      const text = `${peerId}|${Buffer.from(statement).toString('base64')}`
      return toText(signature) === text && this.#signed.has(text)
    })
  }

  #verified(claims: () => readonly Claim[]): boolean {
    try {
      return this.#holds(claims())
    } catch {
      return false
    }
  }

  #joinRequest(number: number): JoinRequest {
    const request = { ringId: RING_ID, member: member(number), addresses: [], issuedAtMs: 1 }
    return { ...request, signature: this.#sign(`peer-${number}`, signedPart({ ...request })) }
  }

  /** The joiners 10 to 12 have asked to join. */
  #joining(): Draft {
    const request = this.#joinRequest(10 + Math.floor(this.#next() * 3))
    const change = { number: INSTANCE, joins: [request.member], removals: [] }
    return { change, proof: { ...NO_PROOF, joins: [request] } }
  }

  #evicting(): Draft {
    const change = { number: INSTANCE, joins: [], removals: [this.victim], lost: [this.victim] }
    return { change, proof: { ...NO_PROOF, evictions: [this.victim] } }
  }

  #leaving(): Draft {
    const request = { ringId: RING_ID, storeId: id(2), dead: false, peerId: 'peer-2', force: false, issuedAtMs: 1 }
    const leave = { ...request, signature: this.#sign('peer-2', signedDeparture(request)) }
    return { change: { number: INSTANCE, joins: [], removals: [id(2)] }, proof: { ...NO_PROOF, leaves: [leave] } }
  }

  #draft(proposer: Player): Draft {
    const dice = this.#next()
    if (dice < 0.5 && !this.hearers.has(proposer.storeId)) return this.#evicting()
    return dice < 0.8 ? this.#joining() : this.#leaving()
  }

  #propose(proposer: Player, { change, proof } = this.#draft(proposer)): void {
    if (proposer.believed !== undefined) return
    proposer.round += 1
    const ballot = { round: proposer.round, storeId: proposer.storeId }
    proposer.attempt = propose([...this.#view.members.keys()], ballot, change, proof)
    for (const to of this.players) {
      this.#send({ type: 'prepare', from: proposer, to, ballot, evictions: proof.evictions })
    }
  }

  #send(message: Message): void {
    if (!this.#isCalm && this.#next() < 0.1) return
    this.#net.push(message)
    if (!this.#isCalm && this.#next() < 0.05) this.#net.push(message)
  }

  #deliver(message: Message): void {
    if (message.to === this.liar) return this.#overhear(this.liar, message)
    if (message.type === 'prepare') this.#answerPrepare(message.to, message)
    else if (message.type === 'accept') this.#answerAccept(message.to, message)
    else if (message.type === 'vote') this.#count(message.to, message)
    else this.#learn(message.to, message.change)
  }

  #answerPrepare(self: Player, { from, ballot, evictions }: Message & { type: 'prepare' }): void {
    if (self.believed !== undefined) return
    const hears = evictions.some(
      (one) => one === self.storeId || (one === this.victim && this.hearers.has(self.storeId))
    )
    if (hears && this.#mistake !== 'evictions are refused when they are to be accepted') return
    const [state, vote] = promise(self.acceptor, ballot)
    self.acceptor = state
    self.round = Math.max(self.round, vote.promised.round)
    const signature = this.#sign(this.#peerOf(self), promiseStatement(RING_ID, INSTANCE, ballot, evictions))
    this.#send({ type: 'vote', from: self, to: from, ballot, phase: 'preparing', vote: { ...vote, signature } })
  }

  #answerAccept(self: Player, { from, acceptance }: Message & { type: 'accept' }): void {
    if (self.believed !== undefined) return
    const { ballot, change, proof = NO_PROOF } = acceptance
    const isProven = this.#verified(() => claimsOfProof(this.#view, ballot, change, proof))
    if (!isProven && this.#mistake !== 'proofs are not verified') return
    const refusesLate = this.#mistake === 'evictions are refused when they are to be accepted'
    if (refusesLate && this.hearers.has(self.storeId) && change.removals.includes(this.victim)) return
    const [state, vote] = accept(self.acceptor, acceptance)
    self.acceptor = state
    const signature = this.#sign(this.#peerOf(self), voteStatement(this.#view, ballot, change))
    const answer = vote.granted ? { ...vote, signature } : vote
    this.#send({ type: 'vote', from: self, to: from, ballot, phase: 'accepting', vote: answer })
  }

  #count(self: Player, { from, ballot, phase, vote }: Message & { type: 'vote' }): void {
    self.round = Math.max(self.round, vote.promised.round)
    const before = self.attempt
    if (before === undefined || before.phase !== phase || compareBallots(before.ballot, ballot) !== 0) return
    const { accepted, ...bare } = vote
    if (vote.granted && !this.#isSigned(before, from, vote)) return
    const isProven =
      accepted !== undefined &&
      this.#verified(() => claimsOfProof(this.#view, accepted.ballot, accepted.change, accepted.proof ?? NO_PROOF))
    const isTaken = isProven || this.#mistake === 'invented acceptances are taken over'
    const after = countVote(before, from.storeId, phase, isTaken ? vote : bare)
    self.attempt = after
    if (after.phase === before.phase) return
    if (after.phase === 'accepting') {
      for (const to of this.players) this.#send({ type: 'accept', from: self, to, acceptance: after })
    }
    if (after.phase === 'chosen') {
      this.#learn(self, after.change)
      for (const to of this.players) this.#send({ type: 'learn', to, change: after.change })
    }
  }

  #isSigned({ phase, ballot, change, evictions }: Proposal, from: Player, vote: Vote): boolean {
    if (phase === 'preparing' && evictions.length === 0) return true
    const statement =
      phase === 'preparing'
        ? promiseStatement(RING_ID, INSTANCE, ballot, evictions)
        : voteStatement(this.#view, ballot, change)
    const claim = claimOfMember(this.#view, from.storeId, statement, vote.signature ?? new Uint8Array(0))
    return claim !== undefined && this.#holds([claim])
  }

  #learn(self: Player, change: ViewChange): void {
    if (self.believed !== undefined) return
    const isVoted = this.#verified(() => claimsOfVotes(this.#view, change))
    if (isVoted || this.#mistake === 'votes are not verified') self.believed = change
  }

  /** Of the signers of the votes, those that have signed. Independent of the code that is tested. */
  signersOf(change: ViewChange): number {
    const { ballot, signatures } = change.votes ?? { ballot: undefined, signatures: new Map() as Signatures }
    if (ballot === undefined) return 0
    const statement = voteStatement(this.#view, ballot, change)
    const signers = this.players.filter(({ storeId }) => {
      return (
        signatures.has(storeId) &&
        this.#signed.has(`peer-${Number.parseInt(storeId, 16)}|${Buffer.from(statement).toString('base64')}`)
      )
    })
    return signers.length
  }

  #peerOf({ storeId }: Player): string {
    return this.#view.peerIds.get(storeId)!
  }

  /** The liar keeps whatever it is sent. */
  #overhear(liar: Player, message: Message): void {
    if (message.type === 'prepare') {
      const { from, ballot, evictions } = message
      liar.round = Math.max(liar.round, ballot.round)
      this.#keepPromise(
        liar,
        ballot,
        evictions,
        this.#sign(this.#peerOf(liar), promiseStatement(RING_ID, INSTANCE, ballot, evictions))
      )
      const signature = this.#sign(this.#peerOf(liar), promiseStatement(RING_ID, INSTANCE, ballot, evictions))
      const accepted = this.#next() < 0.7 ? this.#invented(ballot) : undefined
      const vote = { granted: true, promised: ballot, signature, ...(accepted && { accepted }) }
      this.#send({ type: 'vote', from: liar, to: from, ballot, phase: 'preparing', vote })
    } else if (message.type === 'accept') {
      const { from, acceptance } = message
      this.#seenAcceptances.push(acceptance)
      const signature = this.#sign(this.#peerOf(liar), voteStatement(this.#view, acceptance.ballot, acceptance.change))
      this.#keepVote(liar, acceptance, signature)
      const vote = { granted: true, promised: acceptance.ballot, signature }
      this.#send({ type: 'vote', from: liar, to: from, ballot: acceptance.ballot, phase: 'accepting', vote })
    } else if (message.type === 'vote') {
      const { from, ballot, phase, vote } = message
      const attempt = this.#lies.get(`${ballot.round}`)
      if (vote.accepted !== undefined) this.#seenAcceptances.push(vote.accepted)
      if (vote.signature === undefined || attempt === undefined) return
      if (phase === 'preparing') this.#keepPromise(from, ballot, attempt.evictions, vote.signature)
      else if (attempt.acceptance !== undefined) this.#keepVote(from, attempt.acceptance, vote.signature)
    }
  }

  /** What the liar has asked with each of its ballots. */
  readonly #lies = new Map<string, { evictions: readonly MemberId[]; acceptance?: Acceptance }>()

  #keepPromise(from: Player, ballot: Ballot, evictions: readonly MemberId[], signature: Uint8Array): void {
    const key = JSON.stringify([ballot, evictions])
    const kept = this.#seenPromises.get(key) ?? { ballot, evictions, promises: new Map<MemberId, Uint8Array>() }
    kept.promises.set(from.storeId, signature)
    this.#seenPromises.set(key, kept)
  }

  #keepVote(from: Player, { ballot, change }: Acceptance, signature: Uint8Array): void {
    const key = JSON.stringify([ballot, change])
    const kept = this.#seenVotes.get(key) ?? { ballot, change, signatures: new Map<MemberId, Uint8Array>() }
    kept.signatures.set(from.storeId, signature)
    this.#seenVotes.set(key, kept)
  }

  /** An acceptance that nobody made, with the best proof that the liar can put together. */
  #invented(below: Ballot): Acceptance {
    const ballot = { round: Math.max(0, below.round - 1), storeId: this.liar!.storeId }
    if (this.#seenAcceptances.length > 0 && this.#next() < 0.3) return { ...this.#pick(this.#seenAcceptances), ballot }
    const { change, proof } = this.#next() < 0.7 ? this.#evicting() : this.#joining()
    return { ballot, change, proof: this.#bestProof(proof) }
  }

  #bestProof(proof: Proof): Proof {
    const seen = [...this.#seenPromises.values()]
    if (seen.length === 0 || proof.evictions.length === 0) return proof
    const { ballot, promises } = this.#pick(seen)
    return { ...proof, ballot, promises }
  }

  #lie(liar: Player): void {
    const dice = this.#next()
    if (dice < 0.4) {
      liar.round += 1
      const ballot = { round: liar.round, storeId: liar.storeId }
      const evictions = this.#next() < 0.5 ? [this.victim] : []
      this.#lies.set(`${ballot.round}`, { evictions })
      for (const to of this.honest) this.#send({ type: 'prepare', from: liar, to, ballot, evictions })
    } else if (dice < 0.7) {
      const ballot = { round: liar.round, storeId: liar.storeId }
      const acceptance = { ...this.#invented(ballot), ballot }
      this.#lies.set(`${ballot.round}`, { evictions: [], ...this.#lies.get(`${ballot.round}`), acceptance })
      this.#keepVote(
        liar,
        acceptance,
        this.#sign(this.#peerOf(liar), voteStatement(this.#view, ballot, acceptance.change))
      )
      for (const to of this.honest) this.#send({ type: 'accept', from: liar, to, acceptance })
    } else {
      const seen = [...this.#seenVotes.values()]
      const kept = seen.length > 0 ? this.#pick(seen) : undefined
      const { change } = kept ?? this.#evicting()
      const votes = {
        ballot: kept?.ballot ?? { round: 1, storeId: liar.storeId },
        signatures: this.#padded(kept?.signatures)
      }
      this.#send({ type: 'learn', to: this.#pick(this.honest), change: { ...change, votes } })
    }
  }

  /** The signatures that the liar has, and its own nonsense in the names of the others. */
  #padded(signatures: Signatures = new Map()): Signatures {
    return new Map(this.players.map(({ storeId }) => [storeId, signatures.get(storeId) ?? fromText('nonsense')]))
  }
}

interface Found {
  /** Runs in which some honest member believed a view, and in which honest members believed different ones. */
  readonly believed: number
  readonly forked: number
  readonly unvoted: number
  readonly evicted: number
  readonly stuck: number
}

function search(seeds: number, mistake: Mistake, hasLiar: boolean): Found {
  const found = { believed: 0, forked: 0, unvoted: 0, evicted: 0, stuck: 0 }
  for (let seed = 1; seed <= seeds; seed++) {
    const election = new Election(seed, mistake, hasLiar)
    election.run(300)
    const early = election.honest.flatMap(({ believed }) => believed ?? [])
    if (early.length === 0 && !election.finish(seed % 2 === 0)) found.stuck += 1
    const views = election.honest.flatMap(({ believed }) => believed ?? [])
    if (views.length > 0) found.believed += 1
    if (new Set(views.map(({ joins, removals }) => JSON.stringify([joins, removals]))).size > 1) found.forked += 1
    if (views.some((change) => election.signersOf(change) < quorum(election.players.length))) found.unvoted += 1
    if (views.some(({ removals }) => removals.includes(election.victim))) found.evicted += 1
  }
  return found
}

test('without a liar members agree, nothing is stuck, and a member that enough others hear stays', () => {
  assert.equal(search(300, 'none', false), { believed: 300, forked: 0, unvoted: 0, evicted: 0, stuck: 0 })
})

test('with a liar no view is believed without a majority, no heard member is removed, and nothing is stuck', () => {
  const { unvoted, evicted, stuck, believed } = search(800, 'none', true)
  assert.equal({ unvoted, evicted, stuck, believed }, { unvoted: 0, evicted: 0, stuck: 0, believed: 800 })
})

test('the search finds that votes are not verified', () => {
  assert.ok(search(300, 'votes are not verified', true).unvoted > 0)
})

test('the search finds that proofs are not verified', () => {
  assert.ok(search(300, 'proofs are not verified', true).evicted > 0)
})

test('the search finds that invented acceptances are taken over: they cannot be accepted, so the vote is stuck', () => {
  const { stuck } = search(300, 'invented acceptances are taken over', true)
  assert.ok(stuck > 0, `${stuck}`)
})

test('the search finds that evictions are refused too late', () => {
  const { stuck, evicted } = search(300, 'evictions are refused when they are to be accepted', true)
  assert.ok(stuck + evicted > 0)
})

test.run()
