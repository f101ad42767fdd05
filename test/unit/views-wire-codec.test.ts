// Values survive the wire. Any other bytes are refused with BAD_MESSAGE, or give a valid value.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import type { Member } from '../../lib/member.js'
import { CONTROL_PACKET_BYTES_MAX } from '../../lib/network/packet-writer.js'
import * as wire from '../../lib/network/wire.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { type Ballot, ROUND_MAX } from '../../lib/views/ballot.js'
import { checkMember } from '../../lib/views/chain.js'
import type { Departure } from '../../lib/views/departure.js'
import type { JoinRequest, MemberRecord } from '../../lib/views/join.js'
import type { Digest, Knowledge } from '../../lib/views/knowledge.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import type { Proof, Vote } from '../../lib/views/paxos.js'
import { digestOf, emptyRing, lacking, learn } from '../../lib/views/ring-state.js'
import { type Snapshot, snapshotOf } from '../../lib/views/snapshot.js'
import * as forms from '../../lib/views/wire-codec.js'
import { anyChain, founding, holds, id, member, RING_ID, spread, tablesOf, viewsOf } from './views-support.js'

const test = suite('views/wire-codec')

const anyId = fc.integer({ min: 0, max: 2 ** 31 }).map(id)
const anyTable = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 5 }).map(spread)
const anyAddresses = fc.array(fc.string({ maxLength: 40 }), { maxLength: forms.ADDRESSES_MAX })
const anyMember = fc.integer({ min: 1, max: 1 << 20 }).map((number) => member(number))
const anyBallot: fc.Arbitrary<Ballot> = fc.record({ round: fc.nat(ROUND_MAX), storeId: anyId })
const anyRecord: fc.Arbitrary<MemberRecord> = fc.record({
  storeId: anyId,
  peerId: fc.string(),
  sequence: fc.maxSafeNat(),
  addresses: anyAddresses,
  ready: anyTable,
  signature: fc.uint8Array({ maxLength: 70 })
})
const anyJoin: fc.Arbitrary<JoinRequest> = fc.record({
  ringId: anyId,
  member: anyMember,
  addresses: anyAddresses,
  issuedAtMs: fc.maxSafeNat(),
  signature: fc.uint8Array({ maxLength: 70 })
})
const anyDeparture: fc.Arbitrary<Departure> = fc.record({
  ringId: anyId,
  storeId: anyId,
  dead: fc.boolean(),
  peerId: fc.string(),
  force: fc.boolean(),
  issuedAtMs: fc.maxSafeNat(),
  signature: fc.uint8Array({ maxLength: 70 })
})
const anySignature = fc.uint8Array({ maxLength: 70 })
const anySignatures = fc.array(fc.tuple(anyId, anySignature), { maxLength: 4 }).map((list) => new Map(list))
const anyProof: fc.Arbitrary<Proof> = fc.record(
  {
    joins: fc.array(anyJoin, { maxLength: 2 }),
    leaves: fc.array(anyDeparture, { maxLength: 2 }),
    evictions: fc.array(anyId, { maxLength: 3 }),
    ballot: anyBallot,
    promises: anySignatures
  },
  { requiredKeys: ['joins', 'leaves', 'evictions', 'promises'] }
)
/** A snapshot of the chain's newest view, with every slot settled there. */
const anySnapshot: fc.Arbitrary<Snapshot> = anyChain({ viewsMin: 1, viewsMax: 4 }).map((changes) => {
  const view = viewsOf(changes).at(-1)!
  const windows = tablesOf(changes)
    .at(-1)!
    .windows.map((window) => window.slice(-1))
  return snapshotOf(view, { view: view.number, windows })
})
const anyKnowledge: fc.Arbitrary<Knowledge> = fc.record({
  changes: anyChain({ viewsMin: 0, viewsMax: 4 }),
  // A table of zeros has no meaning, and is not sent.
  bases: fc.option(
    anyTable.filter((table) => table.some((value) => value !== 0)),
    { nil: undefined }
  ),
  records: fc.array(anyRecord, { maxLength: 3 }),
  joins: fc.array(anyJoin, { maxLength: 3 }),
  departures: fc.array(anyDeparture, { maxLength: 3 }),
  snapshot: fc.option(anySnapshot, { nil: undefined })
})
const anyDigest: fc.Arbitrary<Digest> = fc.record({
  view: fc.nat(0xffff_ffff),
  basesCrc: fc.nat(0xffff_ffff),
  recordsCrc: fc.nat(0xffff_ffff),
  records: fc.option(
    fc.array(fc.tuple(anyId, fc.maxSafeNat())).map((list) => new Map(list)),
    { nil: undefined }
  ),
  joins: fc.array(anyId).map((list) => new Set(list)),
  departures: fc.array(anyId).map((list) => new Set(list))
})
const anyVote: fc.Arbitrary<Vote> = fc
  .tuple(fc.boolean(), anyBallot, fc.option(anyBallot), anyChain({ viewsMax: 2 }), anyProof, anySignature)
  .map(([granted, promised, ballot, [change], proof, signature]) => ({
    granted,
    promised,
    signature,
    ...(ballot !== null && { accepted: { ballot, change: change!, proof } })
  }))

