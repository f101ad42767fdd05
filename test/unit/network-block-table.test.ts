// The block streams of all connections: how many there may be, and what ends them.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RingdError } from '../../lib/errors.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { BlockLink } from '../../lib/network/block-stream.js'
import { type BlockConnection, type BlockPeer, BlockTable } from '../../lib/network/block-table.js'
import { ByteBudget, MEMBER_BUDGET } from '../../lib/network/byte-budget.js'
import type { ByteStream, ByteStreamUser } from '../../lib/network/link-options.js'
import type { BlockStream } from '../../lib/network/network.js'
import { VirtualClock } from '../sim/seams/virtual-clock.js'

const test = suite('block table')

const BYTES: ByteStream = { send: () => true, pause() {}, resume() {}, close() {}, abort() {} }

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'no error'
  } catch (thrown) {
    return (thrown as RingdError).code
  }
}

function harness() {
  const clock = new VirtualClock()
  const received = noMetrics.counter('received', 'bytes', {})
  const table = new BlockTable({ clock, log: silent, budget: new ByteBudget(MEMBER_BUDGET), received })
  const handled: BlockStream[] = []
  /** A connection whose streams open when the test calls what is in `attempts`. */
  const peer = (peerId: string) => {
    const attempts: Array<{ attach(bytes: ByteStream): ByteStreamUser; refuse(error: Error): void }> = []
    const signals: AbortSignal[] = []
    const connection: BlockConnection = {
      openBlocks: (attach, signal) =>
        new Promise((_resolve, reject) => {
          attempts.push({ attach, refuse: reject })
          signals.push(signal)
        })
    }
    const known: BlockPeer = { connection, link: { peerId, ringId: 'ab', storeId: '11' } }
    return { known, attempts, signals }
  }
  /** The codes of attempts to open a stream: 'open' when it succeeded. */
  const open = (find: () => BlockPeer): string[] => {
    const codes: string[] = []
    table.open(find, 1000, 3000).then(
      () => codes.push('open'),
      (thrown) => codes.push(thrown.code)
    )
    return codes
  }
  return { clock, table, peer, open, handled, serve: () => table.serve(1000, (stream) => handled.push(stream)) }
}

test('without a handler no stream is served', () => {
  const { table, peer } = harness()
  assert.is(
    codeOf(() => table.accept(peer('a').known, BYTES)),
    'NOT_SERVING'
  )
})

test('a connection has two served streams, and all connections together have 64', async () => {
  const { clock, table, peer, serve, handled } = harness()
  serve()
  const links: BlockLink[] = []
  for (let count = 0; count < 32; count++) {
    const { known } = peer(`peer-${count}`)
    links.push(table.accept(known, BYTES), table.accept(known, BYTES))
    assert.is(
      codeOf(() => table.accept(known, BYTES)),
      'OVERLOADED'
    )
  }
  const { known } = peer('late')
  assert.is(
    codeOf(() => table.accept(known, BYTES)),
    'OVERLOADED'
  )
  links[7]!.ended('gone')
  assert.is(
    codeOf(() => table.accept(known, BYTES)),
    'no error'
  )
  await clock.settle()
  assert.is(handled.length, 64)
})

test('a handler is called in the next turn, and not for a stream that has ended by then', async () => {
  const { clock, table, peer, serve, handled } = harness()
  serve()
  const { known } = peer('a')
  table.accept(known, BYTES)
  table.accept(known, BYTES).ended('gone')
  assert.is(handled.length, 0)
  await clock.settle()
  assert.is(handled.length, 1)
})

test('a handler that throws ends its stream only', async () => {
  const { clock, table, peer } = harness()
  table.serve(1000, () => {
    throw new Error('a defect')
  })
  const link = table.accept(peer('a').known, BYTES)
  await clock.settle()
  assert.ok(link.closed)
})

test('an attempt to open a stream ends in time, and a stream that comes later is refused', async () => {
  const { clock, peer, open } = harness()
  const { known, attempts, signals } = peer('a')
  const codes = open(() => known)
  await clock.advance(2900)
  assert.equal(codes, [])
  await clock.advance(200)
  assert.equal(codes, ['TIMEOUT'])
  assert.ok(signals[0]!.aborted)
  assert.is(
    codeOf(() => attempts[0]!.attach(BYTES)),
    'UNREACHABLE'
  )
})

test('two streams may be opened at a time; an attempt and a stream that ended make room again', async () => {
  const { clock, table, peer, open } = harness()
  const { known, attempts } = peer('a')
  const [first, second, third] = [open(() => known), open(() => known), open(() => known)]
  await clock.settle()
  assert.equal([first, second, third], [[], [], ['OVERLOADED']])
  attempts[0]!.refuse(new Error('no such protocol'))
  const link = attempts[1]!.attach(BYTES) as BlockLink
  await clock.settle()
  assert.equal([first, second], [['UNREACHABLE'], ['open']])
  // Ended and opened in one turn: the old stream is gone when the new one is asked for.
  open(() => known)
  link.abort(new RingdError('STOPPED'))
  open(() => known)
  const last = open(() => known)
  await clock.settle()
  assert.equal([last, attempts.length], [['OVERLOADED'], 4])
  table.end(known.connection, new RingdError('STOPPED'))
})

test('with a link all its streams end, and all attempts to open one', async () => {
  const { clock, table, peer, open, serve } = harness()
  serve()
  const [one, other] = [peer('a'), peer('b')]
  const opened = open(() => one.known)
  await clock.settle()
  const ends = [one.attempts[0]!.attach(BYTES) as BlockLink, table.accept(one.known, BYTES)]
  const waiting = open(() => one.known)
  const elsewhere = table.accept(other.known, BYTES)
  await clock.settle()
  table.end(one.known.connection, new RingdError('STOPPED'))
  await clock.settle()
  assert.equal([opened, waiting], [['open'], ['STOPPED']])
  assert.ok(one.signals[1]!.aborted)
  assert.equal(
    [...ends, elsewhere].map((link) => link.closed),
    [true, true, false]
  )
  assert.is(
    codeOf(() => [table.accept(one.known, BYTES), table.accept(one.known, BYTES)]),
    'no error'
  )
})

test('a peer that cannot be found when the attempt begins is an error', async () => {
  const { clock, open } = harness()
  const codes = open(() => {
    throw new RingdError('UNREACHABLE')
  })
  await clock.settle()
  assert.equal(codes, ['UNREACHABLE'])
})

test.run()
