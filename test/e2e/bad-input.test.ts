// Every wrong input that a running ring can be given: it is refused with one clear line, and the ring is not harmed.
// time limit: 300 s
// mostly computes
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

/** A test that shows the logs when it fails, and always checks the ring afterwards. */
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

/** All daemons still run, and each of them reads every key with its value. */
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
    // uvu drops an error thrown in `before`.
    console.error(thrown)
    cluster.printLogs()
  }
})

bad.after(() => cluster.end())

/** The command ended with `expected` and one line on stderr that matches `words`. A pointer to --help may follow. */
function assertRefused({ code, stdout, stderr }: Ended, expected: number, words: RegExp): void {
  assert.is(code, expected, stderr)
  assert.is(stdout, '')
  const [line = '', ...more] = stderr.replace('(ringd --help shows how it is used)\n', '').trimEnd().split('\n')
  assert.match(line, words)
  assert.equal(more, [])
}

/** The daemon ended with one fatal line in its log, which gives the reason and no stack. */
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

/** A hash of the names and contents of all files below `folder`. */
function fingerprint(folder: string): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(folder, name)
    hash.update(`${name}\0`).update(statSync(path).isFile() ? readFileSync(path) : '')
  }
  return hash.digest('hex')
}

/** Sends `bytes`. Resolves with all bytes received until the other end closed. */
function sendRaw({ host, port }: { readonly host: string; readonly port: number }, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, host, () => socket.write(bytes))
    socket.setTimeout(SOCKET_MS_MAX, () => socket.destroy(new Error('the daemon neither answered nor closed')))
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1')
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The daemon may close the connection while bytes are still being sent.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(received))
  })
}

function peerPort(daemon: Daemon): { readonly host: string; readonly port: number } {
  const [, , host = '', , port] = daemon.address.split('/')
  return { host, port: Number(port) }
}

check('malformed flags end the command with exit code 2', async () => {
  const data = newData('never-made')
  assertRefused(await startOn(data, '--bogus'), 2, /^ringd: unknown option '--bogus'/)
  assertRefused(await startOn(data, '--weight', '0'), 2, /^ringd: --weight.*\(BAD_CONFIG\)$/)
  assertRefused(await startOn(data, '--replicas', 'three'), 2, /^ringd: --replicas.*\(BAD_CONFIG\)$/)
  assertRefused(await startOn(data, '--log-level', 'loud'), 2, /^ringd: --log-level.*\(BAD_CONFIG\)$/)
  assertRefused(await ringd(['daemon']), 2, /^ringd: --data is missing.*\(BAD_CONFIG\)$/)
  assert.not.ok(readdirSync(cluster.folder).includes('never-made'))
})

check('malformed addresses end daemons and commands with exit code 2', async () => {
  const data = newData('never-made')
  for (const address of ['127.0.0.1:4710', '/ip4/127.0.0.1/tcp/65536', '/ip4/1.2.3/tcp/1', '/ip4/127.0.0.1', 'x']) {
    assertRefused(await startOn(data, '--join', address), 2, /^ringd: --join.*\(BAD_ADDRESS\)$/)
  }
  assertRefused(await startOn(data, '--listen', '/ip4/127.0.0.1/udp/1'), 2, /^ringd: --listen.*\(BAD_ADDRESS\)$/)
  assertRefused(await ringd(['get', 'k', '--peer', '/ip4/1.2.3/tcp/1']), 2, /^ringd: .*\(BAD_ADDRESS\)$/)
  assert.not.ok(readdirSync(cluster.folder).includes('never-made'))
})

check('an unreachable peer ends a command with exit code 4; a joining daemon keeps trying', async () => {
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

check('a data directory in use ends the daemon with exit code 6', async () => {
  const before = await ring[0]!.status()
  const words = /^another process uses /
  assertGaveUp(await startOn(ring[0]!.data), 6, 'DATA_LOCKED', words)
  assertGaveUp(await startOn(ring[0]!.data, '--join', ring[1]!.address), 6, 'DATA_LOCKED', words)
  assert.is((await ring[0]!.status()).view, before.view)
})

check('a foreign directory ends the daemon with exit code 6, and nothing in it is touched', async () => {
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

check('data of a newer ringd and damaged data end the daemon with exit code 6, and stay unchanged', async () => {
  const other = await cluster.daemon('other').start()
  await other.stop()
  const newer = cluster.copyOf(other, 'newer')
  const marker = join(newer.data, 'ringd.json')
  writeFileSync(marker, JSON.stringify({ ...JSON.parse(readFileSync(marker, 'utf8')), format: 99 }))
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

check('a port that is taken ends the daemon with exit code 8', async () => {
  const { host, port } = peerPort(ring[0]!)
  const peers = await ringd(['daemon', '--data', newData('p'), '--listen', `/ip4/${host}/tcp/${port}`, '--resp', 'off'])
  assertGaveUp(peers, 8, 'PORT_IN_USE', new RegExp(`${port}`))
  const resp = `127.0.0.1:${ring[0]!.resp.port}`
  const redis = await ringd(['daemon', '--data', newData('r'), '--listen', '/ip4/127.0.0.1/tcp/0', '--resp', resp])
  assertGaveUp(redis, 8, 'PORT_IN_USE', new RegExp(resp))
})

check('a RESP door open to other machines needs a password, else the daemon ends with exit code 2', async () => {
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

check('malformed Redis requests get an error, and the connection is closed', async () => {
  const { resp } = ring[0]!
  for (const request of ['*x\r\n', '*1\r\n$-5\r\n', '*1\r\n$99999999999\r\n', '*2000000000\r\n', '*1\r\n:1\r\n']) {
    assert.match(await sendRaw(resp, Buffer.from(request)), /^-ERR .*\r\n$/, JSON.stringify(request))
  }
  assert.match(await sendRaw(resp, Buffer.from('a'.repeat(200_000))), /^(-ERR .*\r\n)?$/)
})

check('garbage on the port for peers closes that connection', async () => {
  const garbage = ['GET / HTTP/1.1\r\n\r\n', '\xff'.repeat(100_000), '\x13/multistream/1.0.0\n\xff\xff\xff\xff\x0f']
  const ports = ring.map(peerPort)
  // Some of the garbage may be the beginning of a message, so the daemon waits for the rest. The waits run in parallel.
  await Promise.all(ports.flatMap((port) => garbage.map((bytes) => sendRaw(port, Buffer.from(bytes, 'latin1')))))
})

check('a daemon of one ring that is told to join another ends with exit code 5', async () => {
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

check('commands read a value from stdin, report a missing key, and print reports as JSON', async () => {
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

check('commands set a time to live, show it, and show that it has passed', async () => {
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
