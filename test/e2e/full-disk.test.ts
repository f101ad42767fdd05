// Real daemons without room on the disk, or without file descriptors: what they hold is read, what frees room goes on,
// and writes come back by themselves. Disks need root and tmpfs; where they cannot be mounted, tests say so and pass.
// time limit: 300 s
import { randomBytes } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { fillDisk, freeDisk, mountDisk, unmountDisk } from '../chaos/host-network.js'
import { type Cluster, type Daemon, pause, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const test = suite('full disks')
const BACK_MS_MAX = 30_000
const FULL_MS_MAX = 60_000
const OPEN_FILES = 512
const PRLIMIT = '/usr/bin/prlimit'

/** A daemon that is alone on a small disk; undefined where a disk cannot be mounted. */
async function onSmallDisk(cluster: Cluster, name: string): Promise<Daemon | undefined> {
  const daemon = cluster.daemon(name)
  try {
    mountDisk(daemon.data)
  } catch (thrown) {
    console.log(`skipped: a disk of its own needs root and tmpfs (${thrown})`)
    return undefined
  }
  cluster.atEnd(async () => unmountDisk(daemon.data))
  return daemon
}

/** Writes values until each client was refused. Adds the keys that were acknowledged. */
async function writeUntilRefused(clients: readonly Redis[], bytes: number, keys: string[]): Promise<void> {
  let count = keys.length
  const write = async (client: Redis) => {
    for (;;) {
      const key = `big${count++}-${keys.length}`
      const error = await client.set(key, randomBytes(bytes)).then(
        () => undefined,
        (thrown: Error) => thrown.message
      )
      if (error === undefined) keys.push(key)
      else return assert.match(error, /^OOM /)
    }
  }
  await Promise.all(clients.map(write))
}

/** It is written piece by piece. */
function hasReserve({ data }: Daemon): boolean {
  return statSync(join(data, 'reserve'), { throwIfNoEntry: false })?.size === 32 << 20
}

async function conditionOf(daemon: Daemon, name: string): Promise<boolean> {
  const { stdout } = await ringd(['metrics', '--data', daemon.data])
  return new RegExp(`^ringd_condition\\{condition="${name}"\\} 1$`, 'm').test(stdout)
}

test(
  'a burst of writes ends with OOM before the disk is full; then values are read, deleted, and taken again',
  withCluster(async (cluster) => {
    const daemon = await onSmallDisk(cluster, 'a')
    if (daemon === undefined) return
    await daemon.start()
    const clients = Array.from({ length: 8 }, () => cluster.redis(daemon))
    const [client] = clients as [Redis]
    const keys: string[] = []
    // After a burst LevelDB needs less room for its upkeep, and some more values are taken.
    await until('the disk stays full', FULL_MS_MAX, async () => {
      await writeUntilRefused(clients, 1_000_000, keys)
      await pause(2500)
      return conditionOf(daemon, 'disk-full')
    })
    assert.ok(keys.length > 20, `${keys.length} values of 1 MB fit on the disk`)
    assert.not.ok(await conditionOf(daemon, 'store-closed'))
    for (const key of keys) assert.is(await client.strlen(key), 1_000_000, key)
    assert.is(await client.del(keys[0]!), 1)
    assert.is(await client.get(keys[0]!), null)
  })
)

test(
  'another program fills the disk: reads and deletes go on, and writes come back when there is room',
  withCluster(async (cluster) => {
    const daemon = await onSmallDisk(cluster, 'a')
    if (daemon === undefined) return
    await daemon.start()
    const client = cluster.redis(daemon)
    for (let at = 0; at < 100; at++) await client.set(`k${at}`, `v${at}`)
    await until('the reserve is made', BACK_MS_MAX, () => hasReserve(daemon))

    fillDisk(daemon.data)
    let failed = 0
    const begun = performance.now()
    for (let at = 0; performance.now() - begun < 5000; at++) {
      await client.set('refused', 'x').catch(() => {
        failed += 1
      })
      assert.is(await client.get(`k${at % 100}`), `v${at % 100}`)
      await pause(20)
    }
    assert.ok(failed > 10, 'writes are refused')
    await until('deletes are taken', BACK_MS_MAX, async () => (await client.del('k0')) === 1)
    assert.is(await client.get('k0'), null)
    assert.ok(await conditionOf(daemon, 'disk-full'))

    freeDisk(daemon.data)
    await until('writes are taken again', BACK_MS_MAX, async () => (await client.set('again', 'x')) === 'OK')
    await until('the conditions end', BACK_MS_MAX, async () => !(await conditionOf(daemon, 'disk-full')))
    assert.not.ok(await conditionOf(daemon, 'store-closed'))
    await until('the reserve is made again', BACK_MS_MAX, () => hasReserve(daemon))
    await daemon.kill()
    await daemon.start()
    const after = cluster.redis(daemon)
    for (let at = 1; at < 100; at++) assert.is(await after.get(`k${at}`), `v${at}`)
    assert.is(await after.get('k0'), null)
  })
)

test(
  'a peer whose disk is full leaves its ring, and the others hold everything',
  withCluster(async (cluster) => {
    const full = await onSmallDisk(cluster, 'full')
    if (full === undefined) return
    const [a, b, c] = await cluster.startThree()
    await full.start({ join: [a!] })
    const daemons = [a!, b!, c!, full]
    await cluster.settled(daemons)
    const client = cluster.redis(a!)
    for (let at = 0; at < 100; at++) await client.set(`k${at}`, `v${at}`)
    await until('the reserve is made', BACK_MS_MAX, () => hasReserve(full))
    fillDisk(full.data)
    await full.logs(/the disk is nearly full: writes are refused/)
    const { code, stderr } = await ringd(['leave', '--data', full.data])
    assert.is(code, 0, stderr)
    assert.is(await full.ended, 'exited with 0')
    await cluster.settled([a!, b!, c!])
    for (let at = 0; at < 100; at++) assert.is(await client.get(`k${at}`), `v${at}`)
  })
)

test(
  'idle clients do not take the files that the store needs',
  withCluster(async (cluster) => {
    if (!existsSync(PRLIMIT)) return console.log(`skipped: there is no ${PRLIMIT}`)
    const daemon = cluster.daemon('a')
    await daemon.start({ prefix: [PRLIMIT, `--nofile=${OPEN_FILES}:${OPEN_FILES}`, '--'] })
    await daemon.logs(/this process may open few files/)
    const client = cluster.redis(daemon)
    await client.set('k', 'v')
    let told = 0
    const idle = Array.from({ length: OPEN_FILES + 50 }, (): Socket => {
      const socket = connect(daemon.resp.port, daemon.resp.host)
      socket.on('error', () => {})
      socket.on('data', (data) => {
        if (data.includes('max number of clients')) told += 1
      })
      return socket
    })
    try {
      await until('some clients are refused', BACK_MS_MAX, () => told > 50)
      // Each 16 MiB begin a new log and a new table.
      for (let at = 0; at < 80; at++) await client.set(`big${at}`, randomBytes(500_000))
      assert.is(await client.get('k'), 'v')
      assert.not.ok(await conditionOf(daemon, 'store-closed'))
    } finally {
      for (const socket of idle) socket.destroy()
    }
  })
)

test(
  'with too few files the daemon does not start, and says what to do',
  withCluster(async (cluster) => {
    if (!existsSync(PRLIMIT)) return console.log(`skipped: there is no ${PRLIMIT}`)
    const daemon = cluster.daemon('a')
    daemon.launch({ prefix: [PRLIMIT, '--nofile=200:200', '--'] })
    assert.match(await daemon.ended, /^exited with 2/)
    await daemon.logs(/may open 200 files; ringd needs 256 or more/)
  })
)

test.run()
