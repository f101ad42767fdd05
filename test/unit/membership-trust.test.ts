// What membership believes of others: views by the votes of a majority, records and requests by signatures, and
// unverifiable chains by a majority of tellers. Also the bounds on what liars cost.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ChainTrust } from '../../lib/actors/membership/chain-trust.js'
import { DurableRing } from '../../lib/actors/membership/durable-ring.js'
import type { Gossip } from '../../lib/actors/membership/gossip.js'
import { JoinRequests } from '../../lib/actors/membership/join-requests.js'
import { KeptPeers } from '../../lib/actors/membership/kept-peers.js'
import { Learning } from '../../lib/actors/membership/learning.js'
import { Verifier } from '../../lib/actors/membership/verifier.js'
import { fromText } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { type Fields, type Logger, silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Link, Network } from '../../lib/network/network.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { TOKENS_PER_WEIGHT, tokenCount } from '../../lib/ring/tokens.js'
import { applyChange, checkMember, type View, type ViewChange } from '../../lib/views/chain.js'
import type { JoinRequest, MemberRecord } from '../../lib/views/join.js'
import { type Knowledge, NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import type { MoveLimit } from '../../lib/views/move-limit.js'
import { compact, emptyRing, JOINS_MAX, learn, type RingState } from '../../lib/views/ring-state.js'
import { voteStatement } from '../../lib/views/votes.js'
import { signedPart, signedRecord } from '../../lib/views/wire-codec.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { signerOf } from '../sim/sim-node.js'
import { founding, id, member, RING_ID } from './views-support.js'

const test = suite('membership: trust')

const FOUNDED: ViewChange = {
  number: 1,
  joins: [1, 2, 3, 4, 5].map((number) => member(number)),
  removals: [],
  founding: founding(3)
}
const BALLOT = { round: 1, storeId: id(2) }

/** The change with the votes of these members; `forged` ones are signed by peer-2 in their names. */
async function voted(before: View, change: ViewChange, by: readonly number[], forged: readonly number[] = []) {
  const bytes = voteStatement(before, BALLOT, change)
  const signatures = new Map<string, Uint8Array>()
  for (const number of by) signatures.set(id(number), await signerOf(`peer-${number}`).sign(bytes))
  for (const number of forged) signatures.set(id(number), await signerOf('peer-2').sign(bytes))
  return { ...change, votes: { ballot: BALLOT, signatures } }
}

function keptLog(): { readonly lines: string[]; readonly log: Logger } {
  const lines: string[] = []
  const keep = (_fields: Fields, message: string) => void lines.push(message)
  const log = { debug() {}, info: keep, warn: keep, error: keep, child: () => log }
  return { lines, log }
}

/** Membership of member 1, as far as it learns. It was told to join by peer-9. */
function learner(ring: RingState = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: [FOUNDED] }), ringId?: string) {
  const clock = new VirtualClock()
  const { lines, log } = keptLog()
  const table = new Uint32Array(SLOTS)
  const rest = { member: member(1), ready: table, leaving: undefined, starts: 0, formerPeers: undefined }
  const durable = { ring, acceptor: { instance: (ring.view?.number ?? 0) + 1 }, ...rest }
  const deps = { persist: async () => {}, onView() {}, addresses: () => [], isTrusted: () => true }
  const durableRing = new DurableRing({ ...deps, signer: signerOf('peer-1') }, id(1), 'peer-1', durable)
  const verified: string[] = []
  const own = signerOf('peer-1')
  const signer = {
    ...own,
    verify: (...args: Parameters<typeof own.verify>) => {
      verified.push(args[0])
      return own.verify(...args)
    }
  }
  const verifier = new Verifier({ clock, log, metrics: noMetrics, signer })
  const gossip = { rumor() {}, links: new Map(), request() {} } as unknown as Gossip
  const self = { tell: () => true, signal() {}, isOver: false }
  const joinRequests = new JoinRequests({ clock, verifier, durableRing, gossip, self })
  const isSeed = (peerId: string) => peerId === 'peer-9'
  const chainTrust = new ChainTrust({ log, metrics: noMetrics, durableRing, verifier, isSeed, ringId })
  const departureRequests = { verify: async () => [] } as never
  const limiting = { taken: (limit: MoveLimit | undefined) => limit }
  const requests = { joinRequests, departureRequests, limiting }
  const learning = new Learning({ log, durableRing, gossip, verifier, chainTrust, ...requests })
  const tell = async (knowledge: Partial<Knowledge>, from = 'peer-2') => {
    const told = learning.learnPushed({ ...NO_KNOWLEDGE, ...knowledge }, from)
    let isOver = false
    const over = told.then(
      () => undefined,
      (thrown) => thrown
    )
    void over.then(() => {
      isOver = true
    })
    // A verifier takes a breath now and then, until the turn of the event loop is over.
    await clock.runUntil(() => isOver, 1000)
    const error = await over
    return { number: durableRing.ring.view?.number ?? 0, error }
  }
  return { clock, lines, durableRing, joinRequests, tell, verified }
}

