// Whole nodes and hints: writes that an owner missed while it was away reach it after its return, without a read.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { slotOf } from '../../lib/ring/slots.js'
import { newestConfig } from '../../lib/views/configs.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node hints')
const KEYS = Array.from({ length: 200 }, (_, at) => `key-${at}`)
const HOUR_MS = 3_600_000
/** No repair, which would bring the missing entries as well. */
const HINTS_ALONE = { repairEveryMs: 0 }

function envelope(ring: SimRing, name: string, key: string): string | undefined {
  const bytes = Buffer.from(key)
  const stored = ring.disks.get(name)!.get(dataKey(slotOf(bytes), bytes))
  return stored && Buffer.from(stored).toString('hex')
}

/** The names of the key's owners, as n0 knows them. */
function ownersOf(ring: SimRing, key: string): string[] {
  const view = ring.node('n0').node.view!
  return newestConfig(view.configs.windows[slotOf(Buffer.from(key))]!).owners.map((id) => view.peerIds.get(id)!)
}

async function kept(ring: SimRing, name: string): Promise<{ entries: number; bytes: number }> {
  const report = ring.node(name).node.report('status', new Uint8Array(0))
  return ((await ring.wait(report)) as { hints: { entries: number; bytes: number } }).hints
}

/** Starts five nodes, kills the last, and writes through the first. Returns the keys that the last owns. */
async function missed(seed: number, options = {}): Promise<{ ring: SimRing; owned: string[] }> {
  const ring = new SimRing(seed)
  await ring.startAll(names(5), { ...HINTS_ALONE, ...options })
  await ring.untilWhole(5, 60_000)
  ring.kill('n4')
  await ring.wait(Promise.all(KEYS.map((key) => ring.node('n0').put(key, 'new'))))
  const owned = KEYS.filter((key) => ownersOf(ring, key).includes('n4'))
  assert.ok(owned.length > 50)
  return { ring, owned }
}

function hasAll(ring: SimRing, keys: readonly string[]): boolean {
  return keys.every((key) => envelope(ring, 'n4', key) !== undefined)
}

test('an owner that returns gets the writes it missed within seconds, without a read, byte for byte', async () => {
  const { ring, owned } = await missed(1)
  await ring.clock.advance(11_000)
  const { entries, bytes } = await kept(ring, 'n0')
  assert.is(entries, owned.length)
  assert.ok(bytes > entries * 40)
  assert.is(owned.filter((key) => envelope(ring, 'n4', key) !== undefined).length, 0)
  await ring.start('n4', HINTS_ALONE)
  await ring.until(() => hasAll(ring, owned), 6000, 'n4 holds what it missed')
  for (const key of owned) {
    const [one, other] = ownersOf(ring, key).filter((name) => name !== 'n4')
    assert.is(envelope(ring, 'n4', key), envelope(ring, one!, key))
    assert.is(envelope(ring, 'n4', key), envelope(ring, other!, key))
  }
  for (const key of KEYS.filter((key) => !owned.includes(key))) assert.is(envelope(ring, 'n4', key), undefined)
  await ring.clock.advance(1000)
  assert.equal(await kept(ring, 'n0'), { entries: 0, bytes: 0 })
  ring.close()
})

test('deletions are kept as hints and replayed like writes', async () => {
  const ring = new SimRing(2)
  await ring.startAll(names(3), HINTS_ALONE)
  await ring.untilWhole(3)
  await ring.wait(ring.node('n0').put('a', 'old'))
  await ring.until(() => envelope(ring, 'n2', 'a') !== undefined, 5000, 'n2 has the value')
  ring.kill('n2')
  assert.is(await ring.wait(ring.node('n0').delete('a')), true)
  await ring.clock.advance(11_000)
  await ring.start('n2', HINTS_ALONE)
  await ring.until(() => envelope(ring, 'n2', 'a') === envelope(ring, 'n0', 'a'), 6000, 'n2 has the tombstone')
  ring.close()
})

