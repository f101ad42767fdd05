// Every command and every error of the RESP door, in the words of Redis, over a real socket.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { matchGlob } from '../../daemon/doors/resp/glob.js'
import type { RespDoorOptions } from '../../daemon/doors/resp/server.js'
import { bulkReply as bulk, closeAll, FakeRing, openDoor, RawClient, request } from './resp-support.js'

const test = suite('resp commands')
test.after.each(closeAll)

interface Talk {
  readonly ring: FakeRing
  /** Sends one command and compares the whole reply. */
  says(args: readonly string[], reply: string): Promise<void>
  text(...args: string[]): Promise<string>
}

async function talk(run: (talk: Talk) => Promise<void>, options: Partial<RespDoorOptions> = {}): Promise<void> {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring, options)
  const client = new RawClient(port)
  try {
    await run({
      ring,
      async says(args, reply) {
        client.send(request(...args))
        assert.is(await client.expect(reply), reply, args.join(' '))
      },
      async text(...args) {
        client.send(request(...args), request('ECHO', 'the end'))
        const end = bulk('the end')
        let text = ''
        while (!text.endsWith(end)) text += await client.expect('x')
        return text.slice(0, -end.length)
      }
    })
  } finally {
    await client.close()
    await door.stop()
  }
}

test('values are set, read, measured and deleted', () =>
  talk(async ({ says, ring }) => {
    await says(['GET', 'k'], '$-1\r\n')
    await says(['SET', 'k', 'v\r\n\xff'], '+OK\r\n')
    await says(['GeT', 'k'], bulk('v\r\n\xff'))
    await says(['STRLEN', 'k'], ':4\r\n')
    await says(['STRLEN', 'none'], ':0\r\n')
    await says(['TYPE', 'k'], '+string\r\n')
    await says(['TYPE', 'none'], '+none\r\n')
    await says(['EXISTS', 'k', 'k', 'none'], ':2\r\n')
    await says(['MSET', 'a', '1', 'b', '', 'a', '2'], '+OK\r\n')
    await says(['MGET', 'a', 'none', 'b', 'a'], `*4\r\n${bulk('2')}$-1\r\n${bulk('')}${bulk('2')}`)
    await says(['DEL', 'a', 'a', 'none', 'k'], ':2\r\n')
    await says(['UNLINK', 'b'], ':1\r\n')
    await says(['DBSIZE'], ':7\r\n')
    assert.is(ring.map.size, 0)
    assert.ok(ring.asked.every((line) => line.endsWith('quorum')))
  }))

test('reads and writes use the consistency of the door', () =>
  talk(
    async ({ says, ring }) => {
      await says(['MSET', 'a', '1'], '+OK\r\n')
      await says(['EXISTS', 'a'], ':1\r\n')
      await says(['DEL', 'a'], ':1\r\n')
      assert.equal(ring.asked, ['put a all', 'get a one', 'delete a all'])
    },
    { consistency: { read: 'one', write: 'all' } }
  ))

test('options of SET that exclude each other are refused, and nothing is written', () =>
  talk(async ({ says, ring }) => {
    await says(['SET', 'k', 'v', 'NX', 'XX'], '-ERR syntax error\r\n')
    await says(['SET', 'k', 'v', 'XX', 'GET', 'NX'], '-ERR syntax error\r\n')
    await says(['SET', 'k', 'v', 'NX', 'FOO'], '-ERR syntax error\r\n')
    assert.equal(ring.asked, [])
  }))

