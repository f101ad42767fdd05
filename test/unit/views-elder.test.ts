// A ring of two that grew from one: its first member alone chooses the next view, and no other pair of votes can.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { applyChange, chooses, type View, type ViewChange } from '../../lib/views/chain.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { countVote, propose } from '../../lib/views/paxos.js'
import { compact, emptyRing, learn } from '../../lib/views/ring-state.js'
import { founding, id, member } from './views-support.js'

const test = suite('views/elder')
const ONE: ViewChange = { number: 1, joins: [member(2)], removals: [], founding: founding(3) }

function grow(...changes: readonly Omit<ViewChange, 'number'>[]): View {
  let view = applyChange(undefined, ONE)
  for (const [at, change] of changes.entries()) view = applyChange(view, { ...change, number: at + 2 })
  return view
}

const join = (...ids: number[]) => ({ joins: ids.map((one) => member(one)), removals: [] })
const leave = (...ids: number[]) => ({ joins: [], removals: ids.map((one) => id(one)) })

test('the member of a ring of one is the elder of the ring of two that grows from it', () => {
  assert.is(grow(join(1)).elder, id(2))
  assert.is(grow(join(3)).elder, id(2))
})

test('no other view has an elder', () => {
  assert.is(grow().elder, undefined)
  assert.is(grow(join(1, 3)).elder, undefined)
  assert.is(grow(join(1, 3), leave(3)).elder, undefined)
  assert.is(grow(join(1), join(3)).elder, undefined)
  assert.is(grow({ ...join(1), removals: [id(2)] }).elder, undefined)
})

test('the elder stays the elder while its second member is replaced or lost', () => {
  assert.is(grow(join(1), { joins: [member(3)], removals: [id(1)] }).elder, id(2))
  assert.is(grow(join(1), leave(1), join(4)).elder, id(2))
  assert.is(grow(join(1), leave(2), join(4)).elder, id(1))
})

test('the elder alone chooses, the second member alone does not, and both do', () => {
  const view = grow(join(1))
  assert.is(chooses(view, new Set([id(2)])), true)
  assert.is(chooses(view, new Set([id(1)])), false)
  assert.is(chooses(view, new Set([id(1), id(2)])), true)
  assert.is(chooses(view, new Set()), false)
})

test('any two sets of votes that choose have a member in common, also when one side does not know the elder', () => {
  const view = grow(join(1))
  const sets = [[], [id(1)], [id(2)], [id(1), id(2)]].map((ids) => new Set(ids))
  for (const one of sets) {
    for (const other of sets) {
      if (!chooses(view, one) || !chooses({ ...view, elder: undefined }, other)) continue
      assert.ok([...one].some((voter) => other.has(voter)))
    }
  }
})

test('a proposal is chosen by the votes of the elder', () => {
  const { elder } = grow(join(1))
  const change = { number: 3, joins: [], removals: [id(1)], lost: [id(1)] }
  const ballot = { round: 1, storeId: id(2) }
  const granted = { granted: true, promised: ballot }
  let proposal = propose([id(2), id(1)], ballot, change, undefined, elder)
  assert.is(countVote(proposal, id(1), 'preparing', granted).phase, 'preparing')
  proposal = countVote(proposal, id(2), 'preparing', granted)
  assert.is(proposal.phase, 'accepting')
  assert.is(countVote(proposal, id(1), 'accepting', granted).phase, 'accepting')
  assert.is(countVote(proposal, id(2), 'accepting', granted).phase, 'chosen')
})

test('after a snapshot both votes are needed', () => {
  const changes = [ONE, { number: 2, ...join(1) }]
  const ready = { storeId: id(1), peerId: 'peer-1', sequence: 1, addresses: [], signature: new Uint8Array(64) }
  const records = [1, 2].map((n) => ({
    ...ready,
    storeId: id(n),
    peerId: `peer-${n}`,
    ready: new Uint32Array(16384).fill(2)
  }))
  const ring = compact(learn(emptyRing(), { ...NO_KNOWLEDGE, changes, records }), { changesMax: 0, bytesMax: 0 })
  assert.ok(ring.snapshot !== undefined)
  assert.is(ring.view!.elder, undefined)
})

test.run()