interface Form<V, W> {
  readonly any: fc.Arbitrary<V>
  readonly to: (value: V) => W
  readonly from: (message: W) => V
  readonly codec: { encode(message: W): Uint8Array; decode(bytes: Uint8Array): W }
}

function form<V, W>(it: Form<V, W>): Form<unknown, unknown> {
  return it as unknown as Form<unknown, unknown>
}

const FORMS: Record<string, Form<unknown, unknown>> = {
  member: form<Member, wire.Member>({
    any: anyMember,
    to: forms.memberToWire,
    from: forms.memberFromWire,
    codec: wire.Member
  }),
  ballot: form<Ballot, wire.Ballot>({
    any: anyBallot,
    to: forms.ballotToWire,
    from: forms.ballotFromWire,
    codec: wire.Ballot
  }),
  vote: form({ any: anyVote, to: forms.promisedToWire, from: forms.promisedFromWire, codec: wire.Promised }),
  record: form({ any: anyRecord, to: forms.recordToWire, from: forms.recordFromWire, codec: wire.MemberRecord }),
  'join request': form({
    any: anyJoin,
    to: forms.joinRequestToWire,
    from: forms.joinRequestFromWire,
    codec: wire.JoinRequest
  }),
  digest: form<Digest, wire.Digest>({
    any: anyDigest,
    to: forms.digestToWire,
    from: forms.digestFromWire,
    codec: wire.Digest
  }),
  knowledge: form({
    any: anyKnowledge,
    to: forms.knowledgeToWire,
    from: forms.knowledgeFromWire,
    codec: wire.Knowledge
  })
}

