// Disks without room: what is refused must not be seen, what is stored must be read, and what frees room must go on.
import { RESERVE_BYTES } from '../../../lib/actors/replica/free-space.js'
import { slotOf } from '../../../lib/ring/slots.js'
import type { Scenario, ScenarioCluster } from './scenario-cluster.js'

const OLD = ['n0', 'n1', 'n2']
const FULL = ['n1', 'n2']
const KEY = 'a'
const NEARLY_FULL_BYTES = RESERVE_BYTES / 2
/** Longer than a look at the disk and the next pong of every member take together. */
const TOLD_MS = 3000
const TTL_MS = 2000
const PURGE_AFTER_MS = 5000
const PURGE_EVERY_MS = 1000

/** A settled ring of three, whose members know how much room there is. All hold an old value. */
async function begin(cluster: ScenarioCluster): Promise<void> {
  cluster.hasBoundedDisks = true
  await cluster.grow(OLD)
  await cluster.fill('n0', [KEY], 'old')
  await cluster.when(() => OLD.every((name) => cluster.holds(name, KEY) === 'old'), 'all owners have the old value')
}

function fillDisks(cluster: ScenarioCluster): void {
  for (const name of FULL) cluster.disk(name).freeBytes = NEARLY_FULL_BYTES
}

async function mustAnswer(cluster: ScenarioCluster, name: string): Promise<string | undefined> {
  const read = await cluster.answered(cluster.get(name, KEY))
  cluster.promise(read.state === 'done', `a read through ${name} failed on full disks: ${read.error}`)
  return read.value
}

const refusedUnseen: Scenario = {
  name: 'refusedUnseen',
  summary: 'two of three owners are full and refuse a write, which the third has room for',
  async run(cluster) {
    await begin(cluster)
    fillDisks(cluster)
    await cluster.advance(TOLD_MS)
    const write = await cluster.answered(cluster.put('n0', KEY, 'new'))
    cluster.reached(write.state === 'failed', 'the write is refused')
    await cluster.advance(TOLD_MS)
    for (const name of OLD) {
      const found = await mustAnswer(cluster, name)
      cluster.promise(found === 'old', `${name} reads ${found}, which was refused`)
    }
    for (const name of FULL) cluster.disk(name).freeBytes = Number.MAX_SAFE_INTEGER
    await cluster.advance(TOLD_MS)
    await cluster.fill('n1', [KEY], 'later')
    await cluster.heal(3)
  }
}

const refusedReadable: Scenario = {
  name: 'refusedReadable',
  summary: 'two owners become full at once, so the third has stored a write by the time that they refuse it',
  async run(cluster) {
    await begin(cluster)
    // The owners notice that they are full, and no pong tells of it.
    cluster.steering.hold(({ body }) => body.ping !== undefined)
    fillDisks(cluster)
    await cluster.advance(1500)
    const write = await cluster.answered(cluster.put('n0', KEY, 'new'))
    cluster.reached(write.state === 'failed' && cluster.holds('n0', KEY) === 'new', 'n0 alone has stored it')
    const found: (string | undefined)[] = []
    for (const name of OLD) found.push(await mustAnswer(cluster, name))
    cluster.promise(new Set(found).size === 1, `reads through the members find ${found}`)
    for (const name of FULL) cluster.disk(name).freeBytes = Number.MAX_SAFE_INTEGER
    await cluster.advance(TOLD_MS)
    await cluster.fill('n1', [KEY], 'later')
    await cluster.heal(3)
  }
}

const purgedWhenFull: Scenario = {
  name: 'purgedWhenFull',
  summary: 'all disks are full of a value that has expired, and of one that is deleted then',
  async run(cluster) {
    cluster.options = { ...cluster.options, purgeAfterMs: PURGE_AFTER_MS, purgeEveryMs: PURGE_EVERY_MS }
    cluster.hasBoundedDisks = true
    await cluster.grow(OLD)
    await cluster.fill('n0', ['deleted'], 'x')
    await cluster.answered(cluster.put('n0', KEY, 'brief', TTL_MS))
    for (const name of OLD) cluster.disk(name).freeBytes = NEARLY_FULL_BYTES
    await cluster.advance(TOLD_MS)
    const remove = await cluster.answered(cluster.delete('n0', 'deleted'))
    cluster.promise(remove.state === 'done', `a delete failed on full disks: ${remove.error}`)
    cluster.reached(slotOf(Buffer.from(KEY)) !== slotOf(Buffer.from('deleted')), 'the keys lie in two slots')
    await cluster.advance(10 * PURGE_AFTER_MS)
    for (const name of OLD) {
      for (const key of [KEY, 'deleted']) {
        cluster.promise(cluster.entry(name, key) === undefined, `${key} is still on the full disk of ${name}`)
      }
    }
    await cluster.heal(3)
  }
}

const closedStoreReads: Scenario = {
  name: 'closedStoreReads',
  summary: 'a disk has refused a write and has no room to open the store again, and another owner is dead',
  async run(cluster) {
    await begin(cluster)
    const disk = cluster.disk('n1')
    disk.failNext = 'DISK_FULL'
    disk.failTrial = 'DISK_FULL'
    await cluster.answered(cluster.put('n0', 'other', 'x'))
    cluster.kill('n2')
    await cluster.advance(TOLD_MS)
    for (const name of ['n0', 'n1']) {
      const found = await mustAnswer(cluster, name)
      cluster.promise(found === 'old', `${name} reads ${found}`)
    }
    disk.failTrial = undefined
    await cluster.advance(TOLD_MS)
    await cluster.start('n2')
    await cluster.heal(3)
  }
}

export const FULL_DISKS: readonly Scenario[] = [refusedUnseen, refusedReadable, purgedWhenFull, closedStoreReads]
