// The commands about expiry, as in Redis 7, over a real socket, and the order of their effects.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KeyOrder } from '../../daemon/doors/resp/key-order.js'
import { bulkReply as bulk, clock, closeAll, FakeRing, openDoor, RawClient, request } from './resp-support.js'

const test = suite('resp expiry')
test.after.each(closeAll)

interface Talk {
  readonly ring: FakeRing
  says(args: readonly string[], reply: string): Promise<void>
  /** The integer with which the command is answered. */
  number(...args: string[]): Promise<number>
}

async function talk(run: (talk: Talk) => Promise<void>): Promise<void> {
  const ring = new FakeRing('random')
  const { port } = await openDoor(ring, { maxKeyBytes: 100, maxValueBytes: 1000 })
  const client = new RawClient(port)
  await run({
    ring,
    async says(args, reply) {
      client.send(request(...args))
      assert.is(await client.expect(reply), reply, args.join(' '))
    },
    async number(...args) {
      client.send(request(...args), request('ECHO', 'the end'))
      let text = ''
      while (!text.endsWith(bulk('the end'))) text += await client.expect('x')
      return Number(/^:(-?\d+)\r\n/.exec(text)?.[1])
    }
  })
}

const SYNTAX = '-ERR syntax error\r\n'
const NO_INTEGER = '-ERR value is not an integer or out of range\r\n'
const invalid = (command: string) => `-ERR invalid expire time in '${command}' command\r\n`
/** Whether it is an hour ahead, in seconds, with some tolerance for a slow test. */
const isAnHour = (seconds: number) => seconds > 3500 && seconds <= 3600

test('SET accepts an expiry in four units, and a later SET without one removes it', () =>
  talk(async ({ says, number }) => {
    const later = clock.now() + 3_600_000
    for (const option of [
      ['EX', '3600'],
      ['px', '3600000'],
      ['EXAT', String(Math.floor(later / 1000))],
      ['PXAT', String(later)]
    ]) {
      await says(['SET', 'k', 'v', ...option], '+OK\r\n')
      assert.ok(isAnHour(await number('TTL', 'k')), option[0])
    }
    await says(['GET', 'k'], bulk('v'))
    await says(['SET', 'k', 'w', 'KEEPTTL'], '+OK\r\n')
    assert.ok(isAnHour(await number('TTL', 'k')))
    await says(['SET', 'k', 'w'], '+OK\r\n')
    await says(['TTL', 'k'], ':-1\r\n')
    await says(['SET', 'other', 'w', 'KEEPTTL'], '+OK\r\n')
    await says(['TTL', 'other'], ':-1\r\n')
  }))

test('an expired value is absent for every command', () =>
  talk(async ({ says, ring }) => {
    await says(['SET', 'k', 'v', 'PX', '1'], '+OK\r\n')
    await new Promise((resolve) => setTimeout(resolve, 5))
    await says(['GET', 'k'], '$-1\r\n')
    await says(['EXISTS', 'k'], ':0\r\n')
    await says(['PTTL', 'k'], ':-2\r\n')
    await says(['EXPIRE', 'k', '10'], ':0\r\n')
    await says(['DEL', 'k'], ':0\r\n')
    assert.is(ring.map.size, 0)
  }))

test('the options of SET are checked before anything is written', () =>
  talk(async ({ says, ring }) => {
    for (const options of [
      ['EX'],
      ['EX', '10', 'PX', '10'],
      ['EX', '10', 'KEEPTTL'],
      ['KEEPTTL', 'EX', '10'],
      ['PERSIST'],
      ['10']
    ]) {
      await says(['SET', 'k', 'v', ...options], SYNTAX)
    }
    for (const amount of ['', 'x', '1.5', '+1', ' 1', '01', '-0', '9223372036854775808', '1'.repeat(1000)]) {
      await says(['SET', 'k', 'v', 'EX', amount], NO_INTEGER)
    }
    for (const amount of ['0', '-1', '9223372036854775807', '9223372036854776']) {
      await says(['SET', 'k', 'v', 'EX', amount], invalid('set'))
    }
    await says(['SET', 'k', 'v', 'PX', String(2 ** 48)], invalid('set'))
    await says(['SET', 'k', 'v', 'PXAT', String(2 ** 48)], invalid('set'))
    assert.equal(ring.asked, [])
    await says(['SET', 'k', 'v', 'PXAT', String(2 ** 48 - 1)], '+OK\r\n')
    await says(['PEXPIRETIME', 'k'], `:${2 ** 48 - 1}\r\n`)
  }))

