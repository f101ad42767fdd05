// Tests of block streams that every implementation of Network must pass.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EMPTY_BYTES } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { BLOCK_BODY_BYTES_MAX, BLOCK_HEAD_BYTES_MAX, KiB, MiB } from '../../lib/limits.js'
import type { BlockFrame, BlockStream } from '../../lib/network/network.js'
import {
  ask,
  bytes,
  codeOf,
  codeOfThrown,
  connect,
  countOf,
  echo,
  type NetworkFixture,
  OTHER_RING,
  type Peer,
  pair,
  peer,
  RING
} from './network-peers.js'

const HELD_BYTES_MAX = 32 * MiB
const OPEN_TIMEOUT_MS = 5000

export function blockConformance(name: string, makeFixture: () => Promise<NetworkFixture>): void {
  const test = suite<{ fixture: NetworkFixture }>(name)
  test.before.each(async (context) => {
    context.fixture = await makeFixture()
  })
  test.after.each(async (context) => {
    await context.fixture.close()
  })

  test('frames arrive whole and in order, in both directions at once', async ({ fixture }) => {
    const { opened, served } = await streams(fixture)
    const sizes = [0, 1, 7, 8, 9, 1000, BLOCK_HEAD_BYTES_MAX, 200_000, 0, 3]
    const frames = sizes.map((size, index) => ({
      head: patterned(Math.min(size, BLOCK_HEAD_BYTES_MAX), index),
      body: patterned(sizes[sizes.length - 1 - index]!, 100 + index)
    }))
    const back = frames.map(({ head, body }) => ({
      head: patterned(head.length, 50),
      body: patterned(body.length, 51)
    }))
    const there = Promise.all([opened.sink(each(frames)), take(served, frames.length)])
    const here = Promise.all([served.sink(each(back)), take(opened, back.length)])
    assert.ok(same((await fixture.wait(there))[1], frames))
    assert.ok(same((await fixture.wait(here))[1], back))
  })

  test('large bodies arrive whole, and the largest there may be', async ({ fixture }) => {
    const { opened, served } = await streams(fixture)
    const sizes = [4 * MiB, 4 * MiB, BLOCK_BODY_BYTES_MAX, 4 * MiB]
    const frames = sizes.map((size, index) => ({ head: bytes(`head ${index}`), body: patterned(size, index) }))
    const both = Promise.all([take(served, frames.length), take(opened, frames.length)])
    await fixture.wait(Promise.all([opened.sink(each(frames)), served.sink(each(frames))]))
    for (const arrived of await fixture.wait(both)) assert.ok(same(arrived, frames))
  })

  test('a frame above the limits is BAD_REQUEST, and ends the stream', async ({ fixture }) => {
    for (const [head, body] of [
      [BLOCK_HEAD_BYTES_MAX + 1, 0],
      [0, BLOCK_BODY_BYTES_MAX + 1]
    ] as const) {
      const { opened, served } = await streams(fixture)
      const frame = { head: new Uint8Array(head), body: new Uint8Array(body) }
      assert.is(await fixture.wait(codeOfThrown(opened.sink(each([frame])))), 'BAD_REQUEST')
      assert.is(await fixture.wait(codeOfThrown(take(served, 1))), 'UNREACHABLE')
    }
  })

  test('a reader that does not read holds a bounded number of bytes, then the stream ends', async ({ fixture }) => {
    const { a, b, opened, served } = await streams(fixture, { heldBytesMax: MiB })
    const frame = { head: bytes('head'), body: new Uint8Array(256 * KiB) }
    assert.is(await fixture.wait(codeOfThrown(opened.sink(repeated(frame, 1000)))), 'UNREACHABLE')
    assert.is(await fixture.wait(codeOfThrown(take(served, 1))), 'BAD_MESSAGE')
    assert.is(countOf(a, 'down') + countOf(b, 'down'), 0)
    assert.is(codeOf(await fixture.wait(ask(a, b, { ping: { view: 1 } }))), 'no error')
  })

  test('one frame may be larger than what a reader holds, when nothing else is held', async ({ fixture }) => {
    const { opened, served } = await streams(fixture, { heldBytesMax: 10 })
    const frame = { head: EMPTY_BYTES, body: patterned(MiB, 3) }
    await fixture.wait(opened.sink(each([frame])))
    await fixture.elapse(100)
    const reader = served.source[Symbol.asyncIterator]()
    assert.ok(same([(await fixture.wait(reader.next())).value], [frame]))
    await fixture.wait(opened.sink(each([frame, { head: EMPTY_BYTES, body: EMPTY_BYTES }])))
    await fixture.elapse(200)
    assert.is(await fixture.wait(codeOfThrown(reader.next())), 'BAD_MESSAGE')
  })

  test('abort reaches a reader and a sender of the other end, and is told to those of this one', async ({
    fixture
  }) => {
    const { a, b, opened, served } = await streams(fixture)
    const ends = [
      codeOfThrown(take(opened, 1)),
      codeOfThrown(opened.sink(never())),
      codeOfThrown(take(served, 1)),
      codeOfThrown(served.sink(never()))
    ]
    await fixture.elapse(20)
    served.abort(new RingdError('STALE_VIEW', 'another view'))
    served.abort(new RingdError('INTERNAL', 'too late'))
    const codes = await fixture.wait(Promise.all(ends))
    assert.equal(codes, ['UNREACHABLE', 'UNREACHABLE', 'STALE_VIEW', 'STALE_VIEW'])
    assert.is(await fixture.wait(codeOfThrown(opened.sink(each([])))), 'UNREACHABLE')
    assert.is(codeOf(await fixture.wait(ask(a, b, { ping: { view: 1 } }))), 'no error')
  })

  test('a sender whose frames fail ends the stream, and one whose stream ends stops its frames', async ({
    fixture
  }) => {
    const first = await streams(fixture)
    assert.is(await fixture.wait(codeOfThrown(first.opened.sink(failing()))), 'DISK_FULL')
    assert.is(await fixture.wait(codeOfThrown(take(first.served, 1))), 'UNREACHABLE')
    const { opened, served } = await streams(fixture)
    let returned = false
    const frames = never(() => {
      returned = true
    })
    const sent = codeOfThrown(opened.sink(frames))
    served.abort(new RingdError('STOPPED'))
    assert.is(await fixture.wait(sent), 'UNREACHABLE')
    assert.ok(returned)
  })

  test('both ends hear at once when a peer stops or dies', async ({ fixture }) => {
    for (const end of ['stop', 'kill'] as const) {
      const { b, opened, served } = await streams(fixture)
      const ends = [codeOfThrown(take(opened, 1)), codeOfThrown(opened.sink(never()))]
      const own = codeOfThrown(take(served, 1))
      await fixture.elapse(20)
      await fixture.wait(end === 'stop' ? b.network.stop() : fixture.kill(b.network))
      assert.equal(await fixture.wait(Promise.all(ends)), ['UNREACHABLE', 'UNREACHABLE'], end)
      if (end === 'kill') continue
      assert.is(await fixture.wait(own), 'STOPPED')
      assert.is(await fixture.wait(codeOfThrown(b.network.openBlocks('nobody', MiB, 1000))), 'STOPPED')
    }
  })

  test('a stream ends when its peer says another hello: a stream is with one member', async ({ fixture }) => {
    const { a, b, opened, served } = await streams(fixture)
    assert.is(opened.from.storeId, '11'.repeat(16))
    const ends = [codeOfThrown(take(opened, 1)), codeOfThrown(take(served, 1))]
    b.network.introduce(RING, '11'.repeat(16))
    await fixture.elapse(50)
    b.network.introduce(RING, '22'.repeat(16))
    assert.equal(await fixture.wait(Promise.all(ends)), ['UNREACHABLE', 'UNREACHABLE'])
    await fixture.until(() => a.network.link(b.network.peerId)?.storeId === '22'.repeat(16), 'the hello is heard')
    assert.is((await open(fixture, a, b)).from.storeId, '22'.repeat(16))
  })

  test('no stream is opened while one of the two belongs to no ring', async ({ fixture }) => {
    const member = await peer(fixture)
    const joiner = await peer(fixture, '')
    for (const { network } of [member, joiner]) {
      network.serveBlocks(HELD_BYTES_MAX, () => assert.unreachable('a stream is served'))
      await network.start()
    }
    await connect(fixture, joiner, member)
    for (const [from, to] of [
      [member, joiner],
      [joiner, member]
    ] as const) {
      assert.is(await fixture.wait(codeOfThrown(opening(from, to))), 'UNREACHABLE')
    }
  })

  test('no stream is opened to an unknown peer, one of another ring, or one that serves none', async ({ fixture }) => {
    const [a, b] = await pair(fixture, echo)
    const other = await peer(fixture, OTHER_RING)
    await other.network.start()
    await fixture.wait(codeOfThrown(a.network.dial(other.network.addresses()[0]!, 5000)))
    for (const id of ['nobody', other.network.peerId]) {
      assert.is(await fixture.wait(codeOfThrown(a.network.openBlocks(id, MiB, 1000))), 'UNREACHABLE')
    }
    // The other end may agree first, and refuse then.
    const refused = opening(a, b).then((stream) => take(stream, 1))
    assert.is(await fixture.wait(codeOfThrown(refused)), 'UNREACHABLE')
    assert.is(codeOf(await fixture.wait(ask(a, b, { ping: { view: 1 } }))), 'no error')
  })

  test('two streams of a connection may be open in each direction, and a new one when one has ended', async ({
    fixture
  }) => {
    const { a, b, opened } = await streams(fixture)
    const second = await open(fixture, a, b)
    assert.is(await fixture.wait(codeOfThrown(opening(a, b))), 'OVERLOADED')
    await open(fixture, b, a)
    for (const ended of [opened, second]) {
      ended.abort(new RingdError('STOPPED'))
      const next = await open(fixture, a, b)
      await fixture.wait(next.sink(each([{ head: bytes('still'), body: bytes('here') }])))
      await fixture.elapse(20)
      next.abort(new RingdError('STOPPED'))
    }
    const together = [opening(a, b), opening(a, b), opening(a, b)].map((one) => codeOfThrown(one))
    assert.equal((await fixture.wait(Promise.all(together))).sort(), ['OVERLOADED', 'no error', 'no error'])
  })

  test('requests of the same connection are answered while blocks flow', async ({ fixture }) => {
    const { a, b, opened, served } = await streams(fixture)
    const frame = { head: bytes('head'), body: patterned(MiB, 1) }
    const flow = Promise.all([opened.sink(repeated(frame, 40)), take(served, 40)])
    let answers = 0
    for (; answers < 20; answers++) {
      assert.is(codeOf(await fixture.wait(ask(a, b, { ping: { view: 1 } }, { stream: 'control' }))), 'no error')
      assert.is(codeOf(await fixture.wait(ask(b, a, { read: { view: 1, key: bytes('key') } }))), 'no error')
    }
    assert.is((await fixture.wait(flow))[1].length, 40)
  })

  test.run()
}

