// What clients can do before they have logged in: little, for a short time, and in nobody's way.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Fields, Logger } from '../../lib/logger.js'
import { silent } from '../../lib/logger.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { closeAll, FakeRing, fastClock, openDoor, RawClient, request, until } from './resp-support.js'

const test = suite('resp login')
test.after.each(closeAll)

const WRONG = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'
const password = 'secret'

async function loggedIn(port: number): Promise<RawClient> {
  const client = new RawClient(port)
  client.send(request('AUTH', password))
  assert.is(await client.expect('+OK\r\n'), '+OK\r\n')
  return client
}

test('a client that does not log in within 10 s is told so and closed; one that did stays', async () => {
  const metrics = new KeptMetrics()
  const { port } = await openDoor(new FakeRing(), { password }, { clock: fastClock(20), metrics })
  const mute = new RawClient(port)
  const talking = new RawClient(port)
  const good = await loggedIn(port)
  const chat = setInterval(() => talking.send(request('PING')), 20)
  await until(() => mute.closed && talking.closed, 'both strangers closed')
  clearInterval(chat)
  assert.is(mute.text, '-NOAUTH no AUTH within 10 s\r\n')
  assert.match(talking.text, /no AUTH within 10 s\r\n$/)
  good.send(request('PING'))
  assert.is(await good.expect('+PONG\r\n'), '+PONG\r\n')
  assert.is(metrics.values.get('ringd_resp_closed_connections'), 2)
})

test('a client that logs out must log in again in time', async () => {
  const { port } = await openDoor(new FakeRing(), { password }, { clock: fastClock(20) })
  const client = await loggedIn(port)
  client.send(request('RESET'))
  await until(() => client.closed, 'closed')
  assert.is(client.text, '+RESET\r\n-NOAUTH no AUTH within 10 s\r\n')
})

test('without a password nobody has to log in', async () => {
  const { door, port } = await openDoor(new FakeRing(), {}, { clock: fastClock(200) })
  const client = new RawClient(port)
  await until(() => door.stats().connections === 1, 'connected')
  for (let tick = 0; tick < 200; tick++) await new Promise((resolve) => setTimeout(resolve, 1))
  client.send(request('PING'))
  assert.is(await client.expect('+PONG\r\n'), '+PONG\r\n')
})

test('wrong passwords are answered later and later, and the fifth closes the connection', async () => {
  const lines: Fields[] = []
  const log: Logger = { ...silent, warn: (fields) => void lines.push(fields) }
  const metrics = new KeptMetrics()
  const { port } = await openDoor(new FakeRing(), { password }, { log, metrics, clock: fastClock(5) })
  const client = new RawClient(port)
  client.send(...new Array(20).fill(request('AUTH', 'guess')))
  const begun = performance.now()
  const times: number[] = []
  for (let answers = 1; answers <= 5; answers++) {
    await until(() => client.bytes >= answers * WRONG.length, 'an answer')
    times.push(performance.now() - begun)
  }
  await until(() => client.closed, 'closed')
  assert.is(client.text, WRONG.repeat(5))
  // 100, 200, 400, 800 and 1600 ms, by a clock that is five times as fast.
  assert.ok(times[0]! >= 15 && times[4]! - times[3]! >= 300, times.join(' '))
  assert.is(metrics.values.get('ringd_resp_wrong_passwords'), 5)
  assert.equal(lines, [{ address: '127.0.0.1', times: 1 }])
})

test('a right password after a wrong one is accepted, and commands behind a wrong one wait for it', async () => {
  const ring = new FakeRing()
  const { port } = await openDoor(ring, { password })
  const client = new RawClient(port)
  client.send(request('AUTH', 'guess'), request('HELLO', '2', 'AUTH', 'default', 'guess'), request('AUTH', password))
  client.send(request('GET', 'k'))
  const expected = `${WRONG}${WRONG}+OK\r\n$-1\r\n`
  assert.is(await client.expect(expected), expected)
  assert.equal(ring.asked, ['get k quorum'])
})

test('the log counts wrong passwords, and has one line for many', async () => {
  const lines: Fields[] = []
  const log: Logger = { ...silent, warn: (fields) => void lines.push(fields) }
  const { port } = await openDoor(new FakeRing(), { password }, { log, clock: fastClock(100) })
  const clients = Array.from({ length: 30 }, () => new RawClient(port))
  for (const client of clients) client.send(...new Array(5).fill(request('AUTH', 'guess')))
  await until(() => clients.every(({ closed }) => closed), 'all closed')
  const counted = () => lines.reduce((sum, { times }) => sum + Number(times), 0)
  await until(() => counted() === 150, 'all counted')
  assert.ok(lines.length <= 5, `${lines.length} lines`)
})

