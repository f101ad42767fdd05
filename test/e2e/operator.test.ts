// Repair on an operator's order, and metrics that match their documentation.
// time limit: 120 s
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RepairReport } from '../../lib/client/reports.js'
import { type Daemon, withCluster } from './cluster.js'
import { ringd } from './command.js'

const operator = suite('commands of an operator')
const README = fileURLToPath(new URL('../../../daemon/README.md', import.meta.url))
const KEYS = 50

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
  })
)

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
