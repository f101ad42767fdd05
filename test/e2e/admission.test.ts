// A process without the secret of a ring reaches no handler of a real daemon, and a client only those of its right: for
// every protocol that the daemon serves and every kind of message of wire.proto.
// time limit: 240 s
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify } from '@libp2p/identify'
import type { Connection, ConnectionEncrypter, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import {
  clientSecret,
  daemonSecrets,
  type HandshakeKey,
  handshakeKey,
  Keyring,
  newSecret,
  OPEN_SECRET,
  ROLES,
  type Role,
  secretText
} from '../../lib/network/secrets.js'
import { securedNoise } from '../../lib/network/secured-noise.js'
import { Packet } from '../../lib/network/wire.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { Cluster, type Daemon } from './cluster.js'
import { ringd } from './command.js'

const CLIENT_PROTOCOL = '/ringd/client/1.0.0'
const CONTROL_PROTOCOL = '/ringd/control/1.0.0'
/** Who is refused is refused within milliseconds; a peer that would answer does so as fast. */
const ANSWER_MS = 150
const DIAL_MS = 4000
const AT_ONCE = 16

const test = suite('admission')
const cluster = new Cluster()
const ring = newSecret(systemRandom)
const secretFile = join(cluster.folder, 'ring.secret')
let daemon: Daemon
const nodes: Libp2p[] = []

type Encrypters = ((components: Parameters<ReturnType<typeof noise>>[0]) => ConnectionEncrypter)[]

async function nodeWith(connectionEncrypters: Encrypters): Promise<Libp2p> {
  const node = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters,
    streamMuxers: [yamux()],
    services: { identify: identify({ runOnConnectionOpen: false }) }
  })
  nodes.push(node)
  return node
}

function speaking(role: Role, keyring: Pick<Keyring, 'keys'>): Encrypters {
  return [securedNoise({ clock: systemClock, keyring: keyring as Keyring }, { role, initiates: true })]
}

/** The kinds of messages, with their numbers, from the specification of the wire. */
function kinds(): ReadonlyMap<string, number> {
  const text = readFileSync('lib/network/wire.proto', 'utf8')
  const body = /oneof body \{([^}]*)\}/.exec(text)?.[1] ?? ''
  return new Map(Array.from(body.matchAll(/^\s*\w+ (\w+) = (\d+);/gm), ([, name, at]) => [name!, Number(at)]))
}

/** A packet with a request of one kind, whose fields are all empty. */
function request(number: number): Uint8Array {
  const tag = (number << 3) | 2
  const key = tag < 128 ? [tag] : [(tag & 127) | 128, tag >> 7]
  const frame = [0x08, 1, ...key, 0]
  return framed(Uint8Array.from([0x1a, frame.length, ...frame]))
}

function hello(): Uint8Array {
  const frames = [{ id: 0, answer: false, hello: helloOf(NOBODY) }]
  return framed(Packet.encode({ clockMs: 0, clockCounter: 0, frames }))
}

function framed(packet: Uint8Array): Uint8Array {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(packet.length)
  return Buffer.concat([length, packet])
}

/** Opens a stream, says hello and sends one request. Returns what came back besides the hello of the other end. */
async function ask(connection: Connection, protocol: string, number: number): Promise<Buffer> {
  let stream: Stream
  try {
    stream = await connection.newStream(protocol, { signal: AbortSignal.timeout(DIAL_MS) })
  } catch {
    return Buffer.alloc(0)
  }
  const got: Buffer[] = []
  const ended = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ANSWER_MS)
    stream.addEventListener('message', ({ data }) => got.push(Buffer.from(data.subarray())))
    stream.addEventListener('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
  try {
    stream.send(hello())
    stream.send(request(number))
  } catch {}
  await ended
  stream.abort(new Error('done'))
  return withoutHello(Buffer.concat(got))
}

function withoutHello(bytes: Buffer): Buffer {
  if (bytes.length < 4) return bytes
  return bytes.subarray(4 + bytes.readUInt32BE(0))
}

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items]
  const next = async (): Promise<void> => {
    for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, next))
}

/** The protocols that the daemon tells a member of. */
async function servedProtocols(): Promise<readonly string[]> {
  const member = await nodeWith(speaking('member', new Keyring(daemonSecrets([ring]))))
  const connection = await member.dial(multiaddr(daemon.address))
  const services = member.services as unknown as { identify: ReturnType<ReturnType<typeof identify>> }
  const { protocols } = await services.identify.identify(connection)
  // The control: a joiner on the control stream is answered, so the frames of this test reach handlers.
  const ping = kinds().get('ping')!
  assert.ok((await ask(connection, CONTROL_PROTOCOL, ping)).length > 0, 'a member is answered')
  await member.stop()
  return protocols
}

