// Replies as bytes, in both protocols.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { bulk, ErrorReply, type Reply, ReplyWriter, toReply, VerbatimText } from '../../daemon/doors/resp/encoder.js'
import { RingdError } from '../../lib/errors.js'

const test = suite('resp encoder')
const writer = new ReplyWriter()

function encode(reply: Reply, protocol: 2 | 3): string {
  writer.write(reply, protocol)
  return Buffer.concat(writer.take()).toString('latin1')
}

function same(reply: Reply, both: string): void {
  assert.is(encode(reply, 2), both)
  assert.is(encode(reply, 3), both)
}

test('simple strings, bulks, integers and arrays are the same in both protocols', () => {
  same('OK', '+OK\r\n')
  same(bulk('a\r\n'), '$3\r\na\r\n\r\n')
  same(bulk(''), '$0\r\n\r\n')
  same([1, [bulk('x')], []], '*3\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n')
})

test('integers of any size and sign are written whole', () => {
  const numbers = [0, 9, 10, 99, 100, 2147483647, 2147483648, Number.MAX_SAFE_INTEGER, -1, -2147483649]
  for (const number of numbers) same(number, `:${number}\r\n`)
})

test('null, maps, sets and verbatim text have their own forms in RESP3', () => {
  assert.is(encode(null, 2), '$-1\r\n')
  assert.is(encode(null, 3), '_\r\n')
  assert.is(encode(new Map<Reply, Reply>([[bulk('k'), 1]]), 2), '*2\r\n$1\r\nk\r\n:1\r\n')
  assert.is(encode(new Map<Reply, Reply>([[bulk('k'), 1]]), 3), '%1\r\n$1\r\nk\r\n:1\r\n')
  assert.is(encode(new Set<Reply>(['a']), 2), '*1\r\n+a\r\n')
  assert.is(encode(new Set<Reply>(['a']), 3), '~1\r\n+a\r\n')
  assert.is(encode(new VerbatimText('hé'), 2), '$3\r\nh\xc3\xa9\r\n')
  assert.is(encode(new VerbatimText('hé'), 3), '=7\r\ntxt:h\xc3\xa9\r\n')
})

test('an error is one line, whatever text it quotes', () => {
  same(new ErrorReply("ERR unknown command 'a\r\nb\0'"), "-ERR unknown command 'a  b '\r\n")
  same(toReply(new RingdError('NO_QUORUM', 'too few\nowners answer')), '-CLUSTERDOWN too few owners answer\r\n')
  same(new ErrorReply(`ERR ${'x'.repeat(100_000)}`), `-ERR ${'x'.repeat(100_000)}\r\n`)
})

test('values around the bounds for copying and for the scratch buffer stay whole and in order', () => {
  const sizes = [
    1, 8191, 8192, 8193, 60_000, 65_535, 65_536, 65_537, 200_000, 3, 8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192
  ]
  for (const size of sizes) writer.write(Buffer.alloc(size, 'v'), 2)
  const expected = sizes.map((size) => `$${size}\r\n${'v'.repeat(size)}\r\n`).join('')
  assert.ok(Buffer.concat(writer.take()).toString() === expected)
  assert.equal(writer.take(), [])
})

test('a large value is passed on without a copy', () => {
  const value = Buffer.alloc(100_000)
  writer.write(value, 2)
  assert.ok(writer.take().includes(value))
})

test.run()
