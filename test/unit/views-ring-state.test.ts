// How knowledge of the ring grows and spreads: the same pieces in any order end in the same state, and one exchange
// makes two states equal.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { ViewChange } from '../../lib/views/chain.js'
import { newestConfig } from '../../lib/views/configs.js'
import type { JoinRequest, MemberRecord } from '../../lib/views/join.js'
import { isEmpty, type Knowledge, NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import {
  digestOf,
  emptyRing,
  forgetRequests,
  JOINS_MAX,
  lacking,
  lags,
  learn,
  type RingState,
  shortDigestOf,
  since
} from '../../lib/views/ring-state.js'
import { anyChain, founding, holds, id, member, RING_ID, tablesOf } from './views-support.js'

const test = suite('views/ring-state')

function record(number: number, sequence: number, ready: Uint32Array = new Uint32Array(SLOTS)): MemberRecord {
  const addresses = [`/memory/${sequence}`]
  return { storeId: id(number), peerId: `peer-${number}`, sequence, addresses, ready, signature: Uint8Array.of(1) }
}

function join(number: number, issuedAtMs = 1, ringId = RING_ID): JoinRequest {
  return { ringId, member: member(number), addresses: [], issuedAtMs, signature: new Uint8Array(64) }
}

/** Everything in a state that its behaviour depends on, as text. */
function picture(state: RingState): string {
  return JSON.stringify({
    changes: state.changes,
    members: [...(state.view?.members.keys() ?? [])],
    windows: state.configs?.windows.map((window) => window.map(({ begin, owners }) => `${begin}:${owners}`).join(' ')),
    bases: [...state.bases],
    records: [...state.records.values()].map(({ storeId, sequence }) => `${storeId}/${sequence}`).sort(),
    joins: [...state.joins.keys()].sort()
  })
}

/**
 * Pieces of the knowledge of one ring: prefixes of a chain, settled bases, records of members, join requests. Later
 * records of a member are ready for more slots of the same configs, so that no record drops a readiness that another
 * one had.
 */
const anyTruth = anyChain({ viewsMax: 5 }).chain((changes) => {
  const tables = tablesOf(changes)
  const final = tables.at(-1)!
  const members = changes.flatMap(({ joins }) => joins.map(({ storeId }) => Number.parseInt(storeId, 16)))
  const readyUpTo = (share: number) =>
    Uint32Array.from(final.windows, (window, slot) => (slot < share * 4096 ? newestConfig(window).begin : 0))
  const records = fc
    .array(fc.tuple(fc.constantFrom(...members), fc.integer({ min: 0, max: 4 })), { maxLength: 6 })
    .map((list) => list.map(([number, share]) => record(number, share + 1, readyUpTo(share))))
  const joins = fc.array(fc.tuple(fc.integer({ min: 40, max: 44 }), fc.nat(3)), { maxLength: 4 })
  const piece = fc.record({
    length: fc.integer({ min: 1, max: changes.length }),
    at: fc.option(fc.nat(5), { nil: undefined }),
    records,
    joins: joins.map((list) => list.map(([number, at]) => join(number, at)))
  })
  const told = piece.map(({ length, at, ...rest }): Knowledge => {
    const { windows } = tables[length - 1]!
    const bases =
      at === undefined ? undefined : Uint32Array.from(windows, (w, slot) => w[(at * slot) % w.length]!.begin)
    return { changes: changes.slice(0, length), bases, departures: [], ...rest }
  })
  return fc.array(told, { minLength: 1, maxLength: 4 }).map((pieces) => ({ changes, pieces }))
})

function learnAll(pieces: readonly Knowledge[], from: RingState = emptyRing()): RingState {
  return pieces.reduce(learn, from)
}

test('neither the order of arrival nor repetition matters', () => {
  holds(
    fc.property(anyTruth, fc.array(fc.nat(), { minLength: 4, maxLength: 4 }), ({ changes, pieces }, keys) => {
      // The chain comes first, because records of strangers are not kept.
      const start = learn(emptyRing(), { ...NO_KNOWLEDGE, changes })
      const shuffled = pieces.map((piece, at) => [keys[at]!, piece] as const).sort(([a], [b]) => a - b)
      const one = learnAll(pieces, start)
      const other = learnAll([...shuffled.map(([, piece]) => piece), ...pieces], start)
      assert.ok(picture(one) === picture(other))
    }),
    12
  )
})

test('known pieces give the same object back', () => {
  holds(
    fc.property(anyTruth, ({ pieces }) => {
      const state = learnAll(pieces)
      for (const piece of pieces) assert.is(learn(state, { ...piece, records: [], joins: [] }), state)
      assert.is(learn(state, lacking(state, digestOf(emptyRing()))), state)
      assert.is(learn(state, NO_KNOWLEDGE), state)
    }),
    12
  )
})

test('a short digest tells whether records are the same, and a list tells which peer lacks which record', () => {
  const numbers = Array.from({ length: 20 }, (_, at) => at + 1)
  const changes = [{ number: 1, joins: numbers.map((number) => member(number)), removals: [], founding: founding(3) }]
  const told = (sequences: readonly number[]) => {
    const records = numbers.map((number, at) => record(number, sequences[at]!))
    return learn(emptyRing(), { ...NO_KNOWLEDGE, changes, records })
  }
  const all = numbers.map(() => 5)
  const one = told(all)
  const other = told(all.with(3, 6))
  assert.is(shortDigestOf(one).records, undefined, 'there are too many to list')
  assert.is(shortDigestOf(one).recordsCrc, shortDigestOf(told(all)).recordsCrc)
  assert.is.not(shortDigestOf(one).recordsCrc, shortDigestOf(other).recordsCrc)
  assert.is.not(shortDigestOf(told(all.with(2, 6))).recordsCrc, shortDigestOf(other).recordsCrc)
  assert.equal(lacking(other, shortDigestOf(one)).records, [])
  assert.is(lacking(other, digestOf(one)).records.length, 1)
  assert.ok(lags(one, digestOf(other)))
  assert.not.ok(lags(other, digestOf(one)))
  assert.not.ok(lags(one, shortDigestOf(other)), 'what is not listed is not asked for')
})

test('one exchange in both directions makes two states equal', () => {
  holds(
    fc.property(anyTruth, fc.nat(4), ({ pieces }, cut) => {
      let asker = learnAll(pieces.slice(0, cut))
      let answerer = learnAll(pieces.slice(cut))
      const answer = lacking(answerer, digestOf(asker))
      const digest = digestOf(answerer)
      asker = learn(asker, answer)
      answerer = learn(answerer, lacking(asker, digest))
      assert.ok(picture(asker) === picture(answerer))
      assert.ok(isEmpty(lacking(asker, digestOf(answerer))), 'nothing is left to say')
      assert.ok(isEmpty(lacking(answerer, digestOf(asker))))
    }),
    12
  )
})

test('bases never fall, and name a settled config of the window or one beyond the chain', () => {
  holds(
    fc.property(anyTruth, ({ pieces }) => {
      let state = emptyRing()
      for (const piece of pieces) {
        const before = state
        state = learn(state, piece)
        assert.ok(state.bases.every((base, slot) => base >= before.bases[slot]!))
        assert.ok(state.changes.length >= before.changes.length)
        state.configs!.windows.forEach((window, slot) => {
          const base = state.bases[slot]!
          assert.ok(window[0]!.begin === base || base > state.view!.number, `slot ${slot}`)
        })
      }
    }),
    12
  )
})

const CHAIN: ViewChange[] = [
  { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
  { number: 2, joins: [member(2)], removals: [] },
  { number: 3, joins: [member(3)], removals: [] }
]

function ring(length = CHAIN.length): RingState {
  return learn(emptyRing(), { ...NO_KNOWLEDGE, changes: CHAIN.slice(0, length) })
}

test('a chain is not learned beyond a gap', () => {
  assert.is(learn(emptyRing(), { ...NO_KNOWLEDGE, changes: CHAIN.slice(1) }).view, undefined)
  const state = learn(ring(1), { ...NO_KNOWLEDGE, changes: [CHAIN[2]!, CHAIN[1]!] })
  assert.is(state.view!.number, 1, 'the first that leaves a gap')
})

test('a malformed change is refused with its whole message', () => {
  const before = ring(1)
  const bad = [CHAIN[1]!, { number: 3, joins: [member(2)], removals: [] }]
  const isBad = (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
  assert.throws(() => learn(before, { ...NO_KNOWLEDGE, changes: bad, records: [record(1, 9)] }), isBad)
  assert.is(before.view!.number, 1)
  assert.is(before.records.size, 0)
})

test('a base beyond the chain leaves the window uncut until the chain gets there', () => {
  const told = learn(ring(1), { ...NO_KNOWLEDGE, bases: new Uint32Array(SLOTS).fill(3) })
  assert.is(told.configs!.windows[0]!.length, 1)
  assert.equal(
    learn(told, { ...NO_KNOWLEDGE, changes: CHAIN.slice(0, 2) }).configs!.windows[0]!.map((c) => c.begin),
    [1, 2]
  )
  const whole = learn(told, { ...NO_KNOWLEDGE, changes: CHAIN })
  assert.equal(
    whole.configs!.windows[0]!.map((c) => c.begin),
    [3]
  )
})

test('of one member the record with the highest sequence is kept, and a record under another peer id is not', () => {
  let state = learn(ring(), { ...NO_KNOWLEDGE, records: [record(1, 5), record(1, 4), record(9, 1)] })
  assert.equal(
    [...state.records.values()].map(({ sequence }) => sequence),
    [5]
  )
  state = learn(state, { ...NO_KNOWLEDGE, records: [{ ...record(1, 7), peerId: 'peer-2' }] })
  assert.is(state.records.get(id(1))!.sequence, 5)
})

test('a record that completes a ready quorum moves the base at once', () => {
  const ready = new Uint32Array(SLOTS).fill(3)
  const state = learn(ring(), { ...NO_KNOWLEDGE, records: [record(1, 1, ready), record(2, 1, ready)] })
  assert.ok(state.bases.every((base) => base === 3))
  assert.is(state.configs!.windows[5]!.length, 1)
})

test('join requests are kept for this ring only, the newest of each joiner, until it is a member', () => {
  let state = learn(ring(2), { ...NO_KNOWLEDGE, joins: [join(3, 5), join(4, 5, 'e'.repeat(32)), join(1), join(3, 4)] })
  assert.equal(
    [...state.joins.values()].map(({ issuedAtMs }) => issuedAtMs),
    [5]
  )
  state = learn(state, { ...NO_KNOWLEDGE, joins: [join(3, 6)] })
  assert.is(state.joins.get(id(3))!.issuedAtMs, 6)
  assert.is(learn(state, { ...NO_KNOWLEDGE, changes: CHAIN }).joins.size, 0)
  assert.is(
    learn(emptyRing(), { ...NO_KNOWLEDGE, joins: [join(3)] }).joins.size,
    0,
    'without a ring there is nothing to join'
  )
})

test('the number of join requests is bounded, and kept ones may still be renewed', () => {
  const joins = Array.from({ length: JOINS_MAX + 5 }, (_, at) => join(100 + at))
  let state = learn(ring(), { ...NO_KNOWLEDGE, joins })
  assert.is(state.joins.size, JOINS_MAX)
  state = learn(state, { ...NO_KNOWLEDGE, joins: [join(100, 9), join(999)] })
  assert.is(state.joins.size, JOINS_MAX)
  assert.is(state.joins.get(id(100))!.issuedAtMs, 9)
  assert.not(state.joins.has(id(999)))
  assert.ok(learn(forgetRequests(state, [id(101)]), { ...NO_KNOWLEDGE, joins: [join(999)] }).joins.has(id(999)))
  assert.is(forgetRequests(state, [id(5)]), state)
})

test('a peer refused for an older view is sent the rest of the chain and every base', () => {
  const state = ring()
  assert.equal(since(state, 1).changes, CHAIN.slice(1))
  assert.is(since(state, 1).bases, state.bases)
  assert.is(learn(ring(1), since(state, 1)).view!.number, 3)
  assert.ok(picture(learn(emptyRing(), since(state, 0))) === picture(state))
})

test('a digest of an unknown newer view needs no part of the chain', () => {
  assert.equal(lacking(ring(1), digestOf(ring(3))).changes, [])
  assert.ok(isEmpty(lacking(emptyRing(), digestOf(ring(3)))))
})

test.run()