/** Buffers and plain byte arrays compare as equal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (value instanceof Uint32Array) return value.join()
  if (value instanceof Map || value instanceof Set) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, part]) => (part === undefined ? [] : [[key, plain(part)]]))
  )
}

for (const [name, { any, to, from, codec }] of Object.entries(FORMS)) {
  test(`a ${name} survives the wire`, () => {
    holds(
      fc.property(any, (value) => {
        assert.equal(plain(from(codec.decode(codec.encode(to(value))))), plain(value))
      }),
      40
    )
  })

  test(`a ${name} of broken bytes is BAD_MESSAGE, or a value that can be sent again`, () => {
    const strokes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    const broken = fc.tuple(any, strokes, fc.nat()).map(([value, list, cut]) => {
      const bytes = Uint8Array.from(codec.encode(to(value)))
      for (const [at, byte] of list) if (bytes.length > 0) bytes[at % bytes.length] = byte
      return cut % 4 === 0 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes
    })
    holds(
      fc.property(fc.oneof(broken, fc.uint8Array({ maxLength: 60 })), (bytes) => {
        let message: unknown
        try {
          message = codec.decode(bytes)
        } catch {
          return // The packet reader checks this.
        }
        try {
          to(from(message))
        } catch (thrown) {
          assert.ok(thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE', String(thrown))
        }
      }),
      150
    )
  })
}

function refuses(act: () => unknown): void {
  assert.throws(act, (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE')
}

test('a missing field is refused by name', () => {
  for (const read of [forms.memberFromWire, forms.changeFromWire, forms.ballotFromWire, forms.digestFromWire]) {
    refuses(() => (read as (message: undefined) => unknown)(undefined))
  }
  const ballot = forms.ballotToWire({ round: 1, storeId: id(1) })
  const signature = new Uint8Array(0)
  refuses(() => forms.promisedFromWire({ granted: true, promised: ballot, acceptedBallot: ballot, signature }))
})

test('bounds are checked: rounds, ids, addresses, runs, and the length of a digest', () => {
  const storeId = Buffer.from(id(1), 'hex')
  refuses(() => forms.ballotFromWire({ round: ROUND_MAX + 1, storeId }))
  refuses(() => forms.ballotFromWire({ round: 1, storeId: storeId.subarray(1) }))
  const record = { storeId, peerId: 'p', sequence: 1, addresses: [], ready: [], signature: new Uint8Array(64) }
  refuses(() => forms.recordFromWire({ ...record, addresses: Array.from({ length: 17 }, () => 'a') }))
  refuses(() => forms.recordFromWire({ ...record, addresses: ['a'.repeat(513)] }))
  refuses(() => forms.recordFromWire({ ...record, ready: [{ first: 0, last: SLOTS, value: 1 }] }))
  const records = Array.from({ length: 5000 }, () => ({ storeId, sequence: 1 }))
  const crc = { basesCrc: 0, recordsCrc: 0, recordsOmitted: false }
  refuses(() => forms.digestFromWire({ view: 1, ...crc, records, joins: [], departures: [] }))
})

test('a decoded member lies within its bounds', () => {
  holds(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        checkMember(forms.memberFromWire(wire.Member.decode(bytes)))
      } catch {}
    }),
    300
  )
})

test('knowledge too large for one packet is sent in several, and arrives completely', () => {
  const size = 40
  const members = Array.from({ length: size }, (_, at) => member(at + 1))
  const changes = [{ number: 1, joins: members, removals: [], founding: founding(3) }]
  // The finest possible readiness: another value in every second slot.
  const ready = Uint32Array.from({ length: SLOTS }, (_, slot) => 1 + (slot % 2))
  const rest = { sequence: 1, addresses: [], ready, signature: Uint8Array.of(1) }
  const records = members.map(({ storeId, peerId }) => ({ storeId, peerId, ...rest }))
  const all = learn(emptyRing(), { ...NO_KNOWLEDGE, changes, records })
  let state = emptyRing()
  let messages = 0
  for (; state.records.size < size; messages++) {
    const bytes = wire.Knowledge.encode(forms.knowledgeToWire(lacking(all, digestOf(state))))
    assert.ok(bytes.length < CONTROL_PACKET_BYTES_MAX)
    const before = state.records.size
    state = learn(state, forms.knowledgeFromWire(wire.Knowledge.decode(bytes)))
    assert.ok(state.records.size > before, 'every message brings something')
  }
  assert.ok(messages > 1)
})

test('a chain too large for one packet is sent from its beginning', () => {
  const tokens = Array.from({ length: 4096 }, (_, at) => at * 4)
  const changes = Array.from({ length: 500 }, (_, at) => ({
    number: at + 1,
    joins: [member(at + 1, tokens)],
    removals: []
  }))
  const message = forms.knowledgeToWire({ ...NO_KNOWLEDGE, changes, joins: [joinRequest(999)] })
  assert.ok(message.changes.length > 1 && message.changes.length < changes.length)
  assert.ok(message.changes.every(({ number }, at) => number === at + 1))
  assert.is(message.joins.length, 0)
  assert.ok(wire.Knowledge.encode(message).length < CONTROL_PACKET_BYTES_MAX)
})

function joinRequest(number: number): JoinRequest {
  return { ringId: RING_ID, member: member(number), addresses: [], issuedAtMs: 1, signature: new Uint8Array(64) }
}

test.run()