test('hints survive the peer that keeps them', async () => {
  const { ring, owned } = await missed(3)
  await ring.clock.advance(11_000)
  ring.kill('n0')
  await ring.start('n0', HINTS_ALONE)
  await ring.start('n4', HINTS_ALONE)
  await ring.until(() => hasAll(ring, owned), 10_000, 'n4 holds what it missed')
  ring.close()
})

test('a peer that stops keeps hints for the answers it was waiting for', async () => {
  const ring = new SimRing(4)
  await ring.startAll(names(3), HINTS_ALONE)
  await ring.untilWhole(3)
  // n0 does not notice in time that n2 hears nothing, so it still waits for answers of n2.
  ring.hub.partition(['n2'], ['n0', 'n1'])
  await ring.wait(Promise.all(KEYS.map((key) => ring.node('n0').put(key, 'new'))))
  assert.is((await kept(ring, 'n0')).entries, 0)
  await ring.stop('n0')
  ring.kill('n2')
  ring.hub.heal()
  await ring.start('n0', HINTS_ALONE)
  await ring.until(() => ring.node('n0').node.view !== undefined, 5000, 'n0 knows its ring')
  assert.is((await kept(ring, 'n0')).entries, KEYS.length)
  await ring.start('n2', HINTS_ALONE)
  const isBack = () => KEYS.every((key) => envelope(ring, 'n2', key) === envelope(ring, 'n0', key))
  await ring.until(isBack, 10_000, 'n2 holds what it missed')
  ring.close()
})

test('a hint does not count as an owner: with two of three down a write fails', async () => {
  const ring = new SimRing(5)
  await ring.startAll(names(3), HINTS_ALONE)
  await ring.untilWhole(3)
  ring.kill('n2')
  await ring.wait(ring.node('n0').put('a', 'kept for n2'))
  await ring.clock.advance(11_000)
  assert.is((await kept(ring, 'n0')).entries, 1)
  ring.kill('n1')
  await ring.clock.advance(5000)
  const failed = ring.node('n0').put('a', 'too few')
  try {
    await ring.wait(failed)
    assert.unreachable()
  } catch (thrown) {
    assert.ok(thrown instanceof RingdError)
    assert.is(thrown.code, 'UNKNOWN_OUTCOME')
  }
  assert.is((await kept(ring, 'n0')).entries, 1, 'what was not acknowledged is not kept')
  ring.close()
})

test('hints that are too old are dropped, and never sent', async () => {
  const { ring, owned } = await missed(6, { hintAgeMs: HOUR_MS / 60 })
  await ring.clock.advance(11_000)
  assert.is((await kept(ring, 'n0')).entries, owned.length)
  await ring.clock.advance(HOUR_MS / 60)
  await ring.start('n4', HINTS_ALONE)
  await ring.clock.advance(10_000)
  assert.equal(await kept(ring, 'n0'), { entries: 0, bytes: 0 })
  assert.is(owned.filter((key) => envelope(ring, 'n4', key) !== undefined).length, 0)
  ring.close()
})

test('hints stay within their bound, and writes beyond it are still acknowledged', async () => {
  const bound = 1000
  const { ring } = await missed(7, { hintBytesMax: bound })
  await ring.clock.advance(11_000)
  const { entries, bytes } = await kept(ring, 'n0')
  assert.ok(entries > 5 && bytes <= bound, `${entries} hints of ${bytes} bytes`)
  await ring.start('n4', HINTS_ALONE)
  const count = () => KEYS.filter((key) => envelope(ring, 'n4', key) !== undefined).length
  await ring.until(() => count() === entries, 6000, 'n4 holds what was kept')
  ring.close()
})

test('hints for a member that was removed are dropped', async () => {
  const { ring } = await missed(8)
  await ring.clock.advance(11_000)
  const { node } = ring.node('n0')
  const dead = [...node.view!.members.values()].find(({ peerId }) => peerId === 'n4')!
  await ring.wait(node.remove(dead.storeId, { force: false }))
  await ring.untilWhole(4, 60_000)
  await ring.clock.advance(20_000)
  assert.equal(await kept(ring, 'n0'), { entries: 0, bytes: 0 })
  ring.close()
})

test.run()
