// Benchmark `join`: a fourth peer joins three that hold data, while a light load runs through another peer. It measures
// the time until every slot has settled, the time until the joiner holds every key that it owns, and the latency of the
// light load. A slot settles when a quorum of its new owners is ready. The joiner pulls the most, so it is ready last.
import { fromText } from '../lib/bytes.js'
import { MiB } from '../lib/limits.js'
import { slotOf } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { keyAt, load } from './bench-load.js'
import { type BenchPeer, BenchRing, ownedBy, pause } from './bench-peers.js'
import { cpuSeconds } from './bench-processes.js'
import { LightLoad } from './bench-resp.js'
import { markdown, percentile, shown } from './bench-statistics.js'

export interface JoinOptions {
  /** Number of keys in the ring, with values of VALUE_BYTES. */
  readonly keys: number
}

export interface JoinResult {
  readonly keys: number
  readonly loadedPerSecond: number
  /** From the start of the joiner until it serves. */
  readonly startMs: number
  /** From then until every slot has settled. */
  readonly settleMs: number
  /** From when the joiner serves until it holds every key that it owns. */
  readonly wholeMs: number
  /** Keys and data on the joiner at the end. */
  readonly receivedKeys: number
  readonly receivedMiB: number
  /** `receivedMiB` divided by `wholeMs`. */
  readonly mibPerSecond: number
  /** CPU seconds from the start of the joiner until it holds every key that it owns. */
  readonly joinerCpu: number | undefined
  readonly othersCpu: number | undefined
  /** Latency of the light load, ms. */
  readonly p99Ms: { readonly before?: number; readonly during?: number; readonly after?: number }
  readonly failures: number
}

/** Pause between two requests of the light load. */
const GAP_MS = 5
const QUIET_MS = 3000
const POLL_MS = 200
const SETTLE_MS_MAX = 600_000

export async function benchJoin(print: (line: string) => void, options: JoinOptions): Promise<JoinResult> {
  const ring = await BenchRing.start(3)
  try {
    const result = await measure(ring, options.keys)
    print(tableOf(result))
    return result
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, keys: number): Promise<JoinResult> {
  const veterans = [...ring.peers]
  const loadMs = await load(veterans, keys)
  const probe = await LightLoad.start(veterans[1]!.respPort, (turn) => keyAt((turn * 7919) % keys), GAP_MS)
  await pause(QUIET_MS)
  const before = probe.take()
  const [startedAt, veteransBefore] = [systemClock.elapsed(), cpuOf(veterans)]
  const joiner = await ring.add()
  const readyAt = systemClock.elapsed()
  await ring.settled(SETTLE_MS_MAX)
  const settledAt = systemClock.elapsed()
  const held = await untilWhole(joiner, keys, settledAt + SETTLE_MS_MAX)
  const wholeMs = systemClock.elapsed() - readyAt
  const [during, joinerCpu, veteransAfter] = [probe.take(), cpuOf([joiner]), cpuOf(veterans)]
  await pause(QUIET_MS)
  const after = probe.take()
  const failures = await probe.stop()
  const receivedMiB = held.bytes / MiB
  return {
    keys,
    loadedPerSecond: (keys * 1000) / loadMs,
    startMs: readyAt - startedAt,
    settleMs: settledAt - readyAt,
    wholeMs,
    receivedKeys: held.keys,
    receivedMiB,
    mibPerSecond: (receivedMiB * 1000) / wholeMs,
    joinerCpu,
    othersCpu: veteransBefore === undefined ? undefined : (veteransAfter ?? 0) - veteransBefore,
    p99Ms: { ...p99('before', before), ...p99('during', during), ...p99('after', after) },
    failures
  }
}

function p99(name: string, times: readonly number[]): Record<string, number> {
  const value = percentile(times, 0.99)
  return value === undefined ? {} : { [name]: value }
}

function cpuOf(peers: readonly BenchPeer[]): number | undefined {
  return cpuSeconds(peers.map(({ process }) => process.pid ?? 0))
}

interface Holdings {
  readonly keys: number
  readonly bytes: number
}

/** Resolves with the keys and bytes of `peer` when it holds every key that it owns. Throws after `deadline`. */
async function untilWhole(peer: BenchPeer, keys: number, deadline: number): Promise<Holdings> {
  const { storeId } = await peer.client.id()
  const owned = await ownedBy(peer)
  let expected = 0
  for (let index = 0; index < keys; index++) if (owned.has(slotOf(fromText(keyAt(index))))) expected++
  for (;;) {
    const mine = (await peer.client.status()).members.find((member) => member.storeId === storeId)
    const held = { keys: mine?.keys ?? 0, bytes: mine?.bytes ?? 0 }
    if (held.keys >= expected) return held
    if (systemClock.elapsed() > deadline)
      throw new Error(`the joiner holds ${held.keys} of ${expected} keys after ${SETTLE_MS_MAX / 1000} s`)
    await pause(POLL_MS)
  }
}

function tableOf(result: JoinResult): string {
  const { p99Ms } = result
  const rows = [
    ['keys of 1 kB before', shown(result.keys)],
    ['loaded, keys/s', shown(result.loadedPerSecond)],
    ['start of the joiner until it serves, s', shown(result.startMs / 1000, 2)],
    ['from then until every slot has settled, s', shown(result.settleMs / 1000, 2)],
    ['from then until it holds every key that it owns, s', shown(result.wholeMs / 1000, 2)],
    ['joiner holds, keys', shown(result.receivedKeys)],
    ['joiner holds, MiB', shown(result.receivedMiB, 1)],
    ['MiB/s until it holds them', shown(result.mibPerSecond, 1)],
    ['CPU of the joiner, s', shown(result.joinerCpu, 1)],
    ['CPU of the other three, s', shown(result.othersCpu, 1)],
    ['p99 of the light load before, ms', shown(p99Ms.before, 1)],
    ['p99 during, ms', shown(p99Ms.during, 1)],
    ['p99 after, ms', shown(p99Ms.after, 1)],
    ['failed requests', shown(result.failures)]
  ]
  return markdown(['join', ''], rows)
}
