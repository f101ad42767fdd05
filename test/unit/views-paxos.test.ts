// The vote on the next view, with competing proposers, lost, doubled and late messages, and restarts: at most one value
// is chosen. The search can be trusted because it finds two classic mistakes when they are planted.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MemberId } from '../../lib/member.js'
import { type Ballot, compareBallots } from '../../lib/views/ballot.js'
import type { ViewChange } from '../../lib/views/chain.js'
import {
  type AcceptorState,
  accept,
  countVote,
  type Proposal,
  promise,
  propose,
  type Vote
} from '../../lib/views/paxos.js'
import { seeded } from '../sim/sim-node.js'
import { id, member } from './views-support.js'

const test = suite('views/paxos')

const INSTANCE = 5

type Bug = 'none' | 'acceptor not durable' | 'majority of the new members'
type VotePhase = 'preparing' | 'accepting'

interface Request {
  readonly to: MemberId
  readonly phase: VotePhase
  readonly proposer: Proposer
  readonly ballot: Ballot
  readonly change: ViewChange
}

interface Answer {
  readonly to: Proposer
  readonly from: MemberId
  readonly ballot: Ballot
  readonly phase: VotePhase
  readonly vote: Vote
}

interface Proposer {
  readonly storeId: MemberId
  attempt: Proposal | undefined
  round: number
}

function changeOf(joiner: number, removals: readonly MemberId[] = []): ViewChange {
  return { number: INSTANCE, joins: [member(joiner)], removals }
}

/** One run. `chosen` holds the values that some proposer saw chosen. */
class Election {
  readonly chosen = new Set<string>()
  readonly #bug: Bug
  readonly #next: () => number
  readonly #members: readonly MemberId[]
  readonly #proposers: readonly Proposer[]
  readonly #durable = new Map<MemberId, AcceptorState>()
  readonly #net: (Request | Answer)[] = []

  constructor(seed: number, bug: Bug) {
    this.#bug = bug
    this.#next = seeded(seed).next
    this.#members = Array.from({ length: 3 + Math.floor(this.#next() * 3) }, (_, at) => id(at + 1))
    this.#proposers = this.#members.map((storeId) => ({ storeId, attempt: undefined, round: 0 }))
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const dice = this.#next()
      if (dice < 0.08) this.#propose(this.#pick(this.#proposers))
      else if (dice < 0.11) this.#restart(this.#pick(this.#members))
      else if (this.#net.length > 0) this.#deliver()
    }
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#next() * list.length)]!
  }

  #propose(proposer: Proposer): void {
    proposer.round += 1
    const removals = this.#members.filter((one) => one !== proposer.storeId && this.#next() < 0.4)
    const change = changeOf(10 + Math.floor(this.#next() * 90), removals)
    const voters = this.#bug === 'majority of the new members' ? this.#after(change) : this.#members
    proposer.attempt = propose(voters, { round: proposer.round, storeId: proposer.storeId }, change)
    this.#ask(proposer, 'preparing')
  }

  #after({ joins, removals }: ViewChange): MemberId[] {
    return [...this.#members.filter((one) => !removals.includes(one)), ...joins.map(({ storeId }) => storeId)]
  }

  #ask(proposer: Proposer, phase: VotePhase): void {
    const { acceptors, ballot, change } = proposer.attempt!
    for (const to of acceptors) this.#send({ to, phase, proposer, ballot, change })
  }

  #send(message: Request | Answer): void {
    if (this.#next() < 0.1) return
    this.#net.push(message)
    if (this.#next() < 0.05) this.#net.push(message)
  }

  /** Picks any message under way, however old. */
  #deliver(): void {
    const [message] = this.#net.splice(Math.floor(this.#next() * this.#net.length), 1)
    if ('proposer' in message!) this.#answer(message)
    else if (message !== undefined) this.#count(message)
  }

  #answer({ to, phase, proposer, ballot, change }: Request): void {
    const before = this.#durable.get(to) ?? { instance: INSTANCE }
    const [after, vote] = phase === 'preparing' ? promise(before, ballot) : accept(before, { ballot, change })
    this.#durable.set(to, after)
    this.#send({ to: proposer, from: to, ballot, phase, vote })
  }

  #count({ to, from, ballot, phase, vote }: Answer): void {
    to.round = Math.max(to.round, vote.promised.round)
    const before = to.attempt
    if (before === undefined || compareBallots(before.ballot, ballot) !== 0) return
    const after = countVote(before, from, phase, vote)
    to.attempt = after
    if (after.phase === before.phase) return
    if (after.phase === 'accepting') this.#ask(to, 'accepting')
    if (after.phase === 'chosen') this.chosen.add(JSON.stringify({ ...after.change, votes: undefined }))
  }

  /** A restarted proposer forgets its attempt. Its next ballot is above its own durable promise. */
  #restart(who: MemberId): void {
    if (this.#bug === 'acceptor not durable') this.#durable.delete(who)
    const proposer = this.#proposers.find(({ storeId }) => storeId === who)!
    proposer.attempt = undefined
  }
}

