// The tree of sums and lists of versions: they find exactly the differences, and refuse malformed bytes.
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SlotSums } from '../../lib/anti-entropy/slot-sums.js'
import {
  decodeNodeSums,
  decodeNodes,
  encodeNodeSums,
  encodeNodes,
  LEAF_LEVEL,
  nodesOf,
  slotsUnder
} from '../../lib/anti-entropy/sum-tree.js'
import {
  debtAt,
  decodePositions,
  encodePositions,
  positionAfter,
  positionOf,
  readVersionList,
  VersionListWriter
} from '../../lib/anti-entropy/version-list.js'
import { asBuffer, type Bytes, compareBytes } from '../../lib/bytes.js'
import { asStoredKey, dataKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { RingdError } from '../../lib/errors.js'
import { SLOTS } from '../../lib/ring/slots.js'

const test = suite('anti-entropy/sum-tree')

const MEMBER = new Uint8Array(8).fill(7)
type Item = readonly [slot: number, key: string, ms: number]
const anySlot = fc.oneof(fc.nat(SLOTS - 1), fc.nat(70), fc.constantFrom(0, 1023, 1024, SLOTS - 1))
const anyItem: fc.Arbitrary<Item> = fc.tuple(anySlot, fc.string({ maxLength: 3 }), fc.nat(3))
const anySlots = fc.uniqueArray(anySlot, { maxLength: 200 }).map((slots) => slots.sort((a, b) => a - b))

/**
 * Real keys lie in one slot only, so the slot is part of the key here. Equal keys in two slots would have equal sums.
 */
function sumsOf(items: readonly Item[]): SlotSums {
  const sums = new SlotSums()
  const known = new Set<string>()
  for (const [slot, key, ms] of items) {
    const keyInSlot = `${slot} ${key}`
    if (known.has(keyInSlot)) continue
    known.add(keyInSlot)
    sums.change(dataKey(slot, Buffer.from(keyInSlot)), makeVersion(ms, 0, MEMBER), 1)
  }
  return sums
}

/** Descends two trees as a repair session does. Returns the slots found and the nodes asked for. */
function descend(
  one: SlotSums,
  other: SlotSums,
  slots: readonly number[]
): { found: readonly number[]; asked: number } {
  let found = slots
  let asked = 0
  for (let level = 0; level <= LEAF_LEVEL && found.length > 0; level++) {
    const nodes = nodesOf(level, found)
    asked += nodes.length
    const mine = decodeNodeSums(level, encodeNodeSums(one, level, nodes, slotsUnder(level, nodes, slots)))
    const theirs = decodeNodeSums(level, encodeNodeSums(other, level, nodes, slotsUnder(level, nodes, slots)))
    const differing = mine.filter(({ sum }, at) => compareBytes(sum, theirs[at]!.sum) !== 0).map(({ node }) => node)
    found = slotsUnder(level, decodeNodes(level, encodeNodes(differing)), found)
  }
  return { found, asked }
}

test('equal sets cost one node, whichever slots are compared', () => {
  fc.assert(
    fc.property(fc.array(anyItem), anySlots, (items, slots) => {
      const { found, asked } = descend(sumsOf(items), sumsOf([...items].reverse().reverse()), slots)
      assert.equal(found, [])
      assert.is(asked, slots.length === 0 ? 0 : 1)
    })
  )
})

test('the descent finds exactly the differing slots among those compared', () => {
  fc.assert(
    fc.property(fc.array(anyItem), fc.array(anyItem), fc.array(anyItem), anySlots, (both, mine, theirs, slots) => {
      const [one, other] = [sumsOf([...both, ...mine]), sumsOf([...both, ...theirs])]
      const differs = (slot: number) => compareBytes(one.encode([slot]), other.encode([slot])) !== 0
      const { found, asked } = descend(one, other, slots)
      assert.equal(found, slots.filter(differs))
      assert.ok(asked <= 1 + 16 * LEAF_LEVEL * found.length)
    })
  )
})

test('a list of versions survives encoding, and a full list ends with a whole position', () => {
  const anyKeys = fc.uniqueArray(fc.tuple(fc.nat(5), fc.string({ maxLength: 6 })), { selector: String, maxLength: 60 })
  fc.assert(
    fc.property(anyKeys, fc.integer({ min: 30, max: 600 }), (keys, bytesMax) => {
      const stored = keys.map(([slot, key]) => dataKey(slot, Buffer.from(key))).sort(compareBytes)
      const writer = new VersionListWriter(bytesMax)
      const taken: Bytes[] = []
      let slot = -1
      for (const one of stored) {
        if (one[2] !== slot && !writer.begin(one[2]!)) break
        slot = one[2]!
        if (!writer.add(positionOf(one), makeVersion(slot, 1, MEMBER))) break
        taken.push(one)
      }
      const { list, crc } = writer.finish()
      assert.ok(list.length <= bytesMax)
      assert.ok(taken.length > 0 || stored.length === 0)
      const read = readVersionList(list, crc).flatMap(({ versions }) => versions)
      assert.equal(
        read.map(({ position }) => asBuffer(position).toString('hex')),
        taken.map((one) => asBuffer(positionOf(asStoredKey(one))).toString('hex'))
      )
    })
  )
})

test('two entries at one position end with the newest on both sides, and keys with the same hash are both kept', () => {
  const anyVersions = fc.uniqueArray(fc.nat(9), { maxLength: 3 })
  fc.assert(
    fc.property(anyVersions, anyVersions, (mine, theirs) => {
      const versions = (all: readonly number[]) => all.map((ms) => makeVersion(ms, 0, MEMBER))
      const { give, want } = debtAt(versions(mine), versions(theirs))
      const given = give.map((index) => mine[index]!)
      if (mine.length === 1 && theirs.length === 1) {
        assert.equal(given, mine[0]! > theirs[0]! ? mine : [])
        assert.is(want, theirs[0]! > mine[0]!)
      } else {
        assert.equal(
          given,
          mine.filter((ms) => !theirs.includes(ms))
        )
        assert.is(want, !theirs.every((ms) => mine.includes(ms)))
      }
    })
  )
})

test('positions ascend, and each is followed by the next', () => {
  assert.equal(
    Buffer.from(positionAfter(Buffer.from('0001ffffffffffffffff', 'hex'))).toString('hex'),
    '00020000000000000000'
  )
  assert.equal(
    Buffer.from(positionAfter(Buffer.from('00010000000000000000', 'hex'))).toString('hex'),
    '00010000000000000001'
  )
  const [low, high] = ['00010000000000000000', '00010000000000000001'].map((hex) => Buffer.from(hex, 'hex'))
  assert.is(decodePositions(encodePositions([low!, high!])).length, 2)
  assert.throws(() => decodePositions(encodePositions([high!, low!])), isBad)
  assert.throws(() => decodePositions(encodePositions([low!, low!])), isBad)
})

test('malformed bytes are refused', () => {
  const anyBytes = fc.uint8Array({ maxLength: 200 })
  const safely = (decode: () => unknown) => {
    try {
      decode()
    } catch (thrown) {
      assert.ok(isBad(thrown), String(thrown))
    }
  }
  fc.assert(
    fc.property(anyBytes, fc.nat(9), fc.nat(), (bytes, level, crc) => {
      safely(() => decodeNodes(level, bytes))
      safely(() => decodeNodeSums(level, bytes))
      safely(() => decodePositions(bytes))
      safely(() => readVersionList(bytes, crc))
      safely(() => readVersionList(bytes, crcOf(bytes)))
    }),
    { numRuns: 2000 }
  )
})

test('a list that counts more than it holds, or whose positions descend, is refused', () => {
  const section = (slot: number, count: number, ...items: string[]) =>
    Buffer.concat([
      Buffer.from([slot >> 8, slot & 255, 0, 0, 0, count]),
      ...items.map((item) => Buffer.from(item.padEnd(24, ' ')))
    ])
  const read = (...parts: Buffer[]) => readVersionList(Buffer.concat(parts), crcOf(Buffer.concat(parts)))
  assert.is(read(section(1, 2, 'a', 'b'), section(2, 0)).length, 2)
  assert.throws(() => read(section(1, 3, 'a', 'b')), isBad)
  assert.throws(() => read(section(1, 2, 'b', 'a')), isBad)
  assert.throws(() => read(section(2, 0), section(1, 0)), isBad)
  assert.throws(() => read(section(1, 0), section(1, 0)), isBad)
  assert.throws(() => read(section(SLOTS, 0)), isBad)
})

function isBad(thrown: unknown): boolean {
  return thrown instanceof RingdError && (thrown.code === 'BAD_MESSAGE' || thrown.code === 'BAD_ENTRY')
}

function crcOf(bytes: Bytes): number {
  return crc32(bytes)
}

test.run()
