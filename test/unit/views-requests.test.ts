// Join requests: accepted when genuine and new, dropped when their joiner stops answering, and not brought back by
// other peers.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DurableRing } from '../../lib/actors/membership/durable-ring.js'
import type { Gossip } from '../../lib/actors/membership/gossip.js'
import { JoinRequests } from '../../lib/actors/membership/join-requests.js'
import { Verifier } from '../../lib/actors/membership/verifier.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Answer, Body } from '../../lib/network/network.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { JoinRequest, MemberRecord, Signer } from '../../lib/views/join.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { emptyRing, learn } from '../../lib/views/ring-state.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { founding, id, member, RING_ID } from './views-support.js'

const test = suite('views/join requests')

const LATE_MS = 31_000
/** Signatures that begin with 1 are genuine. */
const SIGNER: Signer = { sign: async () => Uint8Array.of(1), verify: async (_peer, _bytes, [first]) => first === 1 }

function joinRequest(number: number, issuedAtMs: number, signature = Uint8Array.of(1)): JoinRequest {
  return { ringId: RING_ID, member: member(number), addresses: [], issuedAtMs, signature }
}

function durableRingOf(records: readonly MemberRecord[] = [], starts = 0): DurableRing {
  const changes = [{ number: 1, joins: [member(1)], removals: [], founding: founding(3) }]
  const ring = learn(emptyRing(), { ...NO_KNOWLEDGE, changes, records })
  const ready = new Uint32Array(SLOTS)
  const acceptor = { instance: 2 }
  const durable = {
    ring,
    acceptor,
    member: member(1),
    ready,
    released: ready,
    closing: ready,
    closed: ready,
    incomplete: ready,
    leaving: undefined,
    starts,
    formerPeers: undefined
  }
  return new DurableRing(
    { persist: async () => {}, onView() {}, addresses: () => [], signer: SIGNER, isTrusted: () => true },
    id(1),
    'peer-1',
    durable
  )
}

/** Member 1, which takes in join requests as membership does. */
function listener() {
  const clock = new VirtualClock()
  const durableRing = durableRingOf()
  const pings: string[] = []
  const gossip = {
    links: new Map([['peer-2', {}]]),
    request: (to: string, _body: Body, _timeoutMs: number, _done: (answer: Answer) => void) => void pings.push(to)
  } as unknown as Gossip
  const requests = new JoinRequests({
    clock,
    verifier: new Verifier({ clock, log: silent, metrics: noMetrics, signer: SIGNER }),
    durableRing,
    gossip,
    self: { tell: () => true, signal() {}, isOver: false }
  })
  const hear = async (...joins: JoinRequest[]) => {
    durableRing.learn({ ...NO_KNOWLEDGE, joins: await requests.verify(joins) })
    return [...durableRing.ring.joins.keys()]
  }
  const pass = async (ms: number) => {
    await clock.advance(ms)
    requests.tick(clock.elapsed())
    return [...durableRing.ring.joins.keys()]
  }
  return { requests, durableRing, hear, pass, pings }
}

test('a join request with a wrong signature is ignored', async () => {
  const { hear } = listener()
  assert.equal(await hear(joinRequest(3, 1), joinRequest(2, 1, Uint8Array.of(0))), [id(3)])
})

test('a join request is dropped when its joiner does not answer, and kept while it does', async () => {
  const { hear, pass, requests, pings } = listener()
  await hear(joinRequest(2, 1), joinRequest(3, 1))
  assert.equal(await pass(20_000), [id(2), id(3)])
  assert.equal(pings, [id(2), id(3)])
  requests.answered(id(3))
  assert.equal(await pass(LATE_MS - 20_000), [id(3)])
})

test('a dropped join request is not brought back by other peers, and a newer one is accepted', async () => {
  const { hear, pass } = listener()
  await hear(joinRequest(2, 5))
  assert.equal(await pass(LATE_MS), [])
  assert.equal(await hear(joinRequest(2, 5)), [])
  assert.equal(await hear(joinRequest(2, 4)), [])
  assert.equal(await hear(joinRequest(2, 6)), [id(2)])
})

test('the memory of a dropped join request ends as well', async () => {
  const { hear, pass } = listener()
  await hear(joinRequest(2, 5))
  await pass(LATE_MS)
  await pass(300_001)
  assert.equal(await hear(joinRequest(2, 5)), [id(2)])
})

test('an answer of a peer without a join request is not kept', () => {
  const { requests } = listener()
  requests.answered(id(9))
  assert.is(requests.answeredAt.size, 0)
})

test('a restarted member numbers its records above all its earlier ones', async () => {
  const record = {
    storeId: id(1),
    peerId: 'peer-1',
    sequence: 2 ** 21 + 7,
    addresses: [],
    ready: new Uint32Array(SLOTS),
    signature: Uint8Array.of(1)
  }
  const many = durableRingOf([record], 1)
  many.announce()
  await many.commit()
  assert.is(many.ring.records.get(id(1))!.sequence, 2 ** 21 + 8)
  const few = durableRingOf([{ ...record, sequence: 3 }], 1)
  few.announce()
  await few.commit()
  assert.is(few.ring.records.get(id(1))!.sequence, 2 ** 20 + 1)
})

test.run()
