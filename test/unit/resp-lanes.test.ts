// Large values in the RESP door: they are read and written in turns, small ones pass by, and what clients do not read
// is bounded for all of them together.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Lane, type LaneUser, WAIT_MS_MAX } from '../../daemon/doors/resp/lane.js'
import { Lanes, SMALL_BYTES_MAX } from '../../daemon/doors/resp/lanes.js'
import { PacedRing } from '../../daemon/doors/resp/paced-ring.js'
import { UploadTurns } from '../../daemon/doors/resp/upload-turns.js'
import { ValueSizes } from '../../daemon/doors/resp/value-sizes.js'
import type { Bytes } from '../../lib/bytes.js'
import type { RingdError } from '../../lib/errors.js'
import { LargeWork } from '../../lib/large-work.js'
import { KiB, MiB } from '../../lib/limits.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { bulkReply, clock, closeAll, FakeRing, fastClock, openDoor, RawClient, request, until } from './resp-support.js'

const test = suite('resp lanes')
test.after.each(closeAll)

const USER: LaneUser = { isClosed: false, holdsPart: false }
const LARGE = Buffer.alloc(8 * MiB, 'z')
const LARGE_REPLY = LARGE.length + `$${LARGE.length}\r\n\r\n`.length

/** A lane, and what it has started and refused, by name. */
function lane(options: { bytesMax?: number; hasRoom?: (bytes: number, isPart: boolean) => boolean } = {}) {
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const tested = new Lane(clock, { bytesMax: 100, copies: 2, hasRoom: () => true, ...options })
  const run = (name: string, bytes: number, user = USER): void => {
    const start = (ended: () => void): void => {
      log.push(name)
      ends.set(name, ended)
    }
    tested.run(user, bytes, start, (error: RingdError) => log.push(`${name} ${error.code}`))
  }
  return { tested, log, run, end: (name: string) => ends.get(name)!() }
}

test('operations start in order, while their bytes with copies fit; one alone may be larger', () => {
  const { log, run, end } = lane()
  run('a', 30)
  run('b', 20)
  run('c', 1)
  run('d', 500)
  run('e', 1)
  assert.equal(log, ['a', 'b'])
  end('a')
  assert.equal(log, ['a', 'b', 'c'])
  end('b')
  end('c')
  assert.equal(log, ['a', 'b', 'c', 'd'])
  end('d')
  assert.equal(log, ['a', 'b', 'c', 'd', 'e'])
})

test('an operation waits for room, and one whose client holds a part of its reply goes first', () => {
  let room = 0
  const { tested, log, run } = lane({ hasRoom: (bytes, isPart) => bytes <= (isPart ? 2 : 1) * room })
  run('a', 10)
  run('part', 15, { isClosed: false, holdsPart: true })
  assert.equal(log, [])
  room = 8
  tested.pump()
  assert.equal(log, ['part'])
  room = 10
  tested.pump()
  assert.equal(log, ['part', 'a'])
})

test('an operation that waits for too long is refused, and those of closed connections are dropped', () => {
  const { tested, log, run, end } = lane()
  const leaves = { isClosed: false, holdsPart: false }
  run('a', 50)
  run('left', 10, leaves)
  run('b', 10)
  leaves.isClosed = true
  end('a')
  assert.equal(log, ['a', 'b'])
  run('late', 50)
  assert.is(tested.expire(clock.elapsed() + WAIT_MS_MAX / 2), 0)
  assert.is(tested.expire(clock.elapsed() + WAIT_MS_MAX), 1)
  assert.equal(log, ['a', 'b', 'late OVERLOADED'])
  assert.is(tested.waiting, 0)
})

test('a queue that is full refuses at once', () => {
  const { log, run } = lane({ hasRoom: () => false })
  for (let i = 0; i < 8192; i++) run('waits', 1)
  run('more', 1)
  assert.equal(log, ['more OVERLOADED'])
})

test('sizes of large values are remembered until a small one is seen', () => {
  const sizes = new ValueSizes(100)
  const key = Buffer.from('k')
  sizes.set(key, 100)
  assert.is(sizes.get(key), 0)
  sizes.set(key, 101)
  assert.is(sizes.get(key), 101)
  sizes.set(Buffer.from('other'), 5)
  assert.is(sizes.get(key), 101)
  sizes.set(key, 5)
  assert.is(sizes.get(key), 0)
})

