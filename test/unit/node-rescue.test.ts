// `ringd rescue` on the store of a stopped peer: what it tells, what a crash leaves, and what is kept.
// time limit: 300 s
// virtual time
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readReplicaRecords, writeClosed } from '../../lib/actors/replica/replica-records.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { encodeHint, hintKey } from '../../lib/entry/hint.js'
import { dataKey, metaKey } from '../../lib/entry/keys.js'
import { encodePromise, promiseKey } from '../../lib/entry/promise-record.js'
import { makeVersion } from '../../lib/entry/version.js'
import type { RingdError } from '../../lib/errors.js'
import { examineForRescue, giveToRing, rescueRing } from '../../lib/node/rescue.js'
import { readStoreIdentity } from '../../lib/node/store-identity.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import type { Store } from '../../lib/storage/store.js'
import { awaitsHandOver, HAND_OVER_MS, rescuedRingId } from '../../lib/views/rescued-ring.js'
import { FaultyStore } from '../sim/seams/faulty-store.js'
import { seeded } from '../sim/sim-node.js'
import { names, SimRing } from '../sim/sim-ring.js'

const test = suite('node rescue')
const RANDOM = seeded(5)

/** The disk of one member of a ring that is dead. */
async function deadRing(seed: number, members: number, keys: readonly string[] = []): Promise<SimRing> {
  const ring = new SimRing(seed)
  await ring.startAll(names(members), { repairEveryMs: 0 })
  await ring.untilWhole(members)
  for (const key of keys) await ring.wait(ring.node('n0').put(key, 'value'))
  ring.close()
  return ring
}

function membershipOf(ring: SimRing, store: Store) {
  return readStoreIdentity(store, ring.clock.forNode(), RANDOM)
}

test('it tells how many slots the directory holds', async () => {
  const small = await deadRing(1, 3, ['a', 'b'])
  const found = await examineForRescue(small.disks.get('n0')!)
  assert.equal(found.slots, { held: SLOTS, partly: 0, absent: 0 })
  assert.equal([found.entries, found.members.length, found.replicas], [2, 3, 3])
  const large = await deadRing(2, 6)
  const { slots } = await examineForRescue(large.disks.get('n0')!)
  assert.is(slots.held + slots.absent, SLOTS)
  assert.ok(slots.absent > SLOTS / 4, `${slots.absent} slots`)
})

test('what the member has promised to rounds is dropped with its membership, also what is damaged', async () => {
  const ring = await deadRing(9, 3, ['a'])
  const store = ring.disks.get('n0')!
  const [key, other] = ['a', 'b'].map((text) => dataKey(slotOf(Buffer.from(text)), Buffer.from(text)))
  const ballot = makeVersion(ring.clock.now() + 1000, 0, new Uint8Array(8))
  await store.write([
    { type: 'put', key: promiseKey(key!), value: encodePromise(key!, ballot) },
    { type: 'put', key: promiseKey(other!), value: new Uint8Array(3) }
  ])
  const { promises } = await membershipOf(ring, store)
  const orders = promises.map((promise) => Buffer.compare(promise.ballot, ballot))
  assert.equal(orders.sort(), [0, 1], 'the damaged one counts as the highest')
  await rescueRing(store, RANDOM, ring.clock.now())
  assert.equal((await membershipOf(ring, store)).promises, [])
})

test('a directory that was never a member is refused', async () => {
  const code = await examineForRescue(new FaultyStore()).catch((thrown: RingdError) => thrown.code)
  assert.is(code, 'BAD_CONFIG')
})

test('a crash at any write of a rescue leaves the former membership or the new one, never a mix', async () => {
  let last = Number.POSITIVE_INFINITY
  for (let failing = 0; failing <= last; failing++) {
    for (const isWritten of [false, true]) {
      const ring = await deadRing(3, 2, ['a'])
      const store = new FaultyStore()
      await copy(ring.disks.get('n0')!, store)
      await store.disk.write([hintOf('a', 'newer', Date.UTC(2100, 0))])
      const before = await membershipOf(ring, store)
      let writes = 0
      const write = store.write.bind(store)
      store.write = async (batch) => {
        if (writes++ === failing) Object.assign(store, { failNext: 'STORE_FAILED', failWritten: isWritten })
        return write(batch)
      }
      const end = await rescueRing(store, RANDOM, 1000).catch((thrown: RingdError) => thrown.code)
      const after = await membershipOf(ring, store)
      const isOld = after.storeId === before.storeId && after.membership.ring.view !== undefined
      const isNew = after.storeId !== before.storeId && after.membership.ring.view === undefined
      assert.is(after.membership.rescue !== undefined, isNew)
      assert.is(after.needsNewKey, isNew)
      assert.ok(isOld !== isNew)
      if (writes <= failing) {
        last = failing
        assert.is(end.length, 32, 'a rescue in which no write failed')
      }
      store.write = write
      await rescueRing(store, RANDOM, 2000)
      assert.ok((await membershipOf(ring, store)).membership.rescue !== undefined)
    }
  }
})

