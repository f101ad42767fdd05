// Benchmark `forget`: all keys are deleted while one of five peers is away with all of them, then that peer starts
// again. It counts the keys that come back, and measures the time until no disk holds a tombstone.
import { systemClock } from '../lib/system-clock.js'
import { keyAt, load } from './bench-load.js'
import { type BenchPeer, BenchRing, pause } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'
import { markdown, shown } from './bench-statistics.js'

export interface ForgetOptions {
  /** Number of keys in the ring. */
  readonly keys: number
}

export interface ForgetResult {
  readonly keys: number
  readonly deleteMs: number
  /** Bytes of keys and tombstones on the disks of the peers that were up during the deletion. */
  readonly tombstoneBytes: number
  /** From the restart of the peer that was away until no disk holds an entry or a tombstone. */
  readonly forgottenMs: number
  /** Reads during `forgottenMs`. */
  readonly read: number
  /** Reads that returned a value. The right number is 0. */
  readonly cameBack: number
}

const PEERS = 5
const PURGE_AFTER_S = 20
const PIPELINE = 64
const QUIET_MS = 3000
const POLL_MS = 500
const FORGOTTEN_MS_MAX = 600_000
/** Each round reads one key in 97. */
const READ_EVERY = 97

export async function benchForget(print: (line: string) => void, options: ForgetOptions): Promise<ForgetResult> {
  const ring = await BenchRing.start(PEERS, ['--evict-after', '0', '--purge-after', `${PURGE_AFTER_S}`])
  try {
    const result = await measure(ring, options.keys)
    print(tableOf(result))
    return result
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, keys: number): Promise<ForgetResult> {
  const index = PEERS - 1
  await load(ring.peers, keys)
  await pause(QUIET_MS)
  await ring.crash(index)
  await pause(QUIET_MS)
  const begunAt = systemClock.elapsed()
  await removeAll(ring.peers[0]!, keys)
  const deleteMs = systemClock.elapsed() - begunAt
  await pause(QUIET_MS)
  const tombstoneBytes = await bytesOf(ring.peers.slice(0, index))
  const startedAt = systemClock.elapsed()
  await ring.restart(index)
  let read = 0
  let cameBack = 0
  for (let round = 0; (await bytesOf(ring.peers)) > 0; round++) {
    if (systemClock.elapsed() - startedAt > FORGOTTEN_MS_MAX)
      throw new Error(`entries or tombstones remain on a disk after ${FORGOTTEN_MS_MAX / 1000} s`)
    for (let at = round % READ_EVERY; at < keys; at += READ_EVERY) {
      const { client } = ring.peers[at % PEERS]!
      read += 1
      if ((await client.get(Buffer.from(keyAt(at)))) !== undefined) cameBack += 1
    }
    await pause(POLL_MS)
  }
  return { keys, deleteMs, tombstoneBytes, forgottenMs: systemClock.elapsed() - startedAt, read, cameBack }
}

async function removeAll(peer: BenchPeer, keys: number): Promise<void> {
  const socket = await RespSocket.open(peer.respPort)
  for (let at = 0; at < keys; at += PIPELINE) {
    const length = Math.min(PIPELINE, keys - at)
    const commands = Array.from({ length }, (_, next) => ['DEL', keyAt(at + next)])
    const failures = await socket.send(commands)
    if (failures > 0) throw new Error(`${failures} of ${length} deletions failed while one peer was away`)
  }
  socket.close()
}

/** Bytes of all entries on the disks of these peers. */
async function bytesOf(peers: readonly BenchPeer[]): Promise<number> {
  let bytes = 0
  for (const { client } of peers) {
    const [{ storeId }, { members }] = [await client.id(), await client.status()]
    bytes += members.find((member) => member.storeId === storeId)?.bytes ?? 0
  }
  return bytes
}

function tableOf(result: ForgetResult): string {
  const rows = [
    ['keys of 1 kB, all deleted while one of five peers is away', shown(result.keys)],
    ['deleting them, s', shown(result.deleteMs / 1000, 2)],
    ['bytes of tombstones after the deletion', shown(result.tombstoneBytes)],
    [
      `restart of that peer until no disk holds any (purge-after ${PURGE_AFTER_S} s), s`,
      shown(result.forgottenMs / 1000, 2)
    ],
    ['reads meanwhile', shown(result.read)],
    ['keys that came back', shown(result.cameBack)]
  ]
  return markdown(['forget', ''], rows)
}
