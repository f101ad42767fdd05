// The inputs that the benchmarks parse (redis-benchmark, the floor, /proc), and the figures that they compute.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseFloorLine, perOperation } from '../../scripts/bench-floor.js'
import { isSettled } from '../../scripts/bench-peers.js'
import { parseStat } from '../../scripts/bench-processes.js'
import { cpuNotes, parseCsv } from '../../scripts/bench-redis.js'
import { endOfReply } from '../../scripts/bench-resp.js'
import { markdown, median, medianOf, percentile, shown } from '../../scripts/bench-statistics.js'

const test = suite('bench figures')

test('the last line of redis-benchmark --csv is the result', () => {
  const head = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max"'
  const row = '"SET","7621.95","6.420","2.056","5.751","10.655","23.999","38.335"'
  assert.equal(parseCsv(`${head}\n${row}\n`), { perSecond: 7621.95, p50Ms: 5.751, p99Ms: 23.999 })
  assert.is(parseCsv('WARNING: could not connect\n'), undefined)
})

test('a line of the floor is a header with a pipeline, a result, or ignored', () => {
  assert.equal(parseFloorLine('floor, one peer, 50 clients:'), { pipeline: 1 })
  assert.equal(parseFloorLine('floor, one peer, 50 clients, pipeline 16:'), { pipeline: 16 })
  const result = { command: 'GET', perSecond: 27322.4, p50Ms: 1.575 }
  assert.equal(parseFloorLine('GET: 27322.40 requests per second, p50=1.575 msec'), result)
  assert.is(parseFloorLine('floor pull, noise, batch 1048576, inflight 2: 26013 keys/s, 26 MiB/s'), undefined)
  assert.is(parseFloorLine('ready 0'), undefined)
})

test('the CPU ticks of a process are found behind any process name', () => {
  const rest = 'S 41 42 42 0 -1 4194304 1 0 0 0 250 50 7 8 20 0 11 0 100'
  assert.equal(parseStat(`43 (a) b (c)) ${rest}`), { parent: 41, ticks: 300 })
  assert.is(parseStat(''), undefined)
})

test('CPU per operation is known only when both readings are', () => {
  assert.is(perOperation(1, 3, 1_000_000), 2)
  assert.is(perOperation(undefined, 3, 10), undefined)
})

test('a table without CPU times says why', () => {
  const known = { perSecond: 1, p50Ms: 1, cpuMicros: 5 }
  const unknown = { ...known, cpuMicros: undefined }
  const row = { row: 'SET 1', ringd: known, floor: known, ratio: 1, cpuRatio: 1 }
  assert.equal(cpuNotes([row], true), [])
  assert.equal(cpuNotes([{ ...row, floor: undefined }], false), [])
  assert.match(
    cpuNotes([row, { ...row, row: 'GET 1', ringd: unknown }], true).join(),
    /^no CPU time of ringd for GET 1: /
  )
  assert.match(cpuNotes([{ ...row, floor: unknown }], true).join(), /^no CPU time of the floor for SET 1: /)
})

test('medians leave out unknown values', () => {
  assert.is(median([3, 1, 2]), 2)
  assert.is(median([4, 1, 2, 3]), 2.5)
  assert.is(median([]), undefined)
  assert.is(
    medianOf([1, undefined, 5], (value) => value),
    3
  )
})

test('a percentile is a value that occurred', () => {
  const values = Array.from({ length: 200 }, (_, at) => 200 - at)
  assert.is(percentile(values, 0.99), 198)
  assert.is(percentile([7], 0.5), 7)
  assert.is(percentile([], 0.5), undefined)
})

test('tables show a dash for an unknown value', () => {
  assert.is(shown(undefined), '-')
  assert.is(shown(1.255, 1), '1.3')
  assert.is(markdown(['a', 'bb'], [['ccc', '1']]), '| a   | bb |\n| :-- | -: |\n| ccc |  1 |')
})

test('a reply ends behind its line, or behind the bytes that it announces', () => {
  const replies = Buffer.from('+OK\r\n$-1\r\n$5\r\na\r\nbc\r\n$2\r\nx')
  assert.is(endOfReply(replies, 0), 5)
  assert.is(endOfReply(replies, 5), 10)
  assert.is(endOfReply(replies, 10), 21)
  assert.is(endOfReply(replies, 21), -1)
  assert.is(endOfReply(replies.subarray(0, 21), 10), 21)
  assert.is(endOfReply(Buffer.from('+O'), 0), -1)
  const list = Buffer.from('*2\r\n:5\r\n*2\r\n$1\r\na\r\n-ERR\r\n*-1\r\n')
  assert.is(endOfReply(list, 0), 25)
  assert.is(endOfReply(list, 25), 30)
  for (let bytes = 4; bytes < 25; bytes++) assert.is(endOfReply(list.subarray(0, bytes), 0), -1)
})

test('a ring has settled when all peers are members, agree, and no slot moves', () => {
  const status = (members: number, moving: number, agree: boolean) =>
    ({ members: Array(members).fill({}), slots: { settled: 0, moving, atRisk: 0 }, agree }) as unknown as Parameters<
      typeof isSettled
    >[0]
  assert.ok(isSettled(status(3, 0, true), 3))
  assert.not.ok(isSettled(status(2, 0, true), 3))
  assert.not.ok(isSettled(status(3, 1, true), 3))
  assert.not.ok(isSettled(status(3, 0, false), 3))
})

test.run()
