// Disks below real daemons that flip bits, lose files, bring back old data or fill up. No read through any peer may be
// wrong because of it. A daemon that cannot continue says so in one line that tells what to do.
// time limit: 240 s
import { randomBytes } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readCopies } from '../chaos/disk-copies.js'
import { fillDisk, freeDisk, mountDisk, unmountDisk } from '../chaos/host-network.js'
import { Cluster, type Daemon, pause, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const disks = suite('damaged, outdated and full disks')
const KEYS = 150
const HEAL_MS_MAX = 30_000
/**
 * Every pong tells the number of the last batch on the sender's disk, once a second. After this time all peers know it.
 */
const HEARD_MS = 3000

/** A few seconds, in days. */
const SCRUB_DAYS = '0.00005'

/** The acknowledged value of each key. */
type Truth = Map<string, string>
type Daemons = readonly [Daemon, Daemon, Daemon]

/** Writes random values. They cannot be compressed, so they lie in the files as plain bytes. */
async function writeKeys(client: Redis, truth: Truth, prefix: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const key = `${prefix}${index}`
    const value = randomBytes(150).toString('base64')
    await client.set(key, value)
    truth.set(key, value)
  }
}

/** Reads each key through each daemon and compares it. */
async function assertTrue(cluster: Cluster, daemons: readonly Daemon[], truth: Truth): Promise<void> {
  const keys = [...truth.keys()]
  for (const daemon of daemons) {
    const client = cluster.redis(daemon)
    const found = await Promise.all(keys.map((key) => client.get(key)))
    client.disconnect()
    const wrong = keys.filter((key, index) => found[index] !== truth.get(key))
    assert.equal(wrong, [], `read wrongly through ${daemon.name}`)
  }
}

/** Asserts that the disk of a stopped daemon holds every key with its acknowledged value. */
async function assertOnDisk(daemon: Daemon, truth: Truth): Promise<void> {
  const copies = await readCopies(storeOf(daemon))
  const wrong = [...truth].filter(([key, value]) => copies.get(key)?.value !== value).map(([key]) => key)
  assert.equal(wrong, [], `wrong on the disk of ${daemon.name}`)
}

function storeOf(daemon: Daemon): string {
  return join(daemon.data, 'store')
}

/**
 * Stops the daemon with all its entries in tables. LevelDB writes tables when it replays its log, so a restart comes
 * first.
 */
async function stopWithTables(daemon: Daemon): Promise<void> {
  await daemon.stop()
  await daemon.start()
  await daemon.stop()
}

function fileOf(daemon: Daemon, name: RegExp): string {
  const files = readdirSync(storeOf(daemon)).filter((file) => name.test(file))
  const largest = files.sort(
    (a, b) => statSync(join(storeOf(daemon), b)).size - statSync(join(storeOf(daemon), a)).size
  )[0]
  if (largest === undefined) throw new Error(`${daemon.name} has no file ${name}`)
  return join(storeOf(daemon), largest)
}

/** Where `text` lies in the tables of a stopped daemon. */
function placeOf(daemon: Daemon, text: string): { readonly table: string; readonly at: number } {
  const tables = readdirSync(storeOf(daemon)).filter((file) => file.endsWith('.ldb'))
  const places = tables.map((file) => {
    const table = join(storeOf(daemon), file)
    return { table, at: readFileSync(table).indexOf(text) }
  })
  const found = places.find(({ at }) => at > 0)
  if (found === undefined) throw new Error(`${text} lies in no table`)
  return found
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
}

async function metricOf(daemon: Daemon, name: string): Promise<number> {
  const { stdout } = await ringd(['metrics', '--data', daemon.data])
  return Number(new RegExp(`^${name}(?:_total)? (\\S+)$`, 'm').exec(stdout)?.[1] ?? 0)
}

/** All files of the store but LevelDB's own text logs. */
function filesOf(daemon: Daemon): readonly (readonly [string, string])[] {
  const names = readdirSync(storeOf(daemon)).filter((name) => !/^LOG(\.old)?$/.test(name))
  return names.map((name) => [name, readFileSync(join(storeOf(daemon), name)).toString('base64')])
}

const shared = new Cluster()
let ring: Daemons | undefined
disks.after(() => shared.end())

