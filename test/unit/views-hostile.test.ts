// Messages of strangers and defective peers about the ring: they are refused or ignored, and the ring continues.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DurableRing } from '../../lib/actors/membership/durable-ring.js'
import { Evictor } from '../../lib/actors/membership/evictor.js'
import type { Gossip } from '../../lib/actors/membership/gossip.js'
import { Verifier } from '../../lib/actors/membership/verifier.js'
import { Voting } from '../../lib/actors/membership/voting.js'
import { fromHex } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import { type Answer, type Body, InformedRefusal } from '../../lib/network/network.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { ROUND_MAX } from '../../lib/views/ballot.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { emptyRing, learn } from '../../lib/views/ring-state.js'
import { changeToWire, digestToWire, knowledgeToWire } from '../../lib/views/wire-codec.js'
import type { MemoryNetwork } from '../sim/seams/memory-network.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded, signerOf } from '../sim/sim-node.js'
import { SimRing } from '../sim/sim-ring.js'
import { founding, id, member } from './views-support.js'

const test = suite('views/hostile')

/** A peer that runs no node, and answers as the test says. */
async function strangerAt(ring: SimRing, answer: (body: Body) => Answer): Promise<MemoryNetwork> {
  const clock = ring.clock.forNode()
  const hlc = { stamp: () => ({ ms: clock.now(), counter: 0 }), observe: () => true }
  const network = ring.hub.network({ peerId: 'stranger', clock, random: seeded(99), log: silent, hlc })
  network.serve('control', (_from, body, respond) => respond(answer(body)))
  await network.start()
  const [address] = ring.node('a').network.addresses()
  await ring.wait(network.dial(address!, 1000))
  return network
}

function askA(ring: SimRing, network: MemoryNetwork, body: Body): Promise<Answer> {
  return ring.wait(new Promise((resolve) => network.request('a', 'control', body, 1000, resolve)))
}

function codeOf(answer: Answer): string | undefined {
  return answer instanceof RingdError ? answer.code : undefined
}

const NONSENSE = knowledgeToWire({
  ...NO_KNOWLEDGE,
  changes: [{ number: 2, joins: [], removals: [id(77)] }]
})

test('a malformed answer to an exchange does no harm', async () => {
  const ring = new SimRing(1)
  const a = await ring.start('a')
  await ring.untilWhole(1)
  let failed = false
  void a.node.failed.then(() => {
    failed = true
  })
  let exchanges = 0
  await strangerAt(ring, (body) => {
    if (body.exchange === undefined) return { done: {} }
    exchanges += 1
    const nothing = { records: new Map(), joins: new Set<string>(), departures: new Set<string>() }
    const digest = digestToWire({ view: 2, basesCrc: 0, recordsCrc: 0, ...nothing })
    return { exchanged: { digest, knowledge: NONSENSE } }
  })
  await ring.clock.advance(5000)
  assert.ok(exchanges > 1)
  assert.not(failed)
  await ring.wait(a.put('key', 'value'))
  await ring.start('b')
  await ring.untilWhole(2)
  ring.close()
})

test('a member accepts no views from a stranger, however valid they look', async () => {
  const ring = new SimRing(2)
  const a = await ring.start('a')
  await ring.untilWhole(1)
  const stranger = await strangerAt(ring, () => ({ done: {} }))
  const forged = { ...NO_KNOWLEDGE, changes: [{ number: 2, joins: [member(77)], removals: [] }] }
  await askA(ring, stranger, { learn: knowledgeToWire(forged) })
  await ring.clock.advance(3000)
  assert.is(a.node.view!.number, 1)
  assert.is(codeOf(await askA(ring, stranger, { exchange: {} })), 'BAD_MESSAGE')
  ring.close()
})

test('only members vote on a view: a stranger cannot take the highest ballot', async () => {
  const ring = new SimRing(3)
  await ring.start('a')
  await ring.untilWhole(1)
  const stranger = await strangerAt(ring, () => ({ done: {} }))
  const ballot = { round: ROUND_MAX, storeId: fromHex(id(99)) }
  const change = changeToWire({ number: 2, joins: [member(99)], removals: [] })
  assert.is(codeOf(await askA(ring, stranger, { prepare: { instance: 2, ballot, evictions: [] } })), 'BAD_REQUEST')
  const evictions = [Uint8Array.of(1)]
  assert.is(codeOf(await askA(ring, stranger, { prepare: { instance: 2, ballot, evictions } })), 'BAD_REQUEST')
  assert.is(codeOf(await askA(ring, stranger, { accept: { instance: 2, ballot, change } })), 'BAD_REQUEST')
  await ring.start('b')
  await ring.start('c')
  await ring.untilWhole(3)
  assert.is(ring.node('a').node.view!.number, 2)
  ring.close()
})

