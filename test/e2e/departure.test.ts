// Of five daemons one leaves and one is killed and removed by hand. Then two join. Clients read and write all the time.
// No acknowledged write may be lost, and no member may keep slots that others own.
// time limit: 400 s
// mostly computes
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingReport } from '../../lib/client/reports.js'
import { parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { MiB } from '../../lib/limits.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { type Daemon, pause, until, withCluster } from './cluster.js'
import { assertOneRing, ringd } from './command.js'
import { complaints, type Failure } from './history.js'
import { doorOf, Workload } from './workload.js'

const departure = suite('daemons leave, are removed, and join')
const KEYS = 4000
const LOAD_MS = 2000
const LEFT_MS_MAX = 90_000

/** The slots of which a stopped daemon has entries on its disk. */
async function slotsOnDisk(daemon: Daemon): Promise<Set<number>> {
  const store = await openLevelStore(join(daemon.data, 'store'), { createIfMissing: false })
  const slots = new Set<number>()
  const scan = store.scan(slotScan(0, SLOTS - 1))
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [stored] of found) slots.add(parseDataKey(stored)!.slot)
  }
  await scan.close()
  await store.close()
  return slots
}

departure(
  'while every acknowledged write stays readable, and former owners keep no slots of others',
  withCluster(async (cluster) => {
    const [a, b, c] = await cluster.startThree()
    const [d, e] = await cluster.startAll(['d', 'e'], [a!])
    await cluster.settled([a!, b!, c!, d!, e!])
    const door = new Map([a!, b!, c!, d!, e!].map((daemon) => [daemon, doorOf(cluster, daemon)]))
    const doors = (...daemons: Daemon[]) => daemons.map((daemon) => door.get(daemon)!)
    const workload = new Workload(cluster, { keys: KEYS, writers: 10, readers: 10, thinkMs: 20 })
    await workload.fill(door.get(a!)!)
    workload.through(doors(a!, b!, c!, d!, e!))
    workload.start()
    await pause(LOAD_MS)

    const asked = await ringd(['leave', '--no-wait', '--json', '--data', b!.data])
    assert.is(asked.code, 0, asked.stderr)
    await pause(LOAD_MS / 2)
    workload.through(doors(a!, c!, d!, e!))
    await until('the daemon has left', LEFT_MS_MAX, () => !b!.alive)
    assert.is(await b!.ended, 'exited with 0')
    await cluster.settled([a!, c!, d!, e!])

    workload.through(doors(a!, c!, e!))
    const { storeId } = d!.info
    await d!.kill()
    await pause(LOAD_MS)
    const unsure = await ringd(['remove', storeId.slice(0, 8), '--data', a!.data])
    assert.is(unsure.code, 2)
    assert.match(unsure.stderr, /--yes/)
    const removed = await ringd(['remove', storeId.slice(0, 8), '--yes', '--json', '--data', a!.data])
    assert.is(removed.code, 0, removed.stderr)
    assert.equal(JSON.parse(removed.stdout), { storeId, done: true })

    const joined = await cluster.startAll(['f', 'g'], [a!, c!])
    const daemons = [a!, c!, e!, ...joined]
    for (const daemon of joined) door.set(daemon, doorOf(cluster, daemon))
    workload.through(doors(...daemons))
    await cluster.settled(daemons)
    await pause(LOAD_MS)
    await workload.stop()

    await workload.readBack(doors(...daemons))
    const readBackBy = daemons.map(({ name }) => name)
    // These operations were under way through the daemon that was killed.
    const mayFail = ({ peer }: Failure) => peer === d!.name
    const found = complaints(workload.history, { readBackBy, mayFail })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertOneRing(daemons)
    await until('no member stores slots of others', LEFT_MS_MAX, async () => {
      const reports = await Promise.all(daemons.map((daemon) => daemon.status()))
      return reports.every(({ surplus }) => surplus === 0)
    })
    const ring: RingReport = JSON.parse((await ringd(['ring', '--json', '--data', a!.data])).stdout)
    const ids = new Map(daemons.map((daemon) => [daemon, daemon.info.storeId]))
    for (const daemon of daemons) await daemon.stop()
    for (const daemon of daemons) {
      const owned = ring.ranges.filter(({ owners }) => owners.includes(ids.get(daemon)!))
      const isOwned = (slot: number) => owned.some(({ first, last }) => slot >= first && slot <= last)
      const foreign = [...(await slotsOnDisk(daemon))].filter((slot) => !isOwned(slot))
      assert.equal(foreign.slice(0, 5), [], `${daemon.name} stores ${foreign.length} slots that others own`)
    }
    assert.is((await slotsOnDisk(b!)).size, 0)
  })
)

departure.run()