/** A test on one ring of three that all these tests share. They find it whole: daemons that have ended start again. */
function onRing(name: string, body: (cluster: Cluster, daemons: Daemons) => Promise<void>): void {
  disks(name, async () => {
    try {
      ring ??= (await shared.startThree()) as [Daemon, Daemon, Daemon]
      for (const daemon of ring) if (!daemon.alive) await daemon.start()
      await shared.settled(ring)
      await body(shared, ring)
    } catch (thrown) {
      shared.printLogs()
      throw thrown
    }
  })
}

interface Harm {
  readonly name: string
  readonly says: RegExp
  readonly harm: (daemon: Daemon) => void
}

const HARMS: readonly Harm[] = [
  {
    name: 'a flipped bit in the index of a table',
    says: /\.ldb: its index is damaged/,
    harm: (daemon) => flip(fileOf(daemon, /\.ldb$/), statSync(fileOf(daemon, /\.ldb$/)).size - 60)
  },
  {
    name: 'a flipped bit in the end of a table',
    says: /\.ldb: its end is damaged/,
    harm: (daemon) => flip(fileOf(daemon, /\.ldb$/), statSync(fileOf(daemon, /\.ldb$/)).size - 1)
  },
  {
    name: 'a flipped bit in a key of a table',
    says: /\.ldb: its block at byte \d+ is damaged/,
    harm: (daemon) => {
      // No base64 text of a value holds a colon, so this is the key.
      const { table, at } = placeOf(daemon, 'k:77')
      flip(table, at)
    }
  },
  {
    name: 'a table that was cut',
    says: /\.ldb: it has \d+ bytes instead of \d+/,
    harm: (daemon) => truncateSync(fileOf(daemon, /\.ldb$/), 3000)
  },
  {
    name: 'a table that was deleted',
    says: /\.ldb is missing/,
    harm: (daemon) => unlinkSync(fileOf(daemon, /\.ldb$/))
  },
  {
    name: 'a MANIFEST that was cut',
    says: /MANIFEST-\d+ was cut/,
    harm: (daemon) => truncateSync(fileOf(daemon, /^MANIFEST/), 60)
  },
  {
    name: 'a CURRENT that was deleted',
    says: /CURRENT is missing/,
    harm: (daemon) => unlinkSync(join(storeOf(daemon), 'CURRENT'))
  }
]

onRing(
  'damage that may hide entries ends the start with advice; once the files are put back, the directory works',
  async (cluster, daemons) => {
    const [a, b, c] = daemons
    const truth: Truth = new Map()
    await writeKeys(cluster.redis(a), truth, 'k:', KEYS)
    await stopWithTables(b)
    const kept = join(cluster.folder, 'kept')
    cpSync(storeOf(b), kept, { recursive: true })
    for (const { name, says, harm } of HARMS) {
      harm(b)
      const before = filesOf(b)
      const lines = readFileSync(b.log, 'utf8').length
      b.launch()
      assert.match(await b.ended, /^exited with 6: /, name)
      const said = readFileSync(b.log, 'utf8').slice(lines)
      assert.match(said, says, name)
      assert.match(said, /start with an empty one to fetch the data from the ring/, name)
      assert.equal(filesOf(b), before, `${name}: nothing was touched`)
      rmSync(storeOf(b), { recursive: true })
      cpSync(kept, storeOf(b), { recursive: true })
    }
    await assertTrue(cluster, [a, c], truth)
    await b.start()
    await cluster.settled(daemons)
    await assertTrue(cluster, daemons, truth)
    await b.stop()
    await assertOnDisk(b, truth)
  }
)

onRing(
  'a flipped bit in a value is never returned to a client, and is healed from the other owners',
  async (cluster, daemons) => {
    const [, b] = daemons
    const truth: Truth = new Map()
    await writeKeys(cluster.redis(daemons[0]!), truth, 'k', KEYS)
    await stopWithTables(b)
    const [, value] = [...truth][KEYS / 2]!
    const { table, at } = placeOf(b, value)
    flip(table, at + 20)

    await b.start()
    await assertTrue(cluster, daemons, truth)
    await b.logs(/damaged entries were found when the store was opened/)
    await b.logs(/damaged entry healed/)
    await until(
      'metrics tell of it',
      HEAL_MS_MAX,
      async () => (await metricOf(b, 'ringd_storage_healed_entries')) === 1
    )
    await assertTrue(cluster, daemons, truth)
    await b.stop()
    await assertOnDisk(b, truth)
  }
)

