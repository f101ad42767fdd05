// One end of a block stream, connected to hand-made bytes, under virtual time. Repeat a failure with
// SEED=<seed> node dist/test/unit/network-block-stream.test.js
import fc from 'fast-check'
import { Uint8ArrayList } from 'uint8arraylist'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EMPTY_BYTES } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { BLOCK_BODY_BYTES_MAX, BLOCK_HEAD_BYTES_MAX, KiB, MiB } from '../../lib/limits.js'
import { BlockLink, type BlockLinkOptions } from '../../lib/network/block-stream.js'
import { ByteBudget } from '../../lib/network/byte-budget.js'
import type { ByteStream } from '../../lib/network/link-options.js'
import type { BlockFrame } from '../../lib/network/network.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('block stream')

/** A stream whose other end is the test. */
class FakeStream implements ByteStream {
  sent: Uint8Array[] = []
  accepting = true
  aborts = 0
  held = 0

  send(bytes: Uint8Array): boolean {
    this.sent.push(bytes)
    return this.accepting
  }
  pause(): void {
    assert.unreachable('a block stream never pauses')
  }
  resume(): void {}
  close(): void {}
  abort(): void {
    this.aborts++
  }
  unsent(): number {
    return this.held
  }
}

function harness(options: Partial<BlockLinkOptions> = {}) {
  const clock = new VirtualClock()
  const stream = new FakeStream()
  let closes = 0
  const link = new BlockLink(clock, { peerId: 'peer', ringId: 'ab', storeId: '11' }, stream, {
    heldBytesMax: 64 * MiB,
    closed: () => closes++,
    ...options
  })
  return { clock, stream, link, closes: () => closes }
}

/** Reads all frames; `end` is the code of the error that ends them. */
function reading(link: BlockLink): { frames: BlockFrame[]; end: string | undefined } {
  const result: { frames: BlockFrame[]; end: string | undefined } = { frames: [], end: undefined }
  const read = async () => {
    for await (const frame of link.source) result.frames.push(frame)
  }
  read().catch((thrown) => {
    result.end = thrown instanceof RingdError ? `${thrown.code} ${thrown.message}` : String(thrown)
  })
  return result
}

function sending(link: BlockLink, frames: AsyncIterable<BlockFrame>): { end: string | undefined } {
  const result: { end: string | undefined } = { end: undefined }
  link.sink(frames).then(
    () => {
      result.end = 'sent'
    },
    (thrown) => {
      result.end = `${thrown.code} ${thrown.message}`
    }
  )
  return result
}

async function* each(frames: readonly BlockFrame[]): AsyncGenerator<BlockFrame> {
  yield* frames
}

function wire(frames: readonly BlockFrame[]): Buffer {
  return Buffer.concat(frames.flatMap(({ head, body }) => [prefix(head.length, body.length), head, body]))
}

function prefix(head: number, body: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(head, 0)
  bytes.writeUInt32BE(body, 4)
  return bytes
}

function filled(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + seed) & 255)
}

function same(arrived: readonly BlockFrame[], sent: readonly BlockFrame[]): boolean {
  return arrived.length === sent.length && wire(arrived).equals(wire(sent))
}

const FRAMES: readonly BlockFrame[] = [
  { head: filled(3), body: filled(20, 2) },
  { head: EMPTY_BYTES, body: EMPTY_BYTES },
  { head: filled(5, 3), body: EMPTY_BYTES },
  { head: EMPTY_BYTES, body: filled(1, 4) }
]

test('frames are the same wherever their bytes are split', async () => {
  const bytes = wire(FRAMES)
  for (let at = 0; at <= bytes.length; at++) {
    const { clock, link } = harness()
    const read = reading(link)
    link.received(bytes.subarray(0, at))
    link.received(bytes.subarray(at))
    await clock.settle()
    assert.ok(same(read.frames, FRAMES), `split at ${at}`)
  }
})

test('frames are the same in chunks of one byte and in lists of chunks', async () => {
  const frames = [{ head: filled(700), body: filled(5000, 9) }, ...FRAMES]
  const bytes = wire(frames)
  for (const asList of [false, true]) {
    const { clock, link } = harness()
    const read = reading(link)
    const parts = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    if (asList) link.received(new Uint8ArrayList(...parts))
    else for (const part of parts) link.received(part)
    await clock.settle()
    assert.ok(same(read.frames, frames))
    assert.is(link.heldBytes, 0)
  }
})

