// Transfers and the migration actor: which entries arrive, which are refused, and what is retried.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { MembershipMessage } from '../../lib/actors/membership/membership-messages.js'
import { Migration, type MigrationMessage } from '../../lib/actors/migration/migration.js'
import { runTransfer, type TransferOptions, type TransferReport } from '../../lib/actors/migration/transfer.js'
import { BlockWriter } from '../../lib/entry/block.js'
import { dataKey } from '../../lib/entry/keys.js'
import { RingdError } from '../../lib/errors.js'
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../../lib/limits.js'
import { silent } from '../../lib/logger.js'
import { noMetrics } from '../../lib/metrics.js'
import type { Body } from '../../lib/network/network.js'
import { SLOTS, slotOf } from '../../lib/ring/slots.js'
import { spawn } from '../../lib/runtime/actor.js'
import { stored } from '../sim/harness/replica-harness.js'
import { config, type HandMade, idOf, ringView } from '../sim/harness/ring-views.js'
import { TransferHarness } from '../sim/harness/transfer-harness.js'
import { seeded } from '../sim/sim-node.js'

const test = suite('migration')
const limits = { maxKeyBytes: KEY_BYTES_MAX, maxValueBytes: VALUE_BYTES_MAX }
const KEYS = Array.from({ length: 50 }, (_, number) => `key-${number}`)
const NOTHING: TransferReport = { seen: 0, entries: 0, bytes: 0, damaged: 0, oversized: 0 }
const WINDOW = [config(1, 'abc'), config(2, 'abd')]

type Picture = Omit<HandMade, 'self'>

async function harness(letters: string, picture: Picture): Promise<TransferHarness> {
  const made = new TransferHarness(letters)
  for (const replica of made.replicas.values()) replica.view(picture)
  await made.clock.settle()
  return made
}

/** Runs a transfer from `b` to `d`. Returns its report, or the code of its error. */
async function transfer(
  peers: TransferHarness,
  options: Partial<TransferOptions> = {}
): Promise<TransferReport | string> {
  const { clock, network } = peers
  const deps = { clock, log: silent, network, replica: peers.replica('d').ref }
  const ranges = [{ first: 0, last: SLOTS - 1 }]
  const whole = { member: idOf('b'), mustBeReady: false, versionsFirst: false, limits }
  const base = { source: 'peer-b', view: 2, config: 2, ranges, ...whole }
  let outcome: TransferReport | string | undefined
  runTransfer(deps, { ...base, isCancelled: () => false, ...options }).then(
    (report) => {
      outcome = report
    },
    (thrown: RingdError) => {
      outcome = thrown.code
    }
  )
  assert.ok(await clock.runUntil(() => outcome !== undefined, 60_000))
  return outcome!
}

test('a transfer copies every entry, in blocks', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  const report = (await transfer(peers)) as TransferReport
  assert.equal([report.seen, report.entries, report.damaged], [50, 50, 0])
  assert.equal(peers.takeAsked(), ['b pull', 'b pull', 'b pull'])
  for (const key of KEYS) assert.ok(peers.replica('d').stored(key))
})

test('with versions compared first, only missing and older entries are fetched', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 5, 'new'.repeat(1000))
  await peers.fill('d', KEYS.slice(0, 40), 5, 'new'.repeat(1000))
  await peers.fill('d', KEYS.slice(40, 44), 4, 'old')
  await peers.fill('d', KEYS.slice(44, 47), 6, 'newer')
  const report = (await transfer(peers, { versionsFirst: true })) as TransferReport
  assert.equal([report.seen, report.entries], [50, 4 + 3])
  assert.ok(report.bytes < 8 * 3200, `${report.bytes} bytes`)
  assert.equal(peers.takeAsked(), ['b versions', 'b fetch'])
  assert.equal(peers.replica('d').stored('key-45'), peers.replica('d').envelope('key-45', 6, 'newer'))
})

test('a transfer from an empty source reports zero entries', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  assert.equal(await transfer(peers), NOTHING)
  assert.equal(await transfer(peers, { versionsFirst: true }), NOTHING)
})

test('blocks with wrong checksums, malformed bytes or entries of other slots are refused as a whole', async () => {
  const foreign = (): Body => {
    const writer = new BlockWriter(1000)
    const key = Buffer.from('key-0')
    writer.add(dataKey((slotOf(key) + 1) % SLOTS, key), peers.replica('b').envelope('key-0', 1))
    return { pullBlock: { ...writer.finish(), last: true, ready: true, closing: [], closed: [] } }
  }
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'value')
  const cases: [string, (answer: Body) => Body | RingdError][] = [
    ['BAD_ENTRY', ({ pullBlock }) => ({ pullBlock: { ...pullBlock!, crc: pullBlock!.crc ^ 1 } })],
    ['BAD_MESSAGE', foreign],
    ['BAD_MESSAGE', () => ({ done: {} })],
    [
      'BAD_MESSAGE',
      () => ({ pullBlock: { block: new Uint8Array(0), crc: 0, last: false, ready: true, closing: [], closed: [] } })
    ],
    ['UNREACHABLE', () => new RingdError('UNREACHABLE')]
  ]
  for (const [code, tamper] of cases) {
    peers.tamper = tamper
    assert.is(await transfer(peers), code)
    assert.is(peers.replica('d').slotStats.totals.entries, 0)
  }
})