let protocols: readonly string[] = []

test.before(async () => {
  try {
    writeFileSync(secretFile, `${secretText(ring)}\n`, { mode: 0o600 })
    daemon = await cluster.daemon('a').start({ flags: ['--secret-file', secretFile] })
    protocols = await servedProtocols()
  } catch (thrown) {
    console.error(thrown)
    cluster.printLogs()
  }
})
test.after.each(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.stop()))
})
test.after(() => cluster.end())

test('the daemon serves the protocols that this test knows, and wire.proto has every kind', () => {
  for (const name of ['control', 'operations', 'bulk', 'pull', 'client']) {
    assert.ok(protocols.includes(`/ringd/${name}/1.0.0`))
  }
  assert.ok(protocols.some((name) => name.startsWith('/meshsub/')) && protocols.includes('/ipfs/id/1.0.0'))
  assert.ok(kinds().size > 35)
})

/** Keys that name the right secret, without having it. */
function impostor(role: Role): Pick<Keyring, 'keys'> {
  const secret = role === 'member' ? ring : clientSecret(ring, role)
  const keys: HandshakeKey[] = [{ id: handshakeKey(secret, role).id, prologue: systemRandom.bytes(32) }]
  return { keys: () => keys }
}

const STRANGERS: ReadonlyArray<readonly [name: string, (role: Role) => Encrypters]> = [
  ['plain noise', () => [noise() as Encrypters[number]]],
  ['the open secret', (role) => speaking(role, new Keyring(daemonSecrets([OPEN_SECRET])))],
  ['another secret', (role) => speaking(role, new Keyring(daemonSecrets([newSecret(systemRandom)])))],
  ['the name of the secret without the secret', (role) => speaking(role, impostor(role))]
]

for (const [name, encrypters] of STRANGERS) {
  test(`a process with ${name} gets no answer to any message on any protocol`, async () => {
    const reached: string[] = []
    for (const role of ROLES) {
      const stranger = await nodeWith(encrypters(role))
      const attempts = protocols.flatMap((protocol) => Array.from(kinds(), (kind) => [protocol, kind] as const))
      // A connection is refused as a whole, so one attempt for each kind and protocol is one dial each.
      await inParallel(attempts, async ([protocol, [kind, number]]) => {
        try {
          const signal = AbortSignal.timeout(DIAL_MS)
          const connection = await stranger.dial(multiaddr(daemon.address), { signal, force: true })
          reached.push(`connected as ${role}`)
          const answer = await ask(connection, protocol, number)
          if (answer.length > 0) reached.push(`${role}: ${kind} on ${protocol}`)
        } catch {}
      })
    }
    assert.equal(reached, [])
  })
}

for (const right of ['data', 'operator'] as const) {
  test(`a client with the right ${right} reaches the client protocol only`, async () => {
    const client = await nodeWith(speaking(right, new Keyring(daemonSecrets([ring]))))
    const opened: string[] = []
    const asked = (stream: Stream) => {
      opened.push(stream.protocol)
      stream.abort(new Error('not served'))
    }
    await client.handle(['/ipfs/id/1.0.0', '/meshsub/1.1.0', '/meshsub/1.2.0'], asked, { force: true })
    const connection = await client.dial(multiaddr(daemon.address))
    const foreign = protocols.filter((protocol) => protocol !== CLIENT_PROTOCOL)
    const answered: string[] = []
    const attempts = foreign.flatMap((protocol) => Array.from(kinds(), (kind) => [protocol, kind] as const))
    await inParallel(attempts, async ([protocol, [kind, number]]) => {
      const answer = await ask(connection, protocol, number)
      if (answer.length > 0) answered.push(`${kind} on ${protocol}`)
    })
    assert.equal(answered, [])
    assert.equal(opened, [], 'the daemon takes no client for a peer of its gossip')
    assert.is(connection.status, 'open')
    assert.ok((await ask(connection, CLIENT_PROTOCOL, kinds().get('clientQuery')!)).length > 0, 'it is served itself')
    if (right === 'data') await assertNoOrder(connection)
  })
}

