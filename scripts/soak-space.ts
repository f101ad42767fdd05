// `npm run soak -- --space`: writes values that live for a short time to a ring at a fixed rate, and tells how much
// disk each daemon takes for what lives. Measures only: it judges nothing.
import { randomBytes } from 'node:crypto'
import { MiB } from '../lib/limits.js'
import { systemClock } from '../lib/system-clock.js'
import { BenchRing, pause } from './bench-peers.js'
import { RespSocket } from './bench-resp.js'
import { markdown, shown } from './bench-statistics.js'
import { sampleOf } from './soak-sample.js'

export interface SpaceLoad {
  readonly peers: number
  /** Writes in a second, and the bytes of each value. */
  readonly rate: number
  readonly bytes: number
  readonly ttlS: number
  readonly seconds: number
  readonly purgeAfterS: number
}

/** One daemon at one moment. Bytes. */
interface PeerSpace {
  /** Of the entries in its store, whether they live or wait for their purge. */
  readonly stored: number
  /** Of the files of its store. */
  readonly disk: number
  readonly rss: number
  /** `disk` for each byte that lives. */
  readonly ratio: number
}

interface SpaceSample {
  readonly atS: number
  /** Bytes of the values that live on one daemon. */
  readonly living: number
  readonly peers: readonly PeerSpace[]
}

export interface SpaceReport extends SpaceLoad {
  /** Bytes of values that were written in a second, in truth. */
  readonly bytesPerSecond: number
  readonly samples: readonly SpaceSample[]
}

const BATCH_MS = 100
const SAMPLE_MS = 10_000
/** With three copies, a ring of at most three holds every value on every daemon. */
const COPIES = 3

/** Resolves when the load is over and the daemons have ended. Throws when a write fails. */
export async function measureSpace(load: SpaceLoad): Promise<SpaceReport> {
  const ring = await BenchRing.start(load.peers, ['--purge-after', `${load.purgeAfterS}`])
  try {
    return await measure(ring, load)
  } finally {
    await ring.stop()
  }
}

async function measure(ring: BenchRing, load: SpaceLoad): Promise<SpaceReport> {
  const sockets = await Promise.all(ring.peers.map(({ respPort }) => RespSocket.open(respPort)))
  const share = Math.min(1, COPIES / load.peers)
  const perBatch = Math.max(1, Math.round((load.rate * BATCH_MS) / 1000))
  /** When each batch was written, ms since the begin; those that have expired are dropped. */
  let young: number[] = []
  const samples: SpaceSample[] = []
  const begun = systemClock.elapsed()
  const passed = () => systemClock.elapsed() - begun
  let written = 0
  let failures = 0
  for (let batch = 0; passed() < load.seconds * 1000; batch++) {
    const commands = Array.from({ length: perBatch }, () => writeOf(written++, load))
    young.push(passed())
    failures += await sockets[batch % sockets.length]!.send(commands)
    young = young.filter((at) => passed() - at < load.ttlS * 1000)
    if (passed() >= (samples.length + 1) * SAMPLE_MS) {
      samples.push(await sampleRing(ring, passed() / 1000, young.length * perBatch * load.bytes * share))
    }
    await pause(Math.max(0, (batch + 1) * BATCH_MS - passed()))
  }
  const seconds = passed() / 1000
  for (const socket of sockets) socket.close()
  if (failures > 0) throw new Error(`${failures} writes failed`)
  return { ...load, bytesPerSecond: (written * load.bytes) / seconds, samples }
}

function writeOf(at: number, { bytes, ttlS }: SpaceLoad): (string | Buffer)[] {
  // LevelDB compresses: only random bytes take the room that they have.
  return ['SET', `space${at}`, randomBytes(bytes), 'EX', `${ttlS}`]
}

async function sampleRing(ring: BenchRing, atS: number, living: number): Promise<SpaceSample> {
  const peers = ring.peers.map(async (peer) => {
    const { storeId } = await peer.client.id()
    const { members } = await peer.client.status()
    const stored = members.find((member) => member.storeId === storeId)?.bytes ?? 0
    const { disk, rss } = sampleOf(peer)
    return { stored, disk, rss, ratio: disk / living }
  })
  return { atS, living, peers: await Promise.all(peers) }
}

/** The report as a table: a row for each moment, and of the daemons the one that takes most. */
export function spaceTable({ bytesPerSecond, ttlS, samples }: SpaceReport): string {
  const rows = samples.map(({ atS, living, peers }) => {
    const most = peers.reduce((one, other) => (other.disk > one.disk ? other : one))
    const ratios = peers.map(({ ratio }) => shown(ratio, 1)).join(' ')
    return [shown(atS), inMiB(living), inMiB(most.stored), inMiB(most.disk), ratios, inMiB(most.rss)]
  })
  const title = `${shown(bytesPerSecond / 1e6, 1)} MB/s of values that live ${ttlS} s`
  const head = ['s', 'living, MiB', 'stored, MiB', 'disk, MiB', 'disk / living, each daemon', 'RSS, MiB']
  return `${title}\n\n${markdown(head, rows)}`
}

function inMiB(bytes: number): string {
  return shown(bytes / MiB)
}
