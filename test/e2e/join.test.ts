// Three more daemons join three at the same moment, while clients read and write: nobody may notice.
// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, pause, withCluster } from './cluster.js'
import { ringd } from './command.js'
import { complaints } from './history.js'
import { type Door, Workload } from './workload.js'

const join = suite('three daemons join three at once')
const KEYS = 100_000
const SETTLE_MS_MAX = 120_000
const LOAD_MS = 2000

async function start(cluster: Cluster, names: readonly string[], others: readonly Daemon[] = []): Promise<Daemon[]> {
  const daemons = names.map((name) => cluster.daemon(name))
  for (const [index, daemon] of daemons.entries()) {
    const known = others[index % Math.max(1, others.length)]
    daemon.launch({ join: known === undefined ? [] : [known] })
  }
  await Promise.all(daemons.map((daemon) => daemon.serves()))
  return daemons
}

async function assertSettled(daemons: readonly Daemon[]): Promise<void> {
  const seen = new Set<string>()
  for (const daemon of daemons) {
    const { code, stdout, stderr } = await ringd(['status', '--json', '--data', daemon.data])
    assert.is(code, 0, stderr)
    const { view, digest, agree, health, slots, members } = JSON.parse(stdout)
    seen.add(JSON.stringify({ view, digest, agree, health, slots, members: members.length }))
  }
  assert.is(seen.size, 1, [...seen].join('\n'))
  const [only = ''] = seen
  assert.match(only, /"health":"healthy","slots":{"settled":16384,"moving":0,"atRisk":0},"members":6}/)
}

join(
  'while every acknowledged write stays readable through every peer, and no operation fails',
  withCluster(async (cluster) => {
    const door = (daemon: Daemon): Door => ({ name: daemon.name, client: cluster.redis(daemon) })
    const [a] = await start(cluster, ['a'])
    const old = [a!, ...(await start(cluster, ['b', 'c'], [a!]))]
    await cluster.settled(old, SETTLE_MS_MAX)
    const workload = new Workload({ keys: KEYS, writers: 12, readers: 12, thinkMs: 5 })
    const { history } = workload
    const doors = old.map(door)
    await workload.fill(doors[0]!)

    workload.through(doors)
    workload.start()
    await pause(LOAD_MS)
    const began = performance.now()
    const joined = await start(cluster, ['d', 'e', 'f'], old)
    const all = [...doors, ...joined.map(door)]
    workload.through(all)
    const { view } = await cluster.settled([...old, ...joined], SETTLE_MS_MAX)
    const during = history.reads.filter(({ begin }) => begin > began).length
    console.log(`settled after ${Math.round(performance.now() - began)} ms in view ${view}; ${during} reads meanwhile`)
    await pause(LOAD_MS)
    await workload.stop()

    await workload.readBack(all)
    const found = complaints(history, { readBackBy: all.map(({ name }) => name) })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertSettled([...old, ...joined])
  })
)

join.run()
