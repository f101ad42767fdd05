// The checks of a campaign, on histories and disks written by hand: sound ones pass, each broken one is rejected.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Availability } from '../chaos/availability.js'
import type { Attempt } from '../chaos/client-records.js'
import { type Disk, judgeCopies } from '../chaos/disk-copies.js'
import { judgeHistories } from '../chaos/judge-histories.js'
import { countOutcomes, figuresOf, render } from '../chaos/report.js'

let last = 0

function attempt(
  kind: Attempt['kind'],
  key: string,
  begin: number,
  end: number | null,
  more: Partial<Attempt>
): Attempt {
  return { operation: ++last, client: 1, node: 'a', kind, key, begin, end, outcome: 'ok', ...more }
}

const put = (key: string, value: string, begin: number, end: number, more: Partial<Attempt> = {}) =>
  attempt('put', key, begin, end, { value, ...more })
const get = (key: string, found: string | undefined, begin: number, end: number, more: Partial<Attempt> = {}) =>
  attempt('get', key, begin, end, { found, ...more })
const remove = (key: string, existed: boolean, begin: number, end: number) =>
  attempt('delete', key, begin, end, { existed })

function rules(...processes: Attempt[][]): string[] {
  return judgeHistories(processes).map(({ rule }) => rule)
}

const histories = suite('histories of processes')
const COUNTER = 'counter-1-0'
const ONE = `${COUNTER}=1`
const TWO = `${COUNTER}=2`

histories('a sound history is accepted, also over several processes', () => {
  const writer = [put('shared-1', 'x1', 0, 1), put('shared-1', 'x2', 2, 3), remove('shared-1', true, 6, 7)]
  const reader = [get('shared-1', 'x1', 1.5, 2.5), get('shared-1', 'x2', 4, 5), get('shared-1', undefined, 8, 9)]
  const counting = [put(COUNTER, ONE, 0, 1), get(COUNTER, ONE, 2, 3), put(COUNTER, TWO, 4, 5), get(COUNTER, TWO, 6, 7)]
  assert.equal(rules(writer, reader, counting), [])
})

histories('an acknowledged write that is lost is rejected, and the report shows the operations on its key', () => {
  const broken = judgeHistories([[put('shared-1', 'x1', 0, 1)], [get('shared-1', undefined, 2, 3)]])
  assert.equal(
    broken.map(({ rule }) => rule),
    ['acknowledged writes']
  )
  assert.equal(
    broken[0]!.excerpt.map(({ kind }) => kind),
    ['put', 'get']
  )
})

histories('a stale read is rejected, unless it overlaps with the write', () => {
  const writes = [put('shared-1', 'x1', 0, 1), put('shared-1', 'x2', 2, 4)]
  assert.equal(rules(writes, [get('shared-1', 'x1', 3, 5)]), [])
  assert.equal(rules(writes, [get('shared-1', 'x1', 4.5, 5)]), ['acknowledged writes'])
})

histories('a read that begins at the moment of an answer may miss the write', () => {
  const writes = [put('shared-1', 'x1', 0, 1), put('shared-1', 'x2', 2, 4)]
  assert.equal(rules(writes, [get('shared-1', 'x1', 4, 5)]), [])
})

histories('a deleted key that comes back is rejected', () => {
  const writes = [put('shared-1', 'x1', 0, 1), remove('shared-1', true, 2, 3)]
  assert.ok(rules(writes, [get('shared-1', 'x1', 4, 5)]).includes('resurrection'))
})

histories('a read is rejected when its value was never put, or was put to another key', () => {
  assert.equal(rules([get('shared-1', 'x9', 4, 5)]), ['acknowledged writes'])
  assert.equal(rules([put('shared-2', 'x1', 0, 1)], [get('shared-1', 'x1', 4, 5)]), ['acknowledged writes'])
})

histories('a write of unknown outcome may take effect at any time, or never', () => {
  const unknown = put('shared-1', 'x2', 2, 3, { outcome: 'unknown', error: 'TIMEOUT' })
  const writes = [put('shared-1', 'x1', 0, 1), unknown]
  assert.equal(rules(writes, [get('shared-1', 'x1', 4, 5)]), [])
  assert.equal(rules(writes, [get('shared-1', 'x1', 4, 5), get('shared-1', 'x2', 6, 7)]), [])
  assert.equal(rules([put('shared-1', 'x1', 0, 1), { ...unknown, end: null }], [get('shared-1', 'x2', 4, 5)]), [])
})

