// What one link holds, and when it ends: unread answers, packets that never end, reads in service. Under virtual time.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RingdError } from '../../lib/errors.js'
import { LargeWork } from '../../lib/large-work.js'
import { KiB, MiB } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { AnswerLanes } from '../../lib/network/answer-lanes.js'
import { ByteBudget, CLIENT_BUDGET } from '../../lib/network/byte-budget.js'
import { helloOf, NOBODY } from '../../lib/network/hello.js'
import { type ByteStream, servedClientOptions } from '../../lib/network/link-options.js'
import type { Body, Respond } from '../../lib/network/network.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { LINK_OPTIONS } from '../../lib/network/peer-table.js'
import { STALL_MS, StallWatch } from '../../lib/network/stall-watch.js'
import { StreamLink } from '../../lib/network/stream-link.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('link bounds')

/** A stream whose reader takes bytes only when the test says so. */
class SlowStream implements ByteStream {
  unsentBytes = 0
  paused = false
  sentPackets = 0
  reads = true
  ended = false
  onResume: () => void = () => {}

  send(bytes: Uint8Array): boolean {
    this.sentPackets++
    if (this.reads) return true
    this.unsentBytes += bytes.length
    return false
  }
  pause(): void {
    this.paused = true
  }
  /** As libp2p does: delivers what it held, and reads on, also when it was paused meanwhile. */
  resume(): void {
    this.onResume()
    this.paused = false
  }
  close(): void {
    this.ended = true
  }
  abort(): void {
    this.ended = true
  }
  unsent(): number {
    return this.unsentBytes
  }
}

interface Client {
  readonly link: StreamLink
  readonly stream: SlowStream
  readonly held: Respond[]
  readonly closed: RingdError[]
  send(...bodies: Body[]): void
}

class Port {
  readonly clock = new VirtualClock()
  readonly budget = new ByteBudget({ totalBytesMax: 96 * MiB, peerBytesMax: 32 * MiB })
  readonly lanes = new AnswerLanes(this.clock)

  client(peerId: string, options = servedClientOptions(this.budget, this.lanes), largeWork?: LargeWork): Client {
    const stream = new SlowStream()
    const held: Respond[] = []
    const closed: RingdError[] = []
    const link = new StreamLink(
      { clock: this.clock, log: silent, hlc: { stamp: () => ({ ms: 0, counter: 0 }), observe() {} }, largeWork },
      peerId,
      { ...NOBODY, ringId: 'ab'.repeat(16), storeId: '11'.repeat(16) },
      stream,
      (_from, _body, respond) => held.push(respond),
      { greeted() {}, closed: (_link, error) => closed.push(error) },
      options
    )
    let id = 1
    const send = (...bodies: Body[]): void => {
      const writer = new PacketWriter(9 * MiB)
      for (const body of bodies) writer.append(body.hello === undefined ? id++ : 0, false, body)
      link.received(Buffer.concat(writer.finish(0, 0)))
    }
    send({ hello: helloOf(NOBODY) })
    return { link, stream, held, closed, send }
  }
}

const GET: Body = { clientGet: { key: new Uint8Array(8), consistency: '' } }
const value = (bytes: number) => ({ clientValue: { value: new Uint8Array(bytes) } })

test('a client that pipelines reads of unknown size has one in service, however many it sends', () => {
  const port = new Port()
  const client = port.client('a')
  client.send(...Array.from({ length: 4000 }, () => GET))
  assert.is(client.held.length, 1)
  assert.ok(client.stream.paused)
  assert.ok(port.budget.bytes <= 32 * MiB)
})

test('a report does not wait for the turns of large values', () => {
  const port = new Port()
  const reader = port.client('a')
  reader.send(...Array.from({ length: 16 }, () => GET))
  const operator = port.client('b')
  operator.send({ clientQuery: { topic: 'status', argument: new Uint8Array(0) } })
  assert.is(operator.held.length, 1)
})

test('a client with small answers gets more in service, and all of its requests are answered', async () => {
  const port = new Port()
  const client = port.client('a')
  client.send(...Array.from({ length: 4000 }, () => GET))
  let answered = 0
  let most = 0
  while (client.held.length > 0) {
    most = Math.max(most, client.held.length)
    client.held.shift()!(value(100))
    answered++
    if (answered % 100 === 0) await port.clock.advance(1)
  }
  await port.clock.advance(100)
  assert.is(answered, 4000)
  assert.is(most, 32)
  assert.not.ok(client.stream.paused)
  assert.is(port.budget.bytes, 0)
})

