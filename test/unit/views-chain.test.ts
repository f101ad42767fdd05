// The chain of views: which changes are valid, and that an id is used once.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { MEMBERS_MAX } from '../../lib/limits.js'
import type { Member } from '../../lib/member.js'
import { applyChange, checkMember, quorum, type ViewChange } from '../../lib/views/chain.js'
import { anyChain, founding, id, member, viewsOf } from './views-support.js'

const test = suite('views/chain')

const FIRST: ViewChange = { number: 1, joins: [member(1)], removals: [], founding: founding(3) }

function refuses(act: () => unknown): void {
  assert.throws(act, (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE')
}

test('two majorities of one set share a member', () => {
  for (let size = 1; size <= 20; size++) {
    assert.ok(2 * quorum(size) > size)
    assert.ok(2 * (quorum(size) - 1) <= size, 'and no smaller number does')
  }
})

test('a view follows the one before it, by one', () => {
  const view = applyChange(undefined, FIRST)
  for (const number of [0, 1, 3]) refuses(() => applyChange(view, { number, joins: [member(2)], removals: [] }))
  assert.is(applyChange(view, { number: 2, joins: [member(2)], removals: [] }).members.size, 2)
})

test('only view 1 founds a ring, and it must', () => {
  refuses(() => applyChange(undefined, { number: 1, joins: [member(1)], removals: [] }))
  const view = applyChange(undefined, FIRST)
  refuses(() => applyChange(view, { number: 2, joins: [member(2)], removals: [], founding: founding(3) }))
})

test('a founding lies within its bounds', () => {
  for (const replicas of [0, 8, 1.5, Number.NaN]) {
    refuses(() => applyChange(undefined, { ...FIRST, founding: founding(replicas) }))
  }
  refuses(() => applyChange(undefined, { ...FIRST, founding: { ringId: 'F'.repeat(32), replicas: 3 } }))
})

test('a view changes something and keeps at least one member', () => {
  const view = applyChange(undefined, FIRST)
  refuses(() => applyChange(view, { number: 2, joins: [], removals: [] }))
  refuses(() => applyChange(view, { number: 2, joins: [], removals: [id(1)] }))
  const replaced = applyChange(view, { number: 2, joins: [member(2)], removals: [id(1)] })
  assert.equal([...replaced.members.keys()], [id(2)])
})

test('a view has no more members than the bound', () => {
  const joins = Array.from({ length: MEMBERS_MAX + 1 }, (_, at) => member(at + 1))
  refuses(() => applyChange(undefined, { ...FIRST, joins }))
  assert.is(applyChange(undefined, { ...FIRST, joins: joins.slice(1) }).members.size, MEMBERS_MAX)
})

test('an id joins once: not twice in one view, not while it is a member, and not after its removal', () => {
  refuses(() => applyChange(undefined, { ...FIRST, joins: [member(1), member(1)] }))
  const two = applyChange(applyChange(undefined, FIRST), { number: 2, joins: [member(2)], removals: [] })
  refuses(() => applyChange(two, { number: 3, joins: [member(2)], removals: [] }))
  refuses(() => applyChange(two, { number: 3, joins: [member(2)], removals: [id(2)] }))
  const one = applyChange(two, { number: 3, joins: [], removals: [id(2)] })
  refuses(() => applyChange(one, { number: 4, joins: [member(2)], removals: [] }))
  refuses(() => applyChange(one, { number: 4, joins: [member(3)], removals: [id(2)] }))
})

test('a member lies within its bounds', () => {
  checkMember(member(1))
  const bad: Partial<Member>[] = [
    { storeId: 'x' },
    { peerId: '' },
    { peerId: 'p'.repeat(257) },
    { zone: 'z'.repeat(257) },
    { weight: 0 },
    { weight: 17 },
    { weight: Number.NaN },
    { tokens: [] },
    { tokens: [1, 1] },
    { tokens: [2, 1] },
    { tokens: [16384] },
    { tokens: [-1] },
    { tokens: [0.5] }
  ]
  for (const part of bad) refuses(() => checkMember({ ...member(1), ...part }))
})

test('over any chain, the members are joins minus removals, and every peer id is kept', () => {
  fc.assert(
    fc.property(anyChain(), (changes) => {
      const joined = new Set<string>()
      const removed = new Set<string>()
      viewsOf(changes).forEach((view, at) => {
        for (const { storeId } of changes[at]!.joins) joined.add(storeId)
        for (const former of changes[at]!.removals) removed.add(former)
        assert.equal([...view.members.keys()].sort(), [...joined].filter((one) => !removed.has(one)).sort())
        assert.equal([...view.peerIds.keys()].sort(), [...joined].sort())
        for (const former of removed) {
          const again = { number: view.number + 1, joins: [{ ...member(1), storeId: former }], removals: [] }
          refuses(() => applyChange(view, again))
        }
      })
    })
  )
})

test('a refused change leaves the earlier view unchanged', () => {
  const view = applyChange(undefined, FIRST)
  refuses(() => applyChange(view, { number: 2, joins: [member(2), member(2)], removals: [id(1)] }))
  assert.equal([...view.members.keys()], [id(1)])
  assert.equal([...view.peerIds.keys()], [id(1)])
})

test('members and former members may be marked lost; strangers and remaining members may not', () => {
  const changes = [
    { number: 1, joins: [member(1), member(2), member(3)], removals: [], founding: founding(3) },
    { number: 2, joins: [], removals: [id(2)] },
    { number: 3, joins: [], removals: [id(3)], lost: [id(3), id(2)] }
  ]
  const view = viewsOf(changes).at(-1)!
  assert.equal([...view.lost].sort(), [id(2), id(3)])
  for (const lost of [id(1), id(9)]) {
    assert.throws(() => applyChange(view, { number: 4, joins: [member(4)], removals: [], lost: [lost] }))
  }
})

test.run()
