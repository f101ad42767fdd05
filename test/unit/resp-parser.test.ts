// Parsing requests from bytes: every split point, malformed input, random bytes.
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { splitInline } from '../../daemon/doors/resp/inline.js'
import { ARGUMENT_OVERHEAD_BYTES, parseInteger, RequestParser } from '../../daemon/doors/resp/parser.js'
import { RingdError } from '../../lib/errors.js'
import { KiB, MiB } from '../../lib/limits.js'
import { request } from './resp-support.js'

const OPTIONS = { bulkBytesMax: 1 * MiB, requestBytesMax: 4 * MiB }
const test = suite('resp parser')

/** All requests in `chunks` as latin1 strings, then the error if there was one. */
function parse(chunks: readonly Buffer[], options = OPTIONS): { requests: string[][]; error: string | undefined } {
  const parser = new RequestParser(options)
  const requests: string[][] = []
  for (const chunk of chunks) {
    parser.push(chunk)
    try {
      for (let args = parser.next(); args !== undefined; args = parser.next()) {
        assert.ok(args.length > 0)
        requests.push(args.map((arg) => arg.toString('latin1')))
      }
    } catch (error) {
      assert.instance(error, RingdError)
      return { requests, error: (error as RingdError).message }
    }
  }
  return { requests, error: undefined }
}

function refusal(text: string | Buffer, options = OPTIONS): string | undefined {
  const bytes = Buffer.from(text as string, 'latin1')
  const whole = parse([bytes], options).error
  const cut = [...bytes.subarray(0, 2000)].map((byte) => Buffer.from([byte]))
  assert.is(parse([...cut, bytes.subarray(2000)], options).error, whole)
  return whole
}

const SESSION = Buffer.concat([
  request('SET', 'key', Buffer.from([0, 1, 13, 10, 36, 42, 255])),
  Buffer.from('PING\r\n\r\n  \r\nset "a b" \'c\' \n'),
  Buffer.from('*0\r\n*-1\r\n'),
  request('GET', ''),
  request('MGET', 'a', 'b'.repeat(300), ''),
  Buffer.from('get "\\x41\\n\\"" \r\n'),
  request('QUIT')
])
const SESSION_REQUESTS = [
  ['SET', 'key', '\0\x01\r\n$*\xff'],
  ['PING'],
  ['set', 'a b', 'c'],
  ['GET', ''],
  ['MGET', 'a', 'b'.repeat(300), ''],
  ['get', 'A\n"'],
  ['QUIT']
]

test('a recorded session gives the same requests wherever it is split', () => {
  for (let at = 0; at <= SESSION.length; at++) {
    const { requests, error } = parse([SESSION.subarray(0, at), SESSION.subarray(at)])
    assert.is(error, undefined)
    assert.equal(requests, SESSION_REQUESTS, `cut at ${at}`)
  }
})

test('a recorded session gives the same requests in pieces of any size', () => {
  for (let size = 1; size < 64; size++) {
    const chunks: Buffer[] = []
    for (let at = 0; at < SESSION.length; at += size) chunks.push(SESSION.subarray(at, at + size))
    assert.equal(parse(chunks).requests, SESSION_REQUESTS, `pieces of ${size}`)
  }
})

test('a malformed request is refused with the error of Redis', () => {
  assert.is(refusal('*x\r\n'), 'Protocol error: invalid multibulk length')
  assert.is(refusal('*131073\r\n'), 'Protocol error: invalid multibulk length')
  assert.is(refusal('*99999999999999999999\r\n'), 'Protocol error: invalid multibulk length')
  assert.is(refusal('*1\r\n$x\r\n'), 'Protocol error: invalid bulk length')
  assert.is(refusal('*1\r\n$-1\r\n'), 'Protocol error: invalid bulk length')
  assert.is(refusal('*1\r\n$03\r\n'), 'Protocol error: invalid bulk length')
  assert.is(refusal(`*1\r\n$${MiB + 1}\r\n`), 'Protocol error: invalid bulk length')
  assert.is(refusal('*1\r\n$3\r\nfoobar\r\n'), 'Protocol error: invalid bulk length')
  assert.is(refusal('*1\r\nfoo\r\n'), "Protocol error: expected '$', got 'f'")
  assert.is(refusal('set "a\r\n'), 'Protocol error: unbalanced quotes in request')
  assert.is(refusal('a'.repeat(64 * KiB + 1)), 'Protocol error: too big inline request')
  assert.is(refusal(`${'a'.repeat(64 * KiB + 1)}\r\n`), 'Protocol error: too big inline request')
  assert.is(refusal(`*${'1'.repeat(64 * KiB)}`), 'Protocol error: too big mbulk count string')
  assert.is(refusal(`*1\r\n$${'1'.repeat(64 * KiB)}`), 'Protocol error: too big bulk count string')
})

test('requests before a malformed one are still returned', () => {
  const { requests, error } = parse([Buffer.concat([request('PING'), Buffer.from('*1\r\n!')]), Buffer.from('\r\n')])
  assert.equal(requests, [['PING']])
  assert.is(error, "Protocol error: expected '$', got '!'")
})

test('the bytes of one request are bounded, and empty arguments count with their overhead', () => {
  const options = { bulkBytesMax: 1000, requestBytesMax: 10 * ARGUMENT_OVERHEAD_BYTES }
  assert.is(parse([request(...new Array(10).fill(''))], options).error, undefined)
  assert.is(refusal(request(...new Array(11).fill('')), options), 'Protocol error: too big multibulk request')
  assert.is(refusal(request('a'.repeat(900), 'a'.repeat(900)), options), 'Protocol error: too big multibulk request')
})