const ORDERS = ['clientDepart', 'clientRepair', 'clientVerify', 'clientLimit']
const DATA_KINDS = ['clientGet', 'clientPut', 'clientDelete', 'clientIncrement', 'clientQuery']

/** Of all kinds of requests, all but the four of the right `data` are refused, the orders with NOT_ALLOWED. */
async function assertNoOrder(connection: Connection): Promise<void> {
  for (const [kind, number] of kinds()) {
    const answer = await ask(connection, CLIENT_PROTOCOL, number)
    const frames = answer.length === 0 ? [] : Packet.decode(answer.subarray(4)).frames
    const codes = frames.map(({ refusal }) => refusal?.code ?? 'granted')
    if (DATA_KINDS.includes(kind)) assert.is(codes.includes('NOT_ALLOWED'), false, kind)
    else assert.not.ok(codes.includes('granted'), kind)
    if (ORDERS.includes(kind)) assert.equal(codes, ['NOT_ALLOWED'], kind)
  }
}

test('a member that speaks the client protocol is refused', async () => {
  const member = await nodeWith(speaking('member', new Keyring(daemonSecrets([ring]))))
  const connection = await member.dial(multiaddr(daemon.address))
  for (const number of kinds().values()) assert.is((await ask(connection, CLIENT_PROTOCOL, number)).length, 0)
})

test('a data secret gives no order; the operator secret and the data directory do', async () => {
  const data = join(cluster.folder, 'data.secret')
  const made = await ringd(['secret', 'client', '--right', 'data', '--secret-file', secretFile])
  writeFileSync(data, made.stdout, { mode: 0o600 })
  const [base = ''] = daemon.address.split('/p2p/')
  const as = (file: string, ...argv: string[]) => ringd([...argv, '--peer', base, '--secret-file', file])
  assert.is((await as(data, 'put', 'k', 'v')).code, 0)
  assert.is((await as(data, 'status')).code, 0)
  for (const argv of [
    ['leave'],
    ['leave', '--force'],
    ['remove', daemon.info.storeId, '--yes'],
    ['repair'],
    ['verify']
  ]) {
    const { code, stderr } = await as(data, ...argv)
    assert.is(code, 9, stderr)
    assert.match(stderr, /right operator.*\(NOT_ALLOWED\)/)
  }
  assert.is((await as(secretFile, 'repair')).code, 0)
  assert.is((await as(join(daemon.data, 'operator.secret'), 'repair')).code, 0)
  assert.is((await ringd(['repair', '--data', daemon.data])).code, 0)
  const open = await ringd(['get', 'k', '--peer', base])
  assert.is(open.code, 9)
  assert.match(open.stderr, /^ringd: .*--secret-file FILE.*\(WRONG_SECRET\)\n$/)
})

test('a joiner with another secret, another ring or another peer than it was told never joins', async () => {
  const other = join(cluster.folder, 'other.secret')
  writeFileSync(other, (await ringd(['secret', 'new'])).stdout, { mode: 0o600 })
  const [base = ''] = daemon.address.split('/p2p/')
  const flags = ['--listen', '/ip4/127.0.0.1/tcp/0', '--resp', 'off', '--join']
  const start = (name: string, address: string, file: string, ...more: string[]) =>
    ringd(['daemon', '--data', join(cluster.folder, name), ...flags, address, '--secret-file', file, ...more])
  const wrong = await start('wrong-secret', base, other)
  assert.is(wrong.code, 9, wrong.stderr)
  assert.match(wrong.stderr, /WRONG_SECRET.*compare the secret files/)
  const foreign = await start('wrong-ring', base, secretFile, '--ring', 'ab'.repeat(16))
  assert.is(foreign.code, 5, foreign.stderr)
  assert.match(foreign.stderr, /WRONG_RING/)
  const pinned = cluster.daemon('wrong-peer')
  const nobody = `${base}/p2p/12D3KooWP4VL8xzeR8rwpXUdhZxoEuPxWj2qQcm7wujHjicm3DRy`
  pinned.launch({ flags: ['--join', nobody, '--secret-file', secretFile] })
  await pinned.logs(/"warn".*12D3KooWP4VL8xzeR8rwpXUdhZxoEuPxWj2qQcm7wujHjicm3DRy.*trying again/)
  await pinned.kill()
  const { members } = JSON.parse((await ringd(['status', '--json', '--data', daemon.data])).stdout)
  assert.is(members.length, 1)
})

test.run()
