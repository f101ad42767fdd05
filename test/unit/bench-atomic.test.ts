// The benchmark `atomic`: what it sends, what it takes for unknown, and its table.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { slotOf } from '../../lib/ring/slots.js'
import {
  type AtomicMeasured,
  atomicTable,
  isUnknown,
  onlineReplicas,
  ROWS,
  resultOf
} from '../../scripts/bench-atomic.js'

const test = suite('bench atomic')

function measured(perSecond: number, more: Partial<AtomicMeasured> = {}): AtomicMeasured {
  return { perSecond, p50Ms: 2, p99Ms: 9, cpuMicros: 100, flushes: 0.5, writes: 1, ...more }
}

test('rows use as many keys as they say, and new keys for SET NX', () => {
  const keysOf = (name: string) => {
    const row = ROWS.find((one) => one.name === name)!
    return new Set(Array.from({ length: 30_000 }, (_, number) => String(row.commands(number)[0]![1]))).size
  }
  assert.is(keysOf('INCR, 1 key'), 1)
  assert.is(keysOf('INCR, 10 keys'), 10)
  assert.is(keysOf('INCR, 10000 keys'), 10_000)
  assert.is(keysOf('SET NX'), 30_000)
})

test('the keys of a group have one slot', () => {
  const group = ROWS.find(({ name }) => name === 'group of 2 keys')!
  for (const number of [0, 7, 9999, 123_456]) {
    const [multi, left, right, exec] = group.commands(number)
    assert.equal([multi, exec], [['MULTI'], ['EXEC']])
    assert.is(slotOf(Buffer.from(left![1]!)), slotOf(Buffer.from(right![1]!)))
  }
})

test('an operation that the daemon does not know is recognized', () => {
  assert.ok(isUnknown("ERR unknown command 'INCR', with args beginning with: 'one' "))
  assert.ok(isUnknown('ERR SET with NX, XX or GET is not supported: a write cannot depend on the stored value'))
  assert.not.ok(isUnknown('ERR value is not an integer or out of range'))
  assert.not.ok(isUnknown('TRYAGAIN a queue is full'))
})

test('replicas count when they are online', () => {
  const replica = (at: number, state: string) =>
    `slave${at}:ip=127.0.0.1,port=700${at},state=${state},offset=14,lag=0\r\n`
  assert.is(onlineReplicas(`# Replication\r\nrole:master\r\n${replica(0, 'online')}${replica(1, 'wait_bgsave')}`), 1)
  assert.is(onlineReplicas(replica(0, 'online') + replica(1, 'online')), 2)
})

test('the table has medians, the share of SET in each round, and dashes for what is unknown', () => {
  const round = (set: number, incr: number | undefined) =>
    new Map([
      ['SET', measured(set)],
      ['INCR, 1 key', incr === undefined ? undefined : measured(incr, { writes: 2 })]
    ])
  const redis = [new Map([['SET', measured(500, { flushes: undefined, writes: undefined })]])]
  const results = ['SET', 'INCR, 1 key', 'EXPIRE'].map((row) =>
    resultOf(row, [round(1000, 500), round(2000, 500), round(3000, 600)], redis)
  )
  assert.is(results[1]!.toSet, 0.25)
  const text = atomicTable(results)
  assert.match(text, /^\| SET +\| 2000 \| +1\.00 \| +2\.00 \| +9\.00 \| +100 \| +0\.50 \| +1\.00 \| +500 .* 4\.00 \|$/m)
  assert.match(text, /^\| INCR, 1 key \| +500 \| +0\.25 \|.* 2\.00 \| +- \|/m)
  assert.match(text, /^\| EXPIRE +\| +- \| +- \|/m)
})

test.run()