function paced(ring: FakeRing, repliesMax = 64 * MiB) {
  let replies = 0
  const lanes = new Lanes(clock, {
    largeWork: new LargeWork(clock),
    repliesMax,
    replies: () => replies,
    largestNear: () => Number.POSITIVE_INFINITY
  })
  const connect = () => new PacedRing({ ring, user: USER, lanes })
  const hold = (bytes: number) => {
    replies = bytes
  }
  return { lanes, connect, hold }
}

function read(from: PacedRing, key: string, log: string[]): void {
  from.get(Buffer.from(key), 'quorum', (result) =>
    log.push(`${key} ${(result as Bytes | undefined)?.length ?? 'none'}`)
  )
}

test('a value that is known to be large is read in turn, and small ones pass by', () => {
  const ring = new FakeRing('manual')
  const { connect } = paced(ring)
  const [large, small] = [connect(), connect()]
  const log: string[] = []
  for (const connection of [large, small]) read(connection, 'first', log)
  ring.release()
  for (const key of ['a', 'b']) large.put(Buffer.from(key), LARGE, 'quorum', () => {})
  assert.is(ring.inFlight, 1)
  ring.release(1)
  ring.release(1)
  for (const key of ['a', 'b', 'a', 'b']) read(large, key, log)
  read(small, 's', log)
  assert.is(ring.inFlight, 2)
  ring.release()
  assert.equal(log.slice(2), [`a ${LARGE.length}`, 's none'])
  while (ring.inFlight > 0) ring.release(1)
  assert.is(log.length, 7)
})

test('the owners send no large value until there is room for it, and one that grows is read as the largest', () => {
  const ring = new FakeRing('manual')
  const { connect, lanes, hold } = paced(ring)
  const log: string[] = []
  ring.map.set('a', Buffer.alloc(MiB))
  hold(64 * MiB)
  read(connect(), 'a', log)
  ring.release()
  assert.is(lanes.reads.waiting, 1)
  assert.is(ring.inFlight, 0)
  hold(0)
  lanes.reads.pump()
  assert.is(ring.mostReserved, MiB)
  ring.map.set('a', Buffer.alloc(2 * MiB))
  ring.release()
  assert.equal(log, [])
  ring.map.set('a', LARGE)
  ring.release()
  assert.is(ring.mostReserved, 8 * MiB)
  assert.equal(log, [`a ${LARGE.length}`])
})

test('an update and a delete of a large value take their turn before anything is written', () => {
  const ring = new FakeRing('manual')
  const { connect, lanes, hold } = paced(ring)
  const log: string[] = []
  ring.map.set('a', LARGE)
  hold(64 * MiB)
  const connection = connect()
  const done = () => void log.push('updated')
  const decide = () => ({ change: 'delete', result: undefined }) as const
  connection.update(Buffer.from('a'), 'quorum', decide, done)
  ring.release()
  assert.ok(ring.map.has('a'))
  assert.is(lanes.reads.waiting, 1)
  hold(0)
  lanes.reads.pump()
  ring.release()
  assert.equal(log, ['updated'])
  ring.map.set('b', LARGE)
  connection.delete(Buffer.from('b'), 'quorum', () => log.push('deleted'))
  ring.release()
  assert.ok(ring.map.has('b'))
  ring.release()
  assert.equal(log, ['updated', 'deleted'])
})

test('reads that may be large run 64 at once, and 16 after a surprise; those that cannot be large all run', () => {
  const ring = new FakeRing('manual')
  let largest = Number.POSITIVE_INFINITY
  const lanes = new Lanes(clock, {
    largeWork: new LargeWork(clock),
    repliesMax: 64 * MiB,
    replies: () => 0,
    largestNear: () => largest
  })
  const [surprised, other] = [1, 2].map(() => new PacedRing({ ring, user: USER, lanes })) as [PacedRing, PacedRing]
  const log: string[] = []
  for (const connection of [surprised, other]) read(connection, 'first', log)
  ring.release()
  for (let i = 0; i < 300; i++) read(other, `k${i}`, log)
  assert.is(ring.inFlight, 64)
  assert.not.ok(other.isHeldBack)
  while (ring.inFlight > 0) ring.release(1)
  ring.map.set('a', LARGE)
  read(surprised, 'a', log)
  ring.release()
  for (let i = 0; i < 100; i++) read(other, `k${i}`, log)
  assert.is(ring.inFlight, 16 + 1)
  assert.ok(other.isHeldBack)
  largest = SMALL_BYTES_MAX
  for (let i = 0; i < 1000; i++) read(other, `p${i}`, log)
  assert.is(ring.inFlight, 1016 + 1)
  while (ring.inFlight > 0) ring.release(1)
  assert.is(log.length, 1403)
})