const VIEW = applyChange(undefined, FOUNDED)
const NEXT: ViewChange = { number: 2, joins: [member(6)], removals: [] }

test('a view is believed with the votes of a majority of the view before, whoever brings it', async () => {
  const { tell } = learner()
  assert.is((await tell({ changes: [await voted(VIEW, NEXT, [2, 3, 4])] }, 'a stranger')).number, 2)
})

test('a view is not believed with too few votes, with a forged one, or with the votes of others', async () => {
  for (const votes of [
    voted(VIEW, NEXT, [2, 3]),
    voted(VIEW, NEXT, [2, 3], [4]),
    voted(VIEW, NEXT, [2, 3, 6]),
    voted(VIEW, { ...NEXT, joins: [member(7)] }, [2, 3, 4]).then((change) => ({ ...change, joins: NEXT.joins })),
    voted(VIEW, NEXT, [2, 3, 4]).then((change) => ({
      ...change,
      votes: { ...change.votes, ballot: { ...BALLOT, round: 2 } }
    })),
    voted({ ...VIEW, founding: { ...founding(3), ringId: 'e'.repeat(32) } }, NEXT, [2, 3, 4])
  ]) {
    const { tell } = learner()
    assert.is((await tell({ changes: [await votes] })).number, 1)
  }
})

test('of a chain the part before the first wrong view is believed', async () => {
  const { tell } = learner()
  const good = await voted(VIEW, NEXT, [2, 3, 4])
  const bad = await voted(applyChange(VIEW, NEXT), { number: 3, joins: [], removals: [id(3)] }, [2, 3, 4], [5])
  assert.is((await tell({ changes: [FOUNDED, good, bad] })).number, 2)
})

test('a peer that knows no ring believes only those that it was told to join by', async () => {
  const { tell } = learner(emptyRing())
  assert.is((await tell({ changes: [FOUNDED] })).number, 0)
  assert.is((await tell({ changes: [FOUNDED] }, 'peer-9')).number, 1)
})

test('a peer that was told the ring to join does not join another one', async () => {
  const other = learner(emptyRing(), 'e'.repeat(32))
  assert.is((await other.tell({ changes: [FOUNDED] }, 'peer-9')).number, 0)
  const same = learner(emptyRing(), RING_ID)
  assert.is((await same.tell({ changes: [FOUNDED] }, 'peer-9')).number, 1)
})

