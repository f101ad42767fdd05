// The guard below the muxer, frame by frame and in pieces of any size.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { FrameGuard } from '../../lib/network/muxer-guard.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { header } from './raw-peer.js'

const test = suite('muxer guard')
const WINDOW = 4 * MiB

interface Rig {
  readonly guard: FrameGuard
  readonly clock: VirtualClock
  /** Protocols of the open streams, by id. */
  readonly streams: Map<string, string>
  goodbyes: number
}

function harness(): Rig {
  const clock = new VirtualClock()
  const streams = new Map<string, string>([['1', '/ringd/bulk/1.0.0']])
  const rig = { clock, streams, goodbyes: 0 }
  const guard = new FrameGuard(
    clock,
    { frameBytesMax: WINDOW, windowBytes: WINDOW },
    (id) => streams.get(id),
    () => void rig.goodbyes++
  )
  return Object.assign(rig, { guard })
}

function codeOf(work: () => void): string {
  try {
    work()
    return ''
  } catch (thrown) {
    return thrown instanceof RingdError ? thrown.code : String(thrown)
  }
}

function data(streamId: number, length: number, flags = 0): Uint8Array {
  return Buffer.concat([header(0, flags, streamId, length), new Uint8Array(length).fill(0xff)])
}

test('sound frames pass in pieces of any size', () => {
  const frame = fc.oneof(
    fc.record({ type: fc.constant(0), length: fc.integer({ min: 0, max: 300 }) }),
    fc.record({ type: fc.constant(1), length: fc.nat(0xffffffff) })
  )
  const run = (frames: readonly { type: number; length: number }[], cuts: readonly number[]): void => {
    const { guard } = harness()
    const all = Buffer.concat(
      frames.map(({ type, length }) => (type === 0 ? data(1, length) : header(type, 0, 1, length)))
    )
    let at = 0
    for (const cut of [...cuts, all.length]) {
      guard.check(all.subarray(at, at + cut))
      at += cut
    }
    assert.not.ok(guard.failed)
    assert.is(
      codeOf(() => guard.check(header(9, 0, 0, 0))),
      'BAD_MESSAGE'
    )
  }
  fc.assert(fc.property(fc.array(frame, { maxLength: 30 }), fc.array(fc.nat(40), { maxLength: 50 }), run))
})

test('random bytes pass or are BAD_MESSAGE or OVERLOADED, and nothing is read after that', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const { guard } = harness()
      for (const chunk of chunks) {
        const code = codeOf(() => guard.check(chunk))
        assert.ok(['', 'BAD_MESSAGE', 'OVERLOADED'].includes(code), code)
        if (code !== '') return guard.failed
      }
      return !guard.failed
    }),
    { numRuns: 2000 }
  )
})

test('a data frame of the window passes, and a longer one fails at its header', () => {
  const { guard } = harness()
  guard.check(data(1, WINDOW))
  assert.is(
    codeOf(() => guard.check(header(0, 0, 1, WINDOW + 1))),
    'BAD_MESSAGE'
  )
  assert.is(
    codeOf(() => harness().guard.check(header(0, 0, 1, 0xffffffff))),
    'BAD_MESSAGE'
  )
})

test('a stream may carry little before its protocol is agreed, in one chunk or in many', () => {
  for (const first of [header(1, 1, 7, 0), data(7, 10, 1)]) {
    const { guard } = harness()
    guard.check(first)
    guard.check(data(7, 10 * KiB))
    assert.is(
      codeOf(() => guard.check(data(7, 10 * KiB))),
      'BAD_MESSAGE'
    )
    const whole = Buffer.concat([first, data(7, 20 * KiB)])
    assert.is(
      codeOf(() => harness().guard.check(whole)),
      'BAD_MESSAGE'
    )
  }
  const { guard, streams } = harness()
  guard.check(header(1, 1, 7, 0))
  streams.set('7', '')
  guard.check(data(7, 200))
  streams.set('7', '/ringd/control/1.0.0')
  guard.check(data(7, MiB))
})

test('gossip is bounded over time, and other streams are not', async () => {
  const { guard, streams, clock } = harness()
  streams.set('3', '/meshsub/1.2.0')
  for (let n = 0; n < 64; n++) guard.check(data(1, MiB))
  for (let n = 0; n < 32; n++) guard.check(data(3, MiB))
  await clock.advance(1000)
  for (let n = 0; n < 4; n++) guard.check(data(3, MiB))
  assert.is(
    codeOf(() => guard.check(data(3, MiB))),
    'OVERLOADED'
  )
})

test('pings and opened streams are bounded over time, and window updates are not', async () => {
  for (const costly of [header(2, 1, 0, 1), header(1, 1, 9, 0)]) {
    const { guard, clock } = harness()
    for (let n = 0; n < 50_000; n++) guard.check(header(1, 0, 1, 100))
    for (let n = 0; n < 1000; n++) guard.check(costly)
    await clock.advance(1000)
    for (let n = 0; n < 20; n++) guard.check(costly)
    assert.is(
      codeOf(() => guard.check(costly)),
      'OVERLOADED'
    )
  }
})

test('a goodbye is told', () => {
  const rig = harness()
  rig.guard.check(header(3, 0, 0, 0))
  assert.is(rig.goodbyes, 1)
})

test.run()