test('unknown commands, subcommands and wrong numbers of arguments get the errors of Redis', () =>
  talk(async ({ says }) => {
    await says(
      ['foo', 'a', 'b c', 'd\r\n'],
      "-ERR unknown command 'foo', with args beginning with: 'a' 'b c' 'd  ' \r\n"
    )
    await says(['FOO'], "-ERR unknown command 'FOO', with args beginning with: \r\n")
    const args = `'${'x'.repeat(100)}' '${'y'.repeat(25)}' `
    await says(
      ['f'.repeat(200), 'x'.repeat(100), 'y'.repeat(100), 'z'],
      `-ERR unknown command '${'f'.repeat(128)}', with args beginning with: ${args}\r\n`
    )
    for (const args of [
      ['get'],
      ['GET', 'a', 'b'],
      ['set', 'a'],
      ['mset', 'a', 'b', 'c'],
      ['ping', 'a', 'b'],
      ['client']
    ]) {
      await says(args, `-ERR wrong number of arguments for '${args[0]!.toLowerCase()}' command\r\n`)
    }
    await says(['CLIENT', 'SETNAME'], "-ERR wrong number of arguments for 'client|setname' command\r\n")
    await says(
      ['CLIENT', 'MAINT_NOTIFICATIONS', 'ON'],
      "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.\r\n"
    )
    await says(['config', 'set', 'a', 'b'], "-ERR unknown subcommand 'set'. Try CONFIG HELP.\r\n")
    await says([''], "-ERR unknown command '', with args beginning with: \r\n")
  }))

test('errors of the ring become the error lines of their table', () =>
  talk(async ({ says, ring }) => {
    ring.failure = 'NO_QUORUM'
    const line = '-CLUSTERDOWN too few owners answer; nothing was changed\r\n'
    for (const args of [
      ['GET', 'a'],
      ['SET', 'a', 'b'],
      ['MGET', 'a', 'b'],
      ['MSET', 'a', 'b'],
      ['DEL', 'a'],
      ['EXISTS', 'a'],
      ['TYPE', 'a']
    ]) {
      await says(args, line)
    }
    ring.failure = 'UNKNOWN_OUTCOME'
    const unknown =
      '-UNKNOWN the operation may have taken effect, may still do so, or may never; read the key to know\r\n'
    for (const args of [
      ['SET', 'a', 'b'],
      ['INCR', 'a'],
      ['SET', 'a', 'b', 'NX']
    ]) {
      await says(args, unknown)
    }
    ring.failure = 'NOT_SERVING'
    await says(['GET', 'a'], '-LOADING this peer is not a member of a ring yet, or is stopping\r\n')
    ring.failure = undefined
    await says(['GET', 'b'], '$-1\r\n')
  }))

test('keys and values above their bounds get a clear error, and the connection stays open', () =>
  talk(
    async ({ says, ring }) => {
      const long = 'k'.repeat(101)
      for (const args of [
        ['GET', long],
        ['SET', long, 'v'],
        ['MGET', 'a', long],
        ['MSET', 'a', 'b', long, ''],
        ['DEL', long],
        ['TYPE', long]
      ]) {
        await says(args, '-ERR the key is longer than 100 bytes\r\n')
      }
      await says(['SET', 'k', 'v'.repeat(1001)], '-ERR the value is longer than 1000 bytes\r\n')
      await says(['MSET', 'k', 'v'.repeat(1001)], '-ERR the value is longer than 1000 bytes\r\n')
      await says(['SET', long.slice(1), 'v'.repeat(1000)], '+OK\r\n')
      assert.is(ring.asked.length, 1)
    },
    { maxKeyBytes: 100, maxValueBytes: 1000 }
  ))

