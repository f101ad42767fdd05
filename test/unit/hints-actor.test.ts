// The hints actor: which hints are kept and for how long, the order and pace of replay, and when a hint is dropped.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Pace, WINDOW_MAX } from '../../lib/actors/hints/hint-replay.js'
import { compareBytes } from '../../lib/bytes.js'
import { allHints } from '../../lib/entry/hint.js'
import { RingdError } from '../../lib/errors.js'
import { slotOf } from '../../lib/ring/slots.js'
import { HintsHarness } from '../sim/harness/hints-harness.js'
import { config } from '../sim/harness/ring-views.js'

const test = suite('hints actor')
const MINUTE_MS = 60_000

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `key-${String(at).padStart(4, '0')}`)
}

async function harness(options = {}): Promise<HintsHarness> {
  const made = new HintsHarness(options)
  made.view()
  await made.clock.settle()
  return made
}

test('a kept hint is sent to its owner once linked, in order, byte for byte, and then deleted', async () => {
  const hints = await harness()
  for (const key of keys(10)) hints.keep('b', key)
  await hints.clock.advance(5000)
  assert.is(hints.sent.length, 0)
  assert.equal(await hints.onDisk(), keys(10))
  hints.link('b')
  await hints.clock.settle()
  const seen: string[] = []
  while (hints.sent.length > 0) {
    const [{ owner, key, envelope }] = hints.sent as [(typeof hints.sent)[0]]
    assert.is(owner, 'b')
    assert.is(compareBytes(envelope, hints.replica.envelope(key, 1, 'v')), 0)
    seen.push(key)
    await hints.answer()
  }
  assert.equal(seen, keys(10))
  assert.equal(await hints.onDisk(), [])
  assert.equal(hints.totals, { entries: 0, bytes: 0 })
  assert.is(hints.counts.get('ringd_hints_kept'), 10)
  assert.is(hints.counts.get('ringd_hints_replayed'), 10)
})

test('a hint stays on disk until its owner has answered', async () => {
  const hints = await harness()
  hints.keep('b', 'k')
  hints.link('b')
  await hints.clock.settle()
  assert.is(hints.sent.length, 1)
  assert.equal(await hints.onDisk(), ['k'])
  hints.restart()
  hints.view()
  await hints.clock.settle()
  assert.is(hints.sent.length, 1, 'it is sent again by the next life')
  await hints.answer()
  assert.equal(await hints.onDisk(), [])
})

test('after a restart the kept hints are found, and new ones get higher numbers', async () => {
  const hints = await harness()
  for (const key of keys(5)) hints.keep('b', key)
  hints.keep('c', 'other')
  await hints.clock.settle()
  const { totals } = hints
  assert.is(totals.entries, 6)
  hints.restart()
  hints.keep('b', 'late')
  await hints.clock.settle()
  hints.view()
  await hints.clock.settle()
  assert.is(hints.totals.entries, 7)
  assert.equal(await hints.onDisk(), [...keys(5), 'late', 'other'])
  hints.answersAfterMs = 1
  hints.link('b')
  await hints.clock.advance(100)
  assert.equal(await hints.onDisk(), ['other'])
  assert.equal(hints.totals.entries, 1)
})

test('when the hints on disk cannot be read at the start, no number is used twice, and none is lost', async () => {
  const hints = await harness()
  const value = 'x'.repeat(400_000)
  for (const key of keys(8)) hints.keep('b', key, 1, value)
  await hints.clock.settle()
  assert.is(hints.totals.entries, 8)
  let reads = 0
  // The first chunk of a MiB is read, then the disk fails twice.
  hints.beforeRead = async () => {
    reads += 1
    if (reads === 2 || reads === 3) throw new RingdError('STORE_FAILED')
  }
  hints.restart()
  hints.keep('b', 'late')
  hints.view()
  await hints.clock.settle()
  assert.is((await hints.onDisk()).length, 8, 'the new hint waits')
  await hints.clock.advance(5000)
  assert.equal(await hints.onDisk(), [...keys(8), 'late'])
  assert.is(hints.totals.entries, 9)
  assert.is(hints.warnings.length, 2)
  hints.answersAfterMs = 1
  hints.link('b')
  await hints.clock.advance(5000)
  assert.equal(await hints.onDisk(), [])
  assert.is(hints.timers, 0)
})