test('a client that does not read its answers is read no further, and ended when it makes no progress', async () => {
  const port = new Port()
  const client = port.client('a')
  client.stream.reads = false
  client.send(...Array.from({ length: 4000 }, () => GET))
  for (let n = 0; n < 10; n++) {
    client.held.shift()?.(value(8 * MiB))
    await port.clock.advance(100)
  }
  assert.is(client.held.length, 0)
  assert.ok(client.stream.paused)
  assert.ok(port.budget.bytes <= 33 * MiB, `${port.budget.bytes}`)
  await port.clock.advance(25_000)
  assert.is(client.closed[0]?.code, 'OVERLOADED')
  assert.is(port.budget.bytes, 0)
})

test('a client that reads slowly is not ended', async () => {
  const port = new Port()
  const client = port.client('a')
  client.stream.reads = false
  client.send(GET)
  client.held.shift()!(value(8 * MiB))
  for (let n = 0; n < 60; n++) {
    await port.clock.advance(5000)
    client.stream.unsentBytes = Math.max(0, client.stream.unsentBytes - 100 * KiB)
    client.link.drained()
  }
  assert.equal(client.closed, [])
})

test('what the stream sends after it has told that it drains does not count any more', async () => {
  const port = new Port()
  const client = port.client('a')
  await port.clock.advance(1)
  client.stream.reads = false
  client.send(GET)
  client.held.shift()!(value(MiB))
  await port.clock.advance(1)
  assert.ok(port.budget.bytes > MiB)
  client.stream.reads = true
  client.link.drained()
  await port.clock.advance(1)
  client.stream.unsentBytes = 0
  client.link.drained()
  await port.clock.advance(1)
  assert.is(port.budget.bytes, 0)
})

test('two hundred clients that read nothing hold no more than the budget, and a small reader is served', async () => {
  const port = new Port()
  const good = port.client('good')
  for (let n = 0; n < 5; n++) {
    good.send(GET)
    good.held.shift()!(value(100))
    await port.clock.advance(1)
  }
  const clients = Array.from({ length: 200 }, (_, n) => port.client(`p${n}`))
  for (const client of clients) {
    client.stream.reads = false
    client.send(...Array.from({ length: 16 }, () => GET))
  }
  let inService = 0
  for (let n = 0; n < 500; n++) {
    const serving = clients.filter((client) => client.held.length > 0)
    inService = Math.max(
      inService,
      serving.reduce((sum, client) => sum + client.held.length, 0)
    )
    for (const client of serving) client.held.shift()!(value(8 * MiB))
    await port.clock.advance(10)
    // A peer below its share may take one more answer when the total of 48 MiB is reached.
    assert.ok(port.budget.bytes <= 2 * CLIENT_BUDGET.totalBytesMax, `${port.budget.bytes}`)
    if (n % 50 === 0) {
      good.send(GET)
      assert.is(good.held.length, 1)
      good.held.shift()!(value(100))
      await port.clock.advance(1)
    }
  }
  assert.is(inService, 1)
  assert.equal(good.closed, [])
})

/** The first bytes of a packet that would have `bytes` bytes. */
function begun(bytes: number, sent: number): Uint8Array {
  const packet = new Uint8Array(sent)
  new DataView(packet.buffer).setUint32(0, bytes)
  return packet
}

/** A whole packet with an answer to no request, of `bytes` and a little more. */
function packetOf(bytes: number): Uint8Array {
  const writer = new PacketWriter(8 * MiB)
  writer.append(99, true, { value: { envelope: new Uint8Array(bytes) } })
  return Buffer.concat(writer.finish(1, 1))
}

for (const [name, options] of [
  ['of a client', undefined],
  ['of a member', { ...LINK_OPTIONS.bulk }]
] as const) {
  test(`a packet ${name} that has begun and does not go on ends the link`, async () => {
    const port = new Port()
    const { link, closed } = port.client('a', options)
    link.received(begun(8 * MiB, 8 * MiB - 10))
    await port.clock.advance(19_000)
    assert.equal(closed, [])
    await port.clock.advance(2000)
    assert.is(closed[0]?.code, 'UNREACHABLE')
  })
}

test('a packet that goes on slowly, and one that comes in time, end nothing', async () => {
  const port = new Port()
  const { link, closed } = port.client('a')
  const bytes = packetOf(4 * MiB)
  for (let at = 0; at < bytes.length; at += 64 * KiB) {
    link.received(bytes.slice(at, at + 64 * KiB))
    await port.clock.advance(15_000)
  }
  await port.clock.advance(60_000)
  assert.equal(closed, [])
})

