// Snapshots: a peer that learns from a snapshot knows the same as one that followed the whole chain.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { ViewChange } from '../../lib/views/chain.js'
import { beginsDigest, endDigest } from '../../lib/views/chain-digest.js'
import { newestConfig } from '../../lib/views/configs.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { compact, digestOf, emptyRing, lacking, learn, type RingState } from '../../lib/views/ring-state.js'
import { checkSnapshot, FORMER_MAX, snapshotOf, viewOfSnapshot } from '../../lib/views/snapshot.js'
import { anyChain, founding, holds, id, member, RING_ID, tablesOf, viewsOf } from './views-support.js'

const test = suite('views/snapshot')

/** A state that knows the chain, with every slot settled in its newest config. */
function settledState(changes: readonly ViewChange[]): RingState {
  const newest = tablesOf(changes).at(-1)!
  const bases = Uint32Array.from(newest.windows, (window) => newestConfig(window).begin)
  return learn(emptyRing(), { ...NO_KNOWLEDGE, changes, bases })
}

function limits(changesMax: number) {
  return { changesMax, bytesMax: 2 ** 20 }
}

function shapeOf({ view, configs, bases }: RingState): unknown {
  const windows = configs!.windows.map((window) => window.map(({ begin, owners }) => `${begin}:${owners}`).join(' '))
  return { number: view!.number, members: [...view!.members.keys()].sort(), windows, bases }
}

test('a chain and its snapshot give the same windows, also after further views', () => {
  const halves = anyChain({ viewsMin: 2, viewsMax: 7 }).chain((changes) =>
    fc.record({
      changes: fc.constant(changes),
      cut: fc.integer({ min: 1, max: changes.length }),
      behind: fc.nat(changes.length)
    })
  )
  holds(
    fc.property(halves, ({ changes, cut, behind }) => {
      const whole = settledState(changes.slice(0, cut))
      const short = compact(whole, limits(0))
      assert.is(short.changes.length, 0)
      assert.equal(shapeOf(short), shapeOf(whole))
      // A peer that knows less, or nothing, learns the same from the snapshot.
      const late = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: changes.slice(0, Math.min(behind, cut)) })
      const taught = learn(late, lacking(short, digestOf(late)))
      assert.equal(shapeOf(taught), shapeOf(whole))
      // Both continue in the same way.
      const rest = { ...NO_KNOWLEDGE, changes: changes.slice(cut) }
      assert.equal(shapeOf(learn(short, rest)), shapeOf(learn(whole, rest)))
      assert.equal(shapeOf(learn(taught, rest)), shapeOf(learn(whole, rest)))
    }),
    40
  )
})

