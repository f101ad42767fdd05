// When a member proposes and what: gathering, rank, throttling, and which members count as alive. Also lost and stuck
// attempts.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { PROPOSER_DEFAULTS, Proposer, type ProposerInput } from '../../lib/actors/membership/proposer.js'
import { MEMBERS_MAX } from '../../lib/limits.js'
import type { MemberId } from '../../lib/member.js'
import type { JoinRequest } from '../../lib/views/join.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import type { Vote } from '../../lib/views/paxos.js'
import { emptyRing, learn, type RingState } from '../../lib/views/ring-state.js'
import { idOf } from '../sim/harness/ring-views.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('membership: proposing')
const FOUNDING = { ringId: 'ab'.repeat(16), replicas: 3 }
const { gatherMs, gatherMaxMs, growMs, rankMs, attemptMs, answeredMs } = PROPOSER_DEFAULTS

function member(letter: string) {
  return { storeId: idOf(letter), peerId: `peer-${letter}`, tokens: [letter.charCodeAt(0)], zone: '', weight: 1 }
}

function joinRequest(letter: string): JoinRequest {
  return { ringId: FOUNDING.ringId, member: member(letter), addresses: [], issuedAtMs: 1, signature: new Uint8Array(0) }
}

/** A ring of `members` in one view, with join requests of `joiners`. */
function ringOf(members: string, joiners: string): RingState {
  const change = { number: 1, joins: [...members].map(member), removals: [], founding: FOUNDING }
  const founded = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: [change] })
  return learn(founded, { ...NO_KNOWLEDGE, joins: [...joiners].map(joinRequest) })
}

interface Told {
  readonly self?: string
  readonly now: number
  /** When the join request of each letter was heard. By default its joiner has just answered. */
  readonly heard: Readonly<Record<string, number>>
  readonly up?: string
  readonly answered?: Readonly<Record<string, number>>
}

function input(ring: RingState, { self = 'a', now, heard, up, answered }: Told): ProposerInput {
  const times = (table: Readonly<Record<string, number>>) =>
    new Map(Object.entries(table).map(([letter, at]): [MemberId, number] => [idOf(letter), at]))
  const answeredAt = times(answered ?? Object.fromEntries(Object.keys(heard).map((letter) => [letter, now])))
  const isUp = (id: MemberId) => up === undefined || [...up].some((letter) => idOf(letter) === id)
  return { self: idOf(self), ring, now, heardAt: times(heard), answeredAt, isUp }
}

/** The first moment at which this member proposes, tried every 10 ms, and its proposal. */
function firstProposal(ring: RingState, told: Omit<Told, 'now'>, limitMs = 20_000) {
  const proposer = new Proposer(seeded(1), PROPOSER_DEFAULTS)
  for (let now = 0; now <= limitMs; now += 10) {
    const proposal = proposer.consider(input(ring, { ...told, now }))
    if (proposal !== undefined) return { now, proposal, proposer }
  }
  return undefined
}

const GRANTED = (round: number, letter = 'a'): Vote => ({ granted: true, promised: { round, storeId: idOf(letter) } })

test('a member proposes nothing without a join request, and a stranger never proposes', () => {
  assert.is(firstProposal(ringOf('abc', ''), { heard: {} }), undefined)
  assert.is(firstProposal(ringOf('abc', 'x'), { self: 'z', heard: { x: 0 } }), undefined)
})

test('a view never gets more members than a ring may have', () => {
  const numbered = (number: number) => ({ ...member('a'), storeId: number.toString(16).padStart(32, '0') })
  const members = Array.from({ length: MEMBERS_MAX - 1 }, (_, at) => numbered(at))
  const change = { number: 1, joins: members, removals: [], founding: FOUNDING }
  const joins = [5000, 5001].map((number) => ({ ...joinRequest('x'), member: numbered(number) }))
  const ring = learn(learn(emptyRing(), { ...NO_KNOWLEDGE, changes: [change] }), { ...NO_KNOWLEDGE, joins })
  const times = new Map(joins.map((join): [MemberId, number] => [join.member.storeId, 0]))
  const self = members[0]!.storeId
  const isUp = (id: MemberId) => id === self || times.has(id)
  const considered = new Proposer(seeded(1), PROPOSER_DEFAULTS).consider({
    self,
    ring,
    now: gatherMaxMs - 1,
    heardAt: times,
    answeredAt: times,
    isUp
  })
  assert.is(considered?.change.joins.length, 1)
})

