// Who is admitted to a connection, on loopback: the right secret, a wrong one, several, bytes that are no handshake.
import { connect, type Socket } from 'node:net'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { type ClientLink, connectClient } from '../../lib/network/client-link.js'
import { newPrivateKey } from '../../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetwork } from '../../lib/network/libp2p.js'
import {
  type ClientSecrets,
  clientSecret,
  daemonSecrets,
  Keyring,
  newSecret,
  type Right,
  type Secret
} from '../../lib/network/secrets.js'
import { HANDSHAKE_TIMEOUT_MS, roleProtocol } from '../../lib/network/secured-noise.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'

const LOOPBACK = '/ip4/127.0.0.1/tcp/0'
const DIAL_MS = 4000

interface Node {
  readonly network: Libp2pNetwork
  readonly keyring: Keyring
  readonly warnings: string[]
  readonly address: string
}

const test = suite<{ closing: (() => Promise<unknown>)[] }>('admission')
test.before.each((context) => {
  context.closing = []
})
test.after.each(async ({ closing }) => {
  for (const close of closing.reverse()) await close()
})

async function start(
  closing: (() => Promise<unknown>)[],
  secrets: readonly Secret[],
  operatorSecret?: Secret
): Promise<Node> {
  const keyring = new Keyring(daemonSecrets(secrets, operatorSecret))
  const warnings: string[] = []
  const log = { ...silent, warn: (_fields: object, message: string) => void warnings.push(message) }
  const hlc = { stamp: () => ({ ms: systemClock.now(), counter: 0 }), observe() {} }
  const privateKey = await newPrivateKey(systemRandom)
  const network = await createLibp2pNetwork(
    { clock: systemClock, random: systemRandom, log, privateKey, hlc, keyring },
    { listen: [LOOPBACK] }
  )
  network.serveClients((right, _body, respond) => respond({ clientReport: { json: right } }))
  await network.start()
  closing.push(() => network.stop())
  return { network, keyring, warnings, address: network.addresses()[0]! }
}

function asClient(right: Right, ...ring: Secret[]): ClientSecrets {
  return { right, secrets: ring.map((secret) => clientSecret(secret, right)) }
}

async function rightOf(address: string, secret?: ClientSecrets): Promise<string> {
  let link: ClientLink | undefined
  try {
    const deps = { clock: systemClock, random: systemRandom }
    link = await connectClient(deps, { address, timeoutMs: DIAL_MS, ...(secret && { secret }) })
    return (await link.request({ done: {} }, DIAL_MS)).clientReport!.json
  } catch (thrown) {
    return codeOf(thrown)
  } finally {
    await link?.close()
  }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof RingdError ? thrown.code : String(thrown)
}

const outcome = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'up', codeOf)

test('peers with one secret meet; with different secrets they refuse each other, and both say so', async ({
  closing
}) => {
  const [ours, theirs] = [newSecret(systemRandom), newSecret(systemRandom)]
  const a = await start(closing, [ours])
  const b = await start(closing, [ours])
  const stranger = await start(closing, [theirs])
  assert.is(await outcome(b.network.dial(a.address, DIAL_MS)), 'up')
  for (let time = 0; time < 5; time++) {
    assert.is(await outcome(stranger.network.dial(a.address, DIAL_MS)), 'WRONG_SECRET')
  }
  assert.is(a.warnings.length, 1, 'five refusals within ten seconds are one line')
  assert.match(a.warnings[0]!, /without a secret of this ring/)
  assert.is(stranger.warnings.length, 1)
  assert.is(a.network.link(stranger.network.peerId), undefined)
})

test('a peer without a ring secret is refused by one that has a secret, and refuses it', async ({ closing }) => {
  const a = await start(closing, [newSecret(systemRandom)])
  const open = await start(closing, [new Uint8Array(32) as Uint8Array as Secret])
  assert.is(await outcome(open.network.dial(a.address, DIAL_MS)), 'WRONG_SECRET')
  assert.is(await outcome(a.network.dial(open.address, DIAL_MS)), 'WRONG_SECRET')
})

test('a secret is changed in three steps, and the peers meet after each of them', async ({ closing }) => {
  const [before, after] = [newSecret(systemRandom), newSecret(systemRandom)]
  const a = await start(closing, [before])
  const steps = [[before, after], [after, before], [after]]
  let lists: readonly Secret[] = [before]
  for (const step of steps) {
    const other = await start(closing, lists)
    a.keyring.set(daemonSecrets(step))
    assert.is(await outcome(other.network.dial(a.address, DIAL_MS)), 'up')
    other.keyring.set(daemonSecrets(step))
    lists = step
  }
  const late = await start(closing, [before])
  assert.is(await outcome(late.network.dial(a.address, DIAL_MS)), 'WRONG_SECRET')
})