interface Streams {
  readonly a: Peer
  readonly b: Peer
  /** The two ends of a stream from a to b. */
  readonly opened: BlockStream
  readonly served: BlockStream
}

async function streams(fixture: NetworkFixture, { heldBytesMax = HELD_BYTES_MAX } = {}): Promise<Streams> {
  const served: BlockStream[] = []
  const [a, b] = await pair(fixture, (one) => {
    echo(one)
    one.network.serveBlocks(heldBytesMax, (stream) => served.push(stream))
  })
  const opened = await open(fixture, a, b)
  await fixture.until(() => served.length === 1, 'the stream is served')
  assert.is(opened.from.peerId, b.network.peerId)
  assert.is(served[0]!.from.peerId, a.network.peerId)
  return { a, b, opened, served: served[0]! }
}

function opening(from: Peer, to: Peer): Promise<BlockStream> {
  return from.network.openBlocks(to.network.peerId, HELD_BYTES_MAX, OPEN_TIMEOUT_MS)
}

function open(fixture: NetworkFixture, from: Peer, to: Peer): Promise<BlockStream> {
  return fixture.wait(opening(from, to))
}

async function take(stream: BlockStream, count: number): Promise<BlockFrame[]> {
  const frames: BlockFrame[] = []
  for await (const frame of stream.source) if (frames.push(frame) === count) break
  return frames
}

