// Repair and a limit for moving data on an operator's order, and metrics that match their documentation.
// time limit: 180 s
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LimitReport, RepairReport } from '../../lib/client/reports.js'
import { KiB } from '../../lib/limits.js'
import { systemClock } from '../../lib/system-clock.js'
import { type Cluster, type Daemon, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const operator = suite('commands of an operator')
const README = fileURLToPath(new URL('../../../daemon/README.md', import.meta.url))
const KEYS = 50
const LIMIT = 64 * KiB
/** 2.4 MB: the limit makes 36 s of it. */
const LARGE_KEYS = 24
const LARGE_BYTES = 100_000
const FOLLOW_MS = 5000
const WATCHED_MS = 2000
const FREE_MS = 15_000

operator(
  'repair compares with all owners, reports its work, and fails when an owner cannot be asked',
  withCluster(async (cluster) => {
    const [a, b, c] = (await cluster.startThree()) as [Daemon, Daemon, Daemon]
    const client = cluster.redis(a)
    for (let key = 0; key < KEYS; key++) await client.set(`key-${key}`, 'value')
    const repaired = await ringd(['repair', '--data', a.data, '--json'])
    assert.is(repaired.code, 0, repaired.stderr)
    const report: RepairReport = JSON.parse(repaired.stdout)
    assert.equal([report.running, report.owners, report.compared, report.failures], [false, 2, 2, []])
    const words = await ringd(['repair', '--data', b.data, '--slots', '0-99'])
    assert.is(words.code, 0, words.stderr)
    assert.match(words.stdout, /^slots {5}0-99: 200 compared, 0 differed/)
    for (const slots of ['5-1', '0-16384', 'all']) {
      const refused = await ringd(['repair', '--data', a.data, '--slots', slots])
      assert.is(refused.code, 2, refused.stderr)
    }
    await c.kill()
    const failed = await ringd(['repair', '--data', a.data, '--json'])
    assert.is(failed.code, 4, failed.stderr)
    assert.match(failed.stderr, /^ringd: 1 of 2 owners could not be compared with \([A-Z_]+\)\n$/)
    assert.is(JSON.parse(failed.stdout).failures.length, 1)
    await limitMoves(cluster, [a, b, c])
  })
)

/** `c` is down. */
async function limitMoves(cluster: Cluster, [a, b, c]: readonly [Daemon, Daemon, Daemon]): Promise<void> {
  const client = cluster.redis(a)
  for (let key = 0; key < LARGE_KEYS; key++) await client.set(`large-${key}`, Buffer.alloc(LARGE_BYTES, key))
  const refused = await ringd(['limit', '1', '--data', a.data])
  assert.is(refused.code, 2, refused.stderr)
  assert.match(refused.stderr, /^ringd: the limit 1 B\/s is too small.*\(BAD_REQUEST\)\n$/)
  const set = await ringd(['limit', '64KiB/s', '--data', a.data])
  assert.is(set.code, 0, set.stderr)
  const follows = (limit: number | null, daemons: readonly Daemon[]) =>
    until(`all follow the limit ${limit}`, FOLLOW_MS, async () => {
      const all = await Promise.all(daemons.map((one) => one.status()))
      return all.every(({ moveLimitBytesPerS }) => moveLimitBytesPerS === limit)
    })
  await follows(LIMIT, [a, b])
  await b.kill()
  await Promise.all([b.start(), c.start({ join: [a] })])
  await follows(LIMIT, [a, b, c])
  assert.match(
    (await ringd(['status', '--data', b.data])).stdout,
    /^limit {3}64\.0 KiB\/s \(65536 B\/s\) for each peer/m
  )
  const d = await cluster.daemon('d').start({ join: [a] })
  const began = systemClock.elapsed()
  await follows(LIMIT, [d])
  await sleep(WATCHED_MS)
  const pulled = await d.metric('ringd_migration_received_bytes')
  const seconds = (systemClock.elapsed() - began) / 1000
  // Before it served it may have pulled for a second. Two parts were let through at once.
  assert.ok(pulled <= (seconds + 1) * LIMIT + 2 * 256 * KiB, `${pulled} B in ${seconds} s`)
  assert.ok((await d.metric('ringd_migration_unready_slots')) > 0)
  const off: LimitReport = JSON.parse((await ringd(['limit', 'off', '--data', c.data, '--json'])).stdout)
  assert.is(off.bytesPerS, null)
  await follows(null, [a, b, c, d])
  const isReady = async () => (await d.metric('ringd_migration_unready_slots')) === 0
  await until('nothing moves any more', FREE_MS, isReady)
}

operator(
  'every metric is in the table of the documentation, and no other',
  withCluster(async (cluster) => {
    const daemon = await cluster.daemon('a').start()
    const client = cluster.redis(daemon)
    await client.set('key', 'value')
    await client.get('key')
    const documented = [...readFileSync(README, 'utf8').matchAll(/^\| `(ringd_\w+)`/gm)].map(([, name]) => name!)
    const { stdout } = await ringd(['metrics', '--data', daemon.data])
    const told = [...stdout.matchAll(/^# HELP (\S+) \S/gm)].map(([, name]) => name!)
    assert.equal(told.sort(), documented.sort())
  })
)

operator.run()
