// One end of a stream, connected to another link or to hand-made packets, under virtual time.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { helloOf, type Identity, meet, NOBODY } from '../../lib/network/hello.js'
import type { ByteStream, LinkOptions } from '../../lib/network/link-options.js'
import type { Answer, Body, RequestHandler, Respond } from '../../lib/network/network.js'
import { decodePacket, PacketReader } from '../../lib/network/packet-reader.js'
import { PacketWriter } from '../../lib/network/packet-writer.js'
import { StreamLink } from '../../lib/network/stream-link.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const RING: Identity = { ...NOBODY, ringId: 'ab'.repeat(16), storeId: '11'.repeat(16) }
const LIMIT = 1 << 20

/** A stream whose other end is the test. */
class FakeStream implements ByteStream {
  readonly sent: Uint8Array[] = []
  accepting = true
  paused = false
  resumes = 0
  ended: 'no' | 'closed' | 'aborted' = 'no'
  onResume: () => void = () => {}

  send(bytes: Uint8Array): boolean {
    this.sent.push(bytes)
    return this.accepting
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.resumes++
    this.onResume()
    this.paused = false
  }
  close(): void {
    this.ended = 'closed'
  }
  abort(): void {
    this.ended = 'aborted'
  }

  /** The frames sent since the last call. */
  take(): Array<{ id: number; answer: boolean; body: Body }> {
    const reader = new PacketReader(LIMIT)
    for (const bytes of this.sent.splice(0)) reader.push(bytes)
    const frames = []
    for (let packet = reader.next(); packet !== undefined; packet = reader.next()) {
      for (const { id, answer, body } of decodePacket(packet).frames) frames.push({ id, answer, body })
    }
    return frames
  }
}

interface Rig {
  readonly clock: VirtualClock
  readonly stream: FakeStream
  readonly link: StreamLink
  readonly closed: RingdError[]
  readonly observed: number[]
  /** The requests that the handler has not answered yet. */
  readonly held: Respond[]
}

function linkHarness(options: Partial<LinkOptions> = {}, handler?: RequestHandler): Rig {
  const clock = new VirtualClock()
  const stream = new FakeStream()
  const closed: RingdError[] = []
  const observed: number[] = []
  const held: Respond[] = []
  const link = new StreamLink(
    { clock, log: silent, hlc: { stamp: () => ({ ms: 1000, counter: 3 }), observe: (ms) => observed.push(ms) } },
    'peer',
    RING,
    stream,
    handler ?? ((_from, _body, respond) => held.push(respond)),
    { greeted() {}, closed: (_link, error) => closed.push(error) },
    { packetBytesMax: LIMIT, ringRequired: true, ...options }
  )
  return { clock, stream, link, closed, observed, held }
}

function packet(...frames: ReadonlyArray<readonly [id: number, body: Body, answer?: boolean]>): Uint8Array {
  const writer = new PacketWriter(2 * LIMIT)
  for (const [id, body, answer = false] of frames) assert.ok(writer.append(id, answer, body))
  return Buffer.concat(writer.finish(5000, 1))
}

function greet({ link }: Rig): void {
  link.received(packet([0, { hello: helloOf(RING) }]))
}

function ask({ link }: Rig, body: Body = { done: {} }, timeoutMs = 1000): Answer[] {
  const answers: Answer[] = []
  link.request(body, timeoutMs, (answer) => answers.push(answer))
  return answers
}

function codes(answers: readonly Answer[]): string[] {
  return answers.map((answer) => (answer instanceof RingdError ? answer.code : 'no error'))
}

const test = suite('stream link')

test('frames of one turn leave as one packet, with the clock', async () => {
  const one = linkHarness()
  await one.clock.settle()
  assert.is(one.stream.sent.length, 1, 'the hello')
  greet(one)
  for (let count = 0; count < 10; count++) ask(one)
  assert.is(one.stream.sent.length, 1)
  await one.clock.settle()
  assert.is(one.stream.sent.length, 2)
  assert.is(decodePacket(one.stream.sent[1]!.subarray(4)).clockMs, 1000)
  assert.equal(one.observed, [5000])
})