test('join requests of one moment share a proposal, and newer ones delay the oldest only up to a bound', () => {
  const ring = ringOf('abc', 'xyz')
  const together = firstProposal(ring, { heard: { x: 0, y: 100, z: 200 }, up: 'axyz' })!
  assert.is(together.now, 200 + gatherMs)
  assert.equal(
    together.proposal.change.joins.map(({ storeId }) => storeId),
    [...'xyz'].map(idOf)
  )
  const late = firstProposal(ring, { heard: { x: 0, y: gatherMaxMs - 50 }, up: 'axy' })!
  assert.is(late.now, gatherMaxMs)
})

test('a ring of one waits for a second joiner, up to a bound', () => {
  assert.is(firstProposal(ringOf('a', 'x'), { heard: { x: 0 } })!.now, growMs)
  assert.is(firstProposal(ringOf('a', 'xy'), { heard: { x: 0, y: 0 } })!.now, gatherMs)
})

test('members that see the same others up propose one after the other', () => {
  const ring = ringOf('abcde', 'x')
  const moments = [...'abcde'].map((self) => firstProposal(ring, { self, heard: { x: 0 } })!.now)
  assert.equal(
    moments.sort((a, b) => a - b),
    [0, 1, 2, 3, 4].map((rank) => gatherMs + rank * rankMs)
  )
})

test('a joiner that has not answered lately, or whose link is closed, is left out', () => {
  const ring = ringOf('abc', 'xy')
  const heard = { x: 0, y: 0 }
  const now = 10_000
  const proposer = () => new Proposer(seeded(1), PROPOSER_DEFAULTS)
  const joins = (told: Told) =>
    proposer()
      .consider(input(ring, told))
      ?.change.joins.map(({ storeId }) => storeId)
  assert.equal(joins({ now, heard, answered: { x: now - answeredMs, y: now - answeredMs - 1 } }), [idOf('x')])
  assert.equal(joins({ now, heard, up: 'abcy' }), [idOf('y')])
  assert.is(joins({ now, heard, answered: {} }), undefined)
})

test('nothing is proposed while slots are moving', () => {
  const moving = learn(ringOf('ab', ''), {
    ...NO_KNOWLEDGE,
    changes: [{ number: 2, joins: [member('c')], removals: [] }],
    joins: [joinRequest('x')]
  })
  assert.is(firstProposal(moving, { heard: { x: 0 } }), undefined)
})

test('promises of a majority lead to accept requests, acceptances of a majority to the view', () => {
  const { proposal, proposer, now } = firstProposal(ringOf('abc', 'x'), { heard: { x: 0 } })!
  const { ballot } = proposal
  assert.is(proposer.vote(ballot, idOf('a'), 'preparing', GRANTED(1), now), undefined)
  assert.is(proposer.vote(ballot, idOf('a'), 'preparing', GRANTED(1), now), undefined, 'the same vote again')
  assert.is(proposer.vote(ballot, idOf('z'), 'preparing', GRANTED(1), now), undefined, 'a stranger')
  assert.is(proposer.vote(ballot, idOf('b'), 'preparing', GRANTED(1), now)!.phase, 'accepting')
  assert.is(proposer.vote(ballot, idOf('c'), 'preparing', GRANTED(1), now), undefined, 'too late')
  assert.is(proposer.vote(ballot, idOf('c'), 'accepting', GRANTED(1), now), undefined)
  assert.is(proposer.vote(ballot, idOf('a'), 'accepting', GRANTED(1), now)!.phase, 'chosen')
  assert.is(proposer.attempt, undefined)
})

test("a change that a voter accepted before replaces the proposer's own", () => {
  const { proposal, proposer, now } = firstProposal(ringOf('abc', 'xy'), { heard: { x: 0 } })!
  const change = { number: 2, joins: [member('y')], removals: [] }
  const accepted = { ballot: { round: 1, storeId: idOf('0') }, change }
  proposer.vote(proposal.ballot, idOf('a'), 'preparing', GRANTED(1), now)
  const pushing = proposer.vote(proposal.ballot, idOf('b'), 'preparing', { ...GRANTED(1), accepted }, now)!
  assert.equal(pushing.change, change)
})