test('an actor that ended while it counted its hints leaves no timer behind', async () => {
  const hints = await harness()
  hints.keep('b', 'k')
  await hints.clock.settle()
  const read = Promise.withResolvers<void>()
  hints.beforeRead = () => read.promise
  hints.restart()
  await hints.clock.settle()
  const ended = hints.end()
  read.resolve()
  await ended
  assert.is(hints.timers, 0)
})

test('nothing is sent before the ring is known, nor to a peer with another store id', async () => {
  const hints = new HintsHarness()
  hints.keep('b', 'k')
  hints.link('b')
  hints.reborn.add('b')
  await hints.clock.advance(3000)
  assert.is(hints.sent.length, 0)
  hints.view()
  await hints.clock.advance(3000)
  assert.is(hints.sent.length, 0, 'the link names another store')
  hints.reborn.clear()
  hints.link('b')
  await hints.clock.settle()
  assert.is(hints.sent.length, 1)
})

test('hints beyond the bound in bytes are dropped and counted, with one log line for many', async () => {
  const hints = await harness({ bytesMax: 1000 })
  for (const key of keys(50)) hints.keep('b', key)
  await hints.clock.settle()
  assert.ok(hints.totals.bytes <= 1000)
  assert.ok(hints.totals.entries > 5)
  assert.is(hints.dropped('full'), 50 - hints.totals.entries)
  assert.is(hints.warnings.length, 1)
  await hints.clock.advance(11_000)
  assert.is(hints.warnings.length, 2)
  const told = hints.warnings.map((line) => (line as { dropped: { full: number } }).dropped.full)
  assert.is(told[0]! + told[1]!, hints.dropped('full'))
})

test('with a bound of 0 bytes no hint is kept', async () => {
  const hints = await harness({ bytesMax: 0 })
  hints.keep('b', 'k')
  await hints.clock.settle()
  assert.is(hints.dropped('full'), 1)
  assert.equal(await hints.onDisk(), [])
})

test('hints that are too old are dropped, also while the owner is away, and the others stay', async () => {
  const hints = await harness({ ageMs: MINUTE_MS })
  for (const key of keys(3)) hints.keep('b', key)
  await hints.clock.advance(MINUTE_MS / 2)
  hints.keep('b', 'young')
  await hints.clock.advance(MINUTE_MS / 2 + 5000)
  assert.equal(await hints.onDisk(), ['young'])
  assert.is(hints.dropped('old'), 3)
  hints.link('b')
  await hints.clock.settle()
  await hints.answer()
  assert.equal(hints.totals, { entries: 0, bytes: 0 })
})

test('a restart does not send hints that are too old', async () => {
  const hints = await harness({ ageMs: MINUTE_MS })
  hints.keep('b', 'k')
  await hints.clock.settle()
  hints.restart()
  await hints.clock.advance(2 * MINUTE_MS)
  hints.link('b')
  hints.view()
  await hints.clock.advance(2000)
  assert.is(hints.sent.length, 0)
  assert.is(hints.dropped('old'), 1)
})

test('a wall clock that jumps makes no hint older, and none younger, also not over a restart', async () => {
  const hints = await harness({ ageMs: MINUTE_MS })
  for (const skewMs of [100 * MINUTE_MS, -100 * MINUTE_MS, 0]) {
    hints.setClock(skewMs)
    hints.keep('b', `kept at ${skewMs}`)
    await hints.clock.advance(5000)
    hints.restart()
    hints.view()
    await hints.clock.advance(5000)
  }
  assert.is(hints.totals.entries, 3)
  hints.setClock(-100 * MINUTE_MS)
  await hints.clock.advance(MINUTE_MS)
  assert.is(hints.dropped('old'), 3)
  assert.equal(await hints.onDisk(), [])
})

