// Room of deleted entries: which ranges the store rewrites, when, and how fast.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Reclaim } from '../../lib/actors/replica/reclaim.js'
import { GROUP_SLOTS, GROUPS, SlotRoom } from '../../lib/actors/replica/slot-room.js'
import { slotScan } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import type { ScanRange } from '../../lib/storage/store.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('replica/reclaim')
const LOOK_MS = 5000

class Harness {
  readonly clock = new VirtualClock()
  readonly room = new SlotRoom()
  readonly space = { isShort: false, hasRoomFor: (_bytes: number) => true }
  readonly stats = { isComplete: true, room: this.room }
  /** The ranges that were rewritten, oldest first. */
  readonly rewritten: ScanRange[] = []
  /** Bytes on disk of each group. */
  disk = 0
  compactMs = 100
  failure: RingdError | undefined
  readonly reclaim: Reclaim

  constructor() {
    const { clock, stats: slotStats, space } = this
    const store = {
      failure: undefined,
      compact: async (range: ScanRange) => {
        if (this.failure !== undefined) throw this.failure
        this.rewritten.push(range)
        await new Promise<void>((resolve) => void clock.after(this.compactMs, resolve))
      },
      diskBytes: async () => this.disk
    }
    this.reclaim = new Reclaim({ clock, log: silent, metrics: new KeptMetrics(), store, slotStats, space })
  }

  /** Stores and deletes so many bytes in each of these groups. */
  use(groups: readonly number[], stored: number, deleted: number): void {
    for (const group of groups) {
      this.room.change(group * GROUP_SLOTS, 0, stored)
      this.room.change(group * GROUP_SLOTS, deleted, 0)
    }
  }
}

const ALL = Array.from({ length: GROUPS }, (_, group) => group)

function range(first: number, last: number): ScanRange {
  return slotScan(first * GROUP_SLOTS, (last + 1) * GROUP_SLOTS - 1)
}

test('ranges of which much was deleted are rewritten, and only those', async () => {
  const made = new Harness()
  made.use(ALL, 100 * MiB, 0)
  made.use([3], 0, 60 * MiB)
  await made.clock.advance(LOOK_MS)
  assert.equal(made.rewritten, [range(3, 3)])
  await made.clock.advance(10 * LOOK_MS)
  assert.is(made.rewritten.length, 1, 'what was given back is not given back again')
})

test('little is left to LevelDB', async () => {
  const made = new Harness()
  made.use(ALL, 100 * MiB, MiB)
  made.use([3], 0, 2 * MiB)
  await made.clock.advance(10 * LOOK_MS)
  assert.equal(made.rewritten, [])
})

test('neighbouring groups are rewritten together while they are small, with rests between', async () => {
  const made = new Harness()
  made.use(ALL, 3 * MiB, 2 * MiB)
  await made.clock.advance(LOOK_MS)
  assert.is(made.rewritten.length, 1)
  await made.clock.advance(made.compactMs)
  await made.clock.advance(2 * made.compactMs)
  assert.is(made.rewritten.length, 1, 'it rests for three times as long as it worked')
  await made.clock.advance(10 * LOOK_MS)
  assert.equal(made.rewritten, [range(0, 20), range(21, 41), range(42, 62), range(63, 63)])
})

test('when room is running out less is enough, the ranges are smaller, and there are no rests', async () => {
  const made = new Harness()
  made.use(ALL, MiB, MiB / 10)
  await made.clock.advance(2 * LOOK_MS)
  assert.equal(made.rewritten, [])
  made.space.isShort = true
  await made.clock.advance(LOOK_MS + 9 * made.compactMs)
  assert.is(made.rewritten.length, 8)
})

test('nothing is rewritten without room for it, nor while the store takes no write', async () => {
  const made = new Harness()
  made.use(ALL, 3 * MiB, 2 * MiB)
  made.space.hasRoomFor = () => false
  await made.clock.advance(2 * LOOK_MS)
  assert.equal(made.rewritten, [])
  made.space.hasRoomFor = () => true
  await made.clock.advance(LOOK_MS)
  assert.is(made.rewritten.length, 1)
})

test('a failure is tried again at the next look', async () => {
  const made = new Harness()
  made.use([3], 0, 60 * MiB)
  made.failure = new RingdError('STOPPED')
  await made.clock.advance(LOOK_MS)
  made.failure = undefined
  made.use([3], 0, 60 * MiB)
  await made.clock.advance(LOOK_MS)
  assert.equal(made.rewritten, [range(3, 3)])
})

test('after a restart the disk tells how much was deleted before', async () => {
  const made = new Harness()
  made.use(ALL, MiB, 0)
  made.disk = 4 * MiB
  made.stats.isComplete = false
  await made.clock.advance(2 * LOOK_MS)
  assert.equal(made.rewritten, [], 'the entries are not counted yet')
  made.stats.isComplete = true
  await made.clock.advance(20 * LOOK_MS)
  assert.equal(made.rewritten[0], range(0, 15))
  assert.is(made.rewritten.length, 4)
})

test.run()