/** Proposes the eviction of `e`, which is down since 0 ms. */
function evicting(ring: RingState, self = 'a', heard = {}) {
  const refused: MemberId[] = []
  const proposer = new Proposer(seeded(1), PROPOSER_DEFAULTS, (id) => void refused.push(id))
  const eviction = { member: idOf('e'), from: 0 }
  const consider = (now: number) => proposer.consider({ ...input(ring, { self, now, heard, up: 'abcdx' }), eviction })
  for (let now = 0; now < 20_000; now += 10) {
    const proposal = consider(now)
    if (proposal !== undefined) return { now, proposal, proposer, refused, consider }
  }
  throw new Error('nothing is proposed')
}

test('a down member is removed as lost, alone, and the members take turns to propose it', () => {
  const { proposal, proposer } = evicting(ringOf('abcde', ''))
  const { joins, removals, lost } = proposal.change
  assert.equal({ joins, removals, lost }, { joins: [], removals: [idOf('e')], lost: [idOf('e')] })
  assert.is(proposer.evicting, idOf('e'))
  const moments = [...'abcd'].map((self) => evicting(ringOf('abcde', ''), self).now)
  assert.equal(
    moments.sort((a, b) => a - b),
    [0, 1, 2, 3].map((rank) => rank * rankMs)
  )
})

test('join requests are proposed before an eviction', () => {
  const { proposer, consider, proposal } = evicting(ringOf('abcde', 'x'), 'a', { x: -10_000 })
  assert.equal(proposal.change.removals, [])
  assert.is(proposal.change.joins.length, 1)
  assert.is(proposer.evicting, undefined)
  proposer.chainGrew(proposal.instance)
  assert.ok(consider(30_000) !== undefined)
})

test('an eviction is given up when too few voters are left to grant it, and when no voter answers', () => {
  const { proposal, proposer, refused, now } = evicting(ringOf('abcde', ''))
  proposer.objected(proposal.ballot, idOf('c'), now)
  assert.equal(refused, [], 'a, b and d may be a majority')
  proposer.objected(proposal.ballot, idOf('z'), now)
  assert.equal(refused, [], 'a stranger')
  proposer.objected(proposal.ballot, idOf('d'), now)
  assert.equal(refused, [idOf('e')])
  assert.is(proposer.attempt, undefined)
  const late = evicting(ringOf('abcde', ''))
  late.consider(late.now + attemptMs)
  assert.equal(late.refused, [idOf('e')])
})

test('after a refusal the next attempt comes later, with a ballot above the one that won', () => {
  const ring = ringOf('abc', 'x')
  const { proposal, proposer, now } = firstProposal(ring, { heard: { x: 0 } })!
  const refusal = { granted: false, promised: { round: 7, storeId: idOf('c') } }
  assert.is(proposer.vote(proposal.ballot, idOf('b'), 'preparing', refusal, now), undefined)
  assert.is(proposer.consider(input(ring, { now: now + 100, heard: { x: 0 } })), undefined)
  assert.is(proposer.consider(input(ring, { now: now + 1300, heard: { x: 0 } }))!.ballot.round, 8)
})

test('an unanswered attempt is given up, and repeated with a higher ballot', () => {
  const ring = ringOf('abc', 'x')
  const { proposer, now } = firstProposal(ring, { heard: { x: 0 } })!
  assert.is(proposer.consider(input(ring, { now: now + attemptMs - 10, heard: { x: 0 } })), undefined)
  assert.is(proposer.consider(input(ring, { now: now + attemptMs, heard: { x: 0 } })), undefined)
  assert.is(proposer.consider(input(ring, { now: now + attemptMs + 1300, heard: { x: 0 } }))!.ballot.round, 2)
})

test('a known view ends the attempt for its number', () => {
  const { proposer } = firstProposal(ringOf('abc', 'x'), { heard: { x: 0 } })!
  proposer.chainGrew(1)
  assert.ok(proposer.attempt)
  proposer.chainGrew(2)
  assert.is(proposer.attempt, undefined)
})

test.run()
