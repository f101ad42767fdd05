// Real daemons whose wall clock is an hour ahead and is set right again. Needs libfaketime, which shows a process
// another wall clock; without it both tests are skipped.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Redis } from 'ioredis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Cluster, StartOptions } from './cluster.js'
import { until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const clocks = suite('clocks')
const HOUR_S = 3600
const RIGHT_MS_MAX = 15_000

const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib64/faketime/libfaketimeMT.so.1',
  '/usr/lib/faketime/libfaketimeMT.so.1'
].find(existsSync)

/** A wall clock of its own for one daemon. The monotonic clock stays real. */
class FakeClock {
  readonly #file: string

  constructor(cluster: Cluster, name: string) {
    this.#file = join(cluster.folder, `${name}.clock`)
    this.set(0)
  }

  set(aheadS: number): void {
    writeFileSync(this.#file, `+${aheadS}\n`)
  }

  get options(): StartOptions {
    const variables = [
      `LD_PRELOAD=${FAKETIME}`,
      'DONT_FAKE_MONOTONIC=1',
      `FAKETIME_TIMESTAMP_FILE=${this.#file}`,
      'FAKETIME_NO_CACHE=1'
    ]
    return { prefix: ['env', ...variables] }
  }
}

function test(name: string, body: (cluster: Cluster) => Promise<void>): void {
  if (FAKETIME !== undefined) return void clocks(name, withCluster(body))
  clocks(name, () => console.log(`skipped: "${name}" needs libfaketime (on Debian: apt-get install libfaketime)`))
}

test('a peer whose clock is ahead refuses its clients, leaves no version of it, and comes back', async (cluster) => {
  const clock = new FakeClock(cluster, 'c')
  const a = await cluster.daemon('a').start()
  const b = await cluster.daemon('b').start({ join: [a] })
  const c = await cluster.daemon('c').start({ join: [a], ...clock.options })
  await cluster.settled([a, b, c])
  const [toA, toB, toC] = [a, b, c].map((daemon) => cluster.redis(daemon)) as [Redis, Redis, Redis]
  const keys = Array.from({ length: 50 }, (_, at) => `key-${at}`)
  for (const key of keys) await toC.set(key, 'old')
  await toC.set('brief', 'value', 'EX', 600)

  clock.set(HOUR_S)
  const said = await Promise.all(keys.map((key) => toC.set(key, 'future').then(String, String)))
  for (const answer of said) assert.match(answer, /CLUSTERDOWN.*the clock of this peer is 3600\.\d s ahead of most/)
  await c.logs(/the clock of this peer is 3600/)
  for (const key of keys.slice(0, 25)) await toA.set(key, 'new')
  for (const key of keys.slice(25)) await toA.del(key)
  for (const key of keys) assert.is(await toB.get(key), keys.indexOf(key) < 25 ? 'new' : null)
  assert.is(await toB.get('brief'), 'value')

  clock.set(0)
  await until('the peer serves again', RIGHT_MS_MAX, async () => (await toC.set('again', 'x')) === 'OK')
  for (const key of keys) assert.is(await toC.get(key), keys.indexOf(key) < 25 ? 'new' : null)
  assert.is(await toC.get('brief'), 'value')
  await c.stop()
  const { code, stdout } = await ringd(['doctor', '--data', c.data])
  assert.is(code, 0, stdout)
})

test('a ring of one whose clock was ahead takes writes when it is right, also after a restart', async (cluster) => {
  const clock = new FakeClock(cluster, 'a')
  clock.set(HOUR_S)
  const a = await cluster.daemon('a').start(clock.options)
  await cluster.redis(a).set('key', 'ahead')
  clock.set(0)
  await cluster.redis(a).set('key', 'right')
  assert.is(await cluster.redis(a).get('key'), 'right')
  await a.stop()
  await a.start(clock.options)
  const client = cluster.redis(a)
  assert.is(await client.get('key'), 'right')
  await client.set('key', 'restarted')
  assert.is(await client.del('key'), 1)
})

clocks.run()
