// One move of benchmark `move` through ringd: real daemons hold random values, one more joins, and everything that it
// owns moves to it. The ring is idle, or under an open-loop load. The joiner tells when it is ready for each slot that
// it owns; afterwards it must hold each of the keys.
import { fromText } from '../lib/bytes.js'
import { slotOf } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { DiskWatch } from './bench-disk.js'
import { keyNames, load, randomValues } from './bench-load.js'
import type { TimeTold } from './bench-move-eta.js'
import {
  between,
  type LoadResult,
  latenciesOf,
  type MoveShape,
  type Progress,
  type RingdMove,
  rates,
  secondsOf
} from './bench-move-figures.js'
import { type LoadTarget, OpenLoad, peakRate } from './bench-open-load.js'
import { type BenchPeer, BenchRing, ownedBy, pause } from './bench-peers.js'
import { cpuSeconds, memoryGrowth } from './bench-processes.js'
import { metricSum } from './bench-statistics.js'

const IDLE_MS_MAX = 180_000
const POLL_MS = 100
const MOVE_MS_MAX = 900_000
/** The status may count entries a moment later than the slots become ready. */
const HELD_MS_MAX = 30_000
const RELEASED_MS_MAX = 120_000
const PEAK_MS = 5000
/** The load sends this share of the peak rate. */
const LOAD_SHARE = 1 / 3
const BEFORE_MS = 20_000
const AFTER_MS = 3000

/** What is sampled while the joiner pulls. */
interface Follow {
  /** Ms from when the joiner serves until it is ready for all slots that it owns. */
  readonly ms: number
  readonly course: readonly Progress[]
  readonly told: readonly TimeTold[]
  /** The metrics of the joiner at the end. */
  readonly metrics: string
}

interface Owned {
  readonly entries: number
  readonly bytes: number
}

export async function moveRingd(shape: MoveShape, isLoaded: boolean): Promise<RingdMove> {
  const ring = await BenchRing.start(shape.members)
  try {
    const nextValue = randomValues(shape.valueBytes)
    await load(ring.peers, shape.keys, nextValue)
    await ring.idle(IDLE_MS_MAX)
    if (!isLoaded) return await join(ring, shape)
    const target = { ports: ring.peers.map(({ respPort }) => respPort), keys: shape.keys, nextValue }
    return await joinUnderLoad(ring, shape, target)
  } finally {
    await ring.stop()
  }
}

async function join(ring: BenchRing, shape: MoveShape): Promise<RingdMove> {
  const startedAt = systemClock.elapsed()
  const sources = pidsOf(ring.peers)
  const disk = new DiskWatch(ring.path)
  const sourceGrowth = memoryGrowth(sources)
  const joiner = await ring.add()
  const all = [...sources, ...pidsOf([joiner])]
  const [cpuBefore, joinerGrowth] = [cpuSeconds(all), memoryGrowth(pidsOf([joiner]))]
  const { ms, course, told, metrics } = await follow(joiner)
  const cpuAfter = cpuSeconds(all)
  const growth = { joinerGrowth: joinerGrowth(), sourceGrowth: sourceGrowth() }
  const owned = await ownedEntries(joiner, shape)
  const held = await untilHeld(joiner, owned.entries)
  await ring.released(RELEASED_MS_MAX)
  const diskPeak = disk.stop()
  const wireBytes = metricSum(metrics, 'ringd_network_received_bytes')
  return {
    startSeconds: (joiner.readyAt - startedAt) / 1000,
    seconds: ms / 1000,
    ...owned,
    ...rates(owned.entries, owned.bytes, ms / 1000),
    cpuSeconds: cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore,
    ...growth,
    receivedEntries: metricSum(metrics, 'ringd_migration_received_entries'),
    receivedBytes: metricSum(metrics, 'ringd_migration_received_bytes'),
    heldEntries: held.entries,
    heldBytes: held.bytes,
    wireBytes,
    wireRatio: wireBytes / owned.bytes,
    diskRatio: diskPeak / (disk.before + held.bytes),
    course,
    told
  }
}

