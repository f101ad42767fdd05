// Turns of large work: pieces wait while the event loop is busy, and go on at last. Under virtual time.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LargeWork } from '../../lib/large-work.js'
import { KiB, MiB } from '../../lib/limits.js'
import { PacketPieces } from '../../lib/network/packet-pieces.js'
import { RequestRate } from '../../lib/network/request-rate.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('large work')

/** The length of a packet with a large frame. */
const LONG = 8 * MiB

test('a loop that is idle half of the time begins pieces at once, one that is busy makes them wait', async () => {
  const clock = new VirtualClock()
  let busy = 0
  const work = new LargeWork(clock, () => busy)
  const began: string[] = []
  const begin = (name: string): void => work.begin(() => began.push(name) > 0)
  await clock.advance(100)
  busy += 40
  begin('a')
  assert.equal(began, ['a'])
  await clock.advance(20)
  busy += 20
  begin('b')
  begin('c')
  assert.equal(began, ['a'])
  await clock.advance(19)
  assert.equal(began, ['a'])
  await clock.advance(1)
  assert.equal(began, ['a', 'b'])
  await clock.advance(2)
  assert.equal(began, ['a', 'b', 'c'], 'the piece before took no time')
})

test('a loop that is always busy begins a piece every 100 ms, in order', async () => {
  const clock = new VirtualClock()
  const work = new LargeWork(clock, () => clock.elapsed())
  const began: number[] = []
  await clock.advance(1000)
  for (let n = 0; n < 5; n++) work.begin(() => began.push(n) > 0)
  await clock.advance(210)
  assert.equal(began, [0, 1, 2])
  await clock.advance(300)
  assert.equal(began, [0, 1, 2, 3, 4])
})

test('pieces that nobody wants any more take no turn', async () => {
  const clock = new VirtualClock()
  const work = new LargeWork(clock, () => clock.elapsed())
  await clock.advance(1000)
  const began: string[] = []
  const begin = (name: string, isWanted: boolean): void => {
    work.begin(() => {
      if (isWanted) began.push(name)
      return isWanted
    })
  }
  begin('a', true)
  for (let n = 0; n < 50; n++) begin('gone', false)
  begin('b', true)
  await clock.advance(101)
  assert.equal(began, ['a', 'b'])
})

test('a large packet is read on only in its turn', async () => {
  const clock = new VirtualClock()
  let turns = 0
  const pieces = new PacketPieces(new LargeWork(clock, () => clock.elapsed()), 100, () => ++turns > 0)
  await clock.advance(100)
  pieces.add(99, LONG)
  assert.not(pieces.isWaiting)
  pieces.add(1, LONG)
  assert.equal([pieces.isWaiting, turns], [false, 1], 'the first turn was free')
  pieces.add(100, LONG)
  pieces.add(500, LONG)
  assert.ok(pieces.isWaiting)
  await clock.advance(100)
  assert.equal([pieces.isWaiting, turns], [false, 2])
  pieces.add(1000, 300 * KiB)
  assert.equal([pieces.isWaiting, turns], [false, 2], 'a packet of many small frames takes no turn')
})

test('requests of one link begin at a bounded rate, and those that wait go on', async () => {
  const clock = new VirtualClock()
  let ready = 0
  const rate = new RequestRate(clock, 10, () => void ready++)
  const take = (times: number): number => Array.from({ length: times }, () => rate.take()).filter(Boolean).length
  assert.is(take(30), 10)
  await clock.advance(99)
  assert.is(ready, 0)
  await clock.advance(2)
  assert.is(ready, 1)
  assert.is(take(3), 1)
  await clock.advance(60_000)
  assert.is(take(30), 10, 'a second is the most that is saved')
  rate.stop()
})

test.run()
