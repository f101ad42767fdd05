// Benchmark `atomic`: operations that depend on what is stored, beside SET of the same run, through one of three peers;
// and the same on Redis with one master and two replicas. Redis syncs each write to disk (`appendfsync always`), and
// each operation is followed by `WAIT 1`, so that two servers hold it before the client goes on. 50 clients send one
// operation after the other. An operation that a daemon does not know has a dash.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../lib/system-clock.js'
import { perOperation } from './bench-floor.js'
import { keyAt, keyNames, writeKeys } from './bench-load.js'
import { BenchRing } from './bench-peers.js'
import { cpuSeconds, freePorts, isInstalled, temporaryFolder } from './bench-processes.js'
import { cli, end, HOST, type RedisSettings, type StartedRedis, startRedis, until } from './bench-redis-server.js'
import { RespSocket } from './bench-resp.js'
import {
  type Measured,
  markdown,
  median,
  medianOf,
  metricSum,
  percentile,
  quotient,
  shown
} from './bench-statistics.js'

export interface AtomicOptions {
  readonly rounds: number
}

type Command = readonly (string | Buffer)[]

export interface Row {
  readonly name: string
  /** The commands of the operation with this number. The last reply is that of the operation. */
  readonly commands: (number: number) => readonly Command[]
}

/** A row on one system. */
export interface AtomicMeasured extends Measured {
  readonly p99Ms: number
  /** Synced batches of all peers, for one operation. */
  readonly flushes: number | undefined
  /** Writes of one owner, for one operation. */
  readonly writes: number | undefined
}

export interface AtomicResult {
  readonly row: string
  readonly ringd: AtomicMeasured | undefined
  readonly redis: AtomicMeasured | undefined
  /** Operations in a second divided by those of SET in the same round, on ringd. */
  readonly toSet: number | undefined
}

type Round = ReadonlyMap<string, AtomicMeasured | undefined>

interface Target {
  readonly port: number
  /** Sent after each operation; its answer is waited for. */
  readonly after: readonly Command[]
  cpuSeconds(): number | undefined
  /** Synced batches and writes so far. */
  written(): Promise<{ readonly flushes: number; readonly writes: number } | undefined>
}

const CLIENTS = 50
const PEERS = 3
const KEYS = 10_000
const VALUE = Buffer.alloc(100, 'x')
const WARM_MS = 500
const ROW_MS = 3000
const REPLICAS_MS_MAX = 20_000
const TTL_SECONDS = '1000'
const WAIT_MS = '5000'

export const ROWS: readonly Row[] = [
  { name: 'SET', commands: (number) => [['SET', keyAt(number % KEYS), VALUE]] },
  { name: 'INCR, 1 key', commands: () => [['INCR', 'one']] },
  { name: 'INCR, 10 keys', commands: (number) => [['INCR', `ten:${number % 10}`]] },
  { name: 'INCR, 10000 keys', commands: (number) => [['INCR', `many:${number % KEYS}`]] },
  { name: 'SET NX', commands: (number) => [['SET', `new:${number}`, VALUE, 'NX']] },
  { name: 'SET NX, refused', commands: () => [['SET', 'one', VALUE, 'NX']] },
  { name: 'EXPIRE', commands: (number) => [['EXPIRE', keyAt(number % KEYS), TTL_SECONDS]] },
  { name: 'group of 2 keys', commands: (number) => transfer(`{${number % KEYS}}`) }
]

function transfer(tag: string): Command[] {
  return [['MULTI'], ['INCRBY', `${tag}left`, '-1'], ['INCRBY', `${tag}right`, '1'], ['EXEC']]
}

/** Whether the error says that the daemon does not know the operation. */
export function isUnknown(error: string): boolean {
  return /^ERR (?:unknown command|SET with NX, XX or GET is not supported)/.test(error)
}

/** Prints medians of all rounds. */
export async function benchAtomic(
  print: (line: string) => void,
  { rounds }: AtomicOptions
): Promise<readonly AtomicResult[]> {
  const hasRedis = isInstalled('redis-server') && isInstalled('redis-cli')
  if (!hasRedis) print('without Redis: redis-server and redis-cli are not installed (apt-get install redis-server)')
  const ringd: Round[] = []
  const redis: Round[] = []
  for (let round = 0; round < rounds; round++) {
    ringd.push(await onRingd())
    if (hasRedis) redis.push(await onRedis())
  }
  const results = ROWS.map(({ name }) => resultOf(name, ringd, redis))
  print(atomicTable(results))
  return results
}

async function onRingd(): Promise<Round> {
  const ring = await BenchRing.start(PEERS)
  try {
    const written = async () => {
      const texts = await Promise.all(ring.peers.map(({ client }) => client.metrics()))
      const sum = (name: string) => texts.reduce((total, text) => total + metricSum(text, name), 0)
      const name = 'ringd_storage_group_writes'
      return { flushes: sum(`${name}_count`), writes: sum(`${name}_sum`) }
    }
    return await measureAll({ port: ring.peers[0]!.respPort, after: [], cpuSeconds: () => ring.cpuSeconds(), written })
  } finally {
    await ring.stop()
  }
}