test('SETEX and PSETEX are SET with an expiry', () =>
  talk(async ({ says, number, ring }) => {
    await says(['SETEX', 'k', '3600', 'v'], '+OK\r\n')
    assert.ok(isAnHour(await number('TTL', 'k')))
    await says(['PSETEX', 'k', '3600000', 'w'], '+OK\r\n')
    assert.ok(isAnHour((await number('PTTL', 'k')) / 1000))
    await says(['GET', 'k'], bulk('w'))
    ring.asked.length = 0
    await says(['SETEX', 'k', '0', 'v'], invalid('setex'))
    await says(['PSETEX', 'k', '-5', 'v'], invalid('psetex'))
    await says(['SETEX', 'k', 'v', '10'], NO_INTEGER)
    await says(['SETEX', 'k', '10'], "-ERR wrong number of arguments for 'setex' command\r\n")
    await says(['SETEX', 'k', '10', 'v'.repeat(1001)], '-ERR the value is longer than 1000 bytes\r\n')
    await says(['SETEX', 'k'.repeat(101), '10', 'v'], '-ERR the key is longer than 100 bytes\r\n')
    assert.equal(ring.asked, [])
  }))

test('EXPIRE and its variants change the expiry of an existing value, and nothing else', () =>
  talk(async ({ says, number }) => {
    await says(['EXPIRE', 'k', '3600'], ':0\r\n')
    await says(['SET', 'k', 'v'], '+OK\r\n')
    const later = clock.now() + 3_600_000
    for (const [command, time] of [
      ['EXPIRE', '3600'],
      ['PEXPIRE', '3600000'],
      ['EXPIREAT', String(Math.floor(later / 1000))],
      ['PEXPIREAT', String(later)]
    ]) {
      await says(['PERSIST', 'k'], command === 'EXPIRE' ? ':0\r\n' : ':1\r\n')
      await says([command!, 'k', time!], ':1\r\n')
      assert.ok(isAnHour(await number('TTL', 'k')), command)
    }
    await says(['PEXPIRETIME', 'k'], `:${later}\r\n`)
    await says(['EXPIRETIME', 'k'], `:${Math.floor((later + 500) / 1000)}\r\n`)
    await says(['GET', 'k'], bulk('v'))
    await says(['PERSIST', 'none'], ':0\r\n')
  }))

test('an expiry in the past deletes the value', () =>
  talk(async ({ says }) => {
    for (const args of [
      ['EXPIRE', 'k', '0'],
      ['EXPIRE', 'k', '-10'],
      ['PEXPIREAT', 'k', '1'],
      ['EXPIREAT', 'k', '-9223372036854775']
    ]) {
      await says(['SET', 'k', 'v'], '+OK\r\n')
      await says(args, ':1\r\n')
      await says(['GET', 'k'], '$-1\r\n')
    }
  }))

test('NX, XX, GT and LT are conditions of EXPIRE', () =>
  talk(async ({ says }) => {
    await says(['SET', 'k', 'v'], '+OK\r\n')
    await says(['EXPIRE', 'k', '100', 'XX'], ':0\r\n')
    await says(['EXPIRE', 'k', '100', 'gt'], ':0\r\n')
    await says(['EXPIRE', 'k', '100', 'LT'], ':1\r\n')
    await says(['EXPIRE', 'k', '100', 'NX'], ':0\r\n')
    await says(['EXPIRE', 'k', '50', 'GT'], ':0\r\n')
    await says(['EXPIRE', 'k', '200', 'LT'], ':0\r\n')
    await says(['EXPIRE', 'k', '200', 'XX', 'GT'], ':1\r\n')
    await says(['EXPIRE', 'k', '50', 'LT', 'XX'], ':1\r\n')
    await says(['TTL', 'k'], ':50\r\n')
    await says(['PERSIST', 'k'], ':1\r\n')
    await says(['EXPIRE', 'k', '10', 'NX'], ':1\r\n')
    const both = '-ERR NX and XX, GT or LT options at the same time are not compatible\r\n'
    for (const other of ['XX', 'GT', 'LT']) await says(['EXPIRE', 'k', '1', 'NX', other], both)
    await says(['EXPIRE', 'k', '1', 'GT', 'LT'], '-ERR GT and LT options at the same time are not compatible\r\n')
    await says(['EXPIRE', 'k', '1', 'soon'], '-ERR Unsupported option soon\r\n')
    await says(['EXPIRE', 'k', 'x'], NO_INTEGER)
    await says(['EXPIRE', 'k', '9223372036854775807'], invalid('expire'))
    await says(['EXPIRE', 'k', '-9223372036854775807'], invalid('expire'))
    await says(['PEXPIREAT', 'k', String(2 ** 48)], invalid('pexpireat'))
    await says(['EXPIRE', 'k'.repeat(101), '1'], '-ERR the key is longer than 100 bytes\r\n')
  }))

