// Connections below the streams: whatever bytes a peer sends after the handshake, the process goes on, and memory stays
// bounded. An exception in an event listener of libp2p is an uncaught exception, so each test watches for them.
// time limit: 120 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { connectClient } from '../../lib/network/client-link.js'
import { newPrivateKey } from '../../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetwork } from '../../lib/network/libp2p.js'
import { CLIENT_PROTOCOL, PROTOCOLS } from '../../lib/network/libp2p-options.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { header, type RawPeer, type RawPeerOptions, rawPeer } from './raw-peer.js'

const PATIENCE_MS = 10_000

interface Context {
  server: Libp2pNetwork
  peers: RawPeer[]
  uncaught: unknown[]
  stopWatching: () => void
}

const test = suite<Context>('broken frames')

test.before.each(async (context) => {
  context.peers = []
  context.uncaught = []
  const note = (thrown: unknown): void => void context.uncaught.push(thrown)
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  context.stopWatching = () => {
    process.off('uncaughtException', note)
    process.off('unhandledRejection', note)
  }
  context.server = await createLibp2pNetwork(
    {
      clock: systemClock,
      random: systemRandom,
      log: silent,
      privateKey: await newPrivateKey(systemRandom),
      hlc: { stamp: () => ({ ms: systemClock.now(), counter: 0 }), observe() {} }
    },
    { listen: ['/ip4/127.0.0.1/tcp/0'] }
  )
  context.server.introduce('ab'.repeat(16), '11'.repeat(16))
  context.server.serveClients((_from, _body, respond) => respond({ done: {} }))
  await context.server.start()
})

test.after.each(async ({ server, peers, stopWatching }) => {
  for (const peer of peers) await peer.stop()
  await server.stop()
  stopWatching()
})

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function join({ server, peers }: Context, options: RawPeerOptions = {}): Promise<RawPeer> {
  const peer = await rawPeer(options)
  peers.push(peer)
  await peer.dial(server.addresses()[0]!)
  return peer
}

/** The daemon still answers a client, and nothing was thrown where nobody catches. */
async function assertSound({ server, uncaught }: Context): Promise<void> {
  const deps = { clock: systemClock, random: systemRandom }
  const client = await connectClient(deps, { address: server.addresses()[0]! })
  assert.ok('done' in (await client.request({ done: {} }, 5000)))
  await client.close()
  assert.equal(uncaught.map(String), [])
}

const BROKEN: readonly [string, Uint8Array][] = [
  ['an unknown version', header(0, 0, 1, 0, 9)],
  ['an unknown type', header(7, 0, 1, 0)],
  ['a ping without a flag', header(2, 0, 0, 1)],
  ['an answer to no ping', header(2, 2, 0, 77)],
  ['data for the session', header(0, 0, 0, 0)],
  ['a stream of the wrong side', header(1, 1, 2, 0)],
  ['a goodbye with an error', header(3, 0, 0, 2)],
  ['a goodbye', header(3, 0, 0, 0)]
]

for (const [what, bytes] of BROKEN) {
  test(`${what} on an open stream ends the connection and not the process`, async (context) => {
    for (const protocol of [...Object.values(PROTOCOLS), CLIENT_PROTOCOL]) {
      const peer = await join(context, { role: protocol === CLIENT_PROTOCOL ? 'data' : 'member' })
      const [connection] = peer.node.getConnections()
      await connection!.newStream(protocol)
      peer.wires[0]!.send(bytes)
      await until(() => connection!.status !== 'open', 'the connection ends')
      await peer.stop()
    }
    await assertSound(context)
  })
}

test('a frame that is announced as 4 GiB ends the connection at its header', async (context) => {
  const peer = await join(context)
  const [connection] = peer.node.getConnections()
  const stream = await connection!.newStream(PROTOCOLS.control)
  const wire = peer.wires[0]!
  wire.send(header(0, 0, Number(stream.id), 0xffffffff))
  let sent = 0
  for (; sent < 64 && wire.status === 'open'; sent++) {
    if (!wire.send(new Uint8Array(MiB))) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await until(() => connection!.status !== 'open', 'the connection ends')
  assert.ok(sent < 64, 'the peer could not send 64 MiB')
  await assertSound(context)
})

test('data on a stream without a protocol ends the connection', async (context) => {
  const peer = await join(context)
  const [connection] = peer.node.getConnections()
  const wire = peer.wires[0]!
  wire.send(header(1, 1, 101, 0))
  wire.send(header(0, 0, 101, 64 * 1024))
  wire.send(new Uint8Array(64 * 1024))
  await until(() => connection!.status !== 'open', 'the connection ends')
  await assertSound(context)
})

test('a flood of pings ends the connection', async (context) => {
  const peer = await join(context, { deaf: true })
  const [connection] = peer.node.getConnections()
  const pings = Buffer.concat(Array.from({ length: 2000 }, (_, id) => header(2, 1, 0, id)))
  peer.wires[0]!.send(new Uint8Array(pings))
  await until(() => connection!.status !== 'open', 'the connection ends')
  await assertSound(context)
})

/** Frames that are valid in part: the right version and type more often than not, ids of real streams, any length. */
function randomFrames(streamId: number): Uint8Array {
  const draw = (below: number) => Math.floor(systemRandom.next() * below)
  const parts: Uint8Array[] = []
  for (let n = 1 + draw(6); n > 0; n--) {
    const type = draw(10) === 0 ? draw(256) : draw(4)
    const length = [0, 1, draw(300), draw(70_000), draw(2 ** 32)][draw(5)]!
    const id = [0, streamId, streamId, streamId + 2, draw(2 ** 32)][draw(5)]!
    parts.push(header(type, draw(16), id, length, draw(20) === 0 ? draw(256) : 0))
    if (type === 0) parts.push(systemRandom.bytes(Math.min(length, draw(2) === 0 ? length : 50, 70_000)))
  }
  return new Uint8Array(Buffer.concat(parts))
}

test('after hundreds of connections with random frames the peer is sound and holds nothing', async (context) => {
  const peer = await rawPeer()
  context.peers.push(peer)
  const address = context.server.addresses()[0]!
  const before = process.memoryUsage.rss()
  const end = performance.now() + 15_000
  let connections = 0
  for (; connections < 300 && performance.now() < end; connections++) {
    const connection = await peer.dial(address)
    const wire = peer.wires.at(-1)!
    const protocol = Object.values(PROTOCOLS)[connections % 3]!
    const stream = connections % 4 === 0 ? undefined : await connection.newStream(protocol).catch(() => undefined)
    for (let n = 0; n < 5 && wire.status === 'open'; n++) {
      wire.send(randomFrames(Number(stream?.id ?? 1)))
      await new Promise((resolve) => setImmediate(resolve))
    }
    connection.abort(new Error('done'))
  }
  assert.ok(connections >= 50, `${connections} connections`)
  await assertSound(context)
  assert.ok(process.memoryUsage.rss() - before < 300 * MiB)
})

test.run()
