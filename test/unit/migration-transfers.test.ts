// Transfers: what a receipt counts, when a transfer ends, what is kept, what holds it back, and how long a move takes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type LeftSample, msLeft, withLeft } from '../../lib/actors/migration/move-forecast.js'
import {
  decodeTransfer,
  ENDED_MAX,
  type Holder,
  readTransfers,
  type TransferRecord
} from '../../lib/actors/migration/transfer-records.js'
import type { Transfers, TransfersDeps } from '../../lib/actors/migration/transfers.js'
import type { MetaWrite } from '../../lib/storage/meta.js'
import { causeOf } from '../../lib/views/move-cause.js'
import type { PullJob } from '../../lib/views/pull-plan.js'
import type { RingView } from '../../lib/views/ring-view.js'
import { config, idOf, ringView } from '../sim/harness/ring-views.js'
import { lonelyTransfers } from '../sim/harness/transfers.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('transfers')
const B = idOf('b')
const C = idOf('c')
const SECOND = 1000

interface Peer {
  readonly clock: VirtualClock
  readonly transfers: Transfers
  /** What is on disk. */
  readonly disk: Map<string, Uint8Array>
  /** The records that were written, in their order. */
  readonly written: TransferRecord[]
}

function peer(deps: Partial<TransfersDeps> = {}, disk = new Map<string, Uint8Array>()): Peer {
  const clock = new VirtualClock()
  const written: TransferRecord[] = []
  const persist = async (writes: readonly MetaWrite[]) => {
    for (const { name, value } of writes) {
      disk.set(name, value!)
      written.push(decodeTransfer(value!))
    }
  }
  const kept = readTransfers({ get: (name) => disk.get(name) })
  return { clock, disk, written, transfers: lonelyTransfers(clock, { persist, ...deps }, kept) }
}

function viewOf(number: number): RingView {
  const window = Array.from({ length: number }, (_, at) => config(at + 1, at % 2 === 0 ? 'abc' : 'bcd'))
  return ringView({ number, window, self: 'd' })
}

function job(first: number, last: number, begin = 2): PullJob {
  const window = [config(begin - 1, 'abc'), config(begin, 'bcd')]
  const slots = Array.from({ length: last - first + 1 }, (_, at) => first + at)
  return { window, config: window[1]!, slots }
}

test('a receipt counts what was compared, and the slots of jobs that are done; the rest has only come', () => {
  const { transfers, written } = peer()
  const view = viewOf(2)
  transfers.look(view, [job(0, 99), job(100, 199)])
  const one = transfers.begin(job(0, 99), [B, C])
  const other = transfers.begin(job(100, 199), [B])
  one.came(B, 10, 5000)
  one.compared(B, 10, 0xffff_ffff)
  one.came(C, 2, 700)
  one.compared(C, 2, 5)
  other.came(B, 3, 900)
  one.end(true)
  other.end(false)
  const [running] = transfers.tell(0).running
  assert.equal([running!.cause, running!.source, running!.puller, running!.config], ['join', B, idOf('d'), 2])
  transfers.look(view, [])
  const [fromC, fromB] = transfers.tell(100).ended
  assert.equal([fromB!.entries, fromB!.bytes, fromB!.receipt.entries], [13, 5900, 10])
  assert.equal(fromB!.receipt.slots.ranges(), [{ first: 0, last: 99 }])
  assert.equal([fromC!.entries, fromC!.receipt.entries, fromC!.receipt.checksum], [2, 2, 5])
  assert.equal(
    written.map(({ source, state }) => [source, state]),
    [
      [B, 'done'],
      [C, 'done']
    ]
  )
})

test('checksums add up modulo 2^32', () => {
  const { transfers } = peer()
  const pulling = transfers.begin(job(0, 9), [B])
  pulling.compared(B, 1, 0xffff_ffff)
  pulling.compared(B, 1, 2)
  pulling.end(true)
  assert.is(transfers.tell(0).running[0]!.receipt.checksum, 1)
})

test('a transfer goes on while a job of its change is left or under way, and then ends', () => {
  const { transfers } = peer()
  const view = viewOf(2)
  transfers.look(view, [job(0, 99), job(100, 199)])
  const one = transfers.begin(job(0, 99), [B])
  transfers.look(view, [job(0, 99), job(100, 199)])
  one.end(true)
  transfers.look(view, [job(100, 199)])
  assert.is(transfers.tell(9).running.length, 1)
  const other = transfers.begin(job(100, 199), [C])
  // The slots have settled through other owners, but the job has not noticed yet.
  transfers.look(view, [])
  assert.is(transfers.tell(9).running.length, 2)
  other.end(false)
  assert.equal([transfers.tell(9).running.length, transfers.tell(9).ended.map(({ source }) => source)], [0, [B]])
})

test('a transfer whose slots got newer owners meanwhile is overtaken', () => {
  const { transfers } = peer()
  transfers.look(viewOf(2), [job(0, 99)])
  const pulling = transfers.begin(job(0, 99), [B])
  pulling.came(B, 1, 10)
  transfers.look(viewOf(3), [job(0, 99, 3)])
  pulling.end(false)
  assert.equal(
    transfers.tell(9).ended.map(({ state, config: begin }) => [state, begin]),
    [['overtaken', 2]]
  )
})

