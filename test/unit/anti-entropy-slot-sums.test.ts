// The sums of slots: equal sets of entries have equal sums in any order, different sets have different sums.
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SLOT_SUM_BYTES, SlotSums } from '../../lib/anti-entropy/slot-sums.js'
import { dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'

const test = suite('anti-entropy/slot-sums')

type Item = readonly [slot: number, key: string, ms: number, counter: number]

const anyItem: fc.Arbitrary<Item> = fc.tuple(fc.nat(3), fc.string({ maxLength: 8 }), fc.nat(50), fc.nat(3))
const MEMBER = new Uint8Array(8).fill(7)

function change(sums: SlotSums, [slot, key, ms, counter]: Item, sign: 1 | -1): void {
  sums.change(dataKey(slot, Buffer.from(key)), makeVersion(ms, counter, MEMBER), sign)
}

function sumsOf(items: readonly Item[]): SlotSums {
  const sums = new SlotSums()
  for (const item of items) change(sums, item, 1)
  return sums
}

const SLOTS_USED = [0, 1, 2, 3]

test('a sum depends on the entries, not on their order or on entries since deleted', () => {
  fc.assert(
    fc.property(fc.array(anyItem), fc.array(anyItem), (items, passing) => {
      const one = sumsOf(items)
      const other = sumsOf(passing)
      for (const item of items.toReversed()) change(other, item, 1)
      for (const item of passing) change(other, item, -1)
      assert.equal(one.encode(SLOTS_USED), other.encode(SLOTS_USED))
    })
  )
})

test('other keys, versions or slots give other sums', () => {
  const anySet = fc.uniqueArray(anyItem, { maxLength: 6, selector: String })
  fc.assert(
    fc.property(anySet, anySet, (one, other) => {
      const same = String(one.map(String).sort()) === String(other.map(String).sort())
      const equal = Buffer.from(sumsOf(one).encode(SLOTS_USED)).equals(sumsOf(other).encode(SLOTS_USED))
      assert.is(equal, same)
    }),
    { numRuns: 2000 }
  )
})

test('a sum begins with the number of entries', () => {
  const sums = sumsOf([
    [2, 'a', 1, 0],
    [2, 'b', 1, 0]
  ])
  const bytes = Buffer.from(sums.encode([1, 2]))
  assert.is(bytes.length, 2 * SLOT_SUM_BYTES)
  assert.equal(bytes.subarray(0, SLOT_SUM_BYTES), Buffer.alloc(SLOT_SUM_BYTES))
  assert.is(bytes.readUInt32BE(SLOT_SUM_BYTES), 2)
  assert.is(sums.count(2), 2)
})

test.run()
