// What the replica refuses to store, by whichever way it comes: lengths, versions and purge bounds from the future, and
// entries in the wrong slot.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Bytes } from '../../lib/bytes.js'
import { asEnvelope, type Envelope } from '../../lib/entry/envelope.js'
import { dataKey, slotOfDataKey } from '../../lib/entry/keys.js'
import { resolve } from '../../lib/entry/read-resolution.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import type { Link } from '../../lib/network/network.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { answerOf, type Kept, ReplicaHarness, stored } from '../sim/harness/replica-harness.js'
import { config, idOf, linkOf } from '../sim/harness/ring-views.js'

const test = suite('replica: formats')

const FUTURE_MS = 3_600_000

async function harness(): Promise<ReplicaHarness> {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1, b: 1 } })
  await replica.clock.settle()
  return replica
}

/** The entry by every way in that another peer has. */
function sendAll(replica: ReplicaHarness, key: string, envelope: Envelope, at = stored(key)): Kept<unknown>[] {
  const base = { view: 1, from: linkOf('b'), config: 1 }
  const entries = [{ dataKey: at, envelope }]
  return [
    replica.send('offer', { ...base, versions: [], entries }),
    replica.send('merge', { entries }),
    replica.send('repair-merge', { entries, member: idOf('b') })
  ]
}

function write(replica: ReplicaHarness, key: Bytes, envelope: Envelope, from: Link | undefined, confirmedBelow = 0) {
  return replica.send('write', { view: 1, from, key, envelope, confirmedBelow })
}

test('a version from the future is stored by no way in, also not for the router of this peer', async () => {
  const replica = await harness()
  const envelope = replica.envelope('key', FUTURE_MS)
  const key = Buffer.from('key')
  const answers = [
    ...sendAll(replica, 'key', envelope),
    write(replica, key, envelope, linkOf('b')),
    write(replica, key, envelope, undefined),
    replica.send('heal', { key, resolution: resolve([{ envelope, closed: 0 }], true) })
  ]
  const version = { slot: slotOf(key), key, dataKey: stored('key'), version: replica.version(FUTURE_MS) }
  const base = { view: 1, from: linkOf('b'), config: 1 }
  answers.push(replica.send('offer', { ...base, versions: [version], entries: [] }))
  await replica.clock.settle()
  // Repair goes on with the other entries.
  answers.splice(2, 1)
  assert.equal(answers.map(answerOf), new Array(6).fill('CLOCK_SKEW'))
  assert.is(replica.stored('key'), undefined)
  await replica.clock.advance(FUTURE_MS)
  const later = write(replica, key, envelope, linkOf('b'))
  await replica.clock.settle()
  assert.is(answerOf(later), undefined, 'it is taken when the clock has come so far')
})

test('keys and values beyond the limits are stored by no way in', async () => {
  const replica = await harness()
  const long = 'k'.repeat(KEY_BYTES_MAX + 1)
  const tooLong = replica.envelope(long, 1, 'value')
  const keyed = [...sendAll(replica, long, tooLong), write(replica, Buffer.from(long), tooLong, linkOf('b'))]
  const large = replica.envelope('key', 1, 'v'.repeat(VALUE_BYTES_MAX + 1))
  const valued = [...sendAll(replica, 'key', large), write(replica, Buffer.from('key'), large, linkOf('b'))]
  const read = replica.read(long)
  await replica.clock.settle()
  assert.equal([...keyed, read].map(answerOf), new Array(5).fill('KEY_TOO_LARGE'))
  assert.equal(valued.map(answerOf), new Array(4).fill('VALUE_TOO_LARGE'))
  assert.equal([replica.stored(long), replica.stored('key')], [undefined, undefined])
  const largest = replica.envelope('key', 1, 'v'.repeat(VALUE_BYTES_MAX))
  const taken = write(replica, Buffer.from('key'), largest, linkOf('b'))
  await replica.clock.settle()
  assert.is(answerOf(taken), undefined)
})

test('bytes that are no envelope, and entries in another slot than their key, are refused', async () => {
  const replica = await harness()
  for (const bytes of [new Uint8Array(0), new Uint8Array(3), new Uint8Array(40)]) {
    const answers = [...sendAll(replica, 'key', asEnvelope(bytes))]
    answers.push(write(replica, Buffer.from('key'), asEnvelope(bytes), linkOf('b')))
    await replica.clock.settle()
    assert.equal(answers.map(answerOf), new Array(4).fill('BAD_ENTRY'))
  }
  const other = dataKey((slotOfDataKey(stored('key')) + 1) % SLOTS, Buffer.from('key'))
  const [, ...misplaced] = sendAll(replica, 'key', replica.envelope('key', 1), other)
  await replica.clock.settle()
  assert.equal(misplaced.map(answerOf), ['BAD_MESSAGE', 'BAD_MESSAGE'])
  assert.is(replica.disk.get(other), undefined)
})

test('one entry with a fault keeps out all that come with it', async () => {
  const replica = await harness()
  const entries = ['a', 'b'].map((key) => ({ dataKey: stored(key), envelope: replica.envelope(key, 1) }))
  entries.push({ dataKey: stored('c'), envelope: replica.envelope('c', FUTURE_MS) })
  const merged = replica.send('merge', { entries })
  await replica.clock.settle()
  assert.equal([answerOf(merged), replica.stored('a')], ['CLOCK_SKEW', undefined])
})

test('repair leaves an entry from the future out, and takes the others', async () => {
  const replica = await harness()
  const entries = ['a', 'b'].map((key, at) => ({
    dataKey: stored(key),
    envelope: replica.envelope(key, at * FUTURE_MS)
  }))
  const merged = replica.send('repair-merge', { entries, member: idOf('b') })
  await replica.clock.settle()
  assert.is(answerOf(merged), 1)
  assert.equal([replica.stored('a') !== undefined, replica.stored('b')], [true, undefined])
})

test('a write whose confirmation lies in the future is refused', async () => {
  const replica = await harness()
  const envelope = replica.envelope('key', 1)
  const now = Math.floor(replica.clock.now() / 1000)
  const answers = [now + 60, 2 ** 32 - 1, now - 60].map((bound) =>
    write(replica, Buffer.from('key'), envelope, linkOf('b'), bound)
  )
  await replica.clock.settle()
  assert.equal(answers.map(answerOf), ['CLOCK_SKEW', 'CLOCK_SKEW', undefined])
})

test('what a write brings moves the clock by half of the skew at most', async () => {
  const replica = await harness()
  replica.write('key', 4900)
  await replica.clock.settle()
  assert.ok(replica.stored('key') !== undefined)
  assert.is(replica.hlc.stamp().ms - replica.clock.now(), 2500)
})

test.run()