test('a peer that missed too many views believes a majority of the members that it knows, each once', async () => {
  const grown = learn(emptyRing(), {
    ...NO_KNOWLEDGE,
    changes: [FOUNDED, NEXT],
    bases: new Uint32Array(SLOTS).fill(2)
  })
  const bases = Uint32Array.from(grown.configs!.windows, (window) => window.at(-1)!.begin)
  const settled = learn(grown, { ...NO_KNOWLEDGE, bases })
  const { snapshot, changes } = compact(settled, { changesMax: 1, bytesMax: 2 ** 20 })
  assert.ok(snapshot)
  const { tell, lines } = learner()
  for (const from of ['peer-2', 'peer-2', 'peer-2', 'peer-9']) {
    assert.is((await tell({ snapshot, changes }, from)).number, 1)
  }
  assert.equal(lines, [], 'one member alone raises no alarm')
  assert.is((await tell({ snapshot, changes }, 'peer-3')).number, 1)
  assert.ok(lines[0]!.includes('missed too many views'))
  assert.is(
    (await tell({ snapshot: { ...snapshot!, members: [member(2)] }, changes }, 'peer-4')).number,
    1,
    'another one'
  )
  assert.is((await tell({ snapshot, changes }, 'peer-5')).number, 2)
  assert.ok(lines.at(-1)!.includes('knows the newest view again'))
})

/** The state after these changes, in which every slot has settled, with a snapshot of view `cut`. */
function settledWith(changes: readonly ViewChange[], cut: number): RingState {
  const settled = (state: RingState) => {
    const bases = Uint32Array.from(state.configs!.windows, (window) => window.at(-1)!.begin)
    return learn(state, { ...NO_KNOWLEDGE, bases })
  }
  const before = settled(learn(emptyRing(), { ...NO_KNOWLEDGE, changes: changes.slice(0, cut) }))
  return settled(
    learn(compact(before, { changesMax: 0, bytesMax: 2 ** 20 }), { ...NO_KNOWLEDGE, changes: changes.slice(cut) })
  )
}

const GROWN: readonly ViewChange[] = [
  FOUNDED,
  NEXT,
  { number: 3, joins: [], removals: [id(6)] },
  { number: 4, joins: [member(7)], removals: [] }
]

test('a snapshot is believed when a majority tells the same in all that honest members agree on', async () => {
  const { snapshot } = settledWith(GROWN, 4)
  assert.ok(snapshot)
  const { former } = snapshot
  assert.equal(former, [{ storeId: id(6), peerId: 'peer-6', lost: false }])
  for (const part of [
    { begins: snapshot.begins.map((begin, slot) => (slot === 7 ? begin + 1 : begin)) },
    { begins: new Uint32Array(SLOTS).fill(1) },
    { former: [] },
    { former: [{ ...former[0]!, lost: true }] },
    { former: [{ ...former[0]!, peerId: 'peer-9' }] },
    { former: [...former, { storeId: id(8), peerId: 'peer-8', lost: false }] }
  ]) {
    const { tell, durableRing } = learner()
    const forged = { snapshot: { ...snapshot, ...part } }
    assert.is((await tell({ snapshot }, 'peer-2')).number, 1)
    assert.is((await tell({ snapshot }, 'peer-3')).number, 1)
    // The last one of a majority would bring what is learned.
    assert.is((await tell(forged, 'peer-4')).number, 1, JSON.stringify(Object.keys(part)))
    assert.is((await tell(forged, 'peer-4')).number, 1)
    assert.is((await tell({ snapshot }, 'peer-5')).number, 4)
    assert.equal(durableRing.ring.snapshot, snapshot)
  }
})

test('members that made their snapshots at different views tell the same, once they have told it again', async () => {
  const { tell, durableRing } = learner()
  const tellers = [2, 3, 4].map((cut, at) => ({ from: `peer-${at + 2}`, state: settledWith(GROWN, cut) }))
  const chainOf = ({ snapshot, changes }: RingState) => ({ snapshot, changes })
  for (const { from, state } of tellers) assert.is((await tell(chainOf(state), from)).number, 1)
  assert.is((await tell(chainOf(tellers[0]!.state), tellers[0]!.from)).number, 1)
  assert.is((await tell(chainOf(tellers[1]!.state), tellers[1]!.from)).number, 4)
  assert.equal(
    durableRing.ring.configs!.windows.map((window) => window.at(-1)),
    tellers[2]!.state.configs!.windows.map((window) => window.at(-1))
  )
})

