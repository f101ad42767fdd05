// Records of transfers as bytes: what was written is read, and any other bytes are refused without harm. Repeat a
// failure with SEED=<seed> node dist/test/unit/transfer-records.test.js
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  decodeTransfer,
  ENDED_MAX,
  HOLDERS,
  NO_TRANSFERS,
  RECORD_BYTES_MAX,
  readTransfers,
  TRANSFER_STATES,
  type TransferRecord,
  transferFromWire,
  transferToWire,
  writeTransfer
} from '../../lib/actors/migration/transfer-records.js'
import { RingdError } from '../../lib/errors.js'
import type { Transfer as WireTransfer } from '../../lib/network/wire.js'
import { toldFromWire } from '../../lib/node/ring-transfers.js'
import { SLOT_SET_BYTES_MAX, SlotSet } from '../../lib/ring/slot-set.js'
import { SLOTS } from '../../lib/ring/slots.js'
import type { MetaWrite } from '../../lib/storage/meta.js'
import { MOVE_CAUSES } from '../../lib/views/move-cause.js'
import { idOf } from '../sim/harness/ring-views.js'

const test = suite('records of transfers')
const SEED =
  process.env['SEED'] === undefined ? Math.floor(performance.timeOrigin) % 2 ** 31 : Number(process.env['SEED'])

function check<T>(property: fc.IRawProperty<T>, numRuns = 500): void {
  try {
    fc.assert(property, { seed: SEED, numRuns })
  } catch (thrown) {
    throw new Error(`again: SEED=${SEED} node dist/test/unit/transfer-records.test.js`, { cause: thrown })
  }
}

function setOf(slots: readonly number[]): SlotSet {
  const set = new SlotSet()
  set.add(slots)
  return set
}

function recordOf(change: Partial<TransferRecord> = {}): TransferRecord {
  return {
    number: 7,
    cause: 'join',
    source: idOf('b'),
    puller: idOf('d'),
    config: 3,
    state: 'done',
    entries: 500,
    bytes: 1_000_000,
    receipt: { slots: setOf([0, 1, 2, 16_383]), entries: 499, checksum: 0xffff_fff0 },
    beganAtMs: 1_700_000_000_000,
    endedAtMs: 1_700_000_001_000,
    ...change
  }
}

function plain({ receipt, ...rest }: TransferRecord): unknown {
  return { ...rest, receipt: { ...receipt, slots: receipt.slots.ranges() } }
}

function metaOf(writes: readonly MetaWrite[]) {
  const records = new Map(writes.map(({ name, value }) => [name, value]))
  return { get: (name: string) => records.get(name), records }
}