test('a client gets the right of its secret, and none without', async ({ closing }) => {
  const [ring, own, other] = [newSecret(systemRandom), newSecret(systemRandom), newSecret(systemRandom)]
  const { address } = await start(closing, [ring], own)
  assert.is(await rightOf(address, asClient('data', ring)), 'data')
  assert.is(await rightOf(address, asClient('operator', ring)), 'operator')
  assert.is(await rightOf(address, { right: 'operator', secrets: [own] }), 'operator')
  assert.is(await rightOf(address, asClient('data', other, ring)), 'data')
  assert.is(await rightOf(address, asClient('data', other)), 'WRONG_SECRET')
  assert.is(await rightOf(address), 'WRONG_SECRET')
  assert.is(await rightOf(address, { right: 'operator', secrets: [clientSecret(ring, 'data')] }), 'WRONG_SECRET')
})

test('a peer of a version without secrets is WRONG_VERSION', async ({ closing }) => {
  const a = await start(closing, [newSecret(systemRandom)])
  const old = await createLibp2p({
    addresses: { listen: [LOOPBACK] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()]
  })
  closing.push(async () => old.stop())
  assert.is(await outcome(a.network.dial(String(old.getMultiaddrs()[0]), DIAL_MS)), 'WRONG_VERSION')
})

test('when a secret is taken away, the connections of its clients end, and those of members stay', async ({
  closing
}) => {
  const [before, after] = [newSecret(systemRandom), newSecret(systemRandom)]
  const a = await start(closing, [before])
  const b = await start(closing, [before])
  assert.is(await outcome(b.network.dial(a.address, DIAL_MS)), 'up')
  const deps = { clock: systemClock, random: systemRandom }
  const link = await connectClient(deps, { address: a.address, secret: asClient('data', before) })
  closing.push(() => link.close())
  a.keyring.set(daemonSecrets([after, before]))
  assert.is((await link.request({ done: {} }, DIAL_MS)).clientReport!.json, 'data')
  a.keyring.set(daemonSecrets([after]))
  assert.is(await link.request({ done: {} }, DIAL_MS).then(() => 'answered', codeOf), 'UNREACHABLE')
  assert.is.not(a.network.link(b.network.peerId), undefined)
  assert.is(await rightOf(a.address, asClient('data', after)), 'data')
})

/** Names the protocol of a role as multistream-select does, then sends `bytes`. Resolves with all that came back. */
function knock(address: string, role: 'member' | Right, bytes: Uint8Array, endMs: number): Promise<Buffer> {
  const port = Number(/tcp\/(\d+)/.exec(address)![1])
  const line = (text: string) => Buffer.concat([Buffer.from([text.length + 1]), Buffer.from(`${text}\n`)])
  return new Promise((resolve) => {
    const got: Buffer[] = []
    const socket: Socket = connect(port, '127.0.0.1', () => {
      socket.write(Buffer.concat([line('/multistream/1.0.0'), line(roleProtocol(role)), bytes]))
    })
    const timer = setTimeout(() => socket.destroy(), endMs)
    socket.on('data', (chunk) => got.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(timer)
      resolve(Buffer.concat(got))
    })
  })
}

const GREETING_BYTES = 20 + 1 + roleProtocol('member').length + 1

test('a refused initiator reads eight zeros, then the end', async ({ closing }) => {
  const { address } = await start(closing, [newSecret(systemRandom)])
  const answer = await knock(address, 'member', Buffer.concat([Buffer.from([1]), Buffer.alloc(8, 5)]), 3000)
  assert.equal([...answer.subarray(GREETING_BYTES)], new Array(8).fill(0))
})

test('a count of zero, a count above the bound and endless bytes end the connection at once', async ({ closing }) => {
  const { address } = await start(closing, [newSecret(systemRandom)])
  const begun = performance.now()
  for (const bytes of [Buffer.from([0]), Buffer.from([9]), Buffer.alloc(4000, 8)]) {
    const answer = await knock(address, 'member', bytes, 30_000)
    assert.ok(answer.length <= GREETING_BYTES + 8, `${answer.length} bytes`)
  }
  assert.ok(performance.now() - begun < HANDSHAKE_TIMEOUT_MS, 'it did not wait for a timeout')
})

test('an initiator that stops in the middle is ended by the timeout', async ({ closing }) => {
  const { address } = await start(closing, [newSecret(systemRandom)])
  const begun = performance.now()
  await knock(address, 'data', Buffer.from([2, 1, 2, 3]), 30_000)
  const tookMs = performance.now() - begun
  assert.ok(tookMs > HANDSHAKE_TIMEOUT_MS - 200 && tookMs < HANDSHAKE_TIMEOUT_MS + 15_000, `${tookMs} ms`)
})

test('random bytes after any greeting neither end the peer nor open a connection', async ({ closing }) => {
  const secret = newSecret(systemRandom)
  const { address, network } = await start(closing, [secret])
  for (let round = 0; round < 60; round++) {
    const role = (['member', 'operator', 'data'] as const)[round % 3]!
    const sent = Buffer.from(systemRandom.bytes(1 + Math.floor(systemRandom.next() * 300)))
    sent[0] = round % 9
    await knock(address, role, sent, 30)
  }
  assert.is(await rightOf(address, asClient('data', secret)), 'data')
  const friend = await start(closing, [secret])
  assert.is(await outcome(friend.network.dial(network.addresses()[0]!, DIAL_MS)), 'up')
})

test.run()