/** The voting of member 1 of three. The test gives the answers of the others. */
async function votingOfOne() {
  const changes = [{ number: 1, joins: [member(1), member(2), member(3)], removals: [], founding: founding(3) }]
  const known = learn(emptyRing(), { ...NO_KNOWLEDGE, changes })
  const durable = {
    ring: known,
    acceptor: { instance: 2 },
    member: member(1),
    ready: new Uint32Array(SLOTS),
    released: new Uint32Array(SLOTS),
    closing: new Uint32Array(SLOTS),
    closed: new Uint32Array(SLOTS),
    incomplete: new Uint32Array(SLOTS),
    leaving: undefined,
    starts: 0,
    formerPeers: undefined
  }
  const signer = signerOf('peer-1')
  const keeperDeps = { persist: async () => {}, onView: () => {}, addresses: () => [], signer, isTrusted: () => true }
  const durableRing = new DurableRing(keeperDeps, id(1), 'peer-1', durable)
  const answers = new Map<string, (answer: Answer) => void>()
  const gossip = {
    request: (to: string, _body: Body, _timeoutMs: number, done: (answer: Answer) => void) =>
      void answers.set(to, done),
    isUp: () => true,
    tellAll: () => {}
  } as unknown as Gossip
  const said: { readonly type: string }[] = []
  const self = {
    tell: () => true,
    isOver: false,
    signal: (message: { readonly type: string }) => void said.push(message)
  }
  const clock = new VirtualClock()
  const evictor = new Evictor({ log: silent, metrics: noMetrics })
  const joinRequests = { heardAt: new Map(), answeredAt: new Map() }
  const departureRequests = { heardAt: new Map() }
  const requests = { joinRequests, departureRequests }
  const verifier = new Verifier({ clock, log: silent, metrics: noMetrics, signer })
  const parts = { durableRing, gossip, evictor, signer, verifier, ...requests }
  const voting = new Voting({ clock, random: seeded(1), log: silent, ...parts, self })
  const joiner = member(4)
  const join = {
    ringId: founding(3).ringId,
    member: joiner,
    addresses: [],
    issuedAtMs: 1,
    signature: new Uint8Array(0)
  }
  durableRing.learn({ ...NO_KNOWLEDGE, joins: [join] })
  const now = 100_000
  const seen = new Map([[joiner.storeId, now]])
  const heardAt = new Map([[joiner.storeId, 0]])
  await voting.consider({ self: id(1), ring: durableRing.ring, now, heardAt, answeredAt: seen, isUp: () => true })
  await durableRing.commit()
  return { durableRing, voting, answers, said }
}

function granted(number: number, joiner: number): Body {
  const ballot = { round: 1, storeId: fromHex(id(1)) }
  const acceptedChange = changeToWire({ number, joins: [member(joiner)], removals: [] })
  const signature = new Uint8Array(0)
  return { promised: { granted: true, promised: ballot, signature, acceptedBallot: ballot, acceptedChange } }
}

test('a promise that reports an acceptance for another view is ignored', async () => {
  const { voting, answers, said, durableRing } = await votingOfOne()
  assert.equal([...answers.keys()].sort(), [id(2), id(3)])
  answers.get(id(2))!(granted(9, 5))
  answers.get(id(3))!(granted(2, 1))
  for (const message of said.splice(0) as { type: 'vote' }[]) await countVote(voting, message)
  await durableRing.commit()
  assert.equal(answers.size, 2)
  assert.is(durableRing.acceptor.accepted, undefined, 'nothing was accepted by two such promises and its own')
})

test('an acceptance that comes without a proof is not taken over, and its promise counts', async () => {
  const { voting, answers, said, durableRing } = await votingOfOne()
  answers.get(id(2))!(granted(2, 5))
  for (const message of said.splice(0) as { type: 'vote' }[]) await countVote(voting, message)
  const { change, proof } = durableRing.acceptor.accepted!
  assert.equal(
    change.joins.map(({ storeId }) => storeId),
    [id(4)]
  )
  assert.is(proof!.joins.length, 1)
})

test('an unreadable answer is no vote', async () => {
  const { answers, said } = await votingOfOne()
  const before = said.length
  const signature = new Uint8Array(0)
  answers.get(id(2))!({ promised: { granted: true, promised: { round: 1, storeId: new Uint8Array(3) }, signature } })
  answers.get(id(2))!({ promised: { granted: true, signature } })
  assert.is(said.length, before)
})

test('a proposer that is behind learns the newer views from the refusal of its ballot', async () => {
  const { answers, said } = await votingOfOne()
  said.length = 0
  answers.get(id(2))!(new InformedRefusal('STALE_VIEW', 'the ring has changed', NONSENSE))
  assert.equal(
    said.map(({ type }) => type),
    ['learned']
  )
})

function countVote(voting: Voting, message: unknown): Promise<void> {
  const { ballot, from, phase, vote } = message as {
    ballot: Parameters<Voting['count']>[0]
    from: string
    phase: 'preparing'
    vote: Parameters<Voting['count']>[3]
  }
  return voting.count(ballot, from, phase, vote)
}

test.run()
