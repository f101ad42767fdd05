// Whether owners agree about a slot, by what each told: all states, groups of equal owners, and slots that never rest.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { allChanged, groupsOf, type OwnerSum, stateOfSlot } from '../../lib/anti-entropy/owner-agreement.js'
import { SlotSums } from '../../lib/anti-entropy/slot-sums.js'
import { encodeTallies, SLOT_TALLY_BYTES, SlotTallies } from '../../lib/anti-entropy/slot-tallies.js'
import { dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import { slotOf } from '../../lib/ring/slots.js'

const test = suite('anti-entropy/owner-agreement')
const ASKED = ['a', 'b', 'c']
const told = (sums: string): OwnerSum[] => [...sums].map((sum, at) => ({ storeId: ASKED[at]!, entries: at, sum }))

test('owners that told the same are equal only when all of them told, and the slot rests', () => {
  const rests = { asked: ASKED, isMoving: false }
  assert.is(stateOfSlot(rests, told('xxx')), 'equal')
  assert.is(stateOfSlot(rests, told('xx')), 'unanswered')
  assert.is(stateOfSlot(rests, []), 'unanswered')
  assert.is(stateOfSlot({ ...rests, isMoving: true }, told('xxx')), 'moving')
  assert.is(stateOfSlot({ asked: [], isMoving: true }, []), 'moving')
  assert.is(stateOfSlot({ asked: ['a'], isMoving: false }, told('x')), 'equal', 'one owner agrees with itself')
})

test('a difference counts before everything else', () => {
  for (const isMoving of [false, true]) {
    const question = { asked: ASKED, isMoving }
    for (const sums of ['xxy', 'xyx', 'yxx', 'xy']) assert.is(stateOfSlot(question, told(sums)), 'differs')
  }
})

test('the largest group of equal owners is the first', () => {
  const groups = (sums: string) => groupsOf(told(sums)).map(({ group }) => group)
  assert.equal(groups('xyy'), [1, 0, 0])
  assert.equal(groups('xxy'), [0, 0, 1])
  assert.equal(groups('xyz'), [0, 1, 2])
  assert.equal(groupsOf(told('xy'))[1], { storeId: 'b', entries: 1, group: 1 })
})

test('a slot changes all the time when every owner holds something else than before', () => {
  assert.is(allChanged(told('abc'), told('xyz')), true)
  assert.is(allChanged(told('abc'), told('xyc')), false, 'one owner stands still')
  assert.is(allChanged(told('ab'), told('xyz')), false, 'of one owner nothing is known from before')
  assert.is(allChanged(told('abc'), []), false)
})

test('tallies survive encoding, and other lengths are BAD_MESSAGE', () => {
  const sums = new SlotSums()
  const key = Buffer.from('key')
  const slot = slotOf(key)
  sums.change(dataKey(slot, key), makeVersion(1000, 1, new Uint8Array(8)), 1)
  const bytesIn = (one: number) => (one === slot ? 2 ** 33 + 5 : 0)
  const encoded = encodeTallies([3, slot], sums, bytesIn)
  assert.is(encoded.length, 2 * SLOT_TALLY_BYTES)
  const tallies = new SlotTallies([3, slot], encoded)
  assert.equal([tallies.entries(0), tallies.bytes(0)], [0, 0])
  assert.equal([tallies.entries(1), tallies.bytes(1)], [1, 2 ** 33 + 5])
  assert.is.not(tallies.sum(0), tallies.sum(1))
  const empty = new SlotTallies(
    [9],
    encodeTallies([9], new SlotSums(), () => 7)
  )
  assert.is(tallies.sum(0), empty.sum(0), 'bytes are no part of it')
  for (const bytes of [encoded.subarray(1), new Uint8Array(0)]) {
    assert.throws(
      () => new SlotTallies([3, slot], bytes),
      (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    )
  }
})

test.run()