test('small packets that happen to be incomplete at each look end nothing', async () => {
  const port = new Port()
  const { link, closed } = port.client('a')
  const packet = packetOf(100)
  for (let n = 0; n < 20; n++) {
    link.received(n === 0 ? packet.subarray(0, 50) : Buffer.concat([packet.subarray(50), packet.subarray(0, 50)]))
    await port.clock.advance(15_000)
  }
  assert.equal(closed, [])
})

test('a process that did not run ends no link before it has read what came meanwhile', () => {
  let now = 0
  let due = (): void => {}
  const stalls: number[] = []
  const after = (_delayMs: number, task: () => void) => {
    due = task
    return { cancel() {} }
  }
  const watch = new StallWatch(
    { now: () => now, elapsed: () => now, after, defer: (task) => task() },
    { periodMs: STALL_MS, isWaiting: () => true, progress: () => 0, onStall: () => stalls.push(now) }
  )
  watch.watch()
  now += STALL_MS + 5000
  due()
  assert.equal(stalls, [])
  now += STALL_MS
  due()
  assert.equal(stalls, [2 * STALL_MS + 5000])
})

test('a hundred peers that begin packets and stop hold no more than the budget', async () => {
  const port = new Port()
  const clients = Array.from({ length: 100 }, (_, n) => port.client(`p${n}`))
  for (let round = 0; round < 8; round++) {
    for (const { link } of clients) {
      link.received(round === 0 ? begun(8 * MiB, MiB) : new Uint8Array(MiB - 10))
      assert.ok(port.budget.bytes <= 97 * MiB, `${port.budget.bytes}`)
    }
    await port.clock.advance(1)
  }
  assert.ok(clients.some(({ closed }) => closed[0]?.code === 'OVERLOADED'))
  // One period in which they made progress, and one in which they did not.
  await port.clock.advance(45_000)
  assert.is(port.budget.bytes, 0)
})

test('a link that has to wait while its stream delivers what it held stays paused', async () => {
  const port = new Port()
  const alwaysBusy = new LargeWork(port.clock, () => port.clock.elapsed())
  const { link, stream } = port.client('a', undefined, alwaysBusy)
  let resumes = 0
  stream.onResume = () => {
    resumes += 1
    link.received(new Uint8Array(256 * KiB))
  }
  link.received(begun(8 * MiB, 256 * KiB))
  assert.ok(stream.paused)
  for (let turn = 1; turn <= 5; turn++) {
    await port.clock.advance(100)
    assert.is(resumes, turn)
    assert.ok(stream.paused, `turn ${turn}`)
  }
})

test('the requests of one peer in service are bounded, and wait', () => {
  const port = new Port()
  const client = port.client('a')
  const put: Body = { clientPut: { key: new Uint8Array(8), value: new Uint8Array(MiB), consistency: '' } }
  for (let n = 0; n < 40 && !client.stream.paused; n++) client.send(put)
  assert.ok(client.stream.paused)
  assert.ok(client.held.length <= 17)
  assert.equal(client.closed, [])
})

test('clients that do not read keep a large reader waiting for seconds, not for the time of a stall', async () => {
  const port = new Port()
  const deaf = Array.from({ length: 14 }, (_, n) => port.client(`p${n}`))
  const answerAll = async (rounds: number): Promise<void> => {
    for (let n = 0; n < rounds; n++) {
      for (const { held } of deaf) held.shift()?.(value(8 * MiB))
      await port.clock.advance(100)
    }
  }
  for (const client of deaf) {
    client.stream.reads = false
    client.send(GET)
  }
  await answerAll(15)
  const reader = port.client('reader')
  reader.send(GET)
  assert.is(reader.held.length, 0, 'there is no room')
  await answerAll(50)
  assert.is(reader.held.length, 1)
})

test('a client that does not read has 20 s while nobody needs the room', async () => {
  const port = new Port()
  const client = port.client('a')
  client.stream.reads = false
  client.send(GET)
  client.held.shift()!(value(8 * MiB))
  await port.clock.advance(15_000)
  assert.equal(client.closed, [])
  await port.clock.advance(30_000)
  assert.is(client.closed[0]?.code, 'OVERLOADED')
})

test('on the stream control 200 requests of one peer begin in a second, and the others wait', async () => {
  const port = new Port()
  const member = port.client('m', LINK_OPTIONS.control)
  member.send(...Array.from({ length: 300 }, () => ({ ping: { view: 0 } })))
  assert.is(member.held.length, 200)
  await port.clock.advance(1000)
  assert.is(member.held.length, 300)
  assert.equal(member.closed, [])
})

test.run()
