// Block streams on the network in memory: each fault of the hub acts on them, and single frames can be steered.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { EMPTY_BYTES, fromText, toText } from '../../lib/bytes.js'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import type { BlockFrame, BlockStream } from '../../lib/network/network.js'
import { hubHarness } from '../sim/harness/hub-harness.js'
import type { MessageFilter } from '../sim/seams/memory-network.js'
import type { SentFrame } from '../sim/seams/steered-blocks.js'

const test = suite('sim/blocks')

/** A block stream from `a` to `b`, with what is heard at both ends. */
async function blocksHarness() {
  const harness = await hubHarness()
  const { clock, a, b } = harness
  const served: BlockStream[] = []
  b.network.serveBlocks(64 * MiB, (stream) => served.push(stream))
  const open = async (): Promise<BlockStream> => {
    const opened = a.network.openBlocks('b', 64 * MiB, 1000)
    await clock.advance(50)
    return opened
  }
  const opened = await open()
  return { ...harness, open, served, opened, atA: listen(opened), atB: listen(served[0]!) }
}

interface Heard {
  readonly heads: string[]
  readonly bodies: Uint8Array[]
  end: string | undefined
}

function listen(stream: BlockStream): Heard {
  const heard: Heard = { heads: [], bodies: [], end: undefined }
  const read = async () => {
    for await (const { head, body } of stream.source) {
      heard.heads.push(toText(head))
      heard.bodies.push(body)
    }
  }
  read().catch((thrown) => {
    heard.end = thrown.code
  })
  return heard
}

async function* named(names: string, bodyBytes = 0): AsyncGenerator<BlockFrame> {
  for (const name of names) yield { head: fromText(name), body: new Uint8Array(bodyBytes) }
}

/** The code with which a sender ends; 'sent' when it has sent all. */
function send(stream: BlockStream, frames: AsyncIterable<BlockFrame>): { end: string | undefined } {
  const result: { end: string | undefined } = { end: undefined }
  stream.sink(frames).then(
    () => {
      result.end = 'sent'
    },
    (thrown) => {
      result.end = thrown.code
    }
  )
  return result
}

function filtering(frame: MessageFilter['frame']): MessageFilter {
  return { request: (_message, _timeoutMs, go, done) => go(done), frame, passesRumor: () => true }
}

test('a cut holds frames back, and they arrive in order when it heals', async () => {
  const { clock, hub, opened, atB } = await blocksHarness()
  hub.cut('a', 'b')
  send(opened, named('abc'))
  await clock.advance(5000)
  assert.equal(atB.heads, [])
  hub.heal()
  await clock.advance(10)
  assert.equal(atB.heads, ['a', 'b', 'c'])
})

test('in a cut a sender waits when a window is under way, and gives up after 20 s', async () => {
  const { clock, hub, opened, atA, atB } = await blocksHarness()
  hub.cut('a', 'b')
  const sent = send(opened, named('abcdefgh', 512 * KiB))
  await clock.advance(19_000)
  assert.is(sent.end, undefined)
  assert.ok(hub.queuedBytes('a') <= MiB + 64 * KiB)
  await clock.advance(2000)
  assert.equal([sent.end, atA.end, atB.end], ['UNREACHABLE', 'UNREACHABLE', undefined])
  hub.heal()
  await clock.advance(10)
  assert.is(atB.end, 'UNREACHABLE')
  assert.ok(atB.bodies.length <= 2)
})

test('no stream is opened through a cut: TIMEOUT, and the peer serves none when it heals', async () => {
  const { clock, hub, a, served } = await blocksHarness()
  hub.cut('a', 'b')
  const codes: string[] = []
  a.network.openBlocks('b', MiB, 1000).catch((thrown) => codes.push(thrown.code))
  await clock.advance(900)
  assert.equal(codes, [])
  await clock.advance(200)
  assert.equal(codes, ['TIMEOUT'])
  hub.heal()
  await clock.advance(100)
  assert.is(served.length, 1)
})

