// The libp2p network, on loopback: it passes the conformance suite, and has a few features of its own.
// mostly waits
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { connectClient } from '../../lib/network/client-link.js'
import { newPrivateKey, type PrivateKey, peerIdOf } from '../../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetwork } from '../../lib/network/libp2p.js'
import type { Network } from '../../lib/network/network.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { networkConformance } from '../conformance/network.js'
import { blockConformance } from '../conformance/network-blocks.js'
import type { NetworkFixture } from '../conformance/network-peers.js'

const LOOPBACK = '/ip4/127.0.0.1/tcp/0'
const PATIENCE_MS = 20_000

async function create(privateKey: PrivateKey, listen = LOOPBACK, wireVersion?: number): Promise<Libp2pNetwork> {
  const deps = {
    clock: systemClock,
    random: systemRandom,
    log: silent,
    privateKey,
    hlc: { stamp: () => ({ ms: systemClock.now(), counter: 0 }), observe() {} }
  }
  return createLibp2pNetwork(deps, { listen: [listen], ...(wireVersion === undefined ? {} : { wireVersion }) })
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function makeFixture(): Promise<NetworkFixture> {
  const keys = new Map<string, PrivateKey>()
  const networks: Network[] = []
  return {
    async node({ again, wireVersion } = {}) {
      const key = again === undefined ? await newPrivateKey(systemRandom) : keys.get(again)!
      keys.set(peerIdOf(key), key)
      const network = await create(key, LOOPBACK, wireVersion)
      networks.push(network)
      return network
    },
    async until(condition, what) {
      const deadline = performance.now() + PATIENCE_MS
      while (!condition()) {
        if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
        await pause(5)
      }
    },
    wait: (promise) => promise,
    elapse: pause,
    // Within one process a connection cannot be left half open, so a stop is the closest thing to a crash.
    kill: (network) => network.stop(),
    async close() {
      await Promise.all(networks.map((network) => network.stop()))
    }
  }
}

const test = suite<{ networks: Libp2pNetwork[] }>('libp2p network')
test.before.each((context) => {
  context.networks = []
})
test.after.each(async ({ networks }) => {
  await Promise.all(networks.map((network) => network.stop()))
})

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (thrown) => (thrown instanceof RingdError ? thrown.code : String(thrown))
  )
}

test('a port that is taken is PORT_IN_USE, and the error names the address', async ({ networks }) => {
  const first = await create(await newPrivateKey(systemRandom))
  networks.push(first)
  await first.start()
  const [taken] = first.addresses()[0]!.split('/p2p/')
  const second = await create(await newPrivateKey(systemRandom), taken)
  networks.push(second)
  try {
    await second.start()
    assert.unreachable()
  } catch (thrown) {
    assert.is((thrown as RingdError).code, 'PORT_IN_USE')
    assert.match((thrown as RingdError).message, taken!)
  }
})

test('an address that cannot be listened on is BAD_ADDRESS', async ({ networks }) => {
  const key = await newPrivateKey(systemRandom)
  const relayed = `/ip4/127.0.0.1/tcp/4100/p2p/${peerIdOf(key)}/p2p-circuit`
  for (const address of ['nonsense', '/ip4/127.0.0.1/udp/4100', '/ip4/127.0.0.1/tcp/4100/ws', '/dnsaddr/x', relayed]) {
    assert.is(await codeOf(create(key, address)), 'BAD_ADDRESS', address)
  }
  const foreign = await create(key, '/ip4/192.0.2.1/tcp/0')
  networks.push(foreign)
  assert.is(await codeOf(foreign.start()), 'BAD_ADDRESS')
})

test('a client sends requests over its own protocol, and gets refusals with their code', async ({ networks }) => {
  const server = await create(await newPrivateKey(systemRandom))
  networks.push(server)
  server.introduce('ab'.repeat(16), '11'.repeat(16))
  server.serveClients((right, body, respond) => {
    assert.is(right, 'operator')
    if (body.clientGet !== undefined) respond({ clientValue: { value: body.clientGet.key } })
    else respond(new RingdError('NO_QUORUM', 'too few'))
  })
  await server.start()
  for (const address of [server.addresses()[0]!, server.addresses()[0]!.split('/p2p/')[0]!]) {
    const client = await connectClient({ clock: systemClock, random: systemRandom }, { address })
    try {
      assert.is(client.peerId, server.peerId)
      assert.is(client.ringId, 'ab'.repeat(16))
      const answer = await client.request({ clientGet: { key: new Uint8Array([1, 2, 3]), consistency: '' } }, 3000)
      assert.equal([...answer.clientValue!.value!], [1, 2, 3])
      assert.is(await codeOf(client.request({ done: {} }, 3000)), 'NO_QUORUM')
    } finally {
      await client.close()
    }
    assert.is(await codeOf(client.request({ done: {} }, 3000)), 'STOPPED')
  }
})

test('a client whose peer stops gets UNREACHABLE', async ({ networks }) => {
  const server = await create(await newPrivateKey(systemRandom))
  networks.push(server)
  server.serveClients(() => {})
  await server.start()
  const client = await connectClient({ clock: systemClock, random: systemRandom }, { address: server.addresses()[0]! })
  const pending = codeOf(client.request({ done: {} }, 20_000))
  await pause(20)
  await server.stop()
  assert.is(await pending, 'UNREACHABLE')
  assert.ok(client.closed)
  await client.close()
})

test('a client that reaches no peer gets an error', async ({ networks }) => {
  const server = await create(await newPrivateKey(systemRandom))
  networks.push(server)
  await server.start()
  const [address] = server.addresses()
  await server.stop()
  const deps = { clock: systemClock, random: systemRandom }
  assert.is(await codeOf(connectClient(deps, { address: address!, timeoutMs: 2000 })), 'UNREACHABLE')
  assert.is(await codeOf(connectClient(deps, { address: 'nonsense' })), 'BAD_ADDRESS')
})

networkConformance('libp2p network, conformance', makeFixture)
blockConformance('libp2p network, block streams', makeFixture)

test('a kept peer whose id is no peer id ends nothing', async ({ networks }) => {
  const network = await create(await newPrivateKey(systemRandom))
  networks.push(network)
  await network.start()
  network.keep(new Map([['0-no-peer-id', ['/ip4/127.0.0.1/tcp/1']]]))
  // The peer is dialled after at most 2.5 s, and forgotten a second later. An exception in a timer fails the test.
  await pause(4000)
  assert.is(network.addresses().length, 1)
})

test.run()
