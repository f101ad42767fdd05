// Peers that speak the wire of a ring and are no members of it: what they may ask, and that they harm no work of
// members.
// time limit: 300 s
// virtual time
import { crc32 } from 'node:zlib'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ADMISSION, type RequestKind } from '../../lib/actors/admission.js'
import { fromHex } from '../../lib/bytes.js'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import type { Answer, Body } from '../../lib/network/network.js'
import { Frame } from '../../lib/network/wire.js'
import { below, pick, type Random } from '../../lib/random.js'
import { slotOf } from '../../lib/ring/slots.js'
import { type RawPeerOptions, rawPeer } from '../sim/harness/raw-peer.js'
import type { MemoryNetwork } from '../sim/seams/memory-network.js'
import { seeded } from '../sim/sim-node.js'
import { SimRing } from '../sim/sim-ring.js'

const test = suite('node/strangers')

const QUICK = { repairEveryMs: 2000, evictAfterMs: 0 }

/** A raw peer that is linked to all nodes. */
async function strangerOf(ring: SimRing, storeId: string, more: Partial<RawPeerOptions> = {}): Promise<MemoryNetwork> {
  const network = await rawPeer(ring, { peerId: 'stranger', storeId, ...more })
  for (const node of ring.running) await ring.wait(network.dial(node.network.addresses()[0]!, 1000))
  return network
}

function ask(ring: SimRing, network: MemoryNetwork, kind: RequestKind, body: Body): Promise<Answer> {
  return ring.wait(new Promise((resolve) => network.request('n0', ADMISSION[kind].streams[0]!, body, 3000, resolve)))
}

function requestsOf(view: number, member: string): Readonly<Record<RequestKind, Body>> {
  const empty = new Uint8Array(0)
  const ranges = [{ first: 0, last: 16383 }]
  const ballot = { round: 1, storeId: fromHex(member) }
  const change = { number: view + 1, joins: [], removals: [fromHex(member)], lost: [], votes: [] }
  const scope = { view, first: 0, last: 16383, digest: 0 }
  return {
    read: { read: { view, key: Buffer.from('key') } },
    write: { write: { view, key: Buffer.from('key'), envelope: empty } },
    prepareKey: { prepareKey: { view, key: Buffer.from('key'), ballot: new Uint8Array(16), origins: [] } },
    ping: { ping: { view } },
    who: { who: { challenge: empty } },
    twin: { twin: { other: undefined } },
    pingThrough: { pingThrough: { member: fromHex(member) } },
    exchange: { exchange: { digest: undefined } },
    learn: { learn: { changes: [], bases: [], records: [], joins: [], departures: [] } },
    prepare: { prepare: { instance: view + 1, ballot, evictions: [] } },
    accept: { accept: { instance: view + 1, ballot, change } },
    compare: { compare: { view, config: 1, ranges } },
    offer: { offer: { view, config: 1, block: empty, crc: 0, versionsOnly: false } },
    close: { close: { view, config: 1, ranges, before: 1, step: 0 } },
    tally: { tally: { view, ranges } },
    askTransfers: { askTransfers: { view, ended: 100 } },
    repairSums: { repairSums: { ...scope, level: 0, sums: empty } },
    repairVersions: { repairVersions: { ...scope, list: empty, crc: 0 } },
    repairEntries: { repairEntries: { ...scope, block: empty, crc: 0 } }
  }
}

async function ringOf(seed: number): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(['n0', 'n1', 'n2'], QUICK)
  await ring.untilWhole(3)
  await ring.wait(ring.node('n0').put('key', 'value'))
  return ring
}

test('a peer that claims the id of a member is answered nothing, of any kind', async () => {
  const ring = await ringOf(81)
  const { storeId } = ring.node('n1').node
  const network = await strangerOf(ring, storeId)
  const view = ring.node('n0').node.view!.number
  for (const [kind, body] of Object.entries(requestsOf(view, storeId)) as [RequestKind, Body][]) {
    const answer = await ask(ring, network, kind, body)
    assert.is(answer instanceof RingdError && answer.code, 'BAD_REQUEST', kind)
  }
  ring.close()
})

test('a peer that is no member reads, writes, pulls and closes nothing, whatever view it names', async () => {
  const ring = await ringOf(82)
  const member = ring.node('n1').node.storeId
  const network = await strangerOf(ring, 'ee'.repeat(16))
  const { number } = ring.node('n0').node.view!
  for (const view of [1, number, number + 1, 4_000_000]) {
    for (const [kind, body] of Object.entries(requestsOf(view, member)) as [RequestKind, Body][]) {
      if (ADMISSION[kind].who.includes('joiner')) continue
      const answer = await ask(ring, network, kind, body)
      const code = view > number && kind !== 'pingThrough' ? 'BEHIND' : 'BAD_REQUEST'
      assert.is(answer instanceof RingdError && answer.code, code, `${kind} of view ${view}`)
    }
  }
  assert.is(await ring.wait(ring.node('n1').get('key')), 'value')
  assert.is(ring.node('n0').node.view!.number, number)
  ring.close()
})