test('any bytes in any chunks end the stream or are frames, and nothing is held but what arrived', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(performance.timeOrigin) % 2 ** 31)
  const small = fc.nat(40).map((length) => filled(length))
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.record({ head: small, body: small }).map((frame) => new Uint8Array(wire([frame]))),
    fc.tuple(fc.nat(2 ** 32 - 1), fc.nat(2 ** 32 - 1)).map(([head, body]) => new Uint8Array(prefix(head, body)))
  )
  const property = fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
    const { clock, stream, link } = harness()
    const read = reading(link)
    let arrived = 0
    for (const bytes of pieces) {
      arrived += bytes.length
      link.received(bytes)
      assert.ok(link.heldBytes <= arrived)
      assert.is(stream.aborts, 0, 'not within a call of the stream')
    }
    const ended = link.closed
    await clock.settle()
    assert.is(stream.aborts, ended ? 1 : 0)
    if (ended) assert.match(read.end!, /^BAD_MESSAGE/)
    const whole = wire(read.frames)
    assert.ok(whole.equals(Buffer.concat(pieces).subarray(0, whole.length)))
  })
  try {
    await fc.assert(property, { seed, numRuns: 300 })
  } catch (thrown) {
    throw new Error(`again: SEED=${seed} node dist/test/unit/network-block-stream.test.js`, { cause: thrown })
  }
})

test('lengths above the limits end the stream before any byte of the frame, the limits do not', async () => {
  for (const [head, body, isGood] of [
    [BLOCK_HEAD_BYTES_MAX, BLOCK_BODY_BYTES_MAX, true],
    [BLOCK_HEAD_BYTES_MAX + 1, 0, false],
    [0, BLOCK_BODY_BYTES_MAX + 1, false],
    [2 ** 32 - 1, 2 ** 32 - 1, false]
  ] as const) {
    const { clock, stream, link, closes } = harness({ heldBytesMax: 100 })
    const read = reading(link)
    link.received(prefix(head, body))
    assert.is(link.heldBytes, isGood ? 8 : 0)
    assert.is(closes(), 0)
    await clock.settle()
    assert.is(read.end?.slice(0, 11), isGood ? undefined : 'BAD_MESSAGE')
    assert.equal([stream.aborts, closes()], isGood ? [0, 0] : [1, 1])
  }
})

test('what was not read is bounded in bytes, where one frame alone may be larger', async () => {
  const { clock, link } = harness({ heldBytesMax: 1000 })
  const large = wire([{ head: EMPTY_BYTES, body: filled(5000) }])
  link.received(large)
  assert.is(link.heldBytes, large.length)
  const frames = link.source[Symbol.asyncIterator]()
  assert.is((await frames.next()).value.body.length, 5000)
  assert.is(link.heldBytes, 0)
  link.received(wire([{ head: EMPTY_BYTES, body: filled(700) }]))
  link.received(wire([{ head: EMPTY_BYTES, body: filled(700) }]).subarray(0, 200))
  assert.not.ok(link.closed)
  link.received(filled(200))
  assert.ok(link.closed)
  assert.is(link.heldBytes, 0)
  const last = await frames.next().catch((thrown) => thrown.code)
  assert.is(last, 'BAD_MESSAGE')
  await clock.settle()
})

test('what was not read is bounded in frames', () => {
  const { link } = harness()
  link.received(Buffer.alloc(8 * 16_384))
  assert.not.ok(link.closed)
  link.received(Buffer.alloc(8))
  assert.ok(link.closed)
})

test('held bytes count in the budget of the port until they are read or the stream ends', async () => {
  const budget = new ByteBudget({ totalBytesMax: 10_000, peerBytesMax: 10_000 })
  const { clock, stream, link } = harness({ budget })
  link.received(wire([{ head: filled(10), body: filled(1000) }]))
  link.received(prefix(0, 500))
  assert.is(budget.bytes, 1018 + 8)
  const frames = link.source[Symbol.asyncIterator]()
  await frames.next()
  assert.is(budget.bytes, 8)
  stream.held = 300
  sending(link, each([{ head: EMPTY_BYTES, body: EMPTY_BYTES }]))
  await clock.settle()
  assert.is(budget.bytes, 308)
  link.received(filled(400))
  link.abort(new RingdError('STOPPED'))
  assert.is(budget.bytes, 0)
})

test('a stream without room in the budget ends with OVERLOADED', async () => {
  const budget = new ByteBudget({ totalBytesMax: 1000, peerBytesMax: 1000 })
  const { clock, stream, link } = harness({ budget })
  const read = reading(link)
  link.received(prefix(0, 5000))
  link.received(filled(2000))
  await clock.settle()
  assert.match(read.end!, /^OVERLOADED/)
  assert.is(stream.aborts, 1)
  assert.is(budget.bytes, 0)
})

