// `npm run soak [-- --minutes N]`: writes to one daemon for a long time, with values that expire and then with values
// that are overwritten, and checks that neither its memory nor its disk grows. `--space` measures the disk that values
// with a short life take instead. Ends what it started, also on signals.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { MiB } from '../lib/limits.js'
import { systemClock } from '../lib/system-clock.js'
import { type BenchPeer, BenchRing, pause } from './bench-peers.js'
import { runCommand } from './bench-processes.js'
import { RespSocket } from './bench-resp.js'
import { markdown } from './bench-statistics.js'
import { type Sample, sampleOf } from './soak-sample.js'
import { measureSpace, spaceTable } from './soak-space.js'

const HELP = `npm run soak [-- options]

Loads one daemon with each kind of writes, lets it rest, and fails when memory or disk have grown.

  --minutes N    minutes of load, half for each kind (default 10, at least 2)
  --rate N       writes in a second (default 5000)
  --bytes N      bytes of a value (default 400)

npm run soak -- --space [options]

Loads a ring with values that live for a short time, and prints how much disk each daemon takes for what lives.

  --seconds N      seconds of load (default 180)
  --rate N         writes in a second (default 1000)
  --bytes N        bytes of a value (default 4000)
  --ttl N          seconds that a value lives (default 3)
  --peers N        daemons (default 3)
  --purge-after N  the setting of the daemons (default 60)
  --json           print the samples for programs`

const PURGE_AFTER_S = 20
/** Long enough that everything has expired, is purged, and has given its room back. */
const REST_MS = 120_000
const BATCH_MS = 100
const SAMPLE_MS = 5000
const TTL_S = 3
/** Keys that are overwritten. */
const LASTING_KEYS = 50_000

/** What may be more at the end than at a third of the load, and after the rest than at the end. */
const RSS_FACTOR = 1.25
const RSS_SLACK = 64 * MiB
const DISK_FACTOR = 1.5
const DISK_SLACK = 64 * MiB

interface Load {
  readonly rate: number
  readonly bytes: number
  readonly ms: number
}

const KINDS = {
  expiring: (at: number, value: Buffer) => ['SET', `soak${at}`, value, 'EX', `${TTL_S}`],
  lasting: (at: number, value: Buffer) => ['SET', `soak${at % LASTING_KEYS}`, value]
}

/** Loads the peer; samples of the load, and the one after the rest. */
async function soak(peer: BenchPeer, kind: keyof typeof KINDS, load: Load): Promise<Sample[]> {
  const socket = await RespSocket.open(peer.respPort)
  const samples: Sample[] = []
  const begun = systemClock.elapsed()
  let sampledAt = begun
  let failures = 0
  for (let at = 0; systemClock.elapsed() - begun < load.ms; ) {
    const started = systemClock.elapsed()
    const count = Math.ceil((load.rate * BATCH_MS) / 1000)
    failures += await socket.send(Array.from({ length: count }, () => KINDS[kind](at++, randomBytes(load.bytes))))
    if (started - sampledAt >= SAMPLE_MS) {
      sampledAt = started
      samples.push(sampleOf(peer))
    }
    await pause(Math.max(0, BATCH_MS - (systemClock.elapsed() - started)))
  }
  socket.close()
  if (failures > 0) throw new Error(`${failures} writes failed`)
  await pause(REST_MS)
  return [...samples, sampleOf(peer)]
}

/** What has grown, in words. */
function faultsOf(kind: keyof typeof KINDS, samples: readonly Sample[], load: Load): string[] {
  const early = samples[Math.floor(samples.length / 3)]!
  const end = samples.at(-2)!
  const rested = samples.at(-1)!
  const live = kind === 'lasting' ? LASTING_KEYS * load.bytes : 0
  const faults: [boolean, string][] = [
    [end.rss > early.rss * RSS_FACTOR + RSS_SLACK, 'memory grew under load'],
    [rested.rss > end.rss * RSS_FACTOR + RSS_SLACK, 'memory grew after the load'],
    [end.disk > early.disk * DISK_FACTOR + DISK_SLACK, 'the disk grew under load'],
    [rested.disk > live * DISK_FACTOR + DISK_SLACK, 'the disk kept what is gone']
  ]
  return faults.filter(([isFault]) => isFault).map(([, text]) => `${kind}: ${text}`)
}

function rowOf(kind: string, samples: readonly Sample[]): string[] {
  const at = (share: number) => samples[Math.floor((samples.length - 2) * share)]!
  const shown = [at(1 / 3), at(2 / 3), at(1), samples.at(-1)!]
  const inMiB = (bytes: number) => `${Math.round(bytes / MiB)}`
  return [kind, ...shown.map(({ rss }) => inMiB(rss)), ...shown.map(({ disk }) => inMiB(disk))]
}

function whole(text: string | undefined, usual: number, least: number): number {
  const value = text === undefined ? usual : Number(text)
  if (!Number.isInteger(value) || value < least) throw new Error(`${text}: expected a whole number of ${least} or more`)
  return value
}

async function main(argv: readonly string[]): Promise<number> {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const space = { seconds: text, ttl: text, peers: text, 'purge-after': text, json: flag }
  const { values } = parseArgs({
    args: [...argv],
    options: { minutes: text, rate: text, bytes: text, space: flag, ...space, help: flag }
  })
  if (values.help) {
    console.log(HELP)
    return 0
  }
  if (values.space) {
    const report = await measureSpace({
      peers: whole(values.peers, 3, 1),
      rate: whole(values.rate, 1000, 1),
      bytes: whole(values.bytes, 4000, 1),
      ttlS: whole(values.ttl, 3, 1),
      seconds: whole(values.seconds, 180, 10),
      purgeAfterS: whole(values['purge-after'], 60, 20)
    })
    console.log(values.json ? JSON.stringify(report) : spaceTable(report))
    return 0
  }
  const ms = (whole(values.minutes, 10, 2) * 60_000) / 2
  const load = { ms, rate: whole(values.rate, 5000, 1), bytes: whole(values.bytes, 400, 1) }
  const ring = await BenchRing.start(1, ['--purge-after', `${PURGE_AFTER_S}`])
  try {
    const faults: string[] = []
    const rows: string[][] = []
    for (const kind of ['expiring', 'lasting'] as const) {
      const samples = await soak(ring.peers[0]!, kind, load)
      rows.push(rowOf(kind, samples))
      faults.push(...faultsOf(kind, samples, load))
    }
    const memory = ['RSS at 1/3, MiB', 'at 2/3', 'at the end', 'after a rest']
    console.log(markdown(['load', ...memory, 'disk at 1/3, MiB', 'at 2/3', 'at the end', 'after a rest'], rows))
    for (const fault of faults) console.log(`FAULT ${fault}`)
    return faults.length === 0 ? 0 : 1
  } finally {
    await ring.stop()
  }
}

if (import.meta.main) await runCommand(main)