histories('a refused write may be seen as well', () => {
  const refused = put('shared-1', 'x2', 2, 3, { outcome: 'refused', error: 'NO_QUORUM' })
  assert.equal(rules([put('shared-1', 'x1', 0, 1), refused], [get('shared-1', 'x2', 4, 5)]), [])
})

histories('a counter never goes back once it was read, also when that write was not acknowledged', () => {
  const unknown = put(COUNTER, TWO, 2, 3, { outcome: 'unknown' })
  const reads = [get(COUNTER, TWO, 4, 5), get(COUNTER, ONE, 6, 7)]
  assert.equal(rules([put(COUNTER, ONE, 0, 1), unknown], reads), ['monotone reads'])
})

histories('attempts at one number of a counter count as one write, acknowledged by the last attempt', () => {
  const again = { operation: 77_777 }
  const refused = put(COUNTER, ONE, 0, 1, { ...again, outcome: 'refused', error: 'NO_QUORUM' })
  const counting = [refused, put(COUNTER, ONE, 2, 3, again)]
  assert.equal(rules(counting, [get(COUNTER, undefined, 1.5, 2.5), get(COUNTER, ONE, 4, 5)]), [])
  assert.equal(rules(counting, [get(COUNTER, undefined, 4, 5)]), ['acknowledged writes'])
})

histories('an expiring value is read before its expiry and not after, and older values stay hidden', () => {
  const writes = [put('shared-1', 'x1', 0, 1), put('shared-1', 'x2', 2, 4, { expiresAt: 500 })]
  assert.equal(rules(writes, [get('shared-1', 'x2', 100, 101), get('shared-1', undefined, 600, 601)]), [])
  assert.equal(rules(writes, [get('shared-1', 'x2', 490, 510), get('shared-1', undefined, 490, 510)]), [])
  assert.equal(rules(writes, [get('shared-1', undefined, 100, 101)]), ['acknowledged writes'])
  assert.equal(rules(writes, [get('shared-1', 'x2', 600, 601)]), ['expiry'])
  assert.equal(rules(writes, [get('shared-1', 'x1', 600, 601)]), ['acknowledged writes'])
})

histories('operations of two processes with the same number are two operations', () => {
  const one = put('shared-1', 'x1', 0, 1, { operation: 1 })
  const other = put('shared-2', 'y1', 0, 1, { operation: 1 })
  assert.equal(rules([one], [other], [get('shared-1', undefined, 2, 3)]), ['acknowledged writes'])
})

histories.run()

const disks = suite('disks of processes')
const RANGES = [{ first: 0, last: 16383, owners: ['m1', 'm2', 'm3'] }]

function disk(name: string, copies: Record<string, [version: string, value: string | undefined]>): Disk {
  const entries = Object.entries(copies).map(([key, [version, value]]) => [key, { slot: 0, version, value }] as const)
  return { name, member: name, copies: new Map(entries) }
}

disks('the value read last must be on a quorum of the owners', () => {
  const new1 = disk('m1', { k: ['02', 'new'] })
  const new2 = disk('m2', { k: ['02', 'new'] })
  const old3 = disk('m3', { k: ['01', 'old'] })
  const none3 = disk('m3', {})
  const read = new Map([['k', 'new']])
  assert.equal(judgeCopies([new1, new2, old3], RANGES, read), { broken: [], lagging: 1, copies: 3 })
  assert.equal(judgeCopies([new1, new2, none3], RANGES, read).broken, [])
  assert.is(judgeCopies([new1, disk('m2', {}), old3], RANGES, read).broken.length, 1)
  assert.is(judgeCopies([disk('m1', {}), disk('m2', {}), none3], RANGES, read).broken.length, 1)
  assert.is(judgeCopies([new1, disk('m2', { k: ['', undefined] }), old3], RANGES, read).broken.length, 1)
})

disks('an owner may hold a newer value than the one read', () => {
  const newer = [disk('m1', { k: ['03', 'newer'] }), disk('m2', { k: ['02', 'new'] }), disk('m3', {})]
  assert.equal(judgeCopies(newer, RANGES, new Map([['k', 'new']])).broken, [])
})

disks('a deleted key must be a tombstone or absent on a quorum of the owners', () => {
  const deleted = new Map([['k', undefined]])
  const tombstone = (name: string) => disk(name, { k: ['05', undefined] })
  const live = (name: string) => disk(name, { k: ['01', 'old'] })
  assert.equal(judgeCopies([tombstone('m1'), disk('m2', {}), live('m3')], RANGES, deleted).broken, [])
  assert.is(judgeCopies([tombstone('m1'), live('m2'), live('m3')], RANGES, deleted).broken.length, 1)
})

