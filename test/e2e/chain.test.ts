// Five daemons, each given the address of the one before, form one ring. Then one is killed while clients work.
// time limit: 240 s
// mostly computes
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, pause, withCluster } from './cluster.js'
import { assertOneRing } from './command.js'
import { complaints, type Failure, longestGap } from './history.js'
import { doorOf, Workload } from './workload.js'

const chain = suite('five daemons in a chain')
const KEYS = 4000
/** After a kill, the longest time in which no operation through a living peer may succeed. */
const GAP_MS_MAX = 5000
const LOAD_MS = 3000

async function startChain(cluster: Cluster): Promise<Daemon[]> {
  const daemons: Daemon[] = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    daemons.push(await cluster.daemon(name).start({ join: daemons.slice(-1) }))
  }
  await cluster.settled(daemons)
  return daemons
}

chain(
  'serve every key through every peer, and recover within 5 s when one is killed',
  withCluster(async (cluster) => {
    const daemons = await startChain(cluster)
    const doors = daemons.map((daemon) => doorOf(cluster, daemon))
    const workload = new Workload(cluster, { keys: KEYS, writers: 10, readers: 10, thinkMs: 20 })
    const { history } = workload
    await workload.fill(doors[0]!)
    await workload.readBack(doors.slice(1))
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
    console.log(`longest time without success through each peer left: ${gaps.map(Math.round).join(', ')} ms`)
    for (const gap of gaps) assert.ok(gap < GAP_MS_MAX, `nothing succeeded for ${gap} ms`)
    await workload.readBack(left)

    // The restarted daemon finds its ring by the addresses that it has stored.
    await victim.start()
    await cluster.settled(daemons)
    const all = [...left, doorOf(cluster, victim)]
    workload.through(all)
    workload.start()
    await pause(LOAD_MS)
    await workload.stop()
    await workload.readBack(all)
    const mayFail = ({ peer, begin }: Failure) => peer === victim.name && begin <= killedAt
    const found = complaints(history, { readBackBy: all.map(({ name }) => name), mayFail })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertOneRing(daemons)
  })
)

chain.run()