test('writes that were kept for other members become entries, the newest of each key', async () => {
  const ring = await deadRing(4, 2, ['a'])
  const store = ring.disks.get('n0')!
  const far = Date.UTC(2100, 0)
  const closed = new Uint32Array(SLOTS)
  closed[slotOf(Buffer.from('purged'))] = far / 1000
  const { name, value } = writeClosed(closed)
  await store.write([
    { type: 'put', key: metaKey(name), value: value! },
    hintOf('a', 'newest', far + 2, 1),
    hintOf('a', 'newer', far + 1, 2),
    hintOf('purged', 'old', far - 1, 3),
    hintOf('b', 'only here', 1, 4)
  ])
  await rescueRing(store, RANDOM, 1000)
  assert.is(textOf(store, 'a'), 'newest')
  assert.is(textOf(store, 'b'), 'only here')
  assert.is(textOf(store, 'purged'), undefined)
  assert.is((await examineForRescue(store)).hints, 0)
})

test('of the purge bounds, those of slots that the directory holds are kept', async () => {
  const ring = await deadRing(6, 6)
  const store = ring.disks.get('n0')!
  const { name, value } = writeClosed(new Uint32Array(SLOTS).fill(77))
  await store.write([{ type: 'put', key: metaKey(name), value: value! }])
  const { slots } = await examineForRescue(store)
  await rescueRing(store, RANDOM, 1000)
  const { closed } = readReplicaRecords({ get: (one) => store.get(metaKey(one)) })
  assert.is(closed.filter((bound) => bound === 77).length, slots.held)
})

test('a directory that is given to a rescued ring joins that ring only', async () => {
  const ring = await deadRing(7, 2, ['a'])
  const store = ring.disks.get('n1')!
  const ringId = rescuedRingId(ring.clock.now(), RANDOM.bytes(8))
  await giveToRing(store, RANDOM, ringId)
  const { membership, needsNewKey } = await membershipOf(ring, store)
  assert.equal([membership.wantedRing, membership.rescue, needsNewKey], [ringId, undefined, true])
  const other = await ring.start('other')
  const joiner = await ring.start('joiner', { store, join: other.network.addresses() })
  await ring.clock.advance(10_000)
  assert.is(joiner.node.view, undefined)
  ring.close()
})

test('a rescued ring waits a day for what is handed over, and no other ring does', () => {
  const now = Date.UTC(2030, 0)
  const ringId = rescuedRingId(now, new Uint8Array(8).fill(255))
  assert.match(ringId, /^[0-9a-f]{32}$/)
  assert.equal(
    [0, HAND_OVER_MS - 1000, HAND_OVER_MS + 1000].map((ms) => awaitsHandOver(ringId, now + ms)),
    [true, true, false]
  )
  assert.is(awaitsHandOver('ab'.repeat(16), now), false)
})

function hintOf(key: string, text: string, ms: number, sequence = 0) {
  const bytes = Buffer.from(key)
  const version = makeVersion(ms, 0, new Uint8Array(8))
  const envelope = encodeEnvelope(bytes, { version, tombstone: false, value: Buffer.from(text) })
  const value = encodeHint({ keptAtMs: 1, key: bytes, envelope })
  return { type: 'put' as const, key: hintKey({ member: 'ab'.repeat(16), sequence }), value }
}

function textOf(store: Store, key: string): string | undefined {
  const bytes = Buffer.from(key)
  const value = store.get(dataKey(slotOf(bytes), bytes))
  return value && /newest|only here|old|value/.exec(Buffer.from(value).toString('latin1'))?.[0]
}

async function copy(from: Store, to: FaultyStore): Promise<void> {
  const scan = from.scan({ from: Uint8Array.of(0), to: Uint8Array.of(255) })
  const pairs = await scan.next(Number.POSITIVE_INFINITY)
  await scan.close()
  await to.disk.write(pairs.map(([key, value]) => ({ type: 'put', key, value })))
}

test.run()