const slots = fc.uniqueArray(fc.integer({ min: 0, max: SLOTS - 1 }), { maxLength: 3000 })
const count = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const record = fc.record({
  number: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  cause: fc.constantFrom(...MOVE_CAUSES),
  source: fc.constantFrom(idOf('a'), idOf('b')),
  puller: fc.constantFrom(idOf('c'), idOf('d')),
  config: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  state: fc.constantFrom(...TRANSFER_STATES),
  entries: count,
  bytes: count,
  receipt: fc.record({ slots: slots.map(setOf), entries: count, checksum: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
  beganAtMs: count,
  endedAtMs: count
})

test('a set of slots is read as it was written, in at most 2049 bytes', () => {
  check(
    fc.property(slots, (some) => {
      const set = setOf(some)
      const bytes = set.encode()
      assert.ok(bytes.length <= SLOT_SET_BYTES_MAX)
      const read = SlotSet.decode(bytes)
      assert.equal([read.size, read.slots()], [some.length, [...some].sort((one, other) => one - other)])
    })
  )
  const all = Array.from({ length: SLOTS }, (_, slot) => slot)
  for (const some of [[], all, all.filter((slot) => slot % 2 === 0)]) {
    assert.equal(SlotSet.decode(setOf(some).encode()).slots(), some)
  }
})

test('ranges that do not ascend, and sets of another form, are refused', () => {
  const form = (...bytes: number[]) => Uint8Array.from(bytes)
  const bad = [
    form(),
    form(2),
    form(0, 0, 1),
    form(1, 255),
    form(0, 0, 5, 0, 4),
    form(0, 0, 0, 0, 9, 0, 9, 0, 12),
    form(0, 0, 0, 64, 0),
    new Uint8Array(SLOT_SET_BYTES_MAX + 1)
  ]
  for (const bytes of bad)
    assert.throws(
      () => SlotSet.decode(bytes),
      (thrown: RingdError) => thrown.code === 'BAD_MESSAGE'
    )
})

test('a record is read as it was written, whatever it holds', () => {
  check(
    fc.property(record, (one) => {
      const { value } = writeTransfer(one)
      assert.ok(value!.length <= RECORD_BYTES_MAX, `${value!.length} bytes`)
      assert.equal(plain(decodeTransfer(value!)), plain(one))
    }),
    200
  )
})

test('a transfer that is running is told with all that only such a one has', () => {
  for (const heldBy of HOLDERS) {
    const running = { ...recordOf({ state: 'running' }), slotsInAll: 12_288, bytesPerS: 5_000_000, heldBy }
    const told = transferFromWire(transferToWire(running))
    assert.equal([told.slotsInAll, told.bytesPerS, told.heldBy, told.state], [12_288, 5_000_000, heldBy, 'running'])
  }
})

test('a record with a flipped bit, a missing end or other bytes is refused as BAD_MESSAGE', () => {
  const { value } = writeTransfer(recordOf())
  const refused = (bytes: Uint8Array) => {
    try {
      decodeTransfer(bytes)
      return false
    } catch (thrown) {
      return thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
    }
  }
  for (let bit = 0; bit < value!.length * 8; bit++) {
    const changed = Uint8Array.from(value!)
    changed[bit >> 3]! ^= 1 << (bit & 7)
    assert.ok(refused(changed), `bit ${bit}`)
  }
  for (let length = 0; length < value!.length; length++)
    assert.ok(refused(value!.subarray(0, length)), `${length} bytes`)
  check(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => assert.ok(refused(bytes))))
})

test('nonsense of another member is refused: unknown numbers, wrong ids, more than there can be', () => {
  const good = transferToWire(recordOf())
  const told = { running: [], ended: [], slotsLeft: 0 }
  const bad: Partial<WireTransfer>[] = [
    { cause: 5 },
    { state: 4 },
    { heldBy: 4 },
    { source: new Uint8Array(15) },
    { slots: Uint8Array.of(9) },
    { entries: 2 ** 60 },
    { slotsInAll: SLOTS + 1 }
  ]
  assert.is(toldFromWire({ ...told, ended: [good] }).ended.length, 1)
  for (const change of bad) {
    assert.throws(
      () => toldFromWire({ ...told, running: [{ ...good, ...change }] }),
      /BAD_MESSAGE|cannot|set of|id has/
    )
  }
  assert.throws(() => toldFromWire({ ...told, ended: new Array(ENDED_MAX + 1).fill(good) }), /more transfers/)
  assert.throws(() => toldFromWire({ ...told, slotsLeft: SLOTS + 1 }), /more transfers/)
})

test('damaged records are left out and counted; the others are read, the oldest first', () => {
  const writes = [99, 101, 100, 103].map((number) => writeTransfer(recordOf({ number })))
  const { records, get } = metaOf(writes)
  assert.is(records.size, 4)
  Buffer.from(records.get('transfer/01')!.buffer).fill(0xff, records.get('transfer/01')!.byteOffset)
  // A record at the place of another one, and one that says it is running: neither was ever written.
  records.set('transfer/50', writeTransfer(recordOf({ number: 7 })).value)
  records.set('transfer/60', writeTransfer(recordOf({ number: 60, state: 'running' })).value)
  const { ended, damaged } = readTransfers({ get })
  assert.equal([ended.map(({ number }) => number), damaged], [[99, 100, 103], 3])
  assert.equal(readTransfers({ get: () => undefined }), NO_TRANSFERS)
})

test('a hundred records are kept: the next one takes the place of the oldest', () => {
  const writes = Array.from({ length: 250 }, (_, number) => writeTransfer(recordOf({ number })))
  const { records, get } = metaOf(writes)
  assert.is(records.size, ENDED_MAX)
  assert.equal(
    readTransfers({ get }).ended.map(({ number }) => number),
    Array.from({ length: ENDED_MAX }, (_, at) => 150 + at)
  )
})

test.run()
