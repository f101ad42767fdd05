// `ringd verify` on real daemons: equal owners, an entry that vanished from one disk, an owner that is away.
// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { VerifyReport } from '../../lib/client/reports.js'
import { dataKey } from '../../lib/entry/keys.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { type Daemon, withCluster } from './cluster.js'
import { type Ended, ringd } from './command.js'

const verify = suite('verify')
const KEYS = 300
/** A member that was started again compares itself after two seconds: the command may come too late for that. */
const TRIES_MAX = 8

/** Deletes an entry from the store of a daemon that is stopped. */
async function remove(daemon: Daemon, key: string): Promise<void> {
  const store = await openLevelStore(`${daemon.data}/store`, { createIfMissing: false })
  const bytes = Buffer.from(key)
  await new GuardedStore(store).write([{ type: 'del', key: dataKey(slotOf(bytes), bytes) }])
  await store.close()
}

interface Verified extends Ended {
  readonly report: VerifyReport
}

async function verified(daemon: Daemon, ...argv: readonly string[]): Promise<Verified> {
  const ended = await ringd(['verify', '--json', '--data', daemon.data, ...argv])
  assert.match(ended.stdout, /^\{.*\}\n$/, ended.stderr)
  return { ...ended, report: JSON.parse(ended.stdout) }
}

verify(
  'finds the one slot in which an owner lacks an entry, and nothing after a repair',
  withCluster(async (cluster) => {
    const ring = await cluster.startThree()
    const [a, , c] = ring as [Daemon, Daemon, Daemon]
    const client = cluster.redis(a)
    for (let key = 0; key < KEYS; key++) await client.set(`key-${key}`, 'value')
    const equal = await verified(a)
    assert.is(equal.code, 0, equal.stderr)
    assert.equal([equal.report.equal, equal.report.failures, equal.report.differences], [SLOTS, [], []])
    const words = await ringd(['verify', '--slots', '0-99', '--data', a.data])
    assert.is(words.code, 0, words.stderr)
    assert.match(words.stdout, /^slots {5}0-99: 100 of 100 equal at all owners, 0 differ$/m)

    let found: Verified | undefined
    for (let tries = 0; found === undefined && tries < TRIES_MAX; tries++) {
      const key = `key-${tries}`
      await c.stop()
      await remove(c, key)
      await c.start({ join: [a] })
      const ended = await verified(a, '--once')
      const { code, stderr, report } = ended
      if (report.differing === 0) continue
      found = ended
      assert.is(code, 11, stderr)
      assert.match(stderr, /^ringd: 1 of 16384 slots differ; ringd repair heals them \(COPIES_DIFFER\)\n$/)
      assert.equal(
        report.differences.map(({ slot, owners }) => [slot, owners.find(({ group }) => group === 1)?.storeId]),
        [[slotOf(Buffer.from(key)), c.info.storeId]]
      )
    }
    assert.ok(found !== undefined, 'one of the comparisons came before the repair')
    const repaired = await ringd(['repair', '--data', c.data])
    assert.is(repaired.code, 0, repaired.stderr)
    const cured = await verified(a)
    assert.is(cured.code, 0, cured.stderr)
    assert.is(cured.report.equal, SLOTS)

    await c.kill()
    const silent = await verified(a, '--once')
    assert.is(silent.code, 4, silent.stderr)
    assert.match(silent.stderr, /^ringd: 16384 of 16384 slots could not be compared .* \(COPIES_UNKNOWN\)\n$/)
    assert.equal([silent.report.unanswered, silent.report.differing, silent.report.failures.length], [SLOTS, 0, 1])
    for (const slots of ['5-1', '0-16384', 'all']) {
      assert.is((await ringd(['verify', '--data', a.data, '--slots', slots])).code, 2)
    }
  })
)

verify.run()
