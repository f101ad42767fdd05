// Messages that wait for a newer view: bounded for each peer and for all, in messages and in bytes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HeldMessages } from '../../lib/actors/replica/held-messages.js'
import { MiB } from '../../lib/limits.js'
import { answerOf, type Kept, ReplicaHarness } from '../sim/harness/replica-harness.js'
import { config, linkOf } from '../sim/harness/ring-views.js'

const test = suite('replica: held messages')

test('a peer holds at most its share, and others still have theirs', async () => {
  const replica = new ReplicaHarness()
  replica.view({ number: 1, window: [config(1, 'abc')], ready: { a: 1 } })
  await replica.clock.settle()
  const value = 'v'.repeat(MiB)
  const write = (letter: string, index: number): Kept<unknown> => {
    const key = `key-${index}`
    const envelope = replica.envelope(key, 1, value)
    return replica.send('write', { view: 4_000_000, from: linkOf(letter), key: Buffer.from(key), envelope })
  }
  const ofB = Array.from({ length: 20 }, (_, index) => write('b', index))
  const ofC = write('c', 0)
  await replica.clock.settle()
  assert.equal(ofB.slice(0, 15).map(answerOf), new Array(15).fill('nothing'))
  assert.equal(ofB.slice(16).map(answerOf), new Array(4).fill('OVERLOADED'))
  assert.is(answerOf(ofC), 'nothing')
  await replica.clock.advance(2100)
  assert.equal([...ofB.slice(0, 15), ofC].map(answerOf), new Array(16).fill('BEHIND'))
  const again = write('b', 1)
  await replica.clock.settle()
  assert.is(answerOf(again), 'nothing', 'what was answered counts no more')
})

test('one message of any size fits, and the number of messages is bounded for a peer and for all', () => {
  const held = new HeldMessages<number>()
  const add = (peer: string, bytes = 0) => held.add({ message: 1, peer, bytes, deadline: 0 })
  assert.ok(add('large', 100 * MiB))
  assert.not(add('large', 1))
  assert.is(held.take(() => true).length, 1)
  for (let count = 0; count < 4096; count++) assert.ok(add('a'))
  assert.not(add('a'))
  let others = 0
  while (add(`p${Math.floor(others / 100)}`)) others += 1
  assert.is(4096 + others, 10_000)
  assert.is(held.take((_, deadline) => deadline > 0).length, 0)
  assert.is(held.take(() => true).length, 10_000)
  assert.equal([held.size, held.firstDeadline], [0, undefined])
})

test('many peers together hold a bounded number of bytes', () => {
  const held = new HeldMessages<number>()
  let bytes = 0
  for (let peer = 0; peer < 50; peer++) {
    for (let count = 0; count < 16; count++) {
      if (held.add({ message: count, peer: `p${peer}`, bytes: MiB, deadline: 0 })) bytes += MiB
    }
  }
  assert.ok(bytes <= (64 + 50) * MiB, `${bytes / MiB} MiB`)
})

test.run()