test('an entry that is longer than allowed is left out, and the rest of its slot is taken', async () => {
  const long = 'k'.repeat(KEY_BYTES_MAX + 1)
  for (const versionsFirst of [false, true]) {
    const peers = await harness('bd', { number: 2, window: WINDOW })
    await peers.fill('b', [...KEYS, long], 1, 'value')
    const report = (await transfer(peers, { versionsFirst })) as TransferReport
    assert.equal([report.oversized, peers.replica('d').slotStats.totals.entries], [1, KEYS.length])
    assert.is(peers.replica('d').stored(long), undefined)
  }
})

test('an entry or a purge bound from the future fails the transfer, and nothing of it is stored', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'value')
  await peers.fill('b', ['key-7'], 3_600_000, 'tomorrow')
  for (const versionsFirst of [false, true]) {
    assert.is(await transfer(peers, { versionsFirst }), 'CLOCK_SKEW')
    assert.is(peers.replica('d').stored('key-7'), undefined)
  }
  const value = Math.floor(peers.clock.now() / 1000) + 3600
  for (const bound of ['closing', 'closed'] as const) {
    const runs = { closing: [], closed: [], [bound]: [{ first: 3, last: 5, value }] }
    peers.tamper = ({ pullBlock, fetched }) => (fetched ? { fetched } : { pullBlock: { ...pullBlock!, ...runs } })
    assert.is(await transfer(peers), 'CLOCK_SKEW')
    assert.equal([...peers.replica('d').bounds[bound].subarray(3, 6)], [0, 0, 0])
  }
})

test('a source whose blocks do not go on is refused', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', ['key-0'], 1, 'value')
  peers.tamper = ({ pullBlock }) => ({ pullBlock: { ...pullBlock!, ...blockOf(peers, 'key-0'), last: false } })
  assert.is(await transfer(peers), 'BAD_MESSAGE')
  assert.ok(peers.asked.length < 4)
})

test('entries outside the requested ranges are refused', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', ['key-0', 'key-1'], 1, 'value')
  const slot = slotOf(Buffer.from('key-0'))
  peers.tamper = ({ pullBlock }) => ({ pullBlock: { ...pullBlock!, ...blockOf(peers, 'key-1') } })
  assert.is(await transfer(peers, { ranges: [{ first: slot, last: slot }] }), 'BAD_MESSAGE')
})

test('a source that is not ready refuses to be copied', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW, ready: { b: 1 } })
  assert.is(await transfer(peers, { mustBeReady: true }), 'NOT_OWNER')
})

test('a cancelled transfer ends between two blocks', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  assert.is(await transfer(peers, { isCancelled: () => peers.asked.length >= 2 }), 'STOPPED')
  assert.is(peers.asked.length, 2)
  assert.ok(peers.replica('d').slotStats.totals.entries >= 20, 'what came stays')
})

test('a transfer repeated after a failure fetches only the rest', async () => {
  const peers = await harness('bd', { number: 2, window: WINDOW })
  await peers.fill('b', KEYS, 1, 'x'.repeat(50_000))
  peers.tamper = (answer, _to, count) => (count === 2 ? new RingdError('UNREACHABLE') : answer)
  assert.is(await transfer(peers), 'UNREACHABLE')
  const before = peers.replica('d').slotStats.totals.entries
  peers.tamper = (answer) => answer
  const report = (await transfer(peers, { versionsFirst: true })) as TransferReport
  assert.is(report.entries, 50 - before)
})

// ---- the actor ----

interface Moving {
  readonly peers: TransferHarness
  /** Announcements of the actor: config and number of ready slots. */
  readonly ready: string[]
  readonly view: (picture: Picture) => void
  readonly stop: () => Promise<void>
}

/** Starts the migration actor of member `d`, joined to its peers by the harness. */
async function migration(letters: string, picture: Picture): Promise<Moving> {
  const peers = await harness(letters, picture)
  const { clock, network } = peers
  const ready: string[] = []
  const signal = (message: MembershipMessage) => {
    if (message.type === 'ready') ready.push(`${message.config}: ${message.slots.length}`)
  }
  const membership = { isOver: false, tell: () => true, signal }
  const base = { clock, log: silent, metrics: noMetrics, network, random: seeded(1) }
  const replica = peers.replica('d').ref
  const actor = spawn<MigrationMessage>(
    base,
    'migration',
    (self) => new Migration({ ...base, replica, membership, learned: () => {}, self }, { limits }),
    {
      onCrash: (error) => {
        throw error
      }
    }
  )
  const view = (next: Picture) => actor.signal({ type: 'view', view: ringView({ ...next, self: 'd' }) })
  return { peers, ready, view, stop: () => actor.stop() }
}

