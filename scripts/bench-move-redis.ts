// One move of benchmark `move` through Redis Cluster: masters without replicas hold the same keys, an empty master
// joins, and `redis-cli --cluster rebalance` moves slots to it. Redis writes nothing to disk here: no snapshots, no
// append-only file. The servers listen on free ports of this machine.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fromText } from '../lib/bytes.js'
import { SLOTS, slotOf } from '../lib/ring/slots.js'
import { systemClock } from '../lib/system-clock.js'
import { keyNames, randomValues, writeKeys } from './bench-load.js'
import { type Move, type MoveShape, rates } from './bench-move-figures.js'
import { cpuSeconds, freePorts, isInstalled, memoryGrowth, temporaryFolder } from './bench-processes.js'
import { cli, end, HOST, type StartedRedis, startRedis, until } from './bench-redis-server.js'

const COMMANDS = ['redis-server', 'redis-cli']
const AGREE_MS_MAX = 60_000
const MOVE_MS_MAX = 600_000

/** Why Redis Cluster cannot be measured here; undefined when it can. */
export function redisMissing(): string | undefined {
  const missing = COMMANDS.filter((command) => !isInstalled(command))
  return missing.length === 0 ? undefined : `${missing.join(' and ')} not found (apt-get install redis-server)`
}

export async function moveRedis(shape: MoveShape): Promise<Move> {
  const cluster = new RedisCluster()
  try {
    await cluster.start(shape.members)
    await load(cluster, shape)
    const sources = cluster.pids
    const sourceGrowth = memoryGrowth(sources)
    const joiner = await cluster.add()
    const joinerGrowth = memoryGrowth([joiner.pid])
    const [cpuBefore, startedAt] = [cpuSeconds(cluster.pids), systemClock.elapsed()]
    await cluster.rebalance()
    const seconds = (systemClock.elapsed() - startedAt) / 1000
    const cpuAfter = cpuSeconds(cluster.pids)
    const growth = { joinerGrowth: joinerGrowth(), sourceGrowth: sourceGrowth() }
    const moved = await cluster.movedTo(joiner, shape)
    const cpu = cpuBefore === undefined || cpuAfter === undefined ? undefined : cpuAfter - cpuBefore
    return { seconds, ...moved, ...rates(moved.entries, moved.bytes, seconds), cpuSeconds: cpu, ...growth }
  } finally {
    await cluster.stop()
  }
}

/** The first slot of each of `count` masters; the end of the slots is the last element. */
export function firstSlots(count: number): number[] {
  return Array.from({ length: count + 1 }, (_, at) => Math.round((at * SLOTS) / count))
}

/** Writes each key at the master of its slot. */
async function load({ servers }: RedisCluster, { keys, valueBytes }: MoveShape): Promise<void> {
  const bounds = firstSlots(servers.length)
  const work = servers.map(({ port }, at) => {
    const isIts = (name: string) => {
      const slot = slotOf(fromText(name))
      return slot >= bounds[at]! && slot < bounds[at + 1]!
    }
    return writeKeys(port, filtered(keyNames(keys), isIts), randomValues(valueBytes))
  })
  await Promise.all(work)
}

function* filtered<T>(items: Iterable<T>, isWanted: (item: T) => boolean): Generator<T> {
  for (const item of items) if (isWanted(item)) yield item
}

interface RedisServer extends StartedRedis {
  readonly busPort: number
}

class RedisCluster {
  readonly servers: RedisServer[] = []
  readonly #folder = temporaryFolder('ringd-redis-')

  get pids(): number[] {
    return this.servers.map(({ pid }) => pid)
  }

  /** Resolves when all slots have a master, and all masters know it. */
  async start(count: number): Promise<void> {
    for (let at = 0; at < count; at++) await this.#launch()
    const bounds = firstSlots(count)
    for (const [at, { port }] of this.servers.entries()) {
      await cli(port, ['CLUSTER', 'ADDSLOTSRANGE', `${bounds[at]}`, `${bounds[at + 1]! - 1}`])
    }
    await this.#meet()
    await this.#agreed()
  }

  /** Adds an empty master. Resolves when all know it; a rebalance before that fails with CLUSTERDOWN. */
  async add(): Promise<RedisServer> {
    const server = await this.#launch()
    await this.#meet()
    await this.#agreed()
    return server
  }

  async #launch(): Promise<RedisServer> {
    const [port, busPort] = (await freePorts(2)) as [number, number]
    const dir = join(this.#folder.path, `${port}`)
    mkdirSync(dir)
    const cluster = { 'cluster-enabled': 'yes', 'cluster-port': busPort }
    const server = await startRedis({ port, dir, ...cluster, save: '', appendonly: 'no' })
    this.servers.push({ ...server, busPort })
    return this.servers.at(-1)!
  }

  async #meet(): Promise<void> {
    const [first, ...others] = this.servers
    for (const { port, busPort } of others) {
      await cli(first!.port, ['CLUSTER', 'MEET', HOST, `${port}`, `${busPort}`])
    }
  }

  /** Resolves when every server finds the cluster ok and knows all others, and redis-cli finds no fault. */
  async #agreed(): Promise<void> {
    await this.#allOk()
    const { port } = this.servers[0]!
    const isChecked = async () => cli(0, ['--cluster', 'check', `${HOST}:${port}`]).then(Boolean, () => false)
    await until(isChecked, AGREE_MS_MAX, 'redis-cli --cluster check went on to find faults')
  }

  /** Resolves when the slots have moved, and every server finds the cluster ok. */
  async rebalance(): Promise<void> {
    const { port } = this.servers[0]!
    await cli(0, ['--cluster', 'rebalance', `${HOST}:${port}`, '--cluster-use-empty-masters'], MOVE_MS_MAX)
    await this.#allOk()
  }

  async #allOk(): Promise<void> {
    const isOk = async ({ port }: RedisServer) => isClusterOk(await cli(port, ['CLUSTER', 'INFO']), this.servers.length)
    const allOk = async () => (await Promise.all(this.servers.map(isOk))).every(Boolean)
    await until(allOk, AGREE_MS_MAX, 'the Redis servers did not agree')
  }

  /** The entries of the joiner. Throws when it is empty, or when the cluster lacks keys. */
  async movedTo(joiner: RedisServer, { keys, valueBytes }: MoveShape): Promise<Pick<Move, 'entries' | 'bytes'>> {
    const names = await cli(joiner.port, ['--scan'], MOVE_MS_MAX)
    const nameBytes = names.replaceAll('\n', '').length
    const counts = await Promise.all(this.servers.map(async ({ port }) => Number(await cli(port, ['DBSIZE']))))
    const total = counts.reduce((sum, count) => sum + count, 0)
    const entries = counts[this.servers.indexOf(joiner)]!
    if (total !== keys || entries === 0) throw new Error(`the masters hold ${counts.join(', ')} of ${keys} keys`)
    return { entries, bytes: nameBytes + entries * valueBytes }
  }

  async stop(): Promise<void> {
    await Promise.all(this.servers.map(({ process }) => end(process)))
    this.#folder.remove()
  }
}

/** Whether `CLUSTER INFO` finds no fault, and knows `servers` servers. */
export function isClusterOk(info: string, servers: number): boolean {
  const value = (name: string) => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1]
  return (
    value('cluster_state') === 'ok' &&
    value('cluster_slots_ok') === `${SLOTS}` &&
    value('cluster_known_nodes') === `${servers}`
  )
}