test('while memory is short, four clients at a time send the rest of their requests', () => {
  let freed = 0
  const turns = new UploadTurns<number>(() => freed++)
  assert.ok([1, 2, 3, 4, 5].every((client) => turns.mayGoOn(client, false)))
  assert.equal(
    [1, 2, 3, 4, 5].map((client) => turns.mayGoOn(client, true)),
    [true, true, true, true, false]
  )
  turns.end(5)
  assert.is(freed, 0)
  turns.end(1)
  assert.is(freed, 1)
  assert.ok(turns.mayGoOn(5, true))
})

test('200 clients that pipeline reads of 8 MiB and read nothing hold 72 MiB, and small requests pass by', async () => {
  const ring = new FakeRing('random')
  ring.map.set('big', LARGE)
  const { door, port } = await openDoor(ring)
  const good = new RawClient(port)
  good.send(request('SET', 'k', 'v'), request('GET', 'k'))
  await good.expect('+OK\r\n$1\r\nv\r\n')
  const deaf = Array.from({ length: 200 }, () => new RawClient(port, false))
  for (const client of deaf) client.send(Buffer.concat(new Array(100).fill(request('GET', 'big'))))
  await until(() => door.stats().bytesHeld > 50 * MiB, 'much is held')
  let most = 0
  for (let i = 0; i < 100; i++) {
    good.send(request('GET', 'k'))
    assert.is(await good.expect(bulkReply('v')), bulkReply('v'))
    most = Math.max(most, door.stats().bytesHeld)
  }
  assert.ok(most < 72 * MiB + 200 * 64 * KiB, `${most} held`)
  assert.ok(ring.mostReserved <= LARGE.length, `${ring.mostReserved} at once`)
})

test('clients that do not read are closed while others wait, and the others are served', async () => {
  const ring = new FakeRing('random')
  ring.map.set('big', LARGE)
  const metrics = new KeptMetrics()
  const { port } = await openDoor(ring, {}, { metrics, clock: fastClock(10) })
  const deaf = Array.from({ length: 30 }, () => new RawClient(port, false))
  for (const client of deaf) client.send(request('GET', 'big'), request('GET', 'big'))
  await until(() => ring.asked.length > 6, 'they are served first')
  const good = new RawClient(port)
  good.send(request('GET', 'big'))
  await until(() => good.bytes === LARGE_REPLY, 'the whole value')
  assert.ok((metrics.values.get('ringd_resp_closed_connections') ?? 0) > 0)
  assert.not.ok(good.closed)
})

test('a client that does not read is left alone while nobody waits', async () => {
  const ring = new FakeRing()
  ring.map.set('big', LARGE)
  const { port } = await openDoor(ring, {}, { clock: fastClock(100) })
  const slow = new RawClient(port, false)
  slow.send(request('GET', 'big'))
  for (let tick = 0; tick < 200; tick++) await new Promise((resolve) => setTimeout(resolve, 1))
  slow.read()
  await until(() => slow.bytes === LARGE_REPLY, 'the whole value')
})

test('one hundred clients that read large values all get them, in bounded memory', async () => {
  const ring = new FakeRing('random')
  const value = Buffer.alloc(2 * MiB, 'y')
  ring.map.set('big', value)
  const { door, port } = await openDoor(ring)
  const readers = Array.from({ length: 100 }, () => new RawClient(port))
  let most = 0
  for (const reader of readers) {
    reader.send(request('GET', 'big'))
    reader.socket.on('data', () => {
      most = Math.max(most, door.stats().bytesHeld)
    })
  }
  await until(() => readers.every(({ bytes }) => bytes === value.length + 12), 'all values')
  assert.ok(most < 72 * MiB, `${most} held`)
})

test('many clients that send large values all finish, in bounded memory', async () => {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring, { maxHeldBytes: 16 * MiB })
  const writers = Array.from({ length: 20 }, () => new RawClient(port))
  let most = 0
  const sampler = setInterval(() => {
    most = Math.max(most, door.stats().bytesHeld)
  }, 1)
  for (const [at, writer] of writers.entries()) writer.send(request('SET', `k${at}`, Buffer.alloc(3 * MiB)))
  await until(() => writers.every(({ bytes, closed }) => bytes === 5 || closed), 'all answered')
  clearInterval(sampler)
  assert.ok(writers.every(({ closed }) => !closed))
  assert.is(door.stats().connectionsEvicted, 0)
  assert.ok(most < 32 * MiB, `${most} held`)
})

test.run()