onRing(
  'an old copy of a data directory is not trusted: its next start joins as a new member and holds everything',
  async (cluster, daemons) => {
    const [a, b, c] = daemons
    const { storeId } = b.info
    const truth: Truth = new Map()
    const client = cluster.redis(a)
    await writeKeys(client, truth, 'k', KEYS)
    await b.stop()
    const kept = join(cluster.folder, 'old copy')
    cpSync(b.data, kept, { recursive: true })
    await b.start()
    await writeKeys(client, truth, 'k', KEYS / 2)
    await writeKeys(client, truth, 'later', KEYS)
    await pause(HEARD_MS)
    await b.stop()
    rmSync(b.data, { recursive: true })
    cpSync(kept, b.data, { recursive: true })

    b.launch()
    assert.match(await b.ended, /^exited with 6: /)
    await b.logs(/the store is an old copy; start it again to rejoin as a new member/)
    await assertTrue(cluster, [a, c], truth)
    await b.start()
    assert.is.not(b.info.storeId, storeId)
    await assertTrue(cluster, daemons, truth)
    await until('the ring is whole again', HEAL_MS_MAX * 2, async () => (await a.status()).slots.settled === 16384)
    await b.stop()
  }
)

onRing('such damage in a running daemon ends it at the next check of the store', async (cluster, daemons) => {
  const [a, b, c] = daemons
  const truth: Truth = new Map()
  await writeKeys(cluster.redis(a), truth, 'k', KEYS / 3)
  await c.stop()
  await c.start({ flags: ['--scrub-days', SCRUB_DAYS] })
  const table = fileOf(c, /\.ldb$/)
  flip(table, statSync(table).size - 60)
  assert.match(await c.ended, /^exited with 6: /)
  await c.logs(/DATA_DAMAGED.*\.ldb: its index is damaged/)
  await assertTrue(cluster, [a, b], truth)
})

disks(
  'a full disk refuses writes and loses nothing acknowledged, and writes work again once there is space',
  withCluster(async (cluster) => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => cluster.daemon(name)) as [Daemon, Daemon, Daemon]
    const small = [b, c]
    try {
      for (const { data } of small) {
        mountDisk(data)
        cluster.atEnd(async () => unmountDisk(data))
      }
    } catch (thrown) {
      console.log(`skipped: a disk of its own needs root and tmpfs (${thrown})`)
      return
    }
    await a.start()
    for (const daemon of small) await daemon.start({ join: [a] })
    const daemons = [a, b, c]
    await cluster.settled(daemons)
    const pids = daemons.map(({ pid }) => pid)
    const truth: Truth = new Map()
    const clients = daemons.map((daemon) => cluster.redis(daemon))
    const [throughA, throughB, throughC] = clients as [Redis, Redis, Redis]
    await writeKeys(throughA, truth, 'k', KEYS)

    // One disk of three is full. The other two take every write, also a write through the member with the full disk.
    fillDisk(b.data)
    await b.logs(/the disk is nearly full: writes are refused/)
    await writeKeys(throughB, truth, 'one', KEYS / 3)
    await writeKeys(throughA, truth, 'one-a', KEYS / 3)
    await assertTrue(cluster, daemons, truth)

    // Two disks of three are full. No quorum has room.
    fillDisk(c.data)
    await c.logs(/the disk is nearly full: writes are refused/)
    const refusals = () =>
      Promise.all(clients.map((client) => client.set('refused', 'x').catch((error) => error.message)))
    // A member with room may have stored the first ones, before it knew that no quorum has.
    for (const refusal of await refusals()) assert.match(refusal, /^(OOM|UNKNOWN) /)
    await until('refused writes are stored nowhere', HEAL_MS_MAX, async () =>
      (await refusals()).every((refusal) => /^OOM /.test(refusal))
    )
    await assertTrue(cluster, daemons, truth)

    for (const { data } of small) freeDisk(data)
    await Promise.all(small.map((daemon) => daemon.logs(/there is room on the disk again: writes are taken/)))
    await writeKeys(throughC, truth, 'again', KEYS / 3)
    await assertTrue(cluster, daemons, truth)
    assert.equal(
      daemons.map(({ pid, alive }) => alive && pid),
      pids
    )
    // The writes that a full disk had refused reach it later.
    await pause(HEARD_MS)
    await b.stop()
    await assertOnDisk(b, truth)
  })
)

disks.run()
