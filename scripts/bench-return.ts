// Kills one of five peers that hold data, changes some keys, and starts the peer again. Measures the bytes that it
// receives until it holds the same entries as the others, compared with the changed bytes, and the time for it.
import { randomFillSync } from 'node:crypto'
import { SETTING_KEYS } from '../daemon/settings.js'
import { fromText } from '../lib/bytes.js'
import type { RepairReport } from '../lib/client/reports.js'
import { SLOTS, slotOf } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { keyAt, load, ownedBy, VALUE_BYTES } from './bench-join.js'
import { type BenchPeer, BenchRing, pause } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'
import { markdown, shown } from './bench-statistics.js'

export interface ReturnOptions {
  /** The number of keys in the ring, VALUE_BYTES each. */
  readonly keys: number
  readonly awaySeconds: number
}

export interface ReturnResult {
  readonly keys: number
  readonly changedKeys: number
  /** The changed keys that the peer owns, and the bytes of their keys and values. */
  readonly ownedKeys: number
  readonly ownedBytes: number
  /** Received from the restart until the peer is equal: on all streams, and by class of stream. */
  readonly receivedBytes: number
  readonly byStream: Readonly<Record<string, number>>
  readonly ratio: number
  /** From the restart until the peer serves, and until it has been compared with every other owner. */
  readonly startMs: number
  readonly equalMs: number
  /** The differing slots that a manual repair found afterwards. */
  readonly differing: number
}

const PEERS = 5
/** One key in this number changes. */
const CHANGED_EVERY = 100
const PIPELINE = 64
const QUIET_MS = 3000
const POLL_MS = 100
const EQUAL_MS_MAX = 120_000
const RECEIVED = /^ringd_network_received_bytes\w*\{stream="(\w+)"\} (\d+)/gm

export async function benchReturn(print: (line: string) => void, options: ReturnOptions): Promise<ReturnResult> {
  // The ring must not evict the peer while it is away.
  const canEvict = (SETTING_KEYS as readonly string[]).includes('evict-after')
  const ring = await BenchRing.start(PEERS, canEvict ? ['--evict-after', '0'] : [])
  try {
    const result = await measure(ring, options)
    print(tableOf(result))
    return result
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, { keys, awaySeconds }: ReturnOptions): Promise<ReturnResult> {
  const index = PEERS - 1
  await load(ring.peers, keys)
  await pause(QUIET_MS)
  const owned = await ownedBy(ring.peers[index]!)
  const killedAt = systemClock.elapsed()
  await ring.crash(index)
  await pause(Math.min(QUIET_MS, awaySeconds * 1000))
  const changed = await change(ring.peers[0]!, keys)
  await pause(Math.max(0, killedAt + awaySeconds * 1000 - systemClock.elapsed()))
  const startedAt = systemClock.elapsed()
  const peer = await ring.restart(index)
  const startMs = systemClock.elapsed() - startedAt
  await until(peer, ({ rounds }) => rounds.length === PEERS - 1 && rounds.every(({ differing }) => differing !== null))
  const equalMs = systemClock.elapsed() - startedAt
  const byStream = receivedOf(await peer.client.metrics())
  await peer.client.repair({ first: 0, last: SLOTS - 1 })
  const { differing } = await until(peer, ({ running }) => !running)
  const mine = changed.filter((key) => owned.has(slotOf(fromText(key))))
  const ownedBytes = mine.reduce((sum, key) => sum + key.length + VALUE_BYTES, 0)
  const receivedBytes = Object.values(byStream).reduce((sum, bytes) => sum + bytes, 0)
  return {
    keys,
    changedKeys: changed.length,
    ownedKeys: mine.length,
    ownedBytes,
    receivedBytes,
    byStream,
    ratio: receivedBytes / ownedBytes,
    startMs,
    equalMs,
    differing
  }
}

/** Writes new values. Resolves with the changed keys. */
async function change(peer: BenchPeer, keys: number): Promise<string[]> {
  const changed = Array.from({ length: Math.floor(keys / CHANGED_EVERY) }, (_, at) => keyAt(at * CHANGED_EVERY))
  const socket = await RespSocket.open(peer.respPort)
  for (let at = 0; at < changed.length; at += PIPELINE) {
    const commands = changed.slice(at, at + PIPELINE).map((key) => {
      return ['SET', key, randomFillSync(Buffer.alloc(VALUE_BYTES))]
    })
    const failures = await socket.send(commands)
    if (failures > 0) throw new Error(`${failures} of ${commands.length} writes failed while one peer was away`)
  }
  socket.close()
  return changed
}

async function until(peer: BenchPeer, isSo: (report: RepairReport) => boolean): Promise<RepairReport> {
  const deadline = systemClock.elapsed() + EQUAL_MS_MAX
  for (;;) {
    const report = await peer.client.repair()
    if (isSo(report)) return report
    if (systemClock.elapsed() > deadline)
      throw new Error(`the peer did not become equal within ${EQUAL_MS_MAX / 1000} s: ${JSON.stringify(report)}`)
    await pause(POLL_MS)
  }
}

function receivedOf(metrics: string): Record<string, number> {
  return Object.fromEntries(Array.from(metrics.matchAll(RECEIVED), ([, stream, bytes]) => [stream, Number(bytes)]))
}

function tableOf(result: ReturnResult): string {
  const rows = [
    ['keys of 1 kB', shown(result.keys)],
    ['changed while it was away', shown(result.changedKeys)],
    ['of them it owns', shown(result.ownedKeys)],
    ['bytes of these', shown(result.ownedBytes)],
    ['bytes received', shown(result.receivedBytes)],
    ...Object.entries(result.byStream).map(([stream, bytes]) => [`  on the stream of ${stream}`, shown(bytes)]),
    ['received / changed', shown(result.ratio, 2)],
    ['start until it serves, s', shown(result.startMs / 1000, 2)],
    ['start until it is equal, s', shown(result.equalMs / 1000, 2)],
    ['slots that differ after that', shown(result.differing)]
  ]
  return markdown(['return', ''], rows)
}
