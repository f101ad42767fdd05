// Benchmark `return`: one of five peers that hold data is killed, some keys change, and the peer starts again. It
// measures the bytes that the peer receives until repair has compared it with every owner, relative to the bytes that
// changed, and the time for this.
import { randomFillSync } from 'node:crypto'
import { SETTING_KEYS } from '../daemon/setting-help.js'
import { fromText } from '../lib/bytes.js'
import type { RepairReport } from '../lib/client/reports.js'
import { SLOTS, slotOf } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { keyAt, load, VALUE_BYTES } from './bench-load.js'
import { type BenchPeer, BenchRing, ownedBy, pause } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'
import { markdown, shown } from './bench-statistics.js'

export interface ReturnOptions {
  /** Number of keys in the ring, VALUE_BYTES each. */
  readonly keys: number
  readonly awaySeconds: number
}

export interface ReturnResult {
  readonly keys: number
  readonly changedKeys: number
  /** Changed keys that the peer owns. */
  readonly ownedKeys: number
  /** Bytes of these keys and their values. */
  readonly ownedBytes: number
  /** Received on all streams, from the restart of the peer until `equalMs`. */
  readonly receivedBytes: number
  /** The same for each class of stream. */
  readonly byStream: Readonly<Record<string, number>>
  /** `receivedBytes` divided by `ownedBytes`. */
  readonly ratio: number
  /** From the restart of the peer until it serves. */
  readonly startMs: number
  /** From the restart of the peer until repair has compared it with every owner. */
  readonly equalMs: number
  /** Slots that a repair on request found to differ afterwards. */
  readonly differing: number
}

const PEERS = 5
/** One key in a hundred changes. */
const CHANGED_EVERY = 100
const PIPELINE = 64
const QUIET_MS = 3000
const POLL_MS = 100
const EQUAL_MS_MAX = 120_000
const RECEIVED = /^ringd_network_received_bytes\w*\{stream="(\w+)"\} (\d+)/gm

export async function benchReturn(print: (line: string) => void, options: ReturnOptions): Promise<ReturnResult> {
  // The others must not evict the peer while it is away.
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
      throw new Error(
        `repair did not finish within ${EQUAL_MS_MAX / 1000} s; its last report: ${JSON.stringify(report)}`
      )
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
    ['of these, owned by the peer', shown(result.ownedKeys)],
    ['bytes of the owned changed keys', shown(result.ownedBytes)],
    ['bytes received', shown(result.receivedBytes)],
    ...Object.entries(result.byStream).map(([stream, bytes]) => [`  on the stream of ${stream}`, shown(bytes)]),
    ['received / changed', shown(result.ratio, 2)],
    ['start until it serves, s', shown(result.startMs / 1000, 2)],
    ['start until compared with every owner, s', shown(result.equalMs / 1000, 2)],
    ['slots that differ after that', shown(result.differing)]
  ]
  return markdown(['return', ''], rows)
}