test('links that claim the id of a member do not put off its repair', async () => {
  const ring = await ringOf(83)
  // Of two members the one with the lower id begins the rounds.
  const [first, , last] = ring.running.sort((a, b) => (a.node.storeId < b.node.storeId ? -1 : 1))
  const { storeId } = last!.node
  const until = ring.clock.elapsed() + 30_000
  while (ring.clock.elapsed() < until) {
    const network = await strangerOf(ring, storeId)
    await ring.clock.advance(1000)
    await ring.wait(network.stop())
    ring.hub.kill('stranger')
    await ring.clock.advance(500)
  }
  const { rounds } = await ring.wait(first!.node.repair())
  const ageMs = rounds.find((round) => round.storeId === storeId)!.agoMs
  assert.ok(ageMs !== null && ageMs < 5000, `the last round was ${ageMs} ms ago`)
  ring.close()
})

test('the clock of a member follows members, and no other peer', async () => {
  const ring = await ringOf(84)
  const stamps: number[] = []
  const network = await strangerOf(ring, 'ee'.repeat(16), { stamps, aheadMs: 4900 })
  for (let count = 0; count < 20; count++) await ask(ring, network, 'ping', { ping: { view: 1 } })
  assert.ok(stamps.length > 20)
  assert.ok(Math.max(...stamps) < 100, `${Math.max(...stamps)} ms ahead`)
  ring.kill('n2')
  await ring.start('n2', { ...QUICK, skewMs: 2000 })
  await ring.untilWhole(3)
  stamps.length = 0
  for (let count = 0; count < 20; count++) await ask(ring, network, 'ping', { ping: { view: 1 } })
  assert.ok(Math.max(...stamps) > 1500, 'a member whose clock is ahead is followed')
  ring.close()
})

/** What a field may hold besides what it should. */
const NUMBERS = [0, 1, 2, 3, 16383, 16384, 65536, 2 ** 31, 2 ** 32 - 1]

/** The body with some of its fields replaced; checksums are right for half of the blocks. */
function mutated(random: Random, body: Body, keep: Body): Body {
  const bytes = (): Uint8Array => {
    const kind = below(random, 4)
    if (kind === 0) return new Uint8Array(0)
    if (kind === 1) return dataKey(slotOf(Buffer.from('key')), Buffer.from('key'))
    return random.bytes(below(random, kind === 2 ? 64 : 4096))
  }
  const change = (value: unknown): unknown => {
    if (Array.isArray(value)) {
      const items = value.length === 0 ? [{ first: 0, last: 0 }] : value
      return Array.from({ length: below(random, 4) }, () => change(items[below(random, items.length)]))
    }
    if (random.next() < 0.4) return value
    if (typeof value === 'number') return pick(random, NUMBERS)
    if (typeof value === 'boolean') return random.next() < 0.5
    if (value instanceof Uint8Array) return bytes()
    if (typeof value !== 'object' || value === null) return value
    const made = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, change(inner)]))
    for (const name of ['block', 'list', 'sums']) {
      if (made[name] instanceof Uint8Array && random.next() < 0.5) made['crc'] = crc32(made[name])
    }
    if ('keys' in made) made['keys'] = Array.from({ length: below(random, 4) }, bytes)
    return made
  }
  const [kind, fields] = Object.entries(body)[0]!
  const made = { [kind]: change(fields) } as Body
  return isEncodable(made) ? made : keep
}

/** Whether the writer takes it: what it refuses never reaches the wire. */
function isEncodable(body: Body): boolean {
  try {
    return Frame.encode({ id: 1, answer: false, ...body }).length < MiB
  } catch {
    return false
  }
}

test('nonsense of a member, of every kind, is answered and ends no node', async () => {
  const ring = await ringOf(85)
  const { storeId } = ring.node('n2').node
  const { number } = ring.node('n0').node.view!
  const digest = { view: 0, basesCrc: 0, records: [], joins: [], departures: [], recordsCrc: 0, recordsOmitted: false }
  const requests = { ...requestsOf(number, storeId), exchange: { exchange: { digest } } }
  ring.kill('n2')
  const network = await strangerOf(ring, storeId, { peerId: 'n2' })
  const failed: unknown[] = []
  for (const { node } of ring.running) void node.failed.then((error) => failed.push(error))
  const random = seeded(86)
  const codes = new Map<string, number>()
  // Votes and views are the matter of other tests.
  const kinds = (Object.keys(ADMISSION) as RequestKind[]).filter(
    (kind) => !['learn', 'prepare', 'accept'].includes(kind)
  )
  for (let round = 0; round < 150; round++) {
    for (const kind of kinds) {
      const answer = await ask(ring, network, kind, mutated(random, requests[kind], requests[kind]))
      const code = answer instanceof RingdError ? answer.code : 'answered'
      codes.set(code, (codes.get(code) ?? 0) + 1)
      assert.is.not(code, 'INTERNAL', `${kind}: ${answer instanceof RingdError ? answer.message : ''}`)
    }
  }
  assert.equal(failed, [])
  for (const code of ['answered', 'BAD_MESSAGE', 'BAD_REQUEST', 'BAD_ENTRY']) assert.ok(codes.has(code), code)
  await ring.wait(network.stop())
  ring.hub.kill('n2')
  await ring.start('n2', QUICK)
  await ring.untilWhole(3)
  await ring.wait(ring.node('n1').put('after', 'value'))
  assert.is(await ring.wait(ring.node('n0').get('after')), 'value')
  ring.close()
})

test.run()