test('too many clients that have not logged in make room for newer ones, the oldest first', async () => {
  const { door, port } = await openDoor(new FakeRing(), { password, maxConnections: 40 })
  const good = await loggedIn(port)
  const mute: RawClient[] = []
  for (let count = 1; count <= 10; count++) {
    mute.push(new RawClient(port))
    await until(() => door.stats().strangers === count, 'connected')
  }
  const late = await loggedIn(port)
  await until(() => mute[0]!.closed, 'the oldest is closed')
  assert.is(mute[0]!.text, '-ERR too many clients that have not logged in\r\n')
  assert.ok(mute.slice(1).every(({ closed }) => !closed))
  for (const client of [good, late]) {
    client.send(request('PING'))
    assert.is(await client.expect('+PONG\r\n'), '+PONG\r\n')
  }
})

test('clients that have not logged in can hold all connections from nobody', async () => {
  const { door, port } = await openDoor(new FakeRing(), { password, maxConnections: 8 })
  const good = await Promise.all(Array.from({ length: 6 }, () => loggedIn(port)))
  const mute = Array.from({ length: 50 }, () => new RawClient(port))
  await until(() => door.stats().connectionsReceived === 56, 'all have come')
  good.push(await loggedIn(port), await loggedIn(port))
  assert.is(door.stats().strangers, 0)
  const refused = new RawClient(port)
  await until(() => refused.closed, 'refused')
  assert.is(refused.text, '-ERR max number of clients reached\r\n')
  for (const client of good) {
    client.send(request('PING'))
    assert.is(await client.expect('+PONG\r\n'), '+PONG\r\n')
  }
  await until(() => mute.every(({ closed }) => closed), 'the others are closed')
})

test('memory before the login is small, and apart from that of the others', async () => {
  const { door, port } = await openDoor(new FakeRing(), { password, maxHeldBytes: 4 * 1024 * 1024 })
  const good = await loggedIn(port)
  const begun = request('AUTH', 'x'.repeat(16 * 1024), 'y'.repeat(16 * 1024)).subarray(0, -10)
  const strangers = Array.from({ length: 900 }, () => new RawClient(port))
  for (const stranger of strangers) stranger.send(begun)
  await until(() => door.stats().connectionsEvicted > 0, 'the largest are closed')
  assert.ok(door.stats().bytesHeld <= 20 * 1024 * 1024, `${door.stats().bytesHeld} held`)
  good.send(request('SET', 'k', 'v'), request('GET', 'k'))
  assert.is(await good.expect('+OK\r\n$1\r\nv\r\n'), '+OK\r\n$1\r\nv\r\n')
  assert.ok(!good.closed)
})

test('what strangers hold makes no other client slower', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring, { password, maxHeldBytes: 4 * 1024 * 1024 })
  const good = await loggedIn(port)
  const begun = request('AUTH', 'x'.repeat(16 * 1024), 'y'.repeat(16 * 1024)).subarray(0, -10)
  const strangers = Array.from({ length: 200 }, () => new RawClient(port))
  for (const stranger of strangers) stranger.send(begun)
  await until(() => door.stats().bytesHeld > 5 * 1024 * 1024, 'held')
  good.send(request('SET', 'a', '1'), request('SET', 'b', '1'))
  await until(() => ring.inFlight === 2, 'both commands run at once')
  assert.is(door.stats().strangers, 200)
})

test('one request before the login has at most 64 KiB', async () => {
  const { port } = await openDoor(new FakeRing(), { password })
  const client = new RawClient(port)
  client.send(request('HELLO', ...new Array(5).fill('x'.repeat(16 * 1024))))
  await until(() => client.closed, 'closed')
  assert.is(client.text, '-ERR Protocol error: unauthenticated multibulk request\r\n')
})

test('a client that pipelines before its login and does not read is stopped early', async () => {
  const { door, port } = await openDoor(new FakeRing(), { password })
  const client = new RawClient(port, false)
  client.send('PING\r\n'.repeat(2_000_000))
  let before = -1
  await until(() => {
    const isStill = door.stats().commands === before && before > 0
    before = door.stats().commands
    return isStill && client.socket.writableLength > 0
  }, 'no further command')
  assert.ok(door.stats().bytesHeld < 512 * 1024, `${door.stats().bytesHeld} held`)
})

test('a client that is idle for longer than allowed is closed, one that talks stays', async () => {
  const { port } = await openDoor(new FakeRing(), { idleSeconds: 10 }, { clock: fastClock(20) })
  const idle = new RawClient(port)
  const talking = new RawClient(port)
  const chat = setInterval(() => talking.send(request('PING')), 20)
  await until(() => idle.closed, 'closed')
  clearInterval(chat)
  assert.is(idle.text, '-ERR the client was idle for too long\r\n')
  assert.ok(!talking.closed)
})

test.run()
