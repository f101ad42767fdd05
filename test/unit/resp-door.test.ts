// The RESP door under load and abuse: order of replies, backpressure, bounds, draining.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Budget, type Holder } from '../../daemon/doors/resp/budget.js'
import { RespDoor } from '../../daemon/doors/resp/server.js'
import { type ErrorCode, RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { bulkReply, clock, closeAll, FakeRing, info, openDoor, RawClient, request, until } from './resp-support.js'

const test = suite('resp door')
test.after.each(closeAll)

async function codeOf(run: () => unknown): Promise<ErrorCode | undefined> {
  try {
    await run()
  } catch (error) {
    return error instanceof RingdError ? error.code : undefined
  }
  return undefined
}

test('binding to an address open to other machines needs a password', async () => {
  const make = (host: string, password?: string) => () =>
    new RespDoor({ keyValue: new FakeRing(), clock, log: silent, info }, { host, port: 0, password })
  for (const host of ['0.0.0.0', '::', '192.168.1.2', 'example.org', '127.example.org']) {
    assert.is(await codeOf(make(host)), 'BAD_CONFIG', host)
    assert.is(await codeOf(make(host, 'x')), undefined, host)
  }
  for (const host of ['127.0.0.1', '127.1.2.3', '::1', 'localhost'])
    assert.is(await codeOf(make(host)), undefined, host)
  assert.is(await codeOf(make('127.0.0.1', '')), 'BAD_CONFIG')
})

test('a taken port is PORT_IN_USE, and the error names the address', async () => {
  const { door, port } = await openDoor(new FakeRing())
  const second = new RespDoor({ keyValue: new FakeRing(), clock, log: silent, info }, { port })
  try {
    await second.start()
    assert.unreachable()
  } catch (error) {
    assert.is((error as RingdError).code, 'PORT_IN_USE')
    assert.ok((error as RingdError).message.includes(`127.0.0.1:${port}`))
  }
  await second.stop()
  await door.stop()
})

test('replies come in the order of the requests, in whichever order the ring answers', async () => {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  const requests: Buffer[] = []
  let expected = ''
  for (let i = 0; i < 3000; i++) {
    if (i % 3 === 0) {
      requests.push(request('SET', `k${i % 50}`, `${i}`))
      expected += '+OK\r\n'
    } else if (i % 3 === 1) {
      requests.push(request('GET', `k${(i - 1) % 50}`))
      expected += bulkReply(`${i - 1}`)
    } else {
      requests.push(request('PING', `${i}`))
      expected += bulkReply(`${i}`)
    }
  }
  client.send(Buffer.concat(requests))
  assert.ok((await client.expect(expected)) === expected)
  assert.ok(ring.mostInFlight > 10, `${ring.mostInFlight} at once`)
  await client.close()
  await door.stop()
})

test('a reply uses the protocol in force when its command was sent', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  client.send(request('GET', 'first'))
  await until(() => ring.inFlight === 1, 'the first read')
  ring.release()
  client.send(request('GET', 'a'), request('HELLO', '3'), request('GET', 'b'))
  await until(() => ring.inFlight === 2, 'both reads')
  ring.release()
  await until(() => client.text.endsWith('_\r\n'), 'the last reply')
  assert.match(client.text, /^\$-1\r\n\$-1\r\n%7\r\n[\s\S]*_\r\n$/)
  await client.close()
  await door.stop()
})

test('later commands do not overtake a command with more keys than run at once', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
  client.send(request('DEL', ...keys), request('SET', 'k499', 'late'), request('MGET', ...keys))
  await until(() => ring.inFlight > 0, 'the first deletions')
  const expected = `:0\r\n+OK\r\n*500\r\n${'$-1\r\n'.repeat(499)}${bulkReply('late')}`
  await until(() => {
    ring.release(7)
    return client.bytes >= expected.length
  }, 'all')
  assert.is(client.text, expected)
  assert.ok(ring.mostInFlight <= 65, `${ring.mostInFlight} at once: 64 keys and the SET`)
  await client.close()
  await door.stop()
})

test('a protocol error is answered after the replies before it, then the connection closes', async () => {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  client.send(request('SET', 'a', '1'), request('GET', 'a'), '*1\r\n$x\r\n', request('SET', 'b', '1'))
  await until(() => client.ended, 'the end')
  assert.is(client.text, `+OK\r\n${bulkReply('1')}-ERR Protocol error: invalid bulk length\r\n`)
  assert.is(ring.map.has('b'), false)
  await until(() => client.closed && door.stats().connections === 0, 'closed')
  await door.stop()
})