test('a member that lies about the past of a ring cannot correct itself for the same view', async () => {
  const { tell } = learner()
  const { snapshot } = settledWith(GROWN, 4)
  const forged = { snapshot: { ...snapshot!, begins: new Uint32Array(SLOTS).fill(1) } }
  for (const from of ['peer-2', 'peer-3']) await tell({ snapshot }, from)
  await tell(forged, 'peer-4')
  assert.is((await tell({ snapshot }, 'peer-4')).number, 1, 'one computation for one member')
  assert.is((await tell({ snapshot }, 'peer-2')).number, 1)
  assert.is((await tell({ snapshot }, 'peer-5')).number, 4)
})

test('who is believed about the chain is not believed about the rest that it tells with it', async () => {
  const records = [await signed(recordOf(2, 1)), await signed(recordOf(3, 9), 'peer-9')]
  const joiner = learner(emptyRing())
  await joiner.tell(
    { changes: [FOUNDED], records, joins: [{ ...(await joinOf(50)), signature: fromText('none') }] },
    'peer-9'
  )
  assert.is(joiner.durableRing.ring.view?.number, 1)
  assert.equal([...joiner.durableRing.ring.records.keys()], [id(2)])
  assert.is(joiner.durableRing.ring.joins.size, 0)
  const { tell, durableRing } = learner()
  for (const from of ['peer-2', 'peer-3', 'peer-4']) await tell({ changes: [NEXT], records }, from)
  assert.is(durableRing.ring.view?.number, 2)
  assert.equal([...durableRing.ring.records.keys()], [id(2)])
})

function recordOf(number: number, sequence: number): Omit<MemberRecord, 'signature'> {
  return { storeId: id(number), peerId: `peer-${number}`, sequence, addresses: [], ready: new Uint32Array(SLOTS) }
}

async function signed(record: Omit<MemberRecord, 'signature'>, by = record.peerId): Promise<MemberRecord> {
  const draft = { ...record, signature: new Uint8Array(0) }
  return { ...draft, signature: await signerOf(by).sign(signedRecord(draft)) }
}

test('a record is believed when its member has signed it, and verified only when it is news', async () => {
  const { tell, durableRing, verified } = learner()
  await tell({ records: [await signed(recordOf(2, 5)), await signed(recordOf(7, 5))] })
  assert.equal([...durableRing.ring.records.keys()], [id(2)])
  await tell({ records: [await signed(recordOf(2, 5)), await signed(recordOf(2, 4))] })
  assert.equal(verified, ['peer-2'])
  const { error } = await tell({ records: [await signed(recordOf(3, 1), 'peer-2')] })
  assert.is((error as RingdError).code, 'BAD_MESSAGE')
  assert.is(durableRing.ring.records.size, 1)
})

test('a wrong signature ends the work on its message, and the log has one line a minute', async () => {
  const { tell, verified, lines, clock } = learner()
  const records = await Promise.all([2, 3, 4, 5].map((number) => signed(recordOf(number, 1), 'peer-9')))
  for (let time = 0; time < 5; time++) await tell({ records })
  assert.is(verified.length, 5)
  assert.is(lines.length, 1)
  await clock.advance(60_000)
  await tell({ records })
  assert.is(lines.length, 2)
})

test('bases are believed from members and owners, and from no other peer', async () => {
  const bases = new Uint32Array(SLOTS).fill(2)
  const { tell, durableRing } = learner()
  await tell({ bases }, 'a stranger')
  assert.is(durableRing.ring.bases[0], 1)
  await tell({ bases }, 'peer-3')
  assert.is(durableRing.ring.bases[0], 2)
})

