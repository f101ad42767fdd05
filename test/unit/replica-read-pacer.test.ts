// Reads of large entries: a replica reads few of them in one turn, and a router holds few answers.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { SMALL_ENVELOPE_MAX } from '../../lib/actors/large-requests.js'
import { ReadPacer } from '../../lib/actors/replica/read-pacer.js'
import { ReadRequests } from '../../lib/actors/replica/read-requests.js'
import type { ReadMessage } from '../../lib/actors/replica/replica-messages.js'
import { SlotStats } from '../../lib/actors/replica/slot-stats.js'
import { AnswerBytes } from '../../lib/actors/router/answer-bytes.js'
import { newOperation } from '../../lib/actors/router/operation.js'
import type { Clock } from '../../lib/clock.js'
import { encodeEnvelope } from '../../lib/entry/envelope.js'
import { dataKey } from '../../lib/entry/keys.js'
import type { RingdError, ValueLarger } from '../../lib/errors.js'
import { MiB } from '../../lib/limits.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { GuardedStore } from '../../lib/storage/guarded-store.js'
import { MemoryStore } from '../../lib/storage/memory.js'

const test = suite('reads of large entries')

/** A pacer of entries of `bytes`, and what was read or refused, by key. `turn` begins the next turn. */
function pacer(bytes: number) {
  const log: string[] = []
  const due: Array<() => void> = []
  const clock = { defer: (task: () => void) => void due.push(task) } as unknown as Clock
  const tested = new ReadPacer(clock, { turnBytesMax: 16 * MiB }, ({ key }) => {
    log.push(Buffer.from(key).toString())
    return bytes
  })
  const read = (name: string, isWanted = () => true): void => {
    const reply = (result: unknown) => void log.push(`${name} ${(result as RingdError).code}`)
    const message: ReadMessage = { type: 'read', view: 1, from: undefined, key: Buffer.from(name), reply, isWanted }
    tested.take(message)
  }
  const turn = () => {
    for (const task of due.splice(0)) task()
  }
  return { tested, log, read, turn }
}

test('a small read passes by the large ones that wait for their turn', () => {
  const due: Array<() => void> = []
  const read: string[] = []
  const get = (key: Uint8Array): Uint8Array => {
    read.push(Buffer.from(key).toString())
    return new Uint8Array(2 * MiB)
  }
  const requests = new ReadRequests({
    clock: { defer: (task: () => void) => void due.push(task) } as unknown as Clock,
    fence: { admits: () => true, isComplete: () => false } as never,
    reader: { get } as never,
    bounds: { closed: new Uint32Array(SLOTS) } as never,
    memory: { show: () => {} },
    isReadable: () => true
  })
  const ask = (name: string, bytesMax?: number): void =>
    requests.take({ type: 'read', view: 1, from: undefined, key: Buffer.from(name), bytesMax, reply() {} })
  ask('a')
  ask('b')
  ask('c', SMALL_ENVELOPE_MAX)
  assert.equal(read, ['a', 'c'], 'b waits')
  ask('d', SMALL_ENVELOPE_MAX + 1)
  for (const task of due.splice(0)) task()
  assert.equal(read, ['a', 'c', 'b'], 'd waits for the next turn')
})

test('an entry that was too large for a read is not read again for the next read with a limit', () => {
  const key = Buffer.from('key')
  const sized = (length: number) =>
    encodeEnvelope(key, { version: Buffer.alloc(16, 1), value: Buffer.alloc(length) } as never)
  let envelope = sized(1000)
  let reads = 0
  const get = () => {
    reads++
    return envelope
  }
  const requests = new ReadRequests({
    clock: {} as Clock,
    fence: { admits: () => true, isComplete: () => false } as never,
    reader: { get } as never,
    bounds: { closed: new Uint32Array(SLOTS) } as never,
    memory: { show: () => {} },
    isReadable: () => true
  })
  const ask = (bytesMax?: number): unknown => {
    let answer: unknown
    const reply = (result: unknown) => {
      answer = result
    }
    requests.take({ type: 'read', view: 1, from: undefined, key, reply, bytesMax })
    return answer
  }
  for (let i = 0; i < 3; i++) assert.is((ask(100) as ValueLarger).size, envelope.length)
  assert.is(reads, 1)
  assert.is(ask(), envelope, 'a read without a limit')
  assert.is(ask(envelope.length), envelope, 'a read with room for it')
  envelope = sized(10)
  assert.is(ask(100), envelope, 'its size is forgotten, since it was read with a higher limit')
})

test('small entries are all read at once', () => {
  const { log, read } = pacer(1000)
  for (let i = 0; i < 100; i++) read(`${i}`)
  assert.is(log.length, 100)
})

test('of entries of 8 MiB two are read in one turn, and the others in order in the next turns', () => {
  const { log, read, turn } = pacer(8 * MiB)
  for (const name of ['a', 'b', 'c', 'd', 'e']) read(name)
  assert.equal(log, ['a', 'b'])
  turn()
  read('f')
  assert.equal(log, ['a', 'b', 'c', 'd'])
  turn()
  turn()
  assert.equal(log, ['a', 'b', 'c', 'd', 'e', 'f'])
})

test('a read that waited and is not wanted any more is refused, and so are all that wait at the end', () => {
  const { tested, log, read, turn } = pacer(8 * MiB)
  for (const name of ['a', 'b']) read(name)
  read('c', () => false)
  for (const name of ['d', 'e', 'f']) read(name)
  turn()
  assert.equal(log, ['a', 'b', 'c OVERLOADED', 'd', 'e'])
  tested.end()
  assert.is(log.at(-1), 'f STOPPED')
})

test('the number of reads that wait is bounded', () => {
  const { log, read } = pacer(16 * MiB)
  for (let i = 0; i < 16_385; i++) read(`${i}`)
  assert.equal(log, ['0'])
  read('more')
  assert.equal(log, ['0', 'more OVERLOADED'])
})

test('a router refuses the answers of large entries above 128 MiB, and takes small ones', () => {
  const answers = new AnswerBytes()
  const operation = () => newOperation('get', { key: Buffer.from('k'), reply: () => {} })
  const held = Array.from({ length: 16 }, operation)
  for (const [at, each] of held.entries()) {
    assert.is(answers.isScarce, at >= 8)
    assert.ok(answers.take(each, 8 * MiB))
  }
  const late = operation()
  assert.not.ok(answers.take(late, MiB))
  assert.ok(answers.take(late, 1000))
  answers.forget(late)
  answers.forget(held[0]!)
  assert.ok(answers.take(late, MiB))
  assert.is(held[0]!.answerBytes, 0)
})

test('the largest entry of a slot is known once the store is counted', async () => {
  const stats = new SlotStats()
  const key = Buffer.from('k')
  const slot = slotOf(key)
  assert.is(stats.largestIn(slot), Number.POSITIVE_INFINITY)
  await stats.countAll(new GuardedStore(new MemoryStore()))
  assert.is(stats.largestIn(slot), 0)
  const version = Buffer.alloc(16, 1)
  const envelope = (length: number) => encodeEnvelope(key, { version, value: Buffer.alloc(length) } as never)
  const [small, large] = [envelope(10), envelope(1000)]
  stats.change(dataKey(slot, key), undefined, large)
  stats.change(dataKey(slot, key), large, small)
  assert.is(stats.largestIn(slot), large.length)
})

test.run()
