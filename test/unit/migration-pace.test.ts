// The pace of moves: never above the rate but for a burst and a part, in the order of the calls, and as much as clients
// do not feel.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Pulse } from '../../lib/actors/migration/client-pulse.js'
import {
  BURST_MS,
  CALM_MS,
  FIRST_GROWTH,
  FIRST_RATE,
  GROWTH,
  LEAST_RATE,
  LOOK_MS,
  Pace,
  PROBE_GROWTH,
  YIELD_MUCH_SHARE,
  YIELD_SHARE
} from '../../lib/actors/migration/pace.js'
import { KiB, MiB } from '../../lib/limits.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('migration/pace')

const PART = 256 * KiB
const NOBODY: Pulse = { isActive: false, p99Ms: 0, usualMs: undefined, variesMs: 0 }
const CALM: Pulse = { isActive: true, p99Ms: 5, usualMs: 5, variesMs: 0 }
const FELT: Pulse = { isActive: true, p99Ms: 10, usualMs: 5, variesMs: 0 }

class Fixture {
  readonly clock = new VirtualClock()
  readonly moves: boolean[] = []
  pulse: Pulse = NOBODY
  looks = 0
  readonly pace: Pace

  constructor(pulse: Pulse = NOBODY) {
    this.pulse = pulse
    const look = () => {
      this.looks += 1
      return this.pulse
    }
    this.pace = new Pace({ clock: this.clock, pulse: { look, moving: (isMoving) => void this.moves.push(isMoving) } })
  }

  /** Moves parts without a pause, until told to end. */
  mover(bytes = PART) {
    const moved: { readonly at: number; readonly bytes: number }[] = []
    const state = { moved, isOver: false }
    const run = async () => {
      while (!state.isOver) {
        await this.pace.take(bytes)
        moved.push({ at: this.clock.elapsed(), bytes })
        // At once would never end while nothing holds it back.
        await new Promise<void>((resolve) => void this.clock.after(1, resolve))
      }
    }
    void run()
    return state
  }
}

/** The most that was moved in a span of time beyond what the rate allows for it, bytes. */
function excess(moved: readonly { at: number; bytes: number }[], rate: number): number {
  let most = 0
  let ahead = 0
  let last = moved[0]?.at ?? 0
  for (const { at, bytes } of moved) {
    ahead = Math.max(0, ahead - ((at - last) / 1000) * rate) + bytes
    last = at
    most = Math.max(most, ahead)
  }
  return most
}

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual / expected - 1) < 1e-6, `${actual} instead of ${expected}`)
}

const sum = (moved: readonly { bytes: number }[]) => moved.reduce((all, { bytes }) => all + bytes, 0)

test('without a limit and without clients nothing waits', async () => {
  const { pace, clock } = new Fixture()
  let taken = 0
  for (let part = 0; part < 1000; part++)
    void pace.take(8 * MiB).then(() => {
      taken += 1
    })
  await clock.settle()
  assert.is(taken, 1000)
  assert.is(pace.rate, Number.POSITIVE_INFINITY)
})

for (const [limit, part] of [
  [MiB, PART],
  [64 * KiB, PART],
  [100 * KiB, 100],
  [MiB, 8 * MiB]
] as const) {
  test(`in no span of time is more moved than ${limit} B/s and a burst allow, in parts of ${part} B`, async () => {
    const made = new Fixture()
    made.pace.limit = limit
    const movers = [made.mover(part), made.mover(part), made.mover(part)]
    await made.clock.advance(60_000)
    const moved = movers.flatMap((one) => one.moved).sort((one, other) => one.at - other.at)
    assert.ok(excess(moved, limit) <= (BURST_MS / 1000) * limit + part, `exceeded by ${excess(moved, limit)}`)
    // And not much less either, as far as the movers ask for it: each moves a part in a ms at most.
    const asked = Math.min(limit, part * 3 * 1000)
    assert.ok(sum(moved) >= 60 * asked * 0.8, `${sum(moved)} of ${60 * asked}`)
  })
}

test('a pause saves up no more than a burst', async () => {
  const made = new Fixture()
  made.pace.limit = MiB
  await made.pace.take(1)
  await made.clock.advance(60_000)
  let taken = 0
  for (let part = 0; part < 10_000; part++)
    void made.pace.take(KiB).then(() => {
      taken += KiB
    })
  await made.clock.settle()
  assert.ok(taken > 0 && taken <= (BURST_MS / 1000) * MiB + KiB, `${taken} B at once`)
})

test('those that wait are served in the order in which they came', async () => {
  const { pace, clock } = new Fixture()
  pace.limit = MiB
  const served: number[] = []
  for (let taker = 0; taker < 20; taker++) void pace.take(taker % 3 === 0 ? MiB : KiB).then(() => served.push(taker))
  await clock.advance(10_000)
  assert.equal(
    served,
    Array.from({ length: 20 }, (_, taker) => taker)
  )
})