test('a request ends exactly once: answered, late, answered twice, or at the end of the link', async () => {
  const one = linkHarness()
  greet(one)
  const answered = ask(one)
  const late = ask(one)
  const cut = ask(one, { done: {} }, 5000)
  one.link.received(packet([1, { done: {} }, true], [1, { done: {} }, true], [99, { done: {} }, true]))
  await one.clock.advance(1100)
  one.link.received(packet([2, { done: {} }, true]))
  one.link.ended('gone')
  one.link.ended('gone')
  assert.equal(codes(answered), ['no error'])
  assert.equal(codes(late), ['TIMEOUT'])
  assert.equal(codes(cut), ['UNREACHABLE'])
  assert.is(one.closed.length, 1)
})

test('requests with various timeouts each end in time', async () => {
  const one = linkHarness()
  greet(one)
  const long = ask(one, { done: {} }, 3000)
  const short = ask(one, { done: {} }, 100)
  const middle = ask(one, { done: {} }, 1000)
  await one.clock.advance(125)
  assert.equal([long.length, short.length, middle.length], [0, 1, 0])
  await one.clock.advance(900)
  assert.equal([long.length, middle.length], [0, 1])
  await one.clock.advance(2000)
  assert.equal(codes(long), ['TIMEOUT'])
})

test('a callback that throws affects no other request', async () => {
  const one = linkHarness()
  greet(one)
  one.link.request({ done: {} }, 1000, () => {
    throw new Error('a defect')
  })
  const other = ask(one)
  one.link.received(packet([1, { done: {} }, true], [2, { done: {} }, true]))
  assert.equal(codes(other), ['no error'])
  assert.not.ok(one.link.closed)
})

test('nothing is served before the hello', () => {
  const one = linkHarness()
  one.link.received(packet([1, { done: {} }]))
  assert.is(one.closed[0]?.code, 'BAD_MESSAGE')
  assert.is(one.stream.ended, 'aborted')
  assert.is(one.held.length, 0)
})

test('the first packet is small', () => {
  const one = linkHarness()
  one.link.received(packet([0, { hello: helloOf(RING) }], [1, { read: { view: 1, key: new Uint8Array(5000) } }]))
  assert.is(one.closed[0]?.code, 'BAD_MESSAGE')
})

test('a link without a hello ends after five seconds', async () => {
  const one = linkHarness()
  await one.clock.advance(4999)
  assert.is(one.closed.length, 0)
  await one.clock.advance(2)
  assert.is(one.closed[0]?.code, 'UNREACHABLE')
})

test('a peer without a ring that is to join one ring refuses a peer of another', () => {
  const joiner = { ...NOBODY, wantedRing: RING.ringId }
  assert.is(meet('peer', helloOf(RING), joiner).ringId, RING.ringId)
  assert.is(meet('peer', helloOf(NOBODY), joiner).ringId, '')
  assert.throws(
    () => meet('peer', helloOf({ ...RING, ringId: 'cd'.repeat(16) }), joiner),
    (thrown: RingdError) => thrown.code === 'WRONG_RING' && /abababab.*cdcdcdcd/.test(thrown.message)
  )
})

test('another wire version or ring is refused with a message, then the link is closed', async () => {
  for (const [hello, code, words] of [
    [{ ...helloOf(RING), wireVersion: 9 }, 'WRONG_VERSION', /version 9/],
    [helloOf({ ...RING, ringId: 'cd'.repeat(16) }), 'WRONG_RING', /abababab.*cdcdcdcd/]
  ] as const) {
    const one = linkHarness()
    await one.clock.settle()
    one.stream.take()
    one.link.received(packet([0, { hello }]))
    const [refusal] = one.stream.take()
    assert.is(refusal?.id, 0)
    assert.is(refusal?.body.refusal?.code, code)
    assert.match(refusal?.body.refusal?.message ?? '', words)
    assert.is(one.stream.ended, 'closed')
    assert.is(one.closed[0]?.code, code)
    assert.equal(codes(await settled(one, ask(one))), ['UNREACHABLE'])
  }
})

