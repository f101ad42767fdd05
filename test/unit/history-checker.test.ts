// The checker of histories, on histories written by hand: each broken one is rejected, each sound one passes.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type CheckOptions, complaints, type Failure, History, longestGap } from '../e2e/history.js'

const checker = suite('history checker')

type Times = readonly [begin: number, end: number]

/** One key, written 1, 2, 3... at these times. */
function written(...times: readonly Times[]): History {
  const history = new History()
  for (const [index, [begin, end]] of times.entries()) {
    history.writes.push({ key: 'k', value: index + 1, peer: 'a', begin, end })
  }
  return history
}

function read(history: History, value: number, [begin, end]: Times, peer = 'b'): History {
  history.reads.push({ key: 'k', value, peer, begin, end })
  return history
}

function accepts(history: History, options?: CheckOptions): void {
  assert.equal(complaints(history, options), [])
}

function rejects(history: History, pattern: RegExp, options?: CheckOptions): void {
  const found = complaints(history, options)
  assert.is(found.length, 1, found.join('\n'))
  assert.match(found[0] ?? '', pattern)
}

checker('accepts reads of the newest acknowledged write', () => {
  const history = written([0, 10], [20, 30])
  read(history, 0, [-5, -1])
  read(history, 1, [11, 15])
  accepts(read(history, 2, [31, 35]))
})

checker('accepts either value while a write is under way', () => {
  accepts(read(written([0, 10], [20, 30]), 1, [25, 26]))
  accepts(read(written([0, 10], [20, 30]), 2, [25, 26]))
  accepts(read(written([0, 10], [20, 30]), 2, [15, 21]))
  accepts(read(written([0, 10], [20, Number.POSITIVE_INFINITY]), 1, [99, 100]))
  accepts(read(written([0, 10], [20, Number.POSITIVE_INFINITY]), 2, [99, 100]))
})

checker('rejects a stale read', () => {
  rejects(read(written([0, 10], [20, 30]), 1, [30.5, 40]), /^k through b is stale: 1 was read, 2 had been acknowledged/)
  rejects(read(written([0, 1], [2, 3], [4, 5], [6, 7]), 2, [5.5, 100]), /stale: 2 was read, 3 had been/)
})

checker('rejects a lost write', () => {
  rejects(read(written([0, 10]), 0, [11, 12]), /^k through b is missing, 1 had been acknowledged/)
})

checker('rejects values that were not written yet, or never', () => {
  rejects(read(written([0, 10], [20, 30]), 2, [12, 15]), /2 was read before it was written/)
  rejects(read(new History(), 1, [0, 1]), /1 was read before it was written/)
  rejects(read(written([0, 10]), Number.NaN, [11, 12]), /never written/)
})

checker('rejects a read that returns an older value than an earlier read', () => {
  const forth = read(written([0, 10], [20, 90]), 2, [30, 40])
  rejects(read(forth, 1, [41, 50], 'c'), /^k: 1 through c after 2 through b$/)
  accepts(read(read(written([0, 10], [20, 90]), 2, [30, 42]), 1, [41, 50], 'c'))
})

checker('rejects writers that overlap or skip a number, since their histories cannot be checked', () => {
  rejects(written([0, 10], [9, 12]), /began 2 before 1 was acknowledged/)
  const gap = new History()
  gap.writes.push({ key: 'k', value: 2, peer: 'a', begin: 0, end: 1 })
  rejects(gap, /wrote 2 where 1 was due/)
})

checker('rejects keys that were not read back, through each peer, after their last write', () => {
  const readBackBy = ['b', 'c']
  const history = read(written([0, 10], [20, 30]), 2, [31, 32], 'b')
  rejects(history, /^k was not read back through c$/, { readBackBy })
  rejects(read(history, 2, [25, 29], 'c'), /^k was not read back through c$/, { readBackBy })
  accepts(read(history, 2, [40, 41], 'c'), { readBackBy })
  accepts(written([0, Number.POSITIVE_INFINITY]), { readBackBy })
})

checker('rejects failures, except allowed ones', () => {
  const history = written([0, 10])
  history.failures.push({ key: 'k', peer: 'a', message: 'NO_QUORUM', begin: 2, end: 3 })
  rejects(history, /^k failed through a: NO_QUORUM$/)
  accepts(history, { mayFail: ({ peer }: Failure) => peer === 'a' })
  rejects(history, /failed/, { mayFail: ({ peer }: Failure) => peer === 'b' })
})

checker('checks each key separately', () => {
  const history = written([0, 10])
  history.reads.push({ key: 'other', value: 0, peer: 'b', begin: 20, end: 21 })
  accepts(history)
})

checker('measures the longest time without success through one peer', () => {
  const history = read(read(written([0, 10]), 1, [11, 40], 'a'), 1, [11, 55], 'b')
  assert.is(longestGap(history, 'a', 5, 100), 60)
  assert.is(longestGap(history, 'a', 5, 41), 30)
  assert.is(longestGap(history, 'b', 0, 60), 55)
  assert.is(longestGap(history, 'c', 0, 60), 60)
})

checker.run()