test('one that comes while others wait does not pass them, although there is room', async () => {
  const { pace, clock } = new Fixture()
  pace.limit = MiB
  await pace.take(MiB)
  const served: string[] = []
  void pace.take(KiB).then(() => served.push('first'))
  // Time passes, and the timer is late.
  const real = clock.elapsed.bind(clock)
  clock.elapsed = () => real() + 5000
  void pace.take(KiB).then(() => served.push('second'))
  await clock.settle()
  assert.equal(served, [])
  await clock.advance(LOOK_MS)
  assert.equal(served, ['first', 'second'])
})

test('one limit holds for all ends of streams of a peer together, and for what only asks for the limit', async () => {
  const made = new Fixture()
  made.pace.limit = MiB
  const [source, puller] = [made.mover(), made.mover()]
  let quiet = 0
  const give = async () => {
    for (;;) {
      await made.pace.takeWithinLimit(PART)
      quiet += PART
    }
  }
  void give()
  await made.clock.advance(30_000)
  const all = sum(source.moved) + sum(puller.moved) + quiet
  assert.ok(all <= 30 * MiB + (BURST_MS / 1000) * MiB + PART)
  assert.ok(Math.abs(sum(source.moved) - sum(puller.moved)) <= PART && Math.abs(quiet - sum(puller.moved)) <= PART)
})

test('who does not want to move any more holds nobody up, uses nothing up, and is not kept', async () => {
  const { pace, clock } = new Fixture()
  pace.limit = MiB
  await pace.take(PART)
  const gone = new AbortController()
  let ended = 0
  for (let part = 0; part < 100; part++)
    void pace.take(MiB, gone.signal).then(() => {
      ended += 1
    })
  let servedAt = 0
  void pace.take(KiB).then(() => {
    servedAt = clock.elapsed()
  })
  await clock.advance(10)
  gone.abort()
  await clock.settle()
  assert.is(ended, 100, 'the promises of a stream that ended are settled at once')
  await clock.advance(1000)
  assert.ok(servedAt > 0 && servedAt <= 350, `served after ${servedAt} ms`)
  await pace.take(MiB, gone.signal)
})

test('a limit counts at once, also for those that wait', async () => {
  const made = new Fixture()
  made.pace.limit = 64 * KiB
  const mover = made.mover(MiB)
  await made.clock.advance(1000)
  assert.is(mover.moved.length, 1)
  made.pace.limit = 100 * MiB
  await made.clock.advance(1000)
  const before = mover.moved.length
  assert.ok(before >= 3)
  made.pace.limit = 64 * KiB
  await made.clock.advance(1000)
  assert.ok(mover.moved.length <= before + 2)
  const waiting = mover.moved.length
  made.pace.limit = Number.POSITIVE_INFINITY
  await made.clock.settle()
  assert.is(mover.moved.length, waiting + 1, 'the one that waits goes on at once')
  await made.clock.advance(1000)
  assert.ok(mover.moved.length > before + 500)
})

test('a move lasts as long as somebody waits, and ends when nothing moves', async () => {
  const { pace, clock, moves } = new Fixture()
  pace.limit = 64 * KiB
  void pace.take(MiB)
  void pace.take(KiB)
  await clock.advance(15_000)
  assert.ok(pace.isMoving, 'somebody waits')
  await clock.advance(2000 + CALM_MS)
  assert.not.ok(pace.isMoving)
  assert.equal(moves, [true, false])
  await pace.takeWithinLimit(KiB)
  assert.not.ok(pace.isMoving, 'repair and handoff are no move')
})

test('a pace that was stopped lets everybody go, and has no timers any more', async () => {
  const { pace, clock } = new Fixture(FELT)
  pace.limit = 64 * KiB
  let ended = 0
  const count = () => {
    ended += 1
  }
  for (let part = 0; part < 5; part++) void pace.take(MiB).then(count)
  await clock.advance(100)
  pace.stop()
  await clock.settle()
  assert.is(ended, 5)
  pace.limit = 64 * KiB
  void pace.take(MiB).then(count)
  void pace.takeWithinLimit(MiB).then(count)
  await clock.settle()
  assert.is(ended, 7)
  assert.not.ok(pace.isMoving)
})

test('while clients feel nothing the rate rises, and only if it is what holds the move back', async () => {
  const made = new Fixture(CALM)
  const movers = [made.mover(), made.mover(), made.mover(), made.mover()]
  await made.clock.advance(1000)
  near(made.pace.rate, FIRST_RATE * (1 + FIRST_GROWTH) ** 10)
  await made.clock.advance(1000)
  near(made.pace.rate, FIRST_RATE * (1 + FIRST_GROWTH) ** 20)
  for (const mover of movers) mover.isOver = true
  await made.clock.advance(1000)
  const { rate } = made.pace
  for (let part = 0; part < 100; part++) {
    await made.pace.take(KiB)
    await made.clock.advance(50)
  }
  assert.is(made.pace.rate, rate, 'parts that never wait do not raise it')
})

