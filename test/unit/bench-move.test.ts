// The pure parts of benchmark `move`: what it parses, its figures, and its tables.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../lib/limits.js'
import { parsePullLine } from '../../scripts/bench-floor.js'
import { keyNames, nextCommands, randomValues } from '../../scripts/bench-load.js'
import {
  between,
  bytesAt,
  latenciesOf,
  loadTable,
  type MoveRound,
  type MoveShape,
  moveTable,
  type RingdMove,
  rates,
  ratiosOf,
  secondsOf,
  sizeShapes,
  sizesTable,
  type Timed
} from '../../scripts/bench-move-figures.js'
import { firstSlots, isClusterOk } from '../../scripts/bench-move-redis.js'
import { metricSum, quotient } from '../../scripts/bench-statistics.js'

const test = suite('bench move')

const none = { cpuSeconds: undefined, joinerGrowth: undefined, sourceGrowth: undefined }

/** A move of 1000 entries of 1 MiB. */
function move(seconds: number, more: Partial<RingdMove> = {}): RingdMove {
  const moved = { seconds, entries: 1000, bytes: 1000 * MiB, ...rates(1000, 1000 * MiB, seconds), ...none }
  const counted = { receivedEntries: 900, receivedBytes: 0, heldEntries: 1000, heldBytes: 1000, wireBytes: 1250 }
  return { ...moved, startSeconds: 1, ...counted, wireRatio: 1.5, diskRatio: 1.1, course: [], told: [], ...more }
}

function round(ringd: number, floor?: number, redis?: number, loaded?: number): MoveRound {
  const other = (seconds: number | undefined) => (seconds === undefined ? undefined : move(seconds))
  return { ringd: move(ringd), floor: other(floor), redis: other(redis), loaded: other(loaded) }
}

test('the result of the floor of moving data is found among its lines', () => {
  const line = 'floor pull, noise, batch 1048576, inflight 2: 26013 keys/s, 26 MiB/s'
  assert.equal(parsePullLine(line), { keysPerSecond: 26013, mibPerSecond: 26 })
  assert.is(parsePullLine('floor, one peer, 50 clients:'), undefined)
  assert.is(parsePullLine(`${line} and more`), undefined)
})

test('rates count entries, and MiB of keys and values', () => {
  assert.equal(rates(1000, 3 * MiB, 2), { keysPerSecond: 500, mibPerSecond: 1.5 })
})

test('ratios are taken within each round, and then the median', () => {
  const rounds = [round(10, 1, 20), round(10, 2, 5), round(40, 10, 40, 80)]
  const { ringdToFloorMib, ringdToRedisKeys, loadedToIdle } = ratiosOf(rounds)
  assert.is(ringdToFloorMib, 0.2)
  assert.is(ringdToRedisKeys, 1)
  assert.is(loadedToIdle, 0.5)
  assert.equal(ratiosOf([round(10)]), {
    ringdToFloorMib: undefined,
    ringdToRedisKeys: undefined,
    loadedToIdle: undefined
  })
  assert.is(quotient(1, undefined), undefined)
})

test('the table has a row for each side that was measured, and a dash for a missing ratio', () => {
  const text = moveTable([round(10, 5), round(20, 5), round(30, 5)])
  assert.match(text, /^\| floor +\| 200\.0 \| +200 \|/m)
  assert.match(text, /^\| ringd +\| +50\.0 \| +50 \| 20\.00 \| +1000 \| .* 0\.90 \| +1\.50 \| +1\.25 \| +1\.10 \|$/m)
  assert.not.match(text, /^\| redis/m)
  assert.match(text, /^ringd\/floor, MiB\/s: 0\.25$/m)
  assert.match(text, /^ringd\/redis, keys\/s: -$/m)
})

const samples: Timed[] = [
  { at: 0, ms: 1, outcome: 'good' },
  { at: 900, ms: 3, outcome: 'good' },
  { at: 1000, ms: 9000, outcome: 'failed' },
  { at: 1500, ms: 50, outcome: 'missing' },
  { at: 2100, ms: 7, outcome: 'good' }
]

test('latencies are those of requests that succeeded; the others are counted', () => {
  assert.equal(latenciesOf(samples), { requests: 5, failed: 1, missing: 1, p50Ms: 3, p99Ms: 7 })
  assert.equal(latenciesOf([]), { requests: 0, failed: 0, missing: 0, p50Ms: undefined, p99Ms: undefined })
})

test('a time has its first moment, and not its last', () => {
  assert.equal(
    between(samples, 900, 1500).map(({ at }) => at),
    [900, 1000]
  )
})

