// Everything that can be given wrongly to a running ring: it says so in one clear line, and the ring goes on unharmed.
// time limit: 300 s
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ErrorCode } from '../../lib/errors.js'
import { Cluster, type Daemon } from './cluster.js'
import { type Ended, ringd } from './command.js'

const bad = suite('bad input')
const KEYS = 200
const SOCKET_MS_MAX = 30_000
const cluster = new Cluster()
let ring: Daemon[] = []
let pids: (number | undefined)[] = []

/** A test that shows the logs when it fails, and asks after the ring in any case. */
function check(name: string, body: () => Promise<void>): void {
  bad(name, async () => {
    try {
      await body()
      await assertUnharmed()
    } catch (thrown) {
      cluster.printLogs()
      throw thrown
    }
  })
}

/** The same daemons as ever hold everything that was put into the ring, and nothing else under these keys. */
async function assertUnharmed(): Promise<void> {
  assert.equal(
    ring.map(({ pid, alive }) => alive && pid),
    pids
  )
  const keys = Array.from({ length: KEYS }, (_, index) => `key${index}`)
  for (const daemon of ring) {
    const client = cluster.redis(daemon)
    const values = await client.mget(keys)
    client.disconnect()
    assert.equal(
      values,
      keys.map((key) => `value of ${key}`)
    )
  }
}

bad.before(async () => {
  try {
    ring = await cluster.startThree()
    pids = ring.map(({ pid }) => pid)
    const client = cluster.redis(ring[0]!)
    for (let index = 0; index < KEYS; index++) await client.set(`key${index}`, `value of key${index}`)
  } catch (thrown) {
    // The framework drops what is thrown here.
    console.error(thrown)
    cluster.printLogs()
  }
})

bad.after(() => cluster.end())

/** Said `words` in one line on stderr and nothing else, but perhaps where to find help. */
function assertRefused({ code, stdout, stderr }: Ended, expected: number, words: RegExp): void {
  assert.is(code, expected, stderr)
  assert.is(stdout, '')
  const [line = '', ...more] = stderr.replace('(ringd --help shows how it is used)\n', '').trimEnd().split('\n')
  assert.match(line, words)
  assert.equal(more, [])
}

/** Gave up with one line in its log that says why, without a stack. */
function assertGaveUp({ code, stderr }: Ended, expected: number, error: ErrorCode, words: RegExp): void {
  assert.is(code, expected, stderr)
  const lines = stderr.trimEnd().split('\n')
  const fatal = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'fatal')
  assert.is(fatal.length, 1, stderr)
  assert.is(fatal[0].error.code, error)
  assert.match(fatal[0].error.message, words)
  assert.not.match(stderr, /\n\s*at |\\n\s*at /)
}

const FREE = ['--listen', '/ip4/127.0.0.1/tcp/0', '--resp', '127.0.0.1:0'] as const

function startOn(data: string, ...flags: readonly string[]): Promise<Ended> {
  return ringd(['daemon', '--data', data, ...FREE, ...flags])
}

function newData(name: string): string {
  return join(cluster.folder, name)
}

/** Names and contents of everything below `folder`. */
function fingerprint(folder: string): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name)
    hash.update(`${name}\0`).update(statSync(path).isFile() ? readFileSync(path) : '')
  }
  return hash.digest('hex')
}

/** Sends `bytes`, resolves with what came back until the other end closed. */
function sendRaw({ host, port }: { readonly host: string; readonly port: number }, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, host, () => socket.write(bytes))
    socket.setTimeout(SOCKET_MS_MAX, () => socket.destroy(new Error('the daemon neither answered nor closed')))
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // PurgeParticipant while we still send is a fine answer to garbage.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(received))
  })
}

function peerPort(daemon: Daemon): { readonly host: string; readonly port: number } {
  const [, , host = '', , port] = daemon.address.split('/')
  return { host, port: Number(port) }
}

check('flags that make no sense end with 2', async () => {
  const data = newData('never-made')
  assertRefused(await startOn(data, '--bogus'), 2, /^ringd: unknown option '--bogus'/)
  assertRefused(await startOn(data, '--weight', '0'), 2, /^ringd: --weight.*\(BAD_CONFIG\)$/)
  assertRefused(await startOn(data, '--replicas', 'three'), 2, /^ringd: --replicas.*\(BAD_CONFIG\)$/)
  assertRefused(await startOn(data, '--log-level', 'loud'), 2, /^ringd: --log-level.*\(BAD_CONFIG\)$/)
  assertRefused(await ringd(['daemon']), 2, /^ringd: --data is missing.*\(BAD_CONFIG\)$/)
  assert.not.ok(readdirSync(cluster.folder).includes('never-made'))
})