test('what is running is written every two seconds as one that was cut off, and the next start finds it', async () => {
  const first = peer()
  first.transfers.look(viewOf(2), [job(0, 99)])
  const pulling = first.transfers.begin(job(0, 99), [B])
  pulling.came(B, 4, 400)
  pulling.compared(B, 4, 44)
  await first.clock.advance(2 * SECOND)
  assert.equal(
    first.written.map(({ state, receipt }) => [state, receipt.entries]),
    [['cut', 4]]
  )
  await first.clock.advance(4 * SECOND)
  assert.is(first.written.length, 1, 'nothing has changed since')
  const second = peer({}, first.disk)
  const [kept] = second.transfers.tell(9).ended
  assert.equal([kept!.state, kept!.entries, kept!.receipt.checksum], ['cut', 4, 44])
  second.transfers.begin(job(0, 99), [B]).end(true)
  second.transfers.look(viewOf(2), [])
  assert.equal(
    second.transfers.tell(9).ended.map(({ number }) => number),
    [2, 1],
    'numbers count on'
  )
})

test('the last hundred are kept, on disk and in memory; a long one does not take the place of newer ones', () => {
  const { transfers, disk } = peer()
  const view = viewOf(2)
  const long = transfers.begin(job(0, 9, 7), [C])
  for (let turn = 0; turn < 150; turn++) {
    transfers.look(view, [job(0, 99), job(0, 9, 7)])
    transfers.begin(job(0, 99), [B]).end(true)
    transfers.look(view, [job(0, 9, 7)])
  }
  assert.equal([transfers.tell(1000).ended.length, disk.size], [ENDED_MAX, ENDED_MAX])
  long.end(true)
  transfers.look(view, [])
  const numbers = transfers.tell(1000).ended.map(({ number }) => number)
  assert.equal([numbers[0], numbers[1], numbers.length], [152, 151, ENDED_MAX])
  const kept = readTransfers({ get: (name) => disk.get(name) })
  assert.equal(kept.ended.map(({ number }) => number).reverse(), numbers)
  assert.is(transfers.tell(3).ended.length, 3)
})

test('a transfer that has compared and brought nothing is not kept', () => {
  const { transfers, written } = peer()
  transfers.begin(job(0, 99), [B]).end(false)
  transfers.look(viewOf(2), [])
  assert.equal([transfers.tell(9).ended.length, transfers.tell(9).running.length, written.length], [0, 0, 0])
})

test('a pace that waits is what holds it back; else the disk, when parts wait for it most of the time', async () => {
  let paced: Holder | undefined
  const { clock, transfers } = peer({ paceHeldBy: () => paced })
  const pulling = transfers.begin(job(0, 99), [B])
  const heldBy = () => transfers.tell(0).running[0]!.heldBy
  await clock.advance(SECOND)
  assert.is(heldBy(), 'source')
  pulling.merging(B)
  pulling.merging(B)
  await clock.advance(3 * SECOND)
  assert.is(heldBy(), 'disk')
  pulling.merged(B)
  pulling.merged(B)
  await clock.advance(6 * SECOND)
  assert.is(heldBy(), 'source', 'only the last seconds count')
  for (const by of ['limit', 'clients'] as const) {
    paced = by
    assert.is(heldBy(), by)
  }
})

test('the rate is that of the last seconds, and slots that nobody takes yet are shared as those before', async () => {
  const { clock, transfers } = peer()
  transfers.look(viewOf(2), [job(0, 99), job(100, 199), job(200, 599)])
  const fromB = transfers.begin(job(0, 99), [B])
  transfers.begin(job(100, 199), [C])
  for (let second = 0; second < 10; second++) {
    fromB.came(B, 1, 1000)
    await clock.advance(SECOND)
  }
  const rate = () => transfers.tell(0).running[0]!.bytesPerS
  assert.ok(Math.abs(rate() - 1000) < 250, `${rate()} bytes in a second`)
  await clock.advance(8 * SECOND)
  assert.is(rate(), 0)
  assert.equal(
    transfers.tell(0).running.map(({ slotsInAll }) => slotsInAll),
    [300, 300]
  )
})

test('what repair brings is a transfer of its own, which ends when nothing more comes', async () => {
  const { clock, transfers } = peer()
  const brought = { source: B, slots: new Set([7]), entries: 2, bytes: 90, checksum: 8 }
  transfers.repaired({ ...brought, entries: 0 })
  assert.is(transfers.tell(0).running.length, 0)
  transfers.repaired(brought)
  await clock.advance(2 * SECOND)
  transfers.repaired({ ...brought, slots: new Set([8]) })
  await clock.advance(2 * SECOND)
  assert.is(transfers.tell(0).running[0]!.cause, 'repair')
  await clock.advance(3 * SECOND)
  const [ended] = transfers.tell(9).ended
  assert.equal([ended!.cause, ended!.state, ended!.config, ended!.receipt.entries], ['repair', 'done', 0, 4])
  assert.equal(ended!.receipt.slots.ranges(), [{ first: 7, last: 8 }])
})

