// Sessions of Redis clients with mistakes in their structure, sent to a real door for a few seconds: it stays up, holds
// little, and serves a good client beside them. A failure prints the seed that repeats it.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB, MiB } from '../../lib/limits.js'
import { bulkReply, closeAll, FakeRing, openDoor, RawClient, request, until } from './resp-support.js'

const test = suite('resp fuzz')
test.after.each(closeAll)

const RUN_MS = 4000
const WAIT_MS = 2000
const WORDS = [
  'GET SET MGET MSET DEL EXISTS STRLEN TYPE EXPIRE TTL PERSIST GETEX SETEX PING ECHO HELLO AUTH RESET SELECT',
  'CLIENT SETNAME SETINFO GETNAME ID COMMAND DOCS INFO COUNT CONFIG DBSIZE QUIT EX PX NX XX KEEPTTL 0 1 2 3 -1',
  'default secret k0 k1 k2 * ? [a-z] [ \\ 9999999999999999999 lib-name lib-ver save'
]
  .join(' ')
  .split(' ')

/** Numbers from a seed, from 0 to below `limit`. Source: mulberry32. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % limit
  }
}

type Random = (limit: number) => number

function argument(random: Random): Buffer {
  const kind = random(10)
  if (kind < 7) return Buffer.from(WORDS[random(WORDS.length)]!)
  if (kind < 9) return Buffer.alloc(random(300), random(256))
  return Buffer.alloc(random(200 * KiB), 120)
}

/** One request, mostly well formed: each mistake is one that a parser may believe. */
function mistaken(random: Random): Buffer {
  const args = Array.from({ length: 1 + random(8) }, () => argument(random))
  const sound = request(...args)
  switch (random(8)) {
    case 0:
      return Buffer.concat([Buffer.from(`*${args.length + random(3) - 1}\r\n`), sound.subarray(4)])
    case 1: {
      const lengths = ['-1', '0', `${random(9)}`, '16385', '9000000', '99999999999', '03', '+3', '']
      return Buffer.concat([Buffer.from(`*2\r\n$${lengths[random(lengths.length)]}\r\n`), args[0]!])
    }
    case 2:
      return sound.subarray(0, random(sound.length))
    case 3: {
      const changed = Buffer.from(sound)
      changed[random(changed.length)] = random(256)
      return changed
    }
    case 4:
      return Buffer.from(`${args.map((arg) => `"${arg.toString('latin1', 0, 50)}'`).join(' ')}\r\n`, 'latin1')
    case 5:
      return Buffer.from(`*${[131072, 131073, -5, 0, 11][random(5)]}\r\n`)
    default:
      return sound
  }
}

async function fuzz(password: string | undefined): Promise<number> {
  const ring = new FakeRing('random')
  const { door, port } = await openDoor(ring, { ...(password !== undefined && { password }), maxHeldBytes: 16 * MiB })
  const good = new RawClient(port)
  if (password !== undefined) {
    good.send(request('AUTH', password))
    await good.expect('+OK\r\n')
  }
  const first = Date.now()
  const end = performance.now() + RUN_MS
  let sessions = 0
  for (; performance.now() < end; sessions++) {
    const seed = first + sessions
    const random = randomFrom(seed)
    const client = new RawClient(port, random(4) > 0)
    if (password !== undefined && random(2) === 0) client.send(request('AUTH', password))
    for (let sent = 1 + random(12); sent > 0; sent--) client.send(mistaken(random))
    good.send(request('SET', 'good', `${seed}`), request('GET', 'good'))
    const expected = `+OK\r\n${bulkReply(`${seed}`)}`
    assert.is(await good.expect(expected), expected, `seed ${seed}`)
    assert.ok(door.stats().bytesHeld < 40 * MiB, `seed ${seed}: ${door.stats().bytesHeld} held`)
    // Half of them leave at once, and half when the door has had time to answer.
    const leave = () => client.socket.destroy()
    if (random(2) === 0) leave()
    else setTimeout(leave, random(20))
  }
  await good.close()
  const late = performance.now() + WAIT_MS
  await until(() => (door.stats().connections === 0 && ring.inFlight === 0) || performance.now() > late, 'all left')
  assert.is(door.stats().connections, 0)
  assert.is(door.stats().bytesHeld, 0)
  return sessions
}

test('mistakes of clients without a password disturb nobody', async () => {
  assert.ok((await fuzz(undefined)) > 50)
})

test('mistakes before and after the login disturb nobody', async () => {
  assert.ok((await fuzz('secret')) > 50)
})

test.run()
