// The peer table: which of several connections to a peer is used, and which events are sent.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { helloOf, type Identity, NOBODY } from '../../lib/network/hello.js'
import type { ByteStream } from '../../lib/network/link-options.js'
import { STREAM_CLASSES, type StreamClass } from '../../lib/network/network.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { type Connection, PeerTable } from '../../lib/network/peer-table.js'
import type { StreamLink } from '../../lib/network/stream-link.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('peer table')
const RING: Identity = { ...NOBODY, ringId: 'ab'.repeat(16), storeId: '11'.repeat(16) }

function hello(identity: Identity): Uint8Array {
  const writer = new PacketWriter(1000)
  writer.append(0, false, { hello: helloOf(identity) })
  return Buffer.concat(writer.finish(1, 1))
}

function hubHarness(self: string) {
  const clock = new VirtualClock()
  const events: string[] = []
  const table = new PeerTable({
    clock,
    log: silent,
    self,
    hlc: { stamp: () => ({ ms: 1, counter: 0 }), observe() {} }
  })
  table.introduce(RING.ringId, RING.storeId)
  table.onPeer((event) => {
    events.push(event.type === 'up' ? `up ${event.link.storeId.slice(0, 2)}` : event.type)
  })

  /** A connection whose streams are all open, but without a hello yet. */
  function connect(peerId: string, outgoing: boolean) {
    const sent: string[] = []
    const links = new Map<StreamClass, StreamLink>()
    let aborted = false
    const connection: Connection = {
      peerId,
      outgoing,
      abort: () => {
        aborted = true
      },
      openBlocks: async () => {}
    }
    for (const stream of STREAM_CLASSES) {
      const bytes: ByteStream = {
        send: () => {
          sent.push(stream)
          return true
        },
        pause() {},
        resume() {},
        close() {},
        abort() {}
      }
      links.set(stream, table.attach(connection, stream, bytes))
    }
    return {
      connection,
      sent,
      links,
      isAborted: () => aborted,
      greet(identity = RING) {
        for (const link of links.values()) link.received(hello(identity))
      }
    }
  }

  /** The connection that carries the next request. */
  async function carrier(...connections: ReturnType<typeof connect>[]): Promise<number> {
    await clock.settle()
    for (const { sent } of connections) sent.length = 0
    table.request('m', 'control', { done: {} }, 1000, () => {})
    await clock.settle()
    return connections.findIndex(({ sent }) => sent.length > 0)
  }

  return { clock, events, table, connect, carrier }
}

test('of two connections, the one dialled by the lower peer id carries requests', async () => {
  for (const [self, expected] of [
    ['a', 0],
    ['z', 1]
  ] as const) {
    for (const order of [
      [0, 1],
      [1, 0]
    ] as const) {
      const { events, connect, carrier } = hubHarness(self)
      const both = [connect('m', true), connect('m', false)]
      for (const index of order) both[index]!.greet()
      assert.is(await carrier(...both), expected)
      assert.equal(events, ['up 11'])
    }
  }
})

test('when one of two connections ends, the other carries on without an event', async () => {
  const { events, table, connect, carrier } = hubHarness('a')
  const [outgoing, incoming] = [connect('m', true), connect('m', false)]
  outgoing.greet()
  incoming.greet()
  table.disconnected(outgoing.connection, 'closed')
  assert.is(await carrier(outgoing, incoming), 1)
  assert.equal(events, ['up 11'])
  table.disconnected(incoming.connection, 'closed')
  table.disconnected(incoming.connection, 'closed')
  assert.equal(events, ['up 11', 'down'])
})

test('a newer connection of the same dialer replaces the older one', async () => {
  const { events, connect, carrier } = hubHarness('a')
  const older = connect('m', false)
  older.greet()
  const newer = connect('m', false)
  assert.not.ok(older.isAborted(), 'not before it is greeted')
  newer.greet({ ...RING, storeId: '22'.repeat(16) })
  assert.ok(older.isAborted())
  assert.is(await carrier(older, newer), 1)
  assert.equal(events, ['up 11', 'up 22'])
})

test('a peer is up when all classes have had their hello, and again when it introduces itself anew', () => {
  const { events, table, connect } = hubHarness('a')
  const one = connect('m', true)
  one.links.get('control')!.received(hello(RING))
  one.links.get('operations')!.received(hello(RING))
  assert.is(table.link('m'), undefined)
  one.links.get('bulk')!.received(hello(RING))
  one.greet()
  assert.equal(events, ['up 11'])
  one.greet({ ...RING, storeId: '33'.repeat(16) })
  assert.equal(events, ['up 11', 'up 33'])
})

test('one broken link ends its connection and all requests pending on it', async () => {
  const { clock, events, table, connect } = hubHarness('a')
  const one = connect('m', true)
  one.greet()
  const codes: string[] = []
  table.request('m', 'bulk', { done: {} }, 1000, (answer) => codes.push((answer as RingdError).code))
  one.links.get('control')!.received(new Uint8Array([255, 255, 255, 255]))
  await clock.settle()
  assert.ok(one.isAborted())
  assert.equal(events, ['up 11', 'down'])
  assert.equal(codes, ['UNREACHABLE'])
})

test('a connection without a hello in time is ended', async () => {
  const { clock, events, connect } = hubHarness('a')
  const one = connect('m', false)
  one.links.get('control')!.received(hello(RING))
  await clock.advance(5100)
  assert.ok(one.isAborted())
  assert.equal(events, [])
})

test('a second stream of one class is BAD_MESSAGE', () => {
  const { table, connect } = hubHarness('a')
  const { connection } = connect('m', false)
  const bytes = { send: () => true, pause() {}, resume() {}, close() {}, abort() {} }
  assert.throws(
    () => table.attach(connection, 'bulk', bytes),
    (thrown: unknown) => thrown instanceof RingdError && thrown.code === 'BAD_MESSAGE'
  )
})

test('a wait for a peer ends when that peer is up, refused or down, or when the time is over', async () => {
  const { clock, table, connect } = hubHarness('a')
  const heard: string[] = []
  const wait = (): void => {
    table.whenUp('m', 1000).then(
      () => heard.push('up'),
      (error) => heard.push(error.code)
    )
  }
  wait()
  await clock.advance(1100)
  wait()
  const closed = connect('m', true)
  table.disconnected(closed.connection, 'closed')
  await clock.settle()
  wait()
  connect('m', true).greet({ ...RING, ringId: 'cd'.repeat(16) })
  await clock.settle()
  wait()
  connect('m', true).greet()
  await clock.settle()
  assert.equal(heard, ['UNREACHABLE', 'UNREACHABLE', 'WRONG_RING', 'up'])
})

test('a listener that throws does not keep other listeners from being called', () => {
  const { events, table, connect } = hubHarness('a')
  table.onPeer(() => {
    throw new Error('a defect')
  })
  table.onPeer(() => events.push('heard'))
  connect('m', true).greet()
  assert.equal(events, ['up 11', 'heard'])
})

test.run()
