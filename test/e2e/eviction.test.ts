// Of five daemons one is killed and stays dead. The others keep answering, remove it by themselves, and make its copies
// again. Started again with its data, it hands over its entries and joins as a new member.
// time limit: 300 s
// mostly computes
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseDataKey, slotScan } from '../../lib/entry/keys.js'
import { MiB } from '../../lib/limits.js'
import { SLOTS } from '../../lib/ring/slots.js'
import { openLevelStore } from '../../lib/storage/level.js'
import { type Daemon, pause, until, withCluster } from './cluster.js'
import { assertOneRing } from './command.js'
import { complaints, type Failure } from './history.js'
import { type Door, doorOf, Workload } from './workload.js'

const eviction = suite('daemons evict one that is dead')
const KEYS = 3000
const LOAD_MS = 1500
const FLAGS = ['--evict-after', '5']
const DOWN_MS_MAX = 5000
/** Time until operations work again through every peer, with the retries of a client. */
const AGAIN_MS_MAX = 2000
const EVICTED_MS_MAX = 30_000
const BACK_MS_MAX = 90_000
const COPIES = 3
const KEPT_MS = 20

/** The keys on the disk of a stopped daemon. */
async function keysOnDisk(daemon: Daemon): Promise<Set<string>> {
  const store = await openLevelStore(join(daemon.data, 'store'), { createIfMissing: false })
  const keys = new Set<string>()
  const scan = store.scan(slotScan(0, SLOTS - 1))
  for (let found = await scan.next(MiB); found.length > 0; found = await scan.next(MiB)) {
    for (const [stored] of found) keys.add(Buffer.from(parseDataKey(stored)!.key).toString())
  }
  await scan.close()
  await store.close()
  return keys
}

/** Writes and reads one key through the door, and repeats both until they work. */
async function works({ name, client }: Door): Promise<void> {
  const key = `probe-${name}`
  for (;;) {
    try {
      await client.set(key, name)
      assert.is(await client.get(key), name)
      return
    } catch {
      await pause(20)
    }
  }
}

/**
 * Measures how long this process was kept from running. On a busy machine the daemons are kept from running as well.
 */
class Kept {
  readonly #timer: NodeJS.Timeout
  #lateMs = 0

  constructor() {
    let due = performance.now() + KEPT_MS
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#lateMs += Math.max(0, now - due)
      due = now + KEPT_MS
    }, KEPT_MS)
  }

  /** How late several processes that share the processor may be. */
  get allowanceMs(): number {
    return 10 * this.#lateMs
  }

  end(): void {
    clearInterval(this.#timer)
  }
}

eviction(
  'within seconds, lose nothing, and take it back as a new member',
  withCluster(async (cluster) => {
    const first = await cluster.daemon('a').start({ flags: FLAGS })
    const others = ['b', 'c', 'd', 'e'].map((name) => cluster.daemon(name))
    for (const daemon of others) daemon.launch({ join: [first], flags: FLAGS })
    await Promise.all(others.map((daemon) => daemon.serves()))
    const victim = others[1]!
    const daemons = [first, ...others]
    await cluster.settled(daemons)
    const door = new Map(daemons.map((daemon) => [daemon, doorOf(cluster, daemon)]))
    const living = daemons.filter((daemon) => daemon !== victim)
    const doors = living.map((daemon) => door.get(daemon)!)
    const workload = new Workload(cluster, { keys: KEYS, writers: 8, readers: 8, thinkMs: 20 })
    await workload.fill(door.get(first)!)
    workload.through([...door.values()])
    workload.start()
    await pause(LOAD_MS)

    const { storeId } = victim.info
    await victim.kill()
    const killedAt = performance.now()
    const kept = new Kept()
    workload.through(doors)
    await Promise.all(doors.map(works))
    const againMs = performance.now() - killedAt
    assert.ok(againMs < AGAIN_MS_MAX + kept.allowanceMs, `operations work again after ${againMs.toFixed(0)} ms`)
    const member = async (daemon: Daemon) => (await daemon.status()).members.find((one) => one.storeId === storeId)
    await until('everyone knows that it is down', EVICTED_MS_MAX, async () => {
      const states = await Promise.all(living.map(async (daemon) => (await member(daemon))?.state))
      return states.every((state) => state === 'down' || state === undefined)
    })
    const downMs = performance.now() - killedAt
    assert.ok(downMs < DOWN_MS_MAX + kept.allowanceMs, `all know that it is down after ${downMs.toFixed(0)} ms`)
    kept.end()
    await until('it is no member any more', EVICTED_MS_MAX, async () => (await member(first)) === undefined)
    await cluster.settled(living)
    await until('every slot has its copies', EVICTED_MS_MAX, async () => {
      const reports = await Promise.all(living.map((daemon) => daemon.status()))
      return reports.every(({ slots, surplus }) => slots.short === 0 && slots.etaS === 0 && surplus === 0)
    })

    victim.launch({ join: [first], flags: FLAGS })
    await until('it learned that it was removed, handed over, and serves as a new member', BACK_MS_MAX, async () => {
      await victim.serves()
      return victim.info.storeId !== storeId
    })
    await cluster.settled(daemons)
    door.set(victim, doorOf(cluster, victim))
    workload.through([...door.values()])
    await pause(LOAD_MS)
    await workload.stop()
    await workload.readBack([...door.values()])
    // These operations were under way through the daemon that was killed, or began in the moment after.
    const mayFail = ({ peer, begin }: Failure) => peer === victim.name || begin < killedAt + AGAIN_MS_MAX
    const found = complaints(workload.history, { readBackBy: daemons.map(({ name }) => name), mayFail })
    assert.equal(found.slice(0, 5), [], `${found.length} complaints, ${workload.operations} operations`)
    await assertOneRing(daemons)
    await until('no member stores slots of others', EVICTED_MS_MAX, async () => {
      const reports = await Promise.all(daemons.map((daemon) => daemon.status()))
      return reports.every(({ surplus, slots }) => surplus === 0 && slots.short === 0)
    })
    for (const daemon of daemons) await daemon.stop()
    const copies = new Map<string, number>()
    for (const daemon of daemons) {
      for (const key of await keysOnDisk(daemon)) copies.set(key, (copies.get(key) ?? 0) + 1)
    }
    assert.ok(copies.size >= KEYS)
    const wrong = [...copies].filter(([, count]) => count !== COPIES)
    assert.equal(wrong.slice(0, 5), [], `${wrong.length} keys have other than ${COPIES} copies`)
  })
)

eviction.run()
