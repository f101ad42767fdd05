// A joiner that stops answering in the middle of its join, with its connections open, as on a machine that swaps.
// time limit: 300 s
// mostly computes
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pause, until, withCluster } from './cluster.js'
import { assertOneRing } from './command.js'
import { complaints } from './history.js'
import { doorOf, Workload } from './workload.js'

const paused = suite('a joiner that is paused')
const KEYS = 20_000
const LOAD_MS = 1000
const PAUSE_MS = 20_000

paused(
  'makes no operation fail, and finishes its join once it runs again',
  withCluster(async (cluster) => {
    const old = await cluster.startThree()
    const doors = old.map((daemon) => doorOf(cluster, daemon))
    const workload = new Workload(cluster, { keys: KEYS, writers: 9, readers: 9, thinkMs: 5 })
    await workload.fill(doors[0]!)

    workload.through(doors)
    workload.start()
    await pause(LOAD_MS)
    const joiner = cluster.daemon('d')
    const others = [cluster.daemon('e'), cluster.daemon('f')]
    for (const daemon of [joiner, ...others]) daemon.launch({ join: [old[1]!] })
    // A joiner serves as soon as it is in the view. The slots of its ranges have only begun to move then.
    await joiner.serves()
    joiner.signal('SIGSTOP')
    const pausedAt = performance.now()
    let { slots, members } = await old[0]!.status()
    await until('another peer has heard of the new view', 30_000, async () => {
      ;({ slots, members } = await old[0]!.status())
      return members.some(({ storeId }) => storeId === joiner.info.storeId)
    })
    assert.ok(slots.moving > 0, 'it was paused too late')
    await pause(PAUSE_MS)
    const meanwhile = workload.history.reads.filter(({ begin }) => begin > pausedAt).length
    const waiting = await old[0]!.status()
    joiner.signal('SIGCONT')
    console.log(
      `${meanwhile} reads during the pause; slots ${JSON.stringify(slots)}, then ${JSON.stringify(waiting.slots)}`
    )

    await Promise.all(others.map((daemon) => daemon.serves()))
    const daemons = [...old, joiner, ...others]
    await cluster.settled(daemons)
    doors.push(...[joiner, ...others].map((daemon) => doorOf(cluster, daemon)))
    workload.through(doors)
    await pause(LOAD_MS)
    await workload.stop()
    await workload.readBack(doors)
    const found = complaints(workload.history, { readBackBy: doors.map(({ name }) => name) })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertOneRing(daemons)
  })
)

paused.run()