/** The number of seeds in which two values are chosen, and in which any is. */
function search(bug: Bug, seeds: number): { readonly forked: number; readonly chose: number } {
  let forked = 0
  let chose = 0
  for (let seed = 1; seed <= seeds; seed++) {
    const election = new Election(seed, bug)
    election.run(400)
    if (election.chosen.size > 0) chose += 1
    if (election.chosen.size > 1) {
      forked += 1
      if (bug === 'none') throw new Error(`two values in seed ${seed}: ${[...election.chosen].join(' and ')}`)
    }
  }
  return { forked, chose }
}

test('with any messages and restarts, no two values are chosen', () => {
  const { chose } = search('none', 1500)
  assert.ok(chose > 750, `most runs choose a value: ${chose}`)
})

test('the search finds the mistake of acceptors that forget', () => {
  assert.ok(search('acceptor not durable', 1500).forked > 0)
})

test('the search finds the mistake of counting a majority of the new members', () => {
  assert.ok(search('majority of the new members', 300).forked > 0)
})

const LOW: Ballot = { round: 1, storeId: id(1) }
const HIGH: Ballot = { round: 1, storeId: id(2) }
const FRESH: AcceptorState = { instance: INSTANCE }

test('ballots are ordered by round, then by id; no ballot is the lowest', () => {
  const ballot = fc.record({ round: fc.integer({ min: 1, max: 3 }), storeId: fc.integer({ min: 1, max: 3 }).map(id) })
  fc.assert(
    fc.property(ballot, ballot, (a, b) => {
      assert.is(Math.sign(compareBallots(a, b)), -Math.sign(compareBallots(b, a)) || 0)
      assert.is(compareBallots(a, b) === 0, a.round === b.round && a.storeId === b.storeId)
    })
  )
  assert.ok(compareBallots(undefined, LOW) < 0)
  assert.ok(compareBallots(LOW, undefined) > 0)
  assert.is(compareBallots(undefined, undefined), 0)
  assert.ok(compareBallots(LOW, HIGH) < 0)
})

test('an acceptor keeps its promise: lower ballots are refused in both phases', () => {
  const [promised] = promise(FRESH, HIGH)
  for (const [state, vote] of [promise(promised, LOW), accept(promised, { ballot: LOW, change: changeOf(7) })]) {
    assert.is(state, promised, 'a refusal changes nothing')
    assert.equal(vote, { granted: false, promised: HIGH })
  }
})

test('an acceptance includes a promise of the same ballot', () => {
  const [accepted, vote] = accept(FRESH, { ballot: HIGH, change: changeOf(7) })
  assert.ok(vote.granted)
  assert.not(promise(accepted, LOW)[1].granted)
  assert.equal(promise(accepted, { round: 2, storeId: id(1) })[1].accepted, {
    ballot: HIGH,
    change: changeOf(7),
    proof: undefined
  })
})

test('a proposer takes over the newest value reported in its promises', () => {
  const ballot = { round: 9, storeId: id(1) }
  let proposal = propose([id(1), id(2), id(3), id(4), id(5)], ballot, changeOf(6))
  const told = (round: number, joiner: number): Vote => ({
    granted: true,
    promised: ballot,
    accepted: { ballot: { round, storeId: id(2) }, change: changeOf(joiner) }
  })
  proposal = countVote(proposal, id(1), 'preparing', told(4, 8))
  proposal = countVote(proposal, id(2), 'preparing', told(3, 7))
  assert.is(proposal.phase, 'preparing')
  proposal = countVote(proposal, id(3), 'preparing', { granted: true, promised: ballot })
  assert.is(proposal.phase, 'accepting')
  assert.equal(proposal.change, changeOf(8))
})

test('votes of strangers, doubled votes and votes for the other phase do not count', () => {
  const granted: Vote = { granted: true, promised: LOW }
  const proposal = propose([id(1), id(2), id(3)], LOW, changeOf(4))
  assert.is(countVote(proposal, id(9), 'preparing', granted), proposal)
  assert.is(countVote(proposal, id(1), 'accepting', granted), proposal)
  const once = countVote(proposal, id(1), 'preparing', granted)
  assert.is(countVote(once, id(1), 'preparing', granted).phase, 'preparing')
  const accepting = countVote(once, id(2), 'preparing', granted)
  assert.is(accepting.phase, 'accepting')
  assert.is(countVote(accepting, id(3), 'preparing', granted), accepting, 'a late promise')
  const outbid = countVote(accepting, id(1), 'accepting', { granted: false, promised: HIGH })
  assert.is(outbid.phase, 'lost')
  assert.equal(outbid.outbid, HIGH)
})

test('a reported acceptance for another view is not taken over', () => {
  const stray: Vote = { granted: true, promised: LOW, accepted: { ballot: LOW, change: { ...changeOf(4), number: 9 } } }
  const proposal = propose([id(1)], LOW, changeOf(5))
  assert.is(countVote(proposal, id(1), 'preparing', stray), proposal, 'such a vote does not count')
})

test.run()