test('QUIT is answered and closes, and an HTTP request is refused and closed', async () => {
  const ring = new FakeRing()
  const { door, port } = await openDoor(ring)
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['QUIT\r\nSET a 1\r\n', '+OK\r\n'],
    ['POST / HTTP/1.1\r\nSET a 1\r\n', '-ERR this port speaks the Redis protocol, not HTTP\r\n'],
    [
      'GET / HTTP/1.1\r\nHost: x\r\nSET a 1\r\n',
      "-ERR wrong number of arguments for 'get' command\r\n-ERR this port speaks the Redis protocol, not HTTP\r\n"
    ]
  ]
  for (const [sent, reply] of cases) {
    const client = new RawClient(port)
    client.send(sent)
    await until(() => client.closed, 'closed')
    assert.is(client.text, reply)
  }
  assert.equal(ring.asked, [])
  await door.stop()
})

test('a client that closes its side after sending still gets its answers', async () => {
  const { door, port } = await openDoor(new FakeRing('random'))
  const client = new RawClient(port)
  client.send(request('SET', 'a', '1'), request('GET', 'a'))
  client.socket.end()
  await until(() => client.closed, 'closed')
  assert.is(client.text, `+OK\r\n${bulkReply('1')}`)
  await door.stop()
})

test('clients above maxConnections get an error, and one may connect after another leaves', async () => {
  const { door, port } = await openDoor(new FakeRing(), { maxConnections: 1 })
  const first = new RawClient(port)
  first.send('PING\r\n')
  await first.expect('+PONG\r\n')
  const second = new RawClient(port)
  await until(() => second.closed, 'refused')
  assert.is(second.text, '-ERR max number of clients reached\r\n')
  await first.close()
  await until(() => door.stats().connections === 0, 'room')
  const third = new RawClient(port)
  third.send('PING\r\n')
  assert.is(await third.expect('+PONG\r\n'), '+PONG\r\n')
  assert.is(door.stats().connectionsRejected, 1)
  await third.close()
  await door.stop()
})

test('a client that never reads makes the door stop reading, so that memory stays bounded', async () => {
  const ring = new FakeRing()
  ring.map.set('big', Buffer.alloc(256 * KiB))
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port, false)
  const gets = Buffer.concat(new Array(1000).fill(request('GET', 'big')))
  client.send(gets)
  await until(() => door.stats().bytesHeld > MiB, 'held')
  const asked = ring.asked.length
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.is(ring.asked.length, asked)
  assert.ok(asked < 100, `${asked} of 1000 reads begun`)
  assert.ok(door.stats().bytesHeld < 4 * MiB, `${door.stats().bytesHeld} held`)
  client.read()
  await until(() => client.bytes === 1000 * (256 * KiB + 11), 'every reply once it reads')
  await client.close()
  await until(() => door.stats().bytesHeld === 0, 'nothing held')
  await door.stop()
})

test('a deep pipeline is read bit by bit', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  const count = 20_000
  client.send(Buffer.concat(Array.from({ length: count }, (_, i) => request('SET', `k${i}`, 'v'))))
  await until(() => ring.inFlight === 1024, '1024 commands')
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.is(ring.inFlight, 1024)
  while (client.bytes < 5 * count) {
    ring.release(500)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.is(ring.mostInFlight, 1024)
  assert.is(client.bytes, 5 * count)
  await client.close()
  await door.stop()
})

test('few large values of one client run at once, and several megabytes arrive whole', async () => {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  const value = Buffer.alloc(3 * MiB, 'z')
  const rounds = 8
  const stream: Buffer[] = []
  for (let i = 0; i < rounds; i++) stream.push(request('SET', `k${i}`, value))
  for (let i = 0; i < rounds; i++) stream.push(request('GET', `k${i}`))
  client.send(...stream)
  const expected = rounds * 5 + rounds * (value.length + 12)
  await until(() => client.bytes === expected, 'all')
  assert.ok(client.text.endsWith('z\r\n'))
  await client.close()
  await door.stop()
})

test('MGET of more bytes than a reply may hold is an error, and takes no memory for them', async () => {
  const ring = new FakeRing()
  ring.map.set('big', Buffer.alloc(8 * MiB))
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  client.send(request('MGET', ...new Array(100).fill('big')), request('PING'))
  const line = `-ERR the values are together longer than ${16 * MiB} bytes; ask for fewer keys\r\n+PONG\r\n`
  assert.is(await client.expect(line), line)
  assert.ok(ring.asked.length < 20)
  await client.close()
  await door.stop()
})