async function settled({ clock }: Rig, answers: Answer[]): Promise<Answer[]> {
  await clock.settle()
  return answers
}

test('a refusal of the whole link ends it with its code', () => {
  const one = linkHarness()
  one.link.received(packet([0, { refusal: { code: 'WRONG_RING', message: 'not here' } }, true]))
  assert.is(one.closed[0]?.code, 'WRONG_RING')
  const other = linkHarness()
  other.link.received(packet([0, { refusal: { code: 'NO_SUCH_CODE', message: 'odd' } }, true]))
  assert.is(other.closed[0]?.code, 'INTERNAL')
})

test('an unknown kind of message is BAD_REQUEST', async () => {
  const one = linkHarness()
  greet(one)
  await one.clock.settle()
  one.stream.take()
  const frame = [0x08, 0x01, 0x9a, 0x06, 0x01, 0x78]
  one.link.received(Uint8Array.from([0, 0, 0, frame.length + 2, 0x1a, frame.length, ...frame]))
  await one.clock.settle()
  assert.is(one.stream.take()[0]?.body.refusal?.code, 'BAD_REQUEST')
})

test('a stream that asks to wait gets nothing until it has drained, then everything in order', async () => {
  const one = linkHarness()
  greet(one)
  await one.clock.settle()
  one.stream.take()
  one.stream.accepting = false
  ask(one, { ping: { view: 1 } })
  await one.clock.settle()
  for (let view = 2; view <= 5; view++) {
    ask(one, { ping: { view } })
    await one.clock.settle()
  }
  assert.is(one.stream.sent.length, 1)
  one.stream.accepting = true
  one.link.drained()
  await one.clock.settle()
  assert.equal(
    one.stream.take().map(({ body }) => body.ping?.view),
    [1, 2, 3, 4, 5]
  )
})

test('the bytes that wait to be sent are bounded: OVERLOADED at once', async () => {
  const one = linkHarness({ queuedBytesMax: 100_000 })
  greet(one)
  await one.clock.settle()
  one.stream.accepting = false
  const body = { read: { view: 1, key: new Uint8Array(10_000) } }
  ask(one, body)
  await one.clock.settle()
  const answers = Array.from({ length: 20 }, () => ask(one, body))
  await one.clock.settle()
  const overloaded = answers.filter((list) => list.length > 0)
  assert.is(overloaded.length, 10)
  assert.equal(codes(overloaded[0]!), ['OVERLOADED'])
})

test('the requests that wait for an answer are bounded: OVERLOADED at once', async () => {
  const one = linkHarness({ pendingMax: 10 })
  greet(one)
  const answers = Array.from({ length: 12 }, () => ask(one))
  await one.clock.settle()
  assert.is(answers.filter((list) => list.length > 0).length, 2)
})

test('reading pauses when too many requests are unanswered, and resumes when half of them are answered', async () => {
  const one = linkHarness({ servedMax: 100 })
  greet(one)
  const flood = Array.from({ length: 50 }, (_, index) => [index + 1, { done: {} }] as const)
  for (let round = 0; round < 4; round++) one.link.received(packet(...flood))
  assert.is(one.held.length, 100)
  assert.ok(one.stream.paused)
  for (const respond of one.held.splice(0, 49)) respond({ done: {} })
  await one.clock.settle()
  assert.ok(one.stream.paused)
  for (const respond of one.held.splice(0, 10)) respond({ done: {} })
  await one.clock.settle()
  // The third packet raises the requests to 91, the fourth to 141: a packet that was received is served whole.
  assert.is(one.held.length, 141)
  assert.ok(one.stream.paused)
})

test('the bytes in service are bounded as well', async () => {
  const one = linkHarness({ servedBytesMax: 50_000 })
  greet(one)
  for (let id = 1; id <= 10; id++) one.link.received(packet([id, { read: { view: 1, key: new Uint8Array(10_000) } }]))
  assert.is(one.held.length, 5)
  assert.ok(one.stream.paused)
})

