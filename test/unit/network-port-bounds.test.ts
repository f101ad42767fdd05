// The port of a daemon on loopback, attacked in ways that cost a peer nothing, while a good client is served.
// time limit: 240 s
// mostly waits
import { createConnection, type Socket } from 'node:net'
import type { Stream } from '@libp2p/interface'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { type ClientLink, connectClient } from '../../lib/network/client-link.js'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import { newPrivateKey } from '../../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetwork } from '../../lib/network/libp2p.js'
import { CLIENT_PROTOCOL } from '../../lib/network/libp2p-options.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { type RawPeer, rawPeer } from './raw-peer.js'

interface Context {
  server: Libp2pNetwork
  metrics: KeptMetrics
  clients: ClientLink[]
  peers: RawPeer[]
  sockets: Socket[]
  uncaught: unknown[]
  stopWatching: () => void
  /** Reads in service now, and the most there have been. */
  reads: { now: number; most: number }
}

const test = suite<Context>('port bounds')
const LARGE = 4 * MiB

test.before.each(async (context) => {
  Object.assign(context, { clients: [], peers: [], sockets: [], uncaught: [], reads: { now: 0, most: 0 } })
  const note = (thrown: unknown): void => void context.uncaught.push(thrown)
  process.on('uncaughtException', note)
  process.on('unhandledRejection', note)
  context.stopWatching = () => {
    process.off('uncaughtException', note)
    process.off('unhandledRejection', note)
  }
  context.metrics = new KeptMetrics()
  const deps = {
    clock: systemClock,
    random: systemRandom,
    log: silent,
    metrics: context.metrics,
    privateKey: await newPrivateKey(systemRandom),
    hlc: { stamp: () => ({ ms: systemClock.now(), counter: 0 }), observe() {} }
  }
  context.server = await createLibp2pNetwork(deps, { listen: ['/ip4/127.0.0.1/tcp/0'] })
  const { reads } = context
  context.server.serveClients((_right, { clientGet }, respond) => {
    const bytes = clientGet?.consistency === 'all' ? LARGE : 10
    reads.most = Math.max(reads.most, ++reads.now)
    setTimeout(() => {
      reads.now--
      respond({ clientValue: { value: new Uint8Array(bytes) } })
    }, 2)
  })
  await context.server.start()
})

test.after.each(async ({ server, clients, peers, sockets, stopWatching }) => {
  for (const peer of peers) await peer.stop()
  for (const socket of sockets) socket.destroy()
  await Promise.all(clients.map((client) => client.close()))
  await server.stop()
  stopWatching()
})

async function connect({ server, clients }: Context): Promise<ClientLink> {
  const deps = { clock: systemClock, random: systemRandom }
  const client = await connectClient(deps, { address: server.addresses()[0]!, timeoutMs: 5000 })
  clients.push(client)
  return client
}

/** A client that says hello and reads nothing from then on. */
async function connectDeaf({ server, peers }: Context): Promise<Stream> {
  const peer = await rawPeer({ role: 'data' })
  peers.push(peer)
  const connection = await peer.dial(server.addresses()[0]!)
  const stream = await connection.newStream(CLIENT_PROTOCOL)
  const writer = new PacketWriter(MiB)
  writer.append(0, false, { hello: helloOf(NOBODY) })
  stream.send(Buffer.concat(writer.finish(0, 0)))
  stream.pause()
  return stream
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 150_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

function portOf(server: Libp2pNetwork): number {
  return Number(/tcp\/(\d+)/.exec(server.addresses()[0]!)![1])
}

async function openSocket({ server, sockets }: Context): Promise<Socket> {
  const socket = createConnection(portOf(server), '127.0.0.1')
  sockets.push(socket)
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

const small = { clientGet: { key: new Uint8Array(4), consistency: '' } }
const large = { clientGet: { key: new Uint8Array(4), consistency: 'all' } }

test('two thousand mute connections keep no client out, and only so many are kept', async (context) => {
  for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 100 }, () => openSocket(context)))
  const begun = performance.now()
  const client = await connect(context)
  await client.request(small, 2000)
  assert.ok(performance.now() - begun < 3000, `${performance.now() - begun} ms`)
  assert.ok(context.metrics.values.get('ringd_network_pending_connections')! <= 512)
  assert.ok(context.metrics.values.get('ringd_network_dropped_connections')! >= 1400)
  assert.equal(context.uncaught, [])
})

test('a stranger that sends bytes without a handshake is cut off', async (context) => {
  const socket = await openSocket(context)
  let closed = false
  socket.on('close', () => {
    closed = true
  })
  for (let n = 0; n < 200 && !closed; n++) {
    socket.write(new Uint8Array(64 * 1024))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  assert.ok(closed)
  assert.ok(socket.bytesWritten < 20 * MiB)
  await (await connect(context)).request(small, 2000)
  assert.equal(context.uncaught, [])
})

test('clients that pipeline large reads and read no answer hold little, and do not delay others', async (context) => {
  const good = await connect(context)
  for (let n = 0; n < 20; n++) await good.request(small, 2000)
  const bad = await Promise.all(Array.from({ length: 20 }, () => connectDeaf(context)))
  const before = process.memoryUsage.rss()
  for (const stream of bad) {
    const writer = new PacketWriter(MiB)
    for (let id = 1; id <= 100; id++) writer.append(id, false, large)
    stream.send(Buffer.concat(writer.finish(0, 0)))
  }
  const waits: number[] = []
  for (let n = 0; n < 100; n++) {
    const begun = performance.now()
    await good.request(small, 5000)
    waits.push(performance.now() - begun)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  waits.sort((one, other) => one - other)
  assert.ok(context.reads.most <= 4 + 1, `${context.reads.most} reads in service`)
  // Not the slowest: the first large answers of all clients are made at once, and the machine may be busy.
  assert.ok(waits[90]! < 500, `${waits[90]} ms`)
  const grown = (process.memoryUsage.rss() - before) / MiB
  assert.ok(grown < 400, `${grown} MiB`)
  // After 2 to 4 s while others wait for the room, the last ones after 20 to 40 s.
  await until(() => context.metrics.values.get('ringd_network_held_bytes') === 0, 'those that read nothing are ended')
  assert.equal(context.uncaught, [])
})

test.run()
