// Benchmark `evict`: one of five peers is killed while a client continues. It measures the time until the other peers
// serve every key again, until they see the peer as down, and until they have restored its copies. Then a new peer
// replaces the dead one, and the next round begins.
import { MiB } from '../lib/limits.js'
import { systemClock } from '../lib/system-clock.js'
import { keyAt, load } from './bench-load.js'
import { type BenchPeer, BenchRing, pause } from './bench-peers.js'
import { LightLoad, RespSocket } from './bench-resp.js'
import { markdown, median, metricSum, percentile, shown } from './bench-statistics.js'

export interface EvictOptions {
  /** Number of keys in the ring, 1 kB each. */
  readonly keys: number
  readonly rounds: number
}

/** All times are ms since the kill. */
export interface EvictRound {
  /** A batch of operations on keys of all slots has succeeded through every living peer. */
  readonly againMs: number
  /** Every living peer reports the victim as down. */
  readonly downMs: number
  /** No living peer lists the victim as a member. */
  readonly evictedMs: number
  /** Every living peer reports that no slot lacks a copy and no slot is moving. */
  readonly wholeMs: number
  /** Data that the living peers pulled. */
  readonly mib: number
  readonly mibPerSecond: number
  /** p99 of a client of one living peer: before the kill, from the kill until `wholeMs`, and after that. */
  readonly p99Ms: readonly (number | undefined)[]
  /** The failed requests of that client. */
  readonly failures: number
}

const PEERS = 5
const EVICT_AFTER_S = 5
/** Keys in one batch. Enough that the dead peer owns some of them. */
const BATCH = 64
const RETRY_MS = 20
const POLL_MS = 50
const GAP_MS = 5
const QUIET_MS = 3000
const ROUND_MS_MAX = 600_000

export async function benchEvict(print: (line: string) => void, options: EvictOptions): Promise<readonly EvictRound[]> {
  const ring = await BenchRing.start(PEERS, ['--evict-after', String(EVICT_AFTER_S)])
  try {
    await load(ring.peers, options.keys)
    const rounds: EvictRound[] = []
    for (let round = 0; round < options.rounds; round++) {
      rounds.push(await measure(ring, options.keys))
      if (round + 1 < options.rounds) await refill(ring)
    }
    print(tableOf(rounds))
    return rounds
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, keys: number): Promise<EvictRound> {
  const victim = ring.peers.at(-1)!
  const living = ring.peers.slice(0, -1)
  const { storeId } = await victim.client.id()
  const probe = await LightLoad.start(living[0]!.respPort, (turn) => keyAt((turn * 7919) % keys), GAP_MS)
  await pause(QUIET_MS)
  const before = probe.take()
  const pulledBefore = await pulledBytes(living)
  const killedAt = systemClock.elapsed()
  const since = () => systemClock.elapsed() - killedAt
  await ring.kill(victim)
  const working = Promise.all(living.map((peer) => works(peer, keys))).then(since)
  const stateOf = async ({ client }: BenchPeer) =>
    (await client.status()).members.find((member) => member.storeId === storeId)?.state
  const downMs = await untilAll(living, async (peer) => ['down', undefined].includes(await stateOf(peer)), since)
  const evictedMs = await untilAll(living, async (peer) => (await stateOf(peer)) === undefined, since)
  const isWhole = async ({ client }: BenchPeer) => {
    const { slots } = await client.status()
    return slots.short === 0 && slots.moving === 0
  }
  const wholeMs = await untilAll(living, isWhole, since)
  const mib = ((await pulledBytes(living)) - pulledBefore) / MiB
  const during = probe.take()
  await pause(QUIET_MS)
  const after = probe.take()
  const failures = await probe.stop()
  return {
    againMs: await working,
    downMs,
    evictedMs,
    wholeMs,
    mib,
    mibPerSecond: (mib * 1000) / (wholeMs - evictedMs),
    p99Ms: [before, during, after].map((times) => percentile(times, 0.99)),
    failures
  }
}

/** Starts a new peer in the place of the evicted one. */
async function refill(ring: BenchRing): Promise<void> {
  await ring.add()
  await ring.settled(ROUND_MS_MAX)
  await untilAll(ring.peers, async ({ client }) => (await client.status()).slots.short === 0, systemClock.elapsed)
}

/** Resolves when every write and read of one batch has succeeded through the peer. */
async function works({ respPort }: BenchPeer, keys: number): Promise<void> {
  const socket = await RespSocket.open(respPort)
  const value = Buffer.alloc(100, 'y')
  const names = Array.from({ length: BATCH }, (_, at) => keyAt(Math.floor((at * keys) / BATCH)))
  const commands = names.flatMap((name) => [
    ['SET', name, value],
    ['GET', name]
  ])
  while ((await socket.send(commands)) > 0) await pause(RETRY_MS)
  socket.close()
}

/** Resolves with `time()` when `holds` is true for every peer. Throws after ROUND_MS_MAX. */
async function untilAll(
  peers: readonly BenchPeer[],
  holds: (peer: BenchPeer) => Promise<boolean>,
  time: () => number
): Promise<number> {
  const deadline = systemClock.elapsed() + ROUND_MS_MAX
  for (;;) {
    const held = await Promise.all(peers.map(holds))
    if (held.every(Boolean)) return time()
    if (systemClock.elapsed() > deadline) throw new Error(`the ring did not recover within ${ROUND_MS_MAX / 1000} s`)
    await pause(POLL_MS)
  }
}

async function pulledBytes(peers: readonly BenchPeer[]): Promise<number> {
  const texts = await Promise.all(peers.map(({ client }) => client.metrics()))
  return texts.reduce((sum, text) => sum + metricSum(text, 'ringd_migration_received_bytes'), 0)
}

function tableOf(rounds: readonly EvictRound[]): string {
  const row = (title: string, pick: (round: EvictRound) => number | undefined, digits: number, isSlow = true) => {
    const values = rounds.map(pick).filter((value) => value !== undefined)
    const worst = values.length === 0 ? undefined : isSlow ? Math.max(...values) : Math.min(...values)
    return [title, shown(median(values), digits), shown(worst, digits)]
  }
  const seconds = (pick: (round: EvictRound) => number) => (round: EvictRound) => pick(round) / 1000
  const rows = [
    row(
      'until operations succeed through every peer, s',
      seconds(({ againMs }) => againMs),
      2
    ),
    row(
      'until all peers see it as down, s',
      seconds(({ downMs }) => downMs),
      2
    ),
    row(
      `until it is evicted (evict-after ${EVICT_AFTER_S} s), s`,
      seconds(({ evictedMs }) => evictedMs),
      2
    ),
    row(
      'until every slot has three copies, s',
      seconds(({ wholeMs }) => wholeMs),
      2
    ),
    row('copied, MiB', ({ mib }) => mib, 1),
    row('MiB/s after the eviction', ({ mibPerSecond }) => mibPerSecond, 1, false),
    row('p99 of a client before, ms', ({ p99Ms }) => p99Ms[0], 1),
    row('p99 from the kill until every slot has three copies, ms', ({ p99Ms }) => p99Ms[1], 1),
    row('p99 after, ms', ({ p99Ms }) => p99Ms[2], 1),
    row('failed requests of that client', ({ failures }) => failures, 0)
  ]
  return markdown(['evict', 'median', 'worst'], rows)
}