async function joinOf(number: number): Promise<JoinRequest> {
  const request = { ringId: RING_ID, member: member(number), addresses: [`/memory/${number}`], issuedAtMs: 1 }
  return { ...request, signature: await signerOf(`peer-${number}`).sign(signedPart(request)) }
}

test('a join request comes from its joiner or from a member, and one member brings only a share of them', async () => {
  const { tell, durableRing } = learner()
  await tell({ joins: [await joinOf(50)] }, 'peer-51')
  assert.is(durableRing.ring.joins.size, 0)
  await tell({ joins: [await joinOf(50)] }, 'peer-50')
  assert.is(durableRing.ring.joins.size, 1)
  const many = await Promise.all(Array.from({ length: JOINS_MAX }, (_, at) => joinOf(100 + at)))
  await tell({ joins: many }, 'peer-2')
  assert.is(durableRing.ring.joins.size, 1 + JOINS_MAX / 4)
  await tell({ joins: [await joinOf(51)] }, 'peer-51')
  assert.ok(durableRing.ring.joins.has(id(51)), 'a joiner is heard though a member has brought its share')
})

test('an address of a join request is dialled only while its joiner is linked', async () => {
  const { tell, durableRing } = learner()
  const records = [await signed({ ...recordOf(2, 1), addresses: ['/memory/2'] })]
  await tell({ joins: [await joinOf(50), await joinOf(51)], records })
  let kept: ReadonlyMap<string, readonly string[]> = new Map()
  const linked: Link = { peerId: 'peer-51', ringId: '', storeId: id(51) }
  const network = {
    introduce() {},
    keep: (peers: typeof kept) => {
      kept = peers
    },
    link: (peerId: string) => (peerId === 'peer-51' ? linked : undefined)
  } as unknown as Network
  new KeptPeers({ network, durableRing }).refresh()
  assert.equal(kept.get('peer-2'), ['/memory/2'])
  assert.equal(kept.get('peer-51'), ['/memory/51'])
  assert.is(kept.get('peer-50'), undefined)
})

test('a member has at most the tokens of its weight', () => {
  const tokens = Array.from({ length: TOKENS_PER_WEIGHT + 1 }, (_, at) => at)
  checkMember({ ...member(1), tokens: tokens.slice(1) })
  assert.throws(() => checkMember({ ...member(1), tokens }), /1\.\.64 tokens/)
  checkMember({ ...member(1), tokens, weight: 1.5 })
  assert.is(tokenCount(0.001), 1)
})

test('a verifier asks once for each good signature, and takes a signer that throws for a no', async () => {
  let asked = 0
  const signer = {
    sign: async () => new Uint8Array(0),
    verify: async (peerId: string) => {
      asked += 1
      if (peerId === 'nonsense') throw new RingdError('INTERNAL', 'no peer id')
      return true
    }
  }
  const verifier = new Verifier({ clock: new VirtualClock(), log: silent, metrics: noMetrics, signer })
  const claim = { peerId: 'peer-1', statement: fromText('a'), signature: fromText('b') }
  assert.ok(await verifier.holds('votes', [claim, claim, { ...claim }]))
  assert.is(asked, 1)
  assert.not(await verifier.holds('votes', [claim, { ...claim, peerId: 'nonsense' }]))
})

test('a signature that was good for one statement is not taken as good for a part of it', async () => {
  const good = { peerId: 'peer-1', statement: fromText('a\nb'), signature: fromText('c') }
  const signer = {
    sign: async () => new Uint8Array(0),
    verify: async (_peerId: string, statement: Uint8Array) => statement === good.statement
  }
  const verifier = new Verifier({ clock: new VirtualClock(), log: silent, metrics: noMetrics, signer })
  assert.ok(await verifier.holds('votes', [good]))
  assert.not(await verifier.holds('votes', [{ ...good, statement: fromText('a'), signature: fromText('b\nc') }]))
})

test.run()