async function* each(frames: readonly BlockFrame[]): AsyncGenerator<BlockFrame> {
  yield* frames
}

async function* repeated(frame: BlockFrame, count: number): AsyncGenerator<BlockFrame> {
  for (let sent = 0; sent < count; sent++) yield frame
}

/** Frames of which the first never comes. */
function never(onReturn: () => void = () => {}): AsyncIterable<BlockFrame> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => new Promise(() => {}),
      async return() {
        onReturn()
        return { done: true, value: undefined }
      }
    })
  }
}

async function* failing(): AsyncGenerator<BlockFrame> {
  if (Date.now() > 0) throw new RingdError('DISK_FULL')
  yield { head: EMPTY_BYTES, body: EMPTY_BYTES }
}

/** Bytes in which a shift by any distance shows. */
function patterned(length: number, seed: number): Uint8Array {
  const made = new Uint8Array(length)
  for (let index = 0; index < length; index++) made[index] = (index * 31 + (index >> 8) * 17 + seed) & 255
  return made
}

function same(arrived: readonly BlockFrame[], sent: readonly BlockFrame[]): boolean {
  return (
    arrived.length === sent.length &&
    arrived.every(({ head, body }, index) => {
      return Buffer.compare(head, sent[index]!.head) === 0 && Buffer.compare(body, sent[index]!.body) === 0
    })
  )
}
