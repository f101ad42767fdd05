// The RESP door with real clients: redis-cli, ioredis, node-redis, redis-benchmark.
import { spawn, spawnSync } from 'node:child_process'
import { Redis } from 'ioredis'
import { createClient, RESP_TYPES } from 'redis'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../lib/limits.js'
import { closeAll, FakeRing, openDoor } from './resp-support.js'

const PROCESS_MS_MAX = 30_000
const test = suite('resp clients')
test.after.each(closeAll)

async function withDoor(run: (port: number, ring: FakeRing) => Promise<void>, password?: string): Promise<void> {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring, { password })
  try {
    await run(port, ring)
  } finally {
    await door.stop()
  }
}

/** The output of a tool. Fails when the tool does not end well in time. */
function tool(name: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { timeout: PROCESS_MS_MAX })
    let printed = ''
    child.stdout.on('data', (chunk) => {
      printed += chunk
    })
    child.stderr.on('data', (chunk) => {
      printed += chunk
    })
    child.on('error', reject)
    child.on('close', (code) =>
      code === 0 ? resolve(printed) : reject(new Error(`${name} ended with ${code}: ${printed}`))
    )
    child.stdin.end(input)
  })
}

function isMissing(name: string): boolean {
  const missing = spawnSync(name, ['--version']).error !== undefined
  if (missing) console.log(`SKIPPED: ${name} is not on PATH`)
  return missing
}

/** The message of the error with which `request` fails. */
function refusalOf(request: Promise<unknown>): Promise<string> {
  return request.then(
    () => 'no error',
    (error) => error.message
  )
}

const BINARY = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255))
const LARGE = Buffer.alloc(MiB, 'L')

const EXPIRY_SESSION = "OK\n0\nERR invalid expire time in 'setex' command\n\n1\n-1\n"

for (const protocol of [2, 3] as const) {
  test(`ioredis works with RESP${protocol}`, () =>
    withDoor(async (port) => {
      const redis = new Redis({ port, host: '127.0.0.1', protocol, connectionName: 'me', retryStrategy: () => null })
      try {
        assert.is(await redis.set('a', '1'), 'OK')
        assert.is(await redis.get('a'), '1')
        assert.is(await redis.get('none'), null)
        assert.is(await redis.mset({ b: '2', c: '3' }), 'OK')
        assert.equal(await redis.mget('a', 'b', 'none', 'c'), ['1', '2', null, '3'])
        assert.is(await redis.exists('a', 'a', 'none'), 2)
        assert.is(await redis.del('a', 'b', 'none'), 2)
        assert.is(await redis.set('t', '1', 'EX', 100), 'OK')
        assert.ok([99, 100].includes(await redis.ttl('t')))
        assert.is(await redis.pexpire('t', 50_000, 'LT'), 1)
        assert.ok((await redis.pttl('t')) <= 50_000)
        assert.is(await redis.getex('t', 'PERSIST'), '1')
        assert.is(await redis.persist('t'), 0)
        assert.is(await redis.call('CLIENT', 'GETNAME'), 'me')
        await redis.set('binary', BINARY)
        assert.equal(await redis.getBuffer('binary'), BINARY)
        await redis.set('large', LARGE)
        assert.ok(LARGE.equals((await redis.getBuffer('large'))!))
        const pipeline = redis.pipeline()
        for (let i = 0; i < 60; i++) pipeline.set('p', `${i}`).get('p')
        const results = (await pipeline.exec())!
        for (let i = 0; i < 60; i++) assert.equal(results[2 * i + 1], [null, `${i}`])
        assert.match(await refusalOf(redis.call('NOPE')), /^ERR unknown command/)
        assert.is(await redis.ping(), 'PONG')
      } finally {
        await redis.quit()
      }
    }))

  test(`node-redis works with RESP${protocol}`, () =>
    withDoor(async (port) => {
      const redis = createClient({ url: `redis://default:secret@127.0.0.1:${port}`, RESP: protocol, name: 'me' })
      redis.on('error', (error) => assert.unreachable(String(error)))
      await redis.connect()
      try {
        assert.is(await redis.set('a', '1'), 'OK')
        assert.is(await redis.get('a'), '1')
        assert.is(await redis.get('none'), null)
        assert.is(await redis.mSet({ b: '2', c: '3' }), 'OK')
        assert.equal(await redis.mGet(['a', 'b', 'none', 'c']), ['1', '2', null, '3'])
        assert.is(await redis.exists(['a', 'a', 'none']), 2)
        assert.is(await redis.del(['a', 'b', 'none']), 2)
        assert.is(await redis.set('t', '1', { expiration: { type: 'EX', value: 100 } }), 'OK')
        assert.ok([99, 100].includes(await redis.ttl('t')))
        assert.is(await redis.pExpire('t', 50_000, 'LT'), 1)
        assert.ok((await redis.pTTL('t')) <= 50_000)
        assert.is(await redis.getEx('t', { type: 'EX', value: 10 }), '1')
        assert.is(await redis.persist('t'), 1)
        assert.is(await redis.expireTime('t'), -1)
        assert.is(await redis.clientGetName(), 'me')
        const buffers = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
        await redis.set('binary', BINARY)
        assert.equal(await buffers.get('binary'), BINARY)
        await redis.set('large', LARGE)
        assert.ok(LARGE.equals((await buffers.get('large')) as unknown as Buffer))
        const replies = await Promise.all(
          Array.from({ length: 60 }, (_, i) => [redis.set('p', `${i}`), redis.get('p')]).flat()
        )
        for (let i = 0; i < 60; i++) assert.is(replies[2 * i + 1], `${i}`)
        assert.equal(await redis.configGet('save').then((each) => ({ ...each })), { save: '' })
        assert.match(await redis.info(), /loading:0/)
        assert.is(await redis.set('x', '1', { NX: true }), 'OK')
        assert.is(await redis.set('x', '2', { NX: true }), null)
        assert.is(await redis.incrBy('x', 41), 42)
        assert.match(await refusalOf(redis.incr('binary')), /value is not an integer or out of range/)
        assert.is(await redis.ping(), 'PONG')
      } finally {
        await redis.close()
      }
    }, 'secret'))
}