test('a chain is kept view by view while a slot moves, and while it is short', () => {
  const changes = [
    { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
    { number: 2, joins: [member(2)], removals: [] }
  ]
  const moving = learn(emptyRing(), { ...NO_KNOWLEDGE, changes })
  assert.is(compact(moving, limits(0)), moving)
  const settled = settledState(changes)
  assert.is(compact(settled, limits(2)), settled)
  assert.is(compact(settled, limits(1)).snapshot?.number, 2)
})

test('a peer that is ahead of a snapshot, or in another ring, ignores it', () => {
  const changes = [
    { number: 1, joins: [member(1)], removals: [], founding: founding(3) },
    { number: 2, joins: [member(2)], removals: [] }
  ]
  const state = settledState(changes)
  const { snapshot } = compact(settledState(changes.slice(0, 1)), limits(0))
  assert.is(learn(state, { ...NO_KNOWLEDGE, snapshot }), state)
  const foreign = {
    ...compact(state, limits(0)).snapshot!,
    number: 9,
    founding: { ...founding(3), ringId: 'e'.repeat(32) }
  }
  assert.is(learn(state, { ...NO_KNOWLEDGE, snapshot: foreign }), state)
})

test('a snapshot remembers former members, and they cannot join again', () => {
  const changes = [
    { number: 1, joins: [member(1), member(2), member(3)], removals: [], founding: founding(1) },
    { number: 2, joins: [], removals: [id(2), id(3)], lost: [id(3)] }
  ]
  const short = compact(settledState(changes), limits(0))
  assert.equal([...short.view!.lost], [id(3)])
  assert.throws(
    () => learn(short, { ...NO_KNOWLEDGE, changes: [{ number: 3, joins: [member(2)], removals: [] }] }),
    (error: RingdError) => error.code === 'BAD_MESSAGE'
  )
  const join = { ringId: RING_ID, member: member(3), addresses: [], issuedAtMs: 1, signature: new Uint8Array(0) }
  assert.is(learn(short, { ...NO_KNOWLEDGE, joins: [join] }), short)
})

test('a snapshot remembers a bounded number of former members, the newest', () => {
  const view = viewsOf([{ number: 1, joins: [member(1)], removals: [], founding: founding(3) }])[0]!
  const former = Array.from({ length: FORMER_MAX + 5 }, (_, index) => [id(index + 10), 'peer'] as const)
  const [table] = tablesOf([{ number: 1, joins: [member(1)], removals: [], founding: founding(3) }])
  const snapshot = snapshotOf({ ...view, peerIds: new Map([...former, [id(1), 'peer-1']]) }, table!)
  assert.is(snapshot.former.length, FORMER_MAX)
  assert.is(snapshot.former.at(-1)!.storeId, id(FORMER_MAX + 14))
  checkSnapshot(snapshot)
  assert.is(viewOfSnapshot(snapshot).peerIds.size, FORMER_MAX + 1)
})

test('snapshots of any view of a chain lead to the same digests', () => {
  const cuts = anyChain({ viewsMin: 2, viewsMax: 7 }).chain((changes) =>
    fc.record({ changes: fc.constant(changes), cut: fc.integer({ min: 1, max: changes.length }) })
  )
  holds(
    fc.property(cuts, ({ changes, cut }) => assertSameDigests(changes, [cut])),
    40
  )
})

test('members with snapshots of different views keep the same former members, the newest to leave', () => {
  const some = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at)
  const changes = [
    { number: 1, joins: some(1, 700).map((one) => member(one)), removals: [], founding: founding(3) },
    { number: 2, joins: some(701, 1300).map((one) => member(one)), removals: some(2, 700).map(id) },
    { number: 3, joins: some(1301, 1303).map((one) => member(one)), removals: some(701, 1300).map(id) },
    { number: 4, joins: [], removals: [id(1)] }
  ]
  assertSameDigests(changes, [1, 2, 3, 4])
  const { former } = compact(settledState(changes), limits(0)).snapshot!
  assert.is(former.length, FORMER_MAX)
  assert.is(former.at(-1)!.storeId, id(1), 'the first member left last')
})

/** A peer that has made snapshots of these views ends with the digests of one that keeps the whole chain. */
function assertSameDigests(changes: readonly ViewChange[], cuts: readonly number[]): void {
  const whole = settledState(changes)
  for (const cut of cuts) {
    const short = compact(settledState(changes.slice(0, cut)), limits(0))
    const end = learn(short, { ...NO_KNOWLEDGE, changes: changes.slice(cut) })
    assert.is(endDigest(end.view!), endDigest(whole.view!), `snapshot of view ${cut}`)
    assert.is(beginsDigest(end.configs!), beginsDigest(whole.configs!), `snapshot of view ${cut}`)
  }
}

test('a malformed snapshot is refused', () => {
  const good = compact(
    settledState([{ number: 1, joins: [member(1), member(2)], removals: [], founding: founding(3) }]),
    limits(0)
  ).snapshot!
  checkSnapshot(good)
  const bad = [
    { ...good, number: 0 },
    { ...good, members: [] },
    { ...good, members: [member(1), member(1)] },
    { ...good, former: [{ storeId: id(1), peerId: 'peer-1', lost: false }] },
    { ...good, founding: founding(8) },
    { ...good, begins: new Uint32Array(SLOTS) },
    { ...good, begins: new Uint32Array(SLOTS).fill(2) }
  ]
  for (const one of bad)
    assert.throws(
      () => checkSnapshot(one),
      (error: unknown) => error instanceof RingdError
    )
})

test.run()
