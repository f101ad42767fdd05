// Which members may leave: at least as many members remain as there are copies, at least one when forced.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { View } from '../../lib/views/chain.js'
import { type Departure, grantable, replaces } from '../../lib/views/departure.js'
import { NO_KNOWLEDGE } from '../../lib/views/knowledge.js'
import { digestOf, emptyRing, forgetRequests, lacking, learn } from '../../lib/views/ring-state.js'
import { signedDeparture } from '../../lib/views/wire-codec.js'
import { founding, holds, id, member, RING_ID, viewsOf } from './views-support.js'

const test = suite('views/departure')

function viewWith(members: number, replicas: number): View {
  const joins = Array.from({ length: members }, (_, index) => member(index + 1))
  return viewsOf([{ number: 1, joins, removals: [], founding: founding(replicas) }])[0]!
}

function leaveRequest(number: number, rest: Partial<Departure> = {}): Departure {
  const base = { ringId: RING_ID, storeId: id(number), dead: false, force: false, issuedAtMs: 1 }
  return { ...base, peerId: `peer-${number}`, signature: new Uint8Array(0), ...rest }
}

test('granted requests leave enough members for all copies, forced ones leave one, and no other is refused', () => {
  const any = fc.record({
    members: fc.integer({ min: 1, max: 9 }),
    replicas: fc.integer({ min: 1, max: 7 }),
    joining: fc.nat(3),
    requests: fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 11 }), fc.boolean()), {
      selector: ([number]) => number
    })
  })
  holds(
    fc.property(any, ({ members, replicas, joining, requests }) => {
      const list = requests.map(([number, force]) => leaveRequest(number, { force }))
      const granted = grantable(viewWith(members, replicas), list, joining)
      const remaining = members + joining - granted.length
      const tame = granted.filter(({ force }) => !force)
      assert.ok(granted.every(({ storeId }) => Number.parseInt(storeId, 16) <= members))
      assert.ok(remaining >= 1)
      if (granted.length === tame.length && granted.length > 0) assert.ok(remaining >= replicas)
      assert.equal(grantable(viewWith(members, replicas), list.toReversed(), joining), granted)
      const refused = list.filter((one) => !granted.includes(one) && Number.parseInt(one.storeId, 16) <= members)
      for (const { force } of refused) assert.ok(force ? remaining <= 1 : remaining <= replicas)
    }),
    300
  )
})

test('a leave request spreads by exchange, is replaced by a newer one, and ends with the member', () => {
  const first = { number: 1, joins: [1, 2, 3, 4].map((number) => member(number)), removals: [], founding: founding(3) }
  const start = learn(emptyRing(), { ...NO_KNOWLEDGE, changes: [first] })
  const told = learn(start, {
    ...NO_KNOWLEDGE,
    departures: [leaveRequest(2), leaveRequest(9), leaveRequest(3, { ringId: 'e'.repeat(32) })]
  })
  assert.equal([...told.departures.keys()], [id(2)])
  assert.equal(lacking(told, digestOf(start)).departures, [leaveRequest(2)])
  assert.equal(lacking(told, digestOf(told)).departures, [])
  assert.is(learn(told, { ...NO_KNOWLEDGE, departures: [leaveRequest(2, { force: true })] }), told)
  const newer = leaveRequest(2, { issuedAtMs: 2, force: true })
  assert.equal([...learn(told, { ...NO_KNOWLEDGE, departures: [newer] }).departures.values()], [newer])
  assert.is(forgetRequests(told, [id(2)]).departures.size, 0)
  const out = learn(told, { ...NO_KNOWLEDGE, changes: [{ number: 2, joins: [], removals: [id(2)] }] })
  assert.is(out.departures.size, 0)
  assert.is(learn(out, { ...NO_KNOWLEDGE, departures: [newer] }), out)
})

test('the signature of a leave request covers every other field', () => {
  const base = leaveRequest(1)
  const variants = [
    leaveRequest(2, { peerId: 'peer-1' }),
    leaveRequest(1, { peerId: 'other' }),
    leaveRequest(1, { dead: true }),
    leaveRequest(1, { force: true }),
    leaveRequest(1, { issuedAtMs: 2 }),
    leaveRequest(1, { ringId: 'e'.repeat(32) })
  ]
  const texts = [base, ...variants].map((one) => Buffer.from(signedDeparture(one)).toString('hex'))
  assert.is(new Set(texts).size, texts.length)
  const signed = leaveRequest(1, { signature: Uint8Array.of(1, 2) })
  assert.equal(signedDeparture(signed), signedDeparture(base))
})

test('a request to remove a member, whatever its time, does not stand in the way of the wish of the member', () => {
  const removal = leaveRequest(2, { dead: true, issuedAtMs: 2 ** 50 })
  assert.ok(replaces(leaveRequest(2, { issuedAtMs: 1 }), removal))
  assert.not(replaces(leaveRequest(2, { dead: true, issuedAtMs: 1 }), removal))
  assert.not(replaces(leaveRequest(2, { issuedAtMs: 1 }), leaveRequest(2, { issuedAtMs: 1 })))
})

test.run()
