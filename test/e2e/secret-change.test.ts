// The secret of a ring of five is changed under load: no operation fails, and no link between daemons is lost.
// time limit: 240 s
// mostly computes
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { newSecret, secretText } from '../../lib/network/secrets.js'
import { systemRandom } from '../../lib/system-random.js'
import { type Cluster, type Daemon, pause, until, withCluster } from './cluster.js'
import { ringd } from './command.js'
import { complaints } from './history.js'
import { doorOf, Workload } from './workload.js'

const change = suite('a change of the ring secret')
const NAMES = ['a', 'b', 'c', 'd', 'e']
const STEP_MS = 1500
const RELOAD_MS_MAX = 10_000
const ESTABLISHED = '01'

const fileOf = (cluster: Cluster, name: string): string => join(cluster.folder, `${name}.secret`)

function portOf(daemon: Daemon): number {
  return Number(/\/tcp\/(\d+)/.exec(daemon.address)![1])
}

/** The established TCP connections to the peer ports of the daemons, as pairs of ports. */
function links(daemons: readonly Daemon[]): ReadonlySet<string> {
  const ports = new Set(daemons.map(portOf))
  const found = new Set<string>()
  for (const line of readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)) {
    const [, local = '', remote = '', state = ''] = line.trim().split(/\s+/)
    const [from, to] = [local, remote].map((end) => Number.parseInt(end.split(':')[1] ?? '', 16))
    if (state === ESTABLISHED && ports.has(from!)) found.add(`${from} ${to}`)
  }
  return found
}

/** Gives all daemons the same secrets, one after the other, as an operator does. */
async function spread(cluster: Cluster, daemons: readonly Daemon[], secrets: readonly string[], step: number) {
  for (const daemon of daemons) {
    writeFileSync(fileOf(cluster, daemon.name), secrets.map((secret) => `${secret}\n`).join(''))
    process.kill(daemon.pid!, 'SIGHUP')
    await until(`${daemon.name} has read its secrets`, RELOAD_MS_MAX, () => {
      return readFileSync(daemon.log, 'utf8').split('secret file read again').length === step + 1
    })
  }
}

change(
  'fails no operation and loses no link; only the new secret admits afterwards',
  withCluster(async (cluster) => {
    const [before, after] = [secretText(newSecret(systemRandom)), secretText(newSecret(systemRandom))]
    for (const name of [...NAMES, 'late', 'new']) {
      writeFileSync(fileOf(cluster, name), `${name === 'new' ? after : before}\n`, { mode: 0o600 })
    }
    const secretFlags = (name: string) => ['--secret-file', fileOf(cluster, name)]
    const first = await cluster.daemon('a').start({ flags: secretFlags('a') })
    const others = NAMES.slice(1).map((name) => cluster.daemon(name))
    for (const daemon of others) daemon.launch({ join: [first], flags: secretFlags(daemon.name) })
    await Promise.all(others.map((daemon) => daemon.serves()))
    const daemons = [first, ...others]
    await cluster.settled(daemons)

    const doors = daemons.map((daemon) => doorOf(cluster, daemon))
    const workload = new Workload(cluster, { keys: 5000, writers: 10, readers: 10, thinkMs: 20 })
    await workload.fill(doors[0]!)
    workload.through(doors)
    workload.start()
    await pause(STEP_MS)
    const linksBefore = links(daemons)
    assert.ok(linksBefore.size >= (NAMES.length * (NAMES.length - 1)) / 2, `${linksBefore.size} links`)

    const steps = [[before, after], [after, before], [after]]
    for (const [index, secrets] of steps.entries()) {
      await spread(cluster, daemons, secrets, index + 1)
      await pause(STEP_MS)
    }
    const kept = links(daemons)
    console.log(`${workload.operations} operations, ${linksBefore.size} links`)
    const lost = [...linksBefore].filter((link) => !kept.has(link))
    assert.equal(lost, [], 'every connection from before is still open')

    await workload.stop()
    await workload.readBack(doors)
    const found = complaints(workload.history, { readBackBy: doors.map(({ name }) => name) })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)

    const late = await ringd(lateArguments(cluster, 'late', first))
    assert.is(late.code, 9, late.stderr)
    const joiner = await cluster.daemon('new').start({ join: [first], flags: secretFlags('new') })
    await others[0]!.stop()
    await others[0]!.start({ flags: secretFlags(others[0]!.name) })
    await cluster.settled([...daemons, joiner])
  })
)

function lateArguments(cluster: Cluster, name: string, first: Daemon): readonly string[] {
  const listen = ['--listen', '/ip4/127.0.0.1/tcp/0', '--resp', 'off']
  const data = join(cluster.folder, name)
  return ['daemon', '--data', data, ...listen, '--join', first.address, '--secret-file', fileOf(cluster, name)]
}

change.run()
