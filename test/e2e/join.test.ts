// Three daemons join three others at the same moment while clients read and write. No operation may fail or be wrong.
// time limit: 300 s
// mostly computes
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pause, withCluster } from './cluster.js'
import { assertOneRing } from './command.js'
import { complaints } from './history.js'
import { doorOf, Workload } from './workload.js'

const join = suite('three daemons join three at once')
const KEYS = 6000
const LOAD_MS = 2000

join(
  'while every acknowledged write stays readable through every peer, and no operation fails',
  withCluster(async (cluster) => {
    const old = await cluster.startThree()
    const doors = old.map((daemon) => doorOf(cluster, daemon))
    const workload = new Workload(cluster, { keys: KEYS, writers: 12, readers: 12, thinkMs: 20 })
    const { history } = workload
    await workload.fill(doors[0]!)

    workload.through(doors)
    workload.start()
    await pause(LOAD_MS)
    const began = performance.now()
    const joined = await cluster.startAll(['d', 'e', 'f'], old)
    const daemons = [...old, ...joined]
    doors.push(...joined.map((daemon) => doorOf(cluster, daemon)))
    workload.through(doors)
    const { view } = await cluster.settled(daemons)
    const meanwhile = history.reads.filter(({ begin }) => begin > began).length
    console.log(
      `settled after ${Math.round(performance.now() - began)} ms in view ${view}, ${meanwhile} reads meanwhile`
    )
    await pause(LOAD_MS)
    await workload.stop()

    await workload.readBack(doors)
    const found = complaints(history, { readBackBy: doors.map(({ name }) => name) })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertOneRing(daemons)
  })
)

join.run()
