// Five daemons, each told of the one before only: one ring. Then one of them is killed while clients work.
// time limit: 240 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, pause, withCluster } from './cluster.js'
import { ringd } from './command.js'
import { complaints, longestGap } from './history.js'
import { type Door, Workload } from './workload.js'

const chain = suite('five daemons in a chain')
const KEYS = 20_000
const SETTLE_MS_MAX = 90_000
/** How long nothing may succeed through a living peer after another was killed. */
const GAP_MS_MAX = 5000
const LOAD_MS = 3000

async function startChain(cluster: Cluster): Promise<Daemon[]> {
  const daemons: Daemon[] = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    daemons.push(await cluster.daemon(name).start({ join: daemons.slice(-1) }))
  }
  await cluster.settled(daemons, SETTLE_MS_MAX)
  return daemons
}

/** `ringd status --json` of every daemon, which must be the same ring with no more than health to differ in. */
async function assertSameStatus(daemons: readonly Daemon[]): Promise<void> {
  const seen = new Set<string>()
  for (const daemon of daemons) {
    const { code, stdout, stderr } = await ringd(['status', '--json', '--data', daemon.data])
    assert.is(code, 0, stderr)
    const { view, digest, agree, replicas, slots, members } = JSON.parse(stdout)
    const ids = members.map(({ storeId }: { storeId: string }) => storeId)
    seen.add(JSON.stringify({ view, digest, agree, replicas, slots, ids: ids.sort() }))
  }
  assert.is(seen.size, 1, [...seen].join('\n'))
  assert.match([...seen][0] ?? '', /"agree":true,"replicas":3,"slots":{"settled":16384,"moving":0,"atRisk":0}/)
}

chain(
  'serve every key through every peer, and go on within 5 s when one is killed',
  withCluster(async (cluster) => {
    const daemons = await startChain(cluster)
    const doors: Door[] = daemons.map((daemon) => ({ name: daemon.name, client: cluster.redis(daemon) }))
    const [first, ...others] = doors
    const workload = new Workload({ keys: KEYS, writers: 10, readers: 10, thinkMs: 5 })
    const { history } = workload
    await workload.fill(first!)
    await workload.readBack(others)
    assert.equal(complaints(history, { readBackBy: ['b', 'c', 'd', 'e'] }).slice(0, 5), [])

    workload.through(doors)
    workload.start()
    await pause(LOAD_MS)
    const victim = daemons[2]!
    const left = doors.filter(({ name }) => name !== victim.name)
    workload.through(left)
    const killedAt = performance.now()
    await victim.kill()
    await pause(GAP_MS_MAX + LOAD_MS)
    const gaps = left.map(({ name }) => longestGap(history, name, killedAt, performance.now()))
    await workload.stop()
    console.log(`killed ${victim.name}: longest gaps ${gaps.map(Math.round).join(', ')} ms`)
    for (const gap of gaps) assert.ok(gap < GAP_MS_MAX, `nothing succeeded for ${gap} ms`)
    await workload.readBack(left)

    await victim.start()
    await cluster.settled(daemons, SETTLE_MS_MAX)
    await assertSameStatus(daemons)
    const back = { name: victim.name, client: cluster.redis(victim) }
    const all = [...left, back]
    workload.through(all)
    workload.start()
    await pause(LOAD_MS)
    await workload.stop()
    await workload.readBack(all)
    const mayFail = ({ peer, begin }: { readonly peer: string; readonly begin: number }) =>
      peer === victim.name && begin < killedAt
    const found = complaints(history, { readBackBy: all.map(({ name }) => name), mayFail })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
  })
)

chain.run()