check('malformed addresses end with 2, for daemons and for commands', async () => {
  const data = newData('never-made')
  for (const address of ['127.0.0.1:4710', '/ip4/127.0.0.1/tcp/65536', '/ip4/1.2.3/tcp/1', '/ip4/127.0.0.1', 'x']) {
    assertRefused(await startOn(data, '--join', address), 2, /^ringd: --join.*\(BAD_ADDRESS\)$/)
  }
  assertRefused(await startOn(data, '--listen', '/ip4/127.0.0.1/udp/1'), 2, /^ringd: --listen.*\(BAD_ADDRESS\)$/)
  assertRefused(await ringd(['get', 'k', '--peer', '/ip4/1.2.3/tcp/1']), 2, /^ringd: .*\(BAD_ADDRESS\)$/)
  assert.not.ok(readdirSync(cluster.folder).includes('never-made'))
})

check('a peer that cannot be reached ends a command with 4, and a joining daemon waits for it', async () => {
  const nobody = '/ip4/127.0.0.1/tcp/1'
  assertRefused(await ringd(['get', 'k', '--peer', nobody]), 4, /^ringd: .*\(UNREACHABLE\)$/)
  const stranger = `${ring[0]!.address.split('/p2p/')[0]}/p2p/${ring[1]!.info.peerId}`
  assertRefused(await ringd(['get', 'k', '--peer', stranger]), 4, /^ringd: .*\(UNREACHABLE\)$/)
  const waiting = cluster.daemon('waiting')
  waiting.launch({ flags: ['--join', nobody] })
  await waiting.logs(/"warn".*"address":"\/ip4\/127.0.0.1\/tcp\/1".*trying again/)
  assert.ok(waiting.alive)
  await waiting.stop()
})

check('a data directory in use ends with 6', async () => {
  const before = await ring[0]!.status()
  const words = /^another process uses /
  assertGaveUp(await startOn(ring[0]!.data), 6, 'DATA_LOCKED', words)
  assertGaveUp(await startOn(ring[0]!.data, '--join', ring[1]!.address), 6, 'DATA_LOCKED', words)
  assert.is((await ring[0]!.status()).view, before.view)
})

check('a directory of somebody else ends with 6, and nothing in it is touched', async () => {
  const foreign = newData('foreign')
  mkdirSync(join(foreign, 'store'), { recursive: true })
  writeFileSync(join(foreign, 'letter.txt'), 'dear reader')
  writeFileSync(join(foreign, 'store', 'CURRENT'), 'MANIFEST-000001\n')
  const before = fingerprint(foreign)
  assertGaveUp(await startOn(foreign), 6, 'DATA_FOREIGN', /is not a data directory of ringd/)
  assert.is(fingerprint(foreign), before)
  const file = newData('file')
  writeFileSync(file, 'no directory')
  assertGaveUp(await startOn(file), 2, 'BAD_CONFIG', /is not a directory/)
})

check('data of a newer ringd and damaged data end with 6, and stay as they are', async () => {
  const other = await cluster.daemon('other').start()
  await other.stop()
  const newer = cluster.copyOf(other, 'newer')
  const marker = join(newer.data, 'ringd.json')
  writeFileSync(marker, JSON.stringify({ ...JSON.parse(readFileSync(marker, 'utf8')), format: 2 }))
  const newerBefore = fingerprint(newer.data)
  assertGaveUp(await startOn(newer.data), 6, 'DATA_NEWER', /written by a newer ringd/)
  assert.is(fingerprint(newer.data), newerBefore)

  for (const lost of ['store/CURRENT', 'identity.key', 'store']) {
    const damaged = cluster.copyOf(other, `without-${lost.replace('/', '-')}`)
    rmSync(join(damaged.data, lost), { recursive: true })
    const before = fingerprint(damaged.data)
    assertGaveUp(await startOn(damaged.data), 6, 'DATA_DAMAGED', /is damaged/)
    assert.is(fingerprint(damaged.data), before)
  }
  const torn = cluster.copyOf(other, 'torn')
  writeFileSync(join(torn.data, 'ringd.json'), '{"format":')
  assertGaveUp(await startOn(torn.data), 6, 'DATA_DAMAGED', /is damaged/)
})

check('ports that are taken end with 8', async () => {
  const { host, port } = peerPort(ring[0]!)
  const peers = await ringd(['daemon', '--data', newData('p'), '--listen', `/ip4/${host}/tcp/${port}`, '--resp', 'off'])
  assertGaveUp(peers, 8, 'PORT_IN_USE', new RegExp(`${port}`))
  const resp = `127.0.0.1:${ring[0]!.resp.port}`
  const redis = await ringd(['daemon', '--data', newData('r'), '--listen', '/ip4/127.0.0.1/tcp/0', '--resp', resp])
  assertGaveUp(redis, 8, 'PORT_IN_USE', new RegExp(resp))
})

check('Redis clients from elsewhere need a password, or it ends with 2', async () => {
  const flags = ['--listen', '/ip4/127.0.0.1/tcp/0', '--resp', '0.0.0.0:0']
  assertRefused(await ringd(['daemon', '--data', newData('open'), ...flags]), 2, /^ringd: .*password.*\(BAD_CONFIG\)$/)
})

