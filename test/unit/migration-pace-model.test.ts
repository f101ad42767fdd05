// The pace of moves against a model of a peer: one queue that operations of clients and pieces of a move share. Clients
// must hardly feel the move, and the move must not be much slower than what they leave.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ClientPulse } from '../../lib/actors/migration/client-pulse.js'
import { Pace } from '../../lib/actors/migration/pace.js'
import { KiB, MiB } from '../../lib/limits.js'
import { percentile } from '../../scripts/bench-statistics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('migration/pace: model')

interface Machine {
  /** Time of the processor for an operation; a share of operations waits for the disk, too. */
  readonly opMs: number
  readonly diskShare: number
  readonly diskMs: number
  /** Operations in a second. */
  readonly perSecond: number
  /** What a move does alone. */
  readonly idleMiBPerS: number
}

const PART = 256 * KiB
const PIECES = 4
const MOVERS = 12
const BEFORE_MS = 10_000
/** The pace may still look for its rate. */
const FIRST_MS = 5000
const MOVE_MS = 17_000
/** A little worse than what the seeds give, which is 1.5 and 0.47 at most. */
const RATIO_MAX = 1.6
const SHARE_MIN = 0.42

/** The operations before and during a move, and its share of what it does alone. */
async function move(machine: Machine, seed: number) {
  const { opMs, diskShare, diskMs, perSecond, idleMiBPerS } = machine
  const clock = new VirtualClock()
  const random = seeded(seed)
  const pulse = new ClientPulse(clock)
  const pace = new Pace({ clock, pulse })
  const exponential = (mean: number) => -Math.log(1 - random.next()) * mean
  const before: number[] = []
  const during: number[] = []
  let freeAt = 0
  let moved = 0
  /** The one processor works for so long, after everything that came before. */
  const work = (ms: number, done: () => void) => {
    freeAt = Math.max(clock.elapsed(), freeAt) + ms
    clock.after(freeAt - clock.elapsed(), done)
  }
  const operate = () => {
    const began = clock.elapsed()
    const end = () => {
      const tookMs = clock.elapsed() - began
      pulse.ended(tookMs)
      if (began < BEFORE_MS) before.push(tookMs)
      else if (began > BEFORE_MS + FIRST_MS) during.push(tookMs)
    }
    work(opMs, () => (random.next() < diskShare ? void clock.after(exponential(diskMs), end) : end()))
    clock.after(exponential(1000 / perSecond), operate)
  }
  const pieceMs = ((PART / MiB / idleMiBPerS) * 1000) / PIECES
  const pull = async () => {
    for (;;) {
      await pace.take(PART)
      for (let piece = 0; piece < PIECES; piece++) await new Promise<void>((resolve) => work(pieceMs, resolve))
      if (clock.elapsed() > BEFORE_MS + FIRST_MS) moved += PART
    }
  }
  operate()
  await clock.advance(BEFORE_MS)
  for (let mover = 0; mover < MOVERS; mover++) void pull()
  await clock.advance(MOVE_MS)
  const share = moved / MiB / ((MOVE_MS - FIRST_MS) / 1000) / idleMiBPerS
  return { ratio: percentile(during, 0.99)! / percentile(before, 0.99)!, share }
}

const MACHINES: Readonly<Record<string, Machine>> = {
  'a machine of 20 MiB/s': { opMs: 0.6, diskShare: 0.05, diskMs: 6, perSecond: 555, idleMiBPerS: 20 },
  'a machine of 60 MiB/s': { opMs: 0.3, diskShare: 0.05, diskMs: 6, perSecond: 1100, idleMiBPerS: 60 }
}

for (const [name, machine] of Object.entries(MACHINES)) {
  test(`${name} with a third of the load that it can bear: clients and the move get along`, async () => {
    const runs: { readonly ratio: number; readonly share: number }[] = []
    for (const seed of [1, 2, 3]) runs.push(await move(machine, seed))
    const mean = (pick: (run: { readonly ratio: number; readonly share: number }) => number) =>
      runs.reduce((sum, run) => sum + pick(run), 0) / runs.length
    const [ratio, share] = [mean((run) => run.ratio), mean((run) => run.share)]
    const says = `p99 is ${ratio.toFixed(2)} times as long, and the move has ${share.toFixed(2)} of its idle pace`
    assert.ok(ratio <= RATIO_MAX && share >= SHARE_MIN, says)
  })
}

test.run()