test('an owner that is overloaded is left alone for a while, and then sent hints again', async () => {
  for (const code of ['OVERLOADED', 'TIMEOUT', 'UNREACHABLE', 'NOT_SERVING', 'DISK_FULL'] as const) {
    const hints = await harness()
    for (const key of keys(10)) hints.keep('b', key)
    hints.link('b')
    await hints.clock.settle()
    while (hints.sent.length > 0) await hints.answer(code)
    assert.is((await hints.onDisk()).length, 10, code)
    await hints.clock.advance(300)
    assert.is(hints.sent.length, 0, `${code}: it rests`)
    hints.answersAfterMs = 1
    await hints.clock.advance(3000)
    assert.equal(await hints.onDisk(), [], code)
  }
})

test('of an interrupted batch only the answered hints are deleted', async () => {
  const hints = await harness()
  for (const key of keys(4)) hints.keep('b', key)
  hints.link('b')
  await hints.clock.settle()
  assert.is(hints.sent.length, 4)
  for (const code of [undefined, 'OVERLOADED', undefined, 'OVERLOADED'] as const) await hints.answer(code)
  assert.equal(await hints.onDisk(), ['key-0001', 'key-0003'])
  hints.answersAfterMs = 1
  await hints.clock.advance(3000)
  assert.equal(await hints.onDisk(), [])
  assert.equal(hints.totals, { entries: 0, bytes: 0 })
})

test('a hint that a promise keeps out stays, and the others are sent meanwhile', async () => {
  const hints = await harness()
  for (const key of keys(12)) hints.keep('b', key)
  hints.link('b')
  await hints.clock.settle()
  await hints.answer('promised')
  while (hints.sent.length > 0) await hints.answer()
  await hints.clock.settle()
  assert.equal(await hints.onDisk(), ['key-0000'])
  await hints.clock.advance(300)
  assert.is(hints.sent.length, 0, 'it is not sent again at once')
  await hints.clock.advance(1000)
  assert.equal(
    hints.sent.map(({ key }) => key),
    ['key-0000']
  )
  await hints.answer()
  assert.equal([await hints.onDisk(), hints.totals.entries], [[], 0])
})

test('a hint that the owner can never accept, or whose slot it no longer owns, is dropped and counted', async () => {
  const hints = await harness()
  for (const key of keys(4)) hints.keep('b', key)
  hints.link('b')
  await hints.clock.settle()
  for (const code of ['NOT_OWNER', 'STALE_VIEW', 'CLOCK_SKEW', 'BAD_ENTRY'] as const) await hints.answer(code)
  assert.equal(await hints.onDisk(), [])
  assert.equal([hints.dropped('moved'), hints.dropped('refused')], [2, 2])
  assert.equal(hints.warnings, [{ dropped: { refused: 2 } }])
})

test('a slot that moved in the newest view needs no hint, and a former member needs none at all', async () => {
  const hints = await harness()
  hints.keep('b', 'k')
  hints.keep('c', 'k')
  await hints.clock.settle()
  // c still owns the slot. b is a member of the ring but owns nothing in it.
  hints.view({ number: 2, window: [config(2, 'acd')] })
  await hints.clock.settle()
  assert.equal(await hints.onDisk(), ['k'])
  assert.is(hints.dropped('gone'), 1)
  const moved = new Map([[slotOf(Buffer.from('k')), [config(3, 'abd')]]])
  hints.view({ number: 3, window: [config(3, 'acd')], except: moved })
  hints.link('c')
  await hints.clock.settle()
  assert.is(hints.dropped('moved'), 1)
  assert.is(hints.sent.length, 0)
  assert.equal(hints.warnings, [])
})

test('on a full disk no hints are kept, and kept hints are still replayed and deleted', async () => {
  const hints = await harness()
  hints.keep('b', 'before')
  await hints.clock.settle()
  hints.replica.freeBytes = 1000
  await hints.clock.advance(1100)
  hints.keep('b', 'after')
  await hints.clock.settle()
  assert.equal(await hints.onDisk(), ['before'])
  assert.is(hints.dropped('disk'), 1)
  hints.answersAfterMs = 1
  hints.link('b')
  await hints.clock.advance(100)
  assert.equal(await hints.onDisk(), [])
})