check('keys and values that are too large are refused at every door', async () => {
  const client = cluster.redis(ring[0]!)
  const longKey = 'k'.repeat(64 * 1024 + 1)
  const bigValue = Buffer.alloc(8 * 1024 * 1024 + 1, 'v')
  assert.match(await errorOf(client.set(longKey, 'v')), /^ERR .*key/)
  assert.match(await errorOf(client.get(longKey)), /^ERR .*key/)
  assert.match(await errorOf(client.set('big', bigValue)), /^ERR .*value/)
  assert.is(await client.get('big'), null)
  await client.set('largest', bigValue.subarray(1))
  assert.is((await client.getBuffer('largest'))?.length, bigValue.length - 1)
  assert.is(await client.del('largest'), 1)
  client.disconnect()

  const { data } = ring[1]!
  assertRefused(await ringd(['put', longKey, 'v', '--data', data]), 2, /^ringd: .*\(KEY_TOO_LARGE\)$/)
  assertRefused(await ringd(['put', 'big', '-', '--data', data], bigValue), 2, /^ringd: .*\(VALUE_TOO_LARGE\)$/)
})

async function errorOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (thrown) => (thrown instanceof Error ? thrown.message : String(thrown))
  )
}

check('Redis requests that are none get an error, and the connection is closed', async () => {
  const { resp } = ring[0]!
  for (const request of ['*x\r\n', '*1\r\n$-5\r\n', '*1\r\n$99999999999\r\n', '*2000000000\r\n', '*1\r\n:1\r\n']) {
    assert.match(await sendRaw(resp, Buffer.from(request)), /^-ERR .*\r\n$/, JSON.stringify(request))
  }
  assert.match(await sendRaw(resp, Buffer.from('a'.repeat(200_000))), /^(-ERR .*\r\n)?$/)
})

check('garbage on the port for peers closes that connection', async () => {
  const garbage = ['GET / HTTP/1.1\r\n\r\n', '\xff'.repeat(100_000), '\x13/multistream/1.0.0\n\xff\xff\xff\xff\x0f']
  const ports = ring.map(peerPort)
  // Some of it may be the beginning of something: that is waited for, all at the same time.
  await Promise.all(ports.flatMap((port) => garbage.map((bytes) => sendRaw(port, Buffer.from(bytes, 'latin1')))))
})

check('a daemon of one ring that is told to join another ends with 5', async () => {
  const other = await cluster.daemon('other-ring').start()
  await other.stop()
  const before = await ring[0]!.status()
  assertGaveUp(
    await startOn(other.data, '--join', ring[0]!.address),
    5,
    'WRONG_RING',
    /this store belongs to ring [0-9a-f]{8}, and the peer at .* to another/
  )
  assert.equal((await ring[0]!.status()).members.length, before.members.length)
  await other.start()
})

check('commands: a value from stdin, a key that is not there, reports as JSON', async () => {
  const { data } = ring[2]!
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
  assert.equal(await ringd(['put', 'from stdin', '-', '--data', data], bytes), { code: 0, stdout: 'OK\n', stderr: '' })
  const client = cluster.redis(ring[0]!)
  assert.equal(await client.getBuffer('from stdin'), bytes)
  client.disconnect()
  const del = await ringd(['del', 'from stdin', '--data', data])
  assert.equal(del, { code: 0, stdout: '1\n', stderr: '' })
  assertRefused(await ringd(['get', 'from stdin', '--data', data]), 3, /^ringd: .*\(NOT_FOUND\)$/)
  for (const argv of [['status'], ['ring'], ['where', 'key1'], ['id'], ['metrics']]) {
    const { code, stdout, stderr } = await ringd([...argv, '--json', '--data', data])
    assert.is(code, 0, stderr)
    assert.type(JSON.parse(stdout), 'object')
  }
  const metrics = await ringd(['metrics', '--data', data])
  assert.match(metrics.stdout, /^ringd_mailbox_batch_ms_count\{actor="storage"\} [1-9]/m)
})

check('commands: a time to live is given, told, and over', async () => {
  const { data } = ring[1]!
  assert.equal(await ringd(['put', 'brief', 'v', '--ttl', '10m', '--data', data]), {
    code: 0,
    stdout: 'OK\n',
    stderr: ''
  })
  assert.match((await ringd(['ttl', 'brief', '--data', data])).stdout, /^(10m|9m \d+s)\n$/)
  const { expiresInMs } = JSON.parse((await ringd(['ttl', 'brief', '--json', '--data', data])).stdout)
  assert.ok(expiresInMs > 500_000 && expiresInMs <= 600_000)
  const client = cluster.redis(ring[0]!)
  assert.is(await client.persist('brief'), 1)
  assert.is((await ringd(['ttl', 'brief', '--data', data])).stdout, 'never\n')
  assert.is(await client.pexpire('brief', 1), 1)
  await new Promise((resolve) => setTimeout(resolve, 10))
  assertRefused(await ringd(['ttl', 'brief', '--data', data]), 3, /^ringd: .*\(NOT_FOUND\)$/)
  assert.is(await client.get('brief'), null)
  client.disconnect()
})

bad.run()