test('a client without authentication may only send small requests', () => {
  for (const text of ['*11\r\n', '*1\r\n$16385\r\n', 'a b c d e f g h i j k\r\n']) {
    const parser = new RequestParser(OPTIONS)
    parser.trusted = false
    parser.push(Buffer.from(text))
    assert.throws(() => parser.next(), /Protocol error: unauthenticated (multi)?bulk length/)
  }
})

test('an announced length allocates nothing until bytes arrive, then about twice their size', () => {
  const parser = new RequestParser({ bulkBytesMax: 8 * MiB, requestBytesMax: 16 * MiB })
  parser.push(Buffer.from(`*1\r\n$${8 * MiB}\r\n`))
  assert.is(parser.next(), undefined)
  assert.is(parser.heldBytes, 0)
  let sent = 0
  while (sent < 8 * MiB) {
    parser.push(Buffer.alloc(64 * KiB, 'x'))
    assert.is(parser.next(), undefined)
    sent += 64 * KiB
    assert.ok(parser.heldBytes <= 2 * sent + 2, `${parser.heldBytes} held for ${sent}`)
  }
  parser.push(Buffer.from('\r\n'))
  assert.is(parser.next()?.[0]?.length, 8 * MiB)
  assert.is(parser.heldBytes, 0)
})

test('a small argument of an open request does not keep its whole chunk in memory', () => {
  const parser = new RequestParser(OPTIONS)
  const chunk = Buffer.concat([request('SET', 'a', 'b'.repeat(60_000)), Buffer.from('*2\r\n$3\r\nGET\r\n')])
  parser.push(chunk)
  assert.is(parser.next()?.length, 3)
  assert.is(parser.next(), undefined)
  parser.push(Buffer.from('$1\r\nk\r\n'))
  const args = parser.next()!
  assert.is(args[0]!.toString(), 'GET')
  assert.is.not(args[0]!.buffer, chunk.buffer)
})

test('any list of arguments is parsed back, however it is cut', () => {
  const bytes = fc.uint8Array({ maxLength: 200 })
  const requests = fc.array(fc.array(bytes, { minLength: 1, maxLength: 6 }), { maxLength: 6 })
  fc.assert(
    fc.property(requests, fc.array(fc.nat(300), { maxLength: 20 }), (lists, cuts) => {
      const stream = Buffer.concat(lists.map((args) => request(...args.map((arg) => Buffer.from(arg)))))
      const chunks: Buffer[] = []
      let at = 0
      for (const cut of cuts) {
        chunks.push(stream.subarray(at, at + cut))
        at += cut
      }
      chunks.push(stream.subarray(at))
      const expected = lists.map((args) => args.map((arg) => Buffer.from(arg).toString('latin1')))
      assert.equal(parse(chunks), { requests: expected, error: undefined })
    }),
    { numRuns: 300 }
  )
})

test('random and mutated bytes give requests or a protocol error, in one piece as byte by byte', () => {
  const noise = fc.uint8Array({ maxLength: 400 })
  const almost = fc
    .tuple(fc.nat(SESSION.length - 1), fc.nat(255), fc.nat(SESSION.length - 1), fc.nat(20))
    .map(([at, byte, from, length]) => {
      const mutated = Buffer.from(SESSION)
      mutated[at] = byte
      return Buffer.concat([mutated.subarray(0, from), mutated.subarray(from + length)])
    })
  const tokens = fc
    .array(fc.constantFrom('*', '$', '1', '2', '-', '\r\n', '\r', '\n', 'GET', '"', "'", '\\x', ' ', '\0'))
    .map((parts) => Buffer.from(parts.join('')))
  fc.assert(
    fc.property(fc.oneof(noise, almost, tokens), (input) => {
      const bytes = Buffer.from(input)
      const whole = parse([bytes])
      assert.equal(parse([...bytes].map((byte) => Buffer.from([byte]))), whole)
      assert.ok(whole.error === undefined || whole.error.startsWith('Protocol error: '))
    }),
    { numRuns: 1000 }
  )
})

test('inline arguments follow the quoting rules of Redis', () => {
  const split = (line: string) => splitInline(Buffer.from(line, 'latin1'))?.map((arg) => arg.toString('latin1'))
  assert.equal(split(''), [])
  assert.equal(split('  a\tb  '), ['a', 'b'])
  assert.equal(split('"" \'\''), ['', ''])
  assert.equal(split('"a\\x00\\xfg\\t\\q"'), ['a\0xfg\tq'])
  assert.equal(split("'a\\n\\'b'"), ["a\\n'b"])
  assert.equal(split('ab"c d"'), ['abc d'])
  assert.is(split('"a"b'), undefined)
  assert.is(split("'a"), undefined)
  assert.is(split('"a\\'), undefined)
})

test('integers are parsed as strictly as in Redis', () => {
  const parsed = ['0', '7', '-7', '1048576', '', '-', '+1', '01', '-0', '1 ', '12345678901'].map((text) =>
    parseInteger(Buffer.from(text))
  )
  assert.equal(parsed, [0, 7, -7, 1048576, ...new Array(7).fill(undefined)])
})

test.run()
