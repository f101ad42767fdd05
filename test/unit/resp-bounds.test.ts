// The RESP door bounds every reply that is longer than its request, and every text that it keeps of a client.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LargeWork } from '../../lib/large-work.js'
import { MiB } from '../../lib/limits.js'
import { bulkReply as bulk, clock, closeAll, FakeRing, openDoor, RawClient, request, until } from './resp-support.js'

const test = suite('resp bounds')
test.after.each(closeAll)

/** Sends each request on a fresh connection, and compares the whole reply. */
async function says(pairs: ReadonlyArray<readonly [args: readonly string[], reply: string]>): Promise<FakeRing> {
  const ring = new FakeRing()
  const { port } = await openDoor(ring)
  const client = new RawClient(port)
  for (const [args, reply] of pairs) {
    client.send(request(...args))
    assert.is(await client.expect(reply), reply, args.slice(0, 3).join(' '))
  }
  return ring
}

test('CONFIG GET takes 64 patterns of 256 bytes, and no more', async () => {
  const save = `*2\r\n${bulk('save')}${bulk('')}`
  const most = [...new Array(63).fill(`x${'*'.repeat(255)}`), 'save']
  await says([
    [['CONFIG', 'GET', ...most], save],
    [['CONFIG', 'GET', ...most, 'x'], '-ERR at most 64 patterns in one request\r\n'],
    [['CONFIG', 'GET', 'save', '*'.repeat(257)], '-ERR a pattern has at most 256 bytes\r\n'],
    [['CONFIG', 'GET', '*a'.repeat(MiB)], '-ERR a pattern has at most 256 bytes\r\n']
  ])
})

test('COMMAND DOCS tells of each command once, and COMMAND INFO and INFO take few names', async () => {
  const ring = new FakeRing()
  const { port } = await openDoor(ring)
  const client = new RawClient(port)
  client.send(request('COMMAND', 'DOCS', 'client'), request('PING'))
  await until(() => client.text.endsWith('+PONG\r\n'), 'one doc')
  const one = client.text
  client.send(request('COMMAND', 'DOCS', ...new Array(256).fill('CLIENT')), request('PING'))
  await until(() => client.bytes >= 2 * one.length, 'the same again')
  assert.is(client.text, one + one)
  await says([
    [['COMMAND', 'DOCS', ...new Array(257).fill('client')], '-ERR at most 256 names in one request\r\n'],
    [['COMMAND', 'INFO', ...new Array(257).fill('client')], '-ERR at most 256 names in one request\r\n'],
    [['COMMAND', 'INFO', 'x'.repeat(MiB)], '*1\r\n$-1\r\n'],
    [['INFO', ...new Array(65).fill('server')], '-ERR at most 64 sections in one request\r\n']
  ])
})

test('a name has at most 128 bytes, and an error repeats at most 128 bytes', async () => {
  const long = 'n'.repeat(129)
  const refusal = '-ERR a name has at most 128 bytes\r\n'
  await says([
    [['CLIENT', 'SETNAME', long.slice(1)], '+OK\r\n'],
    [['CLIENT', 'SETNAME', long], refusal],
    [['HELLO', '2', 'SETNAME', long], refusal],
    [['CLIENT', 'GETNAME'], bulk(long.slice(1))],
    [['CLIENT', 'SETINFO', 'lib-ver', long], refusal],
    [['CLIENT', 'SETINFO', 'x'.repeat(MiB), '1'], `-ERR Unrecognized option '${'x'.repeat(128)}'\r\n`],
    [['CLIENT', 'y'.repeat(MiB)], `-ERR unknown subcommand '${'y'.repeat(128)}'. Try CLIENT HELP.\r\n`],
    [['HELLO', '2', 'z'.repeat(MiB)], `-ERR Syntax error in HELLO option '${'z'.repeat(128)}'\r\n`]
  ])
})

test('an option that is repeated without end is a syntax error', async () => {
  const ring = await says([
    [['SET', 'k', 'v', ...new Array(100_000).fill('GET')], '-ERR syntax error\r\n'],
    [['EXPIRE', 'k', '10', ...new Array(100_000).fill('nx')], '-ERR syntax error\r\n'],
    [['GETEX', 'k', ...new Array(1000).fill('PERSIST')], '-ERR syntax error\r\n'],
    [['HELLO', '2', ...new Array(1000).fill('SETNAME')], '-ERR syntax error\r\n']
  ])
  assert.equal(ring.asked, [])
})

test('a client that does not read 100 000 long replies holds little', async () => {
  const { door, port } = await openDoor(new FakeRing())
  const deaf = new RawClient(port, false)
  deaf.send('COMMAND DOCS client\r\n'.repeat(100_000))
  await until(() => door.stats().bytesHeld > MiB, 'held')
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(door.stats().commands < 50_000, `${door.stats().commands} of 100 000 commands taken`)
  assert.ok(door.stats().bytesHeld < 4 * MiB, `${door.stats().bytesHeld} held`)
  deaf.read()
  await until(() => deaf.text.split('summary').length > 5000, 'replies go on once it reads')
})

test('a client that asks for long replies without a pause gets few of them in one turn of the event loop', async () => {
  const { door, port } = await openDoor(new FakeRing())
  const flood = new RawClient(port)
  flood.send('COMMAND DOCS client\r\n'.repeat(20_000))
  let before = 0
  let most = 0
  while (before < 2000) {
    await new Promise((resolve) => setImmediate(resolve))
    const { commands } = door.stats()
    most = Math.max(most, commands - before)
    before = commands
  }
  assert.ok(most < 100, `${most} in one turn`)
})

test('long replies that wait for an earlier one are counted', async () => {
  const ring = new FakeRing('manual')
  const { door, port } = await openDoor(ring)
  const client = new RawClient(port)
  client.send(request('SET', 'k', 'v'), 'COMMAND\r\n'.repeat(1000))
  await until(() => ring.inFlight === 1 && door.stats().bytesHeld > MiB, 'held')
  for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.ok(door.stats().commands < 200, `${door.stats().commands} commands taken`)
  ring.release()
  await until(() => door.stats().commands === 1001, 'all commands')
})

test('a large request takes turns of large work, and a long pipeline of small ones takes none', async () => {
  let turns = 0
  class Counted extends LargeWork {
    override begin(piece: () => boolean): void {
      turns += 1
      super.begin(piece)
    }
  }
  const { port } = await openDoor(new FakeRing(), {}, { largeWork: new Counted(clock) })
  const client = new RawClient(port)
  const small = request('SET', 'k', 'v'.repeat(1000))
  client.send(Buffer.concat(Array.from({ length: 4000 }, () => small)))
  const answers = '+OK\r\n'.repeat(4000)
  assert.is(await client.expect(answers), answers)
  assert.is(turns, 0)
  client.send(request('SET', 'k', 'v'.repeat(2 * MiB)))
  assert.is(await client.expect('+OK\r\n'), '+OK\r\n')
  assert.ok(turns >= 7, `${turns} turns`)
})

test.run()
