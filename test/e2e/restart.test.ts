// All daemons of a ring end and start again on other ports. They are stopped, or killed in the middle of writes.
// time limit: 240 s
// mostly computes
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Cluster, type Daemon, pause, withCluster } from './cluster.js'
import { assertOneRing } from './command.js'
import { complaints } from './history.js'
import { doorOf, Workload } from './workload.js'

const restart = suite('a ring whose daemons all end')
const KEYS = 3000
const LOAD_MS = 3000

/** Ends all daemons of a ring by `end` while clients work, starts them again, and checks the clients' histories. */
async function comeBack(cluster: Cluster, end: (daemon: Daemon) => Promise<void>): Promise<void> {
  const daemons = await cluster.startThree()
  const before = await daemons[0]!.status()
  const addresses = daemons.map(({ address }) => address)
  const oldDoors = daemons.map((daemon) => doorOf(cluster, daemon))
  const workload = new Workload(cluster, { keys: KEYS, writers: 12, readers: 6, thinkMs: 2 })
  await workload.fill(oldDoors[0]!)
  workload.through(oldDoors)
  workload.start()
  await pause(LOAD_MS)
  const beginsToEnd = performance.now()
  await Promise.all(daemons.map(end))
  await workload.stop()
  const ended = performance.now()

  // All daemons have new ports, so the addresses on their disks are outdated. The others are given the first one's
  // address.
  const [first, ...others] = daemons
  await first!.start()
  for (const daemon of others) daemon.launch({ join: [first!] })
  await Promise.all(others.map((daemon) => daemon.serves()))
  const after = await cluster.settled(daemons)
  assert.equal({ view: after.view, digest: after.digest }, { view: before.view, digest: before.digest })
  for (const { address } of daemons) assert.not(addresses.includes(address))

  const doors = daemons.map((daemon) => doorOf(cluster, daemon))
  await workload.readBack(doors)
  workload.through(doors)
  workload.start()
  await pause(LOAD_MS)
  await workload.stop()
  await workload.readBack(doors)
  const found = complaints(workload.history, {
    readBackBy: doors.map(({ name }) => name),
    mayFail: (failure) => failure.end >= beginsToEnd && failure.begin <= ended
  })
  assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
  await assertOneRing(daemons)
}

restart(
  'has every acknowledged write and the same view after all daemons were stopped',
  withCluster((cluster) => comeBack(cluster, (daemon) => daemon.stop()))
)

restart(
  'has every acknowledged write and the same view after all daemons were killed',
  withCluster((cluster) => comeBack(cluster, (daemon) => daemon.kill()))
)

restart.run()