test('a frame that has begun must go on: 64 KiB in 20 s', async () => {
  const { clock, link } = harness()
  const read = reading(link)
  link.received(prefix(0, MiB))
  for (let round = 0; round < 4; round++) {
    await clock.advance(15_000)
    link.received(filled(64 * KiB))
  }
  await clock.advance(19_000)
  assert.is(read.end, undefined)
  await clock.advance(25_000)
  assert.match(read.end!, /^UNREACHABLE a frame of the peer has begun/)
})

test('a stream without a frame under way may be silent', async () => {
  const { clock, link } = harness()
  link.received(wire(FRAMES))
  await clock.advance(200_000)
  assert.not.ok(link.closed)
})

test('what is sent is what the other end reads, in pieces of 63 KiB, 252 KiB in a turn', async () => {
  const { clock, stream, link } = harness()
  const frames = [{ head: filled(10), body: filled(MiB + 5) }, ...FRAMES]
  const sent = sending(link, each(frames))
  const other = harness()
  const read = reading(other.link)
  for (let turns = 1; sent.end === undefined; turns++) {
    assert.ok(turns < 20)
    await new Promise(setImmediate)
    const bytes = stream.sent.reduce((sum, { length }) => sum + length, 0)
    assert.ok(bytes <= 256 * KiB + 10, `${bytes} bytes in one turn`)
    for (const piece of stream.sent.splice(0)) {
      assert.ok(piece.length <= 64 * KiB)
      other.link.received(piece)
    }
    await clock.settle()
  }
  for (const piece of stream.sent) other.link.received(piece)
  await other.clock.settle()
  assert.is(sent.end, 'sent')
  assert.ok(same(read.frames, frames))
})

test('a stream that asks to wait gets nothing until it has drained', async () => {
  const { clock, stream, link } = harness()
  stream.accepting = false
  let taken = 0
  async function* counted(): AsyncGenerator<BlockFrame> {
    for (; taken < 5; taken++) yield FRAMES[0]!
  }
  const sent = sending(link, counted())
  await clock.advance(19_000)
  assert.equal([stream.sent.length, taken], [1, 0])
  link.drained()
  await clock.advance(19_000)
  assert.equal([stream.sent.length, taken], [2, 1], 'the 20 s begin anew')
  stream.accepting = true
  link.drained()
  await clock.settle()
  assert.is(sent.end, 'sent')
})

test('a send that finds no room for 20 s ends the stream, and says why', async () => {
  const { clock, stream, link } = harness()
  stream.accepting = false
  const sent = sending(link, each(FRAMES))
  const read = reading(link)
  await clock.advance(19_900)
  assert.is(sent.end, undefined)
  await clock.advance(200)
  assert.match(sent.end!, /^UNREACHABLE the peer took no bytes for 20 s/)
  assert.match(read.end!, /^UNREACHABLE the peer took no bytes/)
  assert.is(stream.aborts, 1)
})

test('a stream that throws or ends while it sends ends the sender', async () => {
  const throwing = harness()
  throwing.stream.send = () => {
    throw new Error('no more')
  }
  const first = sending(throwing.link, each(FRAMES))
  await throwing.clock.settle()
  assert.match(first.end!, /^UNREACHABLE the stream has ended/)
  const ending = harness()
  ending.stream.send = () => {
    ending.link.ended('gone')
    return false
  }
  const second = sending(ending.link, each(FRAMES))
  await ending.clock.settle()
  assert.match(second.end!, /^UNREACHABLE gone/)
  assert.equal([ending.stream.aborts, ending.closes()], [0, 1])
})

test('after its end a stream takes nothing, tells nobody again, and never throws', async () => {
  const { clock, stream, link, closes } = harness()
  const read = reading(link)
  link.received(wire(FRAMES).subarray(0, 12))
  link.ended('gone')
  link.ended('again')
  link.abort(new RingdError('STOPPED'))
  link.received(wire(FRAMES))
  link.drained()
  await clock.settle()
  assert.is(read.end, 'UNREACHABLE gone')
  assert.equal([stream.aborts, closes(), link.heldBytes, read.frames.length], [0, 1, 0, 0])
  const sent = sending(link, each(FRAMES))
  await clock.settle()
  assert.match(sent.end!, /^UNREACHABLE/)
  assert.is(stream.sent.length, 0)
})

test('a stream has one reader, and one sender at a time', async () => {
  const { clock, stream, link } = harness()
  reading(link)
  assert.throws(() => link.source[Symbol.asyncIterator](), /read once/)
  stream.accepting = false
  const first = sending(link, each(FRAMES))
  const second = sending(link, each(FRAMES))
  await clock.settle()
  assert.match(second.end!, /^INTERNAL/)
  assert.is(first.end, undefined)
  assert.not.ok(link.closed)
})

test.run()
