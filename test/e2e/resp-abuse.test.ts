// Hostile Redis clients at one of three real daemons: nobody is served late or not at all because of them, and the
// daemon's memory stays bounded. Times are loose, since the machine may be busy; bytes are not.
// time limit: 300 s
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, until, withCluster } from './cluster.js'
import { ringd } from './command.js'

const abuse = suite('abuse of the Redis door')
const MiB = 1024 * 1024
const LARGE_BYTES = 8 * MiB
const LARGE_KEYS = 6
const RSS_MORE_MAX = 300 * MiB
const WAIT_MS_MAX = 30_000
const PASSWORD = 'correct horse battery staple'

/** A ring of three whose first daemon wants a password. */
async function startRing(cluster: Cluster): Promise<Daemon[]> {
  const file = join(cluster.folder, 'password')
  writeFileSync(file, `${PASSWORD}\n`)
  chmodSync(file, 0o600)
  const first = await cluster.daemon('a').start({ flags: ['--resp-password-file', file] })
  const daemons = [first, ...(await cluster.startAll(['b', 'c'], [first]))]
  await cluster.settled(daemons)
  return daemons
}

function rssOf({ pid }: Daemon): number {
  const [, kiB] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kiB) * 1024
}

/** Runs `during` and returns by how much the memory of each daemon was larger at most. */
async function rssDuring(daemons: readonly Daemon[], during: () => Promise<void>): Promise<number[]> {
  const before = daemons.map(rssOf)
  const most = [...before]
  const sample = () => {
    for (const [at, daemon] of daemons.entries()) most[at] = Math.max(most[at]!, rssOf(daemon))
  }
  const sampler = setInterval(sample, 50)
  try {
    await during()
  } finally {
    clearInterval(sampler)
  }
  return most.map((bytes, at) => bytes - before[at]!)
}

/** Sockets to the door of a daemon, destroyed when `run` ends. */
async function withSockets(daemon: Daemon, run: (open: () => Socket) => Promise<void>): Promise<void> {
  const sockets: Socket[] = []
  const open = () => {
    const socket = connect(daemon.resp)
    sockets.push(socket)
    return socket.on('error', () => {})
  }
  try {
    await run(open)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

async function storeLarge(cluster: Cluster, daemon: Daemon, options: { password?: string } = {}): Promise<void> {
  const writer = cluster.redis(daemon, options)
  for (let key = 0; key < LARGE_KEYS; key++) await writer.set(`large-${key}`, Buffer.alloc(LARGE_BYTES, 65 + key))
  await writer.quit()
}

/** Reads and writes small values for a while. Returns how long each took, ms; throws when one fails. */
async function smallRequests(cluster: Cluster, daemon: Daemon, count: number): Promise<number[]> {
  const client = cluster.redis(daemon, { password: PASSWORD })
  const times: number[] = []
  for (let turn = 0; turn < count; turn++) {
    const begun = performance.now()
    if (turn % 2 === 0) await client.set(`small-${turn}`, `${turn}`)
    else assert.is(await client.get(`small-${turn - 1}`), `${turn - 1}`)
    times.push(performance.now() - begun)
  }
  await client.quit()
  return times
}

function metric(text: string, name: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

async function metricsOf(daemon: Daemon): Promise<string> {
  return (await ringd(['metrics', '--data', daemon.data])).stdout
}

for (const [writer, known] of [
  [0, 'which the daemon knows to be large'],
  [1, 'which the daemon has never seen']
] as const) {
  abuse(
    `200 clients pipeline reads of 8 MiB and read nothing, of keys ${known}: the memory stays bounded`,
    withCluster(async (cluster) => {
      const daemons = await startRing(cluster)
      const [target] = daemons as [Daemon]
      await storeLarge(cluster, daemons[writer]!, writer === 0 ? { password: PASSWORD } : {})
      await withSockets(target, async (open) => {
        const more = await rssDuring(daemons, async () => {
          for (let at = 0; at < 200; at++) {
            const gets = Array.from({ length: 200 }, (_, turn) => `GET large-${(at + turn) % LARGE_KEYS}\r\n`)
            open()
              .pause()
              .write(`AUTH "${PASSWORD}"\r\n${gets.join('')}`)
          }
          const times = await smallRequests(cluster, target, 40)
          assert.ok(Math.max(...times) < WAIT_MS_MAX, `${Math.max(...times)} ms`)
        })
        assert.ok(Math.max(...more) < RSS_MORE_MAX, `MiB above idle: ${more.map((bytes) => Math.round(bytes / MiB))}`)
      })
      const status = await target.status()
      assert.is(status.members.filter(({ state }) => state === 'up').length, 3)
    })
  )
}

abuse(
  'clients that guess passwords or stay silent keep no other client out, and are closed',
  withCluster(async (cluster) => {
    const [target] = (await startRing(cluster)) as [Daemon]
    await withSockets(target, async (open) => {
      let closed = 0
      const gone = () => closed++
      for (let at = 0; at < 1100; at++) open().on('close', gone).resume()
      for (let at = 0; at < 20; at++) {
        open().on('close', gone).resume().write('AUTH guess\r\n'.repeat(1000))
      }
      await smallRequests(cluster, target, 20)
      await until('all strangers are closed', WAIT_MS_MAX, () => closed === 1120)
    })
    const metrics = await metricsOf(target)
    const guesses = metric(metrics, 'ringd_resp_wrong_passwords ')
    assert.ok(guesses >= 20 && guesses <= 100, `${guesses} guesses were compared`)
    assert.ok(metric(metrics, 'ringd_resp_closed_connections{reason="login"}') > 0)
    assert.ok(metric(metrics, 'ringd_resp_closed_connections{reason="strangers"}') > 0)
    await target.logs(/Redis clients sent wrong passwords/)
  })
)

abuse(
  'a password on the command line is warned of, and a file that others can read is refused',
  withCluster(async (cluster) => {
    const daemon = await cluster.daemon('a').start({ flags: ['--resp-password', 'shown'] })
    await daemon.logs(/can be read by every user of this machine; use --resp-password-file/)
    const file = join(cluster.folder, 'open')
    writeFileSync(file, 'secret\n')
    chmodSync(file, 0o644)
    const refused = await ringd(['daemon', '--data', join(cluster.folder, 'b'), '--resp-password-file', file])
    assert.is(refused.code, 2)
    assert.match(
      refused.stderr,
      /^ringd: resp-password-file: .*other users can read it \(mode 0644\).*\(BAD_CONFIG\)\n$/
    )
  })
)

abuse.run()