disks('a member must not store slots that others own', () => {
  const ranges = [{ first: 0, last: 16383, owners: ['m1', 'm2'] }]
  const { broken } = judgeCopies([disk('m1', {}), disk('m2', {}), disk('m3', { k: ['01', 'x'] })], ranges, new Map())
  assert.equal(broken.length, 1)
  assert.match(broken[0]!, /m3 stores 1/)
})

disks.run()

const service = suite('time without service')

function life(at: number, node: string, lives: boolean) {
  return { at, node, lives }
}

service('an outage ends when every living daemon has answered an operation begun after the fault', () => {
  const changes = ['a', 'b', 'c'].map((node) => life(0, node, true))
  const attempts = [
    get('k', undefined, 5, 12, { node: 'a' }),
    get('k', undefined, 11, 15, { node: 'a' }),
    get('k', undefined, 14, 40, { node: 'b' }),
    get('k', undefined, 16, 30, { node: 'b' }),
    get('k', undefined, 12, 20, { node: 'b', outcome: 'refused' }),
    get('k', undefined, 90, 100, { node: 'c' })
  ]
  const down = [...changes, life(10, 'c', false)]
  assert.is(new Availability(attempts, down).without(10, 200), 20)
  assert.is(new Availability(attempts, changes).without(10, 200), 90)
  assert.is(new Availability(attempts.slice(0, 5), changes).without(10, 200), 190)
})

service('a daemon that dies before it answers is not waited for; when no daemon lives, the first answer counts', () => {
  const changes = [life(0, 'a', true), life(0, 'b', true), life(50, 'b', false)]
  const attempts = [get('k', undefined, 11, 15, { node: 'a' }), get('k', undefined, 60, 70, { node: 'b' })]
  assert.is(new Availability(attempts, changes).without(10, 200), 5)
  const all = [...changes, life(10, 'a', false), life(10, 'b', false)].toSorted((one, other) => one.at - other.at)
  assert.is(new Availability(attempts.slice(1), all).without(10, 200), 60)
})

service('victims are back when each living one has served again', () => {
  const changes = [life(0, 'a', true), life(0, 'b', true), life(50, 'b', false)]
  const attempts = [get('k', undefined, 101, 130, { node: 'a' }), get('k', undefined, 102, 104, { node: 'c' })]
  const seen = new Availability(attempts, [...changes, life(60, 'c', true)])
  assert.is(seen.back(['a', 'b', 'c'], 100, 500), 30)
  assert.is(seen.back(['c'], 100, 500), 4)
  assert.is(seen.back(['b'], 100, 500), 0)
})

service('figures are grouped by kind, and the report lists violations', () => {
  const fault = (kind: 'kill' | 'stop') => ({ index: 0, kind, victims: ['a'], begin: 0, end: 1 })
  const unknown = [4, 0, 1, 0].map((count) => ({ asked: 10, unknown: count }))
  const all = [fault('kill'), fault('stop'), fault('kill'), fault('kill')]
  const faults = figuresOf(all, [10, 5, 30, 20], [1, 2, 3, 4], unknown)
  assert.equal(faults['kill'], {
    count: 3,
    withoutServiceMsMedian: 20,
    withoutServiceMsWorst: 30,
    backMsMedian: 3,
    backMsWorst: 4,
    unknownShare: 5 / 30
  })
  const attempts = [put('shared-1', 'x1', 0, 1), get('shared-1', undefined, 2, 3)]
  const text = render({
    ...{ seed: 1, minutes: 1, members: 5, network: false, unavailable: { cut: '(not root)' }, skipped: {} },
    ...{ operations: countOutcomes(attempts), faults, disks: { copies: 3, lagging: 0 }, kept: 'somewhere' },
    ...{ atomic: { lock: { ok: 3, refused: 1, unknown: 2 } }, unchecked: 1 },
    violations: judgeHistories([attempts])
  })
  assert.match(text, /BROKEN +acknowledged writes.*\n.*put shared-1 x1: ok\n.*get shared-1: ok nothing/)
  assert.match(text, /cut \(not root\)/)
  assert.match(text, /kill +3 +0\.02 +0\.03 +0\.00 +0\.00 +16\.67 %/)
  assert.match(text, /atomic +lock: ok 3, refused 1, unknown 2/)
  assert.match(text, /unchecked +1 groups/)
})

service.run()