test('both ends hear that a connection is torn or reset', async () => {
  for (const fault of ['tear', 'reset'] as const) {
    const { clock, hub, opened, atA, atB } = await blocksHarness()
    const sent = send(opened, named('abcdefgh', MiB))
    await clock.settle()
    hub[fault]('a', 'b')
    await clock.advance(20)
    assert.equal([sent.end, atA.end, atB.end], ['UNREACHABLE', 'UNREACHABLE', 'UNREACHABLE'], fault)
  }
})

test('the peer of a node that is killed hears of it, that of one that vanished when it is exposed', async () => {
  const killed = await blocksHarness()
  killed.b.clock.kill()
  killed.hub.kill('b')
  await killed.clock.advance(10)
  assert.is(killed.atA.end, 'UNREACHABLE')
  const gone = await blocksHarness()
  gone.hub.halfOpen('a', 'b')
  await gone.clock.advance(5000)
  assert.equal([gone.atA.end, gone.atB.end], [undefined, 'UNREACHABLE'])
  gone.hub.expose()
  await gone.clock.advance(10)
  assert.is(gone.atA.end, 'UNREACHABLE')
})

test('a paused node reads nothing until it goes on, and a slow reader takes one packet at a time', async () => {
  const { clock, hub, opened, atB } = await blocksHarness()
  hub.pause('b')
  send(opened, named('a'))
  await clock.advance(1000)
  assert.equal(atB.heads, [])
  hub.resume('b')
  hub.slowReader('b', 100)
  send(opened, named('bcd'))
  await clock.advance(50)
  assert.equal(atB.heads, ['a', 'b'])
  await clock.advance(300)
  assert.equal(atB.heads, ['a', 'b', 'c', 'd'])
})

test('the two nodes share no memory', async () => {
  const { clock, served, atA } = await blocksHarness()
  const body = new Uint8Array(1000).fill(1)
  async function* once(): AsyncGenerator<BlockFrame> {
    yield { head: EMPTY_BYTES, body }
  }
  await served[0]!.sink(once())
  body.fill(2)
  await clock.advance(10)
  assert.ok(atA.bodies[0]!.every((byte) => byte === 1))
})

test('a frame that is held keeps the later ones of its stream waiting, and no others', async () => {
  const { clock, hub, opened, open, served, atB } = await blocksHarness()
  const held: Array<() => void> = []
  hub.filter = filtering(({ head }, go) => (toText(head) === 'b' ? held.push(go) : go()))
  send(opened, named('abc'))
  const second = await open()
  const other = listen(served[1]!)
  send(second, named('xyz'))
  await clock.advance(1000)
  assert.equal([atB.heads, other.heads], [['a'], ['x', 'y', 'z']])
  held[0]!()
  await clock.advance(10)
  assert.equal(atB.heads, ['a', 'b', 'c'])
})

test('a filter sees the frames of both ends, and a lost one ends the stream', async () => {
  const { clock, hub, opened, served, atA, atB } = await blocksHarness()
  const seen: string[] = []
  hub.filter = filtering(({ from, to, head }: SentFrame, go, lose) => {
    seen.push(`${from}>${to} ${toText(head)}`)
    if (toText(head) === 'y') lose()
    else go()
  })
  const [there, back] = [send(opened, named('ab')), send(served[0]!, named('xyz'))]
  await clock.advance(10)
  assert.equal(seen.sort(), ['a>b a', 'a>b b', 'b>a x', 'b>a y'])
  assert.equal([there.end, back.end, atA.end, atB.end], ['sent', 'UNREACHABLE', 'UNREACHABLE', 'UNREACHABLE'])
})

test('a sender whose frame is held hears at once that the stream has ended', async () => {
  const { clock, hub, opened } = await blocksHarness()
  hub.filter = filtering(() => {})
  let returned = false
  async function* frames(): AsyncGenerator<BlockFrame> {
    try {
      yield* named('ab')
    } finally {
      returned = true
    }
  }
  const sent = send(opened, frames())
  await clock.settle()
  opened.abort(new RingdError('STALE_VIEW'))
  await clock.settle()
  assert.equal([sent.end, returned], ['STALE_VIEW', true])
})

test.run()