test('when clients feel the move, the rate falls by factors, and never below the trickle', async () => {
  const made = new Fixture(CALM)
  const mover = made.mover()
  await made.clock.advance(3000)
  const { rate } = made.pace
  made.pulse = FELT
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, rate * YIELD_SHARE)
  await made.clock.advance(300)
  near(made.pace.rate, rate * YIELD_SHARE)
  await made.clock.advance(30_000)
  assert.is(made.pace.rate, LEAST_RATE)
  const before = sum(mover.moved)
  await made.clock.advance(10_000)
  assert.ok(Math.abs(sum(mover.moved) - before - 10 * LEAST_RATE) <= 2 * PART, 'a move never stops')
  made.pulse = CALM
  await made.clock.advance(10_000)
  assert.ok(made.pace.rate >= 16 * LEAST_RATE, 'it recovers')
})

test('when clients feel it much, the rate falls by half', async () => {
  const made = new Fixture(CALM)
  made.mover()
  await made.clock.advance(3000)
  const { rate } = made.pace
  made.pulse = { ...FELT, p99Ms: 50 }
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, rate * YIELD_MUCH_SHARE)
})

test('the rate comes back quickly to where clients felt it last, and from there it rises slowly', async () => {
  const made = new Fixture(CALM)
  for (let mover = 0; mover < 4; mover++) made.mover()
  await made.clock.advance(1000)
  const felt = made.pace.rate
  made.pulse = FELT
  await made.clock.advance(LOOK_MS)
  made.pulse = CALM
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, felt * YIELD_SHARE * (1 + GROWTH))
  while (made.pace.rate < felt * 0.95) await made.clock.advance(LOOK_MS)
  assert.ok(made.clock.elapsed() < 1600, 'it is back within half a second')
  const back = made.pace.rate
  await made.clock.advance(LOOK_MS)
  const growth = made.pace.rate / back - 1
  assert.ok(growth >= PROBE_GROWTH && growth < 0.03, `growth ${growth}`)
  await made.clock.advance(3500)
  const later = made.pace.rate
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, later * (1 + GROWTH))
})

test('what varies by itself is not felt until it takes longer than it usually varies', async () => {
  const made = new Fixture({ isActive: true, p99Ms: 14.9, usualMs: 10, variesMs: 5 })
  made.mover()
  await made.clock.advance(1000)
  assert.ok(made.pace.rate > FIRST_RATE)
  const { rate } = made.pace
  made.pulse = { isActive: true, p99Ms: 15.1, usualMs: 10, variesMs: 5 }
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, rate * YIELD_SHARE)
})

test('a late event loop slows a move as clients do', async () => {
  const made = new Fixture(CALM)
  made.mover()
  await made.clock.advance(1000)
  const { rate } = made.pace
  const real = made.clock.elapsed.bind(made.clock)
  let lateMs = 0
  made.clock.elapsed = () => real() + lateMs
  lateMs = 60
  await made.clock.advance(LOOK_MS)
  near(made.pace.rate, rate * YIELD_SHARE)
})

test('an operation that is a little slower than usual is not felt', async () => {
  const made = new Fixture({ isActive: true, p99Ms: 2.9, usualMs: 1, variesMs: 0 })
  made.mover()
  await made.clock.advance(1000)
  assert.ok(made.pace.rate > FIRST_RATE)
  made.pulse = { isActive: true, p99Ms: 3.1, usualMs: 1, variesMs: 0 }
  await made.clock.advance(LOOK_MS)
  assert.ok(made.pace.rate < FIRST_RATE * (1 + FIRST_GROWTH) ** 10)
})

test('the limit holds also where the trickle and the clients would allow more', async () => {
  const made = new Fixture(CALM)
  made.pace.limit = 100 * KiB
  const mover = made.mover(KiB)
  await made.clock.advance(5000)
  assert.is(made.pace.rate, 100 * KiB)
  made.pulse = FELT
  await made.clock.advance(5000)
  assert.ok(sum(mover.moved) <= 10.2 * 100 * KiB)
})

test('clients are looked at ten times a second, however many parts move', async () => {
  const made = new Fixture(CALM)
  for (let mover = 0; mover < 20; mover++) made.mover(100)
  await made.clock.advance(1000)
  assert.ok(made.looks <= 12, `${made.looks} looks`)
})

test('when the last client is silent, nothing but the limit counts any more', async () => {
  const made = new Fixture(FELT)
  const mover = made.mover(MiB)
  await made.clock.advance(5000)
  made.pulse = NOBODY
  const before = mover.moved.length
  await made.clock.advance(1000)
  assert.ok(mover.moved.length - before > 800)
  assert.is(made.pace.rate, Number.POSITIVE_INFINITY)
})

test.run()