test('a stop writes what is running as cut off, and nothing begins after it', () => {
  const { transfers, written } = peer()
  const pulling = transfers.begin(job(0, 99), [B])
  pulling.came(B, 1, 10)
  transfers.stop()
  pulling.end(true)
  transfers.repaired({ source: B, slots: new Set([7]), entries: 2, bytes: 90, checksum: 8 })
  assert.equal([written.map(({ state }) => state), transfers.tell(9).running.length], [['cut'], 0])
})

test('a record that cannot be written holds up nothing', async () => {
  const { clock, transfers } = peer({
    persist: async () => {
      throw new Error('the disk is full')
    }
  })
  transfers.begin(job(0, 99), [B]).end(true)
  transfers.look(viewOf(2), [])
  await clock.advance(SECOND)
  assert.is(transfers.tell(9).ended.length, 1)
})

test('the time left follows from the bytes that owners hold and that are not here yet', async () => {
  const here = new Map<number, number>()
  const asked: number[] = []
  const { clock, transfers } = peer({
    bytesHere: (slot) => here.get(slot) ?? 0,
    sizesOf: async (_view, slots) => {
      asked.push(slots.length)
      return slots.map((slot) => (slot < 50 ? 1000 : undefined))
    }
  })
  const view = viewOf(2)
  transfers.look(view, [job(0, 99)])
  await clock.settle()
  // Slots of which nobody told count like the others.
  assert.equal(transfers.tell(0).left, { slots: 100, bytes: 100_000, ms: undefined })
  for (let slot = 0; slot < 20; slot++) {
    here.set(slot, 1000)
    await clock.advance(100)
    transfers.look(view, [job(slot + 1, 99)])
  }
  const { slots, bytes, ms } = transfers.tell(0).left
  assert.equal([slots, bytes], [80, 80_000])
  assert.ok(Math.abs(ms! - 8000) < 400, `${ms} ms`)
  here.set(30, 400)
  assert.is(transfers.tell(0).left.bytes, 79_600, 'a part of a slot is here')
  assert.equal(asked, [100, 50], 'owners that did not tell are asked again')
  transfers.look(view, [])
  assert.equal(transfers.tell(0).left, { slots: 0, bytes: 0, ms: 0 })
})

test('a forecast: none without a pace, by slots where nothing is left but to compare, anew for another move', () => {
  const sampled = (samples: readonly LeftSample[]) => samples.reduce(withLeft, [] as readonly LeftSample[])
  const slots = [0, 1, 2, 3].map((at) => ({ at: at * 1000, slots: 100 - at * 10, bytes: 0 }))
  assert.is(msLeft(sampled(slots.slice(0, 1)), 0), undefined)
  assert.is(msLeft(sampled(slots), 3000), 7000)
  assert.is(msLeft(sampled(slots), 4000), 6000, 'time passes')
  const stuck = [0, 1, 2].map((at) => ({ at: at * 1000, slots: 100, bytes: 5000 }))
  assert.is(msLeft(sampled(stuck), 2000), undefined)
  const another = sampled([...slots, { at: 4000, slots: 500, bytes: 9000 }])
  assert.equal(another.length, 1)
  assert.is(msLeft([], 0), undefined)
})

test('a forecast: the pace is that of the last quarter of the move, as its beginning is slow', () => {
  let samples: readonly LeftSample[] = []
  for (let at = 0; at <= 12_000; at += 100) {
    const done = at < 4000 ? at : 4000 + 3 * (at - 4000)
    samples = withLeft(samples, { at, slots: 100, bytes: 40_000 - done })
  }
  assert.is(msLeft(samples, 12_000), 4000)
})

test('a forecast keeps at most a sample for each tenth of the last eight seconds', () => {
  let samples: readonly LeftSample[] = []
  for (let at = 0; at < 20_000; at += 10) samples = withLeft(samples, { at, slots: 100, bytes: 30_000 - at })
  assert.ok(samples.length <= 83, `${samples.length} samples`)
  assert.is(samples[0]!.at, 0)
  assert.ok(samples.at(-1)!.at - samples[1]!.at <= 8000)
  assert.ok(Math.abs(msLeft(samples, 19_990)! - 10_010) < 10)
})

test('a move is named after what its view did: loss before leave, leave before join', () => {
  const change = { number: 2, joins: [], removals: [], lost: [] }
  const none = () => false
  const member = { storeId: B, peerId: 'peer', tokens: [1], zone: '', weight: 1 }
  assert.is(causeOf({ ...change, joins: [member] }, none), 'join')
  assert.is(causeOf({ ...change, joins: [member], removals: [C] }, none), 'leave')
  assert.is(causeOf({ ...change, removals: [C], lost: [C] }, none), 'loss')
  assert.is(
    causeOf({ ...change, removals: [C], lost: [C] }, (id) => id === C),
    'leave'
  )
  assert.is(causeOf(undefined, none), 'unknown')
})

test.run()