test('redis-cli works, interactive and with RESP3', async () => {
  if (isMissing('redis-cli')) return
  await withDoor(async (port) => {
    const cli = (input: string, ...args: string[]) => tool('redis-cli', ['-p', String(port), ...args], input)
    assert.is(await cli('', 'set', 'a', 'hello world'), 'OK\n')
    assert.is(await cli('', '-3', 'get', 'a'), 'hello world\n')
    assert.is(
      await cli('MSET b 1 c 2\nMGET a b none\nDEL a b\nEXISTS c\nSELECT 1\n'),
      'OK\nhello world\n1\n\n2\n1\nERR DB index is out of range\n\n'
    )
    assert.is(await cli('SET t 1 EX 100\nEXPIRE t 50 GT\nSETEX t 0 v\nPERSIST t\nTTL t\n'), EXPIRY_SESSION)
    assert.match(await cli('', 'info', 'server'), /ringd_version:0\.0\.1-test/)
    assert.match(await cli('', 'nope'), /^ERR unknown command 'nope'/)
    assert.match(await cli('SET p 1\r\nGET p\r\n', '--pipe'), /errors: 0, replies: 2/)
  })
})

test('redis-cli authenticates with a password', async () => {
  if (isMissing('redis-cli')) return
  await withDoor(async (port) => {
    assert.is(await tool('redis-cli', ['-p', String(port), '-a', 'secret', '--no-auth-warning', 'ping']), 'PONG\n')
    assert.match(await tool('redis-cli', ['-p', String(port), 'ping']), /NOAUTH/)
  }, 'secret')
})

test('redis-benchmark completes, with and without pipelining', async () => {
  if (isMissing('redis-benchmark')) return
  const { door, port } = await openDoor(new FakeRing())
  for (const depth of ['1', '16']) {
    const args = [
      '-p',
      String(port),
      '-t',
      'set,get,mset,ping',
      '-n',
      '2000',
      '-c',
      '10',
      '-P',
      depth,
      '-r',
      '1000',
      '-q'
    ]
    const printed = await tool('redis-benchmark', args)
    assert.match(printed, /SET: [\d.]+ requests per second/)
    assert.match(printed, /MSET \(10 keys\): [\d.]+ requests per second/)
    assert.not.match(printed, /error/i)
  }
  await door.stop()
})

test.run()