async function joinUnderLoad(ring: BenchRing, shape: MoveShape, target: LoadTarget): Promise<RingdMove> {
  const peakPerSecond = await peakRate(target, PEAK_MS)
  await ring.idle(IDLE_MS_MAX)
  const perSecond = peakPerSecond * LOAD_SHARE
  const openLoad = await OpenLoad.start(target, perSecond)
  await pause(BEFORE_MS)
  const startsAt = systemClock.elapsed() - openLoad.startedAt
  const move = await join(ring, shape)
  const servesAt = ring.peers.at(-1)!.readyAt - openLoad.startedAt
  await pause(AFTER_MS)
  const samples = await openLoad.stop()
  const result: LoadResult = {
    peakPerSecond,
    perSecond,
    before: latenciesOf(between(samples, startsAt - BEFORE_MS, startsAt)),
    during: latenciesOf(between(samples, servesAt, servesAt + move.seconds * 1000)),
    seconds: secondsOf(samples, move.course, servesAt)
  }
  return { ...move, load: result }
}

function pidsOf(peers: readonly BenchPeer[]): number[] {
  return peers.map(({ process }) => process.pid ?? 0)
}

/** Resolves when the joiner is a member and ready for every slot that it owns. Throws after MOVE_MS_MAX. */
async function follow(joiner: BenchPeer): Promise<Follow> {
  const { storeId } = await joiner.client.id()
  const course: Progress[] = []
  const told: TimeTold[] = []
  for (;;) {
    const [status, metrics] = await Promise.all([joiner.client.status(), joiner.client.metrics()])
    const ms = systemClock.elapsed() - joiner.readyAt
    course.push({ at: ms, bytes: pulledBytes(metrics) })
    told.push({ at: ms, etaMs: status.move.etaMs, bytes: status.move.bytes })
    const owns = status.members.find((member) => member.storeId === storeId)?.owns ?? 0
    const unready = metricSum(metrics, 'ringd_migration_unready_slots')
    // The gauge is also 0 before the joiner is a member; then it owns nothing, or its slots move.
    if (owns > 0 && status.slots.moving === 0 && unready === 0) return { ms, course, told, metrics }
    if (ms > MOVE_MS_MAX)
      throw new Error(`the joiner was not ready for ${unready} of ${owns} slots after ${MOVE_MS_MAX / 1000} s`)
    await pause(POLL_MS)
  }
}

function pulledBytes(metrics: string): number {
  return Number(/^ringd_network_received_bytes(?:_total)?\{stream="pull"\} (\S+)$/m.exec(metrics)?.[1] ?? 0)
}

/** The keys whose slots the joiner owns. */
async function ownedEntries(joiner: BenchPeer, { keys, valueBytes }: MoveShape): Promise<Owned> {
  const owned = await ownedBy(joiner)
  let [entries, bytes] = [0, 0]
  for (const name of keyNames(keys)) {
    if (!owned.has(slotOf(fromText(name)))) continue
    entries += 1
    bytes += name.length + valueBytes
  }
  return { entries, bytes }
}

/** Resolves with what the joiner holds by its status, when this is at least `expected` entries. */
async function untilHeld(joiner: BenchPeer, expected: number): Promise<Owned> {
  const { storeId } = await joiner.client.id()
  const deadline = systemClock.elapsed() + HELD_MS_MAX
  for (;;) {
    const mine = (await joiner.client.status()).members.find((member) => member.storeId === storeId)
    const held = { entries: mine?.keys ?? 0, bytes: mine?.bytes ?? 0 }
    if (held.entries >= expected) return held
    if (systemClock.elapsed() > deadline)
      throw new Error(`the joiner is ready for all its slots, but holds ${held.entries} of ${expected} entries`)
    await pause(POLL_MS)
  }
}