test('a failed write drops its hints, and the counters are right again in the end', async () => {
  for (const isWritten of [false, true]) {
    const hints = await harness()
    hints.replica.disk.failNext = 'STORE_FAILED'
    hints.replica.disk.failWritten = isWritten
    hints.keep('b', 'lost')
    await hints.clock.advance(2000)
    assert.is(hints.dropped('disk'), 1)
    hints.keep('b', 'kept')
    await hints.clock.settle()
    hints.answersAfterMs = 1
    hints.link('b')
    await hints.clock.advance(1000)
    assert.equal(await hints.onDisk(), [])
    assert.equal(hints.totals, { entries: 0, bytes: 0 })
  }
})

test('hints that cannot be deleted are sent again', async () => {
  const hints = await harness()
  hints.keep('b', 'k')
  await hints.clock.settle()
  hints.link('b')
  await hints.clock.settle()
  hints.replica.disk.failNext = 'STORE_FAILED'
  await hints.answer()
  assert.equal(await hints.onDisk(), ['k'])
  hints.answersAfterMs = 1
  await hints.clock.advance(5000)
  assert.equal(await hints.onDisk(), [])
  assert.is(hints.counts.get('ringd_hints_replayed'), 1)
})

test('a damaged hint is dropped, and its neighbours are sent', async () => {
  const hints = await harness()
  for (const key of keys(3)) hints.keep('b', key)
  await hints.clock.settle()
  const scan = hints.replica.disk.scan(allHints())
  const [, [key, value]] = (await scan.next(Number.POSITIVE_INFINITY)) as [unknown, [Uint8Array, Uint8Array]]
  await scan.close()
  await hints.replica.disk.disk.write([{ type: 'put', key, value: value.subarray(0, value.length - 1) }])
  hints.answersAfterMs = 1
  hints.link('b')
  await hints.clock.advance(100)
  assert.is(hints.dropped('damaged'), 1)
  assert.is(hints.counts.get('ringd_hints_replayed'), 2)
  assert.is(hints.totals.entries, 0)
})

test('hints under way never exceed the pace, and slow answers lower it', async () => {
  const quick = await harness()
  for (const key of keys(1000)) quick.keep('b', key)
  quick.answersAfterMs = 2
  quick.link('b')
  await quick.clock.advance(2000)
  assert.is(quick.totals.entries, 0)
  assert.is(quick.mostUnderWay, WINDOW_MAX)
  const slow = await harness()
  for (const key of keys(100)) slow.keep('b', key)
  slow.answersAfterMs = 200
  slow.link('b')
  await slow.clock.advance(5000)
  assert.is(slow.sent.length, 1)
  assert.ok(slow.totals.entries < 100)
})

test('a slow answer halves the pace once for all hints that were under way with it', () => {
  const pace = new Pace()
  for (let answer = 0; answer < 1000; answer++) pace.answered(answer, answer + 1)
  assert.is(pace.window, WINDOW_MAX)
  for (let answer = 0; answer < 20; answer++) pace.answered(2000, 2100 + answer)
  assert.is(pace.window, WINDOW_MAX / 2)
  for (let at = 3000; at < 10_000; at += 1000) pace.answered(at, at + 500)
  assert.is(pace.window, 1)
})

test('the bytes of hints that wait for the disk is bounded', async () => {
  const hints = await harness()
  hints.replica.disk.hold()
  const value = 'x'.repeat(2 ** 20)
  for (const key of keys(40)) hints.keep('b', key, 1, value)
  await hints.clock.settle()
  assert.is(hints.dropped('overload'), 25)
  hints.replica.disk.release()
  await hints.clock.settle()
  assert.is((await hints.onDisk()).length, 15)
})

test('hints that wait when the peer stops are kept', async () => {
  const hints = await harness()
  hints.replica.disk.hold()
  hints.keep('b', 'first')
  await hints.clock.settle()
  for (const key of keys(3)) hints.keep('b', key)
  await hints.clock.settle()
  await hints.stop()
  hints.replica.disk.release()
  await hints.clock.settle()
  assert.equal(await hints.onDisk(), ['first', ...keys(3)])
})

test('hints for this member itself are applied to its own store', async () => {
  const hints = await harness()
  hints.replica.view({ number: 1, window: [config(1, 'abc')] })
  hints.keep('a', 'own', 5)
  await hints.clock.settle()
  assert.equal(await hints.onDisk(), [])
  assert.equal(hints.replica.stored('own'), hints.replica.envelope('own', 5, 'v'))
})

test.run()