const GROWING = { number: 2, window: [config(1, 'abc'), config(2, 'bcd')] }
const WHOLE = '2: 16384'

function total(ready: readonly string[]): number {
  return ready.reduce((sum, told) => sum + Number(told.split(': ')[1]), 0)
}

test('a joiner merges enough owners of the config before to meet every quorum, then it is ready', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  await peers.fill('a', KEYS.slice(0, 20), 1, 'a')
  await peers.fill('b', KEYS.slice(10, 40), 2, 'b')
  await peers.fill('c', KEYS, 3, 'c')
  view(GROWING)
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 10_000))
  assert.is(new Set(ready.map((told) => told.split(':')[0])).size, 1)
  const sources = new Set(peers.asked.map((asked) => asked[0]))
  assert.is(sources.size >= 2, true)
  assert.ok(peers.replica('d').slotStats.totals.entries >= 40)
})

test('one ready owner is enough, and nothing is ready while that owner denies it', async () => {
  const picture = { number: 2, window: [config(2, 'bcd')], ready: { c: 2 } }
  const { peers, ready, view } = await migration('bcd', { ...picture, ready: { c: 1 } })
  view(picture)
  await peers.clock.advance(2000)
  assert.is(total(ready), 0)
  const tries = peers.takeAsked().length
  assert.ok(tries < 16 * 10, `${tries} requests in two seconds: a refusal is waited out`)
})

test('readiness is not announced for a config that has left the window by then', async () => {
  for (const next of [undefined, { number: 3, window: [config(3, 'abc')] }]) {
    // Its own data is enough, so this member is ready at once. It announces that a moment later.
    const growing = { number: 2, window: [config(1, 'd'), config(2, 'bd')] }
    const { peers, ready, view } = await migration('bd', growing)
    view(growing)
    await peers.clock.settle()
    if (next !== undefined) view(next)
    await peers.clock.advance(1000)
    assert.is(total(ready), next === undefined ? SLOTS : 0)
  }
})

test('a source that dies is replaced by another one', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await peers.fill(letter, KEYS, 1, 'value')
  peers.tamper = (answer, to, count) => {
    if (to !== 'b' || count < 3) return answer
    peers.unlinked.add('b')
    return new RingdError('UNREACHABLE')
  }
  view(GROWING)
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 20_000))
  for (const key of KEYS) assert.ok(peers.replica('d').stored(key))
})

test('a member waits while it has too few sources, and continues when it has enough', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'bc') peers.unlinked.add(letter)
  view(GROWING)
  await peers.clock.advance(3000)
  assert.equal([ready.length, peers.asked.length], [0, 0])
  peers.unlinked.clear()
  assert.ok(await peers.clock.runUntil(() => total(ready) === SLOTS, 10_000))
})

test('a changed window cancels the job, and a job for the new window starts', async () => {
  const { peers, ready, view } = await migration('abcd', GROWING)
  for (const letter of 'abc') await peers.fill(letter, KEYS, 1, 'x'.repeat(50_000))
  view(GROWING)
  await peers.clock.advance(3)
  const next = { number: 3, window: [...GROWING.window, config(3, 'acd')] }
  for (const replica of peers.replicas.values()) replica.view(next)
  view(next)
  const forThree = () => total(ready.filter((told) => told.startsWith('3: ')))
  assert.ok(await peers.clock.runUntil(() => forThree() === SLOTS, 20_000))
})

test('an owner of all earlier configs needs no source when each of their quorums is one copy', async () => {
  const picture = { number: 2, window: [config(1, 'd'), config(2, 'bcd')] }
  const { peers, ready, view } = await migration('bcd', picture)
  view(picture)
  await peers.clock.advance(100)
  assert.equal([ready, peers.asked], [[WHOLE], []])
})

test('a ready member pulls nothing, and neither does a former member', async () => {
  const { peers, ready, view, stop } = await migration('bcd', GROWING)
  view({ ...GROWING, ready: { d: 2 } })
  await peers.clock.advance(1000)
  view({ number: 2, window: [config(1, 'abc')] })
  await peers.clock.advance(1000)
  assert.equal([ready, peers.asked], [[], []])
  const stopped = stop()
  await peers.clock.advance(1000)
  await stopped
})

function blockOf(peers: TransferHarness, key: string): { block: Uint8Array; crc: number } {
  const writer = new BlockWriter(1000)
  writer.add(stored(key), peers.replica('b').envelope(key, 1))
  return writer.finish()
}

test.run()