test('the bytes of all clients together are bounded: pipelines wait, and each is served in the end', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring, { maxHeldBytes: 4 * MiB })
  const clients = Array.from({ length: 10 }, () => new RawClient(port))
  for (const client of clients) {
    for (let i = 0; i < 10; i++) client.send(request('SET', `k${i}`, Buffer.alloc(200 * KiB)))
  }
  await until(() => door.stats().bytesHeld > 4 * MiB, 'full')
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(door.stats().bytesHeld < 8 * MiB, `${door.stats().bytesHeld} held`)
  await until(() => {
    ring.release()
    return clients.every((client) => client.bytes === 50)
  }, 'all answered')
  assert.is(door.stats().connectionsEvicted, 0)
  await Promise.all(clients.map((client) => client.close()))
  await until(() => door.stats().bytesHeld === 0, 'nothing held')
  await door.stop()
})

test('when clients hold more than twice the bound the largest is closed, and the others continue', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring, { maxHeldBytes: 2 * MiB })
  const small = new RawClient(port)
  small.send(request('SET', 'small', 'v'))
  await until(() => ring.inFlight === 1, 'the small one')
  const large = new RawClient(port)
  large.send(request('SET', 'large', Buffer.alloc(6 * MiB)))
  await until(() => large.closed, 'closed')
  ring.release()
  assert.is(await small.expect('+OK\r\n'), '+OK\r\n')
  assert.is(door.stats().connectionsEvicted, 1)
  await small.close()
  await door.stop()
})

test('a budget fills, evicts the largest holder at twice its bound, and frees its bytes', () => {
  const holders: Holder[] = []
  const log: string[] = []
  const say = (line: string) => () => void log.push(line)
  const budget = new Budget(
    { holders, onFull: say('full'), onFree: say('free'), onRoom: () => {}, onEvict: () => {} },
    100
  )
  const hold = (id: string): Holder => {
    const holder = {
      budgeted: 0,
      budgetedReplies: 0,
      evict() {
        log.push(`evict ${id}`)
        budget.report(holder, 0, 0)
      }
    }
    holders.push(holder)
    return holder
  }
  const [small, large] = [hold('small'), hold('large')]
  budget.report(small, 40, 0)
  budget.report(large, 70, 0)
  budget.report(large, 40, 0)
  assert.ok(budget.full, 'just below the bound is not free yet')
  budget.report(large, 30, 0)
  budget.report(large, 161, 0)
  assert.equal(log, ['full', 'free', 'full', 'evict large', 'free'])
  assert.is(budget.total, 40)
})

test('stop answers commands in flight, accepts no more, and closes all connections', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring)
  const [busy, idle] = [new RawClient(port), new RawClient(port)]
  busy.send(request('SET', 'a', '1'))
  await until(() => ring.inFlight === 1 && door.stats().connections === 2, 'in flight')
  const stopped = door.stop()
  await until(() => idle.closed, 'idle closed')
  busy.send(request('SET', 'b', '1'))
  ring.release()
  await stopped
  await until(() => busy.closed, 'busy closed')
  assert.is(busy.text, '+OK\r\n')
  assert.equal(ring.asked, ['put a quorum'])
})

test('stop waits for its deadline at most', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring, { drainMs: 50 })
  const client = new RawClient(port)
  client.send(request('SET', 'a', '1'))
  await until(() => ring.inFlight === 1, 'in flight')
  await door.stop()
  await until(() => client.closed, 'closed')
  ring.release()
  assert.is(client.text, '')
})

test('clients that disconnect at any moment leave nothing behind', async () => {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring)
  const whole = Buffer.concat([
    request('SET', 'a', Buffer.alloc(100_000)),
    request('MGET', 'a', 'b'),
    request('GET', 'a')
  ])
  for (let i = 0; i < 60; i++) {
    const client = new RawClient(port, i % 2 === 0)
    client.send(whole.subarray(0, (whole.length * i) / 60))
    await new Promise((resolve) => setTimeout(resolve, i % 4))
    if (i % 3 === 0) client.socket.resetAndDestroy()
    else client.socket.destroy()
  }
  await until(() => door.stats().connections === 0 && ring.inFlight === 0, 'all are closed')
  assert.is(door.stats().bytesHeld, 0)
  await door.stop()
})

test.run()