test('the bytes between two samples lie on a straight line', () => {
  const course = [
    { at: 100, bytes: 10 },
    { at: 300, bytes: 30 }
  ]
  assert.equal(
    [0, 100, 200, 300, 900].map((at) => bytesAt(course, at)),
    [0, 10, 20, 30, 30]
  )
  assert.is(bytesAt([], 5), 0)
})

test('seconds count from when the joiner serves, and have the MiB that came in them', () => {
  const course = [
    { at: 0, bytes: 0 },
    { at: 2000, bytes: 4 * MiB }
  ]
  const rows = secondsOf(samples, course, 1000)
  assert.equal(
    rows.map(({ second, requests, mib }) => [second, requests, mib]),
    [
      [-1, 2, 0],
      [0, 2, 2],
      [1, 1, 2]
    ]
  )
})

test('the table of the load sums the failures of all rounds', () => {
  const latencies = (failed: number, p99Ms: number) => ({ requests: 100, failed, missing: 1, p50Ms: 1, p99Ms })
  const load = { peakPerSecond: 9000, perSecond: 3000, before: latencies(0, 4), during: latencies(2, 40), seconds: [] }
  const rounds = [1, 2].map(() => ({ ...round(10), loaded: move(20, { load }) }))
  const text = loadTable(rounds)!
  assert.match(text, /^\| failed before .* 2 \|$/m)
  assert.match(text, /^\| failed during .* 6 \|$/m)
  assert.match(text, /^\| p99 during, ms +\| 40\.00 \|$/m)
  assert.match(text, /^\| pace .* 0\.50 \|$/m)
  assert.is(loadTable([round(10)]), undefined)
})

test('sizes with too much data or too many keys are left out, and say so', () => {
  const all = { keys: 1e9, valueBytes: 1e9 }
  const shapes = sizeShapes(all)
  assert.is(shapes.length, 27)
  const left = shapes.filter(({ skipped }) => skipped !== undefined).map(({ shape }) => [shape.keys, shape.valueBytes])
  assert.is(left.length, 6)
  assert.ok(left.every(([keys, bytes]) => keys! * bytes! > 1024 * MiB))
  const isSmall = ({ keys, valueBytes }: MoveShape) => keys <= 10_000 && valueBytes <= 1000
  const few = sizeShapes({ keys: 10_000, valueBytes: 1000 })
  assert.ok(few.every(({ shape, skipped }) => (skipped === undefined) === isSmall(shape)))
  const text = sizesTable([
    { shape: shapes[0]!.shape, move: move(4) },
    { ...shapes[8]!, move: undefined }
  ])
  assert.match(text, /^\| 3 +\| +100 \| +10000 \| +250\.0 \|/m)
  assert.match(text, /skipped: 62500 MiB of values/)
})

test('a pipeline ends at its number of commands, at its bytes, or with the last key', () => {
  const sizes = (keys: number, bytes: number) => {
    const names = keyNames(keys)
    const lengths: number[] = []
    for (let next = 1; next > 0; ) {
      next = nextCommands(names, randomValues(bytes)).length
      lengths.push(next)
    }
    return lengths
  }
  assert.equal(sizes(300, 10), [128, 128, 44, 0])
  assert.equal(sizes(5, MiB / 2), [2, 2, 1, 0])
  assert.equal(sizes(2, 2 * MiB), [1, 1, 0])
  const [one, other] = nextCommands(keyNames(2), randomValues(16))
  assert.is(one![1], 'key:0')
  assert.not.equal(one![2], other![2])
})

test('masters share the slots, and CLUSTER INFO must name all of them', () => {
  assert.equal(firstSlots(3), [0, 5461, 10923, 16384])
  const info = 'cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_known_nodes:3\r\ncluster_size:3\r\n'
  assert.ok(isClusterOk(info, 3))
  assert.not.ok(isClusterOk(info, 4))
  assert.not.ok(isClusterOk(info.replace('state:ok', 'state:fail'), 3))
  assert.not.ok(isClusterOk(info.replace('16384', '16383'), 3))
})

test('a metric is the sum of its series', () => {
  const text = [
    '# HELP a_bytes x',
    'a_bytes{stream="bulk"} 10',
    'a_bytes{stream="control"} 5',
    'a_bytes_more 100',
    'b_total 7',
    'xa_bytes 9'
  ].join('\n')
  assert.is(metricSum(text, 'a_bytes'), 15)
  assert.is(metricSum(text, 'b'), 7)
  assert.is(metricSum(text, 'c'), 0)
})

test.run()
