// The commands that change a key by what it holds, as clients see them, on a ring that is a Map.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { clock, FakeRing, openDoor, RawClient, request } from './resp-support.js'

const test = suite('resp updates')

interface Talk {
  readonly ring: FakeRing
  says(args: string[], expected: string): Promise<void>
}

async function talk(script: (talk: Talk) => Promise<void>): Promise<void> {
  const ring = new FakeRing()
  const { door, port } = await openDoor(ring, {})
  const client = new RawClient(port)
  try {
    await script({
      ring,
      says: async (args, expected) => {
        client.send(request(...args))
        assert.is(await client.expect(expected), expected, args.join(' '))
      }
    })
  } finally {
    await client.close()
    await door.stop()
  }
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`
}

test('counters count, in one operation of the ring each', () =>
  talk(async ({ says, ring }) => {
    await says(['INCR', 'n'], ':1\r\n')
    await says(['INCRBY', 'n', '41'], ':42\r\n')
    await says(['DECR', 'n'], ':41\r\n')
    await says(['DECRBY', 'n', '-1'], ':42\r\n')
    await says(['GET', 'n'], bulk('42'))
    assert.equal(ring.asked.slice(0, 4), Array(4).fill('update n quorum'))
    await says(['SET', 'n', '9223372036854775806'], '+OK\r\n')
    await says(['INCR', 'n'], ':9223372036854775807\r\n')
    await says(['INCR', 'n'], '-ERR increment or decrement would overflow\r\n')
    await says(['DECRBY', 'n', '-9223372036854775808'], '-ERR decrement would overflow\r\n')
    await says(['INCRBY', 'n', '1.5'], '-ERR value is not an integer or out of range\r\n')
    await says(['SET', 'n', ' 1'], '+OK\r\n')
    await says(['INCR', 'n'], '-ERR value is not an integer or out of range\r\n')
    await says(['GET', 'n'], bulk(' 1'))
    await says(['INCR'], "-ERR wrong number of arguments for 'incr' command\r\n")
  }))

test('a counter keeps its expiry', () =>
  talk(async ({ says }) => {
    await says(['SET', 'n', '1', 'EXAT', '4000000000'], '+OK\r\n')
    await says(['INCR', 'n'], ':2\r\n')
    await says(['EXPIRETIME', 'n'], ':4000000000\r\n')
  }))

test('SET writes under its conditions, and tells the value before', () =>
  talk(async ({ says }) => {
    await says(['SET', 'k', 'v', 'XX'], '$-1\r\n')
    await says(['GET', 'k'], '$-1\r\n')
    await says(['SET', 'k', 'v', 'NX'], '+OK\r\n')
    await says(['SET', 'k', 'w', 'NX'], '$-1\r\n')
    await says(['SET', 'k', 'w', 'NX', 'GET'], bulk('v'))
    await says(['SET', 'k', 'w', 'XX', 'GET', 'EXAT', '4000000000'], bulk('v'))
    await says(['SET', 'k', 'x', 'GET', 'KEEPTTL'], bulk('w'))
    await says(['EXPIRETIME', 'k'], ':4000000000\r\n')
    await says(['SET', 'k', 'y', 'GET'], bulk('x'))
    await says(['EXPIRETIME', 'k'], ':-1\r\n')
    await says(['SET', 'none', 'y', 'GET'], '$-1\r\n')
    await says(['GET', 'none'], bulk('y'))
  }))

test('a lock with an expiry is free again afterwards', () =>
  talk(async ({ says, ring }) => {
    await says(['SET', 'lock', 'me', 'NX', 'PX', '10000'], '+OK\r\n')
    await says(['SET', 'lock', 'you', 'PX', '10000', 'NX'], '$-1\r\n')
    ring.expiries.set('lock', clock.now())
    await says(['SET', 'lock', 'you', 'NX', 'PX', '10000'], '+OK\r\n')
    await says(['SET', 'lock', 'you', 'NX', 'PX', '0'], "-ERR invalid expire time in 'set' command\r\n")
  }))

test('SETNX, GETSET, GETDEL and APPEND answer as in Redis', () =>
  talk(async ({ says }) => {
    await says(['SETNX', 'k', 'v'], ':1\r\n')
    await says(['SETNX', 'k', 'w'], ':0\r\n')
    await says(['GETSET', 'k', 'w'], bulk('v'))
    await says(['GETSET', 'none', 'x'], '$-1\r\n')
    await says(['GETDEL', 'k'], bulk('w'))
    await says(['GETDEL', 'k'], '$-1\r\n')
    await says(['APPEND', 'k', 'ab'], ':2\r\n')
    await says(['APPEND', 'k', 'cd'], ':4\r\n')
    await says(['GET', 'k'], bulk('abcd'))
  }))

test('a value that would be too long is not appended to', () =>
  talk(async ({ says, ring }) => {
    const half = 'x'.repeat(5 * 2 ** 20)
    await says(['SET', 'k', half], '+OK\r\n')
    await says(['APPEND', 'k', half], '-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n')
    assert.is(ring.map.get('k')!.length, half.length)
  }))

test.run()