test('a connection can be pinged, named, reset and identified', () =>
  talk(async ({ says, text }) => {
    await says(['PING'], '+PONG\r\n')
    await says(['PING', 'hi'], bulk('hi'))
    await says(['ECHO', 'x'], bulk('x'))
    await says(['SELECT', '0'], '+OK\r\n')
    await says(['SELECT', '1'], '-ERR DB index is out of range\r\n')
    await says(['SELECT', 'x'], '-ERR value is not an integer or out of range\r\n')
    await says(['CLIENT', 'ID'], ':1\r\n')
    await says(['CLIENT', 'GETNAME'], '$-1\r\n')
    await says(
      ['CLIENT', 'SETNAME', 'a b'],
      '-ERR Client names cannot contain spaces, newlines or special characters.\r\n'
    )
    await says(['CLIENT', 'SETNAME', 'me'], '+OK\r\n')
    await says(['CLIENT', 'SETINFO', 'LIB-NAME', 'x'], '+OK\r\n')
    await says(
      ['CLIENT', 'SETINFO', 'LIB-NAME', 'x y'],
      '-ERR lib-name cannot contain spaces, newlines or special characters.\r\n'
    )
    await says(['CLIENT', 'SETINFO', 'color', 'red'], "-ERR Unrecognized option 'color'\r\n")
    await says(['CLIENT', 'GETNAME'], bulk('me'))
    assert.match(await text('CLIENT', 'HELP'), /^\*9\r\n\+CLIENT <subcommand>/)
    await says(['RESET'], '+RESET\r\n')
    await says(['CLIENT', 'GETNAME'], '$-1\r\n')
  }))

test('HELLO changes the protocol only when all its arguments are right', () =>
  talk(async ({ says, text }) => {
    await says(['HELLO', '4'], '-NOPROTO unsupported protocol version\r\n')
    await says(['HELLO', 'x'], '-ERR Protocol version is not an integer or out of range\r\n')
    await says(['HELLO', '3', 'FOO'], "-ERR Syntax error in HELLO option 'FOO'\r\n")
    await says(['HELLO', '3', 'AUTH', 'a'], "-ERR Syntax error in HELLO option 'AUTH'\r\n")
    await says(['HELLO', '3', 'AUTH', 'joe', 'x'], '-WRONGPASS invalid username-password pair or user is disabled.\r\n')
    await says(['GET', 'none'], '$-1\r\n')
    const hello = (proto: number) =>
      `${bulk('server')}${bulk('redis')}${bulk('version')}${bulk('7.0.15')}` +
      `${bulk('proto')}:${proto}\r\n${bulk('id')}:1\r\n` +
      `${bulk('mode')}${bulk('standalone')}${bulk('role')}${bulk('master')}${bulk('modules')}*0\r\n`
    await says(['HELLO'], `*14\r\n${hello(2)}`)
    await says(['HELLO', '3', 'SETNAME', 'me', 'AUTH', 'default', 'any'], `%7\r\n${hello(3)}`)
    await says(['CLIENT', 'GETNAME'], bulk('me'))
    await says(['GET', 'none'], '_\r\n')
    await says(['MGET', 'none'], '*1\r\n_\r\n')
    await says(['CONFIG', 'GET', 'save'], `%1\r\n${bulk('save')}${bulk('')}`)
    assert.match(await text('INFO', 'cluster'), /^=\d+\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n$/)
    await says(['HELLO', '2'], `*14\r\n${hello(2)}`)
    await says(['GET', 'none'], '$-1\r\n')
  }))

test('a password is required before any other command, with the errors of Redis', () =>
  talk(
    async ({ says, ring }) => {
      const noAuth = '-NOAUTH Authentication required.\r\n'
      const wrong = '-WRONGPASS invalid username-password pair or user is disabled.\r\n'
      await says(['GET', 'a'], noAuth)
      await says(['PING'], noAuth)
      await says(['GET'], "-ERR wrong number of arguments for 'get' command\r\n")
      await says(['AUTH', 'nope'], wrong)
      await says(['AUTH', 'joe', 'secret'], wrong)
      await says(['HELLO', '3', 'AUTH', 'default', 'nope'], wrong)
      await says(
        ['HELLO', '3'],
        '-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> ' +
          'AUTH <user> <pass> ' +
          'option can be used to authenticate the client and select the RESP protocol version at the same time\r\n'
      )
      assert.equal(ring.asked, [])
      await says(['AUTH', 'secret'], '+OK\r\n')
      await says(['GET', 'a'], '$-1\r\n')
      await says(['RESET'], '+RESET\r\n')
      await says(['GET', 'a'], noAuth)
      await says(['AUTH', 'default', 'secret'], '+OK\r\n')
      await says(['AUTH', 'a', 'b', 'c'], '-ERR syntax error\r\n')
    },
    { password: 'secret' }
  ))