test('frames delivered while a stream resumes are served afterwards, so that a new pause holds', async () => {
  const one = linkHarness({ servedMax: 10 })
  greet(one)
  const flood = Array.from({ length: 10 }, (_, index) => [index + 1, { done: {} }] as const)
  one.link.received(packet(...flood))
  assert.ok(one.stream.paused)
  one.stream.onResume = () => one.link.received(packet(...flood))
  for (const respond of one.held.splice(0)) respond({ done: {} })
  await one.clock.settle()
  assert.is(one.held.length, 10)
  assert.ok(one.stream.paused, 'the pause came after the resume had ended')
})

test('answers that the other side does not read are refused, and finally the link is closed', async () => {
  const one = linkHarness({ queuedBytesMax: 100_000 })
  greet(one)
  await one.clock.settle()
  one.stream.take()
  one.stream.accepting = false
  ask(one)
  await one.clock.settle()
  const large = { value: { envelope: new Uint8Array(50_000) } }
  for (let id = 1; id <= 3; id++) {
    one.link.received(packet([id, { done: {} }]))
    one.held.pop()!(large)
  }
  assert.not.ok(one.link.closed)
  for (let id = 4; id < 10_000 && !one.link.closed; id++) {
    one.link.received(packet([id, { done: {} }]))
    one.held.pop()?.(large)
  }
  assert.is(one.closed[0]?.code, 'OVERLOADED')
})

test('an answer that fits into no packet becomes a refusal', async () => {
  const one = linkHarness({ packetBytesMax: 10_000 })
  greet(one)
  await one.clock.settle()
  one.stream.take()
  one.link.received(packet([1, { done: {} }]))
  one.held[0]!({ value: { envelope: new Uint8Array(20_000) } })
  await one.clock.settle()
  assert.is(one.stream.take()[0]?.body.refusal?.code, 'INTERNAL')
  assert.not.ok(one.link.closed)
})

test('an answer is sent once, and never after the end', async () => {
  const one = linkHarness()
  greet(one)
  one.link.received(packet([1, { done: {} }]))
  await one.clock.settle()
  one.stream.take()
  one.held[0]!({ done: {} })
  one.held[0]!({ done: {} })
  await one.clock.settle()
  assert.is(one.stream.take().length, 1)
  one.link.received(packet([2, { done: {} }]))
  one.link.ended('gone')
  one.held[1]!({ done: {} })
  await one.clock.settle()
  assert.is(one.stream.take().length, 0)
})

test('a peer without a ring is refused where a ring is required, and accepted elsewhere', async () => {
  for (const ringRequired of [true, false]) {
    const one = linkHarness({ ringRequired })
    one.link.received(packet([0, { hello: helloOf(NOBODY) }], [1, { done: {} }]))
    await one.clock.settle()
    const refusal = one.stream.take().find(({ id }) => id === 1)
    assert.is(refusal?.body.refusal?.code, ringRequired ? 'NOT_SERVING' : undefined)
    assert.is(one.held.length, ringRequired ? 0 : 1)
  }
})

test('close sends the frames queued before it, and fails pending requests', async () => {
  const one = linkHarness()
  greet(one)
  await one.clock.settle()
  one.stream.take()
  const pending = ask(one)
  one.link.close(new RingdError('STOPPED'))
  assert.is(one.stream.take().length, 1)
  assert.equal(codes(pending), ['STOPPED'])
  assert.is(one.stream.ended, 'closed')
  assert.equal(codes(await settled(one, ask(one))), ['STOPPED'])
})

test('a stream that throws ends the link', async () => {
  const one = linkHarness()
  greet(one)
  one.stream.send = () => {
    throw new Error('no more')
  }
  const pending = ask(one)
  await one.clock.settle()
  assert.equal(codes(pending), ['UNREACHABLE'])
  assert.is(one.closed.length, 1)
})

test.run()
