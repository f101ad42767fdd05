// Entries from the future that are on the disks of a ring: nothing overwrites them until the doctor has mended them.
// time limit: 300 s
// mostly computes
import type { Redis } from 'ioredis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DoctorReport } from '../../daemon/commands/doctor.js'
import { writeCeiling } from '../../lib/actors/router/version-minter.js'
import { fromText } from '../../lib/bytes.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey, metaKey } from '../../lib/entry/keys.js'
import { makeVersion } from '../../lib/entry/version.js'
import { slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { openLevelStore } from '../../lib/storage/level.js'
import type { StoreWrite } from '../../lib/storage/store.js'
import { type Cluster, type Daemon, pause, withCluster } from './cluster.js'
import { ringd } from './command.js'

const doctor = suite('doctor')
const FUTURE = Date.UTC(2100, 0, 1)
const KEYS = ['stuck', 'deleted']

/** Writes into the store of a daemon that is stopped. */
async function plant(daemon: Daemon, writes: readonly StoreWrite[]): Promise<void> {
  const store = await openLevelStore(`${daemon.data}/store`, { createIfMissing: false })
  await new GuardedStore(store).write(writes)
  await store.close()
}

function entriesFromTheFuture(): StoreWrite[] {
  const version = makeVersion(FUTURE, 7, fromText('a member'))
  const entries = [
    { key: 'stuck', entry: { version, tombstone: false, value: fromText('from the future') } },
    { key: 'deleted', entry: { version, tombstone: true, value: fromText('') } }
  ]
  return entries.map(({ key, entry }) => {
    const bytes = fromText(key)
    return { type: 'put', key: dataKey(slotOf(bytes), bytes), value: encodeEnvelope(bytes, entry) }
  })
}

/** With it, a member makes versions from the future, and the owners refuse its writes. */
function ceilingFromTheFuture(): StoreWrite {
  const { name, value } = writeCeiling(FUTURE)
  return { type: 'put', key: metaKey(name), value }
}

async function stopAll(ring: readonly Daemon[]): Promise<void> {
  await Promise.all(ring.map((daemon) => daemon.stop()))
}

/** The addresses on the disks are outdated, since all daemons have new ports. Each of the others joins by the first. */
async function startAll([first, ...others]: readonly Daemon[]): Promise<void> {
  await first!.start()
  for (const daemon of others) daemon.launch({ join: [first!] })
  await Promise.all(others.map((daemon) => daemon.serves()))
}

async function examine(
  daemon: Daemon,
  ...flags: readonly string[]
): Promise<{ code: number | null; report: DoctorReport }> {
  const { code, stdout, stderr } = await ringd(['doctor', '--data', daemon.data, '--json', ...flags])
  assert.match(stdout, /^\{.*\}\n$/, stderr)
  return { code, report: JSON.parse(stdout) }
}

doctor(
  'a ring takes writes of keys from the future again, once every peer is mended',
  withCluster(async (cluster) => {
    const ring = await cluster.startThree()
    const [first, ...others] = ring as [Daemon, ...Daemon[]]
    const inUse = await ringd(['doctor', '--data', first.data])
    assert.is(inUse.code, 6)
    assert.match(inUse.stderr, /another process uses .* \(DATA_LOCKED\)/)
    await cluster.redis(first).set('sound', 'value')
    await stopAll(ring)
    assert.is((await examine(first)).code, 0)

    for (const daemon of ring) await plant(daemon, entriesFromTheFuture())
    await startAll(ring)
    await cluster.settled(ring)
    for (const key of KEYS) {
      const written = await ringd(['put', key, 'overwritten', '--data', first.data])
      assert.is.not(written.code, 0, 'the planted entry resists')
    }
    await stopAll(ring)
    for (const daemon of ring) await plant(daemon, [ceilingFromTheFuture()])

    const { code, report } = await examine(first)
    assert.is(code, 10)
    assert.is(report.found.futureEntries, 2)
    assert.ok(report.found.ceilingAheadMs > 0)
    const unconfirmed = await ringd(['doctor', '--data', first.data, '--fix'])
    assert.is(unconfirmed.code, 2)
    assert.match(unconfirmed.stderr, /add --yes; nothing was changed \(BAD_REQUEST\)/)
    assert.is((await examine(first)).report.found.futureEntries, 2)

    const mended = await examine(first, '--fix', '--yes')
    assert.is(mended.code, 0)
    assert.equal(mended.report.mended, { entries: 2, hints: 0, promises: 0, ceilings: 1 })
    for (const daemon of others) {
      const { code, report } = await examine(daemon, '--fix', '--yes', '--at', mended.report.at!)
      assert.is(code, 0)
      assert.is(report.at, mended.report.at)
      assert.is(report.mended.entries, 2)
    }

    await startAll(ring)
    await cluster.settled(ring)
    const client = cluster.redis(first)
    assert.is(await client.get('stuck'), 'from the future')
    assert.is(await client.get('deleted'), null)
    assert.is(await client.get('sound'), 'value')
    for (const key of KEYS) await client.set(key, 'overwritten')
    for (const daemon of ring) {
      for (const key of KEYS) assert.is(await cluster.redis(daemon).get(key), 'overwritten')
    }
    const repaired = await ringd(['repair', '--data', first.data, '--json'])
    assert.is(repaired.code, 0, repaired.stderr)
  })
)

/** Writes numbers to a few keys through the doors that it is given, one write after the other, until it is stopped. */
class Writer {
  readonly #cluster: Cluster
  #doors: readonly Redis[] = []
  #stopping = false
  readonly #loop: Promise<void>
  /** The last acknowledged number of each key. */
  readonly acknowledged = new Map<string, number>()
  readonly failures: string[] = []

  constructor(cluster: Cluster, daemons: readonly Daemon[]) {
    this.#cluster = cluster
    this.use(daemons)
    this.#loop = this.#run()
  }

  /** From the next write on it uses the doors of these daemons alone. */
  use(daemons: readonly Daemon[]): void {
    this.#doors = daemons.map((daemon) => this.#cluster.redis(daemon))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await this.#loop
  }

  async #run(): Promise<void> {
    for (let number = 1; !this.#stopping; number++) {
      const key = `load:${number % 20}`
      try {
        await this.#doors[number % this.#doors.length]!.set(key, number)
        this.acknowledged.set(key, number)
      } catch (thrown) {
        this.failures.push(`${key} ${thrown}`)
      }
      await pause(5)
    }
  }
}