test('AUTH without a configured password gets an error', () =>
  talk(({ says }) =>
    says(
      ['AUTH', 'x'],
      '-ERR AUTH <password> called without any password configured for the default user. ' +
        'Are you sure your configuration is correct?\r\n'
    )
  ))

test('INFO has the fields that tools read, by section', () =>
  talk(async ({ text }) => {
    const all = await text('INFO')
    for (const line of [
      'redis_version:7.0.15',
      'loading:0',
      'role:master',
      'cluster_enabled:0',
      'db0:keys=7',
      'run_id:abab'
    ]) {
      assert.ok(all.includes(`\r\n${line}`), line)
    }
    assert.match(await text('INFO', 'Clients'), /^\$\d+\r\n# Clients\r\nconnected_clients:1\r\n/)
    assert.not.match(await text('INFO', 'clients', 'memory'), /# Server/)
    assert.is(await text('INFO', 'nosuch'), bulk(''))
    assert.is(await text('INFO', 'everything').then((each) => each.match(/# \w+/g)?.length), 8)
  }))

test('CONFIG GET answers patterns of names', () =>
  talk(async ({ says, text }) => {
    await says(['CONFIG', 'GET', 'save'], `*2\r\n${bulk('save')}${bulk('')}`)
    await says(['CONFIG', 'GET', 'nosuch'], '*0\r\n')
    await says(['CONFIG', 'GET', 'append[n-p]*'], `*2\r\n${bulk('appendonly')}${bulk('yes')}`)
    assert.match(await text('CONFIG', 'GET', 'SAVE', 'max*'), /maxclients[\s\S]*maxmemory[\s\S]*save/)
    assert.not.match(await text('CONFIG', 'GET', '*'), /pass/)
  }))

test('COMMAND lists and counts the table, and describes the named commands', () =>
  talk(async ({ says, text }) => {
    const count = Number((await text('COMMAND', 'COUNT')).slice(1))
    assert.match(await text('COMMAND'), new RegExp(`^\\*${count}\\r\\n\\*10\\r\\n`))
    await says(
      ['COMMAND', 'INFO', 'MGET', 'nosuch'],
      `*2\r\n*10\r\n${bulk('mget')}:-2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:-1\r\n:1\r\n*0\r\n*0\r\n` +
        `*0\r\n*0\r\n$-1\r\n`
    )
    assert.match(await text('COMMAND', 'DOCS', 'get', 'nosuch'), /^\*2\r\n\$3\r\nget\r\n\*6\r\n\$7\r\nsummary\r\n/)
    assert.match(await text('COMMAND', 'DOCS'), /client\|setname/)
  }))

test('globs match as in Redis, in bounded time', () => {
  const matching: ReadonlyArray<readonly [string, string]> = [
    ['*', ''],
    ['a*c', 'abbc'],
    ['a?c', 'aXc'],
    ['[^b]x', 'ax'],
    ['[z-a]', 'm'],
    ['\\*', '*'],
    ['SAVE', 'save'],
    ['a**', 'a']
  ]
  for (const [pattern, text] of matching) assert.ok(matchGlob(pattern, text), pattern)
  const others: ReadonlyArray<readonly [string, string]> = [
    ['', 'a'],
    ['a*c', 'abbd'],
    ['?', ''],
    ['[^b]', 'b'],
    ['\\*', 'a'],
    ['[', 'a']
  ]
  for (const [pattern, text] of others) assert.not.ok(matchGlob(pattern, text), pattern)
  assert.not.ok(matchGlob(`${'a*'.repeat(50)}b`, 'a'.repeat(2000)))
})

test.run()
