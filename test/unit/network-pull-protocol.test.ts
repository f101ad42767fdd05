// The protocol of block streams over libp2p, on loopback, in the hands of peers that do not keep its rules.
import type { Connection, Stream } from '@libp2p/interface'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type RingdError, toRingdError } from '../../lib/errors.js'
import { BLOCK_HEAD_BYTES_MAX, KiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import { newPrivateKey } from '../../lib/network/identity.js'
import { createLibp2pNetwork, type Libp2pNetwork } from '../../lib/network/libp2p.js'
import { PROTOCOLS, PULL_PROTOCOL } from '../../lib/network/libp2p-options.js'
import type { BlockStream } from '../../lib/network/network.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { systemClock } from '../../lib/system-clock.js'
import { systemRandom } from '../../lib/system-random.js'
import { KeptMetrics } from '../sim/seams/kept-metrics.js'
import { type RawPeer, rawPeer } from './raw-peer.js'

const PATIENCE_MS = 10_000
const RING = { ringId: 'ab'.repeat(16), storeId: '11'.repeat(16) }

interface Served {
  readonly network: Libp2pNetwork
  readonly address: string
  readonly metrics: KeptMetrics
  readonly streams: BlockStream[]
  /** The codes with which the served streams ended. */
  readonly ends: string[]
}

const test = suite<{ closing: (() => Promise<unknown>)[] }>('pull protocol')
test.before.each((context) => {
  context.closing = []
})
test.after.each(async ({ closing }) => {
  for (const close of closing.reverse()) await close()
})

async function serve(closing: (() => Promise<unknown>)[]): Promise<Served> {
  const hlc = { stamp: () => ({ ms: systemClock.now(), counter: 0 }), observe() {} }
  const privateKey = await newPrivateKey(systemRandom)
  const metrics = new KeptMetrics()
  const deps = { clock: systemClock, random: systemRandom, log: silent, privateKey, hlc, metrics }
  const network = await createLibp2pNetwork(deps, { listen: ['/ip4/127.0.0.1/tcp/0'] })
  const streams: BlockStream[] = []
  const ends: string[] = []
  network.introduce(RING.ringId, RING.storeId)
  network.serveBlocks(64 * KiB, (stream) => {
    streams.push(stream)
    stream.sink(none()).catch(() => {})
    stream.source[Symbol.asyncIterator]()
      .next()
      .catch((thrown: RingdError) => ends.push(thrown.code))
  })
  await network.start()
  closing.push(() => network.stop())
  return { network, address: network.addresses()[0]!, metrics, streams, ends }
}

async function* none(): AsyncGenerator<never> {}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await pause(5)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function raw(closing: (() => Promise<unknown>)[], role: 'member' | 'data' | 'operator'): Promise<RawPeer> {
  const peer = await rawPeer({ role })
  closing.push(() => peer.stop())
  return peer
}

/** A stream of the protocol; undefined when it is refused before it is agreed. */
async function openPull(connection: Connection): Promise<Stream | undefined> {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  return connection.newStream(PULL_PROTOCOL, { signal, maxOutboundStreams: 100 }).catch(() => undefined)
}

async function assertRefused(connection: Connection): Promise<void> {
  const stream = await openPull(connection)
  if (stream !== undefined) await until(() => stream.status !== 'open', 'the stream is refused')
}

/** A member of the ring, as far as its hellos tell. */
async function greetedMember(closing: (() => Promise<unknown>)[], { network, address }: Served): Promise<Connection> {
  const peer = await raw(closing, 'member')
  const connection = await peer.dial(address)
  const writer = new PacketWriter(1000)
  writer.append(0, false, { hello: helloOf({ ...NOBODY, ...RING }) })
  const hello = Buffer.concat(writer.finish(1, 1))
  for (const protocol of Object.values(PROTOCOLS)) {
    const stream = await connection.newStream(protocol)
    stream.addEventListener('message', () => {})
    stream.send(new Uint8Array(hello))
  }
  await until(() => network.link(peer.node.peerId.toString()) !== undefined, 'the peer is up')
  return connection
}

for (const role of ['data', 'operator'] as const) {
  test(`a client with the right ${role} opens no block stream, and keeps its connection`, async ({ closing }) => {
    const served = await serve(closing)
    const connection = await (await raw(closing, role)).dial(served.address)
    for (let time = 0; time < 3; time++) await assertRefused(connection)
    assert.is(connection.status, 'open')
    assert.is(served.streams.length, 0)
  })
}

test('a peer that has said no hello opens no block stream', async ({ closing }) => {
  const served = await serve(closing)
  const connection = await (await raw(closing, 'member')).dial(served.address)
  await assertRefused(connection)
  const stream = await connection.newStream(PROTOCOLS.control)
  stream.addEventListener('message', () => {})
  await assertRefused(connection)
  assert.is(served.streams.length, 0)
})

test('garbage ends a block stream, and neither the link nor another block stream', async ({ closing }) => {
  const served = await serve(closing)
  const connection = await greetedMember(closing, served)
  const [quiet, loud] = [await openPull(connection), await openPull(connection)]
  await until(() => served.streams.length === 2, 'both are served')
  loud!.send(new Uint8Array(1000).fill(255))
  await until(() => loud!.status !== 'open', 'the stream ends')
  assert.equal(served.ends, ['BAD_MESSAGE'])
  assert.is(quiet!.status, 'open')
  assert.ok(served.network.link(connection.remotePeer.toString()) === undefined)
  assert.is(connection.status, 'open')
  assert.is(served.metrics.values.get('ringd_network_received_bytes')! >= 1000, true)
})

test('a third block stream is refused, and one that ended makes room', async ({ closing }) => {
  const served = await serve(closing)
  const connection = await greetedMember(closing, served)
  const [first] = [await openPull(connection), await openPull(connection)]
  await until(() => served.streams.length === 2, 'two are served')
  await assertRefused(connection)
  first!.abort(new Error('enough'))
  await until(() => served.ends.length === 1, 'the end is heard')
  await openPull(connection)
  await until(() => served.streams.length === 3, 'another one is served')
})

test('a frame that was announced and not finished is held as far as it arrived, and ends with the connection', async ({
  closing
}) => {
  const served = await serve(closing)
  const connection = await greetedMember(closing, served)
  const stream = await openPull(connection)
  await until(() => served.streams.length === 1, 'it is served')
  const announced = Buffer.alloc(8)
  announced.writeUInt32BE(BLOCK_HEAD_BYTES_MAX, 0)
  announced.writeUInt32BE(8 * 1024 * KiB, 4)
  stream!.send(new Uint8Array(announced))
  for (let sent = 0; sent < 10; sent++) stream!.send(new Uint8Array(20 * KiB))
  await pause(100)
  assert.equal(served.ends, [])
  connection.abort(toRingdError('the cable is pulled'))
  await until(() => served.ends.length === 1, 'the end is heard')
  assert.equal(served.ends, ['UNREACHABLE'])
})

test.run()