test('GETEX reads, and changes the expiry when told to', () =>
  talk(async ({ says, number, ring }) => {
    await says(['GETEX', 'k', 'EX', '10'], '$-1\r\n')
    await says(['SET', 'k', 'v'], '+OK\r\n')
    await says(['GETEX', 'k'], bulk('v'))
    assert.is(ring.asked.at(-1), 'find k quorum')
    await says(['GETEX', 'k', 'EX', '3600'], bulk('v'))
    assert.ok(isAnHour(await number('TTL', 'k')))
    await says(['GETEX', 'k', 'persist'], bulk('v'))
    await says(['TTL', 'k'], ':-1\r\n')
    await says(['GETEX', 'k', 'EX', '0'], invalid('getex'))
    await says(['GETEX', 'k', 'KEEPTTL'], SYNTAX)
    await says(['GETEX', 'k', 'PERSIST', 'EX', '1'], SYNTAX)
    await says(['GETEX', 'k', 'EX', '1', 'PERSIST'], SYNTAX)
    await says(['GETEX', 'k', 'PXAT', '1'], bulk('v'))
    await says(['GET', 'k'], '$-1\r\n')
  }))

test('errors of the ring are passed on, and never acknowledge a change', () =>
  talk(async ({ says, ring }) => {
    await says(['SET', 'k', 'v'], '+OK\r\n')
    ring.failure = 'NO_QUORUM'
    const line = '-CLUSTERDOWN too few owners answer; nothing was changed\r\n'
    for (const args of [
      ['SET', 'k', 'v', 'KEEPTTL'],
      ['SETEX', 'k', '1', 'v'],
      ['EXPIRE', 'k', '1'],
      ['TTL', 'k'],
      ['PERSIST', 'k'],
      ['GETEX', 'k'],
      ['GETEX', 'k', 'EX', '1']
    ]) {
      await says(args, line)
    }
  }))

test('in a pipeline a change of the expiry sees the writes before it, and undoes none after it', async () => {
  const ring = new FakeRing('manual')
  const order = new KeyOrder(ring)
  const seen: string[] = []
  const key = Buffer.from('k')
  const put = (value: string, expiresAtMs?: number) =>
    order.put(key, Buffer.from(value), 'one', () => seen.push(`put ${value}`), expiresAtMs)
  put('1')
  order.update(
    key,
    'one',
    (found) => ({ change: found && { value: found.value, expiresAtMs: 2 ** 48 - 1 }, result: found }),
    (found) => seen.push(`update of ${found && 'value' in found ? Buffer.from(found.value) : found}`)
  )
  order.find(key, 'one', (found) => seen.push(`find ${found && 'value' in found ? found.expiresAtMs : found}`))
  put('2', 2 ** 47)
  put('3')
  order.find(key, 'one', (found) => seen.push(`find ${found && 'value' in found ? found.expiresAtMs : found}`))
  while (ring.inFlight > 0) ring.release(1)
  assert.equal(seen, ['put 1', 'update of 1', `find ${2 ** 48 - 1}`, 'put 2', 'put 3', 'find undefined'])
  assert.is(ring.mostInFlight, 1)
  assert.is(Buffer.from(ring.map.get('k')!).toString(), '3')
})

test.run()