async function onRedis(): Promise<Round> {
  const folder = temporaryFolder('ringd-redis-')
  const servers: StartedRedis[] = []
  try {
    for (const port of await freePorts(PEERS)) {
      const dir = join(folder.path, `${port}`)
      mkdirSync(dir)
      const master: RedisSettings = servers[0] === undefined ? {} : { replicaof: [HOST, `${servers[0].port}`] }
      const disk = { save: '', appendonly: 'yes', appendfsync: 'always' }
      servers.push(await startRedis({ port, dir, ...disk, 'repl-diskless-sync-delay': 0, ...master }))
    }
    const { port } = servers[0]!
    const isFollowed = async () => onlineReplicas(await cli(port, ['INFO', 'replication'])) === PEERS - 1
    await until(isFollowed, REPLICAS_MS_MAX, 'the replicas of Redis did not follow')
    const pids = servers.map(({ pid }) => pid)
    const after = [['WAIT', '1', WAIT_MS]]
    return await measureAll({ port, after, cpuSeconds: () => cpuSeconds(pids), written: async () => undefined })
  } finally {
    await Promise.all(servers.map(({ process }) => end(process)))
    folder.remove()
  }
}

export function onlineReplicas(info: string): number {
  return [...info.matchAll(/^slave\d+:.*\bstate=online\b/gm)].length
}

async function measureAll(target: Target): Promise<Round> {
  await writeKeys(target.port, keyNames(KEYS), () => VALUE)
  const rows = new Map<string, AtomicMeasured | undefined>()
  for (const row of ROWS) rows.set(row.name, (await isKnown(target, row)) ? await measure(target, row) : undefined)
  return rows
}

async function isKnown({ port }: Target, { commands }: Row): Promise<boolean> {
  const socket = await RespSocket.open(port)
  try {
    const asked = commands(0)
    const errors: string[] = []
    await new Promise<void>((resolve) => {
      let open = asked.length
      socket.ask(asked, (_failed, _isNil, error) => {
        if (error !== undefined) errors.push(error)
        if (--open === 0) resolve()
      })
    })
    return !errors.some(isUnknown)
  } finally {
    socket.close()
  }
}

async function measure(target: Target, { name, commands }: Row): Promise<AtomicMeasured> {
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => RespSocket.open(target.port)))
  const times: number[] = []
  let number = 0
  let failures = 0
  const work = async (socket: RespSocket, until: number, isCounted: boolean) => {
    for (let began = systemClock.elapsed(); began < until; began = systemClock.elapsed()) {
      failures += await socket.send([...commands(number++), ...target.after])
      if (isCounted) times.push(systemClock.elapsed() - began)
    }
  }
  const run = async (ms: number, isCounted: boolean) => {
    const until = systemClock.elapsed() + ms
    await Promise.all(sockets.map((socket) => work(socket, until, isCounted)))
  }
  try {
    await run(WARM_MS, false)
    const [before, cpuBefore, started] = [await target.written(), target.cpuSeconds(), systemClock.elapsed()]
    await run(ROW_MS, true)
    const seconds = (systemClock.elapsed() - started) / 1000
    const [after, cpuAfter] = [await target.written(), target.cpuSeconds()]
    if (failures > 0) throw new Error(`${failures} operations of the row ${name} failed`)
    const count = times.length
    const each = (pick: (one: NonNullable<typeof before>) => number) => {
      return before === undefined || after === undefined ? undefined : (pick(after) - pick(before)) / count
    }
    return {
      ...{ perSecond: count / seconds, p50Ms: percentile(times, 0.5)!, p99Ms: percentile(times, 0.99)! },
      cpuMicros: perOperation(cpuBefore, cpuAfter, count),
      flushes: each(({ flushes }) => flushes),
      writes: quotient(
        each(({ writes }) => writes),
        PEERS
      )
    }
  } finally {
    for (const socket of sockets) socket.close()
  }
}

export function resultOf(row: string, ringd: readonly Round[], redis: readonly Round[]): AtomicResult {
  const toSet = (round: Round) => quotient(round.get(row)?.perSecond, round.get('SET')?.perSecond)
  return { row, ringd: medians(row, ringd), redis: medians(row, redis), toSet: medianOf(ringd, toSet) }
}

/** The medians of the row; undefined when no round has it. */
function medians(row: string, rounds: readonly Round[]): AtomicMeasured | undefined {
  const measured = rounds.flatMap((round) => round.get(row) ?? [])
  if (measured.length === 0) return undefined
  const middle = (pick: (one: AtomicMeasured) => number) => median(measured.map(pick))!
  return {
    ...{ perSecond: middle((one) => one.perSecond), p50Ms: middle((one) => one.p50Ms) },
    p99Ms: middle((one) => one.p99Ms),
    cpuMicros: medianOf(measured, (one) => one.cpuMicros),
    flushes: medianOf(measured, (one) => one.flushes),
    writes: medianOf(measured, (one) => one.writes)
  }
}

export function atomicTable(results: readonly AtomicResult[]): string {
  const head = ['work', 'op/s', 'of SET', 'p50 ms', 'p99 ms', 'CPU us/op', 'flushes/op', 'writes/op']
  const rows = results.map(({ row, ringd, redis, toSet }) => [
    ...[row, shown(ringd?.perSecond), shown(toSet, 2), shown(ringd?.p50Ms, 2), shown(ringd?.p99Ms, 2)],
    ...[shown(ringd?.cpuMicros), shown(ringd?.flushes, 2), shown(ringd?.writes, 2)],
    ...[shown(redis?.perSecond), shown(redis?.p50Ms, 2), shown(redis?.p99Ms, 2), shown(redis?.cpuMicros)],
    shown(quotient(ringd?.perSecond, redis?.perSecond), 2)
  ])
  return markdown([...head, 'Redis op/s', 'p50 ms', 'p99 ms', 'CPU us/op', 'ringd/Redis'], rows)
}