doctor(
  'peers are mended one after the other while the ring serves clients, and nothing comes back from the others',
  withCluster(async (cluster) => {
    const ring = await cluster.startThree()
    await stopAll(ring)
    for (const daemon of ring) await plant(daemon, entriesFromTheFuture())
    await startAll(ring)
    await cluster.settled(ring)
    const writer = new Writer(cluster, ring)
    cluster.atEnd(() => writer.stop())

    let at: string | undefined
    for (const daemon of ring) {
      const others = ring.filter((other) => other !== daemon)
      writer.use(others)
      // A write that is under way through the door of this daemon ends first.
      await pause(500)
      await daemon.stop()
      const moment = at === undefined ? [] : ['--at', at]
      const { code, report } = await examine(daemon, '--fix', '--yes', ...moment)
      assert.is(code, 0, daemon.name)
      assert.is(report.mended.entries, 2, daemon.name)
      at ??= report.at!
      await daemon.start({ join: others })
      await cluster.settled(ring)
      await ringd(['repair', '--data', daemon.data, '--json'])
    }
    writer.use(ring)
    await pause(500)
    await writer.stop()
    assert.equal(writer.failures, [])
    assert.is(writer.acknowledged.size, 20)

    for (const daemon of ring) {
      const client = cluster.redis(daemon)
      for (const [key, number] of writer.acknowledged) assert.is(await client.get(key), `${number}`, key)
      for (const key of KEYS) {
        await client.set(key, daemon.name)
        assert.is(await client.get(key), daemon.name)
        assert.is(await client.del(key), 1)
      }
    }
    const joiner = await cluster.daemon('d').start({ join: ring })
    await cluster.settled([...ring, joiner])
    await stopAll([...ring, joiner])
    for (const daemon of [...ring, joiner]) assert.is((await examine(daemon)).code, 0, daemon.name)
  })
)

doctor.run()
